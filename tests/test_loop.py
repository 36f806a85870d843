"""The shortest way through an epoch is skorch's own, but for what nobody asks for."""

import inspect

import numpy as np
import pytest
import torch
from nets import Layers, binary_net, full_batch_net, logits_net, number_net, softmax_net
from numpy.testing import assert_allclose, assert_array_equal
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

from skmix import MixupClassifier, MixupRegressor, loop
from skmix.loop import all_is_skorchs_own
from skmix.mixing import Plan
from skmix.training import mixed_training


def the_long_way(net):
    """The same net by skorch's own epoch, for an override that does nothing."""
    kind = type(net)

    class Overrides(kind):
        def run_single_epoch(self, *args, **kwargs):
            return super().run_single_epoch(*args, **kwargs)

    long = Overrides(**net.get_params(deep=False))
    assert all_is_skorchs_own(net)
    assert not all_is_skorchs_own(long)
    return long


def trained(net, X, y, *, plan=None, weight=None):
    torch.manual_seed(0)
    with mixed_training(net, plan=plan, weight=weight):
        net.fit(X, y)
    return net


def entries(history):
    """All entries of a history but for durations."""
    return [{k: v for k, v in epoch.items() if k != "dur"} for epoch in history]


class Listener(Callback):
    """Notes all that it is told about batches."""

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
        trained(ours, X, y, plan=Plan(alpha=1, lam_per="batch", seed=0))
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
        trained(ours, X, y, plan=Plan(alpha=1, lam_per=lam_per, seed=0), weight=weight)
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
    assert all_is_skorchs_own(NeuralNetClassifier(Layers))
    for name in METHODS:
        kind = type("Own", (NeuralNetClassifier,), {name: lambda self, *_, **__: None})
        assert not all_is_skorchs_own(object.__new__(kind)), name


def test_defaults_go_the_shortest_way(cancer, monkeypatch):
    X, y = cancer
    epochs = []

    def run_epoch(net, steps, **kwargs):
        epochs.append(net)
        loop.run_epoch(net, steps, **kwargs)

    monkeypatch.setattr("skmix.training.run_epoch", run_epoch)
    for estimator in (
        MixupClassifier(random_state=0),
        MixupClassifier(logits_net(max_epochs=1), random_state=0),
        MixupRegressor(number_net(max_epochs=1), random_state=0),
    ):
        epochs.clear()
        estimator.fit(X, y)
        assert epochs


class PredictsInStep(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        net.predict_proba(net.X)


class Modes(Layers):
    seen = ()

    def forward(self, X):
        if torch.is_grad_enabled():
            Modes.seen += (self.training, self.hidden.training)
        return super().forward(X)


def test_passes_after_a_prediction_are_in_training_mode(cancer):
    """LBFGS makes many passes a step, with a callback's predictions in between."""
    X, y = cancer
    Modes.seen = ()
    net = logits_net(
        module=Modes,
        module__d_in=30,
        optimizer=torch.optim.LBFGS,
        batch_size=-1,
        max_epochs=1,
        callbacks=[PredictsInStep()],
    )
    net.X = X[:3].astype(np.float32)
    trained(net, X, y)
    assert len(Modes.seen) > 10
    assert all(Modes.seen)


class Interrupts(Layers):
    calls = 0

    def forward(self, X):
        Interrupts.calls += 1
        if Interrupts.calls == 6:
            raise KeyboardInterrupt
        return super().forward(X)


def test_an_interrupted_epoch_is_in_the_history(cancer):
    Interrupts.calls = 0
    X, y = cancer
    clf = MixupClassifier(logits_net(module=Interrupts), random_state=0).fit(X, y)
    batches = clf.history_[-1]["batches"]
    assert len(batches) == 5
    assert all(isinstance(batch["train_loss"], float) for batch in batches)
    assert_array_equal([batch["train_batch_size"] for batch in batches], 32)
