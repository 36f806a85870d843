"""The door: labels, frames, weights, partial fits, and errors that teach."""

import io
import pickle
import re
import threading
import warnings
from copy import deepcopy
from fractions import Fraction
from functools import partial

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import (
    Layers,
    Linear,
    binary_net,
    full_batch_net,
    logits_net,
    number_net,
    short_default_net,
)
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, scale
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    TrainEndCheckpoint,
)
from skorch.dataset import ValidSplit
from torch import nn

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
)


@pytest.fixture(scope="module")
def binary(wine):
    X, y = wine
    return X[y < 2], y[y < 2]


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), y


@pytest.fixture
def clf():
    return MixupClassifier(logits_net(max_epochs=8), random_state=0)


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        ["red", "rosé", "white"],
        np.array(["c", "a", "b"], dtype=object),
        [-7, 0, 3],
        [2.0, 0.0, 1.0],
        pd.array(["z", "y", "x"], dtype="string"),
        pd.Categorical(["q", "r", "s"], categories=["s", "r", "q"]),
        pd.array([3, 1, 2], dtype="Int64"),
    ],
    ids=["str", "object", "negative", "float", "string", "category", "Int64"],
)
def test_labels_of_any_kind(wine, clf, labels):
    X, index = wine
    y = pd.Series(labels).iloc[index].reset_index(drop=True)
    clf.fit(X, y)
    assert_array_equal(clf.classes_, sorted(set(y)))
    assert clf.score(X, y) > 0.9
    proba = clf.predict_proba(X)
    assert proba.dtype == np.float64
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
    assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    assert_allclose(clf.predict_log_proba(X), np.log(proba))


@pytest.mark.parametrize("net", [logits_net, binary_net])
def test_boolean_labels(binary, net):
    X, y = binary
    clf = MixupClassifier(net(max_epochs=8), random_state=0).fit(X, y == 0)
    assert clf.predict(X).dtype == bool
    assert clf.score(X, y == 0) > 0.9
    assert clf.predict_proba(X).shape == (len(y), 2)


def test_threshold_of_the_binary_net(binary):
    X, y = binary
    net = binary_net(max_epochs=2, threshold=0.9)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    assert_array_equal(clf.predict(X), clf.predict_proba(X)[:, 1] > 0.9)


def test_class_missing_from_the_validation_split(wine):
    X, y = wine
    few = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:1]]
    last_first = ValidSplit(iter([(np.arange(40, len(few)), np.arange(40))]))
    net = logits_net(max_epochs=3, train_split=last_first)
    clf = MixupClassifier(net, random_state=0).fit(X[few], y[few])
    assert clf.predict_proba(X).shape == (len(y), 3)
    clf.fit(X, y, X_val=X[y == 1], y_val=y[y == 1])
    assert np.isfinite(clf.history_[:, "valid_loss"]).all()


def test_rare_classes_with_the_default_net(wine):
    X, y = wine
    keep = np.r_[0:59, 59:61, 130:131]  # 59, 2 and 1 rows of a class
    clf = MixupClassifier(short_default_net(), random_state=0).fit(X[keep], y[keep])
    assert_array_equal(clf.classes_, [0, 1, 2])


# Tables


def test_frames(wine, clf):
    X, y = wine
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    fitted = clone(clf).fit(frame, y)
    assert_array_equal(fitted.feature_names_in_, frame.columns)
    assert fitted.n_features_in_ == 13
    expected = clone(clf).fit(X, y).predict_proba(X)
    assert_array_equal(fitted.predict_proba(frame), expected)
    polars = pl.from_pandas(frame)
    assert_array_equal(clone(clf).fit(polars, y).predict_proba(polars), expected)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame[frame.columns[::-1]])
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame.rename(columns={"x0": "other"}))


def test_sparse_is_dense(wine, clf):
    X, y = wine
    X = np.where(X > 1, X, 0)
    dense = clone(clf).fit(X, y).predict_proba(X)
    for container in (sparse.csr_matrix, sparse.csr_array, sparse.coo_array):
        fitted = clone(clf).fit(container(X), y)
        assert_array_equal(fitted.predict_proba(container(X)), dense)
    weight = 1.0 + y
    weighted = clone(clf).fit(X, y, sample_weight=weight).predict_proba(X)
    fitted = clone(clf).fit(sparse.csr_array(X), y, sample_weight=weight)
    assert_array_equal(fitted.predict_proba(X), weighted)


def test_one_hot_encoder_in_front():
    words = np.random.default_rng(0).choice(list("abcdef"), size=(300, 3))
    y = (words[:, 0] == "a") | (words[:, 1] == "b")
    net = short_default_net(max_epochs=20)
    clf = make_pipeline(OneHotEncoder(), MixupClassifier(net, random_state=0))
    assert clf.fit(words, y).score(words, y) > 0.95


def test_inputs_are_not_changed(wine, clf):
    X, y = (a.copy() for a in wine)
    weight = np.arange(len(y)) % 3
    clf.fit(X, y, sample_weight=weight, X_val=X, y_val=y)
    clf.predict_proba(X)
    assert_array_equal(X, wine[0])
    assert_array_equal(y, wine[1])
    assert_array_equal(weight, np.arange(len(y)) % 3)


def test_the_users_net_is_never_touched(wine):
    X, y = wine
    net = logits_net(max_epochs=1)
    before = vars(net).copy()
    MixupClassifier(net, random_state=0).fit(X, y).partial_fit(X, y)
    assert vars(net) == before


def test_sizes_are_filled_in_only_where_not_given(wine):
    X, y = wine
    fitted = MixupClassifier(logits_net(max_epochs=1)).fit(X, y).estimator_
    assert (fitted.module__d_in, fitted.module__d_out) == (13, 3)
    wider = logits_net(max_epochs=1, module__d_out=4)
    with pytest.raises(ValueError, match=r"shape \(32, 4\).*\(32, 3\)"):
        MixupClassifier(wider).fit(X, y)


def test_column_scales_do_not_matter_to_the_default_net(diabetes):
    X, y = diabetes
    shifted = 1e4 * X + 1e5
    reg = MixupRegressor(short_default_net("regressor"), random_state=0)
    plain = clone(reg).fit(X, y).predict(X)
    assert_allclose(clone(reg).fit(shifted, y).predict(shifted), plain, rtol=0.02)
    # The target's neither, down to the last bit for a power of two.
    assert_allclose(clone(reg).fit(X, 2**40 * y).predict(X), 2**40 * plain, rtol=1e-9)


def test_default_net_is_the_default(wine):
    X, y = wine
    clf = MixupClassifier(random_state=0).fit(X, y)
    assert isinstance(clf.estimator_, NeuralNetClassifier)
    # What found the number of epochs, and what was then trained on all rows.
    losses = clf.history_[:, "valid_loss"]
    assert clf.n_iter_ == len(clf.estimator_.history)
    assert losses[clf.n_iter_ - 1] <= min(losses) * 1.001  # early stopping's threshold
    last = clf.estimator_.history[-1]["batches"]
    assert sum(batch["train_batch_size"] for batch in last) == len(y)
    reg = MixupRegressor(short_default_net("regressor")).fit(X, y)
    assert isinstance(reg.estimator_, NeuralNetRegressor)
    net = short_default_net(lr=1e-3, module__d_block=16)
    fitted = MixupClassifier(net).fit(X, y).estimator_
    assert fitted.module_.members[-1].in_features == 16
    assert fitted.lr == 1e-3


