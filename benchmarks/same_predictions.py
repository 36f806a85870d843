"""Store the predictions of 48 small fits, and compare two such files.

A safety net for refactoring: run it on the code before and on the code after, on
the same machine with the same versions of the libraries. Only the public API is used.

    python benchmarks/same_predictions.py store before.npz
    python benchmarks/same_predictions.py compare before.npz after.npz

For each setting `compare` prints "equal to the bit" or the largest absolute difference.
The exit status is 1 if a difference is above ``--tolerance`` or a setting is missing.
With ``--only cutmix`` either command looks at the settings with "cutmix" in their name.
Settings are fitted by one thread, and in one process.
"""

import argparse
import os
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.model_selection import GroupKFold
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
)
from skmix.mixing import FeatMix, NoisyFeatures, OwnMajor, Prob, Remix, Warped
from skmix.pairing import Nearest

EPOCHS = 6  # of most nets
FULL_FITS = (
    "classifier, default",
    "regressor, default",
)  # until they stop by themselves
N_GROUPS = 6


# Modules and nets.


class Perceptron(nn.Module):
    """Two hidden layers; with batch normalization and dropout where asked for."""

    def __init__(self, d_in, d_out, norm=False, dropout=0.0, softmax=False):
        super().__init__()
        between = nn.BatchNorm1d(24) if norm else nn.Identity()
        self.first = nn.Sequential(nn.Linear(d_in, 24), between, nn.ReLU())
        self.second = nn.Sequential(
            nn.Linear(24, 24), nn.ReLU(), nn.Dropout(dropout) if dropout else nn.ReLU()
        )
        self.output = nn.Linear(24, d_out)
        self.softmax = softmax

    def forward(self, X):
        logits = self.output(self.second(self.first(X)))
        return logits.softmax(-1) if self.softmax else logits


class NumbersAndCodes(nn.Module):
    """Takes numbers and codes of categories apart."""

    def __init__(self, n_num_features, cat_cardinalities, d_out):
        super().__init__()
        self.embedding = nn.ModuleList(nn.Embedding(n, 3) for n in cat_cardinalities)
        self.hidden = nn.Linear(n_num_features + 3 * len(cat_cardinalities), 24)
        self.output = nn.Linear(24, d_out)

    def forward(self, x_num, x_cat):
        codes = [e(x_cat[:, j]) for j, e in enumerate(self.embedding)]
        return self.output(self.hidden(torch.cat([x_num, *codes], dim=1)).relu())


class TwoInputs(nn.Module):
    """Takes two arrays by name."""

    def __init__(self, d_out=3):
        super().__init__()
        self.left, self.right = nn.Linear(2, 16), nn.Linear(2, 16)
        self.output = nn.Linear(16, d_out)

    def forward(self, petal, sepal):
        return self.output((self.left(petal) + self.right(sepal)).relu())


