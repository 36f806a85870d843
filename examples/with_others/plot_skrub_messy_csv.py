"""
A messy CSV in one line: skrub
==============================

skmix takes numbers and categories, and refuses dates and free text, because there is
more than one way to encode them. ``skrub.tabular_pipeline`` chooses one for each
column, and puts the classifier behind it.
"""

# %%
# The table is invented, as ``examples/data/bicycle_repairs.py`` shows: orders of a
# bicycle workshop, and whether the customer came back with the same fault. It has ids,
# dates, free text, prices with a currency, and missing values.

import sys
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_validate
from skrub import tabular_pipeline

from skmix import MixupClassifier

torch.set_num_threads(1)  # small nets train fastest on one thread
print({name: version(name) for name in ["skmix", "skrub", "scikit-learn", "torch"]})

data = Path(sys.argv[0]).resolve().parents[1] / "data"
table = pd.read_csv(data / "bicycle_repairs.csv")
print(table.head(3).T.to_string())

# %%
# Alone, skmix refuses the columns that it cannot read, and names them:

X, y = table.drop(columns="came_back"), table["came_back"]
try:
    MixupClassifier(random_state=0).fit(X, y)
except ValueError as error:
    print(error)

# %%
# The id tells nothing, so it goes. skrub would read prices with a currency, and ages
# some of which are "unknown", as words, so they are made numbers first. It encodes the
# rest: the parts of the date, the text and the categories.

X = X.drop(columns="order_id")
X["price"] = X["price"].str.removesuffix(" EUR").astype(float)
X["age_years"] = pd.to_numeric(X["age_years"], errors="coerce")
model = tabular_pipeline(MixupClassifier(random_state=0))
print(model)

# %%
# The classifier of skrub's choice for a table, gradient boosting, beside it, and a
# classifier that always tells the shares of the classes.

models = {
    "shares": DummyClassifier(),
    "gradient boosting": tabular_pipeline(
        HistGradientBoostingClassifier(random_state=0)
    ),
    "skmix, alpha=0": tabular_pipeline(MixupClassifier(alpha=0, random_state=0)),
    "skmix": model,
}
folds = StratifiedKFold(3, shuffle=True, random_state=0)
scoring = ["neg_log_loss", "roc_auc"]
rows = {}
for name, candidate in models.items():
    found = cross_validate(candidate, X, y, cv=folds, scoring=scoring)
    rows[name] = {"log loss": -found["test_neg_log_loss"], "AUC": found["test_roc_auc"]}
losses = pd.DataFrame({name: row["log loss"] for name, row in rows.items()})
means = pd.DataFrame(rows).T.map(lambda scores: scores.mean()).astype(float)
print(means.round(3).to_string())
print("\nLog loss by fold:")
print(losses.round(3).to_string())

# %%
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
losses.T.plot(ax=ax, marker="o", linestyle="", legend=False, color="C0")
ax.plot(losses.mean().to_numpy(), marker="_", markersize=25, linestyle="", color="k")
ax.set_xticks(range(len(models)), models)
ax.set(ylabel="log loss (three folds, and mean)", xlim=(-0.5, len(models) - 0.5))
figure.savefig("plot_skrub_messy_csv.png", dpi=100)

# %%
# What the run showed, with the versions above: the net has the better probabilities
# (log loss 0.59; gradient boosting 0.67, worse than the shares of the classes, 0.65).
# Gradient boosting has the better order of the rows (AUC 0.75 against 0.70). Mixing
# makes hardly a difference (0.586, and 0.590 at alpha 0), less than there is between
# folds.
