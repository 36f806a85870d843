"""One epoch of a net all of whose steps are skorch's own, by the shortest way.

The same passes, updates and history as in skorch's own epoch, in the same order. Left
out is what it does on every batch, whether or not anybody asks for it: calls of
callbacks that do nothing, the walk through all modules to set their mode, looking up
the history, the dealing of batches that nobody sees, waiting for the loss.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from skorch.utils import TeeGenerator
from torch import nn

from skmix.batches import is_skorchs_own


class Step(NamedTuple):
    """What a pass over one batch needs.

    Attributes
    ----------
    x : structure of torch.Tensor
        What the module is given.
    loss : callable
        Maps the module's output to the loss, a scalar tensor.
    n_rows : int
    deal : callable
        Returns the batch as callbacks are shown it.
    """

    x: Any
    loss: Any
    n_rows: int
    deal: Any


def all_is_skorchs_own(net):
    """Whether a net has no method of skorch's nets overridden.

    Its callbacks, module, criterion and optimizer may be of any kind.
    """
    return is_skorchs_own(net, *_METHODS)


_METHODS = [
    name
    for name, attribute in vars(NeuralNet).items()
    if callable(attribute) and not name.startswith("__")
]


def run_epoch(net, steps, *, training, prefix):
    """Train or validate for one epoch, as ``skorch.NeuralNet.run_single_epoch`` does.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialised, and `all_is_skorchs_own`.
    steps : iterable of Step
    training : bool
    prefix : str
        Of the names in the history.
    """
    begin, computed, end = (
        _listeners(net, name, training)
        for name in ("on_batch_begin", "on_grad_computed", "on_batch_end")
    )
    heard = bool(begin or computed or end)
    records, unheard = net.history[-1]["batches"], []
    n_before = len(records)
    take_step = _train if training else _validate
    if not heard:
        _set_mode(net, training)
    try:
        for x, loss_of, n_rows, deal in steps:
            if not heard:
                loss, _ = take_step(net, x, loss_of)
                unheard.append((loss.detach(), n_rows))
                continue
            batch = deal()
            records.append({})
            _call(begin, net, batch=batch, training=training)
            _set_mode(net, training)
            loss, output = take_step(net, x, loss_of, batch, computed)
            records[-1] |= _record(prefix, loss.item(), n_rows)
            _call(end, net, batch=batch, training=training, loss=loss, y_pred=output)
    finally:
        if unheard:  # one wait for the device an epoch
            losses, sizes = zip(*unheard, strict=True)
            values = torch.stack(losses).tolist()
            records.extend(map(partial(_record, prefix), values, sizes))
    net.history.record(f"{prefix}_batch_count", len(records) - n_before)


def _record(prefix, loss, n_rows):
    return {f"{prefix}_loss": loss, f"{prefix}_batch_size": n_rows}


def _train(net, x, loss_of, batch=None, computed=()):
    """Update the net; return the loss and the output of the first pass."""
    first = None

    def step():
        nonlocal first
        _forget_gradients(net.optimizer_)
        if not net.module_.training:  # a callback has predicted
            _set_mode(net, True)
        output = _infer(net, x)
        loss = loss_of(output)
        loss.backward()
        first = first or (loss, output)
        if computed:
            parameters = TeeGenerator(net.get_all_learnable_params())
            _call(
                computed,
                net,
                named_parameters=parameters,
                batch=batch,
                training=True,
            )
        return loss

    net.optimizer_.step(step)
    return first


def _validate(net, x, loss_of, batch=None, computed=()):
    with torch.no_grad():
        output = _infer(net, x)
        return loss_of(output), output


def _infer(net, x):
    if isinstance(x, torch.Tensor) and type(net).infer is NeuralNet.infer:
        return net.module_(x)  # `x` is on the net's device already
    return type(net).infer(net, x)


def _forget_gradients(optimizer):
    """Do what torch's `zero_grad` does, but for its record in the profiler.

    That record takes as long as a layer's forward pass on a small batch.
    """
    if type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad:
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def _set_mode(net, training):
    net.module_.train(training)
    if isinstance(net.criterion_, nn.Module):
        net.criterion_.train(training)


def _listeners(net, name, training):
    """Methods of callbacks that do something when they are told of a batch."""
    return [
        getattr(callback, name)
        for _, callback in net.callbacks_
        if not _is_deaf(callback, name, training)
    ]


def _is_deaf(callback, name, training):
    method = getattr(getattr(callback, name), "__func__", None)
    if method in _SCORINGS:
        return callback.on_train != training
    return method is getattr(Callback, name)


# These listen to batches of one kind only.
_SCORINGS = (BatchScoring.on_batch_end, EpochScoring.on_batch_end)


def _call(listeners, *args, **kwargs):
    for listener in listeners:
        listener(*args, **kwargs)