@pytest.mark.slow
def test_default_net_keeps_the_best_epoch_on_validation_rows(wine):
    X, y = (part[::2] for part in wine)
    net = default_net("classifier").set_params(criterion__label_smoothing=0)
    clf = MixupClassifier(net, random_state=0).fit(X, y, X_val=X, y_val=y)
    assert clf.history_ is clf.estimator_.history
    assert clf.n_iter_ == len(clf.history_)
    module = clf.estimator_.module_
    assert module.temperature != 1  # of the validation rows
    module.temperature.fill_(1)
    losses = clf.history_[:, "valid_loss"]
    loss = log_loss(y, clf.predict_proba(X))
    assert_allclose(loss, min(losses), rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_default_net_given_and_default_net_meant_are_the_same(wine, diabetes):
    for kind, task, (X, y) in (
        (MixupClassifier, "classifier", wine),
        (MixupRegressor, "regressor", diabetes),
    ):
        X, y = 100 * X[::3] + 3, y[::3]
        meant = kind(random_state=0).fit(X, y).predict(X)
        given = kind(default_net(task), random_state=0).fit(X, y).predict(X)
        assert_array_equal(meant, given)


def test_early_stopping_keeps_the_best_epoch(wine):
    X, y = wine
    rng = np.random.default_rng(0)
    noisy = rng.permutation(y)
    net = default_net("classifier").set_params(criterion__label_smoothing=0)
    clf = MixupClassifier(net, random_state=0)
    clf.fit(X, noisy, X_val=X, y_val=y)
    losses = clf.history_[:, "valid_loss"]
    assert clf.n_iter_ < 200
    clf.estimator_.module_.temperature.fill_(1)
    proba = clf.predict_proba(X)[np.arange(len(y)), y]
    assert_allclose(-np.log(proba).mean(), min(losses), rtol=1e-4)


def test_verbose(wine, capfd):
    X, y = wine
    net = logits_net(max_epochs=2, verbose=1)
    MixupClassifier(net).fit(X, y)
    assert capfd.readouterr().out == ""
    MixupClassifier(net, verbose=1).fit(X, y)
    assert "lam_mean" in capfd.readouterr().out


def test_small_split_is_warned_of(wine):
    X, y = wine
    net = NeuralNetClassifier(Layers, criterion=nn.CrossEntropyLoss, max_epochs=1)
    with pytest.warns(UserWarning, match="holds out 20 % of these 178 rows"):
        MixupClassifier(net).fit(X, y)
    with pytest.warns(UserWarning, match="holds out 20 % of these 178 rows"):
        MixupClassifier(net).partial_fit(X, y, classes=[0, 1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MixupClassifier(net).fit(X, y, X_val=X, y_val=y)


def test_objects_that_are_numbers_are_numbers(wine, clf):
    X, y = wine
    frame = pd.DataFrame(X).rename(columns=str).astype(object)
    expected = clone(clf).fit(X, y).predict_proba(X)
    assert_array_equal(clone(clf).fit(frame, y).predict_proba(frame), expected)


def test_set_output_of_frames_does_no_harm(wine):
    X, y = wine
    clf = MixupClassifier(short_default_net(), random_state=0)
    expected = clf.fit(X, y).predict_proba(X)
    with config_context(transform_output="pandas"):
        clf = clone(clf).fit(X, y)
        assert_array_equal(clf.predict_proba(X), expected)


def test_sizes_given_by_a_partial_are_given(wine):
    X, y = wine
    module = partial(Layers, d_out=3, d=7)
    fitted = MixupClassifier(logits_net(module=module, max_epochs=1)).fit(X, y)
    assert "module__d_out" not in vars(fitted.estimator_)
    assert fitted.estimator_.module__d_in == 13


def test_dict_for_a_net_that_takes_a_table(wine, clf):
    X, y = wine
    with pytest.raises(ValueError, match="Got X as a dict for a net of the default"):
        MixupClassifier().fit({"X": X}, y)
    with pytest.raises(ValueError, match=r"Got X as a dict.*13 columns"):
        clf.fit(X, y).predict({"X": X})
    clf.set_params(estimator__module__d_in=13).fit({"X": X}, y)
    with pytest.raises(ValueError, match=r"expected a dict of arrays"):
        clf.predict(X)


def test_odd_numbers(wine, clf, diabetes):
    X, y = wine
    weight = np.where(y == 0, 1e307, 5e306)
    huge = clone(clf).fit(X, y, sample_weight=weight)
    usual = clone(clf).fit(X, y, sample_weight=weight / 1e307)
    assert_allclose(huge.predict_proba(X), usual.predict_proba(X), rtol=1e-4)
    fraction = clone(clf).set_params(alpha=Fraction(1, 2)).fit(X, y)
    decimal = clone(clf).set_params(alpha=0.5).fit(X, y)
    assert_array_equal(fraction.predict_proba(X), decimal.predict_proba(X))
    X, y = diabetes
    half = (100 * y).astype(np.float16)
    reg = MixupRegressor(short_default_net("regressor"), random_state=0)
    assert np.isfinite(reg.fit(X, half).predict(X)).all()
    with pytest.raises(ValueError, match="variance is no finite number"):
        MixupRegressor().fit(X, 1e200 * y)


# partial_fit


def test_partial_fit_goes_on_where_fit_stopped(wine, clf):
    X, y = wine
    clf.fit(X, y)
    assert clf.n_iter_ == 8
    before = clf.predict_proba(X)
    clf.partial_fit(X, y)
    assert clf.n_iter_ == 9
    assert clf.estimator_.max_epochs == 8
    assert not np.array_equal(clf.predict_proba(X), before)


@pytest.mark.slow
def test_partial_fit_from_the_start(wine):
    X, y = wine
    streamed = [
        MixupClassifier(net, random_state=0) for net in (None, None, logits_net())
    ]
    for one in streamed:
        for _ in range(15):
            one.partial_fit(X[y != 2], y[y != 2], classes=[0, 1, 2])
            one.partial_fit(X[y == 2], y[y == 2])
        assert one.n_iter_ == 30
        assert one.score(X, y) > 0.6
        assert one.predict_proba(X).shape == (len(y), 3)
    first, second, _ = streamed
    assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_partial_fit_is_one_epoch_of_fit(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=1), random_state=3)
    once = clone(clf).fit(X, y).predict_proba(X)
    part = clone(clf).partial_fit(X, y, classes=[0, 1, 2])
    assert_array_equal(part.predict_proba(X), once)


def test_partial_fit_draws_anew_in_each_call(wine):
    X, y = wine
    net = full_batch_net(lr=0.0, optimizer=torch.optim.SGD)
    clf = MixupClassifier(net, alpha=1, random_state=0)
    for _ in range(3):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    assert len(set(clf.history_[:, "lam_mean"])) == 3


def test_partial_fit_weights(wine):
    X, y = wine
    clf = MixupClassifier(
        logits_net(max_epochs=1), class_weight={0: 1, 1: 2, 2: 3}, random_state=0
    )
    whole = clone(clf).fit(X, y, sample_weight=1.0 + y).predict_proba(X)
    part = clone(clf).partial_fit(X, y, classes=[0, 1, 2], sample_weight=1.0 + y)
    assert_array_equal(part.predict_proba(X), whole)


def test_partial_fit_of_a_fitted_default_net_trains_on_all_rows(wine):
    X, y = wine
    clf = MixupClassifier(short_default_net(), random_state=0).fit(X, y)
    epochs = clf.n_iter_
    clf.partial_fit(X, y)
    assert clf.n_iter_ == epochs + 1
    last = clf.history_[-1]["batches"]
    assert sum(batch["train_batch_size"] for batch in last) == len(y)


def test_partial_fit_errors(wine, clf):
    X, y = wine
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clf.partial_fit(X, y)
    clf.partial_fit(X[y < 2], y[y < 2], classes=[0, 1])
    with pytest.raises(ValueError, match=r"unknown labels \[2\]"):
        clf.partial_fit(X, y)
    with pytest.raises(ValueError, match="but expected those of the first call"):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="Got one class only"):
        clone(clf).partial_fit(X, y, classes=[0])
    with pytest.raises(ValueError, match="balanced"):
        clone(clf).set_params(class_weight="balanced").partial_fit(X, y, [0, 1, 2])


# Errors: what was got, what was expected, the way out.


def assert_refused(estimator, error, match, *args, **kwargs):
    """A failed fit says why and leaves the fitted estimator as it was."""
    before = vars(estimator).copy()
    with pytest.raises(error, match=match):
        estimator.fit(*args, **kwargs)
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())


