# %% [markdown]
# # Is mixup worth it on my table?
#
# Mixup trains a net on weighted means of two rows. On some tables it lowers the loss,
# on others it raises it. This notebook trains a net with and without mixing in the same
# folds, and ends in a decision. Copy it, change the next cell, and run it.
#
# - `PATH`: a CSV or Parquet file. The target is the column `TARGET`, or the last one.
# - `OPENML_ID`: the number of a table on openml.org. This needs a network.
# - If both are `None`, a table of scikit-learn is used.

# %%
PATH = None  # "table.csv"
OPENML_ID = None  # 31
TARGET = None  # a name; None is the last column
DROP = []  # names of columns to leave out, such as ids and dates
MAX_ROWS = 600  # more rows are more certain, and take longer
ALPHAS = (0, 0.2, 1)  # strengths of mixing; 0 does not mix

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import fetch_openml, load_breast_cancer
from sklearn.model_selection import KFold, StratifiedKFold

from skmix import MixupClassifierCV, MixupRegressorCV
from skmix.inspection import AlphaDisplay, MixupEffect, ReliabilityDisplay
from skmix.inspection.files import columns_of, read_file

torch.set_num_threads(1)  # small nets train fastest on one thread
plt.rcParams["figure.dpi"] = 70

# %% [markdown]
# ## The table
#
# `columns_of` takes the target out, guesses the task, and says what it decided. Dates,
# free text and ids are refused with an error that names the columns: list them in
# `DROP`, or encode them first, for example with skrub.

# %%
if PATH is not None:
    table = read_file(Path(PATH))
elif OPENML_ID is not None:
    found = fetch_openml(data_id=OPENML_ID, as_frame=True)
    table = found.frame
    TARGET = TARGET or found.target_names[0]
else:
    table = load_breast_cancer(as_frame=True).frame

X, y, task = columns_of(table, target=TARGET, drop=DROP, max_rows=MAX_ROWS)
classify = task == "classification"
print(f"{task}: {X.shape[0]} rows, {X.shape[1]} columns")

# %% [markdown]
# ## One search
#
# The search trains the default net of skmix at each alpha in each fold, all at once.
# `store_cv_results=True` keeps the predictions for the rows held out, so that the rest
# of this notebook needs no further training. With a generator as seed each fold starts
# from other weights, as the intervals below assume.

# %%
folds = (StratifiedKFold if classify else KFold)(5, shuffle=True, random_state=0)
search = (MixupClassifierCV if classify else MixupRegressorCV)(
    alphas=ALPHAS,
    cv=folds,
    random_state=np.random.RandomState(0),
    store_cv_results=True,
).fit(X, y)

# %% [markdown]
# ## The effect of mixing
#
# In each fold the alpha is taken that was best in the other folds, and compared with
# alpha 0 in this fold. The choice of alpha is therefore part of what is judged. The
# first table is about the metric of the verdict, with 95 % intervals of the difference;
# the second has the means of all metrics.

# %%
effect = MixupEffect.from_search(search, y)
print(effect)

# %%
of_metric = effect.table.xs(effect.metric, level="metric")
of_metric[["mean", "difference", "low", "high", "folds_better"]].round(4)

# %%
effect.table["mean"].unstack("metric", sort=False).round(4)

# %% [markdown]
# ## Pictures
#
# The gain of each alpha over alpha 0, with its interval: above the dashed line mixing
# helps. If the largest alpha is the best one, try larger ones.

# %%
AlphaDisplay.from_estimator(search).figure_.set_size_inches(6, 4)

# %% [markdown]
# A classifier is calibrated if it is right as often as it says. These are predictions
# for rows held out, without mixing and at the best alpha above 0.

# %%
if classify:
    rows = np.concatenate(search.fold_rows_)
    by_alpha = np.concatenate(search.fold_predictions_, axis=1)
    best = 1 + np.argmax(search.cv_results_["mean_test_score"][1:])
    display = ReliabilityDisplay.from_predictions(
        np.searchsorted(search.classes_, y[rows]),
        mixed=by_alpha[best],
        plain=by_alpha[0],
        classes=search.classes_,
    ).plot()

# %% [markdown]
# ## The decision


# %%
def decision(effect):
    """Say in words what the verdict means for the next training."""
    mixing = effect.chosen[effect.chosen["family"] == "mixing"]
    taken = mixing["setting"].str.removeprefix("alpha=").mode()[0]
    row = effect.table.loc[(effect.candidate, effect.metric)]
    sign = 1 if effect.greater_is_better else -1
    ends = sign * row[["low", "high"]].astype(float)
    if effect.verdict == "helps":
        return f"Mix. Most folds chose alpha {taken}; take this one."
    if effect.verdict == "hurts":
        return "Do not mix: set alpha=0."
    if ends.isna().any():
        return "Do not mix: set alpha=0, as the folds themselves chose."
    gain, harm = max(ends.max(), 0), max(-ends.min(), 0)
    return (
        "Set alpha=0, the simpler model: the folds do not show that mixing helps. A "
        f"gain of {gain:.2g} is still possible in {effect.metric}, and so is a harm of "
        f"{harm:.2g}. skmix.inspection.mixup_effect repeats the folds and knows more."
    )


print(decision(effect))

# %% [markdown]
# The decision is about this net on rows like these. Another net may need mixing where
# this one does not: the default net already averages a small ensemble and stops early.
