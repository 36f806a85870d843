"""Shares of classes, and probabilities under other priors."""

import pickle
import sys
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import (
    Layers,
    binary_net,
    full_batch_net,
    logits_net,
    short_default_net,
)
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    load,
    save,
)
from skmix._tables.targets import check_labels, under_priors
from skmix.inspection import mixup_effect

CLF = MixupClassifier(logits_net(max_epochs=2), random_state=0)
SEARCH = MixupClassifierCV(
    logits_net(max_epochs=2), alphas=(0, 0.5), cv=3, random_state=0
)
PRIORS = [0.2, 0.5, 0.3]


def expected(proba, priors, shares):
    """Bayes' rule, one row and class after the other."""
    rows = [
        [p * q / s for p, q, s in zip(row, priors, shares, strict=True)]
        for row in proba
    ]
    return np.array([np.array(row) / sum(row) for row in rows])


# The correction.


def test_it_is_bayes_rule():
    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=50)
    shares = np.array([0.7, 0.2, 0.1])
    found = under_priors(proba, np.array(PRIORS), shares)
    assert_allclose(found, expected(proba, PRIORS, shares), rtol=1e-12)


def test_the_shares_themselves_change_nothing():
    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=50)
    shares = np.array([0.7, 0.2, 0.1])
    assert_allclose(under_priors(proba, shares, shares), proba, rtol=1e-12)


def test_there_and_back():
    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=50)
    shares, priors = np.array([0.7, 0.2, 0.1]), np.array(PRIORS)
    there = under_priors(proba, priors, shares)
    assert_allclose(under_priors(there, shares, priors), proba, rtol=1e-12)


def test_probabilities_of_0_stay_finite():
    proba = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    found = under_priors(proba, np.array([0, 0.5, 0.5]), np.full(3, 1 / 3))
    assert_allclose(found, [[0, 0.5, 0.5], [0, 0.5, 0.5]])


def test_classes_without_rows_have_no_probability():
    proba = np.array([[0.1, 0.3, 0.6]])
    found = under_priors(proba, np.array([0.5, 0.5, 0]), np.array([0.5, 0, 0.5]))
    assert_allclose(found, [[1, 0, 0]])


# The estimators.


@pytest.mark.parametrize("estimator", [CLF, SEARCH], ids=["single", "search"])
@pytest.mark.parametrize("priors", ["uniform", PRIORS, tuple(PRIORS)])
def test_predictions_are_those_without_priors_corrected(wine, estimator, priors):
    X, y = wine
    plain = clone(estimator).fit(X, y)
    clf = clone(estimator).set_params(priors=priors).fit(X, y)
    assert_allclose(clf.class_prior_, np.bincount(y) / len(y), rtol=1e-12)
    wanted = np.full(3, 1 / 3) if isinstance(priors, str) else priors
    proba = expected(plain.predict_proba(X), wanted, plain.class_prior_)
    assert_allclose(clf.predict_proba(X), proba, rtol=1e-10)
    assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    assert_allclose(clf.predict_log_proba(X), np.log(proba), atol=1e-10)


def test_a_search_finds_all_else_without_priors(wine):
    X, y = wine
    plain = clone(SEARCH).fit(X, y)
    clf = clone(SEARCH).set_params(priors=PRIORS).fit(X, y)
    assert clf.temperature_ == plain.temperature_
    assert clf.alpha_ == plain.alpha_
    assert_array_equal(clf.oof_proba_, plain.oof_proba_)
    assert_array_equal(clf.alpha_weights_, plain.alpha_weights_)
    for name in ("mean_test_score", "std_test_score"):
        assert_array_equal(clf.cv_results_[name], plain.cv_results_[name])


