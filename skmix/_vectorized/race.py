"""The training of all members of a search: each candidate in each fold.

Members of one architecture are trained as one stack where that can be and is faster,
and else one by one, with the same results. Which members are trained together depends
on candidates and folds, and never on the number of processes.
"""

import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import clone
from tqdm.auto import tqdm

from skmix._base import Rows
from skmix._default_net import train_once, trains_twice
from skmix._training.convergence import (
    Diverged,
    batch_losses,
    ends_above_start,
    history_ends_above_start,
    is_finite,
    record_divergence,
)
from skmix._training.interruption import Stopped, interruptible
from skmix._training.loader import Batches, Dealer
from skmix._training.loss import first_output
from skmix._training.patch import mixed_training
from skmix._training.random import Stream, one_thread_each, seeded
from skmix._training.skorch_compat import (
    bind_prints,
    inferring,
    is_skorchs_own,
    patience_of,
)
from skmix._training.steps import check_layers_of
from skmix._vectorized.carrying import NetState
from skmix._vectorized.loader import Fold
from skmix._vectorized.support import (
    is_direct,
    is_worth_it,
    members_at_once,
    rows_see_each_other,
    why_alone,
)
from skmix._vectorized.trainer import StackedFit


class LoneFits:
    """Fits of several nets, an epoch of each at a time.

    Parameters
    ----------
    nets : list of skorch.NeuralNet
        M nets, not initialised, whose `fit` is skorch's own.
    loans : list of context manager
        In which each is trained, as of `skmix._training.patch.mixed_training`.
    rows : list of skmix._base.Rows
        What each net is trained on.
    streams : list of skmix._training.random.Stream
        What each draws from.

    Attributes
    ----------
    running : ndarray of shape (m,), int
        Numbers of the nets that are still trained.

    Notes
    -----
    Each net draws what it would draw if it were fitted by itself.
    """

    def __init__(self, nets, loans, rows, streams):
        self.nets, self.streams = nets, streams
        self.running = np.arange(len(nets))
        self.loans = [ExitStack() for _ in nets]
        self.data = []
        for k, net in enumerate(nets):
            with streams[k].resumed():
                self.loans[k].enter_context(loans[k])
                net.initialize()
                X, y = rows[k].X, rows[k].y
                net.notify("on_train_begin", X=X, y=y)
                net.check_data(X, y)  # tells a classifier its classes
                train, valid = net.get_split_datasets(X, y)
                iterators = (
                    net.get_iterator(train, training=True),
                    net.get_iterator(valid, training=False),
                )
            datasets = {"dataset_train": train, "dataset_valid": valid}
            self.data.append((iterators, datasets))

    def epoch(self):
        """Train and validate each net for an epoch, as `skorch.NeuralNet.fit` does."""
        stopped = []
        for m in self.running:
            try:
                self._epoch_of(m)
            except Stopped:  # by a callback
                stopped.append(m)
            except Diverged:
                record_divergence(self.nets[m])
                stopped.append(m)
        self.stop(stopped)

    def _epoch_of(self, m):
        net, ((train, valid), datasets) = self.nets[m], self.data[m]
        with self.streams[m].resumed():
            net.notify("on_epoch_begin", **datasets)
            step = {"prefix": "train", "step_fn": net.train_step}
            net.run_single_epoch(train, training=True, **step)
            step = {"prefix": "valid", "step_fn": net.validation_step}
            net.run_single_epoch(valid, training=False, **step)
            net.notify("on_epoch_end", **datasets)

    def batch_losses(self, m):
        """Training losses of a net's batches in its last epoch, of shape (n_steps,)."""
        return batch_losses(self.nets[m].history[-1])

    def stop(self, numbers):
        """Train the nets of these numbers no further."""
        for m in np.intersect1d(self.running, numbers):
            self.nets[m].notify("on_train_end", X=None, y=None)
            self.loans[m].close()
        self.running = np.setdiff1d(self.running, numbers)

    def finish(self):
        """Train no net any further."""
        self.stop(self.running)


