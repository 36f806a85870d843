"""A skorch net trains on mixed and weighted batches while a block runs.

`mixed_training` lends a net a handful of methods (its *seams*), through which
batches, inputs and losses pass, and takes them back when the block ends. What
remains is the plain skorch net; what the net's class overrides stays in charge.
"""

import warnings
from contextlib import contextmanager
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset, get_len, unpack_data
from skorch.exceptions import SkorchException
from skorch.history import History
from skorch.utils import to_tensor

from skmix._mixup import lerp_steps
from skmix._training.convergence import check_epoch
from skmix._training.epoch import Step, run_epoch
from skmix._training.interruption import Stopped, callbacks_may_stop, interruptible
from skmix._training.loader import ROWS_UNKNOWN, Batch, Batches, Dealer, copied, take
from skmix._training.loss import (
    check_reduction,
    first_output,
    losses_of_steps,
    one_number,
    shaped_like,
)
from skmix._training.random import seeded
from skmix._training.skorch_compat import (
    bind_prints,
    inferring,
    is_skorchs_own,
    set_mode,
    steps_are_skorchs_own,
    twin,
    watches_validation,
)
from skmix._training.steps import (
    Pass,
    bypassed,
    check_layers_of,
    mixed_inside,
    stacked,
    uncompiled,
)


@contextmanager
def mixed_training(
    net, *, plan=None, weight=None, validation=None, check_output=None, table=None
):
    """Let `net` train on mixed and weighted batches while the block runs.

    Parameters
    ----------
    net : skorch.NeuralNet
    plan : skmix._sampler.Plan, default=None
        None trains without mixing, and so does one that `is_off`.
    weight : ndarray of shape (n,), float64, default=None
        A positive weight for each row of the table that the net is fitted on.
    validation : tuple (X, y, weight), default=None
        Validate on these rows and train on all others, instead of splitting
        by the net's `train_split`. `weight` may be None.
    check_output : callable, default=None
        ``check_output(net, y_pred)`` sees the first output of the module in
        training and raises ValueError if it cannot be right.
    table : mapping, default=None
        What the plan's mixing and pairing may ask of the table beside rows, targets and
        weights, by the names of `skmix._sampler.Table`: ``all_groups``, ...

    Yields
    ------
    dealer : skmix._training.loader.Dealer
        It knows, after the net's fit, which rows it was trained and validated on.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if the fit was interrupted, which skorch takes for the
        wish of a callback to stop.
    skmix._training.convergence.Diverged
        After an epoch with a loss that is no finite number.

    Notes
    -----
    A pickle or a copy made while the block runs (a checkpoint, say) holds the
    plain net.
    """
    seams = _Seams(net, plan, weight, validation, check_output, table or {})
    lent = {name: getattr(seams, name) for name in _Seams.NAMES}
    vars(net).update(lent)
    try:
        yield seams.dealer
    finally:
        for name in lent:
            vars(net).pop(name, None)
        seams.restore_caching()
    if seams.interrupted:
        raise KeyboardInterrupt