def test_a_score_of_ones_own_sees_what_is_predicted(cancer):
    X, y = cancer
    kept = (y == 1) | (np.arange(len(y)) % 10 == 0)
    X, y = X[kept], y[kept]
    search = clone(SEARCH).set_params(scoring="balanced_accuracy")
    plain = clone(search).fit(X, y)
    clf = search.set_params(priors="uniform").fit(X, y)
    member, plain_member = clf.estimators_[0], plain.estimators_[0]
    assert clf.best_score_ != plain.best_score_
    proba = plain_member.predict_proba(X)
    corrected = expected(proba, [0.5, 0.5], plain_member.class_prior_)
    assert_allclose(member.predict_proba(X), corrected, rtol=1e-10)


@pytest.mark.parametrize("ensemble", ["blend", True, False])
def test_a_search_counts_all_of_its_rows(wine, ensemble):
    X, y = wine
    weight = 1.0 + y
    search = clone(SEARCH).set_params(ensemble=ensemble, class_weight={0: 3.0})
    search.fit(X, y, sample_weight=weight)
    mass = np.bincount(y, weight) * [3, 1, 1]
    assert_allclose(search.class_prior_, mass / mass.sum(), rtol=1e-12)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0, 1: 5.0}])
@pytest.mark.parametrize("weighted", [False, True])
def test_shares_count_all_weights(wine, class_weight, weighted):
    X, y = wine
    weight = np.arange(len(y)) % 3.0 if weighted else None  # a third of them is 0
    clf = clone(CLF).set_params(class_weight=class_weight)
    mass = np.bincount(y, weight)
    if class_weight == "balanced":
        mass = np.ones(3)
    elif class_weight is not None:
        mass = mass * [2.0, 5.0, 1.0]
    clf.fit(X, y, sample_weight=weight)
    assert_allclose(clf.class_prior_, mass / mass.sum(), rtol=1e-12)


def test_copies_count_as_weights(wine):
    X, y = wine
    copies = 1 + y
    net = full_batch_net(max_epochs=5)
    clf = MixupClassifier(net, alpha=0, priors="uniform", random_state=0)
    rows = np.repeat(np.arange(len(y)), copies)
    repeated = clone(clf).fit(X[rows], y[rows])
    clf.fit(X, y, sample_weight=copies)
    assert_allclose(clf.class_prior_, repeated.class_prior_, rtol=1e-12)
    assert_allclose(clf.predict_proba(X), repeated.predict_proba(X), rtol=1e-6)


def test_partial_fit_counts_the_rows_of_all_calls(wine):
    X, y = wine
    clf = clone(CLF).set_params(priors="uniform")
    clf.partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
    assert_array_equal(clf.class_prior_[2], 0)
    assert_array_equal(clf.predict_proba(X)[:, 2], 0)  # of which no row was there
    clf.partial_fit(X, y)
    mass = np.bincount(y) + np.bincount(y[y < 2], minlength=3)
    assert_allclose(clf.class_prior_, mass / mass.sum(), rtol=1e-12)
    again = clf.fit(X, y).class_prior_
    assert_allclose(again, np.bincount(y) / len(y), rtol=1e-12)


def test_priors_are_those_of_now(wine):
    X, y = wine
    clf = clone(CLF).fit(X, y)
    uniform = clone(CLF).set_params(priors="uniform").fit(X, y).predict_proba(X)
    assert_array_equal(clf.set_params(priors="uniform").predict_proba(X), uniform)


def test_a_net_of_one_output_has_priors_too(cancer):
    X, y = cancer
    clf = MixupClassifier(binary_net(max_epochs=2, module__d_out=1), random_state=0)
    clf.set_params(estimator__module__d_in=X.shape[1])
    plain = clone(clf).fit(X, y)
    clf.set_params(priors="uniform").fit(X, y)
    proba = expected(plain.predict_proba(X), [0.5, 0.5], plain.class_prior_)
    assert_allclose(clf.predict_proba(X), proba, rtol=1e-6)
    assert_array_equal(clf.predict(X), clf.classes_[(proba[:, 1] > 0.5).astype(int)])


