"""Cases of the fuzz tests: tables, labels, weights, parameters and nets, by name.

A case is a few words and a seed, so that its `repr` is enough to try it again. What is
not quite right in it has the words that an error must have, one of them at least.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import fuzz_tables as tables
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import torch
from fuzz_tables import levels, objects
from hypothesis import strategies as st
from sample_nets import InDouble, Layers, Parts
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
    mixing,
    pairing,
)
from skmix.schedules import Schedule

# Labels: of three classes (two for a net with a single output).


def thirds(rng, n, k=3):
    y = rng.integers(0, k, n)
    y[: 3 * k] = np.arange(3 * k) % k  # each class three times at least
    return y


def labels(*values):
    return lambda rng, n, k: objects(list(values[:k]))[thirds(rng, n, k)]


def typed(dtype, *values):
    return lambda rng, n, k: pd.Series(labels(*values)(rng, n, k)).astype(dtype)


def array(dtype, *values):
    return lambda rng, n, k: labels(*values)(rng, n, k).astype(dtype)


def changed(of, change):
    return lambda rng, n, k: change(of(rng, n, k))


def first(value):
    """Change the first row's value."""

    def change(y):
        y = objects(list(y))
        y[0] = value
        return y

    return change


WORDS = array("U", "u", "v", "w")
LABELS = {
    "words": WORDS,
    "ints": array(int, 0, 1, 2),
    "series": typed("str", "u", "v", "w"),
}
ODD_LABELS = {
    "objects": labels("u", "v", "w"),
    "bools": lambda rng, n, k: thirds(rng, n, 2) == 1,
    "floats": array(float, 1.0, 2.0, 5.0),
    "negative": array(int, -1, 1, 7),
    "uint8": array(np.uint8, 0, 200, 255),
    "huge ints": array(np.int64, -(2**62), 2**62, 2**62 + 1),
    "uint64": array(np.uint64, 1, 2**63, 2**64 - 1),
    "float16": array(np.float16, 0, 1, 2),
    "category": typed("category", "u", "v", "w"),
    "category of ints": typed("category", 3, 2, 1),
    "unused categories": typed(pd.CategoricalDtype(list("zwvu"), True), "u", "v", "w"),
    "Int64": typed("Int64", 3, 2, 1),
    "boolean": typed("boolean", False, True, True),
    "Float64": typed("Float64", 3, 2, 1),
    "string": typed("string", "u", "v", "w"),
    "arrow string": typed("string[pyarrow]", "u", "v", "w"),
    "arrow int": typed("int64[pyarrow]", 1, 2, 3),
    "arrow large string": typed(pd.ArrowDtype(pa.large_string()), "u", "v", "w"),
    "polars": changed(WORDS, pl.Series),
    "polars category": changed(WORDS, lambda y: pl.Series(y, dtype=pl.Categorical)),
    "arrow array": changed(WORDS, pa.array),
    "tensor": changed(array(int, 0, 1, 2), torch.as_tensor),
    "list": changed(WORDS, list),
    "tuple": changed(WORDS, tuple),
    "other index": changed(WORDS, lambda y: pd.Series(y, np.arange(len(y))[::-1])),
    "frozen": changed(WORDS, tables.frozen),
    "view": changed(WORDS, lambda y: np.repeat(y, 2)[::2]),
    "empty word": labels("", "v", "w"),
    "odd words": labels("a\0b", "é🙂", "x" * 1000),
    "one rare": lambda rng, n, k: np.r_[["rare"], WORDS(rng, n - 1, k - 1)],
}
DOUBTFUL_LABELS = {
    "column": (changed(WORDS, lambda y: y[:, None]), ()),
    "frame": (changed(WORDS, pd.DataFrame), ()),
    "huge floats": (array(float, -1e300, 1e300, 2e300), ("continuous",)),
    "words and ints": (labels("u", 1, "w"), ("label", "y")),
    "bools and words": (labels(True, "v", "w"), ("label", "y")),
    "tuples": (labels((1, 2), (3, 4), (5, 6)), ("label", "y")),
    "Decimals": (labels(Decimal(1), Decimal(2), Decimal(3)), ("label", "y")),
    "bytes": (labels(b"u", b"v", b"w"), ("label", "y", "bytes")),
    "byte array": (array("S", b"u", b"v", b"w"), ("label", "y", "bytes")),
    "days": (array("M8[D]", "2020-01-01", "2020-01-02", "2020-01-03"), ("label", "y")),
    "complex": (array(complex, 1j, 2j, 3j), ("omplex",)),
    "one rare class": (lambda rng, n, k: first("rare")(WORDS(rng, n, k)), ()),
    "all rare": (lambda rng, n, k: np.arange(n), ("class", "n_splits", "members")),
    "all rare words": (
        lambda rng, n, k: np.array([f"id {i}" for i in range(n)]),
        ("class", "n_splits", "members"),
    ),
}
REFUSED_LABELS = {
    "missing": (changed(WORDS, first(None)), ("y contains NaN",)),
    "NaN": (changed(array(float, 1, 2, 3), first(np.nan)), ("y contains NaN",)),
    "NA": (changed(typed("Int64", 1, 2, 3), first(pd.NA)), ("y contains NaN",)),
    "missing category": (
        changed(WORDS, lambda y: pd.Series(first(None)(y)).astype("category")),
        ("y contains NaN",),
    ),
    "missing string": (
        changed(WORDS, lambda y: pd.Series(first(None)(y)).astype("string")),
        ("y contains NaN",),
    ),
    "polars missing": (
        changed(WORDS, lambda y: pl.Series(first(None)(y).tolist())),
        ("y contains NaN",),
    ),
    "all missing": (lambda rng, n, k: np.full(n, np.nan), ("y contains NaN",)),
    "one class": (lambda rng, n, k: np.full(n, "u"), ("class",)),
    "infinite": (array(float, np.inf, 2, 3), ("infinity",)),
    "continuous": (lambda rng, n, k: rng.normal(size=n), ("continuous",)),
    "too short": (changed(WORDS, lambda y: y[1:]), ("inconsistent",)),
    "empty": (changed(WORDS, lambda y: y[:0]), ("sample", "inconsistent")),
    "two columns": (changed(WORDS, lambda y: np.c_[y, y]), ("y of shape",)),
    "lists": (
        lambda rng, n, k: [[0], [0, 1]] * (n // 2) + [[0]] * (n % 2),
        ("y", "equence"),
    ),
    "None": (lambda rng, n, k: None, ("y",)),
    "number": (lambda rng, n, k: 3, ("y", "array")),
    "word": (lambda rng, n, k: "target", ("y", "array")),
    "class object": (lambda rng, n, k: int, ("y", "array")),
    "generator": (lambda rng, n, k: (i for i in range(n)), ("y", "array", "generator")),
    "sparse": (
        lambda rng, n, k: tables.sparse.csr_array(np.ones((n, 1))),
        ("parse", "y"),
    ),
    "dict": (lambda rng, n, k: {"y": [1]}, ("y", "dict")),
}


def targets(change):
    return lambda rng, n: change(1 + rng.normal(size=n))


TARGETS = {
    "numbers": targets(lambda y: y),
    "series": targets(pd.Series),
    "small": targets(lambda y: 1e-9 * y),
    "large": targets(lambda y: 1e6 * y),
}
ODD_TARGETS = {
    "ints": lambda rng, n: rng.integers(0, 99, n),
    "bools": lambda rng, n: rng.random(n) < 0.5,
    "uint8": lambda rng, n: rng.integers(0, 256, n).astype(np.uint8),
    "int64": lambda rng, n: rng.integers(-(2**63), 2**63 - 1, n),
    "float16": targets(lambda y: y.astype(np.float16)),
    "float32": targets(lambda y: y.astype(np.float32)),
    "largest float32": lambda rng, n: levels(rng, n, [3e38, 1e38]).astype(np.float32),
    "longdouble": targets(lambda y: y.astype(np.longdouble)),
    "big endian": targets(lambda y: y.astype(">f8")),
    "constant": lambda rng, n: np.full(n, 3.0),
    "constant and huge": lambda rng, n: np.full(n, 1e30),
    "zero": lambda rng, n: np.zeros(n),
    "tiny": targets(lambda y: 1e-200 * y),
    "subnormal": targets(lambda y: 1e-320 * y),
    "offset": targets(lambda y: 1e12 + y),
    "Int64": targets(lambda y: pd.Series(y.round()).astype("Int64")),
    "Float64": targets(lambda y: pd.Series(y).astype("Float64")),
    "arrow": targets(lambda y: pd.Series(y).astype("double[pyarrow]")),
    "objects": targets(lambda y: y.astype(object)),
    "polars": targets(pl.Series),
    "arrow array": targets(pa.array),
    "tensor": targets(torch.as_tensor),
    "list": targets(list),
    "frozen": targets(tables.frozen),
    "column": targets(lambda y: y[:, None]),
}
DOUBTFUL_TARGETS = {
    "number strings": (targets(lambda y: y.astype(str)), ("y", "numeric")),
    "huge": (targets(lambda y: 1e200 * y), ("target", "diverged")),
    "huge for a float": (targets(lambda y: 1e60 * y), ("target", "diverged")),
    "largest": (
        lambda rng, n: levels(rng, n, [1.7e308, -1e308]).astype(float),
        ("target", "diverged"),
    ),
    "Decimals": (targets(lambda y: objects([Decimal(v) for v in y])), ("y",)),
    "large ints": (
        lambda rng, n: objects([10**400 + i for i in range(n)]),
        ("y", "float"),
    ),
    "category": (targets(lambda y: pd.Series(y.round()).astype("category")), ("y",)),
}
REFUSED_TARGETS = {
    "missing": (targets(lambda y: np.r_[np.nan, y[1:]]), ("y contains NaN",)),
    "NA": (
        targets(lambda y: pd.Series(first(pd.NA)(y.round()), dtype="Int64")),
        ("y contains NaN",),
    ),
    "infinite": (targets(lambda y: np.r_[np.inf, y[1:]]), ("infinity",)),
    "words": (
        targets(lambda y: levels(np.random.default_rng(0), len(y))),
        ("convert", "y"),
    ),
    "complex": (targets(lambda y: y * 1j), ("omplex",)),
    "days": (lambda rng, n: tables.days(rng, n), ("y", "date")),
    "too short": (targets(lambda y: y[1:]), ("inconsistent",)),
    "two columns": (targets(lambda y: np.c_[y, y]), ("y of shape",)),
    "None": (lambda rng, n: None, ("y",)),
    "number": (lambda rng, n: 3.0, ("y", "array")),
}

# Weights of rows, and groups.


def weights(change):
    return lambda rng, n: change(rng.integers(1, 4, n).astype(float))


WEIGHTS = {"none": lambda rng, n: None}
ODD_WEIGHTS = {
    "ints": weights(lambda w: w.astype(int)),
    "floats": weights(lambda w: w / 3),
    "series": weights(lambda w: pd.Series(w, np.arange(len(w))[::-1])),
    "list": weights(list),
    "bools": weights(lambda w: np.r_[np.full(12, 2), w[12:]] > 1.5),
    "Int64": weights(lambda w: pd.Series(w).astype("Int64")),
    "polars": weights(pl.Series),
    "objects": weights(lambda w: w.astype(object)),
    "frozen": weights(tables.frozen),
    "some zero": weights(lambda w: np.r_[w[:12], np.where(w[12:] > 2, 0, w[12:])]),
    "tiny": weights(lambda w: 1e-300 * w),
    "subnormal": weights(lambda w: 5e-324 * w),
    "huge": weights(lambda w: 1e307 * w),
    "both": lambda rng, n: levels(rng, n, [1e-300, 1e300]).astype(float),
    "equal": lambda rng, n: np.full(n, 7),
    "one row": lambda rng, n: np.r_[1e6, np.ones(n - 1)],
    "float16": weights(lambda w: w.astype(np.float16)),
}
DOUBTFUL_WEIGHTS = {
    "one positive": (
        lambda rng, n: np.r_[1.0, np.zeros(n - 1)],
        ("weight", "class", "sample", "row", "split"),
    ),
    "a few positive": (
        lambda rng, n: np.r_[np.zeros(n - 3), np.ones(3)],
        ("weight", "class", "sample", "row", "split"),
    ),
}
WITHOUT_ROWS = {"both", "some zero"} | DOUBTFUL_WEIGHTS.keys()
REFUSED_WEIGHTS = {
    "zero": (lambda rng, n: np.zeros(n), ("weight",)),
    "negative": (weights(lambda w: np.r_[-1.0, w[1:]]), ("negative sample_weight",)),
    "NaN": (weights(lambda w: np.r_[np.nan, w[1:]]), ("sample_weight contains NaN",)),
    "NA": (
        weights(lambda w: pd.Series(first(pd.NA)(w), dtype="Float64")),
        ("sample_weight",),
    ),
    "infinite": (
        weights(lambda w: np.r_[np.inf, w[1:]]),
        ("sample_weight contains inf",),
    ),
    "too short": (weights(lambda w: w[1:]), ("sample_weight of shape",)),
    "two columns": (weights(lambda w: np.c_[w, w]), ("sample_weight of shape",)),
    "words": (lambda rng, n: levels(rng, n), ("sample_weight",)),
    "number": (lambda rng, n: 2.0, ("sample_weight",)),
    "word": (lambda rng, n: "balanced", ("sample_weight",)),
    "complex": (weights(lambda w: w * 1j), ("omplex",)),
    "dict": (lambda rng, n: {"u": 1}, ("sample_weight",)),
}
GROUPS = {
    "none": lambda rng, n: None,
    "ints": lambda rng, n: np.arange(n) % 3,
    "words": lambda rng, n: levels(rng, n).astype(str),
    "category": lambda rng, n: pd.Series(levels(rng, n), dtype="category"),
    "mixed": lambda rng, n: levels(rng, n, [1, "1", None.__class__]),
    "rows": lambda rng, n: list(range(n)),
    "polars": lambda rng, n: pl.Series(levels(rng, n).tolist()),
    "tuples": lambda rng, n: levels(rng, n, "ab"),
}
REFUSED_GROUPS = {
    "missing": (lambda rng, n: objects([None] * n), ("group",)),
    "too short": (lambda rng, n: np.zeros(n - 1), ("group",)),
    "number": (lambda rng, n: 3, ("group",)),
    "word": (lambda rng, n: "g", ("group",)),
    "two columns": (lambda rng, n: np.zeros((n, 2)), ("group",)),
    "lists": (lambda rng, n: objects([[1]] * n), ("group",)),
}

# Parameters of the estimators: `name: (value, words)`, by a name of the setting.


def half(epoch):
    return 0.5


def falling(epoch):
    return -epoch


def first_half(x, x_partner, lam, y, y_partner, rng):
    return lam * x + (1 - lam) * x_partner, lam.flatten()


def mirrored(rows, X, y, weight, rng):
    return rows[::-1]


SHARED = [
    ("lam_per", "row"),
    ("mixing", "cutmix"),
    ("mixing", mixing.FeatMix()),
    ("mixing", mixing.OwnMajor()),
    ("mixing", mixing.Prob(0.5)),
    ("mixing", mixing.Warped()),
    ("mixing", mixing.NoisyFeatures()),
    ("mixing", mixing.CutMix()),
    ("pairing", "nearest"),
    ("pairing", pairing.Nearest(k=100)),
    ("pairing", mirrored),
    ("layers", "input"),
    ("layers", ["input"]),
    ("clean_weight", 0.5),
    ("clean_weight", 1e6),
    ("categorical_features", []),
    ("categorical_features", ()),
    ("random_state", np.int64(3)),
    ("random_state", 2**32 - 1),
]
OF_ONE = [
    ("alpha", 0),
    ("alpha", 0.2),
    ("alpha", 1),
    ("alpha", "auto"),
    ("alpha", 1e-8),
    ("alpha", 1e8),
    ("alpha", np.float32(0.2)),
    ("alpha", np.int64(1)),
    ("alpha", half),
    ("alpha", Schedule(0.4, warm_up=1)),
]
OF_SEARCH = [
    ("alphas", (0,)),
    ("alphas", [0.2, 0]),
    ("alphas", np.array([0, 0.5])),
    ("alphas", (0, 1e-8, 1e8)),
    ("cv", 2),
    ("cv", 3),
    ("cv", KFold(2)),
    ("cv", ShuffleSplit(2, random_state=0)),
    ("ensemble", True),
    ("ensemble", False),
    ("store_cv_results", True),
    ("n_jobs", 1),
]
OF_CLASSIFIER = [
    ("mixing", mixing.Remix()),
    ("pairing", "same_class"),
    ("pairing", "other_class"),
    ("class_weight", "balanced"),
    ("priors", "uniform"),
    ("scoring", "accuracy"),
    ("scoring", "neg_log_loss"),
]
OF_REGRESSOR = [
    ("pairing", "similar_target"),
    ("scoring", "r2"),
    ("scoring", "neg_mean_absolute_error"),
]
# A valid name has its own words, since it may not fit the table.
DOUBTFUL = [
    ("categorical_features", None, ("categorical_features",)),
    ("categorical_features", ["c0"], ("categorical_features", "category")),
    ("categorical_features", [0], ("categorical_features", "position")),
    ("categorical_features", np.array([True]), ("categorical_features",)),
    ("class_weight", {"u": 2.0}, ("class_weight", "class weight", "label", "class")),
    (
        "class_weight",
        {0: 0.0, 1: 1.0},
        ("class_weight", "class weight", "label", "class"),
    ),
    ("priors", [0.2, 0.3, 0.5], ("priors",)),
    ("priors", [1, 0, 0], ("priors",)),
    ("pairing", "lisa", ("groups", "pairing")),
    ("cv", GroupKFold(3), ("groups",)),
    ("layers", ["input", "embedding"], ("layers", "embedding", "layer")),
    ("layers", "embedding", ("layers", "embedding", "layer")),
    ("layers", "", ("layers",)),
    ("scoring", "roc_auc", ("scoring", "roc_auc")),
    ("scoring", "f1", ("scoring", "f1")),
    ("scoring", "neg_mean_squared_log_error", ("scoring", "log")),
    ("cv", 30, ("cv", "n_splits", "members", "fold")),
    ("cv", "prefit", ("cv",)),
]
REFUSED = [
    *[("alpha", value) for value in (-1, np.nan, np.inf, "x", None, True, [0.2], 1j)],
    *[("alpha", value) for value in (half("") * 1j, Schedule, pd.NA, b"1", falling)],
    *[("alphas", value) for value in ((), 0.2, "auto", None, (-1,), ("x",), [None])],
    *[
        ("alphas", value)
        for value in ((np.nan,), (half, 0), {0.2: 1}, (0, 0), np.zeros((2, 2)))
    ],
    *[("cv", value) for value in (0, 1, -3, 2.5, "five", [], [3], object())],
    *[("scoring", value) for value in ("nothing", 3, ["r2"], object(), {"a": "r2"})],
    *[("ensemble", value) for value in (None, "all", 2, [True])],
    *[("store_cv_results", value) for value in (None, "yes", 2)],
    *[("n_jobs", value) for value in (0, "all", 1.5)],
    *[("lam_per", value) for value in (None, "table", 1, ["row"], np.zeros(2))],
    *[("mixing", value) for value in (None, "nothing", 1, mixing.CutMix, len)],
    *[("mixing", value) for value in (mixing.Prob(2), mixing.Warped(tau_max=-1))],
    *[("mixing", value) for value in (mixing.OwnMajor("nothing"), [])],
    *[("pairing", value) for value in (None, "nobody", 2, pairing.Nearest, len)],
    *[("pairing", value) for value in (pairing.Nearest(k=0), pairing.Nearest(k=1.5))],
    *[("pairing", value) for value in (pairing.Lisa(p=2), [])],
    *[("layers", value) for value in (None, "nowhere", [], ["input", "input"], 3)],
    *[("layers", value) for value in (["auto", "input"], [None], {"input"})],
    *[("clean_weight", value) for value in (-1, np.nan, np.inf, None, "x", True)],
    *[
        ("categorical_features", value)
        for value in ("c0", [99], [-1], ["no"], 3, [None])
    ],
    *[
        ("categorical_features", value)
        for value in ([1.5], [[0]], [True] * 40, {"a": 1})
    ],
    *[("random_state", value) for value in (-1, 2**32, 1.5, "x", [1], np.nan)],
    *[("verbose", value) for value in (2, -1, None, "yes", [0])],
    *[
        ("class_weight", value)
        for value in ("even", 3, [1, 2], {"u": -1, 0: -1}, {"no": 1})
    ],
    *[("class_weight", value) for value in ({0: np.nan, "u": np.nan}, np.ones(3))],
    *[
        ("priors", value)
        for value in ("even", [1], [-1, 1, 1], [np.nan] * 3, [0, 0, 0])
    ],
    *[("priors", value) for value in ([[1, 2, 3]], {"u": 1}, 3, ["a", "b", "c"])],
    ("estimator", nn.Linear(2, 2)),
    ("estimator", Layers),
    ("estimator", "default"),
    ("estimator", NeuralNetClassifier),
]
# Words of an error about a parameter, beside its name.
ALSO = {
    "random_state": ("seed",),
    "class_weight": ("class weight", "label", "class"),
    "priors": ("prior",),
    "alphas": ("alpha",),
    "mixing": ("p=", "tau", "Remix"),
    "pairing": ("k=", "p="),
    "n_jobs": ("n_jobs",),
    "cv": ("n_splits", "split"),
}

# Nets.


def mlp(d_in, d_out):
    return nn.Sequential(nn.Linear(d_in, 8), nn.ReLU(), nn.Linear(8, d_out))


def narrow(d_in, d_out):
    return Layers(d_in, d_out, d=8, dropout=0.2)


def own_net(task, module, kind=None):
    classify = task == "classifier"
    kind = kind or (NeuralNetClassifier if classify else NeuralNetRegressor)
    params = {"criterion": nn.CrossEntropyLoss} if classify else {}
    if kind is NeuralNetBinaryClassifier:
        params = {}
    shared = {"optimizer": torch.optim.Adam, "train_split": None, "verbose": 0}
    return kind(module, **params, **shared)


def small_default(task):
    return default_net(task).set_params(module__d_block=8, module__k=2, max_epochs=2)


def with_params(net, given):
    """Make the same net by other parameters, right or wrong."""
    try:
        return clone(net).set_params(**given)
    except ValueError:  # that it does not have
        return type(net)(**net.get_params(deep=False) | given)


NETS = {
    "default": small_default,
    "mlp": lambda task: own_net(task, mlp),
    "numbers and codes": lambda task: own_net(task, Parts),
    "norm and dropout": lambda task: own_net(task, narrow),
    "double": lambda task: own_net(task, InDouble),
    "single output": lambda task: own_net(
        task, mlp, NeuralNetBinaryClassifier if task == "classifier" else None
    ),
}
OF_NET = [
    ("max_epochs", 0),
    ("max_epochs", 2),
    ("batch_size", 1),
    ("batch_size", 2),
    ("batch_size", 7),
    ("batch_size", -1),
    ("batch_size", 10**9),
    ("batch_size", np.int64(8)),
    ("lr", 0.0),
    ("lr", 1e-12),
    ("optimizer", torch.optim.SGD),
    ("optimizer", torch.optim.LBFGS),
    ("iterator_train__shuffle", False),
    ("iterator_train__drop_last", True),
    ("warm_start", True),
    ("train_split", None),
]
REFUSED_OF_NET = [
    *[("batch_size", value) for value in (0, -5, None, 2.5, "all", True, np.nan)],
    *[("max_epochs", value) for value in (-1, 1.5, None, "x", np.inf, True)],
    ("iterator_train__batch_size", 0),
    ("iterator_valid__batch_size", -7),
    *[("lr", value) for value in (np.nan, -1.0, None, "x", np.inf, 1e30)],
    ("nothing", 3),
    ("module__nothing", 3),
    ("optimizer__nothing", 3),
]
OF_DEFAULT_NET = [("module__k", 0), ("module__d_block", 0), ("module__d_block", -3)]
HOW = ["fit", "fit", "fit", "partial_fit", "validated"]
CHANGES = ["same", "one row", "no rows", "permuted", "fewer", "more", "strings"]
CHANGES += ["objects", "as array", "as frame", "as list", "unseen", "missing"]
CHANGES += [
    "infinite",
    "one axis",
    "None",
    "renamed",
    "single",
    "repeated",
    "categories",
]


@dataclass(frozen=True)
class Case:
    """What is fitted, and what is predicted; all else follows from the seed."""

    kind: str = "MixupClassifier"
    columns: tuple[str, ...] = ("normal",)
    container: str = "frame"
    names: str = "strings"
    index: str = "range"
    n: int = 24
    y: str = "words"
    weight: str = "none"
    groups: str = "none"
    net: str = "default"
    of_net: tuple[int, ...] = ()
    wrong_of_net: int | None = None
    params: tuple[int, ...] = ()
    doubtful: int | None = None
    wrong: int | None = None
    how: str = "fit"
    change: str = "same"
    seed: int = 0

    @property
    def task(self):
        return "classifier" if "Classifier" in self.kind else "regressor"

    @property
    def is_search(self):
        return self.kind.endswith("CV")

    def rng(self, part):
        return np.random.default_rng([self.seed, part])

    @cached_property
    def known(self):
        """Parameters of the kind of estimator."""
        return KINDS[self.kind]().get_params(deep=False).keys()

    def among(self, pairs, j):
        """The j-th of some settings, of those that the estimator has."""
        fitting = [pair for pair in pairs if pair[0] in self.known]
        return fitting[j % len(fitting)]

    @cached_property
    def valid(self):
        own = OF_CLASSIFIER if self.task == "classifier" else OF_REGRESSOR
        return SHARED + OF_ONE + OF_SEARCH + own

    @cached_property
    def frame(self):
        return tables.frame_of(
            self.columns, self.names, self.index, self.rng(0), self.n
        )

    def contain(self, frame, container=None):
        """A frame in another container."""
        container = container or self.container
        if container in tables.FRAMES:
            try:
                return tables.FRAMES[container](frame)
            except Exception:  # of polars or pyarrow, which have no such columns
                return frame
        X = tables.floats(frame)
        if container in tables.ARRAYS:
            return tables.ARRAYS[container](X)
        if container in tables.SPARSE:
            return tables.SPARSE[container](np.nan_to_num(X, posinf=np.inf))
        return tables.NO_TABLES[container][0](X)

    @cached_property
    def X(self):
        return self.contain(self.frame)

    def _of(self, name, part, *makers):
        for found in makers:
            if name in found:
                made = found[name]
                make = made[0] if isinstance(made, tuple) else made
                two = self.net == "single output"
                more = (
                    (2 if two else 3,)
                    if part == 1 and self.task == "classifier"
                    else ()
                )
                return make(self.rng(part), self.n, *more)
        raise KeyError(name)

    @cached_property
    def target(self):
        if self.task == "classifier":
            groups = LABELS, ODD_LABELS, DOUBTFUL_LABELS, REFUSED_LABELS
        else:
            groups = TARGETS, ODD_TARGETS, DOUBTFUL_TARGETS, REFUSED_TARGETS
        return self._of(self.y, 1, *groups)

    @cached_property
    def rows(self):
        """The weights and groups of `fit`."""
        of = ODD_WEIGHTS, DOUBTFUL_WEIGHTS, REFUSED_WEIGHTS
        weight = self._of(self.weight, 2, WEIGHTS, *of)
        groups = self._of(self.groups, 3, GROUPS, REFUSED_GROUPS)
        given = {"sample_weight": weight, "groups": groups}
        return {name: value for name, value in given.items() if value is not None}

    @cached_property
    def settings(self):
        """Parameters of the estimator, and of its net."""
        given = {"random_state": 0}
        for j in self.params:
            name, value = self.among(self.valid, j)
            given[name] = value
        if self.doubtful is not None:
            name, value, _ = self.among(DOUBTFUL, self.doubtful)
            given[name] = value
        if self.wrong is not None:
            name, value = self.among(REFUSED, self.wrong)
            given[name] = value
        return given

    @property
    def wrong_setting(self):
        return None if self.wrong is None else self.among(REFUSED, self.wrong)

    @cached_property
    def net_settings(self):
        given = {"max_epochs": 1}
        for j in self.of_net:
            name, value = OF_NET[j % len(OF_NET)]
            if name != "optimizer" or self.net != "default":  # which decays weights
                given[name] = value
        if self.wrong_of_net is not None:
            name, value = self.wrong_net_setting
            given[name] = value
        return given

    @property
    def wrong_net_setting(self):
        if self.wrong_of_net is None:
            return None
        more = OF_DEFAULT_NET if self.net == "default" else []
        pairs = REFUSED_OF_NET + more
        return pairs[self.wrong_of_net % len(pairs)]

    def estimator(self):
        settings = dict(self.settings)
        net = settings.pop("estimator", None)
        if net is None:
            net = with_params(NETS[self.net](self.task), self.net_settings)
        if self.is_search:
            settings = {"alphas": (0, 0.2), "cv": 2} | settings
        return KINDS[self.kind](net, **settings)

    @cached_property
    def words(self):
        """Words of which an error may have one: none if the case is right."""
        found = []
        names = [str(name) for name in self.frame.columns]
        if self.container not in tables.FRAMES:
            names = [f"x{j}" for j in range(len(names))]
        elif self.container in ("list of rows", "objects"):
            names = [str(j) for j in range(len(names))]
            found += ["dim"] * bool({"frames", "arrays"} & set(self.columns))
        for kind, name in zip(self.columns, names, strict=True):
            if kind in tables.DOUBTFUL:
                found.append(name)
            if self.container != "frame" and kind in tables.MAYBE_LOST:
                found.append(name)
        if self.names in tables.REFUSED_NAMES:
            found.append(tables.REFUSED_NAMES[self.names])
        if self.container in tables.NO_TABLES:
            found += tables.NO_TABLES[self.container][1]
        if self.container in ("float32", "sparse float32"):
            found += ["infinity"] * bool(tables.HUGE & set(self.columns))
        labels = DOUBTFUL_TARGETS | REFUSED_TARGETS
        if self.task == "classifier":
            labels = DOUBTFUL_LABELS | REFUSED_LABELS
        for name, of in (
            (self.y, labels),
            (self.weight, DOUBTFUL_WEIGHTS | REFUSED_WEIGHTS),
            (self.groups, REFUSED_GROUPS),
        ):
            found += of[name][1] if name in of else ()
        if self.doubtful is not None:
            found += self.among(DOUBTFUL, self.doubtful)[2]
        if self.wrong is not None:
            name = self.wrong_setting[0]
            found += [name, *ALSO.get(name, ())]
        if self.weight == "both" and self.is_search:  # the small ones count for nothing
            found.append("weights")
        if self.how == "validated" and self.weight in WITHOUT_ROWS:
            found.append("NaN")  # which is in X_val, but in no row that counts
        if self.how == "partial_fit":
            found.append("class_weight='balanced'")
        if "categorical_features" in self.settings:
            found.append("categorical_features")
        if self.net == "numbers and codes" and self.container in tables.SPARSE:
            found.append("sparse")
        if self.net != "default":  # its columns and targets are not scaled
            found.append("diverged")
            if tables.HUGE & set(self.columns) or "huge" in self.y or "large" in self.y:
                found.append("too large for float32")
        found += ["drop_last"] * ("iterator_train__drop_last" in self.net_settings)
        if self.net == "default" and "train_split" in self.net_settings:
            found.append("train_split")  # but its early stopping needs one
        if self.net in ("norm and dropout", "double"):  # which have a BatchNorm
            small = self.net_settings.get("batch_size") == 1
            found += ["batch"] * (small or self.weight in WITHOUT_ROWS)
        if self.wrong_of_net is not None:
            found += [self.wrong_net_setting[0].split("__")[-1], "diverged"]
        return found

    @property
    def uses_generator(self):
        """Whether a second fit draws otherwise."""
        return not isinstance(self.settings["random_state"], int | np.integer)

    @property
    def columns_doubtful(self):
        """Whether columns lose what they are with their dtype."""
        return not set(self.columns) <= tables.NUMBERS.keys()

    @property
    def must_refuse(self):
        """Whether something is in the case that cannot be taken."""
        of_y = REFUSED_LABELS if self.task == "classifier" else REFUSED_TARGETS
        return (
            self.container in tables.NO_TABLES
            or self.y in of_y
            or self.weight in REFUSED_WEIGHTS
        )


KINDS = {
    kind.__name__: kind
    for kind in (MixupClassifier, MixupRegressor, MixupClassifierCV, MixupRegressorCV)
}


@st.composite
def cases(draw):
    """Cases most of whose parts are usual, so that others are reached."""

    def pick(usual, odd=(), doubtful=()):
        luck = draw(st.integers(0, 19))
        if luck >= 19 and doubtful:
            return draw(st.sampled_from(sorted(doubtful)))
        if luck >= 14 and odd:
            return draw(st.sampled_from(sorted(odd)))
        return draw(st.sampled_from(list(usual)))

    def rarely(n, share=1):
        return (
            draw(st.integers(0, n - 1))
            if draw(st.integers(0, 19)) > 19 - share
            else None
        )

    kind = draw(st.sampled_from(sorted(KINDS)))
    container = pick(
        [*tables.FRAMES, "frame", "frame"],
        tables.ARRAYS | tables.SPARSE,
        tables.NO_TABLES,
    )
    all_usual = tables.NUMBERS | tables.CATEGORIES
    odd = tables.ODD_NUMBERS | tables.OTHER_NUMBERS | tables.ODD_CATEGORIES
    doubtful = tables.DOUBTFUL
    if container not in tables.FRAMES:
        all_usual, odd, doubtful = tables.NUMBERS, tables.ODD_NUMBERS, ()
    width = draw(st.integers(1, 4))
    columns = tuple(pick(all_usual, odd, doubtful) for _ in range(width))
    classify = "Classifier" in kind
    if classify:
        y = pick(LABELS, ODD_LABELS, DOUBTFUL_LABELS | REFUSED_LABELS)
    else:
        y = pick(TARGETS, ODD_TARGETS, DOUBTFUL_TARGETS | REFUSED_TARGETS)
    how = draw(st.sampled_from(HOW))
    return Case(
        kind=kind,
        columns=columns,
        container=container,
        names=pick(["strings"], tables.NAMES)
        if container in tables.FRAMES
        else "strings",
        index=pick(["range"], tables.INDEXES) if container == "frame" else "range",
        n=draw(st.integers(12, 32)),
        y=y,
        weight=pick(WEIGHTS, ODD_WEIGHTS, DOUBTFUL_WEIGHTS | REFUSED_WEIGHTS),
        groups=pick(["none"], GROUPS, REFUSED_GROUPS),
        net=draw(st.sampled_from([*NETS, "default", "default"])),
        of_net=tuple(draw(st.lists(st.integers(0, len(OF_NET) - 1), max_size=2))),
        wrong_of_net=rarely(len(REFUSED_OF_NET) + len(OF_DEFAULT_NET)),
        params=tuple(draw(st.lists(st.integers(0, 60), max_size=3))),
        doubtful=rarely(60, 2),
        wrong=rarely(500),
        how="fit" if kind.endswith("CV") else how,
        change=draw(st.sampled_from(CHANGES)),
        seed=draw(st.integers(0, 2**16)),
    )