class Split(NamedTuple):
    """A fold: an estimator that knows its training rows, and these, coded.

    Attributes
    ----------
    template : MixupClassifier or MixupRegressor
        It has learnt how rows are coded, and has no net. Its `random_state` is an int.
    net : skorch.NeuralNet
        Not initialised.
    rows : skmix._base.Rows
        To train on.
    validation : tuple (X, y, weight)
        Rows held out, but for those that count nothing.
    test : ndarray of shape (n_test,), int
        Numbers of the rows held out.
    X_test : ndarray, CSR matrix or mapping
        All of them, coded.
    """

    template: Any
    net: Any
    rows: Rows
    validation: tuple
    test: np.ndarray
    X_test: Any

    @property
    def seed(self):
        return self.template.random_state

    def new_net(self):
        """Return a net to be trained, not initialised."""
        net = clone(self.net)  # its epoch may be chosen for all folds together
        train_once(net, stopping=not trains_twice(net))
        return net.set_params(train_split=None)

    def mixes_inside(self, candidate):
        """Whether rows are mixed behind a layer."""
        plan = self.template_of(candidate)._plan(self.net, self.seed)
        return any(layer is not None for layer in plan.layers)

    def plan_of(self, net, candidate, alphas):
        """Return the plan of fits that differ in alpha; None if none of them mixes."""
        plan = self.template_of(candidate)._plan(net, self.seed, alphas)
        check_layers_of(net.module_, plan.layers)
        return None if plan.is_off else plan

    def member_of(self, candidate, net, like=None):
        """Return the estimator that a trained net makes."""
        member = self.template_of(candidate)
        member._adopt(net, self.rows, like)
        return member

    def template_of(self, candidate):
        """Return an estimator of this setting that has no net yet."""
        member = copy(self.template)
        member.alpha, member.layers = candidate.alpha, candidate.layers
        return member

    def dealer(self, net, plan):
        """Return what deals the rows of the fold to a net."""
        about = self.template._about(self.rows)
        return Dealer(net, plan, self.rows.weight, self.validation, about)

    def check_output(self, net, output):
        """Refuse a first output of the module that cannot be right."""
        self.template._codec.check_output(net, output)

    def lend(self, net, plan):
        """Return the block in which a net trains on the rows of the fold."""
        return mixed_training(
            net,
            plan=plan,
            weight=self.rows.weight,
            validation=self.validation,
            check_output=self.check_output,
            table=self.template._about(self.rows),
        )


class Candidate(NamedTuple):
    """A setting that is compared with others in all folds."""

    alpha: float
    layers: Any

    @property
    def place(self):
        """What those that fit into one stack have in common: all but alpha."""
        return self.layers if isinstance(self.layers, str) else tuple(self.layers)


class Trained(NamedTuple):
    """What became of C candidates in F folds.

    Attributes
    ----------
    members : list of list of MixupClassifier or MixupRegressor
        For each candidate, the estimators of its folds.
    curves : ndarray of shape (C, F, n_epochs)
        Loss on rows held out after each epoch; NaN for epochs that were not run.
    epochs : ndarray of shape (C,), int
        After how many epochs all members of a candidate predict; 0 where each has a
        number of its own.
    seconds : float
    stacked : bool
        Whether they were trained as one.
    why_alone : str or None
        Why they could not be.
    diverged, rising : ndarray of shape (C, F), bool
        Whether a loss was no finite number, and whether it ended above its start.
    """

    members: list
    curves: np.ndarray
    epochs: np.ndarray
    seconds: float
    stacked: bool
    why_alone: str | None
    diverged: np.ndarray
    rising: np.ndarray


def untrained(split, candidate):
    """Return a member whose net is initialised, after a look at its first outputs.

    Raises
    ------
    ValueError
        If the outputs cannot be right.
    """
    with one_thread_each(), seeded(split.seed, split.net.device):
        start = _Start(split, candidate, [candidate.alpha])
        net, batches = start.net, start.fold.train
        if isinstance(batches, Batches):
            rows, _ = batches.take(batches.indices[: batches.batch_size])
            with torch.no_grad():
                output = inferring(net, net.infer)(rows)
            split.check_output(net, first_output(output))
        return split.member_of(candidate, net)


