"""What a notebook shows of an estimator."""

import re

import numpy as np
import pytest
from sample_nets import logits_net
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressor, MixupRegressorCV

NUMPY = tuple(map(int, np.__version__.split(".")[:2]))


def text_of(model):
    """The words that are shown, without styles and scripts."""
    page = re.sub(r"<(style|script).*?</\1>", "", model._repr_html_(), flags=re.S)
    return re.sub(r"<.*?>", " ", page)


KINDS = {
    MixupClassifier: "TabularNetClassifier",
    MixupClassifierCV: "TabularNetClassifier",
    MixupRegressor: "TabularNetRegressor",
    MixupRegressorCV: "TabularNetRegressor",
}


@pytest.mark.parametrize(("kind", "net"), KINDS.items())
def test_the_default_net_is_shown(kind, net):
    for model in (kind(), make_pipeline(StandardScaler(), kind())):
        assert f"{net} (default)" in text_of(model)
        assert "TabularNet(" not in repr(model)


@pytest.mark.skipif(
    NUMPY < (2, 3), reason="scikit-learn 1.8 compares 0.2 and 'auto' by this numpy"
)
def test_a_net_of_ones_own_is_shown_by_what_was_given_to_it():
    model = MixupClassifier(logits_net(lr=0.125), alpha=0.2)
    text = text_of(model)
    assert "(default)" not in text
    assert "lr=0.125" in text
    assert "predict_nonlinearity" not in text  # a default of skorch
    assert "alpha" in text


def test_what_is_no_net_is_shown_all_the_same():
    assert "MixupClassifier" in text_of(MixupClassifier("a net?"))
