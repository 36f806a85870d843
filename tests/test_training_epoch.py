"""The shortest way through an epoch is skorch's own, but for what nobody asks for."""

import inspect

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sample_nets import (
    Layers,
    binary_net,
    full_batch_net,
    logits_net,
    number_net,
    short_default_net,
    softmax_net,
)
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from skmix import MixupClassifier, MixupRegressor
from skmix._sampler import MixupSampler
from skmix._training import epoch as epoch_module
from skmix._training.patch import mixed_training
from skmix._training.skorch_compat import steps_are_skorchs_own


def the_long_way(net):
    """The same net by skorch's own epoch, for an override that does nothing."""
    kind = type(net)

    class Overrides(kind):
        def run_single_epoch(self, *args, **kwargs):
            return super().run_single_epoch(*args, **kwargs)

    return Overrides(**net.get_params(deep=False))


def trained(net, X, y, *, sampler=None, weight=None):
    torch.manual_seed(0)
    with mixed_training(net, sampler=sampler, weight=weight):
        net.fit(X, y)
    return net


def entries(history):
    """All entries of a history but for durations."""
    return [{k: v for k, v in epoch.items() if k != "dur"} for epoch in history]


class Listener(Callback):
    """Notes all that it is told about batches, and passes for one of skorch's own."""

    def __init__(self):
        self.heard = []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.note("begin", net, batch, training, kwargs)

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.note("end", net, batch, training, kwargs)

    def on_grad_computed(
        self, net, named_parameters, batch=None, training=None, **kwargs
    ):
        names = [name for name, _ in named_parameters]
        assert names == [name for name, _ in named_parameters]  # may be asked twice
        self.note("grad", net, batch, training, kwargs)

    def note(self, what, net, batch, training, kwargs):
        X, y = batch
        so_far = [dict(record) for record in net.history[-1]["batches"]]
        values = {k: v.detach().clone() for k, v in kwargs.items()}
        modes = [module.training for module in net.module_.modules()]
        self.heard.append((what, X.clone(), y.clone(), training, values, so_far, modes))

    for method in (on_batch_begin, on_batch_end, on_grad_computed):
        method.__module__ = "skorch.callbacks.listener"


