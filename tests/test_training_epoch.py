"""The fast epoch equals skorch's; Ctrl-C leaves `fit`; a diverged training is said."""

import inspect
import pickle
import signal
import threading
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import (
    Layers,
    Linear,
    binary_net,
    full_batch_net,
    logits_net,
    number_net,
    short_default_net,
    softmax_net,
)
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressor, default_net
from skmix._mixing.sampler import MixupSampler
from skmix._training import epoch as epoch_module
from skmix._training.epoch import (
    Diverged,
    Stopped,
    callbacks_may_stop,
    ends_above_start,
    interruptible,
)
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


class InterruptsAtSix(Layers):
    calls = 0

    def forward(self, X):
        InterruptsAtSix.calls += 1
        if InterruptsAtSix.calls == 6:
            raise KeyboardInterrupt
        return super().forward(X)


def test_an_interrupted_epoch_is_in_the_history_as_in_skorchs(cancer):
    X, y = cancer
    net = logits_net(module=InterruptsAtSix, module__d_in=30)
    histories = []
    for ours in (net, the_long_way(net)):
        InterruptsAtSix.calls = 0
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


class Signals(Callback):
    """Has Ctrl-C arrive in the middle of a training."""

    seen = 0

    def __init__(self, when="on_epoch_end", at=2):
        self.when, self.at = when, at

    def told(self, name, net):
        Signals.seen = max(Signals.seen, len(net.history))
        if name == self.when and len(net.history) == self.at:
            signal.raise_signal(signal.SIGINT)

    def on_epoch_begin(self, net, **kwargs):
        self.told("on_epoch_begin", net)

    def on_epoch_end(self, net, **kwargs):
        self.told("on_epoch_end", net)

    def on_batch_end(self, net, **kwargs):
        self.told("on_batch_end", net)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.told("on_grad_computed", net)


# As one of skorch's own it leaves the shortest way.
Deaf = type("Deaf", (Signals,), {})
for name in ("on_batch_end", "on_grad_computed"):
    method = vars(Signals)[name]
    wrapped = type(method)(
        method.__code__, method.__globals__, name, method.__defaults__
    )
    wrapped.__module__ = "skorch.callbacks.deaf"
    setattr(Deaf, name, wrapped)
Deaf.on_batch_begin = Callback.on_batch_begin
NETS = {
    "own": lambda **params: logits_net(max_epochs=5, **params),
    "default": lambda callbacks=(), **params: with_callbacks(callbacks, **params),
}


def with_callbacks(callbacks, **params):
    net = default_net("classifier").set_params(max_epochs=8, **params)
    return net.set_params(callbacks=[*net.callbacks, *callbacks])


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGINT)
    yield before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("kind", [Signals, Deaf])
@pytest.mark.parametrize(
    "when", ["on_epoch_begin", "on_epoch_end", "on_batch_end", "on_grad_computed"]
)
@pytest.mark.parametrize("net", NETS)
def test_a_signal_leaves_fit_and_the_estimator_as_it_was(wine, net, when, kind):
    X, y = wine
    clf = MixupClassifier(NETS[net](), random_state=0).fit(X, y)
    before, attributes = clf.predict_proba(X), vars(clf).copy()
    Signals.seen = 0
    clf.estimator = NETS[net](callbacks=[kind(when)])
    with pytest.raises(KeyboardInterrupt) as raised:
        clf.fit(X, y)
    assert type(raised.value) is KeyboardInterrupt
    assert Signals.seen == 2  # and no second training
    del attributes["estimator"]
    assert all(vars(clf)[name] is value for name, value in attributes.items())
    assert_array_equal(clf.predict_proba(X), before)


class Interrupts(Layers):
    at = None
    calls = 0

    def forward(self, X):
        Interrupts.calls += 1
        if Interrupts.calls == Interrupts.at:
            raise KeyboardInterrupt
        return super().forward(X)


@pytest.fixture
def interrupts():
    Interrupts.at, Interrupts.calls = 4, 0
    yield
    Interrupts.at = None


class OwnEpoch(NeuralNetClassifier):
    """Goes skorch's own way through an epoch."""

    def run_single_epoch(self, *args, **kwargs):
        return super().run_single_epoch(*args, **kwargs)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("kind", [NeuralNetClassifier, OwnEpoch])