@pytest.mark.parametrize(
    ("name", "value", "error", "match"),
    [
        ("alpha", -1, ValueError, "Got alpha=-1, but expected a finite number"),
        ("alpha", float("nan"), ValueError, "alpha=0 trains without mixing"),
        ("alpha", float("inf"), ValueError, "finite"),
        ("alpha", 10**400, ValueError, "finite"),
        ("alpha", "0.2", TypeError, "Got alpha='0.2'"),
        ("alpha", None, TypeError, "Got alpha=None"),
        ("alpha", True, TypeError, "Got alpha=True"),
        ("lam_per", "rows", ValueError, "'rows', but expected 'batch' or 'row'"),
        ("lam_per", ["row"], TypeError, "expected 'batch' or 'row'"),
        ("mixing", "mix", ValueError, "but expected 'mixup'"),
        ("mixing", 0.5, TypeError, "but expected 'mixup'"),
        ("pairing", "near", ValueError, "but expected 'shuffle'"),
        ("layers", "blocks.0", ValueError, "but expected 'input'"),
        ("clean_weight", -1, ValueError, "but expected a finite number"),
        ("categorical_features", 3, TypeError, "a sequence of column names"),
        ("categorical_features", [0.5], TypeError, "a sequence of column names"),
        ("categorical_features", "kind", ValueError, r"\['kind'\] names one column"),
        ("categorical_features", [99], ValueError, "positions from 0 to 12"),
        ("verbose", 7, ValueError, "expected 0 or 1"),
        ("random_state", "seed", ValueError, "cannot be used to seed"),
        ("estimator__lr", "x", TypeError, "lr='x', but expected a number of at"),
        ("estimator__lr", None, TypeError, "lr=None, but expected a number of at"),
        ("estimator__lr", np.nan, ValueError, "lr=nan, but expected a number of at"),
        ("estimator__lr", -1.0, ValueError, "lr=-1.0, but expected a number of at"),
        ("estimator__optimizer__lr", "x", TypeError, "Got optimizer__lr='x', but"),
        ("estimator__optimizer__lr", -1.0, ValueError, "Got optimizer__lr=-1.0, but"),
        ("random_state", -1, ValueError, "random_state=-1, but expected an integer"),
        ("random_state", 2**32, ValueError, "an integer from 0 to"),
        ("class_weight", "even", ValueError, "'even', but expected 'balanced'"),
        ("class_weight", {0: -1, 1: 1, 2: 1}, ValueError, "finite numbers of at least"),
        ("class_weight", {0: np.nan}, ValueError, "finite numbers of at least 0"),
        ("class_weight", {0: 1, 1: 0, 2: 0}, ValueError, "at least two classes"),
    ],
)
def test_bad_parameters(wine, name, value, error, match):
    X, y = wine
    fitted = MixupClassifier(logits_net(max_epochs=1)).fit(X, y)
    fitted.set_params(**{name: value})
    assert_refused(fitted, error, match, X, y)


def test_the_rate_of_the_optimizer_goes_before_that_of_the_net(wine):
    rates = {"lr": None, "optimizer__lr": 0.01}
    for make in (logits_net, short_default_net):
        assert MixupClassifier(make(max_epochs=1, **rates)).fit(*wine).n_iter_ == 1


class FindsItsRate(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr=0.01 if lr in (None, "auto") else lr)


@pytest.mark.parametrize("rate", [None, "auto"])
def test_an_optimizer_of_ones_own_may_find_its_rate(wine, rate):
    for optimizer in (FindsItsRate, partial(FindsItsRate)):
        net = logits_net(max_epochs=1, lr=rate, optimizer=optimizer)
        assert MixupClassifier(net).fit(*wine).n_iter_ == 1
        with pytest.raises(ValueError, match=r"Got lr=-1\.0, but expected"):
            MixupClassifier(net.set_params(lr=-1.0)).fit(*wine)


@pytest.mark.parametrize(
    ("estimator", "error", "match"),
    [
        (NeuralNetClassifier, TypeError, r"MixupClassifier\(NeuralNetClassifier\("),
        (Layers(), TypeError, r"skorch.NeuralNetClassifier\(Layers"),
        (Layers, TypeError, r"skorch.NeuralNetClassifier\(Layers"),
        (lambda: Layers(), TypeError, r"skorch.NeuralNetClassifier\(<lambda>"),
        (make_pipeline(logits_net()), TypeError, "Got a Pipeline.* in a Pipeline"),
        ("mlp", TypeError, "Got a str as estimator"),
        (number_net(), TypeError, "Use skmix.MixupRegressor"),
    ],
)
def test_bad_estimators(wine, estimator, error, match):
    X, y = wine
    fitted = MixupClassifier(logits_net(max_epochs=1)).fit(X, y)
    fitted.estimator = estimator
    assert_refused(fitted, error, match, X, y)


def test_classifier_net_in_a_regressor(wine):
    with pytest.raises(TypeError, match=r"Use skmix\.MixupClassifier"):
        MixupRegressor(logits_net()).fit(*wine)


def test_trained_module_instance(wine):
    X, y = wine
    X32 = X.astype(np.float32)
    instance = logits_net(module=Layers(d_in=13, d_out=3), max_epochs=1)
    clf = MixupClassifier(instance)
    first = clf.set_params(random_state=0).fit(X, y).predict_proba(X)
    assert_array_equal(clf.fit(X, y).predict_proba(X), first)  # nobody trained it
    instance.fit(X32, y)
    with pytest.raises(ValueError, match="trained weights would leak"):
        clf.fit(X, y)
    for use in (clone, lambda e: GridSearchCV(e, {"alpha": [0]}, cv=2).fit(X, y)):
        with pytest.raises(ValueError, match="trained weights would leak"):
            use(clf)
    fitted = logits_net(max_epochs=1, module__d_in=13, module__d_out=3).fit(X32, y)
    MixupClassifier(fitted).fit(X, y)  # a class starts afresh in each fit


def test_nested_parameters_on_the_default_net():
    for estimator, task in ((MixupClassifier(), "class"), (MixupRegressor(), "regr")):
        with pytest.raises(ValueError, match=rf"estimator__lr.*default_net\('{task}"):
            estimator.set_params(estimator__lr=0.1)
        estimator.set_params(estimator=default_net("classifier"), estimator__lr=0.1)
        assert estimator.estimator.lr == 0.1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X, y: (X[:, 0], y), "Expected 2D array"),
        (
            lambda X, y: (np.where(X > 2, np.inf, X), y),
            r"contains infinity in columns \(0, .*replace it by NaN",
        ),
        (lambda X, y: (np.full_like(X, 1e300), y), "too large for float32"),
        (lambda X, y: (X, np.zeros(len(y))), "one class only"),
        (lambda X, y: (X, y + 0.5), "Unknown label type: continuous"),
        (lambda X, y: (X, np.eye(3)[y]), r"shape \(178, 3\).*MultiOutputClassifier"),
        (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
        (lambda X, y: (X, None), "requires y to be passed"),
        (lambda X, y: (X[:1], y[:1]), "minimum of 2 is required"),
        (lambda X, y: (X[:0], y[:0]), "0 sample"),
        (lambda X, y: (np.array([[b"a", b"b"]] * len(y)), y), "numeric"),
        (lambda X, y: (sparse.csr_array(X * [np.nan, *[1] * 12]), y), "contains NaN"),
        (
            lambda X, y: (
                pd.DataFrame(X).assign(day=pd.Timestamp(0)).rename(columns=str),
                y,
            ),
            r"dates or times \(day\).*DatetimeEncoder",
        ),
        (
            lambda X, y: (
                pd.DataFrame(
                    {"x": y, "note": [f"number {i} of them" for i in range(178)]}
                ),
                y,
            ),
            r"free text \(note\).*StringEncoder",
        ),
    ],
)
def test_bad_tables(wine, change, match):
    X, y = wine
    fitted = MixupClassifier(logits_net(max_epochs=1)).fit(X, y)
    assert_refused(fitted, ValueError, match, *change(X, y))


def test_column_vector_of_labels_is_warned_of(wine, clf):
    X, y = wine
    with pytest.warns(DataConversionWarning):
        clf.fit(X, y[:, None])


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.linspace(-1, 1, 178), r"negative sample_weight \(-1.0\)"),
        (np.zeros(178), "zero for every row"),
        (np.ones(3), r"shape \(3,\), but expected \(178,\)"),
        (np.ones((178, 2)), "shape"),
        (np.full(178, np.nan), "NaN"),
        (["heavy"] * 178, "sample_weight that cannot be read as numbers"),
    ],
)
def test_bad_weights(wine, clf, weight, match):
    X, y = wine
    assert_refused(clf.fit(X, y), ValueError, match, X, y, sample_weight=weight)


def test_weights_that_are_no_array(wine, clf):
    with pytest.raises(TypeError, match="sample_weight that cannot be read"):
        clf.fit(*wine, sample_weight={"u": 1})


@pytest.mark.parametrize(
    ("groups", "kind"), [("g", ValueError), ([[1]] * 178, TypeError)]
)
def test_bad_groups(wine, clf, groups, kind):
    if kind is TypeError:
        groups = pd.Series(groups)
    with pytest.raises(kind, match=r"(?i)got groups.*a group for each row"):
        clf.fit(*wine, groups=groups)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ({}, "empty dict"),
        ({"X": 3}, "3 as 'X'"),
        ({"X": np.ones((178, 2)), "Z": np.ones(177)}, "'X': 178, 'Z': 177"),
    ],
)
def test_dicts_of_other_things_than_columns(wine, clf, X, match):
    with pytest.raises((TypeError, ValueError), match=f"{match}.*a dict of arrays"):
        clf.fit(X, wine[1])


