"""A skorch net trains on mixed and weighted batches while a block runs.

`mixed_training` lends the net the methods of `_Patch`, through which batches, inputs
and losses pass, and takes them back when the block ends. What remains is the plain
skorch net. Methods that the net's class overrides stay in charge.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from skorch import NeuralNet
from skorch.dataset import get_len, unpack_data
from skorch.exceptions import SkorchException
from skorch.history import History
from skorch.utils import to_tensor

from skmix._callbacks import Trainings
from skmix._mixing.sampler import Draw, MixupSampler
from skmix._training.epoch import (
    Step,
    Stopped,
    callbacks_may_stop,
    check_epoch,
    interruptible,
    run_epoch,
)
from skmix._training.loader import (
    ROWS_UNKNOWN,
    Batch,
    Batches,
    BatchLoader,
    LoadedChunk,
)
from skmix._training.loss import check_reduction, checking_first_output
from skmix._training.random import seeded
from skmix._training.recording import Recorder
from skmix._training.skorch_compat import (
    bind_prints,
    check_monitors,
    explain_monitor,
    first_output,
    inferring,
    is_skorchs_own,
    only_deaf_callbacks,
    set_mode,
    shaped_like,
    steps_are_skorchs_own,
    stop_caching,
)
from skmix._training.steps import (
    MixedBatch,
    NotMixedError,
    check_layer_is_passed,
    check_layers_of,
    steps_of_chunk,
)


@contextmanager
def mixed_training(
    net: NeuralNet,
    *,
    sampler: MixupSampler | None = None,
    weight: np.ndarray | None = None,
    validation: tuple[Any, Any, Any] | None = None,
    check_output: Callable[[NeuralNet, Any], None] | None = None,
    table: Mapping[str, Any] | None = None,
    recorder: Recorder | None = None,
    trainings: Trainings | None = None,
) -> Iterator[None]:
    """Let `net` train on mixed and weighted batches while the block runs.

    Parameters
    ----------
    net : skorch.NeuralNet
    sampler : skmix._mixing.sampler.MixupSampler, default=None
        None, or one that `is_off`, trains without mixing.
    weight : ndarray of shape (n,), float64, default=None
        A positive weight for each row of the table that the net is fitted on.
    validation : tuple (X, y, weight), default=None
        Validate on these rows and train on all others, instead of splitting
        by the net's `train_split`. `weight` may be None.
    check_output : callable, default=None
        ``check_output(net, y_pred)`` is called with the first output of the module in
        training and raises ValueError if it cannot be right.
    table : mapping, default=None
        What mixing and pairing may ask of the table beside rows, targets and weights,
        by the names of `skmix.mixing.TrainingSet`: ``all_groups``, ...
    recorder : skmix._training.recording.Recorder, default=None
        Is told of each step and epoch, which it does not change.
    trainings : skmix._callbacks.Trainings, default=None
        Is told when a training or an epoch begins and ends, and may ask to stop.

    Raises
    ------
    ValueError
        With a recorder, if the net does not tell which rows a batch holds.
    KeyboardInterrupt
        At the end of the block, if the user interrupted the fit, which skorch takes for
        a callback's request to stop.
    skmix._training.epoch.Diverged
        After an epoch with a loss that is no finite number.

    Notes
    -----
    A pickle or a copy made while the block runs (a checkpoint, say) holds the
    plain net.
    """
    about, told = table or {}, (recorder, trainings)
    patch = _Patch(net, sampler, weight, validation, check_output, about, *told)
    lent = {name: getattr(patch, name) for name in _Patch.NAMES}
    vars(net).update(lent)
    try:
        yield
    finally:
        for name in lent:
            vars(net).pop(name, None)
        for owner in patch.uncached:
            owner.use_caching = True
    if patch.interrupted:
        raise KeyboardInterrupt


class _Patch:
    """The methods that a net is lent in `mixed_training`.

    Each stands in for the net's method of that name, does its part, and calls the
    method of the net's class.
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
        "was_stopped",
    )

    def __init__(
        self,
        net: NeuralNet,
        sampler: Any,
        weight: np.ndarray | None,
        validation: tuple[Any, Any, Any] | None,
        check_output: Callable[[NeuralNet, Any], None] | None,
        about: Mapping[str, Any],
        recorder: Recorder | None = None,
        trainings: Trainings | None = None,
    ) -> None:
        self.net = net
        self.recorder: Any = recorder
        self.trainings = trainings
        self.sampler: Any = None if sampler is None or sampler.is_off else sampler
        self.layers = () if sampler is None else sampler.layers
        self.loader = BatchLoader(net, self.sampler, weight, validation, about)
        self.check_output = checking_first_output(net, check_output)
        self.current: MixedBatch | None = None  # of the training step
        self.active: MixedBatch | None = None  # on its way through the net
        self.uncached: list[Any] = []
        self.arrived: list[int] = []  # signals of Ctrl-C
        self.interrupted = False
        self.tried: set[str] = set()  # layers
        self.epoch, self.lam_sum, self.n_steps = 0, 0.0, 0
        self.noted: Any = None  # input of the training step, for the recorder

    # Pickles, copies and parameters of the net do not show the lent methods.

    def __getstate__(self) -> dict[str, Any]:
        getstate: Any = type(self.net).__getstate__
        return self._without_lent(getstate(self.net))

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        return self._without_lent(type(self.net).get_params(self.net, deep, **kwargs))

    def _without_lent(self, state: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in state.items() if name not in self.NAMES}

    # Callbacks may stop a training, which then ends quietly; the user may interrupt it.

    def notify(self, method_name: str, **kwargs: Any) -> None:
        net, told = self.net, self.trainings
        if told is None:
            return self._notify(method_name, **kwargs)
        if method_name == "on_epoch_begin":
            told.begin_epoch()
        try:
            self._notify(method_name, **kwargs)
        except Stopped:
            if method_name == "on_epoch_end":
                told.end_epoch(net)
            raise
        if method_name == "on_epoch_end" and told.end_epoch(net):
            raise Stopped
        if method_name == "on_train_begin":
            told.begin(net)
        if method_name == "on_train_end":
            told.end(net)

    def _notify(self, method_name: str, **kwargs: Any) -> None:
        net = self.net
        notify = partial(type(net).notify, net, method_name, **kwargs)
        if method_name == "on_epoch_end" and self.recorder is not None:
            self.recorder.end_epoch(self._clean_loss)
        with callbacks_may_stop():
            if method_name == "on_train_end" and not len(net.history):
                with only_deaf_callbacks(net):
                    notify()
                return
            try:
                notify()
            except (KeyError, ValueError, SkorchException) as error:
                if method_name == "on_epoch_end":
                    explain_monitor(net, error)
                raise
            if method_name == "on_epoch_end" and self.arrived:
                raise KeyboardInterrupt  # which was lost on its way, as in a `__del__`

    def fit_loop(self, *args: Any, **kwargs: Any) -> NeuralNet:
        try:
            with interruptible() as self.arrived:
                return type(self.net).fit_loop(self.net, *args, **kwargs)
        except Stopped:
            raise
        except KeyboardInterrupt:  # which skorch swallows
            self.interrupted = True
            raise

    # Before the first step: data and callbacks.

    def on_train_begin(
        self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        type(net).on_train_begin(net, net, X=X, y=y, **kwargs)
        bind_prints(net)
        check_reduction(net)
        own_split = not is_skorchs_own(net, "get_split_datasets")
        if self.loader.validation is None and not net.train_split and not own_split:
            check_monitors(net)
        check_layers_of(net.module_, self.layers)
        if self.sampler is not None:
            self.uncached += stop_caching(net)
        if self.recorder is not None:
            self.recorder.begin()

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        return self.loader.split(X, y, **fit_params)

    def rows_held_out(self) -> tuple[Any, ...] | None:
        return self.loader.validated_on()

    def was_stopped(self) -> bool:
        return self.trainings is not None and self.trainings.stopped

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        return self.loader.iterator(dataset, training)

    # Each epoch: by `run_epoch`, or by skorch with the steps of the net.

    def run_single_epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Callable[..., Any],
        **fit_params: Any,
    ) -> None:
        net = self.net
        in_memory = type(iterator) is Batches and not fit_params
        if in_memory and type(net.history) is History and steps_are_skorchs_own(net):
            steps = self._steps(iterator, training)
            run_epoch(net, steps, training=training, prefix=prefix)
        else:
            type(net).run_single_epoch(
                net, iterator, training, prefix, step_fn, **fit_params
            )
        if len(net.history):
            check_epoch(net.history[-1], (prefix,))

    def _steps(self, batches: Batches, training: bool) -> Iterator[Step]:
        """Yield the steps of an epoch, and record the mean of lam."""
        epoch = len(self.net.history)
        checks = self.check_output, self._check_layer
        for loaded in self.loader.load(batches, training=training, epoch=epoch):
            n_begun = 0
            try:
                steps = steps_of_chunk(self.net, self.sampler, loaded, *checks)
                if training and self._is_recorded():
                    steps = self._recorded(steps, loaded)
                for step in steps:
                    n_begun += 1
                    yield step
            finally:  # may have been interrupted
                if training and n_begun:
                    lam = _lam_by_step(loaded.draw, loaded.chunk.n_batches)
                    self._record_lam(lam[:n_begun])

    def _recorded(self, steps: Iterator[Step], loaded: LoadedChunk) -> Iterator[Step]:
        """Yield the steps of a chunk, and tell the recorder of each that is done."""
        chunk, weight, draw = loaded[:3]
        rows, n_steps = self.loader.numbers_of(chunk), chunk.n_batches
        for k, step in enumerate(steps):
            part, batch = chunk.part(k), step.mixed
            if batch is None:
                own = None if draw is None else draw.of_step(k, n_steps)
                own_weight = None if weight is None else weight[part]
                batch = MixedBatch(self.net, self.sampler, own, weight=own_weight)
            x = batch.noted(step.x)  # (the module may write to it)
            yield step
            self.recorder.see(batch.seen(rows[part], rows, x))

    def _is_recorded(self) -> bool:
        """Whether the recorder wants to see the steps of this epoch."""
        return bool(self.recorder and self.recorder.wants(len(self.net.history)))

    def _clean_loss(self) -> float:
        """Return the loss of the training rows unmixed, in evaluation mode."""
        net, weights = self.net, self.loader.train_weight
        was_training = net.module_.training
        losses, sizes = [], []
        with seeded(device=net.device):  # to look does not change the training
            for batch in self.loader.to_evaluate():
                weight = None if weights is None else weights.of(batch)
                step = None if weight is None else MixedBatch(net, weight=weight)
                with self._activated(step):
                    done = type(net).validation_step(net, batch)
                losses.append(float(done["loss"]))
                sizes.append(get_len(unpack_data(batch)[1]))
        set_mode(net, was_training)
        return float(np.average(losses, weights=sizes))

    def _record_lam(self, lam: np.ndarray) -> None:
        """Record the mean over the steps of the epoch so far, these included."""
        history = self.net.history
        if len(history) != self.epoch:
            self.epoch, self.lam_sum, self.n_steps = len(history), 0.0, 0
        self.lam_sum += float(lam.sum())
        self.n_steps += len(lam)
        history.record("lam_mean", self.lam_sum / self.n_steps)

    def _check_layer(
        self, batch: MixedBatch, x: Any, x_partner: Any, **fit_params: Any
    ) -> None:
        """Find out, once a fit, whether the module has a way around a layer."""
        layer = batch.layer
        if batch.clean_weight and layer is not None and layer not in self.tried:
            self.tried.add(layer)
            check_layer_is_passed(self.net, layer, x, x_partner, **fit_params)

    # Each step: draw once, then mix inputs and loss of every pass over the batch.

    def train_step(self, batch: Any, **fit_params: Any) -> Any:
        self.current, self.noted = self._begin_step(batch), None
        try:
            step = type(self.net).train_step(self.net, batch, **fit_params)
            self._check_mixed(self.current)
            if self._is_recorded():
                rows = self.loader.numbers_of(batch)
                self.recorder.see(self.current.seen(rows, rows, self.noted))
        finally:
            self.current = None
        return step

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        if self.current is None and not (self.sampler is self.loader.weight is None):
            raise self._unmixed("was not called by self.train_step")
        with self._activated(self.current):
            return type(self.net).train_step_single(self.net, batch, **fit_params)

    def validation_step(self, batch: Any, **fit_params: Any) -> Any:
        weight = self.loader.valid_weight
        step = None if weight is None else MixedBatch(self.net, weight=weight.of(batch))
        with self._activated(step):
            return type(self.net).validation_step(self.net, batch, **fit_params)

    def evaluation_step(self, batch: Any, training: bool = False) -> Any:
        with self._activated(None):
            return type(self.net).evaluation_step(self.net, batch, training=training)

    def _begin_step(self, batch: Any) -> MixedBatch:
        """Draw for one step on a batch of skorch's own epoch."""
        net, sampler, loader = self.net, self.sampler, self.loader
        weight = draw = partners = None
        if loader.weight is not None:
            if loader.train_weight is None:
                raise ValueError(ROWS_UNKNOWN)
            weight = loader.train_weight.of(batch)
        _, y = unpack_data(batch)
        if sampler is not None:
            rows = self._rows_of(batch) if sampler.looks_at_rows else None
            draw = sampler.draw(get_len(y), rows=rows, epoch=len(net.history))
            if draw is not None and sampler.from_table:
                partners = loader.table.take(draw.partner)
        step = MixedBatch(net, sampler, draw, weight=weight, partners=partners)
        if draw is not None:
            step.set_targets(y)
        self._record_lam(_lam_by_step(draw, 1))
        return step

    def _rows_of(self, batch: Any) -> np.ndarray:
        if not isinstance(batch, Batch) or batch.table is not self.sampler.table.all_X:
            raise ValueError(
                f"Got pairing={self.sampler.pairing!r} and a net with a data iterator, "
                "dataset, split or collate function of its own, which does not tell "
                "which rows a batch holds. Leave these at skorch's defaults, or use "
                "pairing='shuffle'."
            )
        return batch.rows.numpy()

    @contextmanager
    def _activated(self, step: MixedBatch | None) -> Iterator[None]:
        before, self.active = self.active, step
        try:
            yield
        finally:
            self.active = before

    def _check_mixed(self, step: MixedBatch) -> None:
        """Raise if a step that is to be mixed or weighted went by another way."""
        if step.draw is not None and not step.input_mixed:
            raise self._unmixed("never called self.infer")
        if not (step.draw is step.weight is None or step.loss_computed):
            raise self._unmixed("never called self.get_loss")

    def _unmixed(self, what: str) -> NotMixedError:
        return NotMixedError(
            f"Got a training step of {type(self.net).__name__} that {what}, so that "
            "its rows were not mixed or weighted. That needs a train_step that passes "
            "its batch to self.train_step_single, and a train_step_single that calls "
            "self.infer and self.get_loss. With alpha=0 and no row weights any step "
            "will do."
        )

    def infer(self, x: Any, **fit_params: Any) -> Any:
        net, step = self.net, self.active
        infer = inferring(net)
        if step is None or step.draw is None:
            self._note(step, x)
            return infer(x, **fit_params)
        if get_len(x) != len(step.draw.partner):
            raise self._unmixed("passed another number of rows to self.infer")
        x = to_tensor(x, device=net.device)
        x_partner = step.partner_rows(x)
        self._check_layer(step, x, x_partner, **fit_params)
        x = step.mix_input(x, x_partner)
        self._note(step, x)
        with step.mixing():
            output = infer(x, **fit_params)
        # (The net's own step gets outputs for mixed rows alone.)
        return step.split_output(output)

    def _note(self, step: MixedBatch | None, x: Any) -> None:
        """Keep the input of the first pass of a training step for the recorder."""
        if step is None or step is not self.current or not self._is_recorded():
            return
        if self.noted is None:
            self.noted = step.noted(to_tensor(x, device=self.net.device))

    def get_loss(self, y_pred: Any, y_true: Any, *args: Any, **kwargs: Any) -> Any:
        net, step = self.net, self.active
        self.check_output(y_pred)
        if step is None:
            y_true = shaped_like(first_output(y_pred), y_true)
            return type(net).get_loss(net, y_pred, y_true, *args, **kwargs)
        step.set_targets(y_true)
        return step.loss(y_pred, args, kwargs)


def _lam_by_step(draw: Draw | None, n_steps: int) -> np.ndarray:
    """Return the mean weight of a row's own half in each step, of shape (n_steps,)."""
    return np.ones(n_steps) if draw is None else draw.lam.reshape(n_steps, -1).mean(1)
