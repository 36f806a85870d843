"""The default nets as skorch nets: sizes, hold-out, epochs, calibration."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes

from skmix import MixupClassifier, MixupRegressor, default_net

QUICK = {"max_epochs": 4, "module__d_block": 8, "module__k": 2}


def fitted_by_skorch(task, X, y, seed=0, **params):
    """Fit a default net without the estimators, from the state that they start from."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    return default_net(task).set_params(**params).fit(X, y)


def encoded(estimator, X):
    return estimator.encoder_.transform(X).astype(np.float32)


def assert_same(bare, estimator):
    """Compare weights, averaged weights and temperatures to the bit."""
    ours, theirs = (net.module_.state_dict() for net in (bare, estimator.estimator_))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


# The law of the default net: in skorch alone it does what it does in the estimators.


@pytest.mark.parametrize("seed", [0, 7])
def test_law_the_bare_classifier_predicts_as_the_unmixed_estimator(wine, seed):
    X, y = wine
    net = default_net("classifier").set_params(**QUICK)
    clf = MixupClassifier(net, alpha=0, random_state=seed).fit(X, y)
    bare = fitted_by_skorch("classifier", encoded(clf, X), y, seed, **QUICK)
    assert_same(bare, clf)
    proba = bare.predict_proba(encoded(clf, X))
    assert_allclose(proba, clf.predict_proba(X), rtol=1e-6)  # float32 and float64


def test_law_the_whole_fit(wine):
    X, y = wine
    clf = MixupClassifier(alpha=0, random_state=0).fit(X, y)
    bare = fitted_by_skorch("classifier", encoded(clf, X), y)
    assert_same(bare, clf)
    assert len(bare.history) == clf.n_iter_
    losses = bare.validation_history_[:, "valid_loss"]
    assert losses == clf.history_[:, "valid_loss"]


def test_law_the_bare_regressor_predicts_as_the_unmixed_estimator():
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    net = default_net("regressor").set_params(**QUICK)
    reg = MixupRegressor(net, alpha=0, random_state=0).fit(X, y)
    target = reg._codec.encode(y)
    for shape in (-1, (-1, 1)):
        given = target.reshape(shape)
        bare = fitted_by_skorch("regressor", encoded(reg, X), given, **QUICK)
        predicted = reg._codec.decode(bare.predict(encoded(reg, X)))
        assert_same(bare, reg)
        assert_allclose(np.ravel(predicted), reg.predict(X), rtol=1e-6)