@pytest.mark.parametrize("values", [[1e300, -1e300], [1e300, 1e300]])
def test_columns_too_large_for_the_net_are_named(values):
    X = pd.DataFrame({"kind": list("abcd") * 5, "small": 1.0, "wide": values * 10})
    clf = MixupClassifier(logits_net(max_epochs=1))
    with pytest.raises(ValueError, match=r"in columns \(wide\).*another unit"):
        clf.fit(X, X["kind"])


def test_one_class_left_by_the_weights(wine, clf):
    X, y = wine
    weight = (y == 1).astype(float)
    assert_refused(
        clf.fit(X, y), ValueError, "one class only", X, y, sample_weight=weight
    )


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (lambda X, y: {"X_val": X}, "X_val without y_val"),
        (lambda X, y: {"y_val": y}, "y_val without X_val"),
        (lambda X, y: {"X_val": X, "y_val": y + 1}, r"y_val with unknown.*\[3\]"),
        (lambda X, y: {"X_val": X[:, 1:], "y_val": y}, "13 features"),
        (lambda X, y: {"X_val": X, "y_val": y[1:]}, "inconsistent"),
        (lambda X, y: {"X_val": X * np.nan, "y_val": y}, "NaN"),
    ],
)
def test_bad_validation_rows(wine, clf, rows, match):
    X, y = wine
    assert_refused(clf.fit(X, y), ValueError, match, X, y, **rows(X, y))


def test_a_strength_may_be_a_float32_of_numpy(wine, clf):
    X, y = wine
    told = clone(clf).set_params(alpha=float(np.float32(0.2))).fit(X, y)
    same = clone(clf).set_params(alpha=np.float32(0.2)).fit(X, y)
    assert_array_equal(same.predict_proba(X), told.predict_proba(X))


def test_errors_of_validation_rows_say_that_they_are_these(wine, clf):
    X, y = wine
    for wrong in (X * np.nan, X[:, 1:]):
        with pytest.raises(ValueError, match=r"contains NaN|13 features") as error:
            clf.fit(X, y, X_val=wrong, y_val=y)
        assert error.value.__notes__ == ["(These rows are X_val.)"]
    with pytest.raises(ValueError, match=r"Got y_val with unknown labels") as error:
        clf.fit(X, y, X_val=X, y_val=y + 9)
    assert not hasattr(error.value, "__notes__")


def test_wrong_columns_at_predict(wine, clf):
    X, y = wine
    with pytest.raises(NotFittedError):
        clf.predict(X)
    assert not hasattr(clf, "classes_")
    clf.fit(X, y)
    with pytest.raises(ValueError, match="expecting 13 features"):
        clf.predict(X[:, 1:])
    with pytest.raises(ValueError, match=r"contains NaN.*no number was missing when"):
        clf.predict(X * np.nan)


class NoProbabilities(nn.Module):
    """A criterion whose outputs skorch takes for probabilities."""

    reduction = "mean"

    def forward(self, output, y):
        return ((output - nn.functional.one_hot(y, output.shape[1])) ** 2).mean()


@pytest.mark.parametrize(
    ("net", "match"),
    [
        (
            NeuralNetClassifier(Layers, train_split=None),
            "no probabilities.*NLLLoss.*softmax",
        ),
        (
            logits_net(criterion=NoProbabilities),
            "no probabilities.*predict_nonlinearity",
        ),
        (
            logits_net(predict_nonlinearity=torch.exp),
            "no probabilities",
        ),
        (logits_net(module__d_out=2), r"\(32, 2\), but expected \(32, 3\)"),
        (logits_net(module__d_out=7), r"\(32, 7\), but expected \(32, 3\)"),
    ],
    ids=["NLLLoss", "criterion", "nonlinearity", "narrow", "wide"],
)
def test_bad_outputs(wine, clf, net, match):
    X, y = wine
    clf.fit(X, y)
    clf.estimator = net.set_params(batch_size=32)
    assert_refused(clf, ValueError, match, X, y)


def test_softmax_twice_is_warned_of(wine):
    net = logits_net(module__softmax=True, max_epochs=1)
    with pytest.warns(UserWarning, match="probabilities already"):
        MixupClassifier(net).fit(*wine)


@pytest.mark.parametrize("callback", [EarlyStopping(), Checkpoint()])
def test_callbacks_without_validation_rows_to_watch(wine, callback, tmp_path):
    X, y = wine
    name = type(callback).__name__
    if name == "Checkpoint":
        callback.set_params(dirname=str(tmp_path))
    clf = MixupClassifier(logits_net(max_epochs=1, callbacks=[callback]))
    with pytest.raises(ValueError, match=rf"\({name}\), but no such rows"):
        clf.fit(X, y)
    clf.fit(X, y, X_val=X, y_val=y)


def test_binary_net_of_three_classes(wine):
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        MixupClassifier(binary_net()).fit(*wine)


def test_regressor_of_two_outputs(diabetes):
    with pytest.raises(ValueError, match=r"\(32, 2\), but expected \(32, 1\)"):
        MixupRegressor(number_net(module__d_out=2)).fit(*diabetes)


def test_diverged_net_is_not_believed(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(module=Linear, max_epochs=1)).fit(X, y)
    clf.estimator_.module_.output.bias.data[0] = float("nan")  # by other hands
    with pytest.raises(ValueError, match="diverged; lower `lr`"):
        clf.predict_proba(X)


def test_diverged_regressor_is_not_believed(diabetes):
    X, y = diabetes
    reg = MixupRegressor(number_net(module=Linear, max_epochs=1)).fit(X, y)
    reg.estimator_.module_.output.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match="diverged; lower `lr`"):
        reg.predict(X)


def test_targets_too_large(diabetes):
    X, y = diabetes
    with pytest.raises(ValueError, match="Got y with a value too large for float32"):
        MixupRegressor(number_net()).fit(X, 1e60 * y)


def test_nothing_to_train_on(wine):
    net = logits_net(batch_size=1000, iterator_train__drop_last=True)
    with pytest.raises(ValueError, match=r"drop_last=True and fewer rows \(178\)"):
        MixupClassifier(net).fit(*wine)


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_criterion_without_row_losses(wine, lam_per):
    X, y = wine

    class Sum(nn.Module):
        def forward(self, logits, y):
            return nn.functional.cross_entropy(logits, y)

    net = logits_net(
        criterion=Sum, predict_nonlinearity=nn.Softmax(dim=-1), max_epochs=1
    )
    clf = MixupClassifier(net, lam_per=lam_per)
    with pytest.raises(
        ValueError, match=r"Use lam_per='batch', mixing='mixup' and no row"
    ):
        clf.fit(X, y, sample_weight=1.0 + y)
    if lam_per == "row":
        with pytest.raises(ValueError, match="Sum has none"):
            clf.fit(X, y)
    else:
        clf.fit(X, y)


def test_interrupted_fit_leaves_the_estimator_as_it_was(wine, clf):
    X, y = wine

    class Breaks(Layers):
        def forward(self, X):
            raise MemoryError

    clf.fit(X, y)
    clf.estimator = logits_net(module=Breaks)
    assert_refused(clf, MemoryError, None, X, y)


class BreaksLater(Layers):
    broken = False

    def forward(self, X):
        if BreaksLater.broken and self.training and torch.rand(()) < 0.3:
            raise MemoryError
        return super().forward(X)


def test_a_failed_partial_fit_leaves_net_and_history_as_they_were(wine):
    X, y = wine
    net = logits_net(module=BreaksLater, batch_size=10, max_epochs=2)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    before, history = clf.predict_proba(X), list(clf.history_)
    BreaksLater.broken = True
    try:
        with pytest.raises(MemoryError):
            clf.partial_fit(X, y)
    finally:
        BreaksLater.broken = False
    assert_array_equal(clf.predict_proba(X), before)
    assert list(clf.history_) == history
    assert len(clf.partial_fit(X, y).history_) == 3


def test_callbacks_that_cannot_be_copied_go_on_in_partial_fit(wine):
    X, y = wine

    class Locked(Callback):
        def __init__(self):
            self.lock, self.epochs = threading.Lock(), 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    clf = MixupClassifier(logits_net(max_epochs=1), random_state=0).fit(X, y)
    callback = Locked()
    clf.estimator_.callbacks_.append(("locked", callback))
    clf.partial_fit(X, y).partial_fit(X, y)
    assert callback.epochs == 2