def assert_equal(a, b):
    """Compare nests of tensors and of anything else, bit for bit."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for a_, b_ in zip(a, b, strict=True):
            assert_equal(a_, b_)
    else:
        assert a == b


CALLBACKS = {
    "none": [],
    "batch scores": [BatchScoring("accuracy", on_train=True, name="acc")],
    "epoch scores": [EpochScoring("accuracy", on_train=True, name="acc")],
    "gradients": [GradientNormClipping(0.1)],
    "schedule": [LRScheduler("StepLR", step_size=3, step_every="batch")],
}


@pytest.mark.parametrize("batch_size", [32, 100, -1])
@pytest.mark.parametrize("split", [None, ValidSplit(4, stratified=True)])
@pytest.mark.parametrize("name", CALLBACKS)
def test_same_bits_and_same_history(cancer, name, split, batch_size):
    X, y = cancer
    net = logits_net(
        module__d_in=30,
        module__dropout=0.2,
        max_epochs=3,
        batch_size=batch_size,
        train_split=split,
        callbacks=CALLBACKS[name],
    )
    long = trained(the_long_way(net), X, y)
    short = trained(net, X, y)
    assert entries(short.history) == entries(long.history)
    assert_equal(short.module_.state_dict(), long.module_.state_dict())
    assert short.module_.training == long.module_.training


def test_listeners_are_told_the_same(cancer):
    X, y = cancer
    net = logits_net(
        module__d_in=30, max_epochs=2, train_split=ValidSplit(4, stratified=True)
    )
    told = []
    for ours in (net, the_long_way(net)):
        listener = Listener()
        ours.set_params(callbacks=[listener])
        trained(ours, X, y, sampler=MixupSampler(alpha=1, lam_per="batch", seed=0))
        told.append(listener.heard)
    short, long = told
    assert len(short) > 30
    # The mixed loss is one pass over the outputs in either way: the same bits.
    assert_equal(short, long)


WAYS = {
    "cross-entropy": (logits_net, {}),
    "class weights": (logits_net, {"criterion__weight": torch.tensor([1.0, 3.0])}),
    "smoothed": (logits_net, {"criterion__label_smoothing": 0.1}),
    "probabilities": (softmax_net, {}),
    "binary": (binary_net, {}),
    "LBFGS": (full_batch_net, {"optimizer": torch.optim.LBFGS, "max_epochs": 1}),
    "numbers": (number_net, {}),
    "absolute": (number_net, {"criterion": nn.L1Loss}),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("name", WAYS)
def test_both_ways_mix_alike(cancer, name, lam_per, weighted):
    X, y = cancer
    make, params = WAYS[name]
    net = make(**({"module__d_in": 30, "max_epochs": 2, "batch_size": 50} | params))
    if isinstance(net, NeuralNetRegressor) or make is binary_net:
        y = y.astype(np.float32)
        net.set_params(module__d_out=1)
    weight = np.linspace(0.5, 1.5, len(y)) if weighted else None
    nets = [
        trained(
            ours,
            X,
            y,
            sampler=MixupSampler(alpha=1, lam_per=lam_per, seed=0),
            weight=weight,
        )
        for ours in (net, the_long_way(net))
    ]
    short, long = (entries(net.history) for net in nets)
    for a, b in zip(short, long, strict=True):
        assert_allclose(a["lam_mean"], b["lam_mean"], rtol=1e-12)
        assert_allclose(a["train_loss"], b["train_loss"], rtol=1e-5)
    for a, b in zip(*(net.module_.parameters() for net in nets), strict=True):
        assert_allclose(a.detach(), b.detach(), rtol=1e-3, atol=1e-4)


METHODS = [
    name
    for name, method in vars(NeuralNet).items()
    if inspect.isfunction(method) and not name.startswith("__")
]


def test_whoever_overrides_anything_goes_the_long_way():
    """(skorch's docs tell users to override some of its private steps.)"""
    assert len(METHODS) > 70
    net = NeuralNetClassifier(Layers).initialize()
    assert steps_are_skorchs_own(net)
    for name in METHODS:
        kind = type("Own", (NeuralNetClassifier,), {name: lambda self, *_, **__: None})
        own = object.__new__(kind)
        vars(own).update(vars(net))
        assert not steps_are_skorchs_own(own), name


def test_defaults_go_the_shortest_way(cancer, monkeypatch):
    X, y = cancer
    epochs = []

    def run_epoch(net, steps, **kwargs):
        epochs.append(net)
        epoch_module.run_epoch(net, steps, **kwargs)

    monkeypatch.setattr("skmix._training.patch.run_epoch", run_epoch)
    for estimator in (
        MixupClassifier(short_default_net(), random_state=0),
        MixupClassifier(logits_net(max_epochs=1), random_state=0),
        MixupRegressor(number_net(max_epochs=1), random_state=0),
    ):
        epochs.clear()
        estimator.fit(X, y)
        assert epochs


class Modes(Layers):
    """Remembers in which mode it was trained, and leaves a part of it in another."""

    seen = ()

    def forward(self, X):
        if torch.is_grad_enabled():
            Modes.seen += (self.training, self.hidden.training)
        logits = super().forward(X)
        self.hidden.eval()
        return logits


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, torch.optim.Adam])
def test_every_pass_is_in_training_mode(cancer, optimizer):
    X, y = cancer
    Modes.seen = ()
    net = logits_net(
        module=Modes, module__d_in=30, optimizer=optimizer, batch_size=200, max_epochs=3
    )
    trained(net, X, y)
    assert len(Modes.seen) > 10
    assert all(Modes.seen)


class Temperature(nn.CrossEntropyLoss):
    """A criterion that differs in evaluation."""

    def forward(self, logits, y):
        return super().forward(logits, y) * (1 if self.training else 2)


def test_the_criterion_has_a_mode_too(cancer):
    X, y = cancer
    split = ValidSplit(4, stratified=True)
    net = logits_net(
        module__d_in=30, criterion=Temperature, max_epochs=2, train_split=split
    )
    short, long = trained(net, X, y), trained(the_long_way(net), X, y)
    assert entries(short.history) == entries(long.history)


class Blanks(Callback):
    """Changes the batches that are to be trained on."""

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if training:
            batch[0] = batch[0] * 0


