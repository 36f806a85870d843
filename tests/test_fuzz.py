"""Tables and parameters of all kinds: what is valid works, what is not is explained.

The profile of hypothesis says how many: `HYPOTHESIS_PROFILE=thorough` tries the most.
"""

import traceback
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sample_nets import Parts
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
    mixing,
)

fuzz = settings(derandomize=True, suppress_health_check=list(HealthCheck))


def mlp(d_in, d_out):
    return nn.Sequential(nn.Linear(d_in, 8), nn.ReLU(), nn.Linear(8, d_out))


def own_net(task, module):
    kind = NeuralNetClassifier if task == "classifier" else NeuralNetRegressor
    criterion = nn.CrossEntropyLoss if task == "classifier" else nn.MSELoss
    shared = {"optimizer": torch.optim.Adam, "train_split": None, "verbose": 0}
    return kind(module, criterion=criterion, **shared)


def small_default(task):
    return default_net(task).set_params(module__d_block=8, module__k=2)


NETS = {
    "default": small_default,
    "mlp": lambda task: own_net(task, mlp),
    "numbers and codes": lambda task: own_net(task, Parts),
}


@st.composite
def columns(draw, n, rng):
    """One column of a table, by its kind."""
    kind = draw(st.sampled_from(["number", "int", "bool", "level", "id", "missing"]))
    if kind == "number":
        scale, offset = 10.0 ** draw(st.integers(-9, 9)), draw(st.sampled_from([0, 1]))
        return scale * (
            offset + rng.normal(size=n) * draw(st.sampled_from([0, 1e-3, 1]))
        )
    if kind == "int":
        return rng.integers(0, draw(st.sampled_from([1, 2, 50])), n)
    if kind == "bool":
        return rng.random(n) < 0.5
    if kind == "missing":
        return np.where(rng.random(n) < draw(st.sampled_from([0.2, 1])), np.nan, 1.0)
    if kind == "id":  # a category all of whose values are different
        return pd.Categorical(rng.permutation(n))
    n_levels = draw(st.integers(1, 4))
    return pd.Categorical(rng.choice(list("abcd")[:n_levels], n))


