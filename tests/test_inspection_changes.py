"""What mixing changed in a model: metrics, loss by row, and calibration."""

import copy

import numpy as np
import pandas as pd
import pytest
import sklearn
from sample_nets import logits_net, number_net, short_default_net
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import RepeatedKFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
)
from skmix.inspection._changes import calibration_effect, fitted_pairs, row_effects
from skmix.inspection._metrics import CLASS_METRICS, NUMBER_METRICS
from skmix.networks import apply_temperature, fit_temperature

OF = {metric.name: metric.of for metric in CLASS_METRICS + NUMBER_METRICS}


def some_predictions(n=200, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes)) + np.eye(n_classes)[y]
    proba = np.exp(logits)
    return y, proba / proba.sum(axis=1, keepdims=True), rng.integers(0, 4, size=n)


# Metrics.


@pytest.mark.parametrize("n_classes", [2, 3])
def test_metrics_of_classes_are_those_of_scikit_learn(n_classes):
    y, proba, weight = some_predictions(n_classes=n_classes)
    w, predicted = {"sample_weight": weight}, proba.argmax(axis=1)
    area = proba if n_classes > 2 else proba[:, 1]
    expected = {
        "log_loss": metrics.log_loss(y, proba, **w),
        "brier": metrics.brier_score_loss(y, proba, scale_by_half=False, **w),
        "accuracy": metrics.accuracy_score(y, predicted, **w),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted, **w),
    }
    for name, value in expected.items():
        assert OF[name](y, proba, weight) == pytest.approx(value), name
    # (With several classes, scikit-learn takes weights, too.)
    area = metrics.roc_auc_score(y, area, multi_class="ovr", **w)
    assert OF["roc_auc"](y, proba, weight) == pytest.approx(area)


def test_metrics_of_numbers_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, weight = rng.normal(size=50), rng.integers(0, 4, size=50)
    predicted = y + rng.normal(size=50)
    rmse = np.sqrt(np.average((y - predicted) ** 2, weights=weight))
    assert OF["rmse"](y, predicted, weight) == pytest.approx(rmse)
    r2 = metrics.r2_score(y, predicted, sample_weight=weight)
    assert OF["r2"](y, predicted, weight) == pytest.approx(r2)
    assert np.isnan(OF["r2"](y[:1], predicted[:1], None))


@pytest.mark.parametrize("metric", CLASS_METRICS, ids=lambda m: m.name)
def test_an_integer_weight_counts_as_copies(metric):
    y, proba, weight = some_predictions()
    rows = np.repeat(np.arange(len(y)), weight)
    copies = metric.of(y[rows], proba[rows], None)
    assert metric.of(y, proba, weight) == pytest.approx(copies)


@pytest.mark.parametrize("metric", CLASS_METRICS, ids=lambda m: m.name)
def test_a_class_without_rows_is_no_error(metric):
    y, proba, _ = some_predictions()
    value = metric.of(y[y < 2], proba[y < 2], None)
    assert np.isnan(value) == (metric.name == "roc_auc")
    assert np.isnan(metric.of(y[y == 1], proba[y == 1], None)) == np.isnan(value)


def test_a_certain_miss_has_a_finite_loss():
    assert np.isfinite(OF["log_loss"](np.array([0]), np.array([[0.0, 1.0]]), None))


