"""
All alphas and folds at once
============================

How strongly should rows be mixed, if at all? `MixupClassifierCV` trains every alpha in
every fold, vectorized, and compares them by rows that no member was trained on, fold by
fold, with the same initial weights, batches and partners. What is left at the end
predicts: no net is thrown away.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn, optim

from skmix import MixupClassifierCV

torch.set_num_threads(1)  # small nets are faster without
X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)


# %%
# A net of one's own, and five alphas in five folds: 25 members, one fit.


def mlp(d_in, d_out):
    """Two hidden layers; d_in and d_out are filled in."""
    hidden = [nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, d_out))


net = NeuralNetClassifier(
    mlp,
    criterion=nn.CrossEntropyLoss,
    optimizer=optim.Adam,
    lr=0.005,
    max_epochs=40,
    batch_size=32,
)
search = MixupClassifierCV(net, alphas=(0, 0.1, 0.3, 1, 3), cv=5, random_state=0)
model = make_pipeline(StandardScaler(), search).fit(X_train, y_train)
search = model[-1]

# %%
# The results have the columns of ``GridSearchCV``. What each alpha gains over none has
# an interval, paired by folds: it answers this question, not how hard the folds are.

columns = ["param_alpha", "mean_test_score", "std_test_score", "rank_test_score"]
print(pd.DataFrame(search.cv_results_)[columns].round(4).to_string(index=False))
print()
print(pd.DataFrame(search.gains_).round(4).to_string(index=False))
print(f"\nBest alpha: {search.alpha_:g}; shares: {search.alpha_weights_.round(2)}")

# %%
# Rows put aside judge what predicts: members of all folds and alphas together, each
# alpha by its share, tempered by what the out-of-fold predictions say.

loss = log_loss(y_test, model.predict_proba(X_test))
print(f"Log loss of rows put aside: {loss:.4f} (temperature {search.temperature_:.2f})")

# %%
# Without mixing the loss on rows held out turns upwards sooner.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
alphas = search.gains_["alpha"]
for alpha, curves in zip(alphas, search.curves_, strict=True):
    epochs = np.arange(1, curves.shape[1] + 1)
    left.plot(epochs, curves.mean(axis=0), label=f"alpha={alpha:g}")
left.set(xlabel="epoch", ylabel="log loss of rows held out", yscale="log")
left.legend(frameon=False)
gain, low, high = (search.gains_[name] for name in ("mean", "low", "high"))
places = np.arange(len(alphas))
right.errorbar(places, gain, [gain - low, high - gain], fmt="o", capsize=4)
right.axhline(0, c="0.6", ls="--")
right.set_xticks(places, [f"{alpha:g}" for alpha in alphas])
right.set(xlabel="alpha", ylabel="gain over alpha 0, 95 % interval")
figure.savefig("plot_alpha_search.png", dpi=150)