def test_they_survive_pickles_clones_pipelines_and_grids(wine):
    X, y = wine
    clf = clone(CLF).set_params(priors=np.array(PRIORS)).fit(X, y)
    again = pickle.loads(pickle.dumps(clf))
    assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(clone(clf).priors, PRIORS)
    pipe = make_pipeline(StandardScaler(), clone(CLF))
    grid = {"mixupclassifier__priors": [None, "uniform"]}
    assert GridSearchCV(pipe, grid, cv=2).fit(X, y).predict(X).shape == y.shape


# What it is for.


def imbalanced(n, rng, share=0.9):
    y = (rng.random(n) > share).astype(int)
    return rng.normal(size=(n, 2)) + 1.2 * y[:, None], y


def test_uniform_priors_serve_balanced_accuracy():
    rng = np.random.default_rng(0)
    X, y = imbalanced(2_000, rng)
    X_test, y_test = imbalanced(20_000, rng)
    net = full_batch_net(lr=0.1, max_epochs=200)
    plain = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    before = balanced_accuracy_score(y_test, plain.predict(X_test))
    uniform = plain.set_params(priors="uniform")
    assert balanced_accuracy_score(y_test, uniform.predict(X_test)) > before + 0.1


def test_a_resampled_table_is_corrected():
    """Trained on as many rows of each class, it is right where one is rare."""
    rng = np.random.default_rng(0)
    X, y = imbalanced(4_000, rng, share=0.5)
    X_test, y_test = imbalanced(20_000, rng)
    net = full_batch_net(lr=0.1, max_epochs=200)
    clf = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    before = log_loss(y_test, clf.predict_proba(X_test))
    after = log_loss(y_test, clf.set_params(priors=[0.9, 0.1]).predict_proba(X_test))
    ideal = LogisticRegression().fit(*imbalanced(20_000, rng)).predict_proba(X_test)
    assert after < before - 0.1
    assert after == pytest.approx(log_loss(y_test, ideal), rel=0.03)


# Errors.


@pytest.mark.parametrize("estimator", [CLF, SEARCH], ids=["single", "search"])
@pytest.mark.parametrize(
    ("priors", "error", "match"),
    [
        ("even", ValueError, "Got priors='even', but expected 'uniform'"),
        (0.5, TypeError, "Got priors=0.5, but expected 'uniform'"),
        (
            {0: 0.5},
            ValueError,
            r"labels \[0\], but expected one for each of the classes",
        ),
        ({0: 0.2, 1: 0.5, "2": 0.3}, ValueError, r"\[0, 1, '2'\], but expected one"),
        (pd.Series(PRIORS, index=[0, 1, 1]), ValueError, r"labels \[0, 1, 1\], but"),
        ([0.5, 0.5], ValueError, r"of shape \(2,\), but expected \(3,\)"),
        ([[0.2, 0.3, 0.5]], ValueError, r"of shape \(1, 3\), but expected \(3,\)"),
        ([0.2, 0.3, 0.6], ValueError, "sum to 1.1, but expected 1"),
        ([1.2, -0.3, 0.1], ValueError, "at least 0"),
        ([np.nan, 0.5, 0.5], ValueError, "at least 0"),
        (["a", "b", "c"], TypeError, "in the order of classes_"),
    ],
)
def test_bad_priors_are_refused_before_training(
    wine, estimator, priors, error, match, monkeypatch
):
    clf = clone(estimator).set_params(priors=priors)
    monkeypatch.setattr("skmix._one_net.fit_net", None)
    monkeypatch.setattr("skmix._search.train_members", None)
    with pytest.raises(error, match=match):
        clf.fit(*wine)
    assert not hasattr(clf, "class_prior_")


@pytest.mark.parametrize("estimator", [CLF, SEARCH], ids=["single", "search"])
def test_a_prior_of_a_class_without_rows_is_refused(wine, estimator):
    clf = clone(estimator).set_params(priors=PRIORS, class_weight={1: 0.0})
    with pytest.raises(ValueError, match=r"a prior of 0\.5 for class 1"):
        clf.fit(*wine)
    clf.set_params(priors=[0.5, 0, 0.5]).fit(*wine)
    assert_array_equal(clf.predict_proba(wine[0])[:, 1], 0)