def test_an_interrupt_of_the_module_leaves_fit(wine, kind):
    params = logits_net(module=Interrupts).get_params(deep=False)
    clf = MixupClassifier(kind(**params))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*wine)
    assert not hasattr(clf, "estimator_")


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_leaves_a_regressor_too(wine):
    reg = MixupRegressor(number_net(module=Interrupts))
    with pytest.raises(KeyboardInterrupt):
        reg.fit(*wine)


def test_partial_fit_is_interrupted_too(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(module=Interrupts), random_state=0)
    clf.partial_fit(X, y, classes=[0, 1, 2])
    before, history = clf.predict_proba(X), clf.history_
    Interrupts.at, Interrupts.calls = 3, 0
    with pytest.raises(KeyboardInterrupt):
        clf.partial_fit(X, y)
    Interrupts.at = None
    assert_array_equal(clf.predict_proba(X), before)
    assert clf.history_ is history
    assert len(clf.partial_fit(X, y).history_) == 2


class Stops(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3:
            raise KeyboardInterrupt


def test_a_callback_ends_a_training_quietly(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(callbacks=[Stops()]), random_state=0).fit(X, y)
    assert clf.n_iter_ == 3
    clf.partial_fit(X, y)
    assert clf.n_iter_ == 4


class StopsInBatch(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


class StopsInBatchAsSkorchs(StopsInBatch):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt

    on_batch_end.__module__ = "skorch.callbacks.stops"


@pytest.mark.parametrize("stops", [StopsInBatch, StopsInBatchAsSkorchs])
def test_a_callback_ends_a_training_quietly_within_an_epoch(wine, stops):
    clf = MixupClassifier(logits_net(callbacks=[stops()])).fit(*wine)
    assert clf.n_iter_ == 1
    assert len(clf.history_[0]["batches"]) == 1


def test_early_stopping_ends_a_training_quietly(wine):
    X, y = wine
    net = logits_net(callbacks=[EarlyStopping(patience=2, threshold=10)])
    clf = MixupClassifier(net).fit(X, y, X_val=X, y_val=y)
    assert clf.n_iter_ == 3


def test_other_threads_are_left_alone(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(callbacks=[Stops()]))
    thread = threading.Thread(target=clf.fit, args=(X, y))
    thread.start()
    thread.join()
    assert clf.n_iter_ == 3


def test_a_search_of_scikit_learn_ends(wine):
    X, y = wine
    fits = []

    class Counts(Signals):
        def on_train_begin(self, net, **kwargs):
            fits.append(net)

    net = logits_net(max_epochs=3, callbacks=[Counts()])
    search = GridSearchCV(MixupClassifier(net), {"alpha": [0, 1]}, cv=3)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    assert len(fits) == 1


def test_a_handler_of_ones_own_is_asked_and_kept(wine):
    arrived = []
    before = signal.signal(signal.SIGINT, lambda *args: arrived.append(args))
    try:
        ours = signal.getsignal(signal.SIGINT)
        net = logits_net(max_epochs=3, callbacks=[Signals()])
        assert MixupClassifier(net).fit(*wine).n_iter_ == 3  # which does not interrupt
        assert len(arrived) == 1
        assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_handler_is_restored_after_errors():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(MemoryError), interruptible():
        raise MemoryError(signal.getsignal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before


def test_where_ctrl_c_is_ignored_it_is_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_swallows_an_interrupt_does_not_keep_it():
    swallowed = suppress(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt), interruptible(), swallowed:
        signal.raise_signal(signal.SIGINT)


class Swallows(Callback):
    """Has Ctrl-C arrive where the interrupt is lost, as in Python's `__del__`."""

    n_begun = 0

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    def on_epoch_begin(self, net, **kwargs):
        Swallows.n_begun = len(net.history)


def test_a_swallowed_interrupt_ends_a_fit_with_its_epoch(wine):
    net = logits_net(max_epochs=50, callbacks=[Swallows()])
    with pytest.raises(KeyboardInterrupt):
        MixupClassifier(net).fit(*wine)
    assert Swallows.n_begun == 2


class SwallowsAtTheBeginning(NeuralNetClassifier):
    n_trained = 0

    def initialize(self):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return super().initialize()

    def train_step(self, batch, **fit_params):
        type(self).n_trained += 1
        return super().train_step(batch, **fit_params)


@pytest.mark.filterwarnings("ignore:Members are trained one by one")
@pytest.mark.parametrize("many", [False, True])
def test_an_interrupt_that_is_lost_before_training_ends_the_fit(wine, many):
    params = logits_net(max_epochs=50).get_params(deep=False)
    net = SwallowsAtTheBeginning(**params)
    clf = MixupClassifierCV(net, cv=2) if many else MixupClassifier(net)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*wine)
    assert SwallowsAtTheBeginning.n_trained == 0
    assert not hasattr(clf, "classes_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_wish_of_a_callback_is_told_from_an_interrupt():
    with pytest.raises(Stopped), interruptible(), callbacks_may_stop():
        raise KeyboardInterrupt
    interrupt = pytest.raises(KeyboardInterrupt)
    with interrupt as raised, interruptible(), callbacks_may_stop():
        signal.raise_signal(signal.SIGINT)
    assert type(raised.value) is KeyboardInterrupt


def test_same_bits_as_without(wine):
    """(Law 1 holds, too.)"""
    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=2), random_state=0)
    proba = clf.fit(X, y).predict_proba(X)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(clf.fit(X, y).predict_proba(X))
    )
    thread.start()
    thread.join()
    assert_array_equal(np.array(results[0]), proba)


