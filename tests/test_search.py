"""MixupClassifierCV and MixupRegressorCV: folds, choice, evidence, what is refused."""

import copy
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from fractions import Fraction
from functools import partial
from io import StringIO

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import InDouble, Layers, Parts, binary_net, logits_net, number_net
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    make_scorer,
    root_mean_squared_error,
)
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressorCV, default_net
from skmix.networks import TabularNet, apply_temperature
from skmix.pairing import SameClass

SLOW = partial(pytest.param, marks=pytest.mark.slow)
OLD_SKLEARN = sklearn.__version__.startswith("1.8.")  # its scorers are lenient


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), y


def perceptron(d_in, d_out):
    layers = [nn.Linear(d_in, 16), nn.ReLU(), nn.Linear(16, d_out)]
    return nn.Sequential(*layers).double()


short = partial(logits_net, module=perceptron, max_epochs=5)
SEARCH = MixupClassifierCV(short(), alphas=(0, 0.5), cv=3, random_state=0)
NUMBERS = MixupRegressorCV(
    number_net(module=perceptron, max_epochs=5), alphas=(0, 0.5), cv=3, random_state=0
)


@pytest.fixture(scope="module")
def fitted(wine):
    return clone(SEARCH).set_params(alphas=(1, 0.2, 0.2)).fit(*wine)


# What is reported.


def test_results_have_the_columns_of_grid_search(wine, fitted):
    grid = GridSearchCV(
        MixupClassifier(short(), random_state=0),
        {"alpha": [0, 0.2, 1]},
        cv=3,
        scoring="neg_log_loss",
    ).fit(*wine)
    assert list(fitted.cv_results_) == list(grid.cv_results_)
    for name, values in grid.cv_results_.items():
        ours = fitted.cv_results_[name]
        if "time" in name:
            assert (ours >= 0).all()
            assert ours.shape == values.shape
        elif name == "params":
            assert ours == values
        else:
            assert_allclose(ours.astype(float), values.astype(float), rtol=1e-7)
            assert type(ours) is type(values)
    assert fitted.alpha_ == grid.best_params_["alpha"]
    assert fitted.best_params_ == grid.best_params_
    assert fitted.best_index_ == grid.best_index_
    assert_allclose(fitted.best_score_, grid.best_score_)
    assert pd.DataFrame(fitted.cv_results_).shape == (3, 3 + 4 + 2 + 3)


def test_0_is_among_the_alphas_which_are_sorted_and_distinct(fitted):
    assert fitted.cv_results_["param_alpha"].tolist() == [0.0, 0.2, 1.0]


def test_curves_are_the_losses_on_rows_held_out(wine, fitted):
    assert fitted.curves_.shape == (3, 3, 5)
    last = fitted.curves_[:, :, -1]
    scores = [fitted.cv_results_[f"split{f}_test_score"] for f in range(3)]
    assert_allclose(last, -np.transpose(scores), rtol=1e-6)


def test_out_of_fold_probabilities_are_those_of_members(wine):
    X, y = wine
    search = clone(SEARCH).set_params(ensemble=True).fit(X, y)
    assert len(search.estimators_) == search.n_splits_ == 3
    assert search.oof_proba_.shape == (len(y), 3)
    folds = StratifiedKFold(3).split(X, y)
    for member, (_, test) in zip(search.estimators_, folds, strict=True):
        assert member.alpha == search.alpha_
        assert_allclose(member.predict_proba(X[test]), search.oof_proba_[test])
    loss = log_loss(y, search.oof_proba_)
    assert_allclose(loss, -search.best_score_, rtol=0.02)  # folds differ in size


def test_out_of_fold_predictions_of_a_regressor(diabetes):
    X, y = diabetes
    search = clone(NUMBERS).set_params(ensemble=True).fit(X, y)
    for member, (_, test) in zip(search.estimators_, KFold(3).split(X), strict=True):
        assert_allclose(member.predict(X[test]), search.oof_prediction_[test])
    folds = [test for _, test in KFold(3).split(X)]
    rmse = [root_mean_squared_error(y[t], search.oof_prediction_[t]) for t in folds]
    assert_allclose(-search.best_score_, np.mean(rmse))


def test_gains_are_paired_with_alpha_0(fitted):
    gains = fitted.gains_
    scores = np.array([fitted.cv_results_[f"split{f}_test_score"] for f in range(3)]).T
    difference = scores - scores[0]
    assert_allclose(gains["mean"], difference.mean(axis=1))
    # Of 3 folds, with 1 row held out for 2 trained on.
    error = difference.std(axis=1, ddof=1) * np.sqrt(1 / 3 + 0.4 / 2)
    half = (gains["high"] - gains["low"]) / 2
    assert_allclose(half[1] / error[1], half[2] / error[2])
    # Between the quantile of one alpha and Bonferroni's of two.
    assert 4.302653 < half[1] / error[1] < 6.205347
    assert gains["low"][0] == gains["high"][0] == 0


# What predicts.


def test_fold_members_are_averaged_and_tempered(wine):
    X, y = wine
    search = clone(SEARCH).set_params(ensemble=True).fit(X, y)
    mean = np.mean([m.predict_proba(X) for m in search.estimators_], axis=0)
    power = mean ** (1 / search.temperature_)
    expected = power / power.sum(axis=1, keepdims=True)
    assert_allclose(search.predict_proba(X), expected, atol=1e-12)
    assert_array_equal(search.predict(X), search.classes_[expected.argmax(axis=1)])
    assert_allclose(search.predict_log_proba(X), np.log(expected), rtol=1e-9)
    assert search.score(X, y) > 0.8


def test_a_blend_is_no_worse_on_rows_held_out(wine, fitted):
    assert_allclose(fitted.alpha_weights_.sum(), 1)
    n_used = (fitted.alpha_weights_ > 0).sum()
    assert len(fitted.estimators_) == 3 * n_used
    rng, target = np.random.default_rng(0), np.arange(60) % 3
    noise = rng.dirichlet(np.ones(3), (3, 60))
    good = 0.5 * noise[0] + 0.5 * np.eye(3)[target]
    candidates = np.stack([good, noise[1], noise[2]])
    for weight in (None, rng.uniform(0.5, 2, 60)):
        shares = fitted._blend_weights(candidates, target, weight)
        assert shares[0] > 0.9
        losses = [
            log_loss(target, np.tensordot(w, candidates, 1), sample_weight=weight)
            for w in (shares, np.full(3, 1 / 3))
        ]
        assert losses[0] < losses[1]
    alike = fitted._blend_weights(candidates[[0, 0, 0]], target, None)
    assert_allclose(alike, 1 / 3)


def test_a_blend_of_numbers(diabetes):
    X, y = diabetes
    search = clone(NUMBERS).set_params(alphas=(0, 0.2, 5)).fit(X, y)
    assert_allclose(search.alpha_weights_.sum(), 1)
    assert (search.alpha_weights_ >= 0).all()
    n_used = (search.alpha_weights_ > 0).sum()
    assert len(search.estimators_) == 3 * n_used
    assert search.predict(X).shape == (len(y),)


def test_without_an_ensemble_a_net_is_trained_on_all_rows(wine):
    X, y = wine
    search = clone(SEARCH).set_params(ensemble=False).fit(X, y)
    (member,) = search.estimators_
    alone = MixupClassifier(short(), alpha=search.alpha_, random_state=0).fit(X, y)
    assert_allclose(member.predict_proba(X), alone.predict_proba(X))


