"""
Categories only: what lies between two of them?
===============================================

For a rare class SMOTE invents rows between two real ones, but between "low" and "high"
there is nothing. Mixing does not need it: the net gets shares of categories, and shares
of labels. What does such a row look like, and does it help?

scikit-learn has no table of categories only, so this one is made of its table of breast
cancer: ten measurements, each cut into four categories. A real one, such as answers to
a questionnaire, is treated in the same way.
"""

import matplotlib.pyplot as plt
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from skorch import NeuralNetClassifier
from torch import nn, optim

from skmix import MixupClassifier
from skmix.inspection import mixed_rows, mixup_effect

torch.set_num_threads(1)  # small nets are fastest on one thread
data = load_breast_cancer(as_frame=True)
measured = data.data.filter(like="mean ")
levels = ["low", "medium", "high", "top"]
X = measured.apply(lambda column: pd.qcut(column, 4, labels=levels))
X.columns = [name.removeprefix("mean ") for name in X]
y = data.target.map({0: "malignant", 1: "benign"})
print(X.iloc[:3, :5].to_string())

# %%
# One in ten is malignant in the table that we keep.

rare = y[y == "malignant"].sample(40, random_state=0).index
rows = y.index[y == "benign"].union(rare)
X, y = X.loc[rows], y.loc[rows]
print(y.value_counts().to_string())


# %%
# A user-supplied net. Columns of a category dtype need no Pipeline: skmix encodes them
# one-hot, 40 columns in all.


def mlp(d_in, d_out):
    """Return a net with two hidden layers; skmix fills in d_in and d_out."""
    hidden = [nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, d_out))


net = NeuralNetClassifier(
    mlp,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.Adam,
    lr=0.005,
    max_epochs=30,
    batch_size=64,
    train_split=None,
)
model = MixupClassifier(net, alpha=1, random_state=0)

# %%
# Which rows did the net see? `mixed_rows` repeats the training, and shows them as
# shares of categories. The label is mixed by the same share as the columns. Here is the
# first one with two labels whose parents agree in two columns or more.

seen = mixed_rows(model.fit(X, y), X, y)
of_two = seen[[isinstance(label, dict) for label in seen["label"]]]
whole = of_two[X.columns].map(lambda value: not isinstance(value, dict))
row = of_two[of_two["lam"].between(0.6, 0.9) & (whole.sum(axis=1) >= 2)].iloc[0]


def in_words(value):
    """Return a category, or shares of two, as text."""
    if not isinstance(value, dict):
        return value
    return " + ".join(f"{share:.0%} {name}" for name, share in value.items())


for name in ["label", *X.columns]:
    print(f"{name}: {in_words(row[name])}")

# %%
# Where both parents agree, so does the mixed row. Elsewhere it is on the way from one
# category to the other, which no real row is, and the net learns that the probability
# changes in proportion. SMOTE would have to decide for one of them, and would give the
# new row one label.
#
# Does it help?

effect = mixup_effect(model, X, y, random_state=0)
print(effect)
print(effect.table.xs("alpha=1").round(3).to_string())

# %%
# **What a colleague would say.** "Mixing more than halves the log loss, and helps in
# all ten folds. It does not find more of the malignant ones: balanced accuracy is as
# before. If you came from SMOTE because the rare class is missed, mixing alone is not
# what you look for; set ``priors="uniform"``, which moves the threshold. If you need
# probabilities, mix."

figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
shades = dict(zip(levels, ("0.9", "0.65", "0.4", "0.1"), strict=True))
for place, name in enumerate(X.columns):
    shares = row[name] if isinstance(row[name], dict) else {row[name]: 1.0}
    left = 0.0
    for level in levels:
        share = shares.get(level, 0.0)
        ax.barh(place, share, left=left, color=shades[level], edgecolor="k")
        left += share
for level, shade in shades.items():
    ax.barh(0, 0, color=shade, edgecolor="k", label=level)
ax.set_yticks(range(len(X.columns)), X.columns)
ax.invert_yaxis()
ax.set(xlabel="share of the category", title=f"A mixed row: {in_words(row['label'])}")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()
