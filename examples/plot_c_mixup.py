"""
Numbers to predict: should partners have similar ones?
======================================================

For classes a mixed label says "70 % this, 30 % that". For numbers it claims more: that
between two rows the target changes along a straight line. C-Mixup (Yao et al. 2022)
makes the claim for short distances only: it mixes rows of similar targets. Does it do
better than mixing any two rows, or than none?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from torch import nn, optim

from skmix import MixupRegressor
from skmix.inspection import mixed_rows, mixup_effect

torch.set_num_threads(1)  # small nets are fastest on one thread
X, y = load_diabetes(return_X_y=True)


# %%
# A user-supplied net that predicts a number.


def mlp(d_in, d_out):
    """Return a net with two hidden layers; skmix fills in d_in and d_out."""
    hidden = [nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, d_out))


net = NeuralNetRegressor(
    mlp,
    criterion=nn.MSELoss,
    optimizer=optim.Adam,
    lr=0.005,
    max_epochs=30,
    batch_size=64,
    train_split=None,
)


def model_with(pairing):
    """Return a model that chooses partners in this way."""
    reg = MixupRegressor(net, alpha=1, pairing=pairing, random_state=0)
    return make_pipeline(StandardScaler(), reg)


# %%
# Which targets meet? `mixed_rows` repeats the training, and tells who was mixed with
# whom in an epoch.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
shades = {"shuffle": "0.6", "similar_target": "k"}
pairings = {"shuffle": ("any two rows", "s"), "similar_target": ("C-Mixup", "o")}
for pairing, (name, marker) in pairings.items():
    rows = mixed_rows(model_with(pairing).fit(X, y), X, y)
    own, partner = y[rows["row"]], y[rows["partner"]]
    apart = abs(own - partner).mean()
    print(f"{name}: targets of a pair are {apart:.0f} apart on average")
    left.plot(own, partner, marker, c=shades[pairing], mfc="w", ms=4, label=name)
left.set(xlabel="target of the row", ylabel="target of its partner")
left.legend(loc="upper left")

# %%
# Both pairings against no mixing, in the same ten folds.

for place, (pairing, (name, marker)) in enumerate(pairings.items()):
    effect = mixup_effect(model_with(pairing), X, y, random_state=0)
    print(f"{name}: {effect}")
    of_rmse = effect.table.loc[("alpha=1", "rmse")]
    change, low, high = of_rmse[["difference", "low", "high"]]
    reach = [[change - low], [high - change]]
    right.errorbar(place, change, reach, fmt=marker, c=shades[pairing], capsize=5)
right.axhline(0, c="0.6", ls="--")
right.set_xticks((0, 1), [name for name, _ in pairings.values()])
right.set(xlim=(-0.6, 1.6), ylabel="change of the RMSE (below 0 mixing helps)")

# %%
# **What a colleague would say.** "C-Mixup does what it says: the targets of a pair are
# 6 apart, and not 83. The error is no lower for it. Both pairings, at full strength,
# are about 2 worse than no mixing, of an error of 55; for C-Mixup that is within
# chance, as its folds differ more. On this table I would not mix. In the paper it won
# on other tables, so try it where you have many rows and a target that bends, and let
# `mixup_effect` decide."

plt.show()
