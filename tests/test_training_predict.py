"""Predictions in chunks are the net's own, wait for nobody and draw nothing."""

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import (
    Layers,
    binary_net,
    logits_net,
    number_net,
    short_default_net,
    softmax_net,
)
from scipy import sparse
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.data import DataLoader

from skmix import MixupClassifier, MixupRegressor
from skmix._training.predict import CHUNK_CELLS, CHUNK_ROWS, in_chunks
from skmix._training.random import seeded

NETS = {"softmax": softmax_net, "logits": logits_net, "binary": binary_net}


class Sizes(Layers):
    """Remembers how many rows it was given at once."""

    seen = ()

    def forward(self, X):
        if not self.training:
            Sizes.seen += (len(X),)
        return super().forward(X)


@pytest.mark.parametrize("n_rows", [1, 2, CHUNK_ROWS - 1, CHUNK_ROWS + 1, 5000])
@pytest.mark.parametrize("name", NETS)
def test_as_the_nets_own_predict_proba(cancer, name, n_rows):
    X, y = cancer
    clf = MixupClassifier(NETS[name](max_epochs=2), random_state=0).fit(X, y)
    rows = np.resize(X, (n_rows, X.shape[1]))
    assert in_chunks(clf.estimator_, X) is not None
    theirs = clf.estimator_.predict_proba(rows.astype(np.float32))
    assert_allclose(clf.predict_proba(rows), theirs, atol=1e-6)


@pytest.mark.parametrize("n_rows", [1, 5000])
def test_as_the_nets_own_predict(cancer, n_rows):
    X, y = cancer
    reg = MixupRegressor(number_net(max_epochs=2), random_state=0).fit(X, y)
    rows = np.resize(X, (n_rows, X.shape[1]))
    theirs = reg.estimator_.predict(rows.astype(np.float32)).ravel()
    assert_allclose(reg.predict(rows), theirs, rtol=1e-5, atol=1e-5)


def test_whatever_the_container(cancer):
    X, y = cancer
    X = np.round(X * 2)
    clf = MixupClassifier(logits_net(max_epochs=2), random_state=0).fit(X, y)
    expected = clf.predict_proba(X)
    read_only = X.astype(np.float32)
    read_only.flags.writeable = False
    for table in (
        X.astype(np.float32),
        X.astype(np.int16),
        X.astype(np.float16),
        X.tolist(),
        pd.DataFrame(X),
        sparse.csr_matrix(X),
        sparse.csr_array(X),
        np.asfortranarray(X),
        X[::-1][::-1],
        X.astype(">f8"),
        read_only,
    ):
        assert_array_equal(clf.predict_proba(table), expected)


