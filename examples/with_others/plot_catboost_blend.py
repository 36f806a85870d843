"""
A blend of a net and trees: CatBoost
====================================

A net and boosted trees err on different rows, so the mean of their probabilities is
often better than each of them. ``VotingClassifier`` takes the mean. It clones
``MixupClassifier`` like any other classifier, and so does ``StackingClassifier``, which
learns weights, but fits every member several times.
"""

# %%
# Three folds of the table breast_cancer. A fitted ``VotingClassifier`` holds its two
# members, so their own losses need no other fits.

from importlib.metadata import version

import matplotlib.pyplot as plt
import pandas as pd
import torch
from catboost import CatBoostClassifier
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from skmix import MixupClassifier

torch.set_num_threads(1)  # small nets train fastest on one thread
names = ["skmix", "catboost", "scikit-learn", "torch"]
print({name: version(name) for name in names})

members = [
    ("net", MixupClassifier(random_state=0)),
    (
        "trees",
        CatBoostClassifier(
            random_seed=0, thread_count=1, verbose=0, allow_writing_files=False
        ),
    ),
]
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
rows = []
for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y):
    voting = VotingClassifier(members, voting="soft").fit(X.iloc[train], y.iloc[train])
    models = {**voting.named_estimators_, "voting": voting}
    rows.append(
        {
            name: log_loss(y.iloc[test], model.predict_proba(X.iloc[test]))
            for name, model in models.items()
        }
    )
losses = pd.DataFrame(rows).rename_axis("fold")
print(losses.round(4))
print(losses.mean().round(4).to_string())

# %%
# The blend against its better member, by the mean of the folds:

means = losses.mean()
better = means[["net", "trees"]].idxmin()
ratio = means["voting"] / means[better]
print(f"voting: {ratio:.3f} of the log loss of the {better}")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
losses.T.plot(ax=ax, marker="o", linestyle="", color=["C0", "C1", "C2"])
means.plot(ax=ax, marker="_", markersize=25, linestyle="", color="0.3", label="mean")
ax.set_xticks(range(3), means.index)
ax.set(ylabel="log loss of the fold's test rows", xlim=(-0.5, 2.5))
ax.legend(title="fold", loc="upper left", bbox_to_anchor=(1, 1))
figure.savefig("plot_catboost_blend.png", dpi=100)

# %%
# What the run showed, with the versions above: over three folds the mean log loss of
# the blend is 0.082, that of the net 0.091 and that of the trees 0.095. In two of the
# folds the blend is better than both members; in one the net alone is as good.
