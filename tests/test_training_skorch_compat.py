"""How estimators around a net are printed."""

from functools import partial

import numpy as np
import pytest
from sample_nets import Layers, logits_net
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
)

ESTIMATORS = [MixupClassifier, MixupRegressor, MixupClassifierCV, MixupRegressorCV]


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_net_is_printed_as_it_was_given(kind):
    own = NeuralNetClassifier if "Classifier" in kind.__name__ else NeuralNetRegressor
    net = own(
        partial(Layers, d=8),
        max_epochs=3,
        train_split=None,
        callbacks=[("stop", EarlyStopping())],
        module__d_in=4,
    )
    shown = (
        f"{kind.__name__}(estimator={own.__name__}(module=partial(Layers, d=8), "
        "max_epochs=3, train_split=None, callbacks=[('stop', EarlyStopping(...))], "
        "module__d_in=4), random_state=1)"
    )
    assert " ".join(repr(kind(net, random_state=1)).split()) == shown
    assert repr(kind()) == f"{kind.__name__}()"
    assert repr(kind("no net")) == f"{kind.__name__}(estimator='no net')"


def test_defaults_are_those_of_the_class_of_the_net():
    split = ValidSplit(5, stratified=True)
    net = NeuralNetClassifier(nn.Linear(2, 2), train_split=split, lr=0.01)
    assert repr(MixupClassifier(net)) == (
        "MixupClassifier(estimator=NeuralNetClassifier(module=Linear(...)))"
    )
    regressor = NeuralNetRegressor(Layers, train_split=split)
    assert "train_split=ValidSplit(...)" in repr(MixupRegressor(regressor))
    assert "module=TabularNet" in repr(MixupClassifier(default_net("classifier")))


def test_printing_changes_nothing_and_works_everywhere():
    X = np.random.default_rng(0).normal(size=(40, 5))
    clf = MixupClassifier(logits_net(max_epochs=1), random_state=0)
    before = clf.get_params(deep=False)
    shown = repr(clf)
    assert repr(clone(clf)) == shown
    assert clf.get_params(deep=False) == before
    assert repr(clf.fit(X, X[:, 0] > 0)) == shown
    clf.set_params(estimator__lr=0.5)
    assert "lr=0.5" in repr(clf)
    search = GridSearchCV(make_pipeline(clf), {"mixupclassifier__alpha": [0, 1]})
    assert "MixupClassifier" in str(search)
    assert "MixupClassifier" in search._repr_html_()
