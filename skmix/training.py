"""A skorch net trains on mixed and weighted batches while a block runs.

`mixed_training` lends a net a handful of methods (its *seams*), through which
batches, inputs and losses pass, and takes them back when the block ends. What
remains is the plain skorch net; what the net's class overrides stays in charge.
"""

import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import Dataset, get_len, unpack_data
from skorch.utils import to_tensor

from skmix.batches import (
    Batch,
    Batches,
    as_module_dtype,
    in_memory_batches,
    table_and_rows,
    take,
)
from skmix.mixing import mixed_loss, mixup
from skmix.targets import criterion_is

# Initialisation and dropout can only draw from torch's global generator, so
# fits in several threads take turns at it.
_global_generators = threading.RLock()


@contextmanager
def seeded(seed=None, device="cpu"):
    """Seed the global generators of torch and numpy, and leave them as found.

    Parameters
    ----------
    seed : int, default=None
        None seeds nothing: the block continues the current streams.
    device : str or torch.device, default="cpu"
        Where the block computes. CUDA's generators are included for a CUDA device,
        and for None (another library decides) where there is one.
    """
    if device is None:
        cuda = torch.cuda.is_available()
    else:
        cuda = torch.device(device).type == "cuda"
    devices = range(torch.cuda.device_count()) if cuda else ()
    with _global_generators, torch.random.fork_rng(devices=devices):
        numpy_state = np.random.get_state()
        try:
            if seed is not None:
                # torch.manual_seed would reach CUDA's generators for a CPU net, too.
                torch.default_generator.manual_seed(seed)
                np.random.seed(seed)
                if cuda:
                    torch.cuda.manual_seed_all(seed)
            yield
        finally:
            np.random.set_state(numpy_state)


@contextmanager
def mixed_training(net, *, plan=None, weight=None, validation=None, check_output=None):
    """Let `net` train on mixed and weighted batches while the block runs.

    Parameters
    ----------
    net : skorch.NeuralNet
    plan : skmix.mixing.Plan, default=None
        None trains without mixing.
    weight : ndarray of shape (n,), float64, default=None
        A positive weight for each row of the table that the net is fitted on.
    validation : tuple (X, y, weight), default=None
        Validate on these rows and train on all others, instead of splitting
        by the net's `train_split`. `weight` may be None.
    check_output : callable, default=None
        ``check_output(net, y_pred)`` sees the first output of the module in
        training and raises ValueError if it cannot be right.

    Yields
    ------
    net : skorch.NeuralNet

    Notes
    -----
    A pickle or a copy made while the block runs (a checkpoint, say) holds the
    plain net.
    """
    seams = _Seams(net, plan, weight, validation, check_output)
    lent = {name: getattr(seams, name) for name in _Seams.NAMES}
    vars(net).update(lent)
    try:
        yield net
    finally:
        for name in lent:
            vars(net).pop(name, None)
        seams.restore_caching()


@dataclass
class _Step:
    """One forward and backward pass: what is mixed, how, and whether it was."""

    draw: Any = None
    X_partner: Any = None
    y_partner: Any = None
    weight: Any = None
    X_mixed: Any = None
    loss_passed: bool = False


@dataclass(frozen=True)
class _Weights:
    """Row weights of a table, of mean 1 over the rows of it that are dealt."""

    table: Dataset
    rows: np.ndarray
    values: np.ndarray

    @classmethod
    def over(cls, dataset, X, values):
        """Weigh the rows of `X` that a dataset deals; None if it deals others."""
        table, rows = table_and_rows(dataset)
        if table is None or table.X is not X:
            return None
        return cls(table, rows, values / values[rows].mean())

    def of(self, batch):
        if not isinstance(batch, Batch) or batch.table is not self.table.X:
            raise ValueError(_ROWS_UNKNOWN)
        return self.values[batch.rows.numpy()]


_ROWS_UNKNOWN = (
    "Got row weights (sample_weight or class_weight) and a net with a data iterator, "
    "dataset, split or collate function of its own, which does not tell which rows a "
    "batch holds. Leave these at skorch's defaults, or leave out the weights (classes "
    "can be weighted by criterion__weight)."
)