class OwnLoss(NeuralNetClassifier):
    """A net with a loss method of its own, so that no two can be trained as one."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        loss = super().get_loss(y_pred, y_true, *args, **kwargs)
        return loss + 1e-3 * (y_pred**2).mean()


SHARED: dict[str, Any] = {
    "module": Perceptron,
    "optimizer": torch.optim.Adam,
    "lr": 0.01,
    "max_epochs": EPOCHS,
    "batch_size": 32,
    "train_split": None,
    "verbose": 0,
}


def logits_net(kind=NeuralNetClassifier, **params):
    return kind(**(SHARED | {"criterion": nn.CrossEntropyLoss} | params))


def softmax_net(**params):
    """A net as skorch has it by default: NLLLoss on probabilities."""
    return NeuralNetClassifier(**(SHARED | {"module__softmax": True} | params))


def binary_net(**params):
    return NeuralNetBinaryClassifier(**(SHARED | params))


def number_net(**params):
    return NeuralNetRegressor(**(SHARED | params))


def small_default(task, **params):
    return default_net(task).set_params(max_epochs=EPOCHS, module__d_block=32, **params)


# Tables.


def standardized(X):
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)


def table(load):
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return standardized(X[order]), y[order]


def numbers(load):
    X, y = table(load)
    return X, ((y - y.mean()) / y.std()).astype(np.float32)


def frame(X):
    """Make a frame with two columns of categories and missing values."""
    rng = np.random.default_rng(1)
    made = pd.DataFrame(X[:, 2:6], columns=["a", "b", "c", "d"])
    made["size"] = pd.cut(X[:, 0], [-np.inf, -1, 0, 1, np.inf], labels=list("smlx"))
    made["place"] = np.array(["here", "there", "else"])[rng.integers(0, 3, len(X))]
    made.loc[rng.random(len(X)) < 0.1, "b"] = np.nan
    made.loc[rng.random(len(X)) < 0.1, "place"] = None
    return made


def weights(y):
    """Make a weight for each row; one row in ten has the weight 0."""
    rng = np.random.default_rng(2)
    return rng.uniform(0.2, 3.0, len(y)) * (rng.random(len(y)) >= 0.1)


def groups_of(y):
    return np.random.default_rng(3).integers(0, N_GROUPS, len(y))


# Rules as functions.


def falling_alpha(epoch):
    return 1.0 / epoch


def major_swap(x, x_partner, lam, y, y_partner, rng):
    """Interpolate by at least one half, and add a little noise."""
    lam = torch.maximum(lam, 1 - lam)
    noise = torch.as_tensor(rng.normal(size=tuple(x.shape)), dtype=x.dtype)
    return lam * x + (1 - lam) * x_partner + 0.01 * noise, lam


def next_row(rows, X, y, weight, rng):
    return (rows + rng.integers(1, len(y), len(rows))) % len(y)


# Settings.


@dataclass
class Setting:
    """An unfitted estimator, its table, and what else `fit` is given."""

    estimator: Any
    X: Any
    y: np.ndarray
    params: dict[str, Any] = field(default_factory=dict)
    partial_fits: int = 0


def settings() -> dict[str, Setting]:
    every = classifiers() | default_classifiers() | regressors() | searches()
    return {name: setting() for name, setting in every.items()}


def classify(estimator=None, *, data=load_wine, fit=None, partial_fits=0, **params):
    X, y = table(data)
    mixup = MixupClassifier(estimator, random_state=0, **params)
    return Setting(mixup, X, y, fit or {}, partial_fits)


def regress(estimator=None, *, as_frame=False, fit=None, **params):
    X, y = numbers(load_diabetes)
    mixup = MixupRegressor(estimator, random_state=0, **params)
    return Setting(mixup, frame(X) if as_frame else X, y, fit or {})


def classifiers():
    net, iris, cancer = logits_net, load_iris, load_breast_cancer
    y_wine = table(load_wine)[1]
    stop = ("stop", EarlyStopping(patience=2, load_best=True))
    step = ("rate", LRScheduler(StepLR, step_size=2, gamma=0.5))
    plateau = LRScheduler(ReduceLROnPlateau, monitor="valid_loss", patience=0)
    sgd = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}
    lbfgs = {"optimizer": torch.optim.LBFGS, "batch_size": -1, "max_epochs": 3}
    return {
        "classifier, net, alpha 0": partial(classify, net(), data=iris, alpha=0),
        "classifier, net, alpha 0.2": partial(classify, net(), data=iris),
        "classifier, net, alpha by epoch, same_class": partial(
            classify, net(), alpha=falling_alpha, pairing="same_class"
        ),
        "classifier, NLLLoss, lam per row": partial(
            classify, softmax_net(), lam_per="row"
        ),
        "classifier, BatchNorm, clean_weight": partial(
            classify, net(module__norm=True), alpha=1.0, clean_weight=1.0
        ),
        "classifier, dropout, cutmix": partial(
            classify, net(module__dropout=0.3), alpha=1.0, mixing="cutmix"
        ),
        "classifier, binary net, Prob of cutmix": partial(
            classify, binary_net(), data=cancer, alpha=1.0, mixing=Prob(0.5, "cutmix")
        ),
        "classifier, net, FeatMix, lam per row": partial(
            classify, net(), mixing=FeatMix(), alpha=1.0, lam_per="row"
        ),
        "classifier, net, OwnMajor, other_class": partial(
            classify, net(), mixing=OwnMajor(), pairing="other_class", alpha=1.0
        ),
        "classifier, BatchNorm, Remix, class_weight": partial(
            classify,
            net(module__norm=True),
            mixing=Remix(1.1),
            lam_per="row",
            class_weight={0: 1.0, 1: 2.5, 2: 0.5},
        ),
        "classifier, net, Warped, Nearest, class_weight and sample_weight": partial(
            classify,
            net(),
            mixing=Warped(),
            alpha=1.0,
            pairing=Nearest(k=3),
            class_weight="balanced",
            fit={"sample_weight": weights(y_wine)},
        ),
        "classifier, net, NoisyFeatures, two layers": partial(
            classify, net(), mixing=NoisyFeatures(), layers=["input", "first"]
        ),
        "classifier, net, functions": partial(
            classify, net(), mixing=major_swap, pairing=next_row, alpha=1.0
        ),
        "classifier, net, lisa": partial(
            classify, net(), pairing="lisa", fit={"groups": groups_of(y_wine)}
        ),
        "classifier, dropout, layer": partial(
            classify, net(module__dropout=0.3), layers="first", alpha=1.0
        ),
        "classifier, net, cutmix at a layer": partial(
            classify, net(), layers="second", alpha=1.0, mixing="cutmix"
        ),
        "classifier, net, sample_weight": partial(
            classify, net(), fit={"sample_weight": weights(y_wine)}
        ),
        "classifier, net, X_val": partial(
            with_validation, classify, net(callbacks=[stop], max_epochs=20, lr=0.1)
        ),
        "classifier, net, CSR": partial(as_csr, classify, net()),
        "classifier, net, dict": as_dict,
        "classifier, x_num and x_cat, frame": partial(
            as_frame, classify, net(module=NumbersAndCodes)
        ),
        "classifier, net, partial_fit twice": partial(classify, net(), partial_fits=2),
        "classifier, net, LBFGS": partial(classify, net(**lbfgs), alpha=1.0),
        "classifier, SGD, StepLR": partial(
            classify, net(callbacks=[step], **sgd), lam_per="row"
        ),
        "classifier, SGD, ReduceLROnPlateau": partial(
            classify,
            net(
                callbacks=[("rate", plateau)],
                train_split=ValidSplit(4),
                **sgd | {"lr": 1.0},
            ),
        ),
    }


def default_classifiers():
    small = partial(small_default, "classifier")
    return {
        "classifier, default": classify,
        "classifier, default, frame": partial(as_frame, classify, small()),
        "classifier, default, cutmix, sample_weight": partial(
            classify,
            small(),
            mixing="cutmix",
            fit={"sample_weight": weights(table(load_wine)[1])},
        ),
        "classifier, default, two layers, clean_weight": partial(
            classify, small(), layers=["input", "embedding"], clean_weight=0.5
        ),
        "classifier, default, X_val": partial(with_validation, classify, small()),
        "classifier, default, CSR": partial(as_csr, classify, small()),
        "classifier, default, partial_fit twice": partial(
            classify, small(), partial_fits=2
        ),
    }


def regressors():
    norm = {"module__norm": True, "criterion": nn.SmoothL1Loss}
    y = numbers(load_diabetes)[1]
    return {
        "regressor, net, alpha 0.2": partial(regress, number_net()),
        "regressor, net, similar_target, layer": partial(
            regress, number_net(), pairing="similar_target", layers="first", alpha=2.0
        ),
        "regressor, BatchNorm, lam per row, clean_weight": partial(
            regress, number_net(**norm), lam_per="row", clean_weight=0.5
        ),
        "regressor, x_num and x_cat, frame": partial(
            regress, number_net(module=NumbersAndCodes), as_frame=True, alpha=1.0
        ),
        "regressor, default": regress,
        "regressor, default, frame, cutmix, sample_weight": partial(
            regress,
            small_default("regressor"),
            as_frame=True,
            mixing="cutmix",
            fit={"sample_weight": weights(y)},
        ),
    }


def search(kind, estimator, *, data, fit=None, as_frame=False, **params):
    X, y = data
    params = {"alphas": (0, 0.5), "cv": 3, "random_state": 0} | params
    X = frame(X) if as_frame else X
    return Setting(kind(estimator, **params), X, y, fit or {})


def searches():
    small, net = partial(small_default, "classifier"), logits_net
    iris, wine, diabetes = table(load_iris), table(load_wine), numbers(load_diabetes)
    classifier, regressor = MixupClassifierCV, MixupRegressorCV
    groups = {"groups": groups_of(iris[1])}
    plateau = LRScheduler(ReduceLROnPlateau, monitor="valid_loss", patience=0)
    return {
        "classifier search, default": partial(search, classifier, None, data=iris),
        "classifier search, net, cutmix": partial(
            search, classifier, net(), data=wine, mixing="cutmix", alphas=(0, 0.2, 1)
        ),
        "classifier search, dropout, sample_weight, all members": partial(
            search,
            classifier,
            net(module__dropout=0.3),
            data=wine,
            ensemble=True,
            fit={"sample_weight": weights(wine[1])},
        ),
        "classifier search, net, lisa, groups": partial(
            search,
            classifier,
            net(),
            data=iris,
            cv=GroupKFold(3),
            pairing="lisa",
            fit=groups,
        ),
        "classifier search, net, layer": partial(
            search, classifier, net(), data=wine, layers="first", lam_per="row"
        ),
        "classifier search, binary net, roc_auc, refitted": partial(
            search,
            classifier,
            binary_net(),
            data=table(load_breast_cancer),
            scoring="roc_auc",
            ensemble=False,
        ),
        "classifier search, one by one, own loss": partial(
            search, classifier, net(OwnLoss), data=iris
        ),
        "classifier search, one by one, default, clean_weight": partial(
            search, classifier, small(), data=iris, clean_weight=0.5, layers="input"
        ),
        "regressor search, default, frame": partial(
            search,
            regressor,
            small_default("regressor"),
            data=diabetes,
            as_frame=True,
        ),
        "regressor search, net, plateau, sample_weight": partial(
            search,
            regressor,
            number_net(callbacks=[("rate", plateau)], max_epochs=10),
            data=diabetes,
            alphas=(0, 0.2, 1),
            fit={"sample_weight": weights(diabetes[1])},
        ),
    }


# Other forms of the same tables.


def with_validation(make, *args, **params):
    setting = make(*args, **params)
    X, y, n = setting.X, setting.y, len(setting.y) // 4
    setting.params |= {"X_val": X[:n], "y_val": y[:n]}
    setting.X, setting.y = X[n:], y[n:]
    return setting


def as_csr(make, *args, **params):
    setting = make(*args, **params)
    setting.X = sparse.csr_matrix(np.where(setting.X > 0, setting.X, 0))
    return setting


def as_frame(make, *args, **params):
    setting = make(*args, **params)
    setting.X = frame(setting.X)
    return setting


def as_dict():
    X, y = table(load_iris)
    mixup = MixupClassifier(logits_net(module=TwoInputs), random_state=0)
    return Setting(mixup, {"sepal": X[:, :2], "petal": X[:, 2:]}, y)


# Running and comparing.


def run(name: str, setting: Setting) -> dict[str, np.ndarray]:
    """Fit, and return all that is stored of a setting."""
    model, X, y = setting.estimator, setting.X, setting.y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(setting.partial_fits):
            first = {} if hasattr(model, "estimator_") else {"classes": np.unique(y)}
            model.partial_fit(X, y, **first)
        if not setting.partial_fits:
            model.fit(X, y, **setting.params)
    found = {"predict": model.predict(X)}
    if is_classifier(model):
        found["predict_proba"] = model.predict_proba(X)
    for attribute in ("oof_proba_", "oof_prediction_"):
        if hasattr(model, attribute):
            found[attribute] = getattr(model, attribute)
    if hasattr(model, "cv_results_"):
        found["mean_test_score"] = model.cv_results_["mean_test_score"]
    if name in FULL_FITS:
        found["train_loss"] = np.array(model.history_[:, "train_loss"])
    return found


def chosen(names, only: str) -> list[str]:
    return [name for name in names if only in name]


def store(path: Path, only: str) -> int:
    every, stored, failed = settings(), {}, 0
    start = time.process_time()
    for name in chosen(every, only):
        before = time.process_time()
        try:
            found = run(name, every[name])
        except Exception:
            failed += 1
            print(f"FAILED: {name}\n{traceback.format_exc()}", flush=True)
            continue
        stored |= {f"{name}/{part}": values for part, values in found.items()}
        print(f"{time.process_time() - before:6.1f} s  {name}", flush=True)
    np.savez_compressed(path, **stored)
    seconds = time.process_time() - start
    print(
        f"{len(chosen(every, only))} settings, {failed} failed, {seconds:.0f} s of CPU"
    )
    return int(failed > 0)


def load(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the parts of each setting."""
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as stored:
        for key in stored.files:
            name, _, part = key.rpartition("/")
            found.setdefault(name, {})[part] = stored[key]
    return found


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest absolute difference; infinity where there is no telling."""
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return np.inf
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return float(np.nanmax(apart, initial=0))


def is_equal(one: np.ndarray, other: np.ndarray) -> bool:
    same_kind = one.dtype == other.dtype and one.shape == other.shape
    return same_kind and one.tobytes() == other.tobytes()


def compare(path_a: Path, path_b: Path, only: str, tolerance: float) -> int:
    a, b = load(path_a), load(path_b)
    n_equal = n_above = 0
    for name in chosen(dict.fromkeys([*a, *b]), only):
        parts_a, parts_b = a.get(name, {}), b.get(name, {})
        if parts_a.keys() != parts_b.keys():
            n_above += 1
            apart = ", ".join(sorted(parts_a.keys() ^ parts_b.keys()))
            print(f"{name}: only in one of the files: {apart}")
        elif all(is_equal(parts_a[part], parts_b[part]) for part in parts_a):
            n_equal += 1
            print(f"{name}: equal to the bit")
        else:
            apart = {part: difference(parts_a[part], parts_b[part]) for part in parts_a}
            worst = max(apart, key=lambda part: apart[part])
            n_above += apart[worst] > tolerance
            print(f"{name}: {apart[worst]:.2g} ({worst})")
    print(f"{n_equal} settings are equal to the bit, {n_above} above {tolerance:g}")
    return int(n_above > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    storing = commands.add_parser("store", help="fit all settings")
    storing.add_argument("file", type=Path)
    comparing = commands.add_parser("compare", help="compare two stored files")
    comparing.add_argument("file_a", type=Path)
    comparing.add_argument("file_b", type=Path)
    comparing.add_argument("--tolerance", type=float, default=0.0)
    for command in (storing, comparing):
        command.add_argument("--only", default="", help="a part of settings' names")
    args = parser.parse_args()
    if args.command == "store":
        return store(args.file, args.only)
    return compare(args.file_a, args.file_b, args.only, args.tolerance)


if __name__ == "__main__":
    sys.exit(main())
