"""Fits of nets that differ in their rows and in alpha alone, as one.

A net around a `VectorizedModule` takes the steps of `skmix._training.epoch` on
`MemberBatches`.
From top to bottom: the fit, its optimizer and its callbacks.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
)
from skorch.history import History
from torch import optim

from skmix._columns import each
from skmix._training.epoch import Step, run_epoch
from skmix._training.interruption import Stopped, callbacks_may_stop
from skmix._training.loader import CHUNK_CELLS, n_cells
from skmix._training.loss import losses_of_steps
from skmix._training.skorch_compat import inferring, set_mode, twin
from skmix._vectorized.loader import training_batches, validation_batches
from skmix._vectorized.module import VectorizedModule


class VectorizedFit:
    """A fit of several nets as one, an epoch at a time.

    Parameters
    ----------
    nets : list of skorch.NeuralNet
        M initialised nets that can be vectorized (see `skmix._vectorized.support`).
    folds : list of skmix._vectorized.loader.Fold
    fold_of, alpha_of : array-like of shape (M,), int
        Which of the folds, and which alpha of its plan, each net has.
    direct : bool, default=False
        As in `skmix._vectorized.module.VectorizedModule`.

    Attributes
    ----------
    running : ndarray of shape (m,), int
        Numbers of the nets that are still trained.

    Notes
    -----
    Each net has a history and callbacks of its own. While it is trained its module
    shows the values of its member, so that callbacks may look at it; when
    one stops it, and at the end, they are handed over to it.
    """

    def __init__(self, nets, folds, fold_of, alpha_of, *, direct=False):
        self.nets, self.folds = nets, folds
        self.fold_of, self.alpha_of = np.asarray(fold_of), np.asarray(alpha_of)
        self.running = np.arange(len(nets))
        self.module = VectorizedModule([net.module_ for net in nets], direct=direct)
        self.net = twin(nets[0], module_=self.module, history_=History())
        self.net.callbacks_ = _callbacks_of(self)
        self.net.optimizer_ = _optimizer(self.net, self.module.members)
        self._batch_losses = {}  # of each net in its last epoch, (S,)
        self._best = [{} for _ in nets]  # of each net, the best value so far, by name
        self._valid = None
        self._show()

    def epoch(self):
        """Train for an epoch, validate, and tell each net's callbacks of it."""
        self.net.history.new_epoch()
        for net in self.running_nets():
            net.history.new_epoch()
            net.history.record("epoch", len(net.history))
        orders = [_drawn(fold) for fold in self.folds]
        values = self._train(orders)
        values |= self._validate()
        for k, m in enumerate(self.running):
            self._record(m, {name: float(value[k]) for name, value in values.items()})
        self.stop(self._told_to_stop())

    def batch_losses(self, m):
        """Training losses of a net's batches in its last epoch, of shape (n_steps,)."""
        return self._batch_losses[m]

    def running_nets(self):
        return [self.nets[m] for m in self.running]

    def stop(self, numbers):
        """Train the nets of these numbers no further, and hand their values over."""
        gone = np.isin(self.running, numbers)
        if not gone.any():
            return
        for place in np.flatnonzero(gone):
            self._hand_over(place)
        kept = torch.from_numpy(np.flatnonzero(~gone))
        self.running, self._valid = self.running[~gone], None
        if len(self.running):
            before = dict(self.module.members.named_parameters())
            self.module.keep(kept)
            self.net.optimizer_ = _kept(self.net, self.module.members, before, kept)
            self._show()

    def finish(self):
        """Train no net any further."""
        self.stop(self.running)

    def _show(self):
        for place, net in enumerate(self.running_nets()):
            self.module.show(place, net.module_)

    def _hand_over(self, place):
        net = self.nets[self.running[place]]
        self.module.show(place, net.module_, copy=True)
        parameters = dict(self.module.members.named_parameters())
        for name, parameter in net.module_.named_parameters():
            state = self.net.optimizer_.state.get(parameters[name], {})
            own = {k: _of_members(v, place).clone() for k, v in state.items()}
            if own:
                net.optimizer_.state[parameter] = own
        net.notify("on_train_end", X=None, y=None)

    def _record(self, m, values):
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

    def _told_to_stop(self):
        """Tell callbacks of the end of an epoch; return the nets they stop."""
        stopped = []
        for place, m in enumerate(self.running):
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

    def _train(self, orders):
        losses, sizes, lam = [], [], []
        members = self.fold_of[self.running], self.alpha_of[self.running]
        epoch = len(self.net.history)
        for batches in training_batches(self.folds, orders, *members, epoch):
            sizes.append(batches.sizes)
            lam.append(batches.lam_mean)
            steps = self._steps(batches, losses)
            run_epoch(self.net, steps, training=True, prefix="train")
        sizes, lam = np.concatenate(sizes), np.concatenate(lam).mean(axis=0)
        losses = torch.stack(losses).cpu().double().numpy()  # (S, m)
        self._batch_losses |= dict(zip(self.running, losses.T, strict=True))
        loss = (losses * sizes).sum(axis=0) / sizes.sum(axis=0)
        return {"lam_mean": np.broadcast_to(lam, loss.shape), "train_loss": loss}

    def _steps(self, batches, losses):
        """Yield the steps of batches, each of which adds its members' losses."""
        plan = self.folds[0].dealer.plan
        layer = None if plan is None or batches.share is None else plan.layers[0]
        permuted = plan is None or not plan.from_table

        def total(loss, output):
            of_members = loss(output)
            losses.append(of_members.detach())
            return of_members.sum()

        for k, loss in enumerate(self._losses(batches, len(batches.sizes), permuted)):
            x = each(lambda part, k=k: part[k], batches.x)
            step = Step(x, partial(total, loss), int(batches.sizes[k].sum()), _nothing)
            if layer is not None:
                mixing = self.module.mixing_behind
                step = step._replace(within=partial(mixing, layer, batches.share[k]))
            yield step

    def _losses(self, batches, n_steps, permuted=True):
        flat = [
            None if part is None else part.flatten(0, 2)
            for part in (batches.y, batches.y_partner, batches.share, batches.weight)
        ]
        counts = batches.counts
        return losses_of_steps(
            self.net,
            *flat,
            n_steps,
            permuted=permuted,
            n_members=batches.sizes.size // n_steps,
            counts=None if counts is None else counts.flatten(),
        )

    # Validation: losses, and accuracies of classifiers, of each running net, (m,).

    def _validate(self):
        if self._valid is None:
            self._valid = self._validation()
        set_mode(self.net, False)
        m, classify = len(self.running), records_accuracy(self.nets[0])
        loss, right, n_rows = np.zeros(m), np.zeros(m), np.zeros(m)
        with torch.no_grad():
            fold_of = self.fold_of[self.running]
            for part in self._valid:
                x = each(lambda rows: rows[fold_of], part.x)
                output = inferring(self.net, self.net.infer)(x)
                losses = part.loss(output).cpu().double().numpy().reshape(m, -1)
                loss += (losses * part.sizes).sum(axis=1)
                n_rows += part.sizes.sum(axis=1)
                if classify:
                    hit = (output.argmax(dim=1) == part.y) & part.there
                    right += hit.reshape(m, -1).sum(dim=1).cpu().numpy()
        values = {"valid_loss": loss / n_rows}
        return values | {"valid_acc": right / n_rows} if classify else values

    def _validation(self):
        """What the running nets are validated on, in parts that fit into memory."""
        batches = validation_batches(self.folds)
        n_steps, _, size = batches.y.shape[:3]
        cells = len(self.running) * size * n_cells(self.folds[0].train.X)
        at_once = max(1, 4 * CHUNK_CELLS // cells)
        starts = range(0, n_steps, at_once)
        return [self._validation_part(batches, slice(k, k + at_once)) for k in starts]

    def _validation_part(self, batches, steps):
        fold_of = self.fold_of[self.running]

        def by_fold(rows):  # (S, F, B, ...) -> (F, S, B, ...)
            return rows[steps].transpose(0, 1)

        def by_member(rows):
            return by_fold(rows)[fold_of]

        y, sizes = by_member(batches.y).flatten(0, 2), batches.sizes[steps].T[fold_of]
        weight = None
        if batches.weight is not None:
            weight = by_member(batches.weight).flatten()
        there = np.arange(batches.y.shape[2]) < sizes[:, :, None]
        # Batches that are all padding have a loss, too, which then counts nothing.
        counts = there | ~there.any(axis=2, keepdims=True)
        counts = torch.from_numpy(counts.ravel()).to(y.device)
        (loss,) = losses_of_steps(
            self.net, y, None, None, weight, 1, n_members=sizes.size, counts=counts
        )
        there = torch.from_numpy(there.ravel()).to(y.device)
        x = each(lambda rows: by_fold(rows).flatten(1, 2), batches.x)
        return _Validation(x, y, loss, sizes, there)


class _Validation(NamedTuple):
    """What m nets in F folds are validated on, in S batches of B rows each.

    Attributes
    ----------
    x : structure of torch.Tensor of shape (F, S * B, ...)
    y : torch.Tensor of shape (m * S * B, ...)
    loss : callable
        Maps outputs to the losses of batches, (m * S,).
    sizes : ndarray of shape (m, S)
    there : torch.Tensor of shape (m * S * B,), bool
        Which rows are no padding.
    """

    x: Any
    y: torch.Tensor
    loss: Any
    sizes: np.ndarray
    there: torch.Tensor


def _nothing():
    """No callback is shown the batches of a vectorized fit."""


def _drawn(fold):
    """Draw the order of the rows of a fold, as a net that is fitted alone does."""
    with fold.stream.resumed():
        return fold.train.order()


def records_accuracy(net):
    """Whether a net has skorch's score of accuracy on validation rows."""
    scoring = getattr(dict(net.callbacks_).get("valid_acc"), "scoring", None)
    return isinstance(net, NeuralNetClassifier) and scoring == "accuracy"


# One optimizer for all: those of torch that treat each number by itself, and whose step
# is in proportion to the learning rate.

ELEMENTWISE = (
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

HOW = (
    ("fused", None),
    ("foreach", None),
    ("capturable", False),
    ("differentiable", False),
)
FUSED = (optim.SGD, optim.Adam, optim.AdamW, optim.Adagrad)


def _optimizer(net, members):
    named = list(members.named_parameters())

    def made(**options):
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


def _kept(net, members, before, kept):
    """Return the optimizer of the members that are kept, which goes on from here."""
    optimizer, old = _optimizer(net, members), net.optimizer_
    for group, old_group in zip(optimizer.param_groups, old.param_groups, strict=True):
        group |= {k: v for k, v in old_group.items() if k != "params"}
    for name, parameter in members.named_parameters():
        state = old.state.get(before[name], {})
        optimizer.state[parameter] = {k: _of_members(v, kept) for k, v in state.items()}
    return optimizer


def _of_members(value, numbers):
    """The part of an optimizer's state that some members have; all share a count."""
    return value[numbers] if value.ndim else value


# Callbacks: those that watch epochs are each net's own, and told of its member; what
# happens at each step is done for all at once.


def _watching(net):
    return [cb for _, cb in net.callbacks_ if type(cb) in (EarlyStopping, LRScheduler)]


def _callbacks_of(fit):
    """Callbacks of the net around all members that do what those of members do."""
    own = [callback for _, callback in fit.nets[0].callbacks_]
    callbacks = [
        ("clip", _ClipEach(cb.gradient_clip_value, cb.gradient_clip_norm_type))
        for cb in own
        if type(cb) is GradientNormClipping
    ]
    if any(type(callback) is LRScheduler for callback in own):
        callbacks.append(("rates", _Rates(fit)))
    return callbacks


class _ClipEach(Callback):
    """Clips the norm of the gradient of each member."""

    def __init__(self, max_norm, norm_type):
        self.max_norm, self.norm_type = max_norm, norm_type

    def on_grad_computed(self, net, named_parameters, **kwargs):
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
            grad.mul_(factor.reshape(-1, *[1] * (grad.ndim - 1)))


class _Rates(Callback):
    """Lets each member learn at the rate that its own net's optimizer is set to."""

    def __init__(self, fit):
        self.fit = fit
        self.before = None

    def on_batch_begin(self, net, **kwargs):
        nets, self.before = self.fit.running_nets(), []
        for g, group in enumerate(net.optimizer_.param_groups):
            own = [member.optimizer_.param_groups[g] for member in nets]
            group |= {k: v for k, v in own[0].items() if k != "params"}
            rates = np.array([each_own["lr"] for each_own in own], dtype=float)
            group["lr"] = rates.max()
            if (rates != rates.max()).any():
                slower = rates / rates.max()
                self.before += [
                    (p, p.detach().clone(), slower) for p in group["params"]
                ]

    def on_batch_end(self, net, loss=None, **kwargs):
        with torch.no_grad():
            for parameter, before, slower in self.before:
                share = torch.as_tensor(slower).to(parameter)
                share = share.reshape(-1, *[1] * (parameter.ndim - 1))
                parameter.copy_(before.lerp(parameter, share))
        for member in self.fit.running_nets():
            for callback in _watching(member):
                if getattr(callback, "step_every", None) == "batch":
                    member.history.new_batch()
                    callback.on_batch_end(member, training=True)
