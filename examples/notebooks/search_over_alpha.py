# %% [markdown]
# # Search over alpha
#
# The best strength of mixing, `alpha`, depends on the table. Two searches find it:
#
# - scikit-learn's `GridSearchCV` fits one net after the other. It can search any
#   parameter of any estimator.
# - `MixupClassifierCV` of skmix trains the nets of all alphas and all folds at once, as
#   one vectorized net. It searches alpha only.
#
# This notebook runs both on the same folds and seeds, and compares scores and times.
# Times are CPU seconds of this process; with `n_jobs` measure `time.perf_counter`.

# %%
import time

import matplotlib.pyplot as plt
import pandas as pd
import sklearn
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from skorch import NeuralNetClassifier
from torch import nn, optim

import skmix
from skmix import MixupClassifier, MixupClassifierCV
from skmix.inspection import AlphaDisplay

torch.set_num_threads(1)  # small nets train fastest on one thread
plt.rcParams["figure.dpi"] = 70
print(f"skmix {skmix.__version__}, scikit-learn {sklearn.__version__}, ", end="")
print(f"torch {torch.__version__}")

# %% [markdown]
# ## Table, net and folds
#
# 500 rows of the digits are for training; the others are for the test.

# %%
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=500, random_state=0, stratify=y
)


def mlp(d_in, d_out):
    """Return a net with two hidden layers; skmix fills in d_in and d_out."""
    hidden = [nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, d_out))


net = NeuralNetClassifier(
    mlp,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.Adam,
    lr=0.003,
    max_epochs=40,
    batch_size=32,
    train_split=None,
)
alphas = [0, 0.1, 0.2, 0.5, 1]
folds = StratifiedKFold(5, shuffle=True, random_state=0)

# %% [markdown]
# ## GridSearchCV
#
# 5 alphas in 5 folds are 25 fits. One more fit on all rows gives the final net.

# %%
start = time.process_time()
grid = GridSearchCV(
    MixupClassifier(net, random_state=0),
    {"alpha": alphas},
    scoring="neg_log_loss",
    cv=folds,
).fit(X_train, y_train)
grid_seconds = time.process_time() - start
print(f"alpha {grid.best_params_['alpha']:g}, {grid_seconds:.1f} CPU seconds")

# %% [markdown]
# ## MixupClassifierCV
#
# The same 25 nets, trained side by side. There is no further fit: all nets predict
# together, each alpha by its share (`alpha_weights_`).

# %%
start = time.process_time()
search = MixupClassifierCV(net, alphas=alphas, cv=folds, random_state=0)
search.fit(X_train, y_train)
search_seconds = time.process_time() - start
print(f"alpha {search.alpha_:g}, {search_seconds:.1f} CPU seconds")

# %% [markdown]
# ## The same scores
#
# A net that is trained side by side with others has the same weights as one that is
# trained alone, up to rounding. So the mean scores of the folds agree.

# %%
scores = pd.DataFrame(
    {
        "GridSearchCV": grid.cv_results_["mean_test_score"],
        "MixupClassifierCV": search.cv_results_["mean_test_score"],
    },
    index=pd.Index(alphas, name="alpha"),
)
largest = (scores["GridSearchCV"] - scores["MixupClassifierCV"]).abs().max()
print(f"Largest difference between the two columns: {largest:.1e}")
scores.round(4)

# %% [markdown]
# ## The gain over alpha 0
#
# Both searches feed the same picture. The intervals are paired by folds, and hold for
# all alphas at once. If an interval holds 0, the folds cannot tell the alpha from no
# mixing.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, fitted in zip(axes, (grid, search), strict=True):
    AlphaDisplay.from_estimator(fitted, ax=ax)
    ax.set_title(type(fitted).__name__)

# %% [markdown]
# ## Test rows, and times

# %%
results = {}
for name, fitted, seconds in [
    ("GridSearchCV", grid, grid_seconds),
    ("MixupClassifierCV", search, search_seconds),
]:
    start = time.process_time()
    proba = fitted.predict_proba(X_test)
    results[name] = {
        "log loss": log_loss(y_test, proba),
        "accuracy": accuracy_score(y_test, fitted.classes_[proba.argmax(axis=1)]),
        "fit, CPU s": seconds,
        "predict, CPU s": time.process_time() - start,
    }
results = pd.DataFrame(results).T
results.round(3)

# %%
ours, theirs = results.loc["MixupClassifierCV"], results.loc["GridSearchCV"]
change = ours["log loss"] - theirs["log loss"]
ratio = theirs["fit, CPU s"] / ours["fit, CPU s"]
print(f"GridSearchCV took {ratio:.1f} times as long as MixupClassifierCV.")
print(
    f"On the test rows the log loss of MixupClassifierCV is {abs(change):.3f} "
    f"{'lower' if change < 0 else 'higher'}."
)

# %% [markdown]
# The searches end in different models. `GridSearchCV` refits one net on all rows.
# `MixupClassifierCV` keeps the 25 nets of the folds, so its files are larger and it
# takes longer to predict. With `ensemble=False` it refits one net, too.
#
# When to use which:
#
# - alpha alone: `MixupClassifierCV`;
# - alpha together with a learning rate, a width or a mixing: `GridSearchCV`, or
#   `RandomizedSearchCV` if the grid is large.