@pytest.mark.parametrize("alpha", [0, 0.2])
def test_a_callback_of_ones_own_may_change_the_batch(cancer, alpha):
    X, y = cancer
    net = logits_net(max_epochs=3, lr=1e-3, callbacks=[Blanks()])
    clf = MixupClassifier(net, alpha=alpha, random_state=0).fit(X, y)
    assert clf.history_[-1, "train_loss"] > 0.6  # log(2) = 0.69, from no columns


class Gain(Layers):
    """Writes to its input, with a parameter."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(torch.ones(30))

    def forward(self, X):
        X += self.gain
        X *= self.gain
        return super().forward(X)


@pytest.mark.parametrize("alpha", [0, 0.2])
@pytest.mark.parametrize("way", [lambda net: net, the_long_way])
def test_a_module_may_write_to_its_input(cancer, way, alpha):
    X, y = cancer
    net = way(logits_net(module=Gain, module__d_in=30, max_epochs=3))
    clf = MixupClassifier(net, alpha=alpha, random_state=0).fit(X, y)
    assert clf.score(X, y) > 0.9


class OneNumber(nn.CrossEntropyLoss):
    def forward(self, logits, y):
        return super().forward(logits, y).reshape(1)


def test_a_loss_may_have_a_dimension(cancer):
    X, y = cancer
    net = logits_net(module__d_in=30, criterion=OneNumber, max_epochs=2)
    assert isinstance(trained(net, X, y).history[-1, "train_loss"], float)


class OwnZeroGrad(torch.optim.SGD):
    calls = 0

    def zero_grad(self, *args, **kwargs):
        OwnZeroGrad.calls += 1
        super().zero_grad(*args, **kwargs)


def test_gradients_are_forgotten_by_the_optimizer(cancer):
    X, y = cancer
    OwnZeroGrad.calls = 0
    net = logits_net(module__d_in=30, optimizer=OwnZeroGrad, max_epochs=1)
    trained(net.set_params(batch_size=100), X, y)
    assert OwnZeroGrad.calls == 6


@pytest.mark.parametrize("shape", [(57, 13, 10, 10), (105, 17, 3, 22), (46, 23, 22, 7)])
def test_same_bits_for_odd_shapes(shape):
    """The bits of a matrix product depend on how its factors lie in memory."""
    n_rows, n_columns, batch_size, d = shape
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
    y = rng.integers(2, size=n_rows)
    net = logits_net(
        module__d_in=n_columns, module__d=d, batch_size=batch_size, max_epochs=2
    )
    short = trained(net, X, y)
    long = trained(the_long_way(net).set_params(iterator_train=OwnLoader), X, y)
    assert_equal(short.module_.state_dict(), long.module_.state_dict())


class OwnLoader(DataLoader):
    """No different, but it is not for us to know."""


class Interrupts(Layers):
    calls = 0

    def forward(self, X):
        Interrupts.calls += 1
        if Interrupts.calls == 6:
            raise KeyboardInterrupt
        return super().forward(X)


def test_an_interrupted_epoch_is_in_the_history_as_in_skorchs(cancer):
    X, y = cancer
    net = logits_net(module=Interrupts, module__d_in=30)
    histories = []
    for ours in (net, the_long_way(net)):
        Interrupts.calls = 0
        sampler = MixupSampler(alpha=1, lam_per="batch", seed=0)
        with pytest.raises(KeyboardInterrupt):
            trained(ours, X, y, sampler=sampler)
        histories.append(entries(ours.history))
    short, long = histories
    assert len(short[-1]["batches"]) == 6
    assert short[-1]["batches"] == long[-1]["batches"]
    assert_allclose(short[-1]["lam_mean"], long[-1]["lam_mean"], rtol=1e-12)


class AsksForOthers(Callback):
    """Has batches of another table loaded in between."""

    def on_epoch_begin(self, net, **kwargs):
        X = np.full((2000, 30), 1e6, dtype=np.float32)
        others = net.get_dataset(X, np.zeros(2000, dtype=np.int64))
        next(iter(net.get_iterator(others, training=True)))


def test_partners_of_weighted_rows_are_from_the_table_trained_on(cancer):
    X, y = cancer
    weight = np.linspace(1, 2, len(y))
    net = logits_net(max_epochs=2, callbacks=[AsksForOthers()])
    clf = MixupClassifier(net, alpha=1, random_state=0).fit(X, y, sample_weight=weight)
    assert clf.history_[-1, "train_loss"] < 1