class _Seams:
    """The methods that a net is lent in `mixed_training`.

    Each stands in for the net's method of that name, does its share, and hands
    over to the method of the net's class.
    """

    NAMES = (
        "__getstate__",
        "get_params",
        "on_train_begin",
        "get_split_datasets",
        "get_iterator",
        "train_step",
        "train_step_single",
        "validation_step",
        "evaluation_step",
        "infer",
        "get_loss",
    )

    def __init__(self, net, plan, weight, validation, check_output):
        self.net = net
        self.plan = plan
        self.weight = weight
        self.validation = validation
        self.check_output = check_output
        self.table = None  # of weighted rows, to take partners from
        self.train_weight = self.valid_weight = None  # _Weights
        self.planned = None  # the _Step drawn for the current batch
        self.running = None  # the _Step whose forward and backward pass is running
        self.uncached = []
        self.epoch, self.lam_sum, self.n_steps = 0, 0.0, 0

    # What leaves the net: pickles, copies and parameters know nothing of the loan.

    def __getstate__(self):
        return self._without_seams(type(self.net).__getstate__(self.net))

    def get_params(self, deep=True, **kwargs):
        return self._without_seams(type(self.net).get_params(self.net, deep, **kwargs))

    def _without_seams(self, state):
        return {name: value for name, value in state.items() if name not in self.NAMES}

    # Before the first step: data and callbacks.

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        type(net).on_train_begin(net, net, X=X, y=y, **kwargs)
        self._check_monitors()
        if self.plan is not None:
            self._stop_caching()

    def _check_monitors(self):
        net = self.net
        own_split = type(net).get_split_datasets is not NeuralNet.get_split_datasets
        if self.validation is not None or net.train_split or own_split:
            return
        blind = [
            name
            for name, callback in net.callbacks_
            if str(getattr(callback, "monitor", "")).startswith("valid")
        ]
        if blind:
            raise ValueError(
                f"Got callbacks that watch scores on validation rows "
                f"({', '.join(blind)}), but no such rows. Pass X_val and y_val, or set "
                "a train_split, or remove the callbacks."
            )

    def _stop_caching(self):
        # A score on training rows would be computed from the cached outputs for
        # mixed rows, against unmixed labels; without the cache it is computed
        # from a clean pass.
        net = self.net
        cached = [
            callback
            for _, callback in net.callbacks_
            if getattr(callback, "on_train", False)
            and getattr(callback, "use_caching", False)
        ]
        dataset = net.dataset if isinstance(net.dataset, type) else type(net.dataset)
        if cached and not issubclass(dataset, Dataset):
            warnings.warn(
                f"Scores on training rows ({', '.join(c.name_ for c in cached)}) are "
                "of mixed rows against their own labels: skorch cannot pass a dataset "
                f"of type {dataset.__name__} again. Subclass skorch.dataset.Dataset.",
                UserWarning,
                stacklevel=2,
            )
            return
        if cached and net.use_caching is True:  # which overrules the callbacks
            cached.append(net)
        self.uncached += cached
        for owner in cached:
            owner.use_caching = "auto" if owner is net else False

    def restore_caching(self):
        for owner in self.uncached:
            owner.use_caching = True

    def get_split_datasets(self, X, y=None, **fit_params):
        net = self.net
        X, y = as_module_dtype(net, X), as_module_dtype(net, y, name="y")
        if self.validation is None:
            train, valid = type(net).get_split_datasets(net, X, y, **fit_params)
            X_val, valid_weight = X, self.weight
        else:
            X_val, y_val, valid_weight = self.validation
            X_val = as_module_dtype(net, X_val, name="X_val")
            y_val = as_module_dtype(net, y_val, name="y_val")
            train, valid = net.get_dataset(X, y), net.get_dataset(X_val, y_val)
        if self.weight is not None:
            self._weigh(train, X)
        if valid_weight is not None:
            # A split may validate on rows of another table, which have no weights.
            self.valid_weight = _Weights.over(valid, X_val, valid_weight)
        return train, valid

    def get_iterator(self, dataset, training=False):
        net = self.net
        batches = in_memory_batches(net, dataset, training)
        if batches is None:
            batches = type(net).get_iterator(net, dataset, training=training)
        if training and _n_batches(batches) == 0:
            raise ValueError(
                f"Got drop_last=True and fewer rows ({len(dataset)}) than a batch "
                "holds, so there is nothing to train on. Use a smaller batch_size, or "
                "iterator_train__drop_last=False."
            )
        return batches

    def _weigh(self, train, X):
        """Weigh the rows trained on, in the loss and in the choice of partners."""
        weights = self.train_weight = _Weights.over(train, X, self.weight)
        if weights is None:
            raise ValueError(_ROWS_UNKNOWN)
        if self.plan is not None:
            self.table = Batches(weights.table.X, weights.table.y)
            self.plan.weigh(weights.rows, weights.values[weights.rows])

    # Each step: draw once, then mix inputs and loss of every pass over the batch.

    def train_step(self, batch, **fit_params):
        self.planned = self._plan_step(batch)
        try:
            step = type(self.net).train_step(self.net, batch, **fit_params)
            self._check_passed(self.planned)
        finally:
            self.planned = None
        return step

    def train_step_single(self, batch, **fit_params):
        if self.planned is None and not (self.plan is self.weight is None):
            raise self._unmixed("was not called by self.train_step")
        with self._run(self.planned):
            return type(self.net).train_step_single(self.net, batch, **fit_params)

    def validation_step(self, batch, **fit_params):
        step = None
        if self.valid_weight is not None:
            step = _Step(weight=self.valid_weight.of(batch))
        with self._run(step):
            return type(self.net).validation_step(self.net, batch, **fit_params)

    def evaluation_step(self, batch, training=False):
        with self._run(None):
            return type(self.net).evaluation_step(self.net, batch, training=training)

    def _plan_step(self, batch):
        step = _Step()
        if self.weight is not None:
            if self.train_weight is None:
                raise ValueError(_ROWS_UNKNOWN)
            step.weight = self.train_weight.of(batch)
        if self.plan is not None:
            step.draw = self.plan.draw(get_len(unpack_data(batch)[1]))
            if self.plan.from_table:
                step.X_partner, step.y_partner = self.table.take(step.draw.partner)
        self._record_lam(1.0 if step.draw is None else step.draw.lam.mean())
        return step

    def _record_lam(self, lam):
        history = self.net.history
        if len(history) != self.epoch:
            self.epoch, self.lam_sum, self.n_steps = len(history), 0.0, 0
        self.lam_sum += float(lam)
        self.n_steps += 1
        history.record("lam_mean", self.lam_sum / self.n_steps)

    @contextmanager
    def _run(self, step):
        before, self.running = self.running, step
        try:
            yield
        finally:
            self.running = before

    def _check_passed(self, step):
        """Raise if a step that is to be mixed or weighted went by another way."""
        if step.draw is not None and step.X_mixed is None:
            raise self._unmixed("never called self.infer")
        if not (step.draw is step.weight is None or step.loss_passed):
            raise self._unmixed("never called self.get_loss")

    def _unmixed(self, what):
        return RuntimeError(
            f"Got a training step of {type(self.net).__name__} that {what}, so that "
            "its rows were not mixed or weighted. That needs a train_step that passes "
            "its batch to self.train_step_single, and a train_step_single that calls "
            "self.infer and self.get_loss. With alpha=0 and no row weights any step "
            "will do."
        )

    def infer(self, x, **fit_params):
        net, step = self.net, self.running
        if step is not None and step.draw is not None:
            if get_len(x) != len(step.draw.partner):
                raise self._unmixed("passed another number of rows to self.infer")
            x = to_tensor(x, device=net.device)
            if step.X_partner is None:
                partner = take(x, torch.as_tensor(step.draw.partner))
            else:
                partner = to_tensor(step.X_partner, device=net.device)
            x = step.X_mixed = mixup(x, partner, step.draw)
        return type(net).infer(net, x, **fit_params)

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        net, step = self.net, self.running
        output = y_pred[0] if isinstance(y_pred, tuple) else y_pred
        if self.check_output is not None:
            self.check_output(net, output)
            self.check_output = None
        if step is not None and step.X_mixed is not None:
            args, kwargs = _with_rows(step.X_mixed, args, kwargs)

        def loss(y):
            y = _shaped_like(output, y)
            return type(net).get_loss(net, y_pred, y, *args, **kwargs)

        if step is None:
            return loss(y_true)
        step.loss_passed = True
        y_true = to_tensor(y_true, device=net.device)
        if step.draw is None:
            return loss(y_true) if step.weight is None else self._by_row(loss, y_true)
        if step.y_partner is None:
            y_partner = take(y_true, torch.as_tensor(step.draw.partner))
        else:
            y_partner = to_tensor(step.y_partner, device=net.device)
        if step.weight is None and len(step.draw.lam) == 1:
            # Partners within a batch are a permutation of it, so that both terms
            # of a class-weighted mean have the same normaliser.
            return mixed_loss(loss(y_true), loss(y_partner), step.draw.lam)
        return self._by_row(loss, y_true, y_partner)

    def _by_row(self, loss, y, y_partner=None):
        """Mean over the batch of (mixed) losses, row i counting `weight[i]`."""
        step = self.running
        with _unreduced(self.net) as reduction:
            rows = _checked_rows(loss(y), y)
            size = _row_size(self.net, rows, y)
            if y_partner is not None:
                lam = step.draw.lam
                rows = mixed_loss(rows, _checked_rows(loss(y_partner), y), lam)
                size = mixed_loss(size, _row_size(self.net, rows, y_partner), lam)
        if step.weight is not None:
            weight = torch.as_tensor(step.weight).to(rows.device, rows.dtype)
            rows = rows * weight
            if _divides_by_class_weight(self.net):
                size = size * weight
        return rows.sum() if reduction == "sum" else rows.sum() / size.sum()


