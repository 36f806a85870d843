"""The door: labels, frames, weights, partial fits, and errors that teach."""

import threading
import warnings
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from nets import Layers, Linear, binary_net, full_batch_net, logits_net, number_net
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, scale
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skmix import MixupClassifier, MixupRegressor, default_net


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
    clf = MixupClassifier(random_state=0).fit(X[keep], y[keep])
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
    clf = make_pipeline(OneHotEncoder(), MixupClassifier(random_state=0))
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
    reg = MixupRegressor(random_state=0)
    plain = clone(reg).fit(X, y).predict(X)
    assert_allclose(clone(reg).fit(shifted, y).predict(shifted), plain, rtol=0.02)
    # The target's neither, down to the last bit for a power of two.
    assert_allclose(clone(reg).fit(X, 2**40 * y).predict(X), 2**40 * plain, rtol=1e-9)


def test_default_net_is_the_default(wine):
    X, y = wine
    clf = MixupClassifier(random_state=0).fit(X, y)
    assert type(clf.estimator_) is NeuralNetClassifier
    # What found the number of epochs, and what was then trained on all rows.
    best = [row["epoch"] for row in clf.history_ if row["valid_loss_best"]][-1]
    assert clf.n_iter_ == len(clf.estimator_.history) == best
    assert clf.estimator_.train_split is None
    assert type(MixupRegressor().fit(X, y).estimator_) is NeuralNetRegressor
    net = default_net("classifier").set_params(lr=1e-3, module__d_block=16)
    fitted = MixupClassifier(net).fit(X, y).estimator_
    assert fitted.module_.members[-1].in_features == 16
    assert fitted.lr == 1e-3


def test_default_net_keeps_the_best_epoch_on_validation_rows(wine):
    X, y = wine
    clf = MixupClassifier(random_state=0).fit(X, y, X_val=X, y_val=y)
    assert clf.history_ is clf.estimator_.history
    assert clf.n_iter_ == len(clf.history_)
    module = clf.estimator_.module_
    assert module.temperature != 1  # of the validation rows
    module.temperature.fill_(1)
    losses = clf.history_[:, "valid_loss"]
    assert_allclose(log_loss(y, clf.predict_proba(X)), min(losses), rtol=1e-4)


def test_default_net_given_and_default_net_meant_are_the_same(wine, diabetes):
    for kind, task, (X, y) in (
        (MixupClassifier, "classifier", wine),
        (MixupRegressor, "regressor", diabetes),
    ):
        X = 100 * X + 3
        meant = kind(random_state=0).fit(X, y).predict(X)
        given = kind(default_net(task), random_state=0).fit(X, y).predict(X)
        assert_array_equal(meant, given)


def test_early_stopping_keeps_the_best_epoch(wine):
    X, y = wine
    rng = np.random.default_rng(0)
    noisy = rng.permutation(y)
    clf = MixupClassifier(random_state=0)
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
    net = logits_net(train_split=ValidSplit(5), max_epochs=1)
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
    expected = MixupClassifier(random_state=0).fit(X, y).predict_proba(X)
    with config_context(transform_output="pandas"):
        clf = MixupClassifier(random_state=0).fit(X, y)
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
    assert np.isfinite(MixupRegressor(random_state=0).fit(X, half).predict(X)).all()
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


def test_partial_fit_from_the_start(wine):
    X, y = wine
    streamed = [
        MixupClassifier(net, random_state=0) for net in (None, None, logits_net())
    ]
    for one in streamed:
        for _ in range(30):
            one.partial_fit(X[y != 2], y[y != 2], classes=[0, 1, 2])
            one.partial_fit(X[y == 2], y[y == 2])
        assert one.n_iter_ == 60
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
    clf = MixupClassifier(random_state=0).fit(X, y)
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
    with pytest.raises(ValueError, match="Got classes with one class only"):
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
    ],
)
def test_bad_weights(wine, clf, weight, match):
    X, y = wine
    assert_refused(clf.fit(X, y), ValueError, match, X, y, sample_weight=weight)


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
    net = logits_net(module=Linear, optimizer=torch.optim.SGD, lr=float("inf"))
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="diverged; lower `lr`"):
        clf.predict_proba(X)


def test_diverged_regressor_is_not_believed(diabetes):
    net = number_net(module=Linear, optimizer=torch.optim.SGD, lr=float("inf"))
    reg = MixupRegressor(net, random_state=0).fit(*diabetes)
    with pytest.raises(ValueError, match="diverged; lower `lr`"):
        reg.predict(diabetes[0])


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
