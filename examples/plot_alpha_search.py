"""
How strongly should rows be mixed? Two searches over alpha
==========================================================

``GridSearchCV`` fits one net after the other. `MixupClassifierCV` trains all alphas in
all folds at once, as one vectorized net: all nets of a fold have the same initial
weights, batches and partners, and the validation rows of the fold compare them. How
long do the two take, what do they choose, and which one predicts better?
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn, optim

from skmix import MixupClassifier, MixupClassifierCV
from skmix.inspection import AlphaDisplay

torch.set_num_threads(1)  # small nets are fastest on one thread
X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)


# %%
# A user-supplied net, and four alphas in five folds.


def mlp(d_in, d_out):
    """Return a net with two hidden layers; skmix fills in d_in and d_out."""
    hidden = [nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, d_out))


net = NeuralNetClassifier(
    mlp,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.Adam,
    lr=0.005,
    max_epochs=40,
    batch_size=32,
    train_split=None,
)
alphas = (0, 0.1, 0.3, 1)
folds = StratifiedKFold(5, shuffle=True, random_state=0)

# %%
# One net after the other: 20 fits, and one more by the best alpha, on all rows.

mixed = make_pipeline(StandardScaler(), MixupClassifier(net, random_state=0))
grid = {"mixupclassifier__alpha": alphas}
start = time.perf_counter()
one_by_one = GridSearchCV(mixed, grid, scoring="neg_log_loss", cv=folds)
one_by_one.fit(X_train, y_train)
times = {"GridSearchCV": time.perf_counter() - start}

# %%
# All at once: 20 nets, one fit.

search = MixupClassifierCV(net, alphas=alphas, cv=folds, random_state=0)
start = time.perf_counter()
at_once = make_pipeline(StandardScaler(), search).fit(X_train, y_train)
times["MixupClassifierCV"] = time.perf_counter() - start
search = at_once[-1]

# %%
# Both results have the same columns. The scores are nearly but not quite the same: the
# first search scales the columns in each fold, and the second one gets them scaled.

columns = ["mean_test_score", "std_test_score", "rank_test_score"]
results = {
    name: pd.DataFrame(of.cv_results_, index=alphas)[columns]
    for name, of in (("GridSearchCV", one_by_one), ("MixupClassifierCV", search))
}
print(pd.concat(results, axis=1).round(3).to_string())
chosen = one_by_one.best_params_["mixupclassifier__alpha"]
print(f"Best alpha: {chosen:g} and {search.alpha_:g}")

# %%
# What do rows say that neither has seen? ``GridSearchCV`` predicts by one net.
# `MixupClassifierCV` throws none away: its nets predict together, each alpha by its
# share, and rows held out set their temperature.

for name, model in (("GridSearchCV", one_by_one), ("MixupClassifierCV", at_once)):
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name}: {times[name]:.1f} s, log loss of test rows {loss:.3f}")
print(f"Shares of the alphas: {search.alpha_weights_.round(2)}")

# %%
# The gain of each alpha over alpha 0 has an interval, which is paired by folds: a fold
# that is hard for all alphas does not widen it.

print(pd.DataFrame(search.gains_).round(3).to_string(index=False))

# %%
# **What a colleague would say.** "Both choose the same alpha. The first one takes many
# times as long, as it trains 20 small nets one after the other; take it where you
# search other parameters, too, which `MixupClassifierCV` does not. The nets of the
# second one predict together, and that lowers the loss more than the choice of an alpha
# does: nobody had to choose, and alpha 0 has a share as well. Is any alpha better than
# 0? On average by far, but all intervals hold 0: a few folds make the gain, in which
# the net without mixing was wrong and sure of it. Five folds cannot tell,
# `mixup_effect` with more of them can."
#
# On the left: without mixing the loss of rows held out soon begins to rise again.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
lines = ("-", "--", "-.", ":")
for alpha, curves, line in zip(alphas, search.curves_, lines, strict=True):
    epochs = np.arange(1, curves.shape[1] + 1)
    left.plot(epochs, curves.mean(axis=0), line, label=f"alpha={alpha:g}")
left.set(xlabel="epoch", ylabel="log loss of validation rows")
left.legend(frameon=False)
AlphaDisplay.from_estimator(search, ax=right)
right.set_ylim(-1, 1)
right.legend(loc="lower right", ncols=3, fontsize="small")
plt.show()