class Perceptron(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(d_in, 16), nn.ReLU(), nn.Linear(16, d_out)
        )

    def forward(self, X):
        return self.layers(X)


def own(task, **params):
    params = {
        "module": Perceptron,
        "train_split": None,
        "max_epochs": 3,
        "verbose": 0,
    } | params
    if task == "classifier":
        criterion = nn.CrossEntropyLoss
        return NeuralNetClassifier(criterion=criterion, **params)
    return NeuralNetRegressor(**params)


def mixup(task, net, **params):
    kind = MixupClassifier if task == "classifier" else MixupRegressor
    return kind(net, random_state=0, **params)


@pytest.mark.parametrize("alpha", [0, 1])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_a_learning_rate_far_too_large_is_told(task, optimizer, alpha):
    X, y = load_wine(return_X_y=True)  # unscaled
    estimator = mixup(task, own(task, lr=1e6, optimizer=optimizer), alpha=alpha)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(X, y)
        except Diverged as error:
            told = [str(error)]
        else:
            told = [
                str(warning.message)
                for warning in caught
                if issubclass(warning.category, ConvergenceWarning)
            ]
    assert len(told) == 1
    assert "lower `lr`, scale the columns" in told[0]


def test_a_loss_that_is_no_number_ends_the_training_at_once(wine):
    X, y = wine
    clf = mixup("classifier", own("classifier")).fit(X, y)
    before, attributes = clf.predict_proba(X), vars(clf).copy()
    epochs = []

    class Counts(Callback):
        def on_epoch_begin(self, net, **kwargs):
            epochs.append(net)

    clf.estimator = own("classifier", lr=float("inf"), callbacks=[Counts()])
    clf.estimator.set_params(max_epochs=50)
    with pytest.raises(
        ValueError, match=r"a training loss of nan in epoch 1.*diverged"
    ):
        clf.fit(X, y)
    assert len(epochs) == 1
    assert all(
        vars(clf)[name] is value
        for name, value in attributes.items()
        if name != "estimator"
    )
    assert_array_equal(clf.predict_proba(X), before)
    with pytest.raises(Diverged):
        clf.partial_fit(X, y)
    assert_array_equal(clf.predict_proba(X), before)


def test_skorchs_own_epoch_is_watched_too(wine):
    net = OwnEpoch(Perceptron, criterion=nn.CrossEntropyLoss, train_split=None)
    net.set_params(lr=float("inf"), verbose=0)
    with pytest.raises(Diverged, match="epoch 1"):
        MixupClassifier(net).fit(*wine)


class NanInEvaluation(Layers):
    def forward(self, X):
        return super().forward(X) * (1 if self.training else torch.nan)