def test_the_default_net_is_trained_on_all_rows_for_as_long_as_was_best(wine):
    X, y = wine
    net = default_net("classifier").set_params(max_epochs=8, module__d_block=16)
    search = MixupClassifierCV(net, alphas=(0.2,), cv=3, ensemble=False, random_state=0)
    search.fit(X, y)
    assert search.estimators_[0].n_iter_ == search.epochs_[search.best_index_]
    assert search.estimators_[0].estimator_.train_split is None


@pytest.mark.parametrize("kind", [MixupClassifierCV, MixupRegressorCV])
def test_half_of_a_blend_is_a_default_net_trained_on_all_rows(wine, kind):
    X, y = wine
    net = default_net(kind._task.lower()).set_params(max_epochs=6, module__d_block=8)
    search = kind(net, alphas=(0, 0.5), cv=3, random_state=0)
    blend = clone(search).fit(X, y)
    (alone,) = clone(search).set_params(ensemble=False).fit(X, y).estimators_
    *members, last = blend.estimators_
    assert len(members) == 3 * np.count_nonzero(blend.alpha_weights_)
    assert last.alpha == blend.alpha_
    assert last.n_iter_ == blend.epochs_[blend.best_index_]
    used = blend.alpha_weights_[blend.alpha_weights_ > 0]
    shares = np.append(np.repeat(used / 6, 3), 0.5)
    if kind is MixupRegressorCV:
        assert_array_equal(last.predict(X), alone.predict(X))
        mean = np.average([m.predict(X) for m in blend.estimators_], 0, shares)
        assert_allclose(blend.predict(X), mean, rtol=1e-6)
    else:
        assert_array_equal(last.predict_proba(X), alone.predict_proba(X))
        mean = np.average([m.predict_proba(X) for m in blend.estimators_], 0, shares)
        expected = apply_temperature(mean, blend.temperature_)
        assert_allclose(blend.predict_proba(X), expected, rtol=1e-6)


class ReadsValidation(Callback):
    def on_epoch_end(self, net, **kwargs):
        assert net.history[-1, "valid_loss"] > 0


ALONE = {
    "no blend": {"ensemble": True},
    "refit": {"estimator__refit": False},
    "train_split": {"estimator__train_split": None},
    "a callback that watches": {
        "estimator__callbacks": [LRScheduler("ReduceLROnPlateau", monitor="valid_loss")]
    },
    "a callback of the user": {"estimator__callbacks": [ReadsValidation()]},
    "own net": {"estimator": short(max_epochs=2)},
}


@pytest.mark.filterwarnings("ignore:Members are trained one by one")
@pytest.mark.parametrize("params", ALONE.values(), ids=ALONE)
def test_else_the_members_predict_alone(wine, params):
    net = default_net("classifier").set_params(max_epochs=2, module__d_block=8)
    search = MixupClassifierCV(net, alphas=(0,), cv=2, random_state=0)
    assert len(search.fit(*wine).estimators_) == 3
    assert len(search.set_params(**params).fit(*wine).estimators_) == 2


def test_a_blend_sees_rows_that_no_fold_trains_on(diabetes):
    X, y = diabetes
    halves = np.arange(100), np.arange(100, 200)  # and the other rows in neither
    net = default_net("regressor").set_params(max_epochs=3, module__d_block=8)
    search = MixupRegressorCV(net, alphas=(0,), random_state=0)
    search.set_params(cv=[halves, halves[::-1]])
    moved = np.where(np.arange(len(y)) < 200, y, y + 1000)
    before = search.fit(X, y).predict(X)
    assert search.fit(X, moved).predict(X).mean() > before.mean() + 100


class BreaksAtLargeNumbers(TabularNet):
    def forward(self, X):
        output = super().forward(X)
        return output / (X[:, :1].abs().amax() < 2).to(output)


def test_if_the_net_on_all_rows_diverges_the_members_predict(diabetes):
    X, y = diabetes
    X = X.copy()
    X[400:, 0] = 1e6  # in neither half
    net = default_net("regressor").set_params(max_epochs=3, module__d_block=8)
    halves = np.arange(100), np.arange(100, 200)
    search = MixupRegressorCV(net, alphas=(0,), random_state=0)
    search.set_params(cv=[halves, halves[::-1]], estimator__module=BreaksAtLargeNumbers)
    with pytest.warns(
        UserWarning, match="net on all rows is left out.*diverged"
    ) as told:
        search.fit(X, y)
    assert {warning.filename for warning in told} == {__file__}
    assert len(search.estimators_) == 2
    assert np.isfinite(search.predict(X[:200])).all()
    with pytest.raises(ValueError, match="diverged"):
        search.set_params(ensemble=False).fit(X, y)


@pytest.mark.parametrize("params", [{}, {"ensemble": False}, {"clean_weight": 0.5}])
@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_verbose_shows_a_bar_alone(wine, params, capsys):
    net = default_net("classifier").set_params(max_epochs=2, module__d_block=8)
    MixupClassifierCV(net, alphas=(0,), cv=2, verbose=1, **params).fit(*wine)
    assert not capsys.readouterr().out


def test_the_default_net_keeps_the_epoch_that_is_best_on_average(wine):
    X, y = wine
    net = default_net("classifier").set_params(max_epochs=30, module__d_block=16)
    net.set_params(criterion__label_smoothing=0)  # so that curves are log losses
    search = MixupClassifierCV(net, alphas=(0.2,), cv=3, layers="input", random_state=0)
    search.fit(X, y)
    mean = search.curves_.mean(axis=1)
    assert_array_equal(search.epochs_, np.nanargmin(mean, axis=1) + 1)
    best = search.curves_[np.arange(2), :, search.epochs_ - 1]
    scores = [search.cv_results_[f"split{f}_test_score"] for f in range(3)]
    assert_allclose(best, -np.transpose(scores), rtol=1e-4)


@pytest.mark.parametrize("kind", [MixupClassifierCV, MixupRegressorCV])
def test_members_of_the_default_net_have_few_nets(kind):
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    search = kind(alphas=(0,), cv=2, random_state=0).fit(X, y)
    assert _n_nets(search) == [2, 2, 8]
    assert _n_nets(search.set_params(ensemble=False).fit(X, y)) == [8]
    net = default_net(kind._task.lower()).set_params(max_epochs=1, module__k=5)
    assert _n_nets(kind(net, alphas=(0,), cv=2).fit(X, y)) == [5, 5, 5]


def _n_nets(search):
    modules = [member.estimator_.module_ for member in search.estimators_]
    return [len(module.members.output.weight) for module in modules]


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "roc_auc_ovr"])
def test_any_score_may_decide(wine, scoring):
    X, y = wine
    search = clone(SEARCH).set_params(scoring=scoring, ensemble=True).fit(X, y)
    grid = GridSearchCV(
        MixupClassifier(short(), random_state=0), {"alpha": [0, 0.5]}, cv=3
    ).set_params(scoring=scoring)
    grid.fit(X, y)
    name = "mean_test_score"
    assert_allclose(search.cv_results_[name], grid.cv_results_[name])


