"""
Can I keep my own skorch net, with its callbacks?
=================================================

Yes: `MixupClassifier` wraps any skorch net, and everything that the net does stays as
it is. Here it is a residual net of its own class with early stopping, a learning rate
that falls, gradient clipping and an accuracy by epoch, at the end of a Pipeline.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from torch import nn, optim

from skmix import MixupClassifier

torch.set_num_threads(1)  # small nets are fastest on one thread
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=600, stratify=y, random_state=0
)


# %%
# A module of your own. ``d_in`` and ``d_out`` are names that skmix knows and fills in;
# all other arguments are yours.


class ResidualNet(nn.Module):
    """Blocks that each add something to what comes in."""

    def __init__(self, d_in, d_out, width=64, n_blocks=2, dropout=0.1):
        super().__init__()
        self.first = nn.Linear(d_in, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(width, width),
            )
            for _ in range(n_blocks)
        )
        self.last = nn.Linear(width, d_out)

    def forward(self, X):
        X = self.first(X)
        for block in self.blocks:
            X = X + block(X)
        return self.last(X)


# %%
# A net of your own, with callbacks of skorch. The rows that ``train_split`` holds out
# are never mixed, so early stopping watches the loss that matters.

net = NeuralNetClassifier(
    ResidualNet,
    module__n_blocks=2,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.AdamW,
    lr=0.003,
    max_epochs=60,
    batch_size=32,
    train_split=ValidSplit(0.2, stratified=True, random_state=0),
    callbacks=[
        ("stop", EarlyStopping(patience=10, load_best=True)),
        ("rate", LRScheduler("StepLR", step_size=15, gamma=0.5)),
        ("clip", GradientNormClipping(1.0)),
        ("right", EpochScoring("accuracy", lower_is_better=False, name="valid_right")),
    ],
)


def fitted(alpha):
    """Return the Pipeline, fitted at a strength of mixing."""
    clf = MixupClassifier(net, alpha=alpha, random_state=0)
    return make_pipeline(StandardScaler(), clf).fit(X_train, y_train)


models = {alpha: fitted(alpha) for alpha in (0, 0.4)}
for alpha, model in models.items():
    history = model[-1].history_
    print(
        f"alpha {alpha:g}: {len(history)} epochs, training loss "
        f"{history[-1, 'train_loss']:.2f}, validation loss "
        f"{min(history[:, 'valid_loss']):.2f}, accuracy on test rows "
        f"{model.score(X_test, y_test):.3f}"
    )

# %%
# **What a colleague would say.** "Nothing of the net had to change. But read its
# history with care: with mixing the training loss ends far above the validation loss.
# That is no sign of too small a net. A mixed row has two labels, and nobody can be sure
# of it, while validation rows are not mixed. Compare validation losses only. Early
# stopping has let the net with mixing train longer, and its loss is a little lower;
# this is one split, so do not call it better yet."

# %%
# Nested parameters reach everything, here the blocks of the module and the patience.

smaller = clone(models[0.4]).set_params(
    mixupclassifier__estimator__module__n_blocks=1,
    mixupclassifier__estimator__callbacks__stop__patience=5,
)
print(f"One block: accuracy {smaller.fit(X_train, y_train).score(X_test, y_test):.2f}")

# %%
# What is fitted is a plain skorch net. It can be saved, and used without skmix.

fitted_net = models[0.4][-1].estimator_
print(type(fitted_net).__name__, "of", type(fitted_net).__module__.split(".")[0])

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
for (alpha, model), ax in zip(models.items(), axes, strict=True):
    history = model[-1].history_
    epochs = history[:, "epoch"]
    ax.plot(epochs, history[:, "train_loss"], "--", c="0.5", label="training loss")
    ax.plot(epochs, history[:, "valid_loss"], c="k", label="validation loss")
    ax.set(xlabel="epoch", title=f"alpha {alpha:g}", yscale="log")
    ax.legend(loc="lower left")
axes[0].set_ylabel("cross-entropy")
plt.show()
