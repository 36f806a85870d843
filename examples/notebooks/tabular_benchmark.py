# %% [markdown]
# # Tabular benchmark
#
# skmix against other classifiers: several metrics, repeated folds, paired differences
# and times. It runs on tables that come with scikit-learn. Add your own tables and
# models to the two dictionaries below.
#
# All models are at their defaults, on one thread. Two small tables decide nothing about
# tables in general; the README of skmix has the results on 28 tables.

# %%
import time
import warnings
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmix
from skmix import MixupClassifier

torch.set_num_threads(1)  # small nets train fastest on one thread
plt.rcParams["figure.dpi"] = 70
print(f"skmix {skmix.__version__}, scikit-learn {sklearn.__version__}, ", end="")
print(f"torch {torch.__version__}")

# %%
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
some = y.index.isin(y.sample(200, random_state=0).index)  # fewer rows, to be quick
TABLES = {
    "breast_cancer": (X[some], y[some]),
    "wine": load_wine(return_X_y=True, as_frame=True),
}
N_SPLITS, N_REPEATS = 3, 2

# %% [markdown]
# ## Models
#
# CatBoost, LightGBM and XGBoost take part if they are installed. The linear model and
# the net of scikit-learn need scaled columns; the others do not. (`MixupClassifierCV`
# usually has a lower log loss than `MixupClassifier`, and takes longer: add it.)

# %%
models = {
    "skmix": MixupClassifier(random_state=0),
    "LogisticRegression": make_pipeline(StandardScaler(), LogisticRegression()),
    "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
    "RandomForest": RandomForestClassifier(random_state=0),
    "MLPClassifier": make_pipeline(StandardScaler(), MLPClassifier(random_state=0)),
}
if find_spec("catboost"):
    from catboost import CatBoostClassifier

    models["CatBoost"] = CatBoostClassifier(
        random_seed=0, thread_count=1, verbose=0, allow_writing_files=False
    )
if find_spec("lightgbm"):
    from lightgbm import LGBMClassifier

    models["LightGBM"] = LGBMClassifier(random_state=0, n_jobs=1, verbose=-1)
if find_spec("xgboost"):
    from xgboost import XGBClassifier

    models["XGBoost"] = XGBClassifier(random_state=0, n_jobs=1)
print(", ".join(models))

# %% [markdown]
# ## Run
#
# Every model gets the same folds. Times are CPU seconds of this process, so other work
# on the machine counts little; all models use one thread.


# %%
def scores_of(model, X, y):
    """Return a row for each fold, with all metrics and the times."""
    folds = RepeatedStratifiedKFold(
        n_splits=N_SPLITS, n_repeats=N_REPEATS, random_state=0
    )
    rows = []
    for train, test in folds.split(X, y):
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of MLPClassifier
            fitted = clone(model).fit(X.iloc[train], y.iloc[train])
        middle = time.process_time()
        proba = fitted.predict_proba(X.iloc[test])
        end = time.process_time()
        label = fitted.classes_[proba.argmax(axis=1)]
        truth = y.iloc[test]
        score = proba[:, 1] if proba.shape[1] == 2 else proba
        rows.append(
            {
                "log loss": log_loss(truth, proba, labels=fitted.classes_),
                "accuracy": accuracy_score(truth, label),
                "balanced accuracy": balanced_accuracy_score(truth, label),
                "AUC": roc_auc_score(truth, score, multi_class="ovr"),
                "fit, CPU s": middle - start,
                "predict, CPU s": end - middle,
            }
        )
    return pd.DataFrame(rows).rename_axis("fold")


results = pd.concat(
    {
        (table, name): scores_of(model, X, y)
        for table, (X, y) in TABLES.items()
        for name, model in models.items()
    },
    names=["table", "model"],
)

# %% [markdown]
# ## Means over the folds

# %%
means = results.groupby(["table", "model"], sort=False).mean()
means.round(3)

# %% [markdown]
# ## Paired differences
#
# The difference of the log loss to skmix in the same folds: above 0 skmix is better.
# Folds share training rows, so the interval of a plain t test would be too narrow.
# Nadeau and Bengio (2003) add the term `n_test / n_train`. Each interval stands for
# itself; with many models one of them may leave out 0 by luck.


# %%
def paired(difference):
    """Return the mean difference of the folds, and its corrected 95 % interval."""
    n = len(difference)
    variance = difference.var(ddof=1) * (1 / n + 1 / (N_SPLITS - 1))
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(variance)
    mean = difference.mean()
    return pd.Series({"mean": mean, "low": mean - half, "high": mean + half})


losses = results["log loss"].unstack("model")
ours = "skmix"
differences = pd.DataFrame(
    {
        (table, name): paired(rows[name] - rows[ours])
        for table, rows in losses.groupby("table")
        for name in models
        if name != ours
    }
).T.rename_axis(["table", "model"])
differences.round(3)

# %%
n_tables = len(TABLES)
figure, axes = plt.subplots(
    1, n_tables, figsize=(5 * n_tables, 3.5), sharey=True, layout="constrained"
)
for ax, table in zip(np.atleast_1d(axes), TABLES, strict=True):
    rows = differences.loc[table].iloc[::-1]
    reach = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    ax.errorbar(rows["mean"], rows.index, xerr=reach, fmt="o", capsize=4)
    ax.axvline(0, color="0.6", linestyle="--")
    ax.set(title=table, xlabel=f"log loss minus that of {ours}")

# %% [markdown]
# ## In words

# %%
for table in TABLES:
    rows = differences.loc[table]
    better = ", ".join(rows.index[rows["low"] > 0]) or "none"
    worse = ", ".join(rows.index[rows["high"] < 0]) or "none"
    unclear = ", ".join(rows.index[(rows["low"] <= 0) & (rows["high"] >= 0)]) or "none"
    slow = means.loc[table, "fit, CPU s"]
    others = slow.drop(ours)
    print(f"{table}, log loss")
    print(f"  {ours} is better than: {better}")
    print(f"  {ours} is worse than: {worse}")
    print(f"  no clear difference: {unclear}")
    print(f"  a fit of {ours} takes {slow[ours]:.1f} CPU s, one of the slowest other")
    print(f"  model ({others.idxmax()}) {others.max():.1f} CPU s")

# %% [markdown]
# Start with what is cheap: if no interval above tells your net from
# `LogisticRegression`, take `LogisticRegression`. Two tables of this size are easy for
# all models; on harder tables the order may be another one.
