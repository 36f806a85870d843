"""Pictures of what mixing did, and the numbers in them."""

import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.calibration import CalibrationDisplay, calibration_curve
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupShuffleSplit,
    KFold,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from sample_nets import logits_net, number_net

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressor, MixupRegressorCV
from skmix._intervals import SHARED
from skmix.inspection import (
    AlphaDisplay,
    ConfidenceDisplay,
    HistoryDisplay,
    ReliabilityDisplay,
    SegmentDisplay,
)
from skmix.inspection._alphas import _test_per_train
from skmix.inspection._changes import fitted_pairs
from skmix.inspection._segments import along_segments

CLASSIFIER = MixupClassifier(
    logits_net(module__d=8, max_epochs=2), alpha=1, random_state=0
)
REGRESSOR = MixupRegressor(
    number_net(module__d=8, module__d_out=1, max_epochs=2), alpha=1, random_state=0
)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def points():
    """Two columns, three classes that overlap."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=90)
    X = rng.normal(size=(90, 2)) + np.eye(3, 2)[y] * 2
    return X.astype(np.float32), np.array(["a", "b", "c"])[y]


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


class Straight(ClassifierMixin, BaseEstimator):
    """The probability of "b" is the first column."""

    def fit(self, X=None, y=None):
        self.classes_ = np.array(["a", "b"])
        return self

    def predict_proba(self, X):
        b = np.asarray(X)[:, 0].astype(float)
        return np.column_stack([1 - b, b])


class Step(Straight):
    """It jumps in the middle."""

    def predict_proba(self, X):
        return super().predict_proba(np.asarray(X)[:, :1] > 0.5)


class Power(RegressorMixin, BaseEstimator):
    def __init__(self, power=1):
        self.power = power

    def fit(self, X=None, y=None):
        self.power_ = self.power
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0].astype(float) ** self.power_


# Between two rows.


def test_a_model_that_is_linear_in_between_is_on_the_line():
    X, y = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array(["a", "a", "b", "b"])
    straight, step = Straight().fit(), Step().fit()
    display = SegmentDisplay.from_estimator(straight, X, y, baseline=step, n_points=11)
    assert display.t.tolist() == np.linspace(0, 1, 11).tolist()
    assert display.nonlinearity_["mixed"] == pytest.approx(0, abs=1e-12)
    # Steps of 0.1 are off by 0, 0.1, ..., 0.4, 0.5, 0.4, ..., 0.
    assert display.nonlinearity_["plain"] == pytest.approx(2.5 / 11)
    assert np.allclose(display.mixed, 1 - display.t)  # of the class of the first row
    assert np.allclose(display.plain[:, [0, -1]], [1, 0])


def test_numbers_are_measured_in_spreads_of_the_target():
    X, y = np.array([[0.0], [2.0]]), np.array([0.0, 4.0])
    power, linear = Power(2).fit(), Power(1).fit()
    display = SegmentDisplay.from_estimator(
        power, X, y, baseline=linear, n_pairs=5, n_points=3
    )
    assert display.task == "regressor"
    assert display.mixed.shape == (5, 3)
    assert display.nonlinearity_["plain"] == 0
    # From 0 to 4 in squares: 1 and not 2 in the middle, at a spread of 2.
    assert display.nonlinearity_["mixed"] == pytest.approx(1 / 2 / 3)
    drawn = display.ax_.get_lines()[0].get_ydata()
    assert np.allclose(drawn, [0, 0.5, 0])


class Seen(Straight):
    """Keeps the table that it is asked about."""

    def predict_proba(self, X):
        self.X_ = X
        return super().predict_proba(np.full((X.shape[0], 1), 0.5))


def between(X, y, **params):
    seen = Seen().fit()
    vars(seen).update(params)
    pairs = fitted_pairs(seen, X, y, baseline=Straight().fit())
    pairs = [pairs[0]._replace(plain=seen)]
    along_segments(pairs, n_pairs=1, n_points=5, random_state=0)
    return seen.X_


def test_numbers_are_interpolated_and_others_switch_in_the_middle():
    frame = pd.DataFrame(
        {
            "size": [1.0, 3.0],
            "count": pd.array([10, 20], dtype="Int64"),
            "known": [np.nan, 1.0],
            "colour": pd.Categorical(["red", "blue"]),
            "name": ["u", "v"],
            "flag": [True, False],
        },
        index=["first", "second"],
    )
    found = between(frame, ["a", "b"])
    assert list(found.columns) == list(frame.columns)
    if found["size"].iloc[0] == 3:
        found = found.iloc[::-1].reset_index(drop=True)
        half = 3
    else:
        half = 2
    assert found["size"].tolist() == [1, 1.5, 2, 2.5, 3]
    assert found["count"].tolist() == [10, 12.5, 15, 17.5, 20]
    switched = ["red"] * half + ["blue"] * (5 - half)
    assert found["colour"].tolist() == switched
    assert found["colour"].dtype == frame["colour"].dtype
    assert found["name"].tolist() == ["u"] * half + ["v"] * (5 - half)
    assert found["flag"].tolist() == [True] * half + [False] * (5 - half)
    assert found["known"].isna().tolist() == [True] * half + [False] * (5 - half)


def test_columns_that_are_declared_categories_switch():
    X = np.array([[1.0, 1.0], [2.0, 2.0]], dtype=np.float32)
    found = between(X, ["a", "b"], categorical_features=[1])
    assert sorted(set(found[:, 1].tolist())) == [1, 2]
    assert sorted(found[:, 0].tolist()) == [1, 1.25, 1.5, 1.75, 2]
    assert found.dtype == np.float32


def test_sparse_rows_stay_sparse():
    X = sparse.csr_matrix(np.array([[0.0, 1.0], [2.0, 0.0]]))
    found = between(X, ["a", "b"])
    assert sparse.issparse(found)
    assert sorted(found.toarray()[:, 0]) == [0, 0.5, 1, 1.5, 2]
    assert np.allclose(found.toarray() @ [0.5, 1], 1)


def test_rows_of_weight_0_are_no_ends():
    X, y = np.array([[0.0], [1.0], [9.0]]), ["a", "b", "b"]
    found = SegmentDisplay.from_estimator(
        Straight().fit(), X, y, baseline=Step().fit(), sample_weight=[1, 1, 0]
    )
    assert np.allclose(found.mixed, 1 - found.t)


def test_segments_need_two_labels_and_columns(points):
    X, y = points
    straight = Straight().fit()
    with pytest.raises(ValueError, match="no two have different labels"):
        SegmentDisplay.from_estimator(straight, X, ["a"] * 90, baseline=straight)
    with pytest.raises(TypeError, match="Got X as a dict of arrays"):
        SegmentDisplay.from_estimator(CLASSIFIER, {"X": X}, y)
    with pytest.raises(ValueError, match="Got n_points=2"):
        SegmentDisplay.from_estimator(CLASSIFIER, X, y, n_points=2)
    with pytest.raises(ValueError, match="Got n_bins=0"):
        ReliabilityDisplay.from_estimator(CLASSIFIER, X, y, n_bins=0)


@pytest.mark.parametrize("piped", [False, True])
def test_segments_of_nets(points, piped):
    X, y = points
    frame = pd.DataFrame(X, columns=["u", "v"])
    model = make_pipeline(StandardScaler(), CLASSIFIER) if piped else CLASSIFIER
    display = SegmentDisplay.from_estimator(model, frame, y, cv=2, n_pairs=7)
    again = SegmentDisplay.from_estimator(model, frame, y, cv=2, n_pairs=7)
    assert display.mixed.shape == display.plain.shape == (7, 21)
    assert (display.mixed == again.mixed).all()
    assert display.nonlinearity_["mixed"] > 0
    assert "straight" in texts(display.ax_)[-1]


def test_segments_of_frames_with_categories_and_of_numbers(points):
    X, y = points
    frame = pd.DataFrame(X.copy(), columns=["u", "v"])  # (pandas 2 would write to X)
    frame["kind"] = pd.Categorical(np.where(X[:, 0] > 0, "left", "right"))
    frame.loc[::7, "u"] = np.nan
    display = SegmentDisplay.from_estimator(CLASSIFIER, frame, y, cv=2)
    assert np.isfinite(display.mixed).all()
    display = SegmentDisplay.from_estimator(REGRESSOR, X, X[:, 0] * 2.0, cv=2)
    assert "standard deviations" in display.ax_.get_ylabel()


# Confidence.


def test_confidence_and_margin_are_counted_by_weight():
    mixed = np.array([[0.4, 0.3, 0.3], [0.1, 0.79, 0.11]])
    plain = np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    display = ConfidenceDisplay(mixed, plain, weight=np.array([1.0, 3.0])).plot()
    words = ["without mixing (mean 0.50)", "with mixing (mean 0.69)"]
    assert texts(display.ax_) == words
    shares, edges, _ = display.ax_.patches[1].get_data()
    assert shares.sum() == pytest.approx(1)
    assert shares[np.searchsorted(edges, 0.79) - 1] == pytest.approx(0.75)
    assert edges[0] == pytest.approx(1 / 3)
    display = display.plot(kind="margin")
    shares = display.ax_.patches[-1].get_data().values
    assert sorted(shares)[-2:] == pytest.approx([0.25, 0.75])
    assert texts(display.ax_)[-1] == "with mixing (mean 0.54)"
    with pytest.raises(ValueError, match="Got kind='size'"):
        display.plot(kind="size")


def test_confidence_is_of_rows_that_are_held_out(points):
    X, y = points
    display = ConfidenceDisplay.from_estimator(CLASSIFIER, X, y, cv=3)
    pairs = fitted_pairs(CLASSIFIER, X, y, cv=3)
    expected = np.concatenate([pair.mixed.predict_proba(pair.X) for pair in pairs])
    assert (display.mixed == expected).all()


# Reliability.


def test_reliability_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=100)
    mixed, plain = (rng.dirichlet([1, 1], size=100) for _ in range(2))
    display = ReliabilityDisplay.from_predictions(y, mixed, plain, classes=["n", "p"])
    for one, proba in ((display.mixed, mixed), (display.plain, plain)):
        assert isinstance(one, CalibrationDisplay)
        expected = calibration_curve(y, proba[:, 1], n_bins=10)
        assert np.allclose((one.prob_true, one.prob_pred), expected)
    display.plot()
    assert display.ax_.get_xlabel() == "Predicted probability of class p"
    assert display.mixed.ax_ is display.plain.ax_ is display.ax_
    labels = texts(display.ax_)
    assert {"with mixing", "without mixing", "Perfectly calibrated"} == set(labels)


def test_reliability_of_several_classes_is_about_being_right():
    rng = np.random.default_rng(0)
    y, proba = rng.integers(3, size=500), rng.dirichlet([1, 1, 1], size=500)
    weight = rng.integers(0, 3, size=500)
    rows = np.repeat(np.arange(500), weight)
    display = ReliabilityDisplay.from_predictions(
        y, proba, proba, sample_weight=weight, n_bins=5
    )
    right = (proba.argmax(axis=1) == y)[rows]
    expected = calibration_curve(right, proba.max(axis=1)[rows], n_bins=5)
    found = display.mixed.prob_true, display.mixed.prob_pred
    assert np.allclose(found, expected)
    assert "right" in display.plot().ax_.get_ylabel()


def test_a_bin_of_few_rows_is_no_point():
    proba = np.repeat([[0.8, 0.2], [0.6, 0.4]], [97, 3], axis=0)
    y = np.zeros(100, dtype=int)
    display = ReliabilityDisplay.from_predictions(y, proba, proba, n_bins=5)
    assert display.mixed.prob_pred == pytest.approx([0.2])
    display = ReliabilityDisplay.from_predictions(y, proba, proba, n_bins=10)
    assert display.mixed.prob_pred == pytest.approx([0.2, 0.4])


def test_reliability_of_nets(points):
    X, y = points
    display = ReliabilityDisplay.from_estimator(CLASSIFIER, X, y, cv=2)
    assert display.figure_ is display.ax_.figure
    binary = np.where(y == "a", "yes", "no")
    display = ReliabilityDisplay.from_estimator(CLASSIFIER, X, binary, cv=2)
    assert display.label == "yes"
    with pytest.raises(TypeError, match="Got a regressor, but ReliabilityDisplay"):
        ReliabilityDisplay.from_estimator(REGRESSOR, X, X[:, 0], cv=2)
    with pytest.raises(TypeError, match="Got a regressor, but ConfidenceDisplay"):
        ConfidenceDisplay.from_estimator(REGRESSOR, X, X[:, 0], cv=2)


# Losses by epoch.


def test_losses_have_names_that_say_of_what():
    losses = pd.DataFrame(
        {
            "mixed_train_loss": [0.9, 0.8],
            "clean_train_loss": [0.8, 0.5],
            "valid_loss": [0.9, np.nan],
        },
        index=[1, 2],
    )
    display = HistoryDisplay(losses).plot()
    words = ["mixed rows", "the same rows, unmixed", "rows held out"]
    assert texts(display.ax_) == words
    assert display.ax_.get_lines()[1].get_ydata().tolist() == [0.8, 0.5]
    assert display.ax_.get_lines()[2].get_marker() == "o"  # of one epoch
    display = HistoryDisplay(losses[["valid_loss"]]).plot()
    assert texts(display.ax_) == ["rows held out"]
    with pytest.raises(ValueError, match=r"Got the columns \['loss'\]"):
        HistoryDisplay(pd.DataFrame({"loss": [1]})).plot()


# Scores by alpha.


@pytest.fixture(scope="module")
def search(points):
    net = logits_net(module__d=8, max_epochs=2)
    params = {"alphas": (0, 0.2, 1), "cv": 3, "random_state": 0}
    return MixupClassifierCV(net, **params).fit(*points)


def folds_of(results, metric, candidate, n_folds=3):
    return np.array([results[f"split{f}_test_{metric}"][candidate] for f in range(3)])


def test_gains_over_alpha_0_are_paired_by_folds(search):
    display = AlphaDisplay.from_estimator(search)
    assert display.relative
    assert display.table["alpha"].tolist() == [0, 0.2, 1]
    assert set(display.table["metric"]) == {"log loss, negated"}
    zero, *others = (folds_of(search.cv_results_, "score", c) for c in range(3))
    for k, scores in enumerate(others, start=1):
        of = display.table.iloc[k]
        assert of["mean"] == pytest.approx((scores - zero).mean())
        for name in ("mean", "low", "high"):
            assert of[name] == pytest.approx(search.gains_[name][k])
    assert display.table.loc[0, "mean"] == 0
    assert display.table.loc[0, ["low", "high"]].isna().all()
    assert "Gain over alpha 0" in display.ax_.get_ylabel()
    ticks = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert ticks == ["0", "0.2", "1"]


def test_a_pipeline_may_end_in_the_search(points, search):
    X, _ = points
    display = AlphaDisplay.from_estimator(make_pipeline("passthrough", search))
    assert len(display.table) == 3
    net = number_net(module__d=8, module__d_out=1, max_epochs=2)
    reg = MixupRegressorCV(net, alphas=[1], cv=2, scoring="r2", random_state=0)
    display = AlphaDisplay.from_estimator(reg.fit(X, X[:, 0] * 2.0))
    assert display.ax_.get_title() == "r2, by alpha"


def grid(model, params, **options):
    return GridSearchCV(model, params, **({"cv": 3, "refit": False} | options))


def test_scikit_learns_searches_with_several_metrics(points):
    X, y = points
    model = make_pipeline(StandardScaler(), CLASSIFIER)
    params = {"mixupclassifier__alpha": [0.5, 0]}
    metrics = ["accuracy", "neg_log_loss"]
    found = grid(model, params, scoring=metrics).fit(X, y)
    display = AlphaDisplay.from_estimator(found)
    assert display.table["alpha"].tolist() == [0, 0.5] * 2
    assert [ax.get_title() for ax in display.ax_] == [f"{m}, by alpha" for m in metrics]
    gain = np.diff([folds_of(found.cv_results_, "accuracy", c) for c in (1, 0)], axis=0)
    assert display.table.loc[1, "mean"] == pytest.approx(gain.mean())
    _, axes = plt.subplots(1, 2)
    assert display.plot(axes).ax_[0] is axes[0]
    with pytest.raises(ValueError, match="Got 1 axes for 2 metrics"):
        display.plot(axes[0])


def test_without_alpha_0_scores_are_shown(points):
    X, y = points
    found = grid(CLASSIFIER, {"alpha": [1, "auto", 0.5]}, scoring="accuracy").fit(X, y)
    display = AlphaDisplay.from_estimator(found)
    assert not display.relative
    assert display.table["alpha"].tolist() == [0.5, 1, "auto"]
    of_folds = folds_of(found.cv_results_, "score", 0)
    row = display.table.iloc[1]
    assert row["mean"] == pytest.approx(of_folds.mean())
    assert row["low"] < row["mean"] < row["high"]
    assert "Score" in display.ax_.get_ylabel()


class Scored(BaseEstimator):
    """Its score is its parameter, plus a number of the fold."""

    def __init__(self, alpha=0, size=0):
        self.alpha = alpha
        self.size = size

    def fit(self, X, y=None):
        return self

    def score(self, X, y=None):
        return self.alpha + self.size + X.sum() * (self.alpha > 1)


def test_the_best_of_other_parameters_stands_for_an_alpha():
    X = np.arange(6.0)[:, None]
    params = {"alpha": [0, 1, 2], "size": [0, 10]}
    found = grid(Scored(), params, cv=KFold(3)).fit(X)
    table = AlphaDisplay.from_estimator(found).table
    assert table["mean"].tolist() == [0, 1, 2 + 5]
    assert table["low"].isna().tolist() == [True, True, False]  # of folds that agree


def test_candidates_that_are_the_same_gain_nothing():
    X = np.arange(6.0)[:, None]
    found = grid(Scored(size=1e9 / 3), {"alpha": [0, 0.0]}, cv=KFold(3)).fit(X)
    table = AlphaDisplay.from_estimator(found).table
    assert table["mean"].tolist() == [0]
    assert table["low"].isna().all()


@pytest.mark.parametrize(
    ("cv", "ratio"),
    [
        (GroupShuffleSplit(5), 1 / 4),
        (ShuffleSplit(5), 1 / 9),
        (ShuffleSplit(5, train_size=0.5), 1),
        (ShuffleSplit(5, test_size=0.3, train_size=0.3), 1),
        (ShuffleSplit(5, test_size=20, train_size=40), 1 / 2),
        (StratifiedShuffleSplit(5, test_size=40), 1),  # it depends on the table
    ],
)
def test_sizes_of_random_splits(cv, ratio):
    assert _test_per_train(cv) == pytest.approx(ratio)


def test_rows_held_out_per_row_to_train_on_are_read_from_cv():
    X, y = np.arange(20.0)[:, None], np.arange(20) % 2

    def width(cv):
        found = grid(Scored(), {"alpha": [0, 2]}, cv=cv).fit(X, y)
        scores = AlphaDisplay.from_estimator(found).table.iloc[1]
        folds = [len(test) for _, test in cv.split(X, y)]
        assert len(folds) == found.n_splits_
        gains = [X[test].sum() for _, test in cv.split(X, y)]
        return (scores["high"] - scores["low"]) / 2 / np.std(gains, ddof=1)

    cv = RepeatedStratifiedKFold(n_splits=4, n_repeats=2, random_state=0)
    assert width(cv) == pytest.approx(
        stats.t.ppf(0.975, 6) * np.sqrt(1 / 8 + SHARED / 3)
    )
    cv = ShuffleSplit(3, test_size=0.2, random_state=0)
    assert width(cv) == pytest.approx(
        stats.t.ppf(0.975, 2) * np.sqrt(1 / 3 + SHARED / 4)
    )
    cv = ShuffleSplit(3, random_state=0)
    assert width(cv) == pytest.approx(
        stats.t.ppf(0.975, 2) * np.sqrt(1 / 3 + SHARED / 9)
    )


def test_random_searches_are_searches(points):
    X, y = points
    params = {"alpha": stats.uniform(0.1, 1)}
    found = RandomizedSearchCV(
        CLASSIFIER, params, n_iter=2, cv=2, refit=False, random_state=0
    ).fit(X, y)
    assert len(AlphaDisplay.from_estimator(found).table) == 2


def test_searches_that_cannot_be_drawn_say_why(points):
    X, y = points
    with pytest.raises(NotFittedError, match="Got GridSearchCV without cv_results_"):
        AlphaDisplay.from_estimator(grid(CLASSIFIER, {"alpha": [0]}))
    found = grid(LogisticRegression(), {"C": [1, 2]}).fit(X, y)
    with pytest.raises(ValueError, match="a search over C, of which 0 may be alpha"):
        AlphaDisplay.from_estimator(found)
    pipe = make_pipeline(StandardScaler(), Ridge())
    found = grid(pipe, {"ridge__alpha": [0, 1]}).fit(X, X[:, 0])
    display = AlphaDisplay.from_estimator(found, parameter="ridge__alpha")
    assert display.ax_.get_title() == "score, by alpha"
    with pytest.raises(ValueError, match="but expected 'alpha'"):
        AlphaDisplay.from_estimator(found, parameter="alpha")


# All of them.


def test_displays_draw_where_they_are_told(search):
    proba = np.array([[0.5, 0.5], [0.1, 0.9]])
    t = np.linspace(0, 1, 3)
    displays = [
        SegmentDisplay(t, proba[:, [0, 0, 1]], proba[:, [0, 1, 1]]),
        ConfidenceDisplay(proba, proba),
        ReliabilityDisplay.from_predictions(np.array([0, 1]), proba, proba),
        HistoryDisplay(pd.DataFrame({"valid_loss": [1, 2]})),
        AlphaDisplay.from_search(search),
    ]
    for display in displays:
        figure, ax = plt.subplots()
        assert display.plot(ax=ax) is display
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert ax.get_title()
        assert ax.get_xlabel()
        assert ax.get_ylabel()


def test_without_matplotlib_pictures_say_what_to_install(monkeypatch, points, search):
    X, y = points
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    for kind in (SegmentDisplay, ConfidenceDisplay, ReliabilityDisplay):
        with pytest.raises(ImportError, match=r'pip install "skmix\[plots\]"'):
            kind.from_estimator(CLASSIFIER, X, y)
    with pytest.raises(ImportError, match=r'pip install "skmix\[plots\]"'):
        AlphaDisplay.from_estimator(search)
    with pytest.raises(ImportError, match=r'pip install "skmix\[plots\]"'):
        HistoryDisplay(pd.DataFrame({"valid_loss": [1]})).plot()
    assert len(AlphaDisplay.from_search(search).table) == 3  # the numbers work
