"""
Mixing, or dropout, label smoothing, weight decay?
==================================================

A net that is too sure of itself may be held back in several ways, and mixing is only
one. Is it better than the others? `mixup_effect` gives each of them as many settings as
there are alphas, and lets each choose its best one inside the folds.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn, optim

from skmix import MixupClassifier
from skmix.inspection import mixup_effect

torch.set_num_threads(1)  # small nets are fastest on one thread
X, y = load_breast_cancer(return_X_y=True)


# %%
# A user-supplied net with dropout, which is off at first. It is trained too long on
# purpose: where nothing is to be held back, nothing can help.


def mlp(d_in, d_out, dropout=0.0):
    """Return a net with two hidden layers; skmix fills in d_in and d_out."""
    layers = []
    for width in (d_in, 64):
        layers += [nn.Linear(width, 64), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(64, d_out))


net = NeuralNetClassifier(
    mlp,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.AdamW,
    optimizer__weight_decay=0.0,
    lr=0.01,
    max_epochs=20,
    batch_size=64,
    train_split=None,
)
model = make_pipeline(StandardScaler(), MixupClassifier(net, random_state=0))

# %%
# Two settings each, in the same five folds and from the same seeds.

others = {
    "dropout": {"estimator__module__dropout": [0.2, 0.5]},
    "label smoothing": {"estimator__criterion__label_smoothing": [0.05, 0.15]},
    "weight decay": {"estimator__optimizer__weight_decay": [0.1, 1.0]},
}
effect = mixup_effect(
    model, X, y, alphas=(0.2, 1), against=others, n_repeats=1, random_state=0
)
print(effect)
of_loss = effect.table.xs("log_loss", level="metric").drop(columns="n_folds")
print(of_loss.round(3).to_string())

# %%
# **What a colleague would say.** "All four are better than the bare net in all five
# folds, and each of them gains about as much as the others: their intervals overlap
# nearly from end to end. Five folds cannot even say for sure that any of them helps.
# Mixing is in front on average, but by little, and label smoothing is one parameter of
# the criterion and costs no time. So if somebody tells you that mixing improved a net,
# ask what it was compared with. What this net needed was less confidence, and where
# that comes from matters little here."

# %%
# All intervals hold at once. Of dropout and the others there is one line each, for the
# settings that were chosen inside the folds.

figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
of_loss = of_loss.drop(index="alpha=0")
places = range(len(of_loss))
middle, low, high = (of_loss[name] for name in ("difference", "low", "high"))
bars = {"xerr": [middle - low, high - middle], "capsize": 4}
ax.errorbar(middle, places, fmt="o", c="k", **bars)
ax.axvline(0, c="0.6", ls="--")
ax.set_yticks(places, of_loss.index)
ax.invert_yaxis()
ax.set(xlabel="change of the log loss (below 0 is better than the bare net)")
plt.show()
