"""scikit-learn's estimator checks: none fails, none is skipped.

Training draws batches, partners and weights at random, so that weighting a row
equals repeating it in expectation (test_laws.py) and not bit for bit; settings
that draw nothing must pass the bit-for-bit check as well.

Modules are in double precision: a prediction for one row of a float32 net differs from
that for many by as much as a check allows, on some processors by more. (By a class of
their own: skorch keeps the names of nested parameters in a set, whose order would be
in the names of the tests, and differ between the processes that run them.)
"""

import pytest
from sample_nets import (
    InDouble,
    binary_net,
    full_batch_net,
    logits_net,
    number_net,
    short_default_net,
    softmax_net,
)
from sklearn.utils.estimator_checks import (
    parametrize_with_checks,
)
from skorch import NeuralNetRegressor

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
)

QUICK = MixupClassifier(logits_net(module=InDouble), lam_per="row")
STOCHASTIC = [
    MixupClassifier(short_default_net(max_epochs=5)),
    MixupRegressor(short_default_net("regressor", max_epochs=5)),
    MixupClassifier(softmax_net(module=InDouble)),
    MixupClassifier(binary_net(module=InDouble)),
    MixupRegressor(number_net(module=InDouble, max_epochs=100)),
    MixupClassifierCV(logits_net(module=InDouble, max_epochs=10), alphas=(0.2,)),
    MixupRegressorCV(number_net(module=InDouble, max_epochs=30), alphas=(0.2,)),
]
DETERMINISTIC = [
    MixupClassifier(full_batch_net(max_epochs=100), alpha=0),
    MixupRegressor(full_batch_net(NeuralNetRegressor, max_epochs=200), alpha=0),
]


def expected_failures(estimator):
    if getattr(estimator, "alpha", None) == 0:
        return {}
    reason = "weighted rows equal repeated ones in expectation only: see test_laws.py"
    kinds = ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in kinds}


@parametrize_with_checks(
    [QUICK], expected_failed_checks=expected_failures, xfail_strict=True
)
def test_check_of_a_quick_one(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    STOCHASTIC + DETERMINISTIC,
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_check(estimator, check):
    check(estimator)