def test_an_int_seeds_all_folds_alike_and_a_generator_each_fold_by_itself(wine):
    X, y = wine
    search = clone(SEARCH).set_params(ensemble=True).fit(X, y)
    assert {member.random_state for member in search.estimators_} == {0}
    generator = np.random.RandomState(0)
    search.set_params(random_state=generator, cv=KFold(3, shuffle=True, random_state=0))
    search.fit(X, y)
    assert len({member.random_state for member in search.estimators_}) == 3
    again = clone(search).set_params(random_state=np.random.RandomState(0)).fit(X, y)
    assert_array_equal(again.predict_proba(X), search.predict_proba(X))
    # A member is what the single estimator makes of its fold and its seed.
    train, test = next(KFold(3, shuffle=True, random_state=0).split(X))
    member = search.estimators_[0]
    alone = clone(member).fit(X[train], y[train], X_val=X[test], y_val=y[test])
    assert_allclose(alone.predict_proba(X), member.predict_proba(X), atol=1e-5)


def test_members_may_be_given_a_binary_net(cancer):
    net = binary_net(max_epochs=3, module__d_in=30)
    X, y = cancer
    labels = np.array(["no", "yes"])[y]
    search = MixupClassifierCV(net, alphas=(0.2,), cv=2, random_state=0)
    search.fit(X, labels)
    proba = search.predict_proba(X)
    expected = np.where(proba[:, 1] > 0.5, "yes", "no")
    assert_array_equal(search.predict(X), expected)


# Law 7: what is held out stays so.


def test_law_7_rows_held_out_change_nothing_of_the_member(wine):
    X, y = wine
    folds = list(StratifiedKFold(3).split(X, y))
    one = clone(SEARCH).set_params(cv=folds, ensemble="blend", alphas=(0.5,))
    one.set_params(pairing="nearest")
    frame = pd.DataFrame(X).astype(object)
    frame[0] = np.where(X[:, 0] > 0, "high", "low")
    other_frame = frame.copy()
    held_out = folds[0][1]
    other_frame.iloc[held_out, 0] = "never seen"
    other_frame.iloc[held_out, 1] = 1e3
    members = []
    for table in (frame, other_frame):
        search = clone(one).fit(table, y)
        members.append(next(m for m in search.estimators_ if m.alpha == 0.5))
    states = [member.estimator_.module_.state_dict() for member in members]
    for name, value in states[0].items():
        assert_allclose(value, states[1][name], rtol=0, atol=1e-10)


def test_law_7_the_default_net_too(wine):
    X, y = wine
    net = default_net("classifier").set_params(max_epochs=3, module__d_block=8)
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
    other = X.copy()
    other[folds[0][1]] *= 100
    options = {"alphas": (0,), "cv": folds, "layers": "input", "random_state": 0}
    # All rows held out choose the epoch together, and which masks dropout draws
    # depends on who else is trained with it; so both are left out.
    net.set_params(callbacks=[], module__dropout=0)
    states = []
    for table in (X, other):
        search = MixupClassifierCV(net, ensemble=True, **options).fit(table, y)
        states.append(search.estimators_[0].estimator_.module_.state_dict())
    for name, value in states[0].items():
        assert_allclose(value, states[1][name], rtol=0, atol=1e-5, err_msg=name)


# Folds.


def test_rows_never_held_out_have_no_prediction(wine):
    X, y = wine
    rows = np.random.default_rng(0).permutation(len(y))
    X, y = X[rows], y[rows]
    splitter = TimeSeriesSplit(3)
    search = clone(SEARCH).set_params(cv=splitter).fit(X, y)
    tested = np.concatenate([test for _, test in splitter.split(X)])
    missing = np.setdiff1d(np.arange(len(y)), tested)
    assert np.isnan(search.oof_proba_[missing]).all()
    assert_allclose(search.oof_proba_[tested].sum(axis=1), 1)
    assert np.isfinite(search.temperature_)


def test_rows_held_out_more_than_once_have_the_mean(wine):
    X, y = wine
    splitter = RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)
    search = clone(SEARCH).set_params(cv=splitter, ensemble=True).fit(X, y)
    folds = list(splitter.split(X, y))
    row = folds[0][1][0]
    own = [
        member.predict_proba(X[[row]])[0]
        for member, (_, test) in zip(search.estimators_, folds, strict=True)
        if row in test
    ]
    assert len(own) == 2
    assert_allclose(search.oof_proba_[row], np.mean(own, axis=0))


def test_groups_go_to_the_splitter(wine):
    X, y = wine
    groups = np.arange(len(y)) % 7
    search = clone(SEARCH).set_params(cv=GroupKFold(3)).fit(X, y, groups=groups)
    folds = list(GroupKFold(3).split(X, y, groups))
    again = clone(SEARCH).set_params(cv=folds).fit(X, y)
    assert_array_equal(search.oof_proba_, again.oof_proba_)
    with pytest.raises(ValueError, match="groups"):
        clone(SEARCH).set_params(cv=GroupKFold(3)).fit(X, y)


class OneYearAhead:
    """Trains on the rows of all years before one, and holds out its own."""

    def split(self, X, y=None, groups=None):
        for year in (2024, 2025):
            yield np.flatnonzero(groups < year), np.flatnonzero(groups == year)

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2


@pytest.mark.parametrize(
    "groups",
    [
        np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[ns]"),
        np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]"),
        np.array(["b", "a", "c"]),
        pd.Series(["b", "a", "c"], dtype="category"),
        pd.Series([2.5, 0.5, 1.0], dtype="Float64"),
        [2**53 + 1, 2**53, 7],
        [True, False, True],
    ],
    ids=["ns", "days", "strings", "categories", "nullable", "huge", "booleans"],
)
@pytest.mark.parametrize("routed", [False, True])
def test_groups_of_any_kind_reach_the_splitter(wine, groups, routed):
    X, y = wine
    rows = np.arange(len(y)) % 3
    values = np.asarray(groups)[rows]
    taken = groups.iloc[rows] if isinstance(groups, pd.Series) else values
    cv = LeaveOneGroupOut()
    search = clone(SEARCH).set_params(store_cv_results=True)
    with config_context(enable_metadata_routing=routed):
        search.set_params(cv=cv.set_split_request(groups=True) if routed else cv)
        search.fit(X, y, groups=taken if hasattr(groups, "dtype") else list(taken))
    folds = LeaveOneGroupOut().split(X, y, values)
    for found, (_, test) in zip(search.fold_rows_, folds, strict=True):
        assert_array_equal(found, test)


def test_groups_without_an_order_are_told(wine):
    X, y = wine
    groups = ["a", 1] * (len(y) // 2)
    with pytest.raises(TypeError, match=r"groups of several types.*str"):
        clone(SEARCH).set_params(cv=GroupKFold(2)).fit(X, y, groups=groups)


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, pd.array])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_splitter_sees_the_values_of_groups(wine, kind, weighted):
    X, y = wine
    years = 2026 - np.arange(len(y)) % 7  # neither sorted nor codes
    kept = np.arange(len(y)) % 5 > 0 if weighted else np.full(len(y), True)
    weight = kept.astype(float) if weighted else None
    search = clone(SEARCH).set_params(cv=OneYearAhead(), store_cv_results=True)
    search.fit(X, y, weight, groups=kind(years.tolist()))
    assert_array_equal(search.fold_rows_[0], np.flatnonzero(kept & (years == 2024)))
    cv = GroupShuffleSplit(3, random_state=0)
    search.set_params(cv=cv).fit(X, y, weight, groups=kind(years.tolist()))
    folds = cv.split(X[kept], y[kept], years[kept])
    for rows, (_, test) in zip(search.fold_rows_, folds, strict=True):
        assert_array_equal(rows, np.flatnonzero(kept)[test])