def test_a_validation_loss_that_is_no_number_is_refused(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(module=NanInEvaluation, max_epochs=2))
    with pytest.raises(Diverged, match="a validation loss of nan in epoch 1"):
        clf.fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_divergence_in_the_very_last_update_is_found_in_the_parameters(wine, task):
    X, y = wine
    net = own(task, lr=float("inf"), max_epochs=1, batch_size=-1)
    with pytest.raises(Diverged, match="no finite numbers in the parameter layers"):
        mixup(task, net).fit(X, y)


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_divergence_in_the_very_last_update_is_found_in_the_outputs(wine, task):
    """The weights are finite, but not their products."""
    X, y = wine

    class Deep(nn.Sequential):
        def __init__(self, d_in, d_out):
            super().__init__(nn.Linear(d_in, 8), nn.Tanhshrink(), nn.Linear(8, d_out))

    net = own(task, module=Deep, lr=1e30, max_epochs=1, batch_size=-1)
    with pytest.raises(Diverged, match="outputs that are no finite numbers"):
        mixup(task, net).fit(X, y)


def test_weights_that_are_not_trained_may_be_infinite(wine):
    class Masked(Layers):
        def __init__(self, d_in, d_out):
            super().__init__(d_in, d_out)
            mask = torch.tensor([0.0, -torch.inf])
            self.mask = nn.Parameter(mask, requires_grad=False)

        def forward(self, X):
            return super().forward(X) + self.mask.clamp(min=-1)

    net = logits_net(module=Masked, max_epochs=1)
    clf = MixupClassifier(net).fit(wine[0], wine[1] > 0)
    assert np.isfinite(clf.predict_proba(wine[0])).all()


TENSORS = {
    "sparse": torch.eye(3).to_sparse(),
    "float8": torch.ones(3).to(torch.float8_e4m3fn),
    "empty": torch.zeros(0),
    "complex": torch.ones(3, dtype=torch.complex64),
}


@pytest.mark.parametrize("held", TENSORS.values(), ids=TENSORS.keys())
def test_a_module_may_hold_tensors_that_torch_does_not_compare(wine, held):
    class Holds(Layers):
        def __init__(self, d_in, d_out):
            super().__init__(d_in, d_out)
            self.register_buffer("held", held)

    net = logits_net(module=Holds, max_epochs=1)
    assert MixupClassifier(net).fit(*wine).n_iter_ == 1


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # of old torch
def test_a_module_may_hold_a_lazy_layer_that_it_does_not_call(wine):
    class Holds(Layers):
        def __init__(self, d_in, d_out):
            super().__init__(d_in, d_out)
            self.held = nn.LazyLinear(2)

    net = logits_net(module=Holds, max_epochs=1)
    assert MixupClassifier(net).fit(*wine).n_iter_ == 1


def test_clipped_gradients_are_a_way_out(wine):
    X, y = wine
    net = own("regressor", lr=1.0, max_epochs=30, batch_size=-1)
    with pytest.raises(Diverged, match="GradientNormClipping"):
        mixup("regressor", net).fit(100 * X, y)
    net.set_params(callbacks=[GradientNormClipping(1e-3)])
    mixup("regressor", net).fit(100 * X, y)


def test_diverged_is_a_value_error_that_pickles():
    error = pickle.loads(pickle.dumps(Diverged("why")))
    assert isinstance(error, ValueError)
    assert str(error) == "why"


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_the_default_net_may_be_given_too_much(wine, task):
    X, y = wine
    net = default_net(task).set_params(lr=1e6, max_epochs=3)
    with pytest.raises(Diverged, match="lower `lr`"):
        mixup(task, net).fit(X, y)


# The rule.