class Refits(Layers):
    """Has its estimator fitted on other labels while it predicts."""

    refit = None

    def forward(self, X):
        if Refits.refit is not None and not self.training:
            refit, Refits.refit = Refits.refit, None
            thread = threading.Thread(target=refit)
            thread.start()
            thread.join()
        return super().forward(X)


def test_a_prediction_is_of_one_fit(wine):
    X, y = wine
    net = logits_net(module=Refits, max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    expected = clf.predict_proba(X)
    Refits.refit = partial(clf.fit, X, np.array(list("abcdef"))[2 * y + (X[:, 0] > 0)])
    assert_array_equal(clf.predict_proba(X), expected)
    assert clf.predict_proba(X).shape == (len(X), 6)


# Numbers of epochs and sizes of batches.


@pytest.mark.parametrize("net", [default_net("classifier"), logits_net()])
def test_no_epochs_initialise_a_classifier(wine, net):
    X, y = wine
    net = clone(net).set_params(max_epochs=0)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    assert clf.n_iter_ == len(clf.history_) == 0
    assert clf.predict_proba(X).shape == (len(X), 3)
    assert clf.partial_fit(X, y).n_iter_ == 1


@pytest.mark.parametrize("net", [default_net("regressor"), number_net()])
def test_no_epochs_initialise_a_regressor(diabetes, net):
    X, y = diabetes
    net = clone(net).set_params(max_epochs=0)
    reg = MixupRegressor(net, random_state=0).fit(X, y, X_val=X, y_val=y)
    assert reg.n_iter_ == 0
    assert reg.predict(X).shape == y.shape


def test_no_epochs_have_none_that_is_best(wine, tmp_path):
    X, y = wine
    callbacks = [
        EarlyStopping(load_best=True),
        Checkpoint(load_best=True, dirname=str(tmp_path)),
        TrainEndCheckpoint(dirname=str(tmp_path)),
    ]
    net = logits_net(max_epochs=0, callbacks=callbacks)
    clf = MixupClassifier(net).fit(X, y, X_val=X, y_val=y)
    assert [type(cb) for _, cb in clf.estimator_.callbacks_[-4:-1]] == [
        type(callback) for callback in callbacks
    ]


SIZES = ["batch_size", "iterator_train__batch_size", "iterator_valid__batch_size"]


@pytest.mark.parametrize("net", [default_net("classifier"), logits_net()])
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-5, ValueError)]
    + [(value, TypeError) for value in (None, True, 2.5, "32", [8])],
)
@pytest.mark.parametrize("name", SIZES)
def test_bad_batch_sizes(wine, net, name, value, error):
    X, y = wine
    net = clone(net).set_params(**{name: value})
    match = rf"Got {name}=.*, but expected an integer of at least 1, or -1"
    with pytest.raises(error, match=match):
        MixupClassifier(net).fit(X, y)
    with pytest.raises(error, match=match):
        MixupClassifier(net).partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("size", [-1, np.int64(20), np.int32(-1), 10_000])
@pytest.mark.parametrize("name", SIZES)
def test_good_batch_sizes(wine, name, size):
    X, y = wine
    net = logits_net(max_epochs=1).set_params(**{name: size})
    clf = MixupClassifier(net).fit(X, y, X_val=X, y_val=y)
    counts = {
        part: clf.history_[-1, f"{part}_batch_count"] for part in ("train", "valid")
    }
    n_batches = 1 if size == -1 else -(-len(y) // size)
    expected = dict.fromkeys(("train", "valid"), -(-len(y) // 32))
    if name == "batch_size":
        expected = dict.fromkeys(("train", "valid"), n_batches)
    else:
        expected["train" if name.startswith("iterator_train") else "valid"] = n_batches
    assert counts == expected
    assert clf.predict(X).shape == y.shape


@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (2.5, TypeError), (None, TypeError), (True, TypeError)],
)
@pytest.mark.parametrize("net", [default_net("classifier"), logits_net()])
def test_bad_numbers_of_epochs(wine, net, value, error):
    net = clone(net).set_params(max_epochs=value)
    with pytest.raises(error, match=r"max_epochs=.*an integer of at least 0"):
        MixupClassifier(net).fit(*wine)


def test_loaders_with_a_sampler_have_sizes_of_their_own(wine):
    X, y = wine
    batches = [list(range(0, 90)), list(range(90, 178))]
    net = logits_net(max_epochs=1, batch_size=None)
    net.set_params(
        iterator_train__batch_sampler=batches,
        iterator_train__batch_size=1,
        iterator_valid__batch_size=50,
    )
    clf = MixupClassifier(net).fit(X, y)
    assert clf.history_[-1, "train_batch_count"] == 2


# skorch's default split.

SCHEDULE = LRScheduler("ReduceLROnPlateau", monitor="valid_loss")


class OwnCallback(Callback):
    pass


class OwnDefaults(NeuralNetClassifier):
    def get_default_callbacks(self):
        return [*super().get_default_callbacks(), ("stop", EarlyStopping())]


def split_net(kind=NeuralNetClassifier, **params):
    params = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1} | params
    return kind(Layers, **params)


@pytest.mark.parametrize(
    "net",
    [
        split_net(callbacks=[EarlyStopping()]),
        split_net(callbacks=[EarlyStopping]),
        split_net(callbacks=[("stop", EarlyStopping(monitor="valid_acc"))]),
        split_net(callbacks=[EpochScoring("accuracy", name="acc")]),
        split_net(callbacks=[BatchScoring("accuracy", name="acc")]),
        split_net(callbacks=[SCHEDULE]),
        split_net(callbacks=[OwnCallback()]),
        split_net(callbacks=[OwnCallback]),
        split_net(kind=OwnDefaults),
        split_net(train_split=ValidSplit(5)),
        split_net(train_split=ValidSplit(5, stratified=True)),
        split_net(train_split=None),
    ],
)
def test_a_split_that_is_given_or_watched_is_not_warned_of(wine, net):
    # (A warning is an error in tests.)
    assert MixupClassifier(net).fit(*wine).n_iter_ >= 1


def test_a_checkpoint_watches_the_split(wine, tmp_path):
    net = split_net(callbacks=[Checkpoint(dirname=str(tmp_path))])
    MixupClassifier(net).fit(*wine)


@pytest.mark.parametrize(
    "callbacks",
    [
        [],
        "disable",
        [LRScheduler("StepLR", step_size=1)],
        [LRScheduler("ReduceLROnPlateau", monitor="train_loss")],
        [EpochScoring("accuracy", on_train=True, name="acc")],
        [EarlyStopping(monitor="train_loss")],
    ],
)
def test_a_split_that_nobody_watches_is_warned_of(wine, callbacks):
    net = split_net(callbacks=callbacks)
    for estimator in (MixupClassifier(net), clone(MixupClassifier(net))):
        with pytest.warns(UserWarning, match="holds out 20 % of these 178 rows"):
            estimator.fit(*wine)


def test_the_default_of_a_subclass_is_skorchs(diabetes):
    class Own(NeuralNetRegressor):
        def __init__(self, *args, size=3, **kwargs):
            super().__init__(*args, **kwargs)
            self.size = size

    net = Own(Layers, max_epochs=1, lr=1e-3)
    with pytest.warns(UserWarning, match="holds out 20 % of these"):
        MixupRegressor(net).fit(*diabetes)


# Losses of rows, scores that are not there.


class OwnMean(NeuralNetClassifier):
    def get_loss(self, *args, **kwargs):
        return super().get_loss(*args, **kwargs).mean()


class RowLosses(nn.Module):
    def forward(self, output, y):
        return nn.functional.cross_entropy(output, y, reduction="none")


class FocalLoss(nn.CrossEntropyLoss):
    """Makes one number of the losses of rows."""

    def __init__(self):
        super().__init__(reduction="none")

    def forward(self, output, y):
        loss = super().forward(output, y)
        return ((1 - torch.exp(-loss)) * loss).mean()


@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize(
    "net",
    [
        logits_net(criterion__reduction="none"),
        logits_net(criterion=nn.CrossEntropyLoss(reduction="none")),
        logits_net(criterion=partial(nn.CrossEntropyLoss, reduction="none")),
        default_net("classifier").set_params(criterion__reduction="none"),
    ],
)
def test_a_criterion_of_losses_of_rows_is_refused(wine, net, lam_per):
    clf = MixupClassifier(net, lam_per=lam_per)
    with pytest.raises(ValueError, match=r"expected 'mean' or 'sum'.*get_loss"):
        clf.fit(*wine)