def train_members(candidates, splits, *, halving, verbose, n_jobs=None):
    """Train a member for each candidate and fold.

    Parameters
    ----------
    candidates : list of Candidate
    splits : list of Split
    halving : bool
        Whether candidates that are clearly behind are given up. All are trained in
        this process then, since they are compared with each other.
    verbose : bool
        Whether to show a progress bar, on the standard output.
    n_jobs : int, default=None
        Processes, as in joblib.

    Returns
    -------
    trained : Trained
    """
    begin = time.perf_counter()
    why, parts = _parts(candidates, splits, halving)
    n_jobs = min(effective_n_jobs(n_jobs), len(parts))
    total, unit = sum(part.n_steps for part in parts), parts[0].unit
    bar = tqdm(total=total, disable=not verbose, unit=unit, file=sys.stdout)
    with bar:
        found = _trained_here if n_jobs == 1 else _trained_elsewhere
        results = list(found(parts, splits, bar, n_jobs))
    order = np.argsort([number for part in parts for number in part.numbers])
    trained = _joined(results, order)
    return trained._replace(seconds=time.perf_counter() - begin, why_alone=why)


def _trained_here(parts, splits, bar, n_jobs):
    for part in parts:
        before = bar.n
        yield part.train(splits, bar.update)
        bar.update(before + part.n_steps - bar.n)


def _trained_elsewhere(parts, splits, bar, n_jobs):
    """Train in processes, of which states come back: classes may be known here only."""
    work = (delayed(_carried)(part, splits) for part in parts)
    carried = Parallel(n_jobs=n_jobs, return_as="generator")(work)
    for part, trained in zip(parts, carried, strict=True):
        bar.update(part.n_steps)
        yield trained._replace(members=part.members_of(trained.members, splits))


def _carried(part, splits):
    trained = part.train(splits)
    states = [[NetState.of(m.estimator_) for m in of_c] for of_c in trained.members]
    return trained._replace(members=states)


def _joined(trained, order):
    """Put together what parts have become, candidates in their own order again."""
    n_epochs = max(part.curves.shape[2] for part in trained)
    members = [of_candidate for part in trained for of_candidate in part.members]
    curves = np.concatenate([_lengthened(part.curves, n_epochs) for part in trained])
    epochs = np.concatenate([part.epochs for part in trained])
    stacked = all(part.stacked for part in trained)
    members = [members[k] for k in order]
    told = np.concatenate([[part.diverged, part.rising] for part in trained], axis=1)
    found = members, curves[order], epochs[order], 0.0, stacked, None
    return Trained(*found, *told[:, order])


def _lengthened(curves, n_epochs):
    missing = n_epochs - curves.shape[-1]
    width = [(0, 0)] * (curves.ndim - 1) + [(0, missing)]
    return np.pad(curves, width, constant_values=np.nan)


# Which candidates are trained together.


class _Part(NamedTuple):
    """Candidates whose members are trained together, in all folds.

    Attributes
    ----------
    candidates : list of Candidate
    numbers : list of int
        Which of all candidates they are.
    way : {"stacked", "in step", "alone"}
        As one stack, an epoch of each at a time, or one after the other.
    halving : bool
    n_steps : int
        Of the progress bar.
    """

    candidates: list
    numbers: list
    way: str
    halving: bool
    n_steps: int

    @property
    def unit(self):
        return "fit" if self.way == "alone" else "epoch"

    def train(self, splits, advance=None):
        """Train the members; `advance` is told of each step."""
        net, seed = splits[0].net, splits[0].seed
        stacked = self.way == "stacked"
        with one_thread_each(), seeded(seed, net.device):
            if self.way == "alone":
                return _one_after_the_other(self.candidates, splits, advance)
            options = {"stacked": stacked, "halving": self.halving}
            race = _Race(self.candidates, splits, **options)
            race.run(advance)
            found = race.members(), race.curves, race.epochs, 0.0, stacked, None
            return Trained(*found, race.diverged, race.rising())

    def members_of(self, states, splits):
        """Return members that were trained elsewhere, by the states of their nets."""
        grid, first = [], None
        for candidate, of_candidate in zip(self.candidates, states, strict=True):
            grid.append([])
            for split, state in zip(splits, of_candidate, strict=True):
                net = train_once(clone(split.net))
                net = net if self.way == "alone" else split.new_net()
                with Stream(split.seed, split.net.device).resumed():
                    net.initialize()
                state.load(net)
                member = split.member_of(candidate, net, first)
                grid[-1].append(member)
                first = member if first is None else first
        return grid


