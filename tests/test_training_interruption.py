"""Ctrl-C leaves `fit`; callbacks that end a training do so quietly."""

import signal
import threading
from contextlib import suppress

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sample_nets import Layers, logits_net, number_net
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix._training.interruption import Stopped, callbacks_may_stop, interruptible


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
