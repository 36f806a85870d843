"""Metrics of predictions for rows held out: probabilities of classes, or numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn import metrics

N_BINS = 15  # of confidence, as in Guo et al. 2017


class Metric(NamedTuple):
    """A metric and its direction.

    `of` takes the true values, the predictions and weights of rows or None, and returns
    a float. For classes the true values are indices of columns of the predictions,
    which are of shape (n, n_classes); for numbers both are of shape (n,).
    """

    name: str
    greater_is_better: bool
    of: Callable[[np.ndarray, np.ndarray, Any], float]


class Bins(NamedTuple):
    """Rows by their confidence: for each bin, its share of the weight, and two means.

    Attributes
    ----------
    share, confidence, accuracy : ndarray of shape (n_bins,)
        The means are NaN in an empty bin.
    """

    share: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def by_confidence(
    confidence: np.ndarray, right: np.ndarray, weight: Any, n_bins: int = N_BINS
) -> Bins:
    """Put rows into bins of equal width, each with its upper edge."""
    edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    bins = np.searchsorted(edges, confidence)
    weight = np.ones(len(confidence)) if weight is None else np.asarray(weight)

    def total(values: Any) -> np.ndarray:
        return np.bincount(bins, values * weight, minlength=n_bins)

    of_bin = total(np.ones(len(confidence)))
    with np.errstate(invalid="ignore"):
        means = total(confidence) / of_bin, total(right) / of_bin
    return Bins(of_bin / of_bin.sum(), *means)


def log_losses(y: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Return the log loss of each row, which scikit-learn's `log_loss` averages."""
    of_label = proba[np.arange(len(y)), y]
    return np.asarray(-np.log(of_label.clip(np.finfo(proba.dtype).eps)))


def _log_loss(y: np.ndarray, proba: np.ndarray, weight: Any) -> float:
    return float(np.average(log_losses(y, proba), weights=weight))


def _brier(y: np.ndarray, proba: np.ndarray, weight: Any) -> float:
    """Return the squared error, summed over classes (0 to 2)."""
    error = proba - np.eye(proba.shape[1])[y]
    return float(np.average(np.sum(error**2, axis=1), weights=weight))


def _accuracy(y: np.ndarray, proba: np.ndarray, weight: Any) -> float:
    predicted = proba.argmax(axis=1)
    return float(metrics.accuracy_score(y, predicted, sample_weight=weight))


def _balanced_accuracy(y: np.ndarray, proba: np.ndarray, weight: Any) -> float:
    """Return the mean recall of the classes that have rows here."""
    present = np.unique(y if weight is None else y[np.asarray(weight) > 0])
    # (`balanced_accuracy_score` warns of classes that are predicted, but not here.)
    return float(
        metrics.recall_score(
            y,
            proba.argmax(axis=1),
            labels=present,
            average="macro",
            sample_weight=weight,
            zero_division=0,
        )
    )


def _roc_auc(y: np.ndarray, proba: np.ndarray, weight: Any) -> float:
    """Return the mean over classes of one against the rest; NaN if a class is absent.

    Two classes have the same area, so one of them is enough.
    """
    n_classes = proba.shape[1]
    present = np.unique(y if weight is None else y[np.asarray(weight) > 0])
    if len(present) < max(n_classes, 2):
        return float("nan")
    classes = range(n_classes) if n_classes > 2 else [1]
    areas = [
        metrics.roc_auc_score(y == c, proba[:, c], sample_weight=weight)
        for c in classes
    ]
    return float(np.mean(areas))


def _bins_of(y: np.ndarray, proba: np.ndarray, weight: Any) -> Bins:
    right = proba.argmax(axis=1) == y
    return by_confidence(proba.max(axis=1), right, weight)


def _ece(y: np.ndarray, proba: np.ndarray, weight: Any) -> float:
    """Return the mean distance of confidence and accuracy over the bins."""
    bins = _bins_of(y, proba, weight)
    return float(np.nansum(bins.share * np.abs(bins.confidence - bins.accuracy)))


def _signed_ece(y: np.ndarray, proba: np.ndarray, weight: Any) -> float:
    """Return confidence minus accuracy, the mean over the bins: above 0 is too sure.

    (What is too much in one bin and too little in another cancels: it is the mean
    confidence minus the accuracy, whatever the bins.)
    """
    bins = _bins_of(y, proba, weight)
    return float(np.nansum(bins.share * (bins.confidence - bins.accuracy)))


def _rmse(y: np.ndarray, predicted: np.ndarray, weight: Any) -> float:
    return float(metrics.root_mean_squared_error(y, predicted, sample_weight=weight))


def _r2(y: np.ndarray, predicted: np.ndarray, weight: Any) -> float:
    """Return the share of the variance that is explained; NaN for a single row."""
    if len(y) < 2:
        return float("nan")
    return float(metrics.r2_score(y, predicted, sample_weight=weight))


LOG_LOSS = Metric("log_loss", False, _log_loss)
ACCURACY = Metric("accuracy", True, _accuracy)
ECE = Metric("ece", False, _ece)
SIGNED_ECE = Metric("signed_ece", False, _signed_ece)  # best at 0

CLASS_METRICS = (
    LOG_LOSS,
    Metric("brier", False, _brier),
    ACCURACY,
    Metric("balanced_accuracy", True, _balanced_accuracy),
    Metric("roc_auc", True, _roc_auc),
    ECE,
    SIGNED_ECE,
)
NUMBER_METRICS = (Metric("rmse", False, _rmse), Metric("r2", True, _r2))