def test_masks_are_folds_too(wine):
    X, y = wine
    folds = list(StratifiedKFold(3).split(X, y))
    masks = [tuple(np.isin(np.arange(len(y)), part) for part in fold) for fold in folds]
    search = clone(SEARCH).set_params(cv=masks).fit(X, y)
    assert_array_equal(search.oof_proba_, clone(SEARCH).fit(X, y).oof_proba_)


def test_masks_are_as_long_as_the_table(wine):
    X, y = wine
    short = np.arange(len(y) - 10) % 2 == 0
    with pytest.raises(ValueError, match=r"mask of 168 rows .* 178"):
        clone(SEARCH).set_params(cv=[(short, ~short)]).fit(X, y)


def test_a_class_that_a_fold_lacks_is_known_all_the_same(wine):
    X, y = wine
    rows = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:1]]
    X, y = X[rows], y[rows]
    search = clone(SEARCH).set_params(cv=KFold(3, shuffle=True, random_state=0))
    for class_weight in (None, "balanced", {2: 3.0}):
        search.set_params(class_weight=class_weight).fit(X, y)
        assert search.predict_proba(X).shape == (len(y), 3)
        assert np.isfinite(search.best_score_)


def test_by_default_folds_are_of_shuffled_rows_with_classes_alike(wine):
    X, y = wine
    search = clone(SEARCH).set_params(cv=None, ensemble=True).fit(X, y)
    assert search.n_splits_ == 5
    for member in search.estimators_:  # the labels of wine are sorted
        assert np.ptp(member.classes_) == 2
    worst = np.abs(search.oof_proba_ - np.eye(3)[y]).sum(axis=1).mean()
    assert worst < 1
    again = clone(search).fit(X, y)
    assert_array_equal(search.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize("n_rows", [4, 7])
def test_a_handful_of_rows(n_rows):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_rows, 2)), np.arange(n_rows) % 2
    search = clone(SEARCH).set_params(cv=None).fit(X, y)
    assert search.predict_proba(X).shape == (n_rows, 2)
    reg = clone(NUMBERS).set_params(cv=None).fit(X, X[:, 0])
    assert reg.predict(X).shape == (n_rows,)


# Weights.


def test_weights_count_in_scores(wine):
    X, y = wine
    weight = np.random.default_rng(0).uniform(0.1, 4, len(y))
    search = clone(SEARCH).set_params(ensemble=True).fit(X, y, sample_weight=weight)
    scores = []
    for _, test in StratifiedKFold(3).split(X, y):
        loss = log_loss(y[test], search.oof_proba_[test], sample_weight=weight[test])
        scores.append(-loss)
    assert_allclose(np.mean(scores), search.best_score_)
    by_scorer = clone(search).set_params(scoring="neg_log_loss")
    by_scorer.fit(X, y, sample_weight=weight)
    assert_allclose(by_scorer.best_score_, search.best_score_)


def test_rows_of_weight_0_leave_before_the_folds(wine):
    X, y = wine
    weight = np.ones(len(y))
    weight[::4] = 0
    search = clone(SEARCH).fit(X, y, sample_weight=weight)
    without = clone(SEARCH).fit(X[weight > 0], y[weight > 0])
    assert_array_equal(search.predict_proba(X), without.predict_proba(X))
    assert np.isnan(search.oof_proba_[weight == 0]).all()
    assert_array_equal(search.oof_proba_[weight > 0], without.oof_proba_)


def test_equal_weights_are_no_weights(wine):
    X, y = wine
    weighted = clone(SEARCH).fit(X, y, sample_weight=np.full(len(y), 3.0))
    assert_array_equal(weighted.oof_proba_, clone(SEARCH).fit(X, y).oof_proba_)


# Processes, progress.


@pytest.mark.parametrize(
    ("net", "params"),
    [
        SLOW(short(), {"alphas": (0, 0.2, 1)}),
        SLOW(logits_net(module__dropout=0.5, max_epochs=3), {"layers": "hidden"}),
        SLOW(short(optimizer=torch.optim.LBFGS, lr=0.1, max_epochs=2), {}),
        SLOW(short(callbacks=[EarlyStopping(patience=1)], max_epochs=9), {}),
        SLOW(default_net("classifier").set_params(max_epochs=4), {}),
    ],
    ids=["vectorized", "dropout", "alone", "stopping", "default"],
)
@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_processes_change_nothing(wine, net, params):
    X, y = wine
    one = MixupClassifierCV(net, alphas=(0, 0.5), cv=3, random_state=0)
    one.set_params(**params).fit(X, y)
    two = clone(one).set_params(n_jobs=2).fit(X, y)
    # (Exact where torch has one thread here, too, as in other processes.)
    close = partial(assert_allclose, rtol=0, atol=1e-6)
    close(one.oof_proba_, two.oof_proba_)
    close(one.curves_, two.curves_)
    close(one.predict_proba(X), two.predict_proba(X))
    assert one.alpha_ == two.alpha_
    for here, there in zip(one.estimators_, two.estimators_, strict=True):
        assert here.n_iter_ == there.n_iter_
        assert_array_equal(here.history_[:, "epoch"], there.history_[:, "epoch"])
        states = (m.estimator_.optimizer_.state_dict() for m in (here, there))
        assert len({str(state["param_groups"]) for state in states}) == 1


SCRIPT = """
import warnings
import numpy as np, torch
from sklearn.datasets import load_wine
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn
from skmix import MixupClassifierCV

class Mlp(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(d_in, 8), nn.Linear(8, d_out))
        self.passes = 0

    def forward(self, X):
        self.passes += self.training
        return self.layers(X)

class Count(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.n_seen_ = getattr(net, "n_seen_", 0) + 1

class Net(NeuralNetClassifier):
    pass

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    X, y = load_wine(return_X_y=True)
    for callbacks in (None, [Count()]):
        net = Net(Mlp, criterion=nn.CrossEntropyLoss, max_epochs=2, callbacks=callbacks)
        fits = [
            MixupClassifierCV(net, cv=2, n_jobs=n_jobs, random_state=0).fit(X, y)
            for n_jobs in (1, 2)
        ]
        nets = [fit.estimators_[0].estimator_ for fit in fits]
        assert all(type(net.module_) is Mlp and type(net) is Net for net in nets)
        assert len({net.module_.passes for net in nets}) == 1 and nets[1].module_.passes
        assert len({vars(net).get("n_seen_") for net in nets}) == 1
        assert np.array_equal(*[fit.predict_proba(X) for fit in fits])
        fits[1].estimators_[0].partial_fit(X, y)
    print("alike")
"""


@pytest.mark.slow
def test_processes_bring_back_nets_whose_classes_a_script_defines(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "alike", done.stderr


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [None, object()])
def test_no_terminal_is_no_error(wine, stream, monkeypatch):
    monkeypatch.setattr("sys.stderr", stream)
    search = clone(SEARCH).set_params(verbose=1).fit(*wine)
    assert search.alpha_ in search.alphas


def test_verbose_shows_progress_and_0_nothing(wine, capsys, monkeypatch):
    X, y = wine
    for verbose in (0, 1):
        clone(SEARCH).set_params(verbose=verbose).fit(X, y)
        assert capsys.readouterr() == ("", "")  # nobody would see it move
    for verbose, expected in ((0, False), (1, True)):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        clone(SEARCH).set_params(verbose=verbose).fit(X, y)
        assert ("5/5" in terminal.getvalue()) == expected


# Law 2, law 12 and the door.


def global_states():
    _, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), keys.tolist(), rest