@st.composite
def tables(draw):
    """A frame of a few rows and columns, and a seed for what else there is."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(12, 40))
    some = [draw(columns(n, rng)) for _ in range(draw(st.integers(1, 4)))]
    frame = pd.DataFrame({f"c{j}": column for j, column in enumerate(some)})
    return frame, draw(st.integers(0, 99))


def targets(task, rng, n, scale):
    if task == "regressor":
        return scale * (1 + rng.normal(size=n))
    y = rng.integers(0, 3, n)
    y[:6] = [0, 1, 2, 0, 1, 2]  # each class twice
    return np.array(["u", "v", "w"])[y]


MIXINGS = ["mixup", "cutmix", mixing.FeatMix(), mixing.OwnMajor()]
PAIRINGS = {
    "classifier": ["shuffle", "same_class", "other_class", "nearest", "lisa"],
    "regressor": ["shuffle", "nearest", "similar_target"],
}


@st.composite
def settings_of(draw):
    return {
        "task": draw(st.sampled_from(["classifier", "regressor"])),
        "net": draw(st.sampled_from(list(NETS))),
        "search": draw(st.booleans()),
        "alpha": draw(st.sampled_from([0, 0.2, 1])),
        "lam_per": draw(st.sampled_from(["batch", "row"])),
        "mixing": draw(st.sampled_from(MIXINGS)),
        "pairing": draw(st.integers(0, 4)),
        "max_epochs": draw(st.integers(0, 2)),
        "batch_size": draw(st.sampled_from([1, 2, 7, 64, -1])),
        "weights": draw(st.booleans()),
        "as_list": draw(st.booleans()),
        "scale": 10.0 ** draw(st.integers(-9, 6)),
    }


def estimator_of(task, net, search, alpha, **params):
    if search:
        kind = MixupClassifierCV if task == "classifier" else MixupRegressorCV
        return kind(net, alphas=(0, alpha), cv=3, random_state=0, **params)
    kind = MixupClassifier if task == "classifier" else MixupRegressor
    return kind(net, alpha=alpha, random_state=0, **params)


def plain(**given):
    """Settings in which nothing is special but what is given."""
    base = {"task": "regressor", "net": "mlp", "search": True, "alpha": 0.2}
    base |= {"lam_per": "batch", "mixing": "mixup", "pairing": 0, "max_epochs": 2}
    base |= {"batch_size": 64, "weights": False, "as_list": False, "scale": 1.0}
    return base | given


N = np.arange(24.0)
NUMBERS = pd.DataFrame({"c0": 1.7e9 + 86400 * N, "c1": np.sin(N)})
LEVELS = pd.DataFrame({"c0": np.sin(N), "c1": pd.Categorical(N.astype(int) % 3)})
IDS = pd.DataFrame({"c0": np.sin(N), "c1": pd.Categorical(N.astype(int))})


@fuzz
@given(tables(), settings_of())
@example((NUMBERS, 0), plain(scale=1e-9))  # predictions far beyond the targets
@example((NUMBERS, 0), plain(net="numbers and codes"))  # of which there are none
@example((LEVELS, 0), plain(as_list=True))
@example((IDS, 0), plain(mixing=mixing.FeatMix()))
@example((NUMBERS, 0), plain(net="default", search=False, max_epochs=0))
def test_what_is_valid_is_fitted_and_predicts(table, given):
    (X, seed), task = table, given["task"]
    rng = np.random.default_rng(seed)
    y = targets(task, rng, len(X), given["scale"])
    net = NETS[given["net"]](task).set_params(
        max_epochs=given["max_epochs"], batch_size=given["batch_size"]
    )
    pairing = PAIRINGS[task][given["pairing"] % len(PAIRINGS[task])]
    knobs = {name: given[name] for name in ("alpha", "lam_per", "mixing")}
    if given["as_list"]:  # a list of rows, whose categories are named by position
        categories = [j for j, d in enumerate(X.dtypes) if str(d) == "category"]
        knobs["categorical_features"] = categories or "from_dtype"
        X = X.astype(object).values.tolist()
    clf = estimator_of(task, net, given["search"], pairing=pairing, **knobs)
    rows = {"groups": rng.integers(0, 3, len(y))} if pairing == "lisa" else {}
    if given["weights"]:
        rows["sample_weight"] = rng.integers(1, 4, len(y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        try:
            clf.fit(X, y, **rows)
        except ValueError as error:
            # Columns of a net of one's own are not scaled.
            if given["net"] == "default" or "diverged" not in str(error):
                raise
            return
        assert_predicts(clf, X, y, given["search"])


def assert_predicts(clf, X, y, search):
    predicted = clf.predict(X)
    assert predicted.shape == (len(y),)
    if hasattr(clf, "classes_"):
        proba = clf.predict_proba(X)
        assert_allclose(proba.sum(axis=1), 1)
        assert set(predicted) <= set(y)
    else:
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()
    if search:
        assert_allclose(clf.alpha_weights_.sum(), 1)
        assert clf.estimators_


WRONG = [
    ("net", "batch_size", 0),
    ("net", "batch_size", -5),
    ("net", "batch_size", None),
    ("net", "batch_size", 2.5),
    ("net", "iterator_train__batch_size", 0),
    ("net", "max_epochs", -1),
    ("net", "max_epochs", 1.5),
    ("net", "lr", 1e30),
    ("own", "alpha", -1),
    ("own", "mixing", "nothing"),
    ("own", "pairing", "nobody"),
    ("own", "layers", "nowhere"),
    ("own", "lam_per", "table"),
    ("own", "categorical_features", [99]),
    ("own", "clean_weight", np.nan),
    ("X", "infinity", None),
    ("X", "one column", None),
    ("X", "complex", None),
    ("y", "missing", None),
    ("y", "too short", None),
    ("fit", "sample_weight", [-1.0]),
]


@fuzz
@given(tables(), settings_of(), st.sampled_from(WRONG))
def test_what_is_not_valid_is_explained_by_us(table, given, wrong):
    (X, seed), task = table, given["task"]
    rng = np.random.default_rng(seed)
    where, name, value = wrong
    y, rows = targets(task, rng, len(X), 1.0), {}
    net = NETS[given["net"]](task).set_params(max_epochs=1)
    clf = estimator_of(task, net, given["search"], given["alpha"])
    if where == "net":
        clf.set_params(**{f"estimator__{name}": value})
    elif where == "own" and name in clf.get_params(deep=False):
        clf.set_params(**{name: value})
    elif where == "own":
        clf.set_params(alphas=(value,))
    elif where == "X":
        X = spoilt(X, name)
    elif where == "y":
        y = pd.Series(y).astype(object)
        y = y.where(y.index > 0, None) if name == "missing" else y[1:]
    else:
        rows[name] = np.full(len(y), value[0])
    if where == "net" and name == "lr":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert_finite_or_told(clf, X, y)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, TypeError)) as caught:
            clf.fit(X, y, **rows)
    assert not hasattr(clf, "estimator_")
    last = traceback.extract_tb(caught.value.__traceback__)[-1].filename
    assert any(f"/{package}/" in last for package in ("skmix", "sklearn")), last


def spoilt(X, how):
    numbers = np.ones((len(X), 2))
    if how == "one column":
        return numbers[:, 0]
    if how == "complex":
        return numbers * 1j
    numbers[0, 0] = np.inf
    return numbers


def assert_finite_or_told(clf, X, y):
    try:
        predicted = clf.fit(X, y).predict(X)
    except ValueError as error:
        if "diverged" not in str(error):
            raise
        return
    assert len(predicted) == len(y)