def _parts(candidates, splits, halving):
    """Return why members cannot be stacked, or None, and the parts they make."""
    net, seed = splits[0].net, splits[0].seed
    alphas = [candidate.alpha for candidate in candidates]
    firsts = {candidate.place: candidate for candidate in candidates}.values()
    with one_thread_each(), seeded(seed, net.device):
        starts = [_Start(splits[0], candidate, alphas) for candidate in firsts]
        reasons = [why_alone(start.net, start.plan, start.fold) for start in starts]
        why, start = next(filter(None, reasons), None), starts[0]
        way = "in step" if _in_step(net) else "alone"
        at_once = 1
        if why is None and is_worth_it(start.net, start.fold):
            way = "stacked"
            at_once = max(1, members_at_once(start.net, start.fold) // len(splits))
    numbers = range(len(candidates))
    if halving and way != "alone":
        groups = [list(numbers)]
        at_once = at_once if way == "stacked" else len(numbers)
    elif way == "stacked":
        groups = list(_alike(candidates, splits).values())
    else:
        groups = [list(numbers)]
    n_steps = len(splits) if way == "alone" else splits[0].net.max_epochs
    parts = []
    for group in groups:
        for k in range(0, len(group), at_once):
            some = group[k : k + at_once]
            chosen = [candidates[c] for c in some]
            parts.append(_Part(chosen, some, way, halving, n_steps))
    return why, parts


def _alike(candidates, splits):
    """Numbers of candidates that fit into one stack, by what they have in common."""
    alike = defaultdict(list)
    for c, candidate in enumerate(candidates):
        # Behind a layer, a pass has partners in it, which a net at alpha 0 sees not.
        apart = candidate.alpha == 0 and splits[0].mixes_inside(candidate)
        alike[candidate.place, apart].append(c)
    return alike


def _in_step(net):
    """Whether a net is of the default recipe, whose epochs folds choose together."""
    return trains_twice(net) and is_skorchs_own(net, *_FIT)


_FIT = ("fit", "fit_loop", "initialize", "partial_fit", "run_single_epoch")


def _one_after_the_other(candidates, splits, advance):
    """Fit each member by the `fit` of its net."""
    shape = len(candidates), len(splits)
    grid, told = [], np.zeros((2, *shape), dtype=bool)  # diverged, rising
    for c, candidate in enumerate(candidates):
        grid.append([])
        for f, split in enumerate(splits):
            member, net = split.template_of(candidate), train_once(clone(split.net))
            try:
                member._train(net, net.fit, split.rows, split.validation, split.seed)
                told[1, c, f] = history_ends_above_start(
                    net.history, mixed=candidate.alpha > 0
                )
            except Diverged:
                record_divergence(net)
                member, told[0, c, f] = split.member_of(candidate, net), True
            grid[-1].append(member)
            _tell(advance)
    curves = [[_curve(member) for member in members] for members in grid]
    n_epochs = max(len(curve) for row in curves for curve in row)
    curves = [[_lengthened(curve, n_epochs) for curve in row] for row in curves]
    epochs = np.zeros(len(candidates), dtype=int)
    return Trained(grid, np.array(curves), epochs, 0.0, False, None, *told)


def _tell(advance):
    if advance is not None:
        advance(1)


def _curve(member):
    return np.array([row.get("valid_loss", np.nan) for row in member.history_])


# A fold of members before their first epoch.


class _Start:
    """What members of a fold that differ in alpha start from."""

    def __init__(self, split, candidate, alphas):
        self.split = split
        stream = Stream(split.seed, split.net.device)
        with stream.resumed():
            self.net = self._initialised()
        self.plan = split.plan_of(self.net, candidate, alphas)
        dealer = split.dealer(self.net, self.plan)
        train, valid = dealer.split(split.rows.X, split.rows.y)
        train = dealer.iterator(train, training=True)
        self.fold = Fold(dealer, train, dealer.iterator(valid, training=False), stream)

    def _initialised(self):
        net, rows = self.split.new_net(), self.split.rows
        net.initialize()
        net.notify("on_train_begin", X=rows.X, y=rows.y)
        bind_prints(net)
        net.check_data(rows.X, rows.y)  # tells a classifier its classes
        return net

    def another_net(self):
        """Return a net that is as the one there is was at the start."""
        with Stream(self.split.seed, self.split.net.device).resumed():
            return self._initialised()

    def shape(self):
        """What folds have in common whose members fit into one stack."""
        tensors = self.net.module_.state_dict().items()
        n_rows = None
        if rows_see_each_other(self.net, self.fold):
            n_rows = len(self.fold.train.indices)
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in tensors)
        return self.fold.n_steps, n_rows, shapes