def test_law_2_seeds(wine):
    X, y = wine
    before = global_states()
    first = clone(SEARCH).fit(X, y)
    first.predict(X)
    assert global_states() == before
    torch.manual_seed(5)
    assert_array_equal(first.oof_proba_, clone(SEARCH).fit(X, y).oof_proba_)
    other = clone(SEARCH).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(first.oof_proba_, other.oof_proba_)


def test_law_2_alphas_are_compared_under_common_random_numbers(wine):
    X, y = wine
    few = clone(SEARCH).set_params(alphas=(0, 1)).fit(X, y)
    many = clone(SEARCH).set_params(alphas=(0, 0.1, 0.5, 1, 4)).fit(X, y)
    assert_allclose(few.curves_[[0, 1]], many.curves_[[0, 3]], atol=1e-10)


def test_law_2_pickles_predict_the_same(wine, fitted, tmp_path):
    X, _ = wine
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    joblib.dump(fitted, tmp_path / "search.joblib")
    loaded = joblib.load(tmp_path / "search.joblib")
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_members_are_plain_estimators(wine, fitted):
    X, y = wine
    member = fitted.estimators_[0]
    assert type(member) is MixupClassifier
    train, test = next(StratifiedKFold(3).split(X, y))
    again = clone(member).fit(X[train], y[train], X_val=X[test], y_val=y[test])
    assert_allclose(again.predict_proba(X), member.predict_proba(X), atol=1e-10)
    member.partial_fit(X, y)


def test_law_12_inside_other_estimators(wine):
    X, y = wine
    pipeline = make_pipeline(StandardScaler(), clone(SEARCH))
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.5
    grid = {"mixupclassifiercv__estimator__lr": [1e-5, 0.02]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    assert search.best_params_ == {"mixupclassifiercv__estimator__lr": 0.02}


def test_frames_with_categories_and_missing_values():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=80), "b": rng.choice(list("xy"), 80)})
    X.loc[::9, "a"] = None
    y = np.where(X["b"] == "x", "yes", "no")
    net = default_net("classifier").set_params(max_epochs=20, module__d_block=16)
    search = MixupClassifierCV(net, alphas=(0.2,), cv=3, random_state=0).fit(X, y)
    assert search.score(X, y) > 0.9
    assert list(search.feature_names_in_) == ["a", "b"]
    assert search.n_features_in_ == 2


def test_a_failed_fit_leaves_the_fitted_estimator_as_it_was(wine):
    X, y = wine
    search = clone(SEARCH).fit(X, y)
    before = search.predict_proba(X)
    with pytest.raises(ValueError, match="n_splits=3"):
        search.fit(X[:2], y[:2])
    assert_array_equal(search.predict_proba(X), before)


def test_training_that_diverges_for_an_alpha_is_reported(wine):
    X, y = wine
    wild = short(lr=1e250)
    with pytest.raises(ValueError, match="diverged"):
        clone(SEARCH).set_params(estimator=wild).fit(X, y)


@pytest.mark.parametrize(
    ("alphas", "error", "match"),
    [
        ((), ValueError, "expected a sequence"),
        ((0.2, -1), ValueError, "-1 among alphas"),
        ((0.2, np.nan), ValueError, "nan among alphas"),
        ((0.2, np.inf), ValueError, "inf among alphas"),
        ((0.2, 10**400), ValueError, "0 among alphas"),
        ((0.2, Fraction(10**400)), ValueError, "among alphas"),
        ((0.2, "1"), ValueError, "'1' among alphas"),
        ((0.2, True), ValueError, "True among alphas"),
        (0.2, TypeError, "alphas=0.2"),
        (np.array(0.2), TypeError, r"alphas=array\(0.2\)"),
        ("0.2", TypeError, "alphas='0.2'"),
        ({0.2: 1}, TypeError, "alphas="),
    ],
)
def test_alphas_that_are_none_are_refused(wine, alphas, error, match):
    with pytest.raises(error, match=match):
        clone(SEARCH).set_params(alphas=alphas).fit(*wine)


@pytest.mark.parametrize("alphas", [np.array([0.5, 0]), [0.5], {0.5}, range(1)])
def test_alphas_may_be_of_many_kinds(wine, alphas):
    search = MixupClassifierCV(short(max_epochs=1), alphas=alphas, cv=2).fit(*wine)
    assert search.cv_results_["param_alpha"].tolist() == sorted({0, *alphas})


def test_alphas_that_are_used_up_are_refused(wine):
    with pytest.raises(TypeError, match="expected a sequence"):
        clone(SEARCH).set_params(alphas=iter([0.5])).fit(*wine)


def test_rows_that_are_not_there_are_refused(wine):
    X, y = wine
    for last in (len(y), -1):
        folds = [(np.arange(60), np.array([70, last])), (np.arange(60, 90), [0])]
        with pytest.raises(ValueError, match="numbers from 0 to 177"):
            clone(SEARCH).set_params(cv=folds).fit(X, y)


@pytest.mark.parametrize("n_missing", [1, 60])
def test_numbers_that_are_missing_in_one_fold(wine, n_missing):
    X, y = wine[0].copy(), wine[1]
    X[:n_missing, 0] = np.nan
    rows = np.random.default_rng(0).permutation(len(y))
    search = clone(SEARCH).fit(X[rows], y[rows])
    assert np.isfinite(search.oof_proba_).all()
    assert search.predict_proba(X).shape == (len(y), 3)


@pytest.mark.parametrize("ensemble", [True, False])
def test_what_a_net_on_all_rows_would_refuse_is_refused_before(wine, ensemble):
    net = short(callbacks=[EarlyStopping(patience=2)])
    search = MixupClassifierCV(net, alphas=(0,), cv=2, ensemble=ensemble)
    if ensemble:
        assert search.fit(*wine).vectorized_
        return
    with pytest.raises(ValueError, match="ensemble=False and callbacks"):
        search.fit(*wine)
    net = short(iterator_valid__drop_last=True)
    with pytest.raises(ValueError, match="drop_last"):
        search.set_params(estimator=net).fit(*wine)


def test_a_net_of_the_default_kind_is_tempered_once(wine):
    net = default_net("classifier").set_params(
        max_epochs=3, module__d_block=8, train_split=ValidSplit(5), callbacks=None
    )
    search = MixupClassifierCV(net, alphas=(0,), cv=2, ensemble=False).fit(*wine)
    assert search.estimators_[0].estimator_.module_.temperature == 1


def test_many_alphas_that_are_alike(wine):
    alphas = np.linspace(0, 0.2, 24)
    search = MixupClassifierCV(short(max_epochs=1), alphas=alphas, cv=2).fit(*wine)
    assert_allclose(search.alpha_weights_.sum(), 1)
    assert np.isfinite(search.oof_proba_).all()


def test_a_class_of_weight_0_is_held_out_all_the_same(wine):
    X, y = wine
    search = clone(SEARCH).set_params(class_weight={0: 0.0, 1: 1.0, 2: 1.0})
    search.fit(X, y)
    assert np.isfinite(search.oof_proba_).all()
    assert search.oof_proba_[:, 0].max() < 0.6


def test_early_stopping_by_the_accuracy_of_a_binary_net(cancer):
    net = binary_net(max_epochs=3, module__d_in=30)
    stop = EarlyStopping(monitor="valid_acc", lower_is_better=False)
    net.set_params(callbacks=[("stop", stop)])
    with pytest.warns(UserWarning, match="one by one"):
        MixupClassifierCV(net, alphas=(0,), cv=2).fit(*cancer)


