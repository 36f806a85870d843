"""What prepares samples and nets for a fit, without an estimator."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import logits_net, number_net

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressorCV, default_net
from skmix._preparation import Preparation, Samples, fit_net, make_sampler, new_net
from skmix._tables.dtypes import ColumnReader
from skmix.preprocessing import TableEncoder

OFF = {"alpha": 0, "lam_per": "batch", "mixing": "mixup", "pairing": "shuffle"}
OFF |= {"clean_weight": 0, "layers": "auto"}


def prepared(net, X, y, task="classifier", **options):
    samples = Samples(X, np.asarray(y))
    preparation = Preparation.fit(net, samples, task=task, reader=None, **options)
    return preparation, preparation.transform_samples(samples)


def test_rows_of_weight_0_are_dropped_and_others_have_mean_1():
    X, y = np.arange(8.0).reshape(4, 2), np.arange(4)
    samples = Samples(X, y, np.array([0.0, 2, 2, 4]), y).weighted()
    assert_array_equal(samples.groups, [1, 2, 3])
    assert_allclose(samples.weight, [0.75, 0.75, 1.5])
    assert samples.weighted(np.array([4.0, 4, 2])).weight is None
    with pytest.raises(ValueError, match="zero for every row"):
        samples.weighted(np.zeros(3))


def test_a_net_is_trained_as_by_the_estimator_and_predicts_labels_and_numbers(wine):
    X, y = wine
    net = new_net(logits_net())
    preparation, samples = prepared(net, X, np.array(list("abc"))[y])
    sampler = make_sampler(net, 0, task="classifier", **OFF)
    options = {"sampler": sampler, "preparation": preparation, "seed": 0}
    fit_net(net, samples, **options)
    clf = MixupClassifier(logits_net(), alpha=0, random_state=0).fit(X, y)
    restored = pickle.loads(pickle.dumps(preparation))
    for one in (preparation, restored):
        proba = one.predict(net, X, draws=False)
        assert_array_equal(proba, clf.predict_proba(X))
    assert preparation.target.classes.tolist() == ["a", "b", "c"]
    assert preparation.encoder is None
    assert preparation.task == "classifier"


def test_tables_are_encoded_and_sizes_filled_in():
    X = pd.DataFrame({"a": [1.0, np.nan, 2, 3], "b": list("xyxx")})
    reader = ColumnReader.fit(X)
    net, samples = number_net(), Samples(reader.transform(X), np.arange(4.0))
    options = {"task": "regressor", "reader": reader}
    preparation = Preparation.fit(net, samples, **options)
    assert isinstance(preparation.encoder, TableEncoder)
    assert preparation.names == ["a", "b"]
    assert preparation.task == "regressor"
    coded = preparation.transform_samples(samples)
    assert coded.X.shape == (4, net.module__d_in) == (4, 4)
    context = preparation.context(coded)
    assert_array_equal(context["columns"], [0, 0, 1, 1])
    assert_array_equal(coded.y, samples.y)  # a user's net gets numbers as they are


@pytest.mark.parametrize(
    ("layers", "net", "task", "expected"),
    [
        ("auto", default_net("regressor"), "regressor", "embedding"),
        ("auto", default_net("classifier"), "classifier", None),
        ("auto", number_net(), "regressor", None),
        ("first", number_net(), "regressor", "first"),
    ],
)
def test_auto_says_where_rows_are_mixed(layers, net, task, expected):
    sampler = make_sampler(net, 0, task=task, **OFF | {"layers": layers})
    assert sampler.layers == (expected,)


def test_a_search_has_nothing_that_it_cannot_use(wine):
    for search in (MixupClassifierCV(), MixupRegressorCV()):
        assert not hasattr(search, "partial_fit")
        assert not hasattr(search, "encoder_")
        assert not isinstance(search, MixupClassifier)


def test_each_fold_is_read_and_encoded_once(wine, monkeypatch):
    X, y = wine
    X = pd.DataFrame(X).assign(kind=pd.Categorical(np.array(list("ab"))[y % 2]))
    X.columns = [str(name) for name in X.columns]
    calls = []

    def counted(kind, name):
        method = getattr(kind, name)

        def counting(self, *args, **kwargs):
            calls.append(name)
            return method(self, *args, **kwargs)

        monkeypatch.setattr(kind, name, counting)

    counted(ColumnReader, "transform")
    counted(TableEncoder, "encode")
    torch.manual_seed(0)
    MixupClassifierCV(logits_net(max_epochs=1), cv=5, random_state=0).fit(X, y)
    assert (calls.count("transform"), calls.count("encode")) == (1, 10)