def _with_rows(X, args, kwargs):
    """Pass `X` on, where `get_loss` is given rows: a reconstruction loss needs those
    that the outputs are of.
    """
    if "X" in kwargs:
        return args, kwargs | {"X": X}
    return (X, *args[1:]) if args else args, kwargs


def _n_batches(batches):
    try:
        return len(batches)
    except TypeError:  # an iterator of unknown length
        return None


def _shaped_like(output, y):
    """Give 1-d numbers the shape (B, 1) of the module's output, where that is it."""
    if not isinstance(output, torch.Tensor):
        return y
    y_is_flat = isinstance(y, torch.Tensor) and y.ndim == 1
    if y_is_flat and y.is_floating_point() and output.shape == (len(y), 1):
        return y.reshape(-1, 1)
    return y


@contextmanager
def _unreduced(net):
    """Let the criterion return one loss a row; yield its own reduction."""
    criterion = getattr(net, "criterion_", None)
    reduction = getattr(criterion, "reduction", None)
    if reduction is None:
        raise ValueError(_CANNOT_TELL_ROWS.format(type(criterion).__name__, "has none"))
    criterion.reduction = "none"
    try:
        yield reduction
    finally:
        criterion.reduction = reduction


def _checked_rows(losses, y):
    """Return one loss a row, of shape (B,)."""
    if losses.ndim == 0 or len(losses) != len(y):
        got = f"gave a loss of shape {tuple(losses.shape)} for {len(y)} rows"
        raise ValueError(_CANNOT_TELL_ROWS.format("The net's get_loss", got))
    return losses.reshape(len(y), -1).mean(dim=1)


_CANNOT_TELL_ROWS = (
    "One loss a row is needed for lam_per='row' and for row weights (sample_weight, "
    "class_weight), by a criterion with an attribute `reduction` that can be set to "
    "'none'. {} {}. Use lam_per='batch' and no row weights, or a criterion such as "
    "those of torch.nn."
)


def _row_size(net, rows, y):
    """What each row adds to the normaliser of the criterion's own mean, (B,)."""
    size = torch.ones_like(rows)
    if criterion_is(net, *_NORMALISED):
        if net.criterion_.weight is not None:
            size = net.criterion_.weight[y].to(rows.dtype)
        size = size * (y != net.criterion_.ignore_index)
    return size


def _divides_by_class_weight(net):
    return criterion_is(net, *_NORMALISED) and net.criterion_.weight is not None


# torch divides the mean of these by the sum of the class weights of rows not ignored.
_NORMALISED = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
