"""One epoch of a net, how a training is stopped, and whether it has diverged.

`run_epoch` has the same passes, updates and history as skorch's epoch, in the same
order, without calls of callbacks that do nothing, look-ups in the history, and batches
that no callback needs. It is for nets whose steps are skorch's own.

skorch ends a training quietly at a KeyboardInterrupt, since its callbacks raise one to
stop (early stopping does). So a callback's `Stopped` is told from the user's Ctrl-C.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from skorch.history import History
from skorch.utils import TeeGenerator
from torch.nn.parameter import is_lazy

from skmix._training.skorch_compat import (
    BATCH_METHODS,
    inferring,
    set_mode,
)
from skmix._validation import warn


class Stopped(KeyboardInterrupt):
    """A callback ends a training, as those of skorch do; what was trained stays."""


@contextmanager
def callbacks_may_stop() -> Iterator[None]:
    """Take a KeyboardInterrupt that leaves the block for a callback's request."""
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt as error:
        raise Stopped from error


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """End the block with a KeyboardInterrupt at Ctrl-C, even if it is caught inside.

    Yields the list of the signals that have arrived so far. A block within another one
    does not begin if a signal was lost there before. Nothing is done outside of the
    main thread, which alone gets signals, and if Ctrl-C has no handler in Python.
    """
    arrived: list[int] = []
    with _noting(arrived):
        try:
            yield arrived
        except Stopped as error:
            if arrived:
                raise KeyboardInterrupt from error
            raise
    if arrived:
        raise KeyboardInterrupt


@contextmanager
def _noting(arrived: list[int]) -> Iterator[None]:
    """Append to `arrived` whenever the handler of Ctrl-C raises KeyboardInterrupt."""
    handler = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(handler):
        yield
        return
    if isinstance(handler, _Note) and handler.arrived:
        raise KeyboardInterrupt
    note = _Note(handler, arrived)
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # or another one was set meanwhile
            signal.signal(signal.SIGINT, handler)


class _Note:
    """A handler of Ctrl-C that notes what another one takes for an interruption."""

    def __init__(self, handler: Callable[..., Any], arrived: list[int]) -> None:
        self.handler, self.arrived = handler, arrived

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self.handler(number, frame)
        except KeyboardInterrupt:
            self.arrived.append(number)
            raise


COMPARED = torch.float16, torch.bfloat16, torch.float32, torch.float64
KINDS = {"train": "training", "valid": "validation"}
WAY_OUT = (
    "lower `lr`, scale the columns (and the targets of a regression), or clip "
    "gradients (skorch.callbacks.GradientNormClipping)"
)


class Diverged(ValueError):
    """The losses or weights of a training are no longer finite."""


def check_epoch(
    epoch: Mapping[str, Any], prefixes: Sequence[str] = ("train", "valid")
) -> None:
    """Raise `Diverged` for an epoch of a history with a loss that is not finite."""
    for prefix in prefixes:
        name, kind = f"{prefix}_loss", KINDS.get(prefix, prefix)
        losses = [row[name] for row in epoch.get("batches", ()) if name in row]
        losses += [epoch[name]] if name in epoch else []
        bad = [loss for loss in losses if not math.isfinite(loss)]
        if bad:
            raise diverged(f"a {kind} loss of {bad[0]} in epoch {epoch.get('epoch')}")


def check_finite(net: NeuralNet, n_epochs_before: int = 0) -> None:
    """Raise `Diverged` for a trained net with losses or parameters not finite.

    The first `n_epochs_before` epochs of its history are left out.
    """
    epochs = net.history.to_list()[n_epochs_before:]
    for epoch in epochs:
        # The mean of an epoch is finite only where its batches are.
        means = {name: loss for name, loss in epoch.items() if name != "batches"}
        check_epoch(means if "train_loss" in means else epoch)
    if not epochs:
        return
    for name, parameter in net.get_all_learnable_params():
        if is_lazy(parameter) or not parameter.requires_grad:
            continue
        if not torch.isfinite(parameter).all():
            raise diverged(f"no finite numbers in the parameter {name} after training")


def may_overflow(net: NeuralNet) -> bool:
    """Whether a net holds numbers so large that outputs of some layers may overflow."""
    return not all(  # (a comparison with NaN is false, too)
        max(map(abs, tensor.aminmax())) <= torch.finfo(tensor.dtype).max ** (1 / 8)
        for tensor in (*net.module_.parameters(), *net.module_.buffers())
        if _is_compared(tensor)
    )


def _is_compared(tensor: torch.Tensor) -> bool:
    """Whether torch compares numbers of a tensor, unlike sparse and lazy ones."""
    if is_lazy(tensor) or tensor.dtype not in COMPARED or not tensor.numel():
        return False
    return tensor.layout is torch.strided and not tensor.is_nested


def is_finite(epoch: Mapping[str, Any]) -> bool:
    """Whether all losses of an epoch of a history are finite."""
    try:
        check_epoch(epoch)
    except Diverged:
        return False
    return True


def record_divergence(net: NeuralNet) -> None:
    """Record NaN as a loss that is not finite in the last epoch of the history."""
    for name in ("train_loss", "valid_loss"):
        if not np.isfinite(net.history[-1].get(name, np.nan)):
            net.history.record(name, np.nan)


def diverged(what: str) -> Diverged:
    """Return the exception, with a way out."""
    return Diverged(f"Got {what}. Training has diverged; {WAY_OUT}.")


