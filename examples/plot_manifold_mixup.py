"""
Where in the net should rows be mixed?
======================================

Mixup mixes the rows of the table. Manifold mixup mixes what a layer of the net has made
of them, and lets each batch draw the layer. ``layers`` says where. Which place is best?
"""

import matplotlib.pyplot as plt
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn, optim

from skmix import MixupClassifier

torch.set_num_threads(1)  # small nets are fastest on one thread
X, y = load_digits(return_X_y=True)


# %%
# The submodules of a net have names, by which ``layers`` calls them.


class Net(nn.Module):
    """Two hidden layers; skmix fills in d_in and d_out."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(d_in, 64), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.last = nn.Linear(64, d_out)

    def forward(self, X):
        return self.last(self.second(self.first(X)))


net = NeuralNetClassifier(
    Net,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.Adam,
    lr=0.003,
    max_epochs=40,
    batch_size=32,
    train_split=None,
)

# %%
# No mixing, three places, and a draw among the three for each batch, which is manifold
# mixup. The nets learn from 100 rows, and all others judge them, in eight draws.

places = {
    "no mixing": {"alpha": 0},
    "input": {"layers": "input"},
    "behind the first layer": {"layers": "first"},
    "behind the second layer": {"layers": "second"},
    "drawn among the three": {"layers": ["input", "first", "second"]},
}
cv = StratifiedShuffleSplit(8, train_size=100, random_state=0)
losses = {}
for name, params in places.items():
    clf = MixupClassifier(net, **({"alpha": 0.4, "random_state": 0} | params))
    model = make_pipeline(StandardScaler(), clf)
    losses[name] = -cross_val_score(model, X, y, scoring="neg_log_loss", cv=cv)
losses = pd.DataFrame(losses)
print(losses.agg(["mean", "median", "std"]).T.round(2).to_string())

# %%
# In how many of the eight draws is a place better than no mixing?

change = losses.drop(columns="no mixing").sub(losses["no mixing"], axis=0)
for name, n_better in (change < 0).sum().items():
    print(f"{name}: better in {n_better} of 8 draws")
print(f"Lowest median: {losses.median().idxmin()}")

# %%
# **What a colleague would say.** "With 100 rows each place is better than no mixing on
# average. Do not take the means at their word: most of what they gain is a single draw,
# in which the bare net was wrong and sure of it. Behind the second layer seven of eight
# draws gain; at the input it is five, which a coin does, too. So the place matters less
# than mixing at all, and deeper looks better here. Eight draws of one table are no law:
# try the places on your own table, as here, before you believe in one."

figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
for place, name in enumerate(change):
    ax.plot(change[name], [place] * len(change), "o", c="k", mfc="none", ms=7)
    ax.plot(change[name].median(), place, "|", c="k", ms=24, mew=3)
ax.axvline(0, c="0.6", ls="--")
ax.set_yticks(range(len(change.columns)), change.columns)
ax.set(
    ylim=(-0.5, 3.5),
    xlabel="change of the log loss in a draw (below 0 is better than no mixing)",
    title="Eight draws of 100 training rows; a bar is the median",
)
plt.show()
