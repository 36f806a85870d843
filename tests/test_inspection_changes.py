"""What mixing changed in a model: metrics, loss by row, and calibration."""

import numpy as np
import pytest
from sklearn import metrics

from skmix.inspection._metrics import CLASS_METRICS, NUMBER_METRICS

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