# The race of candidates, an epoch at a time.


class _Group(NamedTuple):
    """Fits of some members, with the candidate and the fold of each."""

    fits: Any
    cells: list


class _Race:
    """Members of C candidates in F folds, trained side by side.

    A net of the default recipe predicts as it was after the epoch whose loss was least
    on average over the folds, and a candidate stops when that is long ago. Any other
    net is trained until its own callbacks, or `max_epochs`, end that.
    """

    def __init__(self, candidates, splits, *, stacked, halving):
        net = splits[0].net
        self.candidates, self.splits = candidates, splits
        self.halving, self.max_epochs = halving, net.max_epochs
        self.patience = _patience(net) if _in_step(net) else None
        make = _stacked_groups if stacked else _lone_groups
        self.groups = make(candidates, splits)
        self.nets = {
            cell: net
            for group in self.groups
            for cell, net in zip(group.cells, group.fits.nets, strict=True)
        }
        shape = len(candidates), len(splits), self.max_epochs
        self.curves = np.full(shape, np.nan)
        self.best = np.full(len(candidates), np.inf)
        self.epochs = np.zeros(len(candidates), dtype=int)
        self.kept = {}  # states of members at the best epoch of their candidate
        self.diverged = np.zeros(shape[:2], dtype=bool)
        self.losses = {}  # of batches, in the first epoch of a member and in its last

    def run(self, advance):
        """Train until nobody is left."""
        n_epochs = 0
        while n_epochs < self.max_epochs and self._is_running():
            with interruptible():
                for group in self.groups:
                    self._run_epoch(group, n_epochs)
            for c in np.flatnonzero(self.diverged.any(axis=1)):
                self._stop(c)
            if self.patience is not None:
                self._keep_best(n_epochs)
            n_epochs += 1
            if self.halving and n_epochs in RUNGS:
                self._give_up()
            _tell(advance)
        self.curves = self.curves[:, :, :n_epochs]
        for group in self.groups:
            group.fits.finish()
        for (c, f), state in self.kept.items():
            self.nets[c, f].module_.load_state_dict(state)

    def _is_running(self):
        return any(len(group.fits.running) for group in self.groups)

    def members(self):
        """Return the estimators of each candidate."""
        grid, first = [], None
        for c, candidate in enumerate(self.candidates):
            grid.append([])
            for f, split in enumerate(self.splits):
                member = split.member_of(candidate, self.nets[c, f], first)
                grid[-1].append(member)
                first = member if first is None else first
        return grid

    def _run_epoch(self, group, epoch):
        running = group.fits.running
        if len(running):
            group.fits.epoch()
        for m in running:
            cell, last = group.cells[m], group.fits.nets[m].history[-1]
            # (A callback may have ended the epoch before its validation.)
            self.curves[(*cell, epoch)] = last.get("valid_loss", np.nan)
            self.diverged[cell] = not is_finite(last)
            losses = group.fits.batch_losses(m)
            self.losses[cell] = (self.losses.get(cell, [losses])[0], losses)

    def rising(self):
        """Whether losses ended above their start, (C, F) bool."""
        rising = np.zeros_like(self.diverged)
        for (c, f), (first, last) in self.losses.items():
            mixed, again = self.candidates[c].alpha > 0, first is not last
            if not self.diverged[c, f]:
                above = ends_above_start(first, last, mixed=mixed, comparable=again)
                rising[c, f] = above
        return rising

    def _stop(self, c):
        for group in self.groups:
            numbers = [m for m, cell in enumerate(group.cells) if cell[0] == c]
            group.fits.stop(numbers)

    def _keep_best(self, epoch):
        """Keep members whose candidate was never better; stop those long past it."""
        for c, losses in enumerate(self.curves[:, :, epoch]):
            if self.patience == np.inf:  # the last one counts
                self.epochs[c] += not np.isnan(losses).any()
            elif losses.mean() < self.best[c]:
                self.best[c], self.epochs[c] = losses.mean(), epoch + 1
                for f in range(len(self.splits)):
                    state = self.nets[c, f].module_.state_dict()
                    self.kept[c, f] = {k: value.clone() for k, value in state.items()}
            elif epoch + 1 >= self.epochs[c] + self.patience:
                self._stop(c)

    def _give_up(self):
        """Stop candidates that are behind the best one, in most folds and by far."""
        best = np.fmin.reduce(self.curves, axis=2)  # (C, F)
        mean = best.mean(axis=1)
        if np.isnan(mean).all():
            return
        leader = best[np.nanargmin(mean)]
        for c, candidate in enumerate(self.candidates):
            behind = np.where(np.isnan(best[c]), np.inf, best[c]) - leader
            if np.isinf(behind).any():  # diverged
                self._stop(c)
                continue
            error = behind.std(ddof=1) / np.sqrt(len(behind))
            clearly = max(2 * error, MARGIN * abs(leader.mean()))
            if candidate.alpha and behind.mean() > clearly:
                self._stop(c)


