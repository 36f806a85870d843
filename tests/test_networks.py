"""The default net and its hold-out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from skorch import NeuralNetRegressor
from skorch.callbacks import EarlyStopping, Freezer
from skorch.dataset import Dataset, ValidSplit

from skmix import default_net
from skmix.networks import MLP, hold_out, set_batch_size, stop_stopping, wants_scaled


def split(y):
    y = np.asarray(y)
    train, valid = hold_out(Dataset(np.zeros((len(y), 1)), y), y)
    return [getattr(part, "indices", None) for part in (train, valid)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=120))
def test_hold_out_leaves_every_class_in_training(labels):
    y = np.array(labels)
    train, valid = split(y)
    if train is None:
        assert valid is None
        return
    assert_array_equal(np.sort(np.r_[train, valid]), np.arange(len(y)))
    assert set(y[train]) == set(y)
    for label, count in zip(*np.unique(y, return_counts=True), strict=True):
        assert (y[valid] == label).sum() == (count + 2) // 5


def test_hold_out_spreads_over_the_values_of_numbers():
    y = np.random.default_rng(0).normal(size=100)
    _, valid = split(y)
    assert_array_equal(np.sort(np.argsort(np.argsort(y))[valid]), np.arange(2, 100, 5))


def test_hold_out_is_drawn_from_torchs_generator():
    y = np.arange(60) % 3
    torch.manual_seed(0)
    first, second = split(y)[1], split(y)[1]
    torch.manual_seed(0)
    assert_array_equal(split(y)[1], first)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_default_net_is_fresh_each_time(task):
    assert default_net(task) is not default_net(task)
    assert default_net(task).initialized_ is False


def test_batch_size_grows_with_the_table():
    sizes = []
    for n_rows in (1, 100, 10**4, 10**7):
        net = default_net("classifier")
        set_batch_size(net, n_rows)
        sizes.append(net.batch_size)
    assert sizes == [16, 16, 256, 256]
    given = default_net("classifier").set_params(batch_size=7)
    set_batch_size(given, 10**7)
    assert given.batch_size == 7


def test_nets_of_the_default_kind():
    class Deeper(MLP):
        pass

    for module in (MLP, Deeper, MLP(3, 1)):
        assert wants_scaled(NeuralNetRegressor(module))
    for module in (torch.nn.Linear, torch.nn.Linear(3, 1), lambda: MLP(3, 1)):
        assert not wants_scaled(NeuralNetRegressor(module))


def test_stopping_is_taken_from_the_default_net_alone():
    net = default_net("classifier").set_params(
        callbacks=[("stop", EarlyStopping()), EarlyStopping(), Freezer("x")]
    )
    stop_stopping(net)
    assert net.train_split is None
    assert [type(callback) for callback in net.callbacks] == [Freezer]
    stop_stopping(default_net("classifier").set_params(callbacks="disable"))
    own = default_net("classifier").set_params(train_split=ValidSplit(0.2))
    stop_stopping(own)
    assert own.train_split is not None


def test_unknown_task():
    with pytest.raises(
        ValueError, match="task='cluster', but expected 'classifier' or"
    ):
        default_net("cluster")


def test_mlp_shapes():
    mlp = MLP(d_in=4, d_out=3, n_blocks=3, d_block=7)
    assert mlp(torch.zeros(2, 4)).shape == (2, 3)
    assert len(mlp.blocks) == 3


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_the_default_optimizer_is_fused(task):
    net = default_net(task).set_params(module__d_in=3, module__d_out=2).initialize()
    assert isinstance(net.optimizer_, torch.optim.AdamW)
    assert net.optimizer_.defaults["fused"]
    assert net.optimizer_.defaults["weight_decay"] == 1e-2


def test_another_optimizer_takes_its_place():
    net = default_net("classifier").set_params(
        module__d_in=3, module__d_out=2, optimizer=torch.optim.RMSprop
    )
    assert isinstance(net.initialize().optimizer_, torch.optim.RMSprop)