def test_ece_of_bins_that_are_known():
    # Nine of ten are right at 0.8, and none of ten at 0.6.
    proba = np.repeat([[0.8, 0.2], [0.6, 0.4]], 10, axis=0)
    y = np.r_[np.zeros(9), 1, np.ones(10)].astype(int)
    assert OF["ece"](y, proba, None) == pytest.approx((0.1 + 0.6) / 2)
    assert OF["signed_ece"](y, proba, None) == pytest.approx((-0.1 + 0.6) / 2)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_signed_ece_says_which_way(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (truth.cumsum(axis=1) > rng.uniform(size=(len(truth), 1))).argmax(axis=1)
    assert OF["ece"](y, truth, None) < 0.02
    assert abs(OF["signed_ece"](y, truth, None)) < 0.01
    heated = np.exp(logits / temperature)
    heated /= heated.sum(axis=1, keepdims=True)
    assert (OF["signed_ece"](y, heated, None) > 0.05) == (temperature < 1)
    assert (OF["signed_ece"](y, heated, None) < -0.05) == (temperature > 1)


def test_a_bin_holds_its_upper_edge():
    proba = np.array([[1.0, 0.0], [14 / 15, 1 / 15]])
    assert OF["ece"](np.array([0, 1]), proba, None) == pytest.approx(7 / 15)


# Pairs.


@pytest.fixture
def points():
    """Two columns, three classes that overlap."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=90)
    X = rng.normal(size=(90, 2)) + np.eye(3, 2)[y] * 2
    return X.astype(np.float32), np.array(["a", "b", "c"])[y]


def quick(alpha=1.0, **params):
    net = logits_net(module__d=8, max_epochs=2)
    return MixupClassifier(net, alpha=alpha, random_state=0, **params)


def quick_regressor(alpha=1.0, **params):
    net = number_net(module__d=8, module__d_out=1, max_epochs=2)
    return MixupRegressor(net, alpha=alpha, random_state=0, **params)


class Known(ClassifierMixin, BaseEstimator):
    """The logits of a row are its columns, divided by a temperature."""

    def __init__(self, temperature=1.0, labels=(0, 1, 2)):
        self.temperature = temperature
        self.labels = labels

    def fit(self, X=None, y=None):
        self.classes_ = np.array(self.labels)
        return self

    def predict_proba(self, X):
        scaled = np.exp(np.asarray(X) / self.temperature)
        return scaled / scaled.sum(axis=1, keepdims=True)


class Times(RegressorMixin, BaseEstimator):
    """The number of a row is a multiple of its first column."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X=None, y=None):
        self.factor_ = self.factor
        return self

    def predict(self, X):
        return self.factor_ * np.asarray(X)[:, 0]


def drawn_from_known(n=4000, seed=0):
    """Rows that `Known` with temperature 1 describes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * 2
    proba = Known().fit().predict_proba(X)
    return X, (proba.cumsum(axis=1) > rng.uniform(size=(n, 1))).argmax(axis=1)


def same_weights(one, other):
    states = [m.estimator_.module_.state_dict().values() for m in (one, other)]
    return all((a == b).all() for a, b in zip(*states, strict=True))


def test_models_of_a_pair_differ_in_alpha_alone(points):
    X, y = points
    pairs = fitted_pairs(quick(), X, y, cv=3)
    assert [pair.plain.alpha for pair in pairs] == [0, 0, 0]
    assert [pair.mixed.alpha for pair in pairs] == [1, 1, 1]
    seeds = [pair.mixed.random_state for pair in pairs]
    assert len(set(seeds)) == 3
    assert seeds == [pair.plain.random_state for pair in pairs]
    train = np.setdiff1d(np.arange(len(y)), pairs[1].rows)
    alone = quick(0).set_params(random_state=seeds[1]).fit(X[train], y[train])
    assert same_weights(alone, pairs[1].plain)
    assert not same_weights(alone, pairs[1].mixed)


def test_each_row_is_held_out_once_and_by_strata(points):
    X, y = points
    pairs = fitted_pairs(quick(), X, y, cv=3)
    assert sorted(np.concatenate([pair.rows for pair in pairs])) == list(range(90))
    for pair in pairs:
        assert (X[pair.rows] == pair.X).all()
        assert (pair.y == y[pair.rows]).all()
        n_rows = [(y == label).sum() / 3 for label in "abc"]
        assert np.allclose([(pair.y == label).sum() for label in "abc"], n_rows, atol=1)


def test_the_seed_decides(points):
    X, y = points
    one, same, other = (
        row_effects(quick(), X, y, cv=2, random_state=seed) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)


@pytest.mark.slow
def test_processes_change_nothing(points):
    X, y = points
    one, two = (row_effects(quick(), X, y, cv=2, n_jobs=n) for n in (None, 2))
    pd.testing.assert_frame_equal(one, two)


def test_groups_stay_together(points):
    X, y = points
    groups = np.arange(90) // 6
    for pair in fitted_pairs(quick(), X, y, cv=3, groups=groups):
        rest = np.setdiff1d(np.arange(90), pair.rows)
        assert not set(groups[pair.rows]) & set(groups[rest])
    X, y = X, X[:, 0].astype(float)
    for pair in fitted_pairs(quick_regressor(), X, y, cv=3, groups=groups):
        rest = np.setdiff1d(np.arange(90), pair.rows)
        assert not set(groups[pair.rows]) & set(groups[rest])


def test_groups_reach_the_pairing(points):
    X, y = points
    model = make_pipeline(StandardScaler(), quick(pairing="lisa"))
    pairs = fitted_pairs(model, X, y, cv=2, groups=np.arange(90) % 10)
    assert len(pairs) == 2


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("routed", [False, True])
def test_weights_reach_the_fit(points, piped, routed):
    X, y = points
    weight = np.random.default_rng(1).integers(0, 3, size=90)
    with sklearn.config_context(enable_metadata_routing=routed):
        clf = quick()
        if routed:
            clf.set_fit_request(sample_weight=True)
        model = make_pipeline("passthrough", clf) if piped else clf
        pair = fitted_pairs(model, X, y, cv=3, sample_weight=weight)[0]
    train = np.setdiff1d(np.arange(90), pair.rows)
    plain = pair.plain[-1] if piped else pair.plain
    alone = quick(0).set_params(random_state=plain.random_state)
    assert same_weights(alone.fit(X[train], y[train], weight[train]), plain)
    assert (pair.weight == weight[pair.rows]).all()


def test_steps_before_the_net_draw_the_same(points):
    X, y = points
    pca = PCA(1, svd_solver="randomized", iterated_power=0)
    model = make_pipeline(pca, quick())
    pair = fitted_pairs(model, X, y, cv=2)[0]
    assert (pair.mixed[0].components_ == pair.plain[0].components_).all()
    assert model[0].random_state is None


def test_rows_of_weight_0_do_not_stand_for_their_class(points):
    X, y = points
    weight = np.ones(90)
    weight[np.flatnonzero(y == "a")[2:]] = 0  # two are left, for two folds
    pairs = fitted_pairs(quick(), X, y, cv=2, sample_weight=weight)
    for pair in pairs:
        assert ((pair.y == "a") & (pair.weight > 0)).sum() == 1


SEARCHES = [
    MixupClassifierCV(logits_net(max_epochs=2), alphas=[1], cv=2, random_state=0),
    MixupRegressorCV(
        number_net(module__d_out=1, max_epochs=2), alphas=[1], cv=2, random_state=0
    ),
]


@pytest.mark.parametrize("search", SEARCHES)
def test_searches_are_compared_with_alpha_0_alone(points, search):
    X, y = points
    y = y if search is SEARCHES[0] else X[:, 0].astype(float)
    pair = fitted_pairs(search, X, y, cv=2)[0]
    assert pair.plain.cv_results_["param_alpha"].tolist() == [0]
    assert pair.mixed.cv_results_["param_alpha"].tolist() == [0, 1]


# Effects by row.


def test_two_identical_candidates_change_nothing(points):
    X, y = points
    clf = quick(0.5).fit(X, y)
    effects = row_effects(clf, X, y, baseline=clf)
    assert (effects["change"] == 0).all()
    assert effects.index.tolist() == list(range(90))  # the order of the table


@pytest.mark.parametrize("n", [0, 1])
def test_a_row_has_the_loss_of_models_that_have_not_seen_it(points, n):
    X, y = points
    y = y if n == 0 else X[:, 0] * 2.0
    model = [quick(), quick_regressor()][n]
    effects = row_effects(model, X, y, cv=3)
    assert list(effects) == [["label", "target"][n], "loss", "loss_plain", "change"]
    assert effects["change"].is_monotonic_decreasing
    for pair in fitted_pairs(model, X, y, cv=3):
        for fitted, column in ((pair.mixed, "loss"), (pair.plain, "loss_plain")):
            found = effects.loc[pair.rows, column]
            if n:
                expected = (fitted.predict(pair.X) - pair.y) ** 2
            else:
                of_label = np.searchsorted(fitted.classes_, pair.y)
                proba = fitted.predict_proba(pair.X)
                expected = -np.log(proba[np.arange(len(pair.y)), of_label])
            assert np.allclose(found, expected)
    assert (effects.iloc[:, 0] == y[effects.index]).all()


def test_numbers_that_are_known():
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 5.0])
    effects = row_effects(Times(2).fit(), X, y, baseline=Times(1).fit())
    assert effects["target"].tolist() == [2, 1, 5]
    assert effects["change"].tolist() == [4, 1, 1 - 4]
    assert effects.index.tolist() == [1, 0, 2]


def test_frames_keep_their_index_and_pipelines_their_steps(points):
    X, y = points
    frame = pd.DataFrame(X, columns=["u", "v"], index=[f"row {i}" for i in range(90)])
    frame["kind"] = pd.Categorical(np.where(X[:, 0] > 0, "left", "right"))
    whole = row_effects(quick(), frame, pd.Series(y, index=frame.index), cv=2)
    assert sorted(whole.index) == sorted(frame.index)
    assert (whole["label"] == pd.Series(y, index=frame.index)[whole.index]).all()
    encoder = make_column_transformer(
        (OneHotEncoder(), ["kind"]), (StandardScaler(), ["u", "v"])
    )
    piped = row_effects(make_pipeline(encoder, quick()), frame, y, cv=2)
    assert piped.shape == (90, 4)
    assert not piped.isna().any(axis=None)
    mean = whole.join(frame).groupby("kind", observed=True)["change"].mean()
    assert mean.index.tolist() == ["left", "right"]


def test_lists_and_polars_frames_are_tables(points):
    polars = pytest.importorskip("polars")
    X, y = points
    expected = row_effects(quick(), X.tolist(), y.tolist(), cv=2)
    assert expected.shape == (90, 4)
    frame = polars.DataFrame({"u": X[:, 0], "v": X[:, 1]})
    found = row_effects(quick(), frame, polars.Series(y), cv=2)
    assert np.allclose(found.sort_index()["loss"], expected.sort_index()["loss"])


def test_rows_in_several_folds_have_their_mean_and_in_none_nan(points):
    X, y = points
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    effects = row_effects(quick(), X, y, cv=cv)
    losses = np.zeros(90)
    for pair in fitted_pairs(quick(), X, y, cv=cv):
        of_label = np.searchsorted(["a", "b", "c"], pair.y)
        proba = pair.mixed.predict_proba(pair.X)
        losses[pair.rows] -= np.log(proba[np.arange(len(pair.y)), of_label]) / 2
    assert np.allclose(effects["loss"].sort_index(), losses)
    cv = ShuffleSplit(1, test_size=0.2, random_state=0)
    effects = row_effects(quick(), X, y, cv=cv)
    assert effects["change"].isna().sum() == 72
    assert effects["change"].isna().iloc[18:].all()


# Calibration.


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_known_temperature_is_found_again(temperature):
    X, y = drawn_from_known()
    wrong, true = Known(temperature).fit(), Known().fit()
    effect = calibration_effect(wrong, X, y, baseline=true)
    assert list(effect.index) == ["mixed", "plain"]
    mixed, plain = effect.loc["mixed"], effect.loc["plain"]
    assert mixed["temperature"] == pytest.approx(1 / temperature, rel=0.1)
    assert plain["temperature"] == pytest.approx(1, rel=0.1)
    assert np.sign(mixed["signed_ece"]) == (1 if temperature < 1 else -1)
    assert mixed["signed_ece"] == pytest.approx(mixed["confidence"] - mixed["accuracy"])
    assert mixed["ece"] > 0.05 > plain["ece"]
    assert mixed["accuracy"] == plain["accuracy"] == np.mean(X.argmax(axis=1) == y)
    assert effect["ece_after_temperature"].isna().all()  # there are no other rows


@pytest.mark.parametrize("temperature", [0.25, 4.0])
def test_a_net_with_another_temperature_is_too_sure_or_not_enough(cancer, temperature):
    X, y = cancer
    net = short_default_net(max_epochs=10)
    plain = MixupClassifier(net, alpha=0, random_state=0).fit(X[::2], y[::2])
    heated = copy.deepcopy(plain)
    heated.estimator_.module_.temperature *= temperature
    effect = calibration_effect(heated, X[1::2], y[1::2], baseline=plain)
    signed = effect["signed_ece"]
    assert (signed["mixed"] > signed["plain"]) == (temperature < 1)
    assert (signed["mixed"] > 0) == (temperature < 1)
    ratio = effect["temperature"]["plain"] / effect["temperature"]["mixed"]
    assert ratio == pytest.approx(temperature, rel=0.5)  # a prior holds it back
    assert (ratio > 2) == (temperature > 1)


def test_temperatures_are_fitted_on_the_other_folds(points):
    X, y = points
    y = np.where(y == "a", "a", "b")
    hot = quick()
    effect = calibration_effect(hot, X, y, cv=3)
    pairs = fitted_pairs(hot, X, y, cv=3)
    proba = [pair.plain.predict_proba(pair.X) for pair in pairs]
    truth = [np.searchsorted(["a", "b"], pair.y) for pair in pairs]
    scaled = []
    for k in range(3):
        others = [j for j in range(3) if j != k]
        rest = [np.concatenate([of[j] for j in others]) for of in (proba, truth)]
        scaled.append(apply_temperature(proba[k], fit_temperature(*rest)))
    ece = OF["ece"](np.concatenate(truth), np.concatenate(scaled), None)
    assert effect.loc["plain", "ece_after_temperature"] == pytest.approx(ece)


def test_weights_are_copies():
    X, y = drawn_from_known(300)
    weight = np.random.default_rng(0).integers(0, 4, size=300)
    rows = np.repeat(np.arange(300), weight)
    models = Known(2).fit(), Known(1).fit()
    weighted, copied = (
        calibration_effect(models[0], X, y, baseline=models[1], sample_weight=w)
        for X, y, w in ((X, y, weight), (X[rows], y[rows], None))
    )
    # (The prior of the temperature counts rows, and not weights.)
    assert np.allclose(weighted["temperature"], copied["temperature"], rtol=0.05)
    columns = ["confidence", "accuracy", "ece", "signed_ece"]
    assert np.allclose(weighted[columns], copied[columns])


# Errors.


def test_errors_teach(points):
    X, y = points
    number = X[:, 0].astype(float)
    with pytest.raises(ValueError, match="no alpha above 0: nothing to compare"):
        row_effects(quick(0), X, y)
    with pytest.raises(ValueError, match="no alpha above 0: nothing to compare"):
        row_effects(MixupClassifierCV(alphas=(0,)), X, y)
    for n_jobs, kind in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(kind, match=f"Got n_jobs={n_jobs}, but expected"):
            row_effects(quick(), X, y, n_jobs=n_jobs)
    with pytest.raises(ValueError, match="Got one class in y"):
        row_effects(quick(), X, ["a"] * 90)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        row_effects(quick(), X, number)
    regressor = MixupRegressor(number_net(), alpha=1)
    for targets, message in ((number.astype("M8[D]"), "days"), (y, "no finite num")):
        with pytest.raises(ValueError, match=message):
            row_effects(regressor, X, targets)
    with pytest.raises(TypeError, match=r"Got alphas=0\.2"):
        row_effects(MixupClassifierCV(alphas=0.2), X, y)
    some = np.r_[np.flatnonzero(y != "a"), np.flatnonzero(y == "a")[:4]]
    with pytest.raises(ValueError, match=r"4 rows of class 'a' .* for cv=5"):
        row_effects(quick(), X[some], y[some])
    in_one = np.argsort(y)
    with pytest.raises(ValueError, match="without any row of class 'a'"):
        row_effects(quick(), X, y, cv=[(in_one[45:], in_one[:45])])
    with pytest.raises(ValueError, match="2 groups for cv=5"):
        row_effects(quick(), X, y, groups=np.arange(90) % 2)
    with pytest.raises(ValueError, match="Got X of 90 rows and y of 80"):
        row_effects(quick(), X, y[:80])
    with pytest.raises(ValueError, match="Got cv=1"):
        row_effects(quick(), X, y, cv=1)
    with pytest.raises(TypeError, match="Got LogisticRegression, but expected a Mixup"):
        row_effects(LogisticRegression(), X, y)
    with pytest.raises(TypeError, match="Got a regressor, but calibration_effect"):
        calibration_effect(quick_regressor(), X, number, cv=2)


def test_errors_about_a_baseline_teach(points):
    X, y = points
    fitted = quick().fit(X, y)
    with pytest.raises(NotFittedError, match="Got an estimator that is not fitted"):
        row_effects(quick(), X, y, baseline=fitted)
    with pytest.raises(NotFittedError, match="Got a baseline that is not fitted"):
        row_effects(fitted, X, y, baseline=quick(0))
    ridge = Ridge().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="Got a classifier and a regressor as its"):
        row_effects(fitted, X, y, baseline=ridge)
    part = quick(0).fit(X[y != "a"], y[y != "a"])
    with pytest.raises(ValueError, match="a baseline with the classes"):
        row_effects(fitted, X, y, baseline=part)
    with pytest.raises(ValueError, match=r"Got the labels \['d'\] in y"):
        row_effects(fitted, X, np.append(y[1:], "d"), baseline=fitted)
    with pytest.raises(TypeError, match="Got StandardScaler, but expected a classif"):
        row_effects(fitted, X, y, baseline=StandardScaler())


def test_rows_of_weight_0_have_no_effect(points):
    X, y = points
    weight = (y != "a").astype(float)
    effects = row_effects(quick(), X, y, sample_weight=weight, random_state=0)
    assert effects["change"].isna().tolist() == (effects["label"] == "a").tolist()
    kept = np.flatnonzero(weight)
    alone = row_effects(quick(), X[kept], y[kept], random_state=0)
    known = effects.dropna()
    np.testing.assert_allclose(known["change"], alone["change"])
    np.testing.assert_array_equal(known.index, kept[alone.index])
