"""Pictures of what models predict, by scikit-learn's conventions for displays."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.calibration import CalibrationDisplay

from skmix._validation import check_integer, check_option
from skmix.inspection._axes import (
    BLUE,
    GREY,
    ORANGE,
    STYLES,
    WITH,
    WITHOUT,
    axes_or_new,
    check_matplotlib,
)
from skmix.inspection._changes import (
    Pair,
    fitted_pairs,
    held_out,
    refuse_numbers,
    seed_of,
)
from skmix.inspection._metrics import by_confidence
from skmix.inspection._segments import along_segments, check_sizes, refuse_no_table

N_BARS = 20  # of a histogram
FEW = 0.2  # of an equal share of the rows: too few for a point of a reliability curve


# Between two rows.


class SegmentDisplay:
    """Predictions on the way from one row to another, with mixing and without.

    A net that is trained on mixed rows should be linear between rows. A classifier is
    asked for the probability of the first row's class, between rows of different
    classes. Of a regressor it is seen how far it leaves the straight line between its
    predictions for the two rows.

    Use `from_estimator` to create one. The parameters are stored as attributes.

    Parameters
    ----------
    t : ndarray of shape (n_points,), float64
        Shares of the second row, from 0 to 1.
    mixed, plain : ndarray of shape (n_pairs, n_points), float64
        Predictions with mixing and without, along each segment.
    task : {"classifier", "regressor"}, default="classifier"
        What was predicted: probabilities, or numbers in standard deviations of `y`.

    Attributes
    ----------
    nonlinearity_ : dict of str to float
        For "mixed" and "plain", the mean distance of a prediction from the straight
        line between those for the two rows. It is 0 for a model that is linear in
        between.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ConfidenceDisplay : Whether the net is less confident at the rows themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import SegmentDisplay
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__d_block=16)
    >>> clf = MixupClassifier(net, alpha=1, random_state=0)
    >>> display = SegmentDisplay.from_estimator(clf, X, y, cv=2)
    >>> display.mixed.shape
    (200, 21)
    >>> sorted(display.nonlinearity_)
    ['mixed', 'plain']
    """

    def __init__(
        self,
        t: np.ndarray,
        mixed: np.ndarray,
        plain: np.ndarray,
        *,
        task: Literal["classifier", "regressor"] = "classifier",
    ) -> None:
        self.t = t
        self.mixed = mixed
        self.plain = plain
        self.task = task

    @property
    def nonlinearity_(self) -> dict[str, float]:
        """Mean distance from the straight line, with mixing and without."""
        both = {"mixed": self.mixed, "plain": self.plain}
        return {name: float(self._distances(of).mean()) for name, of in both.items()}

    def _distances(self, predictions: np.ndarray) -> np.ndarray:
        """Return distances from the line between the ends, (n_pairs, n_points)."""
        first, last = predictions[:, :1], predictions[:, -1:]
        line = (1 - self.t) * first + self.t * last
        return np.asarray(np.abs(predictions - line))

    @classmethod
    def from_pairs(
        cls,
        pairs: Sequence[Pair],
        *,
        n_pairs: int = 200,
        n_points: int = 21,
        random_state: Any = None,
    ) -> Self:
        """Predict along segments by pairs of models, and draw nothing yet.

        Each pair of models has its part of the segments, between rows that it has not
        seen. The other arguments are those of `from_estimator`.
        """
        options: dict[str, Any] = {"n_pairs": n_pairs, "n_points": n_points}
        segments = along_segments(pairs, **options, random_state=random_state)
        return cls(*segments[:3], task=segments.task)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        baseline: Any = None,
        cv: Any = 5,
        n_pairs: int = 200,
        n_points: int = 21,
        sample_weight: Any = None,
        groups: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        ax: Any = None,
    ) -> Self:
        """Fit the estimator with mixing and without in folds, and draw the segments.

        Parameters
        ----------
        estimator : MixupClassifier, MixupRegressor, MixupClassifierCV, \
                MixupRegressorCV, or a Pipeline that ends in one
            The model with mixing. It is cloned, unless there is a `baseline`.
        X : table of n_samples rows
            Whatever `estimator` takes, except a dict. Numbers are interpolated in these
            columns; all other columns, and those in the estimator's
            ``categorical_features``, switch in the middle from the value of the first
            row to that of the second. So do numbers of which one is missing.
        y : array-like of shape (n_samples,)
            Labels or targets.
        baseline : fitted classifier or regressor, default=None
            The model without mixing, as in `row_effects`.
        cv : int, splitter or iterable, default=5
            As in `row_effects`.
        n_pairs : int, default=200
            Number of segments. The first row is drawn from the rows held out, in
            proportion to its weight, and the second one from those of another label or
            target.
        n_points : int, default=21
            Points on each segment, both ends included.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in `row_effects`.
        random_state : int, RandomState instance or None, default=None
            As in `row_effects`; also the seed of the segments.
        n_jobs : int or None, default=None
            As in `row_effects`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : SegmentDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `X` is a dict. And as in `row_effects`.
        ValueError, NotFittedError
            As in `row_effects`.
        """
        check_matplotlib()
        refuse_no_table(X)
        check_sizes(n_pairs, n_points)
        seed = seed_of(estimator, random_state)
        pairs = fitted_pairs(
            estimator,
            X,
            y,
            baseline=baseline,
            cv=cv,
            sample_weight=sample_weight,
            groups=groups,
            random_state=seed,
            n_jobs=n_jobs,
        )
        options: dict[str, Any] = {"n_pairs": n_pairs, "n_points": n_points}
        return cls.from_pairs(pairs, **options, random_state=seed).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the mean over all segments.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : SegmentDisplay
        """
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        off = self.nonlinearity_
        for name, key, of in (
            (WITH, "mixed", self.mixed),
            (WITHOUT, "plain", self.plain),
        ):
            shown = of if self.task == "classifier" else self._distances(of)
            mean = shown.mean(axis=0)
            style = STYLES[name] | {"markevery": max(len(self.t) // 10, 1)}
            label = f"{name} ({off[key]:.3f} off the line)"
            ax.plot(self.t, mean, label=label, **style)
            line = {"color": style["color"], "linestyle": ":", "linewidth": 1}
            ax.plot([0, 1], [mean[0], mean[-1]], **line)
        ax.plot([], [], ":", color=GREY, label="a straight line between the ends")
        ax.set(xlabel="Share of the second row")
        if self.task == "classifier":
            ax.set(
                ylim=(0, 1),
                ylabel="Mean probability of the first row's class",
                title="From a row to a row of another class",
            )
        else:
            ax.set(
                ylabel="Mean distance (standard deviations of y)",
                title="From a row to another: how far off the straight line",
            )
        ax.legend(loc="best")
        return self


# Confidence.


class ConfidenceDisplay:
    """How sure a classifier is of rows it has not seen, with mixing and without.

    Use `from_estimator` to create one. The parameters are stored as attributes.

    Parameters
    ----------
    mixed, plain : ndarray of shape (n, n_classes), float64
        Probabilities with mixing and without, for the same rows.
    weight : ndarray of shape (n,), float64, default=None
        Weights of the rows.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ReliabilityDisplay : Whether it is right as often as it is sure.
    calibration_effect : The means as numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import ConfidenceDisplay
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__d_block=16)
    >>> clf = MixupClassifier(net, alpha=1, random_state=0)
    >>> display = ConfidenceDisplay.from_estimator(clf, X, y, cv=2, kind="margin")
    >>> display.mixed.shape
    (178, 3)
    """

    def __init__(
        self, mixed: np.ndarray, plain: np.ndarray, *, weight: np.ndarray | None = None
    ) -> None:
        self.mixed = mixed
        self.plain = plain
        self.weight = weight

    @classmethod
    def from_pairs(cls, pairs: Sequence[Pair]) -> Self:
        """Predict the rows that pairs of models have not seen, and draw nothing yet."""
        of = held_out(pairs)
        return cls(of.mixed, of.plain, weight=of.weight)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        baseline: Any = None,
        cv: Any = 5,
        kind: Literal["confidence", "margin"] = "confidence",
        sample_weight: Any = None,
        groups: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        ax: Any = None,
    ) -> Self:
        """Fit the classifier with mixing and without in folds, and draw its confidence.

        Parameters
        ----------
        estimator : MixupClassifier, MixupClassifierCV, or a Pipeline that ends in one
            The model with mixing. It is cloned, unless there is a `baseline`.
        X : table of n_samples rows
            Whatever `estimator` takes.
        y : array-like of shape (n_samples,)
            Labels.
        baseline : fitted classifier, default=None
            The model without mixing, as in `row_effects`.
        cv : int, splitter or iterable, default=5
            As in `row_effects`.
        kind : {"confidence", "margin"}, default="confidence"
            As in `plot`.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in `row_effects`; rows count by their weight.
        random_state : int, RandomState instance or None, default=None
            As in `row_effects`.
        n_jobs : int or None, default=None
            As in `row_effects`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ConfidenceDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the model predicts numbers. And as in `row_effects`.
        ValueError, NotFittedError
            As in `row_effects`.
        """
        check_matplotlib()
        refuse_numbers(estimator, cls.__name__)
        check_option("kind", kind, ("confidence", "margin"))
        pairs = fitted_pairs(
            estimator,
            X,
            y,
            baseline=baseline,
            cv=cv,
            sample_weight=sample_weight,
            groups=groups,
            random_state=random_state,
            n_jobs=n_jobs,
        )
        return cls.from_pairs(pairs).plot(ax, kind=kind)

    def plot(
        self, ax: Any = None, *, kind: Literal["confidence", "margin"] = "confidence"
    ) -> Self:
        """Draw how many rows have which confidence.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        kind : {"confidence", "margin"}, default="confidence"
            - "confidence": the highest probability of a row.
            - "margin": the highest minus the second highest.

        Returns
        -------
        display : ConfidenceDisplay
        """
        check_option("kind", kind, ("confidence", "margin"))
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        lowest = 1 / self.mixed.shape[1] if kind == "confidence" else 0
        edges = np.linspace(lowest, 1, N_BARS + 1)
        styles: dict[str, dict[str, Any]] = {
            WITHOUT: {"fill": True, "color": ORANGE, "alpha": 0.45},
            WITH: {"color": BLUE, "linewidth": 2},
        }
        for name, proba in ((WITHOUT, self.plain), (WITH, self.mixed)):
            values = _confidence(proba, kind)
            weight = np.ones(len(values)) if self.weight is None else self.weight
            # (Rounding may put a uniform row just below the lowest confidence.)
            rows, _ = np.histogram(values.clip(lowest, 1), edges, weights=weight)
            mean = np.average(values, weights=weight)
            label = f"{name} (mean {mean:.2f})"
            ax.stairs(rows / weight.sum(), edges, label=label, **styles[name])
            line = {"color": STYLES[name]["color"], "linewidth": 1.5}
            ax.axvline(mean, linestyle=STYLES[name]["linestyle"], **line)
        words = {
            "confidence": "Confidence (highest probability)",
            "margin": "Margin (highest minus second highest probability)",
        }
        title = "How sure the model is of rows it has not seen"
        ax.set(xlabel=words[kind], ylabel="Share of rows", title=title)
        ax.set(xlim=(lowest, 1))
        ax.legend(loc="upper left")
        return self


def _confidence(proba: np.ndarray, kind: str) -> np.ndarray:
    """Return the highest probability of each row, or its lead over the second one."""
    ordered = np.sort(proba, axis=1)
    lead = 0 if kind == "confidence" else ordered[:, -2]
    return np.asarray(ordered[:, -1] - lead)


class ReliabilityDisplay:
    """Whether a classifier is right as often as it says, with mixing and without.

    It holds two of scikit-learn's ``CalibrationDisplay`` on one pair of axes. With two
    classes they are about the probability of the second one, with more about the
    confidence, the highest probability.

    Use `from_estimator` or `from_predictions` to create one. The parameters are stored
    as attributes.

    Parameters
    ----------
    mixed, plain : sklearn.calibration.CalibrationDisplay
        Displays with mixing and without, not yet drawn.
    label : object, default=None
        The class that it is about; None if it is about all of them.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    calibration_effect : The same as numbers.

    Notes
    -----
    A point is the mean over the rows in a bin. Bins with few rows are left out: with
    less than a fifth of an equal share, which is 2 % of all rows in one of ten bins.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import ReliabilityDisplay
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__d_block=16)
    >>> clf = MixupClassifier(net, alpha=1, random_state=0)
    >>> display = ReliabilityDisplay.from_estimator(clf, X, y, cv=2, n_bins=5)
    >>> type(display.mixed).__name__
    'CalibrationDisplay'
    """

    def __init__(
        self, mixed: CalibrationDisplay, plain: CalibrationDisplay, *, label: Any = None
    ) -> None:
        self.mixed = mixed
        self.plain = plain
        self.label = label

    @classmethod
    def from_predictions(
        cls,
        y: np.ndarray,
        mixed: np.ndarray,
        plain: np.ndarray,
        *,
        classes: Any = None,
        sample_weight: Any = None,
        n_bins: int = 10,
    ) -> Self:
        """Compare probabilities with labels, and draw nothing yet.

        Parameters
        ----------
        y : ndarray of shape (n,), int
            Indices of classes: columns of the probabilities.
        mixed, plain : ndarray of shape (n, n_classes), float64
            Probabilities with mixing and without.
        classes : array-like of shape (n_classes,), default=None
            Names of the classes; None is their indices.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows.
        n_bins : int, default=10
            Number of bins, of equal width.

        Returns
        -------
        display : ReliabilityDisplay

        Raises
        ------
        TypeError, ValueError
            If `n_bins` is no integer of at least 1.
        """
        check_integer("n_bins", n_bins, at_least=1)
        parts = [_calibration(y, p, sample_weight, n_bins) for p in (mixed, plain)]
        classes = range(mixed.shape[1]) if classes is None else classes
        return cls(*parts, label=classes[1] if mixed.shape[1] == 2 else None)

    @classmethod
    def from_pairs(cls, pairs: Sequence[Pair], *, n_bins: int = 10) -> Self:
        """Predict the rows that pairs of models have not seen, and draw nothing yet."""
        of = held_out(pairs)
        data: dict[str, Any] = {"classes": of.classes, "sample_weight": of.weight}
        return cls.from_predictions(of.y, of.mixed, of.plain, **data, n_bins=n_bins)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        baseline: Any = None,
        cv: Any = 5,
        n_bins: int = 10,
        sample_weight: Any = None,
        groups: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        ax: Any = None,
    ) -> Self:
        """Fit the classifier with mixing and without in folds, and draw both curves.

        Parameters
        ----------
        estimator : MixupClassifier, MixupClassifierCV, or a Pipeline that ends in one
            The model with mixing. It is cloned, unless there is a `baseline`.
        X : table of n_samples rows
            Whatever `estimator` takes.
        y : array-like of shape (n_samples,)
            Labels.
        baseline : fitted classifier, default=None
            The model without mixing, as in `row_effects`.
        cv : int, splitter or iterable, default=5
            As in `row_effects`.
        n_bins : int, default=10
            Number of bins, of equal width.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in `row_effects`; rows count by their weight.
        random_state : int, RandomState instance or None, default=None
            As in `row_effects`.
        n_jobs : int or None, default=None
            As in `row_effects`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the model predicts numbers. And as in `row_effects`.
        ValueError, NotFittedError
            As in `row_effects`.
        """
        check_matplotlib()
        refuse_numbers(estimator, cls.__name__)
        check_integer("n_bins", n_bins, at_least=1)
        pairs = fitted_pairs(
            estimator,
            X,
            y,
            baseline=baseline,
            cv=cv,
            sample_weight=sample_weight,
            groups=groups,
            random_state=random_state,
            n_jobs=n_jobs,
        )
        return cls.from_pairs(pairs, n_bins=n_bins).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw both curves, and the line of a calibrated model.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay
        """
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        for name, display in ((WITH, self.mixed), (WITHOUT, self.plain)):
            display.plot(ax=ax, name=name, **STYLES[name])
        title = "Is the model right as often as it says?"
        if self.label is None:
            words = "Confidence (highest probability)", "Share of rows that are right"
        else:
            words = (
                f"Predicted probability of class {self.label}",
                f"Share of rows of class {self.label}",
            )
        ax.set(xlabel=words[0], ylabel=words[1], title=title)
        places = {"ha": "center", "color": GREY, "transform": ax.transAxes}
        if self.label is None:
            ax.text(0.25, 0.92, "not sure enough", **places)
            ax.text(0.75, 0.30, "too sure", **places)
        return self


def _calibration(
    y: np.ndarray, proba: np.ndarray, weight: Any, n_bins: int
) -> CalibrationDisplay:
    """Return scikit-learn's display of the second of two classes, or of confidence.

    (Its own `from_predictions` takes no weights, and draws at once.)
    """
    binary = proba.shape[1] == 2
    sure = proba[:, 1] if binary else proba.max(axis=1)
    true = y == 1 if binary else y == proba.argmax(axis=1)
    bins = by_confidence(sure, true, weight, n_bins)
    used = bins.share >= FEW / n_bins
    return CalibrationDisplay(bins.accuracy[used], bins.confidence[used], sure)