@pytest.mark.parametrize("labels", [[0, 1, 2], ["u", "v", "w"], [2.0, -1.0, 0.0]])
def test_priors_and_class_weights_with_labels_are_read_by_them(wine, labels):
    X, y = wine[0], np.asarray(labels)[wine[1]]
    clf = clone(CLF).fit(X, y)
    in_order = np.array(PRIORS)
    wanted = clf.set_params(priors=in_order).predict_proba(X)
    of_label = dict(zip(clf.classes_.tolist(), PRIORS, strict=True))
    backwards = dict(reversed(of_label.items()))
    for given in (
        backwards,
        pd.Series(backwards),
        pd.Series(of_label),
        pd.Series(PRIORS),
    ):
        assert_array_equal(clf.set_params(priors=given).predict_proba(X), wanted)
    clf.set_params(priors=None, class_weight=backwards).fit(X, y)
    wanted = clf.predict_proba(X)
    clf.set_params(class_weight=pd.Series(backwards)).fit(X, y)
    assert_array_equal(clf.predict_proba(X), wanted)


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"0": 1.0, "1": 2.0, "2": 3.0}, r"\['0', '1', '2'\], but .* \[0, 1, 2\]"),
        (pd.Series([1.0, 2.0], index=[0, 7]), r"\[0, 7\], but .* \[0, 1, 2\]"),
        ([1.0, 2.0, 3.0], "expected 'balanced', a dict"),
        (pd.Series([1.0, 1.0, 2.0, 3.0], index=[0, 0, 1, 2]), "each once"),
        (pd.Series([1.0, 2.0, 3.0], index=[0, 1, pd.NA]), "expected labels of y"),
        ({0: "a", 1: 1.0, 2: 1.0}, "expected numbers as weights"),
    ],
)
def test_class_weights_of_no_class_are_refused(wine, kind, weights, match):
    with pytest.raises((ValueError, TypeError), match=match):
        kind(class_weight=weights).fit(*wine)


def test_a_fold_may_lack_a_class_that_has_a_weight(wine):
    X, y = wine
    clf = clone(CLF).set_params(class_weight={0: 1.0, 1: 2.0, 2: 3.0})
    assert len(clf.fit(X[y < 2], y[y < 2]).classes_) == 2


def test_labels_that_are_almost_all_different_are_told_at_the_users_line():
    X = np.random.default_rng(0).normal(size=(40, 2))
    with pytest.warns(UserWarning, match="27 different labels in 40 rows") as told:
        clone(CLF).fit(X, np.arange(40) // 1.5)
    assert {warning.filename for warning in told} == {__file__}


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
def test_numbers_as_labels_are_refused_with_the_way_out(kind):
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match=r"^Unknown label type: .* MixupRegressor and"):
        kind().fit(X, X[:, 0])


def test_labels_that_are_checked_in_threads_leave_warnings_as_they_were(wine):
    before = warnings._showwarnmsg_impl  # what `catch_warnings(record=True)` replaces
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(check_labels, [wine[1]] * 400))
    finally:
        sys.setswitchinterval(switch)
    assert warnings._showwarnmsg_impl is before


def test_class_weights_with_labels_of_partial_fit(wine):
    X, y = wine
    of_label = {0: 1.0, 1: 2.0, 2: 3.0}
    fitted = [
        clone(CLF).set_params(class_weight=weights).partial_fit(X, y, classes=[0, 1, 2])
        for weights in (of_label, pd.Series(of_label))
    ]
    assert_array_equal(*(clf.predict_proba(X) for clf in fitted))


