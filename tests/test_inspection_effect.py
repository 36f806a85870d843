"""`mixup_effect`: paired folds, choices inside them, and a verdict."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sample_nets import Linear, logits_net, number_net, tiny_default_net
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping
from torch import nn

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
)
from skmix._default_net import TabularNeuralNet
from skmix._training.random import generator_states, same_states
from skmix.inspection import MixupEffect, mixed_rows, mixup_effect, row_effects
from skmix.inspection._comparison import _choice, compare
from skmix.inspection._effect import _effect
from skmix.inspection._held_out import (
    Data,
    HeldOut,
    predictions,
    repeated_folds,
)
from skmix.inspection._models import with_params
from skmix.inspection._settings import MIXING, Setting, Settings, baseline, settings_of

X, Y = make_classification(120, 6, n_informative=4, flip_y=0.1, random_state=0)
X = X.astype(np.float32)
QUICK = {"cv": 3, "n_repeats": 1, "random_state": 0}


def net(**params):
    return logits_net(**{"max_epochs": 3, "train_split": None} | params)


def table_of(effect, metric="log_loss"):
    return effect.table.xs(metric, level="metric")


# A comparison of known predictions.


def held_out_of(losses):
    """Probabilities of the label of a row a fold, by their log losses, (S, F)."""
    of_label = np.exp(-np.asarray(losses, dtype=float))
    n_folds = of_label.shape[1]
    predicted = [np.stack([p, 1 - p], axis=-1)[:, None] for p in of_label.T]
    return HeldOut(
        tests=[np.array([f]) for f in range(n_folds)],
        predicted=predicted,
        scores=None,
        chosen=np.full(of_label.shape, 1.0, dtype=object),
        n_repeats=1,
        test_per_train=0.25,
    )


def effect_of(losses, alphas=(0.2,), with_baseline=False, n_repeats=1, others=()):
    held_out = held_out_of(losses)._replace(n_repeats=n_repeats)
    n = len(held_out.tests)
    target = np.zeros(n, dtype=int)
    data = Data(np.zeros((n, 1)), target, target, 2, None, None)
    settings = [Setting(MIXING, f"alpha={a:g}", a, {}) for a in alphas]
    settings += [Setting(name, name, 0.0, {}) for name in others]
    every = Settings(baseline(), settings, with_baseline)
    return _effect(compare(every, data, held_out, None))


NOISE = np.array([0.02, -0.01, 0.015, -0.02, -0.005])


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (-0.2, "helps", "lower by 0.2"),
        (0.2, "hurts", "higher by 0.2"),
        (0.0, "no evidence", "Mixing helps or hurts".lower()),
    ],
)
def test_the_verdict_follows_the_interval(change, verdict, words):
    plain = np.full(5, 0.6)
    effect = effect_of([plain, plain + change + NOISE])
    row = effect.table.loc[("alpha=0.2", "log_loss")]
    assert effect.verdict == verdict
    assert words in repr(effect).lower()
    assert len(repr(effect).splitlines()) == 2
    assert row["difference"] == pytest.approx(change)
    assert row["low"] < row["difference"] < row["high"]
    assert row["folds_better"] == (change + NOISE < 0).sum()
    assert row["n_folds"] == 5


def test_a_net_that_is_only_too_timid_is_no_worse_once_it_is_calibrated():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=2_000)
    target = (rng.random(2_000) < 1 / (1 + np.exp(-logits))).astype(int)
    sharp, timid = (
        np.stack([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], axis=1)
        for z in (logits, logits / 3)
    )
    tests = np.split(np.arange(2_000), 4)
    held_out = HeldOut(
        tests=tests,
        predicted=[np.stack([sharp[test], timid[test]]) for test in tests],
        scores=None,
        chosen=np.full((2, 4), 1.0, dtype=object),
        n_repeats=1,
        test_per_train=1 / 3,
    )
    data = Data(np.zeros((2_000, 1)), target, target, 2, None, None)
    mixed = [Setting(MIXING, "alpha=0.2", 0.2, {})]
    table = compare(Settings(baseline(), mixed, False), data, held_out, None).table
    change = table.loc["alpha=0.2"]["difference"]
    assert change["log_loss"] > 0.05
    assert abs(change["log_loss_calibrated"]) < 0.002
    assert change["ece"] > 0.05
    assert abs(change["ece_calibrated"]) < 0.01


def test_identical_candidates_give_no_evidence_and_no_width_of_zero():
    effect = effect_of(np.full((2, 5), 0.6))
    row = effect.table.loc[("alpha=0.2", "log_loss")]
    assert effect.verdict == "no evidence"
    assert row["difference"] == 0
    assert np.isnan([row["low"], row["high"]]).all()
    assert "cannot tell" in repr(effect)


def test_metrics_are_those_of_the_folds():
    plain = np.array([0.1, 0.2, 0.3, 1.0, 2.0])
    table = effect_of([plain, plain * 0.9 + NOISE * 0.1]).table
    p = np.exp(-plain)
    assert table.loc[("alpha=0", "log_loss"), "mean"] == pytest.approx(plain.mean())
    assert table.loc[("alpha=0", "accuracy"), "mean"] == pytest.approx((p > 0.5).mean())
    assert table.loc[("alpha=0", "brier"), "mean"] == pytest.approx(
        (2 * (1 - p) ** 2).mean()
    )
    assert (table.loc["alpha=0", ["difference", "low", "high"]] == 0).all(axis=None)


def test_a_fold_that_diverged_is_left_out_for_its_candidate():
    losses = np.full((3, 5), 0.6)
    losses[1] += NOISE - 0.2
    losses[2] = losses[1]
    losses[2, 0] = np.nan
    effect = effect_of(losses, alphas=(0.2, 1.0), with_baseline=True)
    table = table_of(effect)
    assert table["n_folds"].tolist() == [5, 5, 4, 5]
    assert table.loc["alpha=1", "mean"] == pytest.approx(losses[2, 1:].mean())


# Choices inside the folds.


def folds_of(n_folds, n_repeats):
    """Folds of other rows, in each of the repeats."""
    rows = [np.array([f]) for f in range(n_folds // n_repeats)] * n_repeats
    return HeldOut(rows, [], None, np.empty(0), n_repeats, 0.25)


def test_a_choice_is_made_by_the_other_folds_of_the_repeat():
    scores = np.zeros((3, 6))
    scores[1, :3] = [9, 0, 0]  # only its own fold speaks for it in fold 0
    scores[2, 3:] = 1
    assert _choice(scores, folds_of(6, 2)).tolist() == [0, 1, 1, 2, 2, 2]


def test_the_score_of_a_fold_does_not_change_its_own_choice():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 10))
    before = _choice(scores, folds_of(10, 2))
    for f in range(10):
        other = scores.copy()
        other[:, f] = rng.normal(size=3) * 100
        assert _choice(other, folds_of(10, 2))[f] == before[f]


def test_without_other_folds_there_is_no_choice():
    effect = effect_of([[0.6], [0.5], [0.4]], alphas=(0.2, 1.0), with_baseline=True)
    assert effect.verdict == "no evidence"
    assert effect.chosen["setting"].isna().all()


def test_alpha_0_in_all_folds_is_said():
    plain = np.full(5, 0.6)
    effect = effect_of([plain, plain + 0.1 + NOISE], with_baseline=True)
    row = effect.table.loc[("chosen alpha", "log_loss")]
    assert effect.verdict == "no evidence"
    assert row["difference"] == 0
    assert np.isnan([row["low"], row["high"]]).all()
    told = (
        "not worth it here: alpha 0, no mixing, was chosen in all of the 5 folds; at "
    )
    assert f"{told}alpha 0.2 the log loss is higher by 0.1" in repr(effect)


def test_an_alpha_of_few_folds_is_not_the_best_of_those_that_mix():
    plain, few = np.full(5, 0.6), np.full(5, np.nan)
    few[0] = 0.1
    losses = [plain, few, plain + 0.1 + NOISE]
    effect = effect_of(losses, alphas=(0.2, 1.0), with_baseline=True)
    assert "at alpha 1 the log loss is higher by 0.1" in repr(effect)


def test_of_auto_that_chose_0_nothing_is_said_about_mixing():
    effect = effect_of(np.full((2, 5), 0.6), alphas=(0.2,), with_baseline=True)
    table = effect.table.rename(index={"alpha=0.2": "alpha='auto'"})
    effect = replace(effect, table=table)
    assert repr(effect).startswith(
        "Mixing is not worth it here: alpha 0, no mixing, was chosen in all of the 5 "
        "folds.\n"
    )


def test_a_diverged_setting_is_not_taken():
    scores = np.array([[0.0, 0.0, 0.0], [5.0, np.nan, 5.0]])
    assert _choice(scores, folds_of(3, 1)).tolist() == [0, 1, 0]


def test_families_choose_as_mixing_does():
    plain = np.full(5, 0.6)
    losses = [plain, plain - 0.1 + NOISE, plain - 0.3 + NOISE]
    effect = effect_of(losses, with_baseline=True, others=["dropout"])
    assert effect.candidate == "chosen alpha"
    assert table_of(effect).index.tolist() == [
        "alpha=0",
        "alpha=0.2",
        "chosen alpha",
        "dropout",
    ]
    told = "'dropout' did better than mixing on average; it is better than alpha 0 by"
    assert told in repr(effect)
    worse = [plain, plain - 0.3 + NOISE, plain - 0.1 + NOISE]
    effect = effect_of(worse, with_baseline=True, others=["dropout"])
    assert "No other regularizer did better (dropout)" in repr(effect)


def test_a_regularizer_that_is_worse_than_none_is_not_praised():
    plain = np.full(5, 0.6)
    losses = [plain, plain + 0.3 + NOISE, plain + 0.1 + NOISE]
    effect = effect_of(losses, others=["My L2"])
    told = "'My L2' did better than mixing on average; it is worse than alpha 0 by 0.1"
    assert told in repr(effect)


def test_rows_in_several_folds_choose_nothing_for_themselves():
    # Folds 0 and 1 hold out one row, so that fold 1 may not speak for fold 0.
    held_out = folds_of(3, 1)._replace(tests=[np.array([k]) for k in (0, 0, 1)])
    scores = np.array([[0.0, 0.0, 1.0], [0.0, 9.0, 0.0]])
    assert _choice(scores, held_out).tolist()[:2] == [0, 0]


def test_the_same_folds_again_are_no_more_folds():
    plain = np.full(10, 0.6)
    losses = [plain, plain - 0.1 + np.tile(NOISE, 2)]
    once = effect_of([row[:5] for row in losses])
    held_out = held_out_of(losses)
    again = held_out._replace(tests=held_out.tests[:5] * 2, n_repeats=2)
    target = np.zeros(10, dtype=int)
    data = Data(np.zeros((10, 1)), target, target, 2, None, None)
    settings = [Setting(MIXING, "alpha=0.2", 0.2, {})]
    twice = _effect(compare(Settings(baseline(), settings, False), data, again, None))
    bounds = ["difference", "low", "high"]
    row = ("alpha=0.2", "log_loss")
    np.testing.assert_allclose(
        twice.table.loc[row, bounds].to_numpy(float),
        once.table.loc[row, bounds].to_numpy(float),
    )


# Three ways to train, one result.


def test_side_by_side_equals_one_by_one():
    # (Adam makes steps of rounding errors, where BatchNorm takes a bias away.)
    model = MixupClassifier(net(module=Linear), alpha=0.5)
    settings = settings_of(model, (0.2, 1.0), None)
    data = Data.of(model, X, Y, None, None)
    repeats = repeated_folds(model, data, 3, 2, 0)
    together = predictions(model, settings.all, data, repeats)

    class Own(MixupClassifier):
        """A subclass, which may do anything, so that it is fitted as it is."""

    alone = predictions(Own(net(module=Linear), alpha=0.5), settings.all, data, repeats)
    for one, other in zip(together.predicted, alone.predicted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


@pytest.mark.parametrize("priors", [None, [0.9, 0.1]])
def test_priors_count_in_the_model_that_has_them(priors):
    model = MixupClassifier(net(module=Linear), alpha=0.5, priors=priors)
    effect = mixup_effect(model, X, Y, **QUICK)
    data = Data.of(model, X, Y, None, None)
    fold = repeated_folds(model, data, 3, 1, 0)[0].folds[0]
    alone = clone(model).set_params(random_state=fold.seed)
    alone.fit(X[fold.train], Y[fold.train])
    of_label = alone.predict_proba(X[fold.test])[np.arange(40), Y[fold.test]]
    scores = effect.scores.set_index(["candidate", "metric", "fold"])["score"]
    assert scores["alpha=0.5", "log_loss", 0] == pytest.approx(-np.log(of_label).mean())


def test_a_pipeline_of_nothing_changes_nothing():
    model = MixupClassifier(net(module=Linear), alpha=0.5)
    one = mixup_effect(model, X, Y, **QUICK)
    other = mixup_effect(make_pipeline("passthrough", model), X, Y, **QUICK)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_a_score_called_as_a_loss_is_no_loss():
    def rmse(estimator, X, y):
        return -1.0 - estimator.alpha

    model = MixupClassifier(net(), alpha=0.5)
    effect = mixup_effect(model, X, Y, **QUICK, scoring=rmse)
    assert effect.metric == "rmse (scoring)"
    assert effect.table.loc[("alpha=0.5", effect.metric), "difference"] == -0.5
    assert "root mean" not in repr(effect)


def test_nets_that_watch_validation_rows_are_fitted_one_by_one():
    # In a search they would stop by the rows that judge them.
    stopping = net(train_split=tiny_default_net().train_split)
    stopping.set_params(callbacks=[EarlyStopping(patience=1)], max_epochs=4)
    model = MixupClassifier(stopping, alpha=0.2)
    effect = mixup_effect(model, X, Y, **QUICK)
    data = Data.of(model, X, Y, None, None)
    fold = repeated_folds(model, data, 3, 1, 0)[0].folds[0]
    fitted = clone(model).set_params(random_state=fold.seed)
    fitted.fit(X[fold.train], Y[fold.train])
    of_label = fitted.predict_proba(X[fold.test])[np.arange(40), Y[fold.test]]
    scores = effect.scores.set_index(["candidate", "metric", "fold"])["score"]
    assert scores["alpha=0.2", "log_loss", 0] == pytest.approx(-np.log(of_label).mean())


class Recorder(TransformerMixin, BaseEstimator):
    seen: list = []  # noqa: RUF012

    def fit(self, X, y=None):
        self.seen.append(np.asarray(X)[:, 0])
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
def test_steps_of_a_pipeline_see_training_rows_only(kind):
    Recorder.seen = []
    model = make_pipeline(Recorder(), StandardScaler(), kind(net()))
    options = {} if kind is MixupClassifierCV else {"alphas": (0.2,)}
    mixup_effect(model, X, Y, **QUICK, **options)
    repeats = repeated_folds(model, Data.of(model, X, Y, None, None), 3, 1, 0)
    assert len(Recorder.seen) == 3  # once a fold, not once a setting
    for seen, fold in zip(Recorder.seen, repeats[0].folds, strict=True):
        np.testing.assert_array_equal(seen, X[fold.train, 0])


def test_a_search_and_its_effect_agree():
    data = Data.of(MixupClassifierCV(), X, Y, None, None)
    repeat = repeated_folds(MixupClassifierCV(), data, 3, 1, 0)[0]
    pairs = [(fold.train, fold.test) for fold in repeat.folds]
    search = MixupClassifierCV(net(), alphas=(0.2, 1), cv=pairs, store_cv_results=True)
    search.set_params(random_state=np.random.RandomState(repeat.seed)).fit(X, Y)
    told = MixupEffect.from_search(search, Y)
    measured = mixup_effect(search, X, Y, **QUICK)
    pd.testing.assert_frame_equal(told.table, measured.table)
    assert "compared no other regularizers" in repr(told)
    plain = search.cv_results_["mean_test_score"][0]
    assert told.table.loc[("alpha=0", "log_loss"), "mean"] == pytest.approx(-plain)


@pytest.mark.parametrize("ensemble", ["blend", False])
def test_an_effect_of_a_search_trains_members_alone(ensemble, monkeypatch):
    refits, refit = [], MixupClassifierCV._refit

    def noted(search, *args):
        refits.append(search)
        return refit(search, *args)

    monkeypatch.setattr(MixupClassifierCV, "_refit", noted)
    own = default_net("classifier").set_params(max_epochs=2, module__d_block=8)
    search = MixupClassifierCV(own, alphas=(0.2,), cv=2, ensemble=ensemble)
    mixup_effect(search, X, Y, cv=2, random_state=0)
    assert not refits
    search.fit(X, Y)
    assert len(refits) == 1


def test_from_search_takes_the_weights_of_the_fit():
    weight = np.tile([1.0, 2.0, 0.0], 40)
    search = MixupClassifierCV(net(), cv=3, store_cv_results=True, random_state=0)
    search.fit(X, Y, weight)
    effect = MixupEffect.from_search(search, Y, weight)
    plain = search.cv_results_["mean_test_score"][0]
    assert effect.table.loc[("alpha=0", "log_loss"), "mean"] == pytest.approx(-plain)
    assert all((weight[rows] > 0).all() for rows in search.fold_rows_)


def test_stored_predictions_are_those_of_the_members():
    search = MixupClassifierCV(net(), cv=3, ensemble=True, random_state=0)
    search.set_params(store_cv_results=True).fit(X, Y)
    best = search.best_index_
    for f, rows in enumerate(search.fold_rows_):
        expected = search.estimators_[f].predict_proba(X[rows])
        np.testing.assert_array_equal(search.fold_predictions_[f][best], expected)
    search.set_params(store_cv_results=False).fit(X, Y)
    assert not hasattr(search, "fold_predictions_")
    assert not hasattr(search, "fold_rows_")


# What a user passes.


def test_the_default_net_chooses_by_itself():
    model = MixupClassifier(tiny_default_net())
    effect = mixup_effect(model, *load_iris(return_X_y=True), **QUICK)
    assert effect.candidate == "alpha='auto'"
    assert set(effect.chosen["setting"]) <= {"alpha=0", "alpha=0.2"}
    assert "chosen by the estimator" in repr(effect) or "chosen in all" in repr(effect)


@pytest.mark.parametrize(
    ("kind", "load"), [(MixupClassifier, load_iris), (MixupRegressor, load_diabetes)]
)
def test_what_auto_has_explored_is_not_explored_again(kind, load, monkeypatch):
    table, target = (rows[::2] for rows in load(return_X_y=True))
    task = "classifier" if kind is MixupClassifier else "regressor"
    model = kind(tiny_default_net(task))
    data = Data.of(model, table, target, None, None)
    repeats = repeated_folds(model, data, 3, 1, 0)
    settings = settings_of(model, None, "dropout").all
    explored, explore = [], TabularNeuralNet.explore

    def count(net, *args, **kwargs):
        explored.append(net)
        return explore(net, *args, **kwargs)

    monkeypatch.setattr(TabularNeuralNet, "explore", count)
    held_out = predictions(model, settings, data, repeats)
    assert len(explored) == 3 * 3  # "auto" with mixing and without, and a dropout
    for k, setting in enumerate(settings):
        for f, fold in enumerate(repeats[0].folds):
            own = {"alpha": setting.alpha, "random_state": fold.seed}
            alone = with_params(model, **(own | setting.params))
            alone.fit(table[fold.train], target[fold.train])
            predict = alone.predict_proba if data.n_classes else alone.predict
            expected = predict(table[fold.test])
            np.testing.assert_array_equal(held_out.predicted[f][k], expected)
            assert held_out.chosen[k, f] == alone.alpha_


@pytest.mark.slow
def test_named_grids_of_the_default_net():
    model = MixupClassifierCV(tiny_default_net(), alphas=(0.2, 1))
    against = ["dropout", "label_smoothing", "weight_decay"]
    effect = mixup_effect(model, X, Y, **QUICK, against=against)
    assert table_of(effect).index.tolist()[-3:] == against
    assert set(effect.chosen["family"]) == {MIXING, *against}


def test_a_grid_may_be_spelt_as_in_the_pipeline():
    grid = {"mixupclassifier__estimator__lr": [0.1, 0.2]}
    model = make_pipeline(StandardScaler(), MixupClassifier(net()))
    against = {"rate": grid}
    effect = mixup_effect(model, X, Y, **QUICK, alphas=(0.2, 1), against=against)
    rates = effect.chosen.loc[effect.chosen["family"] == "rate", "setting"]
    assert set(rates) <= {"lr=0.1", "lr=0.2"}


def test_regressors():
    table, target = load_diabetes(return_X_y=True)
    target = (target / 100).astype(np.float32)
    for model in (
        MixupRegressor(number_net(), alpha=1),
        MixupRegressorCV(number_net()),
    ):
        effect = mixup_effect(
            model, table[:90].astype(np.float32), target[:90], **QUICK
        )
        assert effect.metric == "rmse"
        assert "root mean squared error" in repr(effect)
        assert set(effect.table.index.levels[1]) == {"rmse", "r2"}


@pytest.mark.parametrize("kind", [MixupClassifier, MixupClassifierCV])
def test_scoring_decides(kind):
    effect = mixup_effect(
        kind(net()), X, Y, **QUICK, alphas=(0.2, 1), scoring="accuracy"
    )
    by_default = mixup_effect(kind(net()), X, Y, **QUICK, alphas=(0.2, 1))
    assert effect.metric == "accuracy"
    fixed = ["alpha=0", "alpha=0.2", "alpha=1"]
    np.testing.assert_allclose(
        table_of(effect, "accuracy").loc[fixed, "mean"],
        table_of(by_default, "accuracy").loc[fixed, "mean"],
    )


def test_weights_count_in_metrics_and_rows_of_weight_0_leave():
    weight = np.where(np.arange(120) < 90, 1.0, 0.0)
    model = MixupClassifier(net(), alpha=0.5)
    folds = [(np.arange(60), np.arange(60, 90)), (np.arange(30, 90), np.arange(30))]
    one = mixup_effect(model, X, Y, **QUICK | {"cv": folds}, sample_weight=weight)
    other = mixup_effect(model, X[:90], Y[:90], **QUICK | {"cv": folds})
    pd.testing.assert_frame_equal(one.table, other.table)
    longer = [(np.r_[train, 95:100], np.r_[test, 110:115]) for train, test in folds]
    one = mixup_effect(model, X, Y, **QUICK | {"cv": longer}, sample_weight=weight)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_groups_stay_together():
    model = MixupClassifier(net(), alpha=0.2)
    groups = np.arange(120) // 4
    data = Data.of(model, X, Y, None, groups)
    for fold in repeated_folds(model, data, 3, 1, 0)[0].folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
    mixup_effect(model, X, Y, **QUICK | {"cv": GroupKFold(3)}, groups=groups)


def test_splitters_see_the_values_of_groups():
    model = MixupClassifier(net(), alpha=0.2)
    groups = np.array(["c", "a", "b", "d"])[np.arange(120) % 4]
    data = Data.of(model, X, Y, np.arange(120) % 5, groups.tolist())
    kept = np.flatnonzero(np.arange(120) % 5)
    cv = LeaveOneGroupOut()  # in the order of its values
    found = repeated_folds(model, data, cv, 1, 0)[0].folds
    for fold, (_, test) in zip(
        found, cv.split(X[kept], Y[kept], groups[kept]), strict=True
    ):
        assert_array_equal(np.sort(fold.test), kept[test])


def test_splitters_and_given_folds():
    model = MixupClassifier(net(), alpha=0.2)
    split = ShuffleSplit(2, test_size=30, random_state=0)
    effect = mixup_effect(model, X, Y, cv=split, n_repeats=2, random_state=0)
    assert table_of(effect)["n_folds"].tolist() == [4, 4]
    pairs = list(split.split(X))
    given = mixup_effect(model, X, Y, cv=pairs, n_repeats=2, random_state=0)
    pd.testing.assert_frame_equal(effect.table, given.table)


def test_labels_and_frames_of_any_kind():
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "x", "y")})
    labels = np.array(["no", "yes"])[Y]
    model = MixupClassifier(tiny_default_net(), alpha=0.2)
    one = mixup_effect(model, frame, labels, **QUICK)
    other = mixup_effect(model, frame.set_index(frame.index + 7), Y, **QUICK)
    pd.testing.assert_frame_equal(one.table, other.table)


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter():
    model = MixupClassifier(tiny_default_net(), alpha=0.2)
    one = mixup_effect(model, X, Y, **QUICK)
    other = mixup_effect(model, X, Y, **QUICK, n_jobs=2)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_the_model_and_the_generators_stay_as_they_were():
    model = MixupClassifier(net(), alpha=0.2, random_state=3).fit(X, Y)
    proba, states = model.predict_proba(X), generator_states()
    mixup_effect(model, X, Y, **QUICK)
    np.testing.assert_array_equal(proba, model.predict_proba(X))
    assert same_states(states, generator_states())
    assert model.random_state == 3


# Errors.


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (MixupClassifier(net(), alpha=0), {}, "mixes nothing"),
        (MixupClassifier(net()), {"alphas": (0,)}, "one of them above 0"),
        (MixupClassifierCV(net(), alphas=(0,)), {}, "one of them above 0"),
        (MixupClassifier(net()), {"alphas": "auto"}, "a sequence"),
        (MixupClassifier(net()), {"cv": 1}, "Got cv=1"),
        (MixupClassifier(net()), {"cv": 100}, "cv=100 folds"),
        (MixupClassifier(net()), {"n_repeats": 0}, "n_repeats"),
        (MixupClassifier(net()), {"n_jobs": 0}, "Got n_jobs=0"),
        (MixupClassifier(net()), {"against": "dropout"}, "a net of your own"),
        (MixupClassifier(net()), {"against": "noise"}, "expected a mapping"),
        (MixupClassifier(net()), {"against": 3}, "expected a mapping"),
        (
            MixupClassifier(net()),
            {"against": {"rate": {"estimator__lr": [1, 2]}}},
            "a family may have no more",
        ),
        (
            MixupClassifier(net()),
            {"against": {"rate": {"learning_rate": [1]}}},
            "'learning_rate'",
        ),
        (
            MixupClassifier(net()),
            {"against": {"rate": {"estimator__speed": [1]}}},
            "'estimator__speed'",
        ),
        (nn.Linear(1, 1), {}, "expected a MixupClassifier"),
    ],
)
def test_errors_teach(model, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mixup_effect(model, X, Y, **QUICK | options)


def test_errors_about_targets():
    model = MixupClassifier(net(), alpha=0.2)
    with pytest.raises(ValueError, match="Got one class"):
        mixup_effect(model, X, np.zeros(120), **QUICK)
    regressor = MixupRegressor(tiny_default_net("regressor"), alpha=0.2)
    with pytest.raises(ValueError, match="label_smoothing"):
        mixup_effect(regressor, X, X[:, 0], **QUICK, against="label_smoothing")
    dates = np.arange(len(X)).astype("datetime64[D]")
    for targets, message in ((dates, "days"), (Y.astype(str) + "a", "no finite num")):
        with pytest.raises(ValueError, match=message):
            mixup_effect(regressor, X, targets, **QUICK)


def test_errors_about_a_search():
    search = MixupClassifierCV(net(), cv=3, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="store_cv_results=True"):
        MixupEffect.from_search(search, Y)
    search.set_params(store_cv_results=True).fit(X, Y)
    with pytest.raises(ValueError, match="not those"):
        MixupEffect.from_search(search, Y[:50])
    with pytest.raises(ValueError, match="not those"):
        MixupEffect.from_search(search, Y[::-1])
    with pytest.raises(ValueError, match="sample_weight"):
        MixupEffect.from_search(search, Y, np.ones(3))
    with pytest.raises(TypeError, match="last step"):
        MixupEffect.from_search(make_pipeline(search), Y)


TEXTS = ["red wine", "white wine", "red apple", "green apple"] * 12
FRUITS = np.tile([0, 0, 1, 1], 12)


@pytest.mark.parametrize(
    "kind", [list, np.array, pd.Series, lambda texts: np.array(texts, dtype=object)]
)
@pytest.mark.parametrize("one", [MixupClassifier, MixupClassifierCV])
def test_a_pipeline_may_begin_with_texts(kind, one):
    model = make_pipeline(TfidfVectorizer(), TruncatedSVD(2), one(net()))
    effect = mixup_effect(model, kind(TEXTS), FRUITS, **QUICK, alphas=(0.2,))
    assert effect.table["mean"].notna().all()
    if one is MixupClassifier:
        model.set_params(mixupclassifier__alpha=0.2)
        options = {"cv": 2, "random_state": 0}
        assert len(row_effects(model, kind(TEXTS), FRUITS, **options)) == len(FRUITS)
        rows = mixed_rows(model.fit(TEXTS, FRUITS), kind(TEXTS), FRUITS)
        assert rows["row"].isin(range(len(TEXTS))).all()


def test_groups_that_a_splitter_lacks_are_named():
    for work in (
        lambda: MixupClassifierCV(net(), cv=GroupKFold(3)).fit(X, Y),
        lambda: mixup_effect(MixupClassifierCV(net()), X, Y, cv=GroupKFold(3)),
    ):
        with pytest.raises(ValueError, match="Got no groups, but cv=GroupKFold"):
            work()