@pytest.mark.parametrize("scoring", [["accuracy"], {"a": "accuracy"}, 3])
def test_several_scores_are_refused(wine, scoring):
    with pytest.raises(TypeError, match="expected one score"):
        clone(SEARCH).set_params(scoring=scoring).fit(*wine)


def test_a_score_that_is_none_is_refused_before_training(wine, monkeypatch):
    monkeypatch.setattr("skmix._search.train_members", None)
    with pytest.raises(ValueError, match="nonsense"):
        clone(SEARCH).set_params(scoring="nonsense").fit(*wine)


def test_a_score_that_takes_no_weights_is_told_so(wine):
    X, y = wine

    def score(estimator, X, y):
        return estimator.score(X, y)

    search = clone(SEARCH).set_params(scoring=score)
    assert search.fit(X, y).best_score_ > 0.5
    with pytest.raises(TypeError, match="takes no sample_weight"):
        search.fit(X, y, sample_weight=1.0 + y)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"ensemble": "mean"}, "ensemble='mean'"),
        ({"verbose": 3}, "verbose=3"),
        ({"lam_per": "epoch"}, "lam_per='epoch'"),
        ({"cv": 1}, "n_splits=1"),
        ({"cv": []}, "no folds"),
        ({"cv": [([0, 1, 2], [2, 3])] * 2}, "no row in common"),
        ({"cv": [([0], [1])] * 2}, "at least 2 and 1"),
        ({"layers": "nowhere"}, "nowhere"),
    ],
    ids=str,
)
def test_other_parameters_that_are_refused(wine, params, match):
    with pytest.raises(ValueError, match=match):
        clone(SEARCH).set_params(**params).fit(*wine)


def test_fewer_rows_than_folds_are_refused(wine):
    X, y = wine
    rows = [0, 60, 140]
    with pytest.raises(ValueError, match="n_splits=5"):
        clone(SEARCH).set_params(cv=5).fit(X[rows], y[rows])


def test_scorers_of_ones_own(wine):
    X, y = wine
    scorer = make_scorer(
        log_loss, greater_is_better=False, response_method="predict_proba"
    )
    search = clone(SEARCH).set_params(scoring=scorer).fit(X, y)
    assert_allclose(search.best_score_, clone(SEARCH).fit(X, y).best_score_)


def test_folds_that_are_given_mean_rows_of_the_table(wine):
    X, y = wine
    weight = np.ones(len(y))
    weight[::4] = 0
    folds = list(StratifiedKFold(3).split(X, y))
    search = clone(SEARCH).set_params(cv=folds).fit(X, y, sample_weight=weight)
    held_out = folds[0][1][weight[folds[0][1]] > 0]
    assert np.isfinite(search.oof_proba_[held_out]).all()
    assert np.isnan(search.oof_proba_[weight == 0]).all()
    kept = np.flatnonzero(weight)
    inside = [tuple(np.flatnonzero(np.isin(kept, part)) for part in f) for f in folds]
    without = clone(SEARCH).set_params(cv=inside).fit(X[kept], y[kept])
    assert_array_equal(search.oof_proba_[kept], without.oof_proba_)


# What is said, and when.


def test_predictions_far_beyond_the_targets_are_blended_all_the_same():
    rng = np.random.default_rng(0)
    days = 1.7e9 + 86400.0 * np.arange(60)
    X = pd.DataFrame({"t": days, "x": rng.normal(size=60)})
    y = X["x"] + 0.1 * rng.normal(size=60)
    net = number_net(module=perceptron, max_epochs=3)
    search = MixupRegressorCV(net, alphas=(0, 0.2, 1), cv=5, random_state=0).fit(X, y)
    assert_allclose(search.alpha_weights_.sum(), 1)
    assert search.estimators_
    predicted = search.predict(X)
    assert predicted.dtype == np.float64
    assert predicted.shape == (60,)
    assert np.isfinite(search.gains_["low"]).all()


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
def test_raw_outputs_with_the_criterion_of_probabilities_are_explained(wine, kind):
    net = short(criterion=nn.NLLLoss)
    with pytest.raises(ValueError, match="no probabilities"):
        kind(net).fit(*wine)


def test_outputs_of_a_wrong_width_are_explained_before_training(wine, diabetes):
    net = short(module__d_out=2)
    with pytest.raises(ValueError, match=r"\(\d+, 3\): one column for each class"):
        clone(SEARCH).set_params(estimator=net).fit(*wine)
    net = number_net(module=perceptron, module__d_out=2)
    with pytest.raises(ValueError, match="one number a row"):
        clone(NUMBERS).set_params(estimator=net).fit(*diabetes)


