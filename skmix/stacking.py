"""Fits of nets that differ in their rows and in alpha alone, as one.

A net around a `Stack` takes the steps of `skmix.loop`, on `Lanes` of all its members.
From top to bottom: the fit, its optimizer and callbacks, and which nets can have it.
"""

from copy import deepcopy
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
from skorch.history import History
from torch import nn, optim

from skmix.batches import CHUNK_CELLS, Batches, n_cells
from skmix.columns import each
from skmix.lanes import train_lanes, valid_lanes
from skmix.loop import Step, run_epoch
from skmix.losses import losses_of_steps
from skmix.nets import METHODS, is_skorchs_own, set_mode, twin
from skmix.stack import Stack, is_tied, may_be_direct


class StackedFit:
    """A fit of several nets as one, an epoch at a time.

    Parameters
    ----------
    nets : list of skorch.NeuralNet
        M initialised nets for which `why_alone` gives no reason.
    folds : list of skmix.lanes.Fold
    fold_of, alpha_of : array-like of shape (M,), int
        Which of the folds, and which alpha of its plan, each net has.
    direct : bool, default=False
        As in `skmix.stack.Stack`.
    check_output : callable, default=None
        As in `skmix.training.mixed_training`.

    Attributes
    ----------
    running : ndarray of shape (m,), int
        Numbers of the nets that are still trained.

    Notes
    -----
    Each net has a history and callbacks of its own. While it is trained its module
    shows the values of its member of the stack, so that callbacks may look at it; when
    one stops it, and at the end, they are handed over to it.
    """

    def __init__(
        self, nets, folds, fold_of, alpha_of, *, direct=False, check_output=None
    ):
        self.nets, self.folds = nets, folds
        self._check_output = check_output
        self.fold_of, self.alpha_of = np.asarray(fold_of), np.asarray(alpha_of)
        self.running = np.arange(len(nets))
        self.stack = Stack([net.module_ for net in nets], direct=direct)
        self.net = twin(nets[0], module_=self.stack, history_=History())
        self.net.callbacks_ = _callbacks_of(self)
        self.net.optimizer_ = _optimizer(self.net, self.stack.members)
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
        if self.folds[0].valid is not None:
            values |= self._validate()
        for k, m in enumerate(self.running):
            self._record(m, {name: float(value[k]) for name, value in values.items()})
        self.stop(self._told_to_stop())

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
            before = dict(self.stack.members.named_parameters())
            self.stack.keep(kept)
            self.net.optimizer_ = _kept(self.net, self.stack.members, before, kept)
            self._show()

    def finish(self):
        """Train no net any further."""
        self.stop(self.running)

    def _show(self):
        for place, net in enumerate(self.running_nets()):
            self.stack.show(place, net.module_)

    def _hand_over(self, place):
        net = self.nets[self.running[place]]
        self.stack.show(place, net.module_, copy=True)
        parameters = dict(self.stack.members.named_parameters())
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
        for m in self.running:
            try:
                for callback in _watching(self.nets[m]):
                    callback.on_epoch_end(self.nets[m])
            except KeyboardInterrupt:  # as skorch's callbacks end a training
                stopped.append(m)
        return stopped

    # Training: losses and lam of each running net, (m,).

    def _train(self, orders):
        losses, sizes, lam = [], [], []
        members = self.fold_of[self.running], self.alpha_of[self.running]
        epoch = len(self.net.history)
        for lanes in train_lanes(self.folds, orders, *members, epoch):
            sizes.append(lanes.sizes)
            lam.append(lanes.lam_mean)
            steps = self._steps(lanes, losses)
            run_epoch(self.net, steps, training=True, prefix="train")
        sizes, lam = np.concatenate(sizes), np.concatenate(lam).mean(axis=0)
        losses = torch.stack(losses).cpu().double().numpy()  # (S, m)
        loss = (losses * sizes).sum(axis=0) / sizes.sum(axis=0)
        return {"lam_mean": np.broadcast_to(lam, loss.shape), "train_loss": loss}

    def _steps(self, lanes, losses):
        """Yield the steps of lanes, each of which adds its members' losses."""
        plan = self.folds[0].dealer.plan
        layer = None if plan is None or lanes.share is None else plan.layers[0]
        permuted = plan is None or not plan.from_table

        def total(loss, output):
            if self._check_output is not None:
                check, self._check_output = self._check_output, None
                check(self.net, output)
            of_members = loss(output)
            losses.append(of_members.detach())
            return of_members.sum()

        for k, loss in enumerate(self._losses(lanes, len(lanes.sizes), permuted)):
            x = each(lambda part, k=k: part[k], lanes.x)
            step = Step(x, partial(total, loss), int(lanes.sizes[k].sum()), _nothing)
            if layer is not None:
                mixing = self.stack.mixing_behind
                step = step._replace(within=partial(mixing, layer, lanes.share[k]))
            yield step

    def _losses(self, lanes, n_steps, permuted=True):
        flat = [
            None if part is None else part.flatten(0, 2)
            for part in (lanes.y, lanes.y_partner, lanes.share, lanes.weight)
        ]
        counts = lanes.counts
        return losses_of_steps(
            self.net,
            *flat,
            n_steps,
            permuted=permuted,
            n_members=lanes.sizes.size // n_steps,
            counts=None if counts is None else counts.flatten(),
        )

    # Validation: losses, and accuracies of classifiers, of each running net, (m,).

    def _validate(self):
        if self._valid is None:
            self._valid = self._validation()
        set_mode(self.net, False)
        m, classify = len(self.running), _scores_accuracy(self.nets[0])
        loss, right, n_rows = np.zeros(m), np.zeros(m), np.zeros(m)
        with torch.no_grad():
            for part in self._valid:
                output = self.net.infer(part.x)
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
        lanes = valid_lanes(self.folds, self.fold_of[self.running])
        n_steps, m, size = lanes.y.shape[:3]
        at_once = max(1, 4 * CHUNK_CELLS // (m * size * n_cells(self.folds[0].train.X)))
        starts = range(0, n_steps, at_once)
        return [self._validation_part(lanes, slice(k, k + at_once)) for k in starts]

    def _validation_part(self, lanes, steps):
        def by_member(rows):  # (S, m, B, ...) -> (m, S, B, ...)
            return rows[steps].transpose(0, 1)

        y, sizes = by_member(lanes.y).flatten(0, 2), lanes.sizes[steps].T
        weight = None
        if lanes.weight is not None:
            weight = by_member(lanes.weight).flatten()
        there = np.arange(lanes.y.shape[2]) < sizes[:, :, None]
        # Batches that are all padding have a loss, too, which then counts nothing.
        counts = there | ~there.any(axis=2, keepdims=True)
        counts = torch.from_numpy(counts.ravel()).to(y.device)
        (loss,) = losses_of_steps(
            self.net, y, None, None, weight, 1, n_members=sizes.size, counts=counts
        )
        there = torch.from_numpy(there.ravel()).to(y.device)
        x = each(lambda rows: by_member(rows).flatten(1, 2), lanes.x)
        return _Validation(x, y, loss, sizes, there)


class _Validation(NamedTuple):
    """Rows of m nets, one net's below another's, in S batches of B each.

    Attributes
    ----------
    x : structure of torch.Tensor of shape (m, S * B, ...)
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
    """Batches of a stack are shown to nobody."""


def _drawn(fold):
    """Draw the order of the rows of a fold, as a net that is fitted alone does."""
    with fold.stream.resumed():
        order = fold.train.order()
        if fold.valid is not None:
            fold.valid.order()
    return order


def _scores_accuracy(net):
    """Whether a net has skorch's score of accuracy on validation rows."""
    return type(net) is NeuralNetClassifier and "valid_acc" in dict(net.callbacks_)


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

HOW = ("fused", "foreach", "capturable", "differentiable")
FUSED = (optim.SGD, optim.Adam, optim.AdamW, optim.Adagrad)


def _optimizer(net, members):
    named = list(members.named_parameters())

    def made(**options):
        args, kwargs = net.get_params_for_optimizer("optimizer", named)
        return net.optimizer(*args, **kwargs, **options)

    optimizer = made()
    # The same step, of all numbers at once, unless the user says how it is to be taken.
    plain = all(not group.get(name) for group in optimizer.param_groups for name in HOW)
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
    """Callbacks of the net around a stack, for what those of its members' nets do."""
    kinds = {type(cb): cb for _, cb in fit.nets[0].callbacks_}
    callbacks = []
    if GradientNormClipping in kinds:
        clip = kinds[GradientNormClipping]
        limits = clip.gradient_clip_value, clip.gradient_clip_norm_type
        callbacks.append(("clip", _ClipEach(fit, *limits)))
    if LRScheduler in kinds:
        callbacks.append(("rates", _Rates(fit)))
    return callbacks


class _ClipEach(Callback):
    """Clips the norm of the gradient of each member."""

    def __init__(self, fit, max_norm, norm_type):
        self.fit, self.max_norm, self.norm_type = fit, max_norm, norm_type

    def on_grad_computed(self, net, named_parameters, **kwargs):
        grads = [p.grad for _, p in named_parameters if p.grad is not None]
        if self.max_norm is None or not grads:
            return
        norms = [
            torch.linalg.vector_norm(grad.flatten(1), self.norm_type, dim=1)
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


# Which nets can be trained in a stack, and should be.


def why_alone(net, plan, fold):
    """Why nets like this one cannot be trained in a stack.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialised.
    plan : skmix.plan.Plan or None
    fold : skmix.lanes.Fold

    Returns
    -------
    reason : str or None
        None if they can be.
    """
    reason = _why_of_net(net) or _why_of_callbacks(net) or _why_of_plan(plan)
    dealt = isinstance(fold.train, Batches) and isinstance(fold.valid, Batches)
    if reason is None and not dealt:
        reason = "it has a data iterator, a dataset or a collate function of its own"
    return reason or _why_of_module(net, fold)


def _why_of_net(net):
    if not is_skorchs_own(net, *METHODS):
        return f"{type(net).__name__} has methods of its own"
    optimizer = getattr(net.optimizer, "func", net.optimizer)
    if optimizer not in ELEMENTWISE:
        name = getattr(optimizer, "__name__", repr(optimizer))
        return f"its optimizer, {name}, may look at several numbers at once"
    if list(net.criterion_.parameters()):
        return "its criterion has parameters"
    if getattr(net.criterion_, "reduction", None) not in ("mean", "sum"):
        return "its criterion has no `reduction` to 'none'"
    if net.compile:
        return "its module is compiled"
    if is_tied(net.module_):
        return "its module has tied parameters"
    return None


def _why_of_callbacks(net):
    known = {"epoch_timer": EpochTimer, "train_loss": PassthroughScoring}
    known |= {"valid_loss": PassthroughScoring, "valid_acc": EpochScoring}
    known |= {"print_log": PrintLog}
    recorded = {"train_loss", "valid_loss", "valid_acc"}
    for name, callback in net.callbacks_:
        kind = type(callback)
        if isinstance(callback, PrintLog) or kind is known.get(name):
            continue
        if kind is GradientNormClipping:
            continue
        if kind in (EarlyStopping, LRScheduler) and callback.monitor in recorded:
            continue
        return f"it has the callback {name} ({kind.__name__})"
    return None


def _why_of_plan(plan):
    if plan is None:
        return None
    if plan.clean_weight:
        return "clean_weight adds a loss of unmixed rows"
    if len(plan.layers) > 1:
        return "each step mixes at one of several layers"
    if plan.layers[0] is not None and not plan.is_plain:
        return "rows are mixed inside, and not by mixing='mixup'"
    return None


def _why_of_module(net, fold):
    """Try two members in a stack and alone, on a few rows and without dropout."""
    try:
        return _why_of_trial(net, _few_rows(fold), direct=False)
    except Exception as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return f"torch.func.vmap does not take its module ({what})"


def is_direct(net, plan, fold):
    """Whether members of a stack may be passed through the code of one of them."""
    inside = plan is not None and plan.layers[0] is not None
    dropouts = {type(m) for m in net.module_.modules() if _is_dropout(m)}
    if inside or dropouts - {nn.Dropout} or not may_be_direct(net.module_):
        return False
    try:
        return _why_of_trial(net, _few_rows(fold), direct=True) is None
    except Exception:  # its code does mind the further axis
        return False


def _few_rows(fold):
    batches = fold.train
    return batches.take(batches.indices[torch.arange(8) % len(batches.indices)])[0]


def _why_of_trial(net, x, direct):
    alone = [_without_dropout(net.module_) for _ in range(2)]
    together = Stack([deepcopy(module) for module in alone], direct=direct)
    rows = [each(itemgetter(slice(k, k + 4)), x) for k in (0, 4)]
    both = each(lambda *parts: torch.stack(parts), *rows)
    for training in (True, False):
        for module in (*alone, together):
            module.train(training)
        expected = [_infer(net, *pair) for pair in zip(alone, rows, strict=True)]
        if not isinstance(expected[0], torch.Tensor):
            return "its module puts out more than one tensor"
        again = _infer(net, deepcopy(alone[0]), rows[0])
        got, drawn = _infer(net, together, both), not _alike(again, expected[0])
        if not drawn and not _alike(got, torch.cat(expected)):
            return "its module puts out something else in a stack"
    for k, module in enumerate(alone):
        for name, buffer in module.named_buffers():
            if not _alike(together.members.get_buffer(name)[k], buffer):
                return f"its module changes its buffer {name} otherwise in a stack"
    return None


def rows_see_each_other(net, fold):
    """Whether outputs depend on the other rows of a batch, as with BatchNorm."""
    x, module = _few_rows(fold), _without_dropout(net.module_).train()
    some = each(itemgetter(slice(4)), x)
    with torch.no_grad():
        few, all_rows = _infer(net, deepcopy(module), some), _infer(net, module, x)
    return not _alike(few, all_rows[:4])


def is_worth_it(net, fold):
    """Whether a stack is faster than its members alone: their steps are small."""
    n_rows = min(fold.train.batch_size, len(fold.train.indices))
    n_parameters = sum(p.numel() for p in net.module_.parameters() if p.requires_grad)
    return n_rows * n_parameters <= LARGE_STEP


def members_at_once(net, fold):
    """How many members fit into the memory that a stack may take."""
    n_rows = min(fold.train.batch_size, len(fold.train.indices))
    module, n_outputs = _without_dropout(net.module_), 0

    def count(part, args, output):
        nonlocal n_outputs
        if isinstance(output, torch.Tensor):
            n_outputs += output.numel()

    for part in module.modules():
        part.register_forward_hook(count)
    with torch.no_grad():
        _infer(net, module, _few_rows(fold))
    tensors = module.state_dict().values()
    # Values, gradients, two moments and the best epoch's; outputs and their gradients.
    numbers = 5 * sum(t.numel() for t in tensors) + 2 * n_outputs / 8 * n_rows
    return max(1, int(MEMORY / 4 / numbers))


LARGE_STEP = 2**26  # parameters times rows
MEMORY = 2**30  # bytes


def _infer(net, module, x):
    return twin(net, module_=module).infer(x)


def _without_dropout(module):
    module = deepcopy(module)
    for part in module.modules():
        if _is_dropout(part):
            part.p = 0.0
    return module


def _is_dropout(module):
    return "Dropout" in type(module).__name__ and hasattr(module, "p")


def _alike(a, b):
    if a.shape != b.shape:
        return False
    a, b = a.detach().double(), b.detach().double()
    return bool(torch.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True))
