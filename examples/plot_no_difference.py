"""
Where mixing makes no difference
================================

On many tables the answer is "no evidence". This is an answer, too, and this example
shows how to read it: how large a gain may still be hidden, and what to do then.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from torch import nn, optim

from skmix import MixupRegressor
from skmix.inspection import mixup_effect

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
    lr=0.003,
    max_epochs=40,
    batch_size=32,
    train_split=None,
)
model = make_pipeline(StandardScaler(), MixupRegressor(net, random_state=0))

# %%
# Two strengths of mixing against none, in five folds, twice. Each fold takes the alpha
# that was best in the other folds.

effect = mixup_effect(model, X, y, alphas=(0, 0.2, 1), random_state=0)
print(effect)
of_rmse = effect.table.xs("rmse", level="metric")
print(of_rmse.round(3).to_string())

# %%
# **What a colleague would say.** "With alpha 0.2 the error is the same to the first
# digit or two, and its interval goes from about -0.6 to 1.0. So mixing may still gain 1
# % of an error of 55, or lose 2 %, and you cannot know which. With alpha 1 it is more
# likely to lose. Eight of ten folds chose alpha 0. Keep alpha 0: it is the simpler
# model, and nobody has to explain mixed rows. If 1 % would matter to you, collect more
# rows or repeat the folds (``n_repeats=5``); do not try alphas until one of them looks
# good."

# %%
# How large is the difference, compared with what luck does?

scores = effect.scores.query("metric == 'rmse'")
by_fold = scores.pivot(index=["repeat", "fold"], columns="candidate", values="score")
spread = by_fold["alpha=0"].std()
moved = by_fold.sub(by_fold["alpha=0"], axis=0)[["alpha=0.2", "alpha=1"]]
print(f"From fold to fold the RMSE varies by {spread:.1f}.")
print(f"Mixing moves it by {moved.abs().mean().mean():.2f}.")

# %%
# A fold is easy or hard for all three. Within a fold the three points lie close
# together, and their order changes from fold to fold.

figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
places = range(len(by_fold))
for name, marker in (("alpha=0", "s"), ("alpha=0.2", "o"), ("alpha=1", "^")):
    ax.plot(places, by_fold[name], marker, label=name, mfc="none")
ax.set_xticks(places, [f"{fold}" for _, fold in by_fold.index])
ax.set(xlabel="fold (two repeats of five)", ylabel="root mean squared error")
ax.legend()
plt.show()