class PartlyUndefined(nn.Module):
    """A second output that is no number in every other column of a trial."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out).double()

    def forward(self, X):
        return torch.where(self.layer(X) > 1, self.layer(X).log(), self.layer(X))


def test_outputs_that_are_no_number_in_the_trial_are_no_error_of_it(wine):
    net = short(module=PartlyUndefined, max_epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert clone(SEARCH).set_params(estimator=net).fit(*wine).n_splits_ == 3


@pytest.mark.parametrize("columns", [["x", "z"], ["g"], ["x", "z", "g"]], ids=str)
@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_numbers_and_codes_of_which_the_table_has_one_kind(columns, mixing):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["x", "z"])
    X["g"] = pd.Categorical(rng.choice(list("abc"), 60))
    net = logits_net(module=Parts, max_epochs=2)
    search = MixupClassifierCV(net, alphas=(0, 0.5), cv=3, mixing=mixing)
    search.fit(X[columns], X["x"] > 0)
    assert search.vectorized_
    assert search.predict_proba(X[columns]).shape == (60, 2)


def no_number(estimator, X, y):
    return estimator.predict_proba(X)[:, 0]


@pytest.mark.parametrize("scoring", ["roc_auc", no_number, "neg_log_loss_of_nothing"])
def test_a_scoring_that_cannot_work_is_told_before_training(wine, monkeypatch, scoring):
    monkeypatch.setattr("skmix._search.train_members", None)
    with pytest.raises(ValueError, match="scoring"):
        clone(SEARCH).set_params(scoring=scoring).fit(*wine)


def test_a_fold_without_a_class_has_no_score_and_is_named(wine):
    X, y = wine
    rows = np.flatnonzero(y < 2)
    lacking, rest = rows[:20], np.setdiff1d(np.arange(len(y)), rows[:20])
    folds = [(rest, lacking), (np.r_[lacking, rest[::2]], rest[1::2])]
    folds += [(np.r_[lacking, rest[1::2]], rest[::2])]
    search = clone(SEARCH).set_params(cv=folds, scoring="roc_auc_ovr")
    with pytest.warns(UserWarning, match="'roc_auc_ovr' failed in fold 0"):
        search.fit(X, y)
    results = search.cv_results_
    assert np.isnan(results["split0_test_score"]).all()
    others = [results["split1_test_score"], results["split2_test_score"]]
    assert_allclose(results["mean_test_score"], np.mean(others, axis=0))
    assert np.isfinite(search.best_score_)
    assert np.isfinite(search.gains_["mean"]).all()


def test_one_fold_is_taken_and_has_no_interval(wine):
    X, y = wine
    order = np.random.default_rng(0).permutation(len(y))
    search = clone(SEARCH).set_params(cv=[(order[:120], order[120:])])
    with pytest.warns(UserWarning, match="One fold cannot tell"):
        search.fit(X, y)
    assert search.n_splits_ == 1
    assert_array_equal(np.isnan(search.gains_["low"]), [False, True])
    assert np.isfinite(search.gains_["mean"]).all()
    assert np.isfinite(search.oof_proba_[order[120:]]).all()
    assert np.isnan(search.oof_proba_[order[:120]]).all()
    split = PredefinedSplit(np.where(np.arange(len(y)) % 3, -1, 0))
    with pytest.warns(UserWarning, match="One fold cannot tell"):
        search.set_params(cv=split, ensemble=False).fit(X, y)
    assert search.predict(X).shape == y.shape


def test_accuracies_that_agree_in_all_folds_give_no_interval(wine):
    X, y = wine
    net = short(max_epochs=0)
    search = clone(SEARCH).set_params(estimator=net, scoring="accuracy").fit(X, y)
    assert_array_equal(search.gains_["mean"], [0, 0])
    assert_array_equal(search.gains_["low"], [0, np.nan])


def test_members_of_no_epoch_and_no_rows_held_out_are_as_they_start(wine):
    X, y = wine
    net = default_net("classifier").set_params(max_epochs=0, train_split=None)
    assert MixupClassifierCV(net, cv=2).fit(X, y).predict(X).shape == y.shape


@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_predictions_without_finite_squares_are_told():
    X, y = np.full((20, 1), 1e200), np.arange(20.0)
    net = number_net(module=InDouble, max_epochs=0)
    with pytest.raises(ValueError, match="diverged"):
        MixupRegressorCV(net, cv=2).fit(X, y)


@pytest.mark.parametrize("n_jobs", [0, 1.5, "all"])
def test_a_number_of_processes_that_is_none(wine, n_jobs):
    search = clone(SEARCH).set_params(n_jobs=n_jobs)
    with pytest.raises((ValueError, TypeError), match=r"n_jobs=.*number of processes"):
        search.fit(*wine)


def test_errors_of_predictions_name_the_search(wine, fitted):
    X, _ = wine
    with pytest.raises(ValueError, match="MixupClassifierCV is expecting 13"):
        fitted.predict(X[:, :3])


def test_groups_of_a_pairing_are_no_matter_to_a_splitter_that_looks_at_none(wine):
    X, y = wine
    groups = np.arange(len(y)) % 4
    search = clone(SEARCH).set_params(pairing="lisa", cv=2)
    # (A warning, as of scikit-learn's splitter, is an error in tests.)
    assert search.fit(X, y, groups=groups).n_splits_ == 2


class TestRouting:
    """As `LogisticRegression` and `LogisticRegressionCV` are routed."""

    @pytest.fixture(autouse=True)
    def enabled(self):
        with config_context(enable_metadata_routing=True):
            yield

    @pytest.fixture
    def table(self, wine):
        return *wine, np.arange(len(wine[1])) % 4

    @pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
    def test_groups_may_be_for_the_splitter_alone(self, table, kind):
        X, y, groups = table
        clf, cv, params = kind(short(max_epochs=1)), GroupKFold(2), {"groups": groups}
        scores = cross_validate(clf, X, y, params=params, cv=cv, error_score="raise")
        assert len(scores["test_score"]) == 2
        grid = GridSearchCV(clf, {"lam_per": ["row"]}, cv=cv)
        assert np.isfinite(grid.fit(X, y, groups=groups).best_score_)

    def test_a_search_hands_groups_to_its_splitter(self, table):
        X, y, groups = table
        search = clone(SEARCH).set_params(cv=GroupKFold(2))
        make_pipeline(StandardScaler(), search).fit(X, y, groups=groups)
        with pytest.raises(ValueError, match="groups"):
            search.fit(X, y)

    @pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
    def test_a_pairing_gets_groups_where_they_are_requested(self, table, kind):
        X, y, groups = table
        clf = kind(short(max_epochs=1), pairing="lisa")
        options = {"params": {"groups": groups}, "cv": GroupKFold(2)}
        with pytest.raises(ValueError, match=r"set_fit_request\(groups=True\)"):
            cross_validate(clf, X, y, **options, error_score="raise")
        clf.set_fit_request(groups=True)
        cross_validate(clf, X, y, **options, error_score="raise")
        clf.fit(X, y, groups=groups)

    def test_a_scorer_gets_what_it_requests_and_no_rows_of_weight_0(self, table):
        X, y, groups = table

        def mean_price(y_true, y_pred, *, price):
            assert len(price) == len(y_true)
            return -float(np.mean(price))

        scorer = make_scorer(mean_price).set_score_request(price=True)
        search = clone(SEARCH).set_params(scoring=scorer, cv=KFold(2))
        weight = np.where(groups == 0, 0.0, 1.0)
        search.fit(X, y, sample_weight=weight, price=groups)
        expected = [-groups[groups > 0][part].mean() for part in _halves(groups)]
        got = [search.cv_results_[f"split{f}_test_score"][0] for f in range(2)]
        assert_allclose(got, expected)
        with pytest.raises(TypeError, match="unexpected argument"):
            search.fit(X, y, nothing=groups)

    def test_weights_are_no_matter_to_a_scorer_that_says_so(self, table):
        X, y, _ = table
        search = clone(SEARCH).set_params(scoring="accuracy")
        if OLD_SKLEARN:
            search.fit(X, y, sample_weight=1.0 + y)
        else:
            with pytest.raises(UnsetMetadataPassedError):
                search.fit(X, y, sample_weight=1.0 + y)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        search.set_params(scoring=scorer).fit(X, y, sample_weight=1.0 + y)


def _halves(groups):
    n = (groups > 0).sum()
    return np.arange(n) < -(-n // 2), np.arange(n) >= -(-n // 2)


def test_without_routing_other_metadata_is_refused(wine):
    with pytest.raises(TypeError, match="enable_metadata_routing"):
        clone(SEARCH).fit(*wine, price=3)


# Trainings that fail, or are ended.


class Explodes(nn.Module):
    """Puts out no numbers for rows that are mixed."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out).double()

    def forward(self, X):
        whole = (X[:, :1] == X[:, :1].round()).all(dim=1, keepdim=True)
        return self.layer(X) + torch.where(whole, 0.0, torch.inf)


class ExplodesAlone(NeuralNetClassifier):
    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


@pytest.mark.parametrize("kind", [NeuralNetClassifier, ExplodesAlone])
@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_a_candidate_that_diverges_has_no_score_and_does_not_predict(wine, kind):
    X, y = wine[0].copy(), wine[1]
    X[:, 0] = y
    net = kind(Explodes, criterion=nn.CrossEntropyLoss, max_epochs=3, train_split=None)
    search = MixupClassifierCV(net, alphas=(0, 0.5), cv=3, random_state=0)
    with pytest.warns(UserWarning, match=r"no finite score for alpha in \[0.5\]"):
        search.fit(X, y)
    assert search.vectorized_ is (kind is NeuralNetClassifier)
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True])
    assert np.isnan(search.cv_results_["split0_test_score"][1])
    assert_array_equal(search.alpha_weights_, [1, 0])
    assert np.isfinite(search.predict_proba(X)).all()
    with pytest.raises(ValueError, match="epoch 1"):
        MixupClassifier(net, alpha=0.5).fit(X, y)


@pytest.mark.parametrize("search", [SEARCH, NUMBERS], ids=["classes", "numbers"])
def test_a_search_all_of_which_diverges_raises(wine, diabetes, search):
    X, y = diabetes if search is NUMBERS else wine
    net = clone(search.estimator).set_params(optimizer=torch.optim.SGD, lr=1e300)
    search = clone(search).set_params(estimator=net)
    with pytest.raises(ValueError, match="Training has diverged for each"):
        search.fit(1e5 * X, y)
    assert not hasattr(search, "estimators_")