def test_a_category_of_no_row_has_a_share_of_0(wine):
    X, y = wine
    labels = pd.Series(y).astype("category").cat.add_categories([7])
    shares = labels.value_counts(normalize=True)
    clf = clone(CLF).set_params(priors=shares).fit(X, labels)
    wanted = clf.predict_proba(X)
    clf.set_params(priors=shares.drop(7))
    assert_array_equal(clf.predict_proba(X), wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"priors": pd.Series({2: 0.2, 0: 0.5, 1: 0.3})},
        {"priors": pd.Series(PRIORS)},
        {"priors": defaultdict(float, {2: 0.2, 0: 0.5, 1: 0.3})},
        {"class_weight": pd.Series({2: 2.0, 0: 1.0, 1: 3.0})},
    ],
)
def test_what_is_given_by_label_is_stored(wine, tmp_path, given):
    X, y = wine
    clf = clone(CLF).set_params(**given).fit(X, y)
    save(clf, tmp_path / "clf.skmix")
    loaded = load(tmp_path / "clf.skmix", trusted=[Layers])
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(loaded.fit(X, y).predict_proba(X), clf.predict_proba(X))


def test_bad_priors_are_refused_in_partial_fit(wine):
    clf = clone(CLF).set_params(priors=[0.5, 0.5])
    with pytest.raises(ValueError, match=r"of shape \(2,\)"):
        clf.partial_fit(*wine, classes=[0, 1, 2])


def test_a_default_net_keeps_its_temperature(wine):
    X, y = wine
    clf = MixupClassifier(short_default_net(), random_state=0)
    plain = clone(clf).fit(X, y).estimator_.module_.temperature
    clf.set_params(priors="uniform").fit(X, y)
    assert clf.estimator_.module_.temperature == plain


# What is no target.


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
def test_labels_without_an_order_are_refused_by_their_types(kind):
    y = np.array(["u", 1, "w"] * 8, dtype=object)
    with pytest.raises(
        TypeError, match=r"no order \(of int, str\), but expected labels"
    ):
        kind().fit(np.ones((24, 2)), y)


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
@pytest.mark.parametrize(
    ("labels", "way_out"),
    [
        ([True, False, None], "bool"),
        ([1, 2, None], "int"),
        ([np.int64(1), np.int64(2), None], "int"),
        ([1.0, 2.0, None], "float"),
        ([1, 2.5, None], "float"),  # not int, which would make it 2
        ([True, 2, None], "int"),
        ([pd.Period("2020", "Y"), pd.Period("2021", "Y"), None], "str"),
    ],
)
def test_labels_of_dtype_object_are_refused_with_the_way_out(kind, labels, way_out):
    y = pd.Series(labels * 8, dtype=object).dropna()  # as a frame keeps them
    with pytest.raises(ValueError, match=rf"dtype object .*y\.astype\({way_out}\)"):
        kind().fit(np.ones((16, 2)), y)
    with pytest.raises(ValueError, match="dtype object"):
        mixup_effect(kind(), np.ones((16, 2)), y)


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
def test_huge_numbers_are_no_labels(kind):
    with pytest.raises(ValueError, match="continuous"):
        kind().fit(np.ones((24, 2)), np.array([1e300, -1e300] * 12))


@pytest.mark.parametrize("kind", [MixupRegressor, MixupRegressorCV])
@pytest.mark.parametrize(
    ("y", "match"),
    [
        (
            pd.Series(pd.date_range("2020-01-01", periods=24)),
            "y of dtype datetime64.*days",
        ),
        (np.arange(24).astype("m8[s]"), "y of dtype timedelta64"),
        (np.array([10**400] * 24, dtype=object), "no finite numbers.*too large"),
        (["three"] * 24, "no finite numbers.*'three'.*a number for each row"),
        ([1.7e308, -1.7e308] * 12, "variance is no finite number.*another unit"),
    ],
)
def test_targets_that_are_no_numbers_are_told(kind, y, match):
    with pytest.raises(ValueError, match=f"(?s){match}"):
        kind().fit(np.arange(48.0).reshape(24, 2), y)


def test_validation_targets_that_are_no_numbers_are_told():
    X, y = np.ones((24, 2)), np.arange(24)
    with pytest.raises(ValueError, match="y_val of dtype timedelta64"):
        MixupRegressor().fit(X, y, X_val=X, y_val=y.astype("m8[s]"))
    with pytest.raises(ValueError, match="y_val with values that are no finite"):
        MixupRegressor().fit(X, y, X_val=X, y_val=["three"] * 24)
