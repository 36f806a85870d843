"""Fits of several nets as one, along a member axis.

A net around a `VectorizedModule` takes the steps of `skmix._training.epoch` on
`MemberBatches`.
From top to bottom: the fit, its optimizer and its callbacks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
)
from skorch.history import History
from torch import nn, optim

from skmix._tables.columns import beside, each
from skmix._training.epoch import Step, Stopped, callbacks_may_stop, run_epoch
from skmix._training.loader import CHUNK_CELLS, n_cells
from skmix._training.loss import Targets, losses_of_steps
from skmix._training.muon import Muon
from skmix._training.skorch_compat import (
    inferring,
    only_deaf_callbacks,
    set_mode,
    twin,
)
from skmix._vectorized.carrying import NetState, load_plain_parts, plain_parts
from skmix._vectorized.loader import (
    Fold,
    MemberBatches,
    mixed_at_input,
    training_batches,
    validation_batches,
)
from skmix._vectorized.module import VectorizedModule

Loss = Callable[[torch.Tensor], torch.Tensor]  # outputs to the losses of members

# Optimizers that treat members along a first axis by themselves: torch's, of single
# numbers, and one of matrices, in the last two axes. Their step is in proportion to the
# learning rate.
SEPARABLE = (
    Muon,
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.NAdam,
    optim.RAdam,
    optim.Adamax,
    optim.RMSprop,
    optim.Adagrad,
    optim.Adadelta,
)
FUSED = (Muon, optim.SGD, optim.Adam, optim.AdamW, optim.Adagrad)
# Callbacks that a vectorized fit knows: those that each member has for itself, and that
# are told of its epochs, and those of which `_callbacks_of` makes one for all members.
WATCHING = (EarlyStopping, LRScheduler)
CALLBACKS = (*WATCHING, GradientNormClipping)
HOW = (  # a step is taken, and what stands for no wish of the user's
    ("fused", None),
    ("foreach", None),
    ("capturable", False),
    ("differentiable", False),
)


class VectorizedFit:
    """A fit of several nets as one, an epoch at a time.

    Parameters
    ----------
    nets : list of skorch.NeuralNet
        M initialised nets that can be vectorized (see `skmix._vectorized.support`).
    folds : list of skmix._vectorized.loader.Fold
    fold_of, alpha_of : array-like of shape (M,), int
        Which of the folds, and which alpha of its sampler, each net has.
    inside : array-like of shape (M,), bool, default=None
        Which nets mix behind the layer of their fold's sampler, while the others mix at
        the input; None if all do as the sampler says. Possible where rows are numbers
        that do not see each other in training.
    direct : bool, default=False
        As in `skmix._vectorized.module.VectorizedModule`.

    Attributes
    ----------
    running : ndarray of shape (m,), int
        Numbers of the nets that are still trained.

    Notes
    -----
    Nets may differ in the learning rates and weight decays of their optimizers, in the
    probabilities of `torch.nn.Dropout` and in the label smoothing of their criteria. In
    all other settings they are alike.

    Each net has a history and callbacks of its own. While it is trained its module
    shows the values of its member, so that callbacks may look at it; when one stops it,
    and at the end, they are handed over to it.
    """

    def __init__(
        self,
        nets: list[NeuralNet],
        folds: list[Fold],
        fold_of: Sequence[int] | np.ndarray,
        alpha_of: Sequence[int] | np.ndarray,
        *,
        inside: Sequence[bool] | np.ndarray | None = None,
        direct: bool = False,
    ) -> None:
        self.nets, self.folds = nets, folds
        self.fold_of, self.alpha_of = np.asarray(fold_of), np.asarray(alpha_of)
        self.inside = None if inside is None else np.asarray(inside, dtype=bool)
        self.running = np.arange(len(nets))
        self.module = VectorizedModule([net.module_ for net in nets], direct=direct)
        self.net = twin(nets[0], module_=self.module, history_=History())
        self.net.callbacks_ = _callbacks_of(self)
        self.net.optimizer_ = _optimizer(self.net, self.module.members)
        # Of each net: losses of its last epoch, (S,), and the best value of each name.
        self._batch_losses: dict[int, np.ndarray] = {}
        self._best: list[dict[str, float]] = [{} for _ in nets]
        self._valid: list[_Validation] | None = None
        self._show()

    def epoch(self) -> None:
        """Train for an epoch, validate, and tell each net's callbacks of it."""
        self.net.history.new_epoch()
        for net in self.running_nets():
            net.history.new_epoch()
            net.history.record("epoch", len(net.history))
        orders = [_drawn(fold) for fold in self.folds]
        values = self._train(orders)
        values |= self._validate()
        for k, m in enumerate(self.running.tolist()):
            self._record(m, {name: float(value[k]) for name, value in values.items()})
        self.stop(self._told_to_stop())

    def batch_losses(self, m: int) -> np.ndarray:
        """Training losses of a net's batches in its last epoch, of shape (n_steps,)."""
        return self._batch_losses[m]

    def running_nets(self) -> list[NeuralNet]:
        """Return the nets that are still trained."""
        return [self.nets[m] for m in self.running]

    def stop(self, numbers: Sequence[int] | np.ndarray) -> None:
        """Train the nets of these numbers no further, and hand their values over."""
        gone = np.isin(self.running, numbers)
        if not gone.any():
            return
        for place in np.flatnonzero(gone).tolist():
            self._hand_over(place)
        kept = torch.from_numpy(np.flatnonzero(~gone))
        self.running, self._valid = self.running[~gone], None
        if len(self.running):
            before = dict(self.module.members.named_parameters())
            self.module.keep(kept)
            self.net.optimizer_ = _kept(self.net, self.module.members, before, kept)
            self._show()

    def finish(self) -> None:
        """Train no net any further."""
        self.stop(self.running)

    def state(self) -> dict[str, Any]:
        """Return all that the epochs to come depend on, between two epochs.

        Numbers and plain values of: the members, their optimizer, the nets, histories
        and callbacks, schedules of learning rates, and generators of folds.
        """
        return {
            "running": self.running,
            "tensors": self.module.tensors() if len(self.running) else {},
            "values": plain_parts(self.module.members),
            "optimizer": self.net.optimizer_.state_dict(),
            "n_epochs": len(self.net.history),
            "nets": [NetState.of(net).as_plain() for net in self.nets],
            "schedules": [[s.state_dict() for s in _schedules(n)] for n in self.nets],
            "best": self._best,
            "folds": [fold.state() for fold in self.folds],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the state of an equal fit, before the first epoch of this one."""
        for m in np.setdiff1d(self.running, state["running"]).tolist():
            self.module.show(m, self.nets[m].module_, copy=True)
        self._load_nets(state["nets"], state["schedules"])
        for fold, own in zip(self.folds, state["folds"], strict=True):
            fold.load_state(own)
        for _ in range(state["n_epochs"]):
            self.net.history.new_epoch()
        self._best, self.running = state["best"], state["running"]
        if len(self.running):
            self._load_members(state)

    def _load_nets(self, states: list[Any], schedules: list[Any]) -> None:
        for net, state, of_net in zip(self.nets, states, schedules, strict=True):
            NetState.from_plain(state).load(net)
            for schedule, own in zip(_schedules(net), of_net, strict=True):
                schedule.load_state_dict(own)

    def _load_members(self, state: dict[str, Any]) -> None:
        self.module.keep(torch.from_numpy(self.running))
        with torch.no_grad():
            for name, tensor in self.module.tensors().items():
                tensor.copy_(state["tensors"][name])
        load_plain_parts(self.module.members, state["values"])
        self.net.optimizer_ = _optimizer(self.net, self.module.members)
        self.net.optimizer_.load_state_dict(state["optimizer"])
        self._show()

    def _show(self) -> None:
        for place, net in enumerate(self.running_nets()):
            self.module.show(place, net.module_)

    def _hand_over(self, place: int) -> None:
        net = self.nets[self.running[place]]
        self.module.show(place, net.module_, copy=True)
        parameters = dict(self.module.members.named_parameters())
        for name, parameter in net.module_.named_parameters():
            state = self.net.optimizer_.state.get(parameters[name], {})
            own = {k: _of_members(v, place).clone() for k, v in state.items()}
            if own:
                net.optimizer_.state[parameter] = own
        with nullcontext() if len(net.history) else only_deaf_callbacks(net):
            net.notify("on_train_end", X=None, y=None)

    def _record(self, m: int, values: dict[str, float]) -> None:
        history, best = self.nets[m].history, self._best[m]
        for name, value in values.items():
            history.record(name, value)
            if name == "lam_mean":
                continue
            improved = value > best.get(name, -np.inf)
            if name.endswith("_loss"):
                improved = value < best.get(name, np.inf)
            if improved:
                best[name] = value
            history.record(f"{name}_best", bool(improved))

    def _told_to_stop(self) -> list[int]:
        """Tell callbacks of the end of an epoch; return the nets they stop."""
        stopped = []
        for place, m in enumerate(self.running.tolist()):
            net = self.nets[m]
            copied = any(getattr(cb, "load_best", False) for cb in _watching(net))
            if copied:  # a copy of a view would be one of all members
                self.module.show(place, net.module_, copy=True)
            try:
                with callbacks_may_stop():
                    for callback in _watching(net):
                        callback.on_epoch_end(net)
            except Stopped:
                stopped.append(m)
            if copied:
                self.module.show(place, net.module_)
        return stopped

    # Training: losses and lam of each running net, (m,).

    def _train(self, orders: list[torch.Tensor]) -> dict[str, np.ndarray]:
        of_steps: list[torch.Tensor] = []  # each (m,)
        loaded = []
        members = self.fold_of[self.running], self.alpha_of[self.running]
        epoch = len(self.net.history)
        for batches in training_batches(self.folds, orders, *members, epoch):
            loaded.append((batches.sizes, batches.lam_mean))
            steps = self._steps(batches, of_steps)
            run_epoch(self.net, steps, training=True, prefix="train")
        sizes, lam = map(np.concatenate, zip(*loaded, strict=True))
        losses = torch.stack(of_steps).cpu().double().numpy()  # (S, m)
        self._batch_losses |= dict(zip(self.running, losses.T, strict=True))
        loss = (losses * sizes).sum(axis=0) / sizes.sum(axis=0)
        return {
            "lam_mean": np.broadcast_to(lam.mean(axis=0), loss.shape),
            "train_loss": loss,
        }

    def _steps(
        self, batches: MemberBatches, losses: list[torch.Tensor]
    ) -> Iterator[Step]:
        """Yield the steps of batches, each of which adds its members' losses."""
        sampler = self.folds[0].loader.sampler
        layer = None if sampler is None or batches.share is None else sampler.layers[0]
        permuted = sampler is None or not sampler.from_table
        lam = batches.share
        if layer is not None and self.inside is not None:
            batches, lam = mixed_at_input(batches, self.inside[self.running])

        def total(loss: Loss, output: torch.Tensor) -> torch.Tensor:
            of_members = loss(output)
            losses.append(of_members.detach())
            return of_members.sum()

        for k, loss in enumerate(self._losses(batches, permuted)):
            x = each(lambda part, k=k: part[k], batches.x)
            step = Step(x, partial(total, loss), int(batches.sizes[k].sum()), _nothing)
            if layer is not None:
                mixing = partial(self.module.mixing_behind, layer, lam[k])
                step = step._replace(context=mixing)
            yield step

    def _losses(self, batches: MemberBatches, permuted: bool) -> list[Loss]:
        pair, weight = (batches.y, batches.y_partner), batches.weight
        targets = Targets(*pair, batches.share, weight, batches.counts)
        flat = [None if part is None else part.flatten(0, 2) for part in targets]
        n_steps, n_members = batches.sizes.shape
        return self._losses_of_steps(Targets(*flat), n_steps, n_members, permuted)

    def _losses_of_steps(
        self, targets: Targets, n_steps: int, n_members: int, permuted: bool = True
    ) -> list[Loss]:
        """As of all nets alike, but that each smoothes labels as its criterion says."""
        options: dict[str, Any] = {"permuted": permuted, "n_members": n_members}
        criteria = [net.criterion_ for net in (self.net, *self.running_nets())]
        of_all, *smoothing = [getattr(c, "label_smoothing", 0.0) for c in criteria]
        if all(value == of_all for value in smoothing):
            return losses_of_steps(self.net, targets, n_steps, **options)
        # The loss is linear in it: between those of labels as they are and of no label.
        plain, smooth = (
            losses_of_steps(_smoothing(self.net, value), targets, n_steps, **options)
            for value in (0.0, 1.0)
        )
        share = torch.tensor(smoothing, dtype=torch.float64, device=targets.y.device)
        share = share.repeat_interleave(n_members // len(smoothing))
        pairs = zip(plain, smooth, strict=True)
        return [partial(_between, share, *pair) for pair in pairs]

    # Validation: losses, and accuracies of classifiers, of each running net, (m,).

    def _validate(self) -> dict[str, np.ndarray]:
        if self._valid is None:
            self._valid = self._validation()
        set_mode(self.net, False)
        m, classify = len(self.running), records_accuracy(self.nets[0])
        loss, right, n_rows = np.zeros(m), np.zeros(m), np.zeros(m)
        with torch.no_grad():
            fold_of = self.fold_of[self.running]
            for part in self._valid:
                x = each(lambda rows: rows[fold_of], part.x)
                output = inferring(self.net)(x)
                losses = part.loss(output).cpu().double().numpy().reshape(m, -1)
                loss += (losses * part.sizes).sum(axis=1)
                n_rows += part.sizes.sum(axis=1)
                if classify:
                    hit = (output.argmax(dim=1) == part.y) & part.there
                    right += hit.reshape(m, -1).sum(dim=1).cpu().numpy()
        values = {"valid_loss": loss / n_rows}
        return values | {"valid_acc": right / n_rows} if classify else values

    def _validation(self) -> "list[_Validation]":
        """What the running nets are validated on, in parts that fit into memory."""
        batches = validation_batches(self.folds)
        n_steps, _, size = batches.y.shape[:3]
        cells = len(self.running) * size * n_cells(self.folds[0].train.X)
        at_once = max(1, 4 * CHUNK_CELLS // cells)
        starts = range(0, n_steps, at_once)
        return [self._validation_part(batches, slice(k, k + at_once)) for k in starts]

    def _validation_part(self, batches: MemberBatches, steps: slice) -> "_Validation":
        fold_of = self.fold_of[self.running]

        def by_fold(rows: torch.Tensor) -> torch.Tensor:
            return rows[steps].transpose(0, 1)  # (S, F, B, ...) -> (F, S, B, ...)

        def by_member(rows: torch.Tensor) -> torch.Tensor:
            return by_fold(rows)[fold_of]

        y, sizes = by_member(batches.y).flatten(0, 2), batches.sizes[steps].T[fold_of]
        weight = None
        if batches.weight is not None:
            weight = by_member(batches.weight).flatten()
        there = np.arange(batches.y.shape[2]) < sizes[:, :, None]
        # Batches that are all padding have a loss, too, which then counts nothing.
        counts = there | ~there.any(axis=2, keepdims=True)
        counts = torch.from_numpy(counts.ravel()).to(y.device)
        targets = Targets(y, weight=weight, counts=counts)
        (loss,) = self._losses_of_steps(targets, 1, sizes.size)
        there = torch.from_numpy(there.ravel()).to(y.device)
        x = each(lambda rows: by_fold(rows).flatten(1, 2), batches.x)
        return _Validation(x, y, loss, sizes, there)


class _Validation(NamedTuple):
    """What m nets in F folds are validated on, in S batches of B rows each."""

    x: Any  # structure of tensors of shape (F, S * B, ...)
    y: torch.Tensor  # (m * S * B, ...)
    loss: Loss  # of all batches, (m * S,)
    sizes: np.ndarray  # (m, S)
    there: torch.Tensor  # which rows are no padding, (m * S * B,)


def _nothing() -> None:
    """No callback is shown the batches of a vectorized fit."""


def _smoothing(net: NeuralNet, label_smoothing: float) -> NeuralNet:
    """Return the net with another label smoothing."""
    criterion = copy(net.criterion_)
    criterion.label_smoothing = label_smoothing
    return twin(net, criterion_=criterion)


def _between(
    share: torch.Tensor, plain: Loss, smooth: Loss, output: torch.Tensor
) -> torch.Tensor:
    start = plain(output)
    return start.lerp(smooth(output), share.to(start))


def _drawn(fold: Fold) -> torch.Tensor:
    """Draw the order of the rows of a fold, as a net that is fitted alone does."""
    with fold.stream.resumed():
        return fold.train.order()


def records_accuracy(net: NeuralNet) -> bool:
    """Whether a net has skorch's score of accuracy on validation rows."""
    scoring = getattr(dict(net.callbacks_).get("valid_acc"), "scoring", None)
    return isinstance(net, NeuralNetClassifier) and scoring == "accuracy"


# One optimizer for all.


def _optimizer(net: NeuralNet, members: nn.Module) -> optim.Optimizer:
    named = list(members.named_parameters())

    def made(**options: bool) -> optim.Optimizer:
        args, kwargs = net.get_params_for_optimizer("optimizer", named)
        return net.optimizer(*args, **kwargs, **options)

    optimizer = made()
    # The same step, of all numbers at once, unless the user says how it is to be taken.
    groups = optimizer.param_groups
    plain = all(
        group.get(name) in (None, default) for group in groups for name, default in HOW
    )
    on_cpu = all(p.is_floating_point() and p.device.type == "cpu" for _, p in named)
    if plain and on_cpu and type(optimizer) in FUSED:
        return made(fused=True)
    return optimizer


def _kept(
    net: NeuralNet,
    members: nn.Module,
    before: dict[str, nn.Parameter],
    kept: torch.Tensor,
) -> optim.Optimizer:
    """Return the optimizer of the members that are kept, which goes on from here."""
    optimizer, old = _optimizer(net, members), net.optimizer_
    for group, old_group in zip(optimizer.param_groups, old.param_groups, strict=True):
        group |= _settings(old_group)
    for name, parameter in members.named_parameters():
        state = old.state.get(before[name], {})
        optimizer.state[parameter] = {k: _of_members(v, kept) for k, v in state.items()}
    return optimizer


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _of_members(value: torch.Tensor, numbers: int | torch.Tensor) -> torch.Tensor:
    """The part of an optimizer's state that some members have; all share a count."""
    return value[numbers] if value.ndim else value


# Callbacks: those that watch epochs are each net's own, and told of its member; what
# happens at each step is done for all at once.


def _watching(net: NeuralNet) -> list[Callback]:
    return [cb for _, cb in net.callbacks_ if type(cb) in WATCHING]


def _callbacks_of(fit: VectorizedFit) -> list[tuple[str, Callback]]:
    """Callbacks of the net around all members that do what those of members do."""
    own = [callback for _, callback in fit.nets[0].callbacks_]
    callbacks: list[tuple[str, Callback]] = [
        ("clip", _ClipEach(cb.gradient_clip_value, cb.gradient_clip_norm_type))
        for cb in own
        if type(cb) is GradientNormClipping
    ]
    rates = [
        [(group["lr"], group.get("weight_decay")) for group in groups]
        for groups in (net.optimizer_.param_groups for net in fit.nets)
    ]
    scheduled = any(type(callback) is LRScheduler for callback in own)
    if scheduled or any(of_net != rates[0] for of_net in rates):
        callbacks.append(("rates", _OwnRates(fit)))  # (after the clipping)
    return callbacks


def _schedules(net: NeuralNet) -> list[Any]:
    """Return the schedules of learning rates of a net, which callbacks hold."""
    return [cb.lr_scheduler_ for cb in _watching(net) if type(cb) is LRScheduler]


class _ClipEach(Callback):
    """Clips the norm of the gradient of each member."""

    def __init__(self, max_norm: float | None, norm_type: float) -> None:
        self.max_norm, self.norm_type = max_norm, norm_type

    def on_grad_computed(
        self, net: NeuralNet, named_parameters: Any, **kwargs: Any
    ) -> None:
        grads = [p.grad for _, p in named_parameters if p.grad is not None]
        if self.max_norm is None or not grads:
            return
        norms = [
            torch.linalg.vector_norm(grad.reshape(len(grad), -1), self.norm_type, dim=1)
            for grad in grads
        ]
        norm = torch.linalg.vector_norm(torch.stack(norms), self.norm_type, dim=0)
        factor = (self.max_norm / (norm + 1e-6)).clamp(max=1)  # as torch does
        for grad in grads:
            grad.mul_(beside(factor, grad))


class _OwnRates(Callback):
    """Lets each member learn, and its weights decay, as its own optimizer is set to.

    The optimizer of all takes a step at the highest rate, of which slower members take
    their share. Weight decays that differ are left to this callback: they go into the
    gradients, or, where the optimizer decouples them, are taken off after the step.
    """

    def __init__(self, fit: VectorizedFit) -> None:
        self.fit = fit
        # Parameters with the decay that goes into their gradients, and with what they
        # were before a step, which share of it each member takes, and what it loses.
        self.coupled: list[tuple[nn.Parameter, np.ndarray]] = []
        self.apart: list[
            tuple[nn.Parameter, torch.Tensor, np.ndarray, np.ndarray | None]
        ] = []

    def on_batch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        self.coupled, self.apart = [], []
        groups = [n.optimizer_.param_groups for n in self.fit.running_nets()]
        for group, *own in zip(net.optimizer_.param_groups, *groups, strict=True):
            group |= _settings(own[0])
            rates, decays = (
                np.array([of_net.get(name, 0) for of_net in own], dtype=float)
                for name in ("lr", "weight_decay")
            )
            group["lr"] = rates.max()
            slower, lost = (rates != rates.max()).any(), None
            if (decays != decays[0]).any():
                group["weight_decay"] = 0.0
                if _decouples(net.optimizer_, group):
                    lost = rates * decays
                else:
                    decays *= -1 if group.get("maximize") else 1
                    self.coupled += [(p, decays) for p in group["params"]]
            if slower or lost is not None:
                share = rates / rates.max() if slower else np.ones(len(rates))
                self.apart += [
                    (p, p.detach().clone(), share, lost) for p in group["params"]
                ]

    @torch.no_grad()
    def on_grad_computed(self, net: NeuralNet, **kwargs: Any) -> None:
        for parameter, decays in self.coupled:
            if parameter.grad is not None:
                decay = beside(decays, parameter)
                parameter.grad.addcmul_(parameter, decay)

    def on_batch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        with torch.no_grad():
            for parameter, before, share, lost in self.apart:
                after = before.lerp(parameter, beside(share, parameter))
                if lost is not None and parameter.grad is not None:
                    after -= before * beside(lost, parameter)
                parameter.copy_(after)
        for member in self.fit.running_nets():
            for callback in _watching(member):
                if getattr(callback, "step_every", None) == "batch":
                    member.history.new_batch()
                    callback.on_batch_end(member, training=True)


def _decouples(optimizer: optim.Optimizer, group: dict[str, Any]) -> bool:
    """Whether weights decay beside the step, and not by their gradients."""
    apart = isinstance(optimizer, optim.AdamW | Muon)
    return apart or bool(group.get("decoupled_weight_decay", False))