RUNGS = (10, 20, 40, 80, 160, 320)
MARGIN = 0.02


def _patience(net):
    """Half of that of early stopping: a mean over folds is smoother than one."""
    patience = patience_of(net)
    return np.inf if patience is None else -(-patience // 2)


def _stacked_groups(candidates, splits):
    groups = []
    for numbers in _alike(candidates, splits).values():
        alphas, by_shape = [candidates[c].alpha for c in numbers], defaultdict(list)
        for f, split in enumerate(splits):
            start = _Start(split, candidates[numbers[0]], alphas)
            by_shape[start.shape()].append((f, start))
        groups += [_stack(numbers, starts) for starts in by_shape.values()]
    return groups


def _stack(numbers, starts):
    """Make a stack of candidates, by their numbers, in the folds of `starts`."""
    nets, cells = [], []
    for f, start in starts:
        nets += [start.net, *(start.another_net() for _ in numbers[1:])]
        cells += [(c, f) for c in numbers]
    for net in nets:
        net.optimizer_.step()  # of no gradients: a schedule wants to see a step first
    folds = [start.fold for _, start in starts]
    fold_of = np.repeat(np.arange(len(starts)), len(numbers))
    alpha_of = np.tile(np.arange(len(numbers)), len(starts))
    first = starts[0][1]
    direct = is_direct(first.net, first.plan, first.fold)
    fits = StackedFit(nets, folds, fold_of, alpha_of, direct=direct)
    return _Group(fits, cells)


def _lone_groups(candidates, splits):
    cells = [(c, f) for c in range(len(candidates)) for f in range(len(splits))]
    nets, loans, rows, streams = [], [], [], []
    for c, f in cells:
        split, net = splits[f], splits[f].new_net()
        plan = split.template_of(candidates[c])._plan(net, split.seed)
        nets.append(net)
        loans.append(split.lend(net, plan))
        rows.append(split.rows)
        streams.append(Stream(split.seed, split.net.device))
    return [_Group(LoneFits(nets, loans, rows, streams), cells)]