def test_a_criterion_of_losses_of_rows_is_refused_for_numbers(diabetes):
    for net in (number_net(), default_net("regressor")):
        net.set_params(criterion__reduction="none")
        with pytest.raises(ValueError, match="expected 'mean' or 'sum'"):
            MixupRegressor(net).fit(*diabetes)


def test_a_criterion_of_ones_own_has_one_loss_for_a_batch(wine):
    net = logits_net(criterion=RowLosses, predict_nonlinearity=nn.Softmax(dim=-1))
    with pytest.raises(ValueError, match=r"shape \(32,\).*expected one number"):
        MixupClassifier(net).fit(*wine)


def test_who_makes_one_number_of_them_may_have_losses_of_rows(wine):
    params = logits_net(criterion__reduction="none").get_params(deep=False)
    for net in (OwnMean(**params), logits_net(criterion=FocalLoss)):
        clf = MixupClassifier(net).fit(*wine)
        assert np.isfinite(clf.history_[:, "train_loss"]).all()


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(monitor="valid_auc"),
        Checkpoint(monitor="valid_auc_best", f_params=None, f_optimizer=None),
        LRScheduler("ReduceLROnPlateau", monitor="valid_auc"),
    ],
)
def test_a_score_that_is_not_there_is_named(wine, callback, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = wine
    name = type(callback).__name__
    scoring = EpochScoring("roc_auc_ovr", name="valid_auc", lower_is_better=False)
    clf = MixupClassifier(logits_net(callbacks=[callback], max_epochs=2))
    match = rf"monitor='valid_auc\w*' for the callback {name}.*train_loss, .*valid_loss"
    with pytest.raises(ValueError, match=match):
        clf.fit(X, y, X_val=X, y_val=y)
    clf.set_params(estimator__callbacks=[callback, scoring])  # too late
    with pytest.raises(ValueError, match="stand before it"):
        clf.fit(X, y, X_val=X, y_val=y)
    clf.set_params(estimator__callbacks=[scoring, callback])
    clf.fit(X, y, X_val=X, y_val=y)


class Raises(Callback):
    monitor = "nothing"

    def on_epoch_end(self, net, **kwargs):
        raise KeyError("something else")


def test_other_errors_of_callbacks_are_theirs(wine):
    with pytest.raises(KeyError, match="something else"):
        MixupClassifier(logits_net(callbacks=[Raises()])).fit(*wine)


# partial_fit goes on with the parameters of now.


@pytest.fixture
def started(wine):
    net = logits_net(optimizer=torch.optim.SGD, optimizer__momentum=0.9, max_epochs=2)
    return MixupClassifier(net, random_state=0).fit(*wine)


def buffers(clf):
    states = clf.estimator_.optimizer_.state.values()
    return [state["momentum_buffer"].clone() for state in states]


def weights(clf):
    return [p.detach().clone() for p in clf.estimator_.module_.parameters()]


ROUND_TRIPS = {
    "same": lambda clf: clf,
    "pickle": lambda clf: pickle.loads(pickle.dumps(clf)),
    "deepcopy": deepcopy,
    "joblib": lambda clf: through_joblib(clf),
}


def through_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("trip", ROUND_TRIPS)
def test_partial_fit_takes_a_changed_learning_rate_and_keeps_momentum(
    wine, started, trip
):
    clf = ROUND_TRIPS[trip](started)
    before, moving = weights(clf), buffers(clf)
    clf.set_params(estimator__lr=0.0).partial_fit(*wine)
    assert clf.estimator_.lr == 0
    assert all(map(torch.equal, before, weights(clf)))
    clf.set_params(estimator__optimizer__momentum=0.5).partial_fit(*wine)
    assert clf.estimator_.optimizer_.param_groups[0]["momentum"] == 0.5
    assert clf.estimator_.get_params()["optimizer__momentum"] == 0.5
    assert len(buffers(clf)) == len(moving)  # (whose values went on)


@pytest.mark.parametrize("trip", ROUND_TRIPS)
def test_partial_fit_touches_nothing_that_did_not_change(wine, started, trip):
    X, y = wine
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 1.0]))
    net = logits_net(
        criterion=criterion,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        callbacks=[EpochScoring("accuracy", on_train=True, name="acc")],
        max_epochs=2,
    )
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    clf = ROUND_TRIPS[trip](clf)
    clf.estimator_.set_params(lr=0.0)  # by other hands
    before = weights(clf)
    clf.partial_fit(X, y)
    assert all(map(torch.equal, before, weights(clf)))
    clf.set_params(estimator=clone(clf.estimator)).partial_fit(X, y)
    assert all(map(torch.equal, before, weights(clf)))


CHANGES = {
    "batch_size": 50,
    "iterator_train__batch_size": 50,
    "iterator_train__drop_last": True,
    "iterator_valid__batch_size": 50,
    "optimizer": torch.optim.RMSprop,
    "criterion__label_smoothing": 0.1,
    "criterion": nn.NLLLoss,
    "callbacks": [EpochScoring("accuracy", on_train=True, name="acc")],
    "callbacks__print_log": None,
    "train_split": ValidSplit(4, stratified=True),
    "optimizer__nesterov": True,
    "optimizer__param_groups": [("output*", {"lr": 0.0})],
}


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize("name", CHANGES)
def test_partial_fit_takes_what_can_be_set_on_a_living_net(wine, started, name, trip):
    X, y = wine
    clf, value = ROUND_TRIPS[trip](started), CHANGES[name]
    clf.set_params(**{f"estimator__{name}": value})
    if name == "criterion":  # which wants probabilities
        with pytest.raises(ValueError, match="no probabilities"):
            clf.partial_fit(X, y)
        return
    clf.partial_fit(X, y)
    net = clf.estimator_
    last = clf.history_[-1]
    sizes = [b["train_batch_size"] for b in last["batches"] if "train_loss" in b]
    assert clf.n_iter_ == 3
    if name in ("batch_size", "iterator_train__batch_size"):
        assert sizes == [50, 50, 50, 28]
    elif name == "iterator_train__drop_last":
        assert sizes == [32] * 5
    elif name == "optimizer":
        assert type(net.optimizer_) is torch.optim.RMSprop
    elif name == "criterion__label_smoothing":
        assert net.criterion_.label_smoothing == 0.1
    elif name == "callbacks":
        assert "acc" in last
        assert clf.estimator.callbacks[0] is not dict(net.callbacks_)["EpochScoring"]
    elif name == "callbacks__print_log":
        assert "print_log" not in dict(net.callbacks_)
    elif name == "train_split":
        assert sum(sizes) < len(y)
    elif name == "optimizer__nesterov":
        assert net.optimizer_.param_groups[0]["nesterov"]
    elif name == "optimizer__param_groups":
        assert [group["lr"] for group in net.optimizer_.param_groups] == [0, 0.01]
    state = vars(clf)["_fitted_with"]
    clf.partial_fit(X, y)
    assert vars(clf)["_fitted_with"] is state  # nothing changed any more


def test_a_criterion_that_changes_leaves_the_momentum(wine, started):
    moving = buffers(started)
    started.set_params(estimator__criterion__label_smoothing=0.1, estimator__lr=0.0)
    started.partial_fit(*wine)
    assert len(buffers(started)) == len(moving) > 0
    assert started.estimator_.optimizer_.param_groups[0]["lr"] == 0


