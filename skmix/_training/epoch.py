"""One epoch of a net whose steps are skorch's own, without skorch's work per batch.

The same passes, updates and history as in skorch's epoch, in the same order, without
calls of callbacks that do nothing, look-ups in the history, and batches that no
callback needs.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from skorch.utils import TeeGenerator

from skmix._training.interruption import Stopped
from skmix._training.skorch_compat import (
    BATCH_METHODS,
    as_input,
    as_output,
    module_dtype,
    parameter_dtype,
    set_mode,
)

Infer = Callable[[Any], Any]
Listeners = list[Callable[..., Any]]


class Step(NamedTuple):
    """What a pass over one batch needs.

    Attributes
    ----------
    x : tensor or mapping of tensors
        Input of the module.
    loss : callable
        Maps the module's output to the loss, a scalar tensor.
    n_rows : int
    batch : callable
        Returns the batch for callbacks.
    context : callable
        Returns the context manager within which the module is called.
    """

    x: Any
    loss: Callable[[Any], torch.Tensor]
    n_rows: int
    batch: Callable[[], Any]
    context: Callable[[], AbstractContextManager[None]] = nullcontext


def run_epoch(
    net: NeuralNet, steps: Iterable[Step], *, training: bool, prefix: str
) -> None:
    """Train or validate for one epoch, as ``skorch.NeuralNet.run_single_epoch`` does.

    All `steps_are_skorchs_own`, of an initialised net; `prefix` begins the names in the
    history.
    """
    begin, computed, end = (_listeners(net, name, training) for name in BATCH_METHODS)
    records, batch = net.history[-1]["batches"], None
    infer = _infers(net)
    n_before = len(records)
    for step in steps:
        record = {}
        records.append(record)
        if begin or computed or end:
            batch = step.batch()
        _call(begin, net, batch=batch, training=training)
        if training:
            loss, output = _train(net, step, infer, computed, batch)
        else:
            loss, output = _validate(net, step, infer)
        record[f"{prefix}_loss"] = loss.item()
        record[f"{prefix}_batch_size"] = step.n_rows
        _call(end, net, batch=batch, training=training, loss=loss, y_pred=output)
    net.history.record(f"{prefix}_batch_count", len(records) - n_before)


def _train(
    net: NeuralNet, step: Step, infer: Infer, computed: Listeners, batch: Any
) -> tuple[torch.Tensor, Any]:
    """Update the net; return the loss and the output of the first pass.

    The listeners `computed` are told of the gradients of `batch` after every pass.
    """
    first = None

    def closure() -> torch.Tensor:
        nonlocal first
        net.optimizer_.zero_grad()
        set_mode(net, True)
        with step.context():
            output = infer(step.x)
        loss = step.loss(output)
        loss.backward()
        first = first or (loss, output)
        if computed:
            named = TeeGenerator(net.get_all_learnable_params())
            _call(computed, net, named_parameters=named, batch=batch, training=True)
        return loss

    net.optimizer_.step(closure)
    return first


def _validate(net: NeuralNet, step: Step, infer: Infer) -> tuple[torch.Tensor, Any]:
    set_mode(net, False)
    with torch.no_grad():
        output = infer(step.x)
        return step.loss(output), output


def _infers(net: NeuralNet) -> Infer:
    """Return a function that calls the module, with outputs in the dtype of tables."""
    own, table = parameter_dtype(net), module_dtype(net)
    plain = type(net).infer is NeuralNet.infer

    def infer(x: Any) -> Any:
        x = as_input(x, own)
        # A tensor is on the net's device already, and NeuralNetBinaryClassifier gives
        # the module's output another shape.
        if plain and isinstance(x, torch.Tensor):
            return as_output(net.module_(x), table)
        return as_output(type(net).infer(net, x), table)

    return infer


def _listeners(net: NeuralNet, name: str, training: bool) -> Listeners:
    """Return the methods `name` of callbacks that do something."""
    return [
        getattr(callback, name)
        for _, callback in net.callbacks_
        if not _is_deaf(callback, name) and not _scores_others(callback, name, training)
    ]


def _is_deaf(callback: Any, name: str) -> bool:
    """Whether a callback inherits the empty method of `Callback`."""
    method = getattr(getattr(callback, name), "__func__", None)
    return method is getattr(Callback, name)


def _scores_others(callback: Any, name: str, training: bool) -> bool:
    """Whether a callback scores batches of the other kind only."""
    method = getattr(callback, name).__func__
    scores = method in (BatchScoring.on_batch_end, EpochScoring.on_batch_end)
    return scores and callback.on_train != training


def _call(listeners: Listeners, *args: Any, **kwargs: Any) -> None:
    try:
        for listener in listeners:
            listener(*args, **kwargs)
    except KeyboardInterrupt as error:
        raise Stopped from error