@pytest.mark.parametrize("kind", [NeuralNetClassifier, ExplodesAlone])
@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_losses_that_end_above_their_start_are_told(wine, kind):
    X, y = wine
    net = kind(perceptron, criterion=nn.CrossEntropyLoss, lr=1e6, max_epochs=3)
    search = MixupClassifierCV(net, alphas=(0, 0.5), cv=3, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"alpha in \[0.0, 0.5\]") as told:
        search.fit(1e3 * X, y)
    assert {warning.filename for warning in told} == {__file__}


def forever(**params):
    return short(max_epochs=100_000, **params)


ENDLESS = {
    "vectorized": forever,
    "vectorized, stopping": lambda: forever(
        callbacks=[EarlyStopping(patience=100_000)]
    ),
    "one by one": lambda: forever(optimizer=torch.optim.LBFGS),
    "default": lambda: default_net("classifier").set_params(
        max_epochs=100_000, callbacks=None, module__d_block=8
    ),
}


# Python ignores an interrupt that arrives within a callback of the garbage collector,
# such as hypothesis has one; a fit then ends with its epoch.
@pytest.mark.parametrize("net", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_ctrl_c_leaves_fit_and_loses_nothing(wine, fitted, net):
    search = copy.copy(fitted).set_params(estimator=net(), cv=2)
    before = dict(vars(search))
    timer = threading.Timer(1, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        search.fit(*wine)
    timer.join()
    assert vars(search) == before


@pytest.mark.parametrize("net", [None, short(max_epochs=2)], ids=["default", "own"])
@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_a_score_where_folds_are_coded_in_different_widths(net, scoring):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=60), "g": ["a", "b"] * 30})
    X.loc[7, "g"] = "rare"
    X.loc[9, "x"] = np.nan
    net = net or default_net("classifier").set_params(max_epochs=2, module__d_block=8)
    search = MixupClassifierCV(net, alphas=(0, 0.5), cv=3, scoring=scoring)
    assert np.isfinite(search.fit(X, X["x"].gt(0)).best_score_)


class StopsInMidEpoch(Callback):
    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:Members are trained one by one")
@pytest.mark.parametrize("kind", ["own", "default"])
def test_a_callback_may_stop_a_member_in_mid_epoch(wine, kind):
    X, y = wine
    net = short(callbacks=[StopsInMidEpoch()])
    if kind == "default":
        net = default_net("classifier").set_params(module__d_block=8)
        net.set_params(callbacks=[("stop", StopsInMidEpoch())])
    search = MixupClassifierCV(net, alphas=(0, 0.5), cv=2).fit(X, y)
    assert np.isnan(search.curves_[:, :, 1]).all()
    assert np.isfinite(search.curves_[:, :, 0]).all()
    assert np.isfinite(search.predict_proba(X)).all()


def test_a_pair_is_no_list_of_pairs(wine):
    X, y = wine
    rows = np.arange(len(y))
    with pytest.raises(TypeError, match=r"cv=\[\(train, test\)\]"):
        clone(SEARCH).set_params(cv=(rows[:100], rows[100:])).fit(X, y)


@pytest.mark.parametrize("cv", [None, 3, StratifiedKFold(3)])
def test_groups_at_which_nobody_looks_are_told(wine, cv):
    search = clone(SEARCH).set_params(cv=cv)
    with pytest.warns(UserWarning, match=r"Got groups.*cv=GroupKFold\(5\)") as told:
        search.fit(*wine, groups=np.arange(178) % 9)
    assert {warning.filename for warning in told} == {__file__}


def test_a_rule_for_partners_that_looks_at_no_groups_is_told_of_like_its_name(wine):
    search = clone(SEARCH).set_params(pairing=SameClass())
    with pytest.warns(UserWarning, match="Got groups"):
        search.fit(*wine, groups=np.arange(178) % 9)


def test_groups_at_which_somebody_looks_are_not_told(wine):
    X, y = wine
    groups = np.arange(len(y)) % 9
    folds = list(GroupKFold(3).split(X, y, groups))
    kept_together = PredefinedSplit(groups % 3)
    for params in (
        {"pairing": "lisa"},
        {"cv": folds},
        {"cv": GroupKFold(3)},
        {"cv": kept_together},
    ):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            clone(SEARCH).set_params(**params).fit(X, y, groups=groups)
        assert not [warning for warning in told if "groups" in str(warning.message)]


def test_an_alpha_that_cannot_be_scored_in_a_fold_is_named_with_the_reason(wine):
    X, y = wine
    folds = list(StratifiedKFold(3).split(X, y))

    def picky(member, X_held_out, y_held_out):
        if member.alpha == 0.5 and X_held_out[0, 0] == X[folds[1][1][0], 0]:
            raise ZeroDivisionError("not this one")
        return member.score(X_held_out, y_held_out)

    search = clone(SEARCH).set_params(alphas=(0, 0.5), cv=folds, scoring=picky)
    told = r"alpha in \[0.5\].*fold 1 \(ZeroDivisionError: not this one\)"
    with pytest.warns(UserWarning, match=told) as caught:
        search.fit(X, y)
    assert len(caught) == 1  # nothing of folds that are left out: none is
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert search.alpha_weights_.tolist() == [1, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_never_finite_is_named(wine, value):
    search = clone(SEARCH).set_params(scoring=lambda *args: value)
    with pytest.raises(ValueError, match=r"failed \(ValueError: .*Choose a scoring"):
        search.fit(*wine)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, np.float32])
def test_scores_that_grid_search_takes_are_taken(wine, kind):
    search = clone(SEARCH).set_params(scoring=lambda *args: kind([0.5]).sum())
    assert search.fit(*wine).best_score_ == 0.5


def test_folds_that_lack_classes_are_told_from_a_scoring_that_does_not_fit(wine):
    X, y = wine  # sorted by class
    search = clone(SEARCH).set_params(cv=KFold(3), scoring="roc_auc_ovr")
    with pytest.raises(ValueError, match="Rows held out lack a class in each fold"):
        search.fit(X, y)


class ReshapesByRows(nn.Module):
    def __init__(self, d_in, d_out, throws_away=False):
        super().__init__()
        self.first, self.block = nn.Linear(d_in, 8), nn.Linear(8, 8)
        self.last, self.throws_away = nn.Linear(8, d_out), throws_away

    def forward(self, X):
        hidden = self.first(X)
        block = self.block(hidden)
        return self.last(hidden if self.throws_away else block.view(X.shape[0], -1))


@pytest.mark.parametrize("throws_away", [False, True])
@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_layers_behind_which_rows_cannot_be_mixed_are_named(wine, throws_away):
    net = logits_net(module=ReshapesByRows, module__throws_away=throws_away)
    search = clone(SEARCH).set_params(estimator=net, layers="block")
    with pytest.raises((RuntimeError, ValueError), match="'block'"):
        search.fit(*wine)


@pytest.mark.parametrize("layers", ["auto", "hidden"])
@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_modules_in_bfloat16(wine, layers):
    X, y = wine
    net = logits_net(module=HalfPrecision, max_epochs=3)
    search = clone(SEARCH).set_params(estimator=net, layers=layers).fit(X, y)
    proba = search.predict_proba(X)
    assert proba.dtype == np.float64
    assert_allclose(proba.sum(axis=1), 1)


class HalfPrecision(Layers):
    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        self.bfloat16()