def test_partial_fit_takes_a_rate_where_a_schedule_starts_from(wine):
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.5)
    net = logits_net(optimizer=torch.optim.SGD, callbacks=[schedule], max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(*wine)
    clf.set_params(estimator__lr=0.2).partial_fit(*wine)
    assert clf.history_[-1, "event_lr"] > 0.09


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize("begin", ["fit", "partial_fit", "set_params"])
def test_partial_fit_goes_on_with_LBFGS_and_its_directions(wine, begin, trip):
    X, y = wine
    kind = torch.optim.SGD if begin == "set_params" else torch.optim.LBFGS
    net = logits_net(optimizer=kind, lr=0.1, batch_size=-1, max_epochs=1)
    clf = MixupClassifier(net, random_state=0)
    if begin == "partial_fit":
        clf.partial_fit(X, y, classes=[0, 1, 2])
    else:
        clf.fit(X, y)
    clf = ROUND_TRIPS[trip](clf.set_params(estimator__optimizer=torch.optim.LBFGS))
    clf.partial_fit(X, y)
    (state,) = clf.estimator_.optimizer_.state.values()
    n_before = state["n_iter"]
    clf = ROUND_TRIPS[trip](clf)
    clf.partial_fit(X, y)
    (state,) = clf.estimator_.optimizer_.state.values()
    assert state["n_iter"] > n_before
    assert type(clf.estimator_.optimizer_) is torch.optim.LBFGS
    mine = list(clf.estimator_.module_.parameters())
    held = clf.estimator_.optimizer_.param_groups[0]["params"]
    assert all(a is b for a, b in zip(mine, held, strict=True))


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize("also", [{}, {"estimator__optimizer__nesterov": True}])
def test_partial_fit_takes_a_schedule_that_comes_later(wine, started, trip, also):
    clf = ROUND_TRIPS[trip](started)
    callbacks = [LRScheduler("StepLR", step_size=1, gamma=0.5)]
    clf.set_params(estimator__callbacks=callbacks, **also)
    clf.partial_fit(*wine).partial_fit(*wine)
    assert 0 < clf.history_[-1, "event_lr"] < clf.history_[-2, "event_lr"] < 0.01


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("lr", -1.0, ValueError, "Invalid learning rate: -1.0"),
        ("lr", "a", TypeError, "not supported between"),
        ("optimizer__momentum", -5.0, ValueError, "Invalid momentum"),
        ("optimizer__weight_decay", -1.0, ValueError, "Invalid weight_decay"),
        ("max_epochs", -1, ValueError, "max_epochs=-1"),
        ("max_epochs", "a", TypeError, "max_epochs='a'"),
        ("batch_size", 0, ValueError, "batch_size=0"),
    ],
)
def test_partial_fit_refuses_what_fit_does(
    wine, started, name, value, error, message, trip
):
    clf = ROUND_TRIPS[trip](started)
    before = weights(clf)
    clf.set_params(**{f"estimator__{name}": value})
    with pytest.raises(error, match=message):
        clf.partial_fit(*wine)
    assert all(map(torch.equal, before, weights(clf)))
    assert clf.estimator_.optimizer_.param_groups[0]["lr"] == 0.01


def test_partial_fit_leaves_alone_what_a_group_of_parameters_names_itself(wine):
    groups = [("*bias", {"lr": 0.0}), ("no such", {"lr": 3.0})]
    net = logits_net(
        optimizer=torch.optim.SGD, optimizer__param_groups=groups, max_epochs=1
    )
    clf = MixupClassifier(net, random_state=0).fit(*wine)
    clf.set_params(estimator__lr=0.5).partial_fit(*wine)
    rates = [group["lr"] for group in clf.estimator_.optimizer_.param_groups]
    assert rates == [0.0, 0.5]


def test_partial_fit_takes_a_changed_callback(wine):
    callback = GradientNormClipping(1.0)
    net = logits_net(callbacks=[callback], max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(*wine)
    callback.gradient_clip_value = 1e-9
    clf.partial_fit(*wine)
    given = dict(clf.estimator_.callbacks_)["GradientNormClipping"]
    assert given.gradient_clip_value == 1e-9


def test_partial_fit_takes_the_class_weights_of_now(wine):
    X, y = wine
    weight = {0: 1.0, 1: 2.0, 2: 3.0}
    clf = MixupClassifier(logits_net(max_epochs=1), random_state=0).fit(X, y)
    weighted = deepcopy(clf).set_params(class_weight=weight).partial_fit(X, y)
    expected = clf.partial_fit(X, y, sample_weight=1.0 + y)
    assert_array_equal(weighted.predict_proba(X), expected.predict_proba(X))
    weighted.set_params(class_weight=None).partial_fit(X, y)
    assert_array_equal(
        weighted.predict_proba(X), expected.partial_fit(X, y).predict_proba(X)
    )


def test_partial_fit_takes_the_verbose_of_now(wine, capfd):
    clf = MixupClassifier(logits_net(max_epochs=1)).fit(*wine)
    assert capfd.readouterr().out == ""
    clf.set_params(verbose=1).partial_fit(*wine)
    assert capfd.readouterr().out
    clf.set_params(verbose=0).partial_fit(*wine)
    assert capfd.readouterr().out == ""


class OwnNet(NeuralNetClassifier):
    pass


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"estimator__module__d": 8}, "estimator__module__d"),
        ({"estimator__module": Linear}, "estimator__module"),
        ({"estimator__device": "meta"}, "estimator__device"),
        ({"estimator": OwnNet(**logits_net().get_params(deep=False))}, "estimator"),
        ({"estimator": default_net("classifier")}, "estimator"),
        ({"estimator": None}, "estimator"),
        ({"categorical_features": [0]}, "categorical_features"),
    ],
)
def test_partial_fit_refuses_what_cannot_be_set(wine, started, params, names, trip):
    clf = ROUND_TRIPS[trip](started)
    clf.set_params(**params)
    before = vars(clf).copy()
    with pytest.raises(ValueError, match=f"Got another {names}.* Call fit to train"):
        clf.partial_fit(*wine)
    assert all(vars(clf)[name] is value for name, value in before.items())


@pytest.mark.parametrize(
    "given", [pytest.param(None, marks=pytest.mark.slow), short_default_net()]
)
def test_partial_fit_of_the_default_net_takes_changes_too(wine, given):
    X, y = wine
    clf = MixupClassifier(given, random_state=0).fit(X, y)
    clf.estimator = default_net("classifier").set_params(lr=1e-9, batch_size=89)
    clf.partial_fit(X, y)
    assert clf.estimator_.optimizer_.param_groups[0]["lr"] == 1e-9
    sizes = [batch["train_batch_size"] for batch in clf.history_[-1]["batches"]]
    assert sizes == [89, 89]
    clf.set_params(estimator__callbacks=[EpochScoring("accuracy", on_train=True)])
    assert "accuracy" in clf.partial_fit(X, y).history_[-1]
    clf.estimator = logits_net()
    with pytest.raises(ValueError, match="Got another estimator than"):
        clf.partial_fit(X, y)


def test_parameters_that_cannot_be_compared_do_no_harm(wine):
    class Odd(NeuralNetClassifier):
        def __init__(self, *args, weights=None, **kwargs):
            super().__init__(*args, **kwargs)
            self.weights = weights

    params = logits_net(max_epochs=1).get_params(deep=False)
    net = Odd(**params, weights=np.ones(3))
    net.set_params(criterion__weight=torch.ones(3))
    clf = MixupClassifier(net, random_state=0).fit(*wine).partial_fit(*wine)
    clf.set_params(estimator__weights=np.zeros(3)).partial_fit(*wine)
    assert_array_equal(clf.estimator_.weights, np.zeros(3))
    clf.set_params(estimator__criterion__weight=torch.tensor([1.0, 0, 0]))
    clf.partial_fit(*wine)
    assert clf.estimator_.criterion_.weight.tolist() == [1, 0, 0]


# Another `print`.


PRINTING = {
    "own": lambda: logits_net(max_epochs=2),
    "stops": lambda: logits_net(max_epochs=2, callbacks=[EarlyStopping()]),
    "class": lambda: logits_net(max_epochs=2, callbacks=[("stop", EarlyStopping)]),
    "default": lambda: short_default_net(max_epochs=2),
    "none": lambda: None,
}


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize(
    "name", [*list(PRINTING)[:-1], pytest.param("none", marks=pytest.mark.slow)]
)
def test_another_print_may_have_taken_its_place(
    wine, monkeypatch, capfd, name, verbose
):
    X, y = (part[::4] for part in wine)
    clf = MixupClassifier(PRINTING[name](), verbose=verbose, random_state=0)
    lines = []
    if name == "none" and verbose:
        return  # (as "default", for 150 epochs)
    monkeypatch.setattr("builtins.print", lambda *args, **_: lines.append(args))
    clf.fit(X, y, X_val=X, y_val=y)
    assert bool(lines) == bool(verbose)
    copies = [pickle.loads(pickle.dumps(clf)), through_joblib(clf), deepcopy(clf)]
    copies.append(clone(clf).fit(X, y, X_val=X, y_val=y))
    monkeypatch.undo()
    assert capfd.readouterr().out == ""
    for copy in copies:
        assert_array_equal(copy.predict_proba(X), clf.predict_proba(X))