def test_no_more_rows_at_once_than_is_good(cancer):
    X, y = cancer
    Sizes.seen = ()
    clf = MixupClassifier(logits_net(module=Sizes, max_epochs=1)).fit(X, y)
    Sizes.seen = ()
    clf.predict_proba(np.resize(X, (5000, X.shape[1])))
    assert Sizes.seen == (CHUNK_ROWS, CHUNK_ROWS, 5000 - 2 * CHUNK_ROWS)
    wide = np.zeros((40, CHUNK_CELLS // 16), dtype=np.float32)
    wide[::2] = 1
    clf = MixupClassifier(logits_net(module=Sizes, module__d=1, max_epochs=1))
    clf.fit(wide, wide[:, 0])
    Sizes.seen = ()
    clf.predict_proba(wide)
    assert Sizes.seen == (16, 16, 8)


@pytest.mark.parametrize(("size", "expected"), [(300, (300, 269)), (-1, (569,))])
def test_a_chunk_size_of_ones_own(cancer, size, expected):
    X, y = cancer
    net = logits_net(module=Sizes, max_epochs=1, iterator_valid__batch_size=size)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    Sizes.seen = ()
    clf.predict_proba(X)
    assert Sizes.seen == expected


class Careless(Layers):
    def forward(self, X):
        return super().forward(X.add_(1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_module_that_writes_to_its_input_changes_no_table(cancer, dtype):
    X, y = cancer
    X = X.astype(dtype)
    before = X.copy()
    clf = MixupClassifier(logits_net(module=Careless, max_epochs=1), random_state=0)
    clf.fit(X, y, X_val=X, y_val=y)
    first = clf.predict_proba(X)
    assert_array_equal(X, before)
    assert_array_equal(clf.predict_proba(X), first)


def test_predictions_do_not_wait_for_fits(cancer):
    X, y = cancer
    clf = MixupClassifier(logits_net(max_epochs=1), random_state=0).fit(X, y)
    expected, results = clf.predict_proba(X), []
    with seeded(0):  # as a fit does all the while
        thread = threading.Thread(target=lambda: results.append(clf.predict_proba(X)))
        thread.start()
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert_array_equal(results[0], expected)


class Bayesian(Layers):
    """Draws in evaluation mode, too."""

    def forward(self, X):
        return super().forward(X) + torch.randn(len(X), 1) * self.output.weight[:, 0]


class NumpyNoise(Layers):
    def forward(self, X):
        noise = np.random.normal(size=(len(X), 1)).astype(np.float32)  # noqa: NPY002
        return super().forward(X) + torch.from_numpy(noise) * self.output.weight[:, 0]


@pytest.mark.parametrize("module", [Bayesian, NumpyNoise])
def test_nets_that_draw_to_predict_leave_the_generators_as_found(cancer, module):
    X, y = cancer
    clf = MixupClassifier(logits_net(module=module, max_epochs=1), random_state=0)
    clf.fit(X, y)
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()  # noqa: NPY002
    assert not np.array_equal(clf.predict_proba(X).round(3)[:, 0], y)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert_array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
    assert np.random.get_state()[2] == numpy_state[2]  # noqa: NPY002


class Shifts:
    """Overrides one of the ways to predictions, so that they are those of class 1."""

    def shift(self, proba):
        return proba * 0 + proba.new_tensor([0.0, 1.0])


class OwnInfer(Shifts, NeuralNetClassifier):
    def infer(self, x, **params):
        return self.shift(super().infer(x, **params))


class OwnForwardIter(Shifts, NeuralNetClassifier):
    def forward_iter(self, *args, **kwargs):
        yield from map(self.shift, super().forward_iter(*args, **kwargs))


class OwnEvaluation(Shifts, NeuralNetClassifier):
    def evaluation_step(self, *args, **kwargs):
        return self.shift(super().evaluation_step(*args, **kwargs))


class OwnProba(Shifts, NeuralNetClassifier):
    def predict_proba(self, X):
        return self.shift(torch.from_numpy(super().predict_proba(X))).numpy()


class OnesLoader(DataLoader):
    def __iter__(self):
        for X, y in super().__iter__():
            yield X * 0, y


class OwnMode(NeuralNetClassifier):
    """Dropout in predictions, by a private method as others do it."""

    def _set_training(self, training=True):
        super()._set_training(True)


def test_dropout_in_predictions(cancer):
    X, y = cancer
    net = softmax_net(OwnMode, module__dropout=0.5, max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    assert in_chunks(clf.estimator_, X) is None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = clf.predict_proba(X)
        torch.manual_seed(1)
        assert not np.allclose(clf.predict_proba(X), first)


class OwnPredict(NeuralNetRegressor):
    def predict(self, X):
        assert X.dtype == np.float32
        return super().predict(X) + 100


def test_a_predict_of_ones_own_is_given_the_nets_dtype(cancer):
    X, y = cancer
    reg = MixupRegressor(number_net(OwnPredict, max_epochs=1), random_state=0)
    assert (reg.fit(X, y).predict(X) > 50).all()


class Cached(Layers):
    """Keeps a tensor that depends on the size of the batch."""

    mask = None

    def forward(self, X):
        if self.mask is None or len(self.mask) != len(X):
            self.mask = torch.full((len(X), 1), 0.5)
        return super().forward(X) * self.mask


def test_predictions_leave_nothing_that_cannot_be_trained_with(cancer):
    X, y = cancer
    clf = MixupClassifier(logits_net(module=Cached, max_epochs=1), random_state=0)
    clf.fit(X, y).predict(X[:32])
    assert clf.partial_fit(X[:32], y[:32]).n_iter_ == 2


class Counts(Layers):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, X):
        self.calls += 1
        return super().forward(X)


def test_a_fit_passes_nothing_through_the_module_but_its_batches(cancer):
    X, y = cancer
    net = logits_net(module=Counts, module__d_in=30, max_epochs=2, batch_size=100)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    assert clf.estimator_.module_.calls == 2 * 6


def test_predictions_while_the_net_is_trained_further(cancer):
    """They are those of before; and the training is not disturbed by them."""
    X, y = cancer
    net = logits_net(module__dropout=0.5, lr=0.1, batch_size=5, max_epochs=1)
    alone = MixupClassifier(net, random_state=0).fit(X, y).partial_fit(X, y)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    before, seen = clf.predict_proba(X), []
    training = threading.Thread(target=clf.partial_fit, args=(X, y))
    training.start()
    while training.is_alive():
        seen.append(clf.predict_proba(X))
    after = clf.predict_proba(X)
    assert not np.allclose(before, after)
    assert len(seen) > 1
    for proba in seen:
        assert np.array_equal(proba, before) or np.array_equal(proba, after)
    assert_array_equal(after, alone.predict_proba(X))


class Parts(Layers):
    def forward(self, numbers, codes):
        return super().forward(torch.cat([numbers, codes[:, None]], 1))


def test_dicts(cancer):
    X, y = cancer
    table = {"numbers": X[:, :3], "codes": np.arange(len(X)).astype(">i4") % 3}
    net = logits_net(module=Parts, module__d_in=4, max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(table, y)
    expected = clf.predict_proba(table)
    theirs = {k: v.astype(v.dtype.newbyteorder("=")) for k, v in table.items()}
    theirs["numbers"] = theirs["numbers"].astype(np.float32)
    assert_allclose(clf.estimator_.predict_proba(theirs), expected, atol=1e-6)
    series = table | {"codes": pd.Series(theirs["codes"])}
    assert_allclose(clf.predict_proba(series), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [OwnInfer, OwnForwardIter, OwnEvaluation, OwnProba])
def test_ways_of_ones_own_are_respected(cancer, kind):
    X, y = cancer
    clf = MixupClassifier(softmax_net(kind, max_epochs=1), alpha=0, random_state=0)
    clf.fit(X, y)
    assert in_chunks(clf.estimator_, X) is None
    assert_array_equal(clf.predict_proba(X[:5]), [[0, 1]] * 5)


def test_a_loader_of_ones_own_is_respected(cancer):
    X, y = cancer
    net = logits_net(max_epochs=1, iterator_valid=OnesLoader)
    proba = MixupClassifier(net, random_state=0).fit(X, y).predict_proba(X)
    assert_allclose(proba, proba[:1].repeat(len(X), axis=0))


def test_a_nonlinearity_with_parameters_of_its_own(cancer):
    X, y = cancer
    temperature = nn.Parameter(torch.tensor(2.0))
    net = logits_net(
        max_epochs=1, predict_nonlinearity=lambda z: (z / temperature).softmax(-1)
    )
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    warm = clf.predict_proba(X)
    temperature.data.fill_(1e6)
    assert not np.allclose(warm, 0.5)
    assert_allclose(clf.predict_proba(X), 0.5, atol=1e-4)


class CannotDoTwo(Layers):
    def forward(self, X):
        if not self.training and len(X) == 2:
            raise RuntimeError("two rows")
        return super().forward(X)


def test_a_net_that_cannot_predict_two_rows_is_fitted(cancer):
    X, y = cancer
    clf = MixupClassifier(logits_net(module=CannotDoTwo, max_epochs=1), random_state=0)
    assert clf.fit(X, y).predict_proba(X).shape == (569, 2)
    with pytest.raises(RuntimeError, match="two rows"):
        clf.predict_proba(X[:2])


def test_values_too_large_are_refused_in_a_prediction(cancer):
    X, y = cancer
    clf = MixupClassifier(logits_net(max_epochs=1), random_state=0).fit(X, y)
    clf_default = MixupClassifier(short_default_net(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="too large for float32"):
        clf.predict(np.full((1, 30), 1e200))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            clf.predict(np.full((1, 30), bad))
    # The default net draws in what is far away, and knows what is missing.
    with pytest.raises(ValueError, match="infinity"):
        clf_default.predict(np.full((1, 30), np.inf))
    for fine in (1e200, np.nan):
        assert np.isfinite(clf_default.predict_proba(np.full((1, 30), fine))).all()
    with pytest.raises(ValueError, match="30 features"):
        clf.predict(np.zeros((1, 29)))
    with pytest.raises(ValueError, match="0 sample"):
        clf.predict(np.zeros((0, 30)))