def warn_if_above_start(net: NeuralNet, *, mixed: bool, comparable: bool) -> None:
    """Warn of a fitted net whose loss is higher in the end than it was at the start.

    `mixed` and `comparable` are as in `ends_above_start`.
    """
    if history_ends_above_start(net.history, mixed=mixed, comparable=comparable):
        first, last = _first_and_last(net.history)
        _warn(
            f"The training loss is {np.mean(last):.4g} in the last epoch, from "
            f"{first[0]:.4g} in the first batch of the first epoch, so that the net "
            "has hardly learnt anything."
        )


def warn_of_rising_losses(alphas: Sequence[float]) -> None:
    """Warn of the alphas of a search for which training losses have grown."""
    _warn(
        f"The training loss of members with alpha in {alphas} is higher in the last "
        "epoch than it was in the first one, so that their nets have hardly learnt "
        "anything."
    )


def _warn(finding: str) -> None:
    message = f"{finding} Training may have diverged; {WAY_OUT}."
    warn(message, ConvergenceWarning)


def history_ends_above_start(
    history: History, *, mixed: bool, comparable: bool = True
) -> bool:
    """Whether the losses of a history `ends_above_start`."""
    first, last = _first_and_last(history)
    if not (len(first) and len(last)):
        return False
    comparable = comparable and len(history) > 1
    return ends_above_start(first, last, mixed=mixed, comparable=comparable)


def _first_and_last(history: History) -> Sequence[Any]:
    """Return losses of the batches of the first epoch, and of the last one."""
    return [batch_losses(epoch) for epoch in (*history[:1], *history[-1:])] or [(), ()]


def batch_losses(epoch: Mapping[str, Any]) -> np.ndarray:
    """Return training losses of the batches of an epoch, of shape (n_batches,)."""
    losses = [row["train_loss"] for row in epoch["batches"] if "train_loss" in row]
    return np.array(losses, dtype=np.float64)


def ends_above_start(
    first: Any, last: Any, *, mixed: bool, comparable: bool = True
) -> bool:
    """Whether a training ended with losses above those that it started with.

    Parameters
    ----------
    first, last : array-like of shape (n_batches,)
        Losses of the batches of the first epoch and of the last one, in their order.
        The very first one is of a net that was not updated yet.
    mixed : bool
        Whether rows are mixed, so that the same batch has another loss each time.
    comparable : bool, default=True
        Whether both epochs are of the same kind of rows, and not the same epoch.

    Notes
    -----
    Three things are looked for. Rows are the same in both epochs, so that their mean
    loss differs by what is drawn only (the order, what is mixed, dropout): a mean that
    is significantly higher, in one of a thousand fits where nothing can be learnt, is
    not by chance. A single batch that is mixed tells nothing of the kind. And a net
    that has exploded in its first epoch is far from where it was before its first
    update: the lower quartile of the last losses is so many times the very first one
    as cannot be by the rows of that one batch, even if targets have heavy tails: 10
    times if batches are many, 100 times with two of them. Where it is less far from
    there, the very first loss must be lower than one more draw from the last ones
    would be, in one of a thousand, and their mean half as high again (see
    `_is_far_below`).
    """
    first, last = (np.asarray(losses, dtype=np.float64) for losses in (first, last))
    # (Two epochs are alike to the last bit only where nothing moves.)
    same = np.array_equal(first, last)
    if (comparable or same) and _is_far_below(first[0], last[1:] if same else last):
        return True
    positive = min(first.min(), last.min()) >= 0
    n_batches = min(len(first), len(last))
    if positive and _lower_quartile(last) > 10 ** (1 + 2 / n_batches) * first[0] > 0:
        return True
    if not comparable or (n_batches == 1 and mixed):
        return False
    if n_batches == 1:
        allowed = 0.1 * abs(first.mean())
    else:
        error = np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / n_batches)
        allowed = error * stdtrit(2 * n_batches - 2, 0.999)
    return bool(last.mean() - first.mean() > allowed)


def _is_far_below(start: float, losses: np.ndarray) -> bool:
    """Whether a loss is no draw like others, all of them positive, but far below these.

    By the logarithms of three batches or more, whose tails are light whatever targets
    are like. Or, as these vary widely where a net swings to and fro, below a third of
    the median, where there are eight or more and their mean shows no heavy tail.
    """
    if len(losses) < 3 or min(start, losses.min()) <= 0:
        return False
    logs, mean = np.log(losses), losses.mean()
    error = logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs))
    beyond = logs.mean() - np.log(start) > error * stdtrit(len(logs) - 1, 0.999)
    if beyond and mean > 1.5 * start:
        return True
    median = np.median(losses)
    return bool(len(losses) >= 8 and median > 3 * start and mean < 2 * median)


def _lower_quartile(losses: np.ndarray) -> float:
    return np.quantile(losses, 0.25, method="inverted_cdf")


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
    mixed : MixedBatch or None
        What mixes the batch; None where nothing does, or a chunk was mixed at once.
    """

    x: Any
    loss: Callable[[Any], torch.Tensor]
    n_rows: int
    batch: Callable[[], Any]
    context: Callable[[], AbstractContextManager[None]] = nullcontext
    mixed: Any = None


def run_epoch(
    net: NeuralNet, steps: Iterable[Step], *, training: bool, prefix: str
) -> None:
    """Train or validate for one epoch, as ``skorch.NeuralNet.run_single_epoch`` does.

    All `steps_are_skorchs_own`, of an initialised net; `prefix` begins the names in the
    history.
    """
    begin, computed, end = (_listeners(net, name, training) for name in BATCH_METHODS)
    records, batch = net.history[-1]["batches"], None
    infer = inferring(net)
    n_before = len(records)
    for step in steps:
        record: dict[str, Any] = {}
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
    first: Any = None

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