class _Seams:
    """The methods that a net is lent in `mixed_training`.

    Each stands in for the net's method of that name, does its share, and hands
    over to the method of the net's class.
    """

    NAMES = (
        "__getstate__",
        "get_params",
        "notify",
        "on_train_begin",
        "fit_loop",
        "get_split_datasets",
        "get_iterator",
        "run_single_epoch",
        "train_step",
        "train_step_single",
        "validation_step",
        "evaluation_step",
        "infer",
        "get_loss",
        "rows_held_out",
    )

    def __init__(self, net, plan, weight, validation, check_output, about):
        self.net = net
        self.plan = None if plan is None or plan.is_off else plan
        self.layers = () if plan is None else plan.layers
        self.dealer = Dealer(net, self.plan, weight, validation, about)
        self.check_output = check_output
        self.planned = None  # the Pass of the current batch
        self.running = None  # the Pass that is on its way through the net
        self.uncached = []
        self.interrupted = False
        self.tried = set()  # layers
        self.epoch, self.lam_sum, self.n_steps = 0, 0.0, 0

    # What leaves the net: pickles, copies and parameters know nothing of the loan.

    def __getstate__(self):
        return self._without_seams(type(self.net).__getstate__(self.net))

    def get_params(self, deep=True, **kwargs):
        return self._without_seams(type(self.net).get_params(self.net, deep, **kwargs))

    def _without_seams(self, state):
        return {name: value for name, value in state.items() if name not in self.NAMES}

    # Callbacks may stop a training, which then ends quietly; the user may interrupt it.

    def notify(self, method_name, **kwargs):
        net = self.net
        with callbacks_may_stop():
            try:
                if method_name == "on_train_end" and not len(net.history):
                    self._notify_of_no_training(**kwargs)
                else:
                    type(net).notify(net, method_name, **kwargs)
            except (KeyError, ValueError, SkorchException) as error:
                if method_name == "on_epoch_end":
                    self._explain_monitor(error)
                raise

    def fit_loop(self, *args, **kwargs):
        try:
            with interruptible():
                return type(self.net).fit_loop(self.net, *args, **kwargs)
        except Stopped:
            raise
        except KeyboardInterrupt:  # and skorch will say nothing of it
            self.interrupted = True
            raise

    def _notify_of_no_training(self, **kwargs):
        """Tell all but skorch's callbacks that look up the last epoch, or the best."""
        net = self.net
        callbacks = net.callbacks_
        net.callbacks_ = [
            (name, callback)
            for name, callback in callbacks
            if type(callback).__module__ != EarlyStopping.__module__
        ]
        try:
            type(net).notify(net, "on_train_end", **kwargs)
        finally:
            net.callbacks_ = callbacks

    def _explain_monitor(self, error):
        """Raise again what a callback says that looks for a score that is not there."""
        known = self.net.history[-1]
        for name, callback in self.net.callbacks_:
            monitor = getattr(callback, "monitor", None)
            missing = isinstance(monitor, str) and monitor not in known
            if missing and repr(monitor) in str(error):
                scores = ", ".join(key for key in known if key != "batches")
                raise ValueError(
                    f"Got monitor={monitor!r} for the callback {name} "
                    f"({type(callback).__name__}), but expected something that is in "
                    f"the history by then: {scores}. Let a scoring callback of that "
                    "name stand before it, such as skorch.callbacks.EpochScoring(..., "
                    f"name={monitor.removesuffix('_best')!r})."
                ) from error

    # Before the first step: data and callbacks.

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        type(net).on_train_begin(net, net, X=X, y=y, **kwargs)
        self.epoch = 0
        bind_prints(net)
        check_reduction(net)
        self._check_monitors()
        check_layers_of(net.module_, self.layers)
        if self.plan is not None:
            self._stop_caching()

    def _check_monitors(self):
        net = self.net
        own_split = not is_skorchs_own(net, "get_split_datasets")
        if self.dealer.validation is not None or net.train_split or own_split:
            return
        blind = [
            name for name, callback in net.callbacks_ if watches_validation(callback)
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
        return self.dealer.split(X, y, **fit_params)

    def rows_held_out(self):
        return self.dealer.validated_on()

    def get_iterator(self, dataset, training=False):
        return self.dealer.iterator(dataset, training)

    # Each epoch: by the shortest way, or by the steps of the net.

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        net = self.net
        in_memory = type(iterator) is Batches and not fit_params
        if in_memory and type(net.history) is History and steps_are_skorchs_own(net):
            steps = self._steps(iterator, training)
            run_epoch(net, steps, training=training, prefix=prefix)
            result = None
        else:
            result = type(net).run_single_epoch(
                net, iterator, training, prefix, step_fn, **fit_params
            )
        if len(net.history):
            check_epoch(net.history[-1], (prefix,))
        return result

    def _steps(self, batches, training):
        """Mix and weigh a chunk of batches at a time, and yield its steps."""
        epoch = len(self.net.history)
        for dealt in self.dealer.deal(batches, training=training, epoch=epoch):
            chunk, weight, draw = dealt[:3]
            if draw is None:
                steps = self._plain_steps(chunk, chunk.X, None, None, weight)
            else:
                steps = self._mixed_steps(dealt)
            n_begun = 0
            try:
                for step in steps:
                    n_begun += 1
                    yield step
            finally:  # may have been interrupted
                if training and n_begun:
                    self._record_lam(_lam_by_step(draw, chunk.n_batches)[:n_begun])

    def _mixed_steps(self, dealt):
        chunk, weight, draw, X_partner, y_partner = dealt
        plan, n_steps = self.plan, chunk.n_batches
        inside = any(layer is not None for layer in plan.layers)
        numbers = isinstance(chunk.X, torch.Tensor) and chunk.X.is_floating_point()
        if plan.is_plain and numbers and not inside and not plan.clean_weight:
            X = lerp_steps(chunk.X, X_partner, draw.lam)
            yield from self._plain_steps(chunk, X, y_partner, draw.lam, weight)
            return
        losses = [None] * n_steps
        if plan.is_plain:  # what labels count is known for the whole chunk
            losses = self._losses(chunk, y_partner, draw.lam, weight)
        for k in range(n_steps):
            part = chunk.part(k)
            step = Pass(
                self.net,
                plan,
                draw.of_step(k, n_steps),
                y=chunk.y[part],
                y_partner=y_partner[part],
                weight=None if weight is None else weight[part],
                loss=losses[k],
            )
            x, x_partner = copied(chunk.X, part), copied(X_partner, part)
            self._try_layer(step, x, x_partner)
            x = step.enter(x, x_partner)
            loss = partial(self._split_loss, step)
            yield Step(x, loss, chunk.batch_size, partial(chunk.batch, k), step.within)

    def _plain_steps(self, chunk, X, y_partner, share, weight):
        """Steps whose rows are what the module is given."""
        losses = self._losses(chunk, y_partner, share, weight)
        if self.check_output is not None:
            losses[0] = partial(self._checked_loss, losses[0])
        for k, loss in enumerate(losses):
            x = copied(X, chunk.part(k))
            yield Step(x, loss, chunk.batch_size, partial(chunk.batch, k))

    def _losses(self, chunk, y_partner, share, weight):
        permuted = share is None or not self.plan.from_table
        return losses_of_steps(
            self.net,
            chunk.y,
            y_partner,
            share,
            weight,
            chunk.n_batches,
            permuted=permuted,
        )

    def _try_layer(self, step, x, x_partner, **fit_params):
        """Find out, once a fit, whether the module goes by a layer.

        Where clean rows go on beside the mixed ones, their numbers do not tell, so that
        it is tried without, by a copy of the module.
        """
        layer, net = step.layer, self.net
        if not step.clean_weight or layer is None or layer in self.tried:
            return
        self.tried.add(layer)
        other = twin(net, module_=deepcopy(net.module_))
        set_mode(other, True)
        infer, n_rows = inferring(other, partial(type(net).infer, other)), get_len(x)
        own = mixed_inside(
            uncompiled(other.module_), layer, lambda own, partner: own, n_rows
        )
        with seeded(device=net.device), torch.no_grad(), own:
            output = first_output(infer(stacked(x, x_partner), **fit_params))
        if isinstance(output, torch.Tensor) and len(output) == 2 * n_rows:
            raise bypassed(layer, n_rows)

    def _split_loss(self, step, output):
        clean, output = step.split(output)
        self._check(output)
        return one_number(step.loss(output, clean))

    def _checked_loss(self, loss, output):
        self._check(output)
        return one_number(loss(output))

    def _check(self, output):
        """Check the first output that there is."""
        if self.check_output is not None:
            check, self.check_output = self.check_output, None
            check(self.net, first_output(output))

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
        if self.planned is None and not (self.plan is self.dealer.weight is None):
            raise self._unmixed("was not called by self.train_step")
        with self._run(self.planned):
            return type(self.net).train_step_single(self.net, batch, **fit_params)

    def validation_step(self, batch, **fit_params):
        step = None
        weight = self.dealer.valid_weight
        if weight is not None:
            step = Pass(self.net, weight=weight.of(batch))
        with self._run(step):
            return type(self.net).validation_step(self.net, batch, **fit_params)

    def evaluation_step(self, batch, training=False):
        with self._run(None):
            return type(self.net).evaluation_step(self.net, batch, training=training)

    def _plan_step(self, batch):
        net, plan, dealer = self.net, self.plan, self.dealer
        weight = draw = y_partner = X_partner = None
        if dealer.weight is not None:
            if dealer.train_weight is None:
                raise ValueError(ROWS_UNKNOWN)
            weight = dealer.train_weight.of(batch)
        if plan is not None:
            rows = self._rows_of(batch) if plan.looks_at_rows else None
            n_rows = get_len(unpack_data(batch)[1])
            draw = plan.draw(n_rows, rows=rows, epoch=len(net.history))
            if draw is not None and plan.from_table:
                X_partner, y_partner = dealer.table.take(draw.partner)
        step = Pass(net, plan, draw, y_partner=y_partner, weight=weight)
        step.X_partner = X_partner
        if draw is not None:
            step.y = to_tensor(unpack_data(batch)[1], device=net.device)
            if y_partner is None:
                step.y_partner = take(step.y, torch.as_tensor(draw.partner))
            else:
                step.y_partner = to_tensor(y_partner, device=net.device)
        self._record_lam(_lam_by_step(draw, 1))
        return step

    def _rows_of(self, batch):
        if not isinstance(batch, Batch) or batch.table is not self.plan.table.all_X:
            raise ValueError(
                f"Got pairing={self.plan.pairing!r} and a net with a data iterator, "
                "dataset, split or collate function of its own, which does not tell "
                "which rows a batch holds. Leave these at skorch's defaults, or use "
                "pairing='shuffle'."
            )
        return batch.rows.numpy()

    def _record_lam(self, lam):
        """Record the mean over the steps of the epoch so far, these included."""
        history = self.net.history
        if len(history) != self.epoch:
            self.epoch, self.lam_sum, self.n_steps = len(history), 0.0, 0
        self.lam_sum += float(lam.sum())
        self.n_steps += len(lam)
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
        if step.draw is not None and not step.entered:
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
        infer = inferring(net, partial(type(net).infer, net))
        if step is None or step.draw is None:
            return infer(x, **fit_params)
        if get_len(x) != len(step.draw.partner):
            raise self._unmixed("passed another number of rows to self.infer")
        x = to_tensor(x, device=net.device)
        if step.X_partner is None:
            partner = take(x, torch.as_tensor(step.draw.partner))
        else:
            partner = to_tensor(step.X_partner, device=net.device)
        self._try_layer(step, x, partner, **fit_params)
        x = step.enter(x, partner)
        with step.within():
            output = infer(x, **fit_params)
        # (The net's own step sees outputs for mixed rows alone.)
        step.clean, output = step.split(output)
        return output

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        net, step = self.net, self.running
        self._check(y_pred)
        if step is None:
            y_true = shaped_like(first_output(y_pred), y_true)
            return type(net).get_loss(net, y_pred, y_true, *args, **kwargs)
        step.y = to_tensor(y_true, device=net.device)
        if step.draw is not None and step.X_partner is None:
            step.y_partner = take(step.y, torch.as_tensor(step.draw.partner))
        return step.loss(y_pred, step.clean, args, kwargs)


def _lam_by_step(draw, n_steps):
    """Mean weight of a row's own half in each step, of shape (n_steps,)."""
    return np.ones(n_steps) if draw is None else draw.lam.reshape(n_steps, -1).mean(1)