GROWING = [
    ([1, 1.1, 0.9, 1], [3, 3.1, 2.9, 3], "by epoch"),
    ([1, 200, 190, 210], [180, 170, 190, 200], "exploded in the first epoch"),
    ([1, 400], [300, 300], "exploded, two batches"),
    ([-5, -5.1, -4.9], [-2, -2.1, -1.9], "negative"),
    ([58, 9e6, 3e5, 8e3], [226, 317, 280, 250, 260], "exploded, and came back halfway"),
    ([58, 4e6, 9e5, 9e3], [50, 90, 230, 290, 310, 250, 260, 270], "swings to and fro"),
]
WITHIN_AN_EPOCH = [
    ([58, 226, 317, 280, 250, 260], "above the start"),
    ([58, 50, 90, 230, 290, 310, 250, 260, 270], "swings to and fro"),
]
FINE = [
    ([1, 1.1, 0.9, 1], [0.5, 0.6, 0.4, 0.5], "falls"),
    ([1, 1.1, 0.9, 1], [1, 1.05, 1.1, 0.95], "stays"),
    ([1, 90, 0.1, 3], [3, 0.2, 95, 1.1], "heavy tails"),
    ([1], [1], "one batch that stays"),
    ([1, 90, 4, 0.3, 8, 7], [4, 8, 0.3, 90, 7, 1], "heavy tails, a low first batch"),
    ([0.0, 0.0], [0.0, 0.0], "nothing to learn"),
    ([0.0], [0.0], "nothing to learn, one batch"),
]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("first", "last", "what"), GROWING)
def test_a_loss_that_grows_is_found(first, last, what, mixed):
    assert ends_above_start(first, last, mixed=mixed)


@pytest.mark.parametrize(("losses", "what"), WITHIN_AN_EPOCH)
def test_a_loss_that_grows_within_the_only_epoch_is_found(losses, what):
    assert ends_above_start(losses, losses, mixed=True, comparable=False)
    assert not ends_above_start(losses[::-1], losses[::-1], mixed=True)


@pytest.mark.parametrize("n_epochs", [1, 10])
@pytest.mark.parametrize(
    ("task", "optimizer", "lr"),
    [("classifier", torch.optim.SGD, 1e3), ("regressor", torch.optim.Adam, 10.0)],
)
def test_a_linear_net_far_from_its_start_is_told(task, optimizer, lr, n_epochs):
    rng = np.random.default_rng(0)
    X = rng.normal([50, 1000, 0], [20, 300, 1], size=(150, 3))
    y = X[:, 2] > 0 if task == "classifier" else X[:, 0] + X[:, 1]
    net = own(task, module=Linear, lr=lr, optimizer=optimizer, batch_size=16)
    net.set_params(max_epochs=n_epochs if task == "classifier" else 1)
    with pytest.warns(ConvergenceWarning, match="may have diverged") as caught:
        mixup(task, net).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_single_batch_that_is_mixed_differs_each_time():
    assert ends_above_start([1], [2], mixed=False)
    assert not ends_above_start([1], [2], mixed=True)
    assert ends_above_start([1], [2000], mixed=True)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("first", "last", "what"), FINE)
def test_a_loss_that_does_not_grow_is_fine(first, last, what, mixed):
    assert not ends_above_start(first, last, mixed=mixed)


def test_epochs_that_cannot_be_compared_tell_of_explosions_only():
    assert not ends_above_start([1, 1.1, 1], [3, 3.1, 3], mixed=True, comparable=False)
    assert ends_above_start([1, 99, 99], [99, 99, 99], mixed=True, comparable=False)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_to_learn_is_no_divergence(seed):
    # (A warning is an error in tests.)
    rng = np.random.default_rng(seed)
    n = int(rng.choice([20, 60, 150]))
    X = rng.normal(size=(n, 5))
    settings = {"optimizer": torch.optim.Adam, "lr": 1e-3, "max_epochs": 5}
    settings["batch_size"] = int(rng.choice([8, 32, -1]))
    alpha = float(rng.choice([0, 0.2, 1]))
    labels = np.arange(n) % 2
    clf = mixup("classifier", own("classifier", **settings), alpha=alpha)
    assert clf.fit(X, labels).n_iter_ == 5
    heavy = rng.standard_cauchy(size=n)
    reg = mixup("regressor", own("regressor", **settings), alpha=alpha)
    assert reg.fit(X, heavy).n_iter_ == 5


def test_partial_fit_does_not_warn_of_losses_that_grow(wine):
    X, y = wine
    clf = mixup("classifier", logits_net(module=Linear, lr=1e3))
    with pytest.warns(ConvergenceWarning):
        clf.fit(X, y)
    clf.partial_fit(X, y)
    net = number_net(module=Linear, lr=1e2)
    reg = mixup("regressor", net)
    for _ in range(3):
        reg.partial_fit(X, y)