def test_a_model_of_before_pickles_after(wine, monkeypatch):
    X, y = wine
    clf = MixupClassifier(PRINTING["stops"](), verbose=0, random_state=0)
    clf.fit(X, y, X_val=X, y_val=y)
    monkeypatch.setattr("builtins.print", lambda *args: None)
    data = pickle.dumps(clf)
    monkeypatch.undo()
    again = pickle.loads(data)
    assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert dict(again.estimator_.callbacks_)["print_log"].sink is print
    assert again.estimator.callbacks[0].sink is print
    assert b"skmix" not in pickle.dumps(clf.estimator_)


def test_a_fitted_net_prints_if_it_is_told_to(wine, capfd):
    X, y = wine
    net = MixupClassifier(logits_net(max_epochs=1)).fit(X, y).estimator_
    X = X.astype(np.float32)
    net.partial_fit(X, y)
    assert capfd.readouterr().out == ""
    net.set_params(verbose=1).partial_fit(X, y)
    assert capfd.readouterr().out


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_sink_of_ones_own_is_ones_own(wine, verbose, capfd):
    lines = []
    net = logits_net(max_epochs=1, callbacks__print_log__sink=lines.append)
    MixupClassifier(net, verbose=verbose).fit(*wine)
    assert lines
    assert capfd.readouterr().out == ""


# What a module puts out, and how its criterion weighs.


class Parts(Layers):
    def forward(self, X):
        hidden = self.hidden(X)
        return self.output(hidden), hidden


class FirstPart(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return super().get_loss(y_pred[0], y_true, *args, **kwargs)


@pytest.mark.parametrize("alpha", [0, 1])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_parts_that_get_loss_does_not_take_apart_are_told(wine, task, lam_per, alpha):
    X, y = wine
    if task == "classifier":
        one, many = MixupClassifier, MixupClassifierCV
        net = logits_net(module=Parts, max_epochs=1)
    else:
        one, many = MixupRegressor, MixupRegressorCV
        net = number_net(module=Parts, max_epochs=1)
    told = r"Got a tuple of 2 from the module.*get_loss take the first part"
    with pytest.raises(ValueError, match=told):
        one(net, alpha=alpha, lam_per=lam_per).fit(X, y)
    with pytest.raises(ValueError, match=told):
        many(net, alphas=[0, 1], cv=2, lam_per=lam_per).fit(X, y)


class Named(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.output = nn.Linear(d_in, d_out)

    def forward(self, x):
        return {"logits": self.output(x)}


def of_width_4():
    return nn.Linear(4, 3)


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
def test_errors_of_a_users_module_say_what_it_gets(wine, kind):
    X, y = wine
    with pytest.raises(ValueError, match=r"a dict of 1 .*y_pred\['logits'\]"):
        kind(logits_net(module=Named, max_epochs=1)).fit(X, y)
    table = pd.DataFrame(X[:, :3], columns=list("abc"))
    table["place"] = np.array(["here", "there", "else"])[np.arange(len(y)) % 3]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        kind(logits_net(module=of_width_4, max_epochs=1)).fit(table, y)
    (note,) = caught.value.__notes__
    assert "rows of width 6" in note
    assert "names d_in" in note
    assert "one-hot" in note
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        kind(logits_net(module=of_width_4, max_epochs=1)).fit(X, y)
    assert "one-hot" not in caught.value.__notes__[0]
    smoothed = logits_net(max_epochs=1, criterion__label_smoothing=1.5)
    with pytest.raises(RuntimeError, match="label_smoothing") as caught:
        kind(smoothed).fit(X, y)
    assert not getattr(caught.value, "__notes__", [])


def test_parts_that_get_loss_takes_apart_are_fine(wine):
    net = FirstPart(**logits_net(module=Parts, max_epochs=1).get_params(deep=False))
    predicted = MixupClassifier(net).fit(*wine).predict(wine[0])
    assert set(predicted) <= set(wine[1])


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
@pytest.mark.parametrize("weight", [[1.0, 2.0, 3.0], np.ones(3)])
def test_weights_of_a_criterion_are_a_tensor(wine, kind, weight):
    net = logits_net(max_epochs=1, criterion__weight=weight)
    with pytest.raises(TypeError, match=r"criterion__weight as .* class_weight"):
        kind(net).fit(*wine)


@pytest.mark.parametrize("n_weights", [1, 2, 4])
def test_a_criterion_weighs_each_class_once(wine, n_weights):
    told = r"Got criterion__weight of shape .*one weight for each class"
    weight = torch.ones(n_weights)
    nets = [
        logits_net(max_epochs=1, criterion__weight=weight),
        logits_net(max_epochs=1, criterion=nn.CrossEntropyLoss(weight=weight)),
    ]
    for net in nets:
        with pytest.raises(ValueError, match=told):
            MixupClassifier(net).fit(*wine)
        with pytest.raises(ValueError, match=told):
            MixupClassifierCV(net, cv=2, alphas=[0, 1]).fit(*wine)
    clf = MixupClassifier(logits_net(max_epochs=1)).fit(*wine)
    with pytest.raises(ValueError, match=told):
        clf.set_params(estimator__criterion__weight=weight).partial_fit(*wine)


def holding_out():
    net = NeuralNetClassifier(Layers, criterion=nn.CrossEntropyLoss, verbose=0)
    return net.set_params(max_epochs=1, module__d_out=3)


def learning_too_fast():
    linear = partial(nn.Linear, 13, 3)
    return logits_net(module=linear, max_epochs=5, lr=1e6, optimizer=torch.optim.SGD)


HALF = ShuffleSplit(1, test_size=0.5, random_state=0)
TOLD_OF = {
    "split": ("train_split", MixupClassifier(holding_out())),
    "split, in a pipeline": (
        "train_split",
        make_pipeline(FunctionTransformer(), MixupClassifier(holding_out())),
    ),
    "split, in a grid": (
        "train_split",
        GridSearchCV(MixupClassifier(holding_out()), {"alpha": [0]}, cv=2),
    ),
    "softmax": (
        "probabilities already",
        MixupClassifier(logits_net(max_epochs=1, module__softmax=True)),
    ),
    "softmax, in a search": (
        "probabilities already",
        MixupClassifierCV(logits_net(max_epochs=1, module__softmax=True), cv=2),
    ),
    "losses": ("hardly learnt", MixupClassifier(learning_too_fast(), random_state=0)),
    "one fold": ("One fold", MixupClassifierCV(logits_net(max_epochs=1), cv=HALF)),
    "one by one": (
        "one by one",
        MixupClassifierCV(logits_net(max_epochs=1, optimizer=torch.optim.LBFGS), cv=2),
    ),
}


@pytest.mark.parametrize("case", TOLD_OF)
def test_warnings_point_at_the_users_line(wine, case):
    told, model = TOLD_OF[case]
    with pytest.warns(Warning, match=told) as caught:
        clone(model).fit(*wine)
    found = {c.filename for c in caught if re.search(told, str(c.message))}
    assert found == {__file__}


def test_partial_fit_warns_at_the_users_line_of_a_split_that_serves_for_nothing(wine):
    with pytest.warns(UserWarning, match="train_split") as caught:
        MixupClassifier(holding_out()).partial_fit(*wine, classes=[0, 1, 2])
    assert [warning.filename for warning in caught] == [__file__]


def test_who_passes_validation_losses_on_has_a_use_for_rows_held_out(wine):
    net = holding_out().set_params(
        callbacks=[("mine", PassthroughScoring("valid_loss"))]
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        MixupClassifier(net).fit(*wine)
    assert not [warning for warning in told if "train_split" in str(warning.message)]


def test_a_batch_of_one_row_is_explained(wine):
    X, y = wine
    only_one = (np.arange(len(y)) == 0).astype(float)
    for batch_size, weight in ((1, None), (128, only_one)):
        net = number_net(batch_size=batch_size, max_epochs=1)
        with pytest.raises(ValueError, match=r"one row.*Use a larger batch_size"):
            MixupRegressor(net).fit(X, y, sample_weight=weight)


def test_a_single_row_to_predict_is_no_batch_in_training(wine):
    class Unaware(Layers):
        """Normalises by the rows that it is given, in evaluation, too."""

        def forward(self, X):
            return super().forward(
                nn.functional.batch_norm(X, None, None, training=True)
            )

    X, y = wine
    clf = MixupClassifier(logits_net(module=Unaware, max_epochs=1)).fit(X, y)
    with pytest.raises(ValueError, match="more than 1 value per channel") as error:
        clf.predict(X[:1])
    assert "in training, but" not in str(error.value)


def test_batch_sizes_of_numpy(wine):
    X, y = wine
    net = short_default_net(batch_size=np.int64(32))
    assert MixupClassifier(net, random_state=0).fit(X, y).score(X, y) > 0.3
