"""The training of all members of a search: each alpha in each fold.

Members of one architecture are trained vectorized where that is possible and faster,
and else one by one. Which members are trained together depends on alphas and folds,
and never on the number of processes.

What is done can be kept in a folder: members that are trained, and from time to time
the state of those that are trained together.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import clone
from skorch import NeuralNet
from tqdm.auto import tqdm

from skmix._callbacks import UNHEARD, Task
from skmix._default_net import best_epoch, train_once, trains_twice
from skmix._long_runs.checkpoints import Checkpoint, Folder
from skmix._long_runs.progress import progress_bar
from skmix._mixing.sampler import MixupSampler
from skmix._preparation import Preparation, Samples, fit_net
from skmix._training.epoch import (
    Diverged,
    ends_above_start,
    history_ends_above_start,
    interruptible,
    is_finite,
    record_divergence,
)
from skmix._training.loader import Batches, BatchLoader
from skmix._training.random import (
    Stream,
    generator_states,
    one_thread_each,
    seeded,
    set_generator_states,
)
from skmix._training.skorch_compat import (
    bind_prints,
    first_output,
    inferring,
    patience_of,
)
from skmix._training.steps import check_layers_of
from skmix._vectorized.carrying import NetState, why_not_carried
from skmix._vectorized.keeping import (
    outputs_for_some,
    trained_net,
    warn_of_unkept,
    write_or_warn,
)
from skmix._vectorized.loader import Fold
from skmix._vectorized.support import (
    is_direct,
    is_worth_it,
    members_at_once,
    rows_see_each_other,
    why_not_vectorized,
)
from skmix._vectorized.trainer import VectorizedFit

Advance = Callable[[], AbstractContextManager[Any]]  # around each step of the bar
Way = Literal["vectorized", "singly", "alone"]
NOTHING_KEPT = Folder()


class Split(NamedTuple):
    """A fold: a net that is not initialised, and the samples to train and judge it.

    Attributes
    ----------
    net : skorch.NeuralNet
        Not initialised.
    preparation : skmix._preparation.Preparation
        How the fold's samples are coded.
    rows : skmix._preparation.Samples
        To train on, coded.
    validation : tuple (X, y, weight)
        Coded rows held out, except for those that count nothing.
    test : ndarray of shape (n_test,), int
        Numbers of the rows held out.
    X_test : ndarray, CSR matrix or mapping
        All of them, coded.
    seed : int
    make_sampler : callable
        ``make_sampler(net, seed, alpha=)`` returns what draws for a fit, or for
        several that differ in alpha alone.
    """

    net: NeuralNet
    preparation: Preparation
    rows: Samples
    validation: tuple[Any, Any, Any]
    test: np.ndarray
    X_test: Any
    seed: int
    make_sampler: Callable[..., MixupSampler]

    def new_net(self) -> NeuralNet:
        """Return a net to be trained, not initialised."""
        net = clone(self.net)  # its epoch may be chosen for all folds together
        train_once(net, stopping=not trains_twice(net))
        return net.set_params(train_split=None)

    def net_alone(self) -> NeuralNet:
        """Return a net to be trained by its own `fit`, not initialised."""
        return train_once(clone(self.net))

    @property
    def mixes_inside(self) -> bool:
        """Whether rows are mixed behind a layer."""
        layers = self.make_sampler(self.net, self.seed, alpha=0.0).layers
        return any(layer is not None for layer in layers)

    def shared_sampler(
        self, net: NeuralNet, alphas: list[float]
    ) -> MixupSampler | None:
        """Return the sampler of fits that differ in alpha; None if none mixes."""
        sampler = self.make_sampler(net, self.seed, alpha=alphas)
        check_layers_of(net.module_, sampler.layers)
        return None if sampler.is_off else sampler

    def fit(self, net: NeuralNet, alpha: float) -> None:
        """Train a net by its own `fit`."""
        fit_net(
            net,
            self.rows,
            sampler=self.make_sampler(net, self.seed, alpha=alpha),
            preparation=self.preparation,
            seed=self.seed,
            validation=self.validation,
        )

    def loader(self, net: NeuralNet, sampler: MixupSampler | None) -> BatchLoader:
        """Return what loads the rows of the fold to a net."""
        context = self.preparation.context(self.rows)
        return BatchLoader(net, sampler, self.rows.weight, self.validation, context)

    def check_output(self, net: NeuralNet, output: Any) -> None:
        """Refuse a first output of the module that cannot be right."""
        self.preparation.target.check_output(net, output)

    def work(self) -> list[Any]:
        """Return all that a training in this fold depends on beside alpha."""
        context = self.preparation.context(self.rows)
        rows = self.rows, self.validation, self.test, context
        return [self.net, rows, self.seed, self.make_sampler]


class Trained(NamedTuple):
    """What became of C alphas in F folds.

    Attributes
    ----------
    nets : list of list of skorch.NeuralNet
        For each alpha, the trained nets of its folds.
    curves : ndarray of shape (C, F, n_epochs)
        Loss on rows held out after each epoch; NaN for epochs that were not run.
    epochs : ndarray of shape (C,), int
        After how many epochs members of an alpha predict, where their net is of the
        default recipe; else 0.
    diverged, rising : ndarray of shape (C, F), bool
        Whether a loss was no finite number, and whether it ended above its start.
    vectorized : bool
        Whether several members were trained as one.
    why_not_vectorized : str or None
        Why they could not be.
    seconds : float
    """

    nets: list[list[NeuralNet]]
    curves: np.ndarray
    epochs: np.ndarray
    diverged: np.ndarray
    rising: np.ndarray
    vectorized: bool
    why_not_vectorized: str | None = None
    seconds: float = 0.0


def untrained(split: Split, alpha: float) -> NeuralNet:
    """Return a net that is initialised, after a look at its first outputs.

    Raises
    ------
    ValueError
        If the outputs cannot be right.
    """
    with one_thread_each(), seeded(split.seed, split.net.device):
        start = _Start(split, [alpha])
        net, batches = start.net, start.fold.train
        if isinstance(batches, Batches):
            rows, _ = batches.take(batches.indices[: batches.batch_size])
            with torch.no_grad():
                output = inferring(net)(rows)
            split.check_output(net, first_output(output))
        return net


def train_members(
    alphas: list[float],
    splits: list[Split],
    *,
    verbose: bool,
    n_jobs: int | None = None,
    folder: Folder = NOTHING_KEPT,
    task: Task = UNHEARD,
) -> Trained:
    """Train a net for each alpha and fold.

    Parameters
    ----------
    alphas : list of float
    splits : list of Split
    verbose : bool
        Whether to show a progress bar.
    n_jobs : int, default=None
        Processes, as in joblib.
    folder : skmix._long_runs.checkpoints.Folder
        Where what is done is kept, and found again.
    task : skmix._callbacks.Task
        Of which this training is a part, for callbacks.
    """
    begin = time.perf_counter()
    why, parts = _parts(alphas, splits)
    kept = _Kept(folder, [folder.digest(split.work()) for split in splits])
    n_jobs = min(effective_n_jobs(n_jobs), len(parts))
    total, unit = sum(part.n_steps for part in parts), parts[0].unit
    bar = progress_bar(shown=verbose, total=total, unit=unit)
    n_told = total if n_jobs == 1 else len(parts)  # processes tell nothing on their way
    with bar, task.subtask("members", n_told) as members:
        found = _trained_here if n_jobs == 1 else _trained_elsewhere
        results = list(found(parts, splits, kept, bar, members, n_jobs))
    order = np.argsort([number for part in parts for number in part.numbers])
    seconds = time.perf_counter() - begin
    return _joined(results, order)._replace(seconds=seconds, why_not_vectorized=why)


def _trained_here(
    parts: "list[_Part]",
    splits: list[Split],
    kept: "_Kept",
    bar: tqdm,
    members: Task,
    n_jobs: int,
) -> Iterator[Trained]:
    for part in parts:
        before = bar.n
        name = "member" if part.way == "alone" else "epoch"
        yield part.train(splits, kept, partial(_step, bar, members, name))
        bar.update(before + part.n_steps - bar.n)


@contextmanager
def _step(bar: tqdm, members: Task, name: str) -> Iterator[None]:
    with members.subtask(name):
        yield
    bar.update()


def _trained_elsewhere(
    parts: "list[_Part]",
    splits: list[Split],
    kept: "_Kept",
    bar: tqdm,
    members: Task,
    n_jobs: int,
) -> Iterator[Trained]:
    """Train in processes, of which states come back: classes may be known here only."""
    work = (delayed(_carried)(part, splits, kept) for part in parts)
    carried = Parallel(n_jobs=n_jobs, return_as="generator")(work)
    for part, trained in zip(parts, carried, strict=True):
        with members.subtask("group"):  # which is done by now
            bar.update(part.n_steps)
        yield trained._replace(nets=part.nets_of(trained.nets, splits))


def _carried(part: "_Part", splits: list[Split], kept: "_Kept") -> Trained:
    trained = part.train(splits, kept)
    states = [[NetState.of(net) for net in of_c] for of_c in trained.nets]
    return trained._replace(nets=states)


def _joined(trained: list[Trained], order: np.ndarray) -> Trained:
    """Put together what parts have become, alphas in their own order again."""
    n_epochs = max(part.curves.shape[2] for part in trained)
    nets = [of_alpha for part in trained for of_alpha in part.nets]
    curves = np.concatenate([_lengthened(part.curves, n_epochs) for part in trained])
    return Trained(
        nets=[nets[k] for k in order],
        curves=curves[order],
        epochs=np.concatenate([part.epochs for part in trained])[order],
        diverged=np.concatenate([part.diverged for part in trained])[order],
        rising=np.concatenate([part.rising for part in trained])[order],
        vectorized=all(part.vectorized for part in trained),
    )


def _lengthened(curves: np.ndarray, n_epochs: int) -> np.ndarray:
    missing = (0, 0), (0, 0), (0, n_epochs - curves.shape[2])
    return np.pad(curves, missing, constant_values=np.nan)


# What is kept of a training.


class _Kept(NamedTuple):
    """Where members are kept, and the digest of what each fold trains on."""

    folder: Folder
    digests: list[str]

    def together(self, way: Way, alphas: list[float]) -> Checkpoint:
        """Return the file of members that are trained side by side."""
        return self.folder.checkpoint(way, alphas, self.digests)

    def alone(self, alpha: float, f: int) -> Checkpoint:
        """Return the file of a member that is trained alone."""
        return self.folder.checkpoint("alone", alpha, self.digests[f])


def _as_plain(trained: Trained) -> dict[str, Any]:
    nets = [[NetState.of(net).as_plain() for net in of_c] for of_c in trained.nets]
    return trained._asdict() | {"nets": nets}


# Which alphas are trained together.


class _Part(NamedTuple):
    """Alphas whose members are trained in one process, in all folds."""

    alphas: list[float]
    numbers: list[int]  # which of all alphas they are
    way: Way  # together, each as a vectorized group of one, or by the net's own fit
    n_steps: int  # of the progress bar

    @property
    def unit(self) -> str:
        return "fit" if self.way == "alone" else "epoch"

    def train(
        self, splits: list[Split], kept: "_Kept", advance: Advance = nullcontext
    ) -> Trained:
        """Train the members, or go on with what is kept of their training."""
        with one_thread_each(), seeded(splits[0].seed, splits[0].net.device):
            if self.way == "alone":
                return _one_after_the_other(self.alphas, splits, kept, advance)
            checkpoint = kept.together(self.way, self.alphas)
            found = checkpoint.read() or {}
            if "trained" in found:
                return self._restored(found["trained"], splits)
            singly = self.way == "singly"
            joint = _JointTraining(self.alphas, splits, singly=singly)
            joint.run(advance, checkpoint, found.get("state"))
            trained = joint.trained()
            if checkpoint.is_kept:
                write_or_warn(
                    checkpoint, {"trained": _as_plain(trained)}, "A trained net"
                )
            return trained

    def _restored(self, found: dict[str, Any], splits: list[Split]) -> Trained:
        """Return what became of members that an earlier run has trained."""
        states = [list(map(NetState.from_plain, of_c)) for of_c in found["nets"]]
        return Trained(**found | {"nets": self.nets_of(states, splits)})

    def nets_of(
        self, states: list[list[NetState]], splits: list[Split]
    ) -> list[list[NeuralNet]]:
        """Return nets that were trained elsewhere, by their states."""
        alone = self.way == "alone"
        return [
            [
                state.loaded(
                    split.net_alone() if alone else split.new_net(), split.seed
                )
                for split, state in zip(splits, of_alpha, strict=True)
            ]
            for of_alpha in states
        ]


def _parts(alphas: list[float], splits: list[Split]) -> tuple[str | None, list[_Part]]:
    """Return why members cannot be vectorized, or None, and the parts they make."""
    why, way, at_once = _way(alphas, splits)
    groups = [list(range(len(alphas)))]
    if way == "vectorized":
        groups = _alike(alphas, splits)
    n_steps = len(splits) if way == "alone" else splits[0].net.max_epochs
    parts = []
    for group in groups:
        for k in range(0, len(group), at_once):
            some = group[k : k + at_once]
            parts.append(_Part([alphas[c] for c in some], some, way, n_steps))
    return why, parts


def _way(alphas: list[float], splits: list[Split]) -> tuple[str | None, Way, int]:
    """Return why members cannot be vectorized, how they are trained, how many at once.

    Where steps are large, folds choose the epochs of the default net together all the
    same.
    """
    split, net = splits[0], splits[0].net
    with one_thread_each(), seeded(split.seed, net.device):
        start = _Start(split, alphas)
        why = why_not_vectorized(start.net, start.sampler, start.fold)
        if why is not None:
            return why, "alone", 1
        if not is_worth_it(start.net, start.fold):
            return None, "singly" if trains_twice(net) else "alone", 1
        n_members = members_at_once(start.net, start.fold)
    return None, "vectorized", max(1, n_members // len(splits))


def _alike(alphas: list[float], splits: list[Split]) -> list[list[int]]:
    """Return groups of alphas that are trained together, by their numbers.

    With mixing behind a layer a batch also holds partners; at alpha 0 it does not, so
    that these members are a group of their own.
    """
    every = list(range(len(alphas)))
    if not splits[0].mixes_inside:
        return [every]
    mixed = [c for c in every if alphas[c] > 0]
    return [group for group in ([c for c in every if c not in mixed], mixed) if group]


def _one_after_the_other(
    alphas: list[float], splits: list[Split], kept: "_Kept", advance: Advance
) -> Trained:
    """Fit each member by the `fit` of its net, and its own early stopping."""
    shape = len(alphas), len(splits)
    nets = np.empty(shape, dtype=object)
    diverged, rising = np.zeros((2, *shape), dtype=bool)
    for c, f in np.ndindex(shape):
        checkpoint = kept.alone(alphas[c], f)
        with advance():
            member = _member(alphas[c], splits[f], checkpoint)
        nets[c, f], diverged[c, f], rising[c, f] = member
    losses = {cell: _curve(nets[cell]) for cell in np.ndindex(shape)}
    curves = np.full((*shape, max(map(len, losses.values()))), np.nan)
    for cell, curve in losses.items():
        curves[cell][: len(curve)] = curve
    epochs = np.zeros(len(alphas), dtype=int)
    if trains_twice(splits[0].net):  # how long members were trained, on average
        epochs[:] = [round(np.mean(list(map(best_epoch, of_c)))) for of_c in nets]
    return Trained(nets.tolist(), curves, epochs, diverged, rising, vectorized=False)


def _member(
    alpha: float, split: Split, checkpoint: Checkpoint
) -> tuple[NeuralNet, bool, bool]:
    """Return a member, whether it diverged, and whether its loss has risen."""
    outcome = {"diverged": False, "rising": False}

    def train(net: NeuralNet) -> None:
        try:
            split.fit(net, alpha)
            mixed = alpha > 0
            outcome["rising"] = history_ends_above_start(net.history, mixed=mixed)
        except Diverged:
            record_divergence(net)
            outcome["diverged"] = True

    predict = partial(outputs_for_some, split.preparation, split.X_test)
    new_net = split.net_alone
    net = trained_net(new_net, train, predict, split.seed, checkpoint, outcome)
    return net, outcome["diverged"], outcome["rising"]


def _curve(net: NeuralNet) -> np.ndarray:
    return np.array([row.get("valid_loss", np.nan) for row in net.history])


# A fold of members before their first epoch.


class _Start:
    """What members of a fold that differ in alpha start from."""

    def __init__(self, split: Split, alphas: list[float]) -> None:
        self.split = split
        stream = Stream(split.seed, split.net.device)
        with stream.resumed():
            self.net = self._initialised()
        self.sampler = split.shared_sampler(self.net, alphas)
        loader = split.loader(self.net, self.sampler)
        train, valid = loader.split(split.rows.X, split.rows.y)
        train = loader.iterator(train, training=True)
        self.fold = Fold(loader, train, loader.iterator(valid, training=False), stream)

    def _initialised(self) -> NeuralNet:
        net, rows = self.split.new_net(), self.split.rows
        net.initialize()
        net.notify("on_train_begin", X=rows.X, y=rows.y)
        bind_prints(net)
        net.check_data(rows.X, rows.y)  # tells a classifier its classes
        return net

    def another_net(self) -> NeuralNet:
        """Return a net that is as the one there is was at the start."""
        with Stream(self.split.seed, self.split.net.device).resumed():
            return self._initialised()

    def shape(self) -> tuple[Any, ...]:
        """What folds have in common whose members are trained together."""
        tensors = self.net.module_.state_dict().items()
        n_rows = None
        if rows_see_each_other(self.net, self.fold):
            n_rows = len(self.fold.train.indices)
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in tensors)
        return self.fold.n_steps, n_rows, shapes


# Members side by side, an epoch at a time.


class _Group(NamedTuple):
    """Members that are vectorized, with the alpha and the fold of each."""

    fit: VectorizedFit
    cells: list[tuple[int, int]]


class _JointTraining:
    """Members of C alphas in F folds, trained side by side.

    A net of the default recipe predicts as it was after the epoch whose loss was least
    on average over the folds, and an alpha stops when that is long ago. Any other
    net is trained until its own callbacks, or `max_epochs`, end that.
    """

    def __init__(
        self, alphas: list[float], splits: list[Split], *, singly: bool
    ) -> None:
        net = splits[0].net
        self.alphas, self.splits, self.singly = alphas, splits, singly
        self.max_epochs = net.max_epochs
        self.patience = _patience(net) if trains_twice(net) else None
        self.groups = _groups(alphas, splits, singly=singly)
        shape = len(alphas), len(splits), self.max_epochs
        self.nets = np.empty(shape[:2], dtype=object)
        for group in self.groups:
            for cell, net in zip(group.cells, group.fit.nets, strict=True):
                self.nets[cell] = net
        self.curves = np.full(shape, np.nan)
        self.best = np.full(len(alphas), np.inf)
        self.epochs = np.zeros(len(alphas), dtype=int)
        self.diverged = np.zeros(shape[:2], dtype=bool)
        # Of members: their states at the best epoch of their alpha, and the losses
        # of batches in their first epoch and in their last.
        self.kept: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
        self.losses: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def run(
        self, advance: Advance, checkpoint: Checkpoint, state: dict[str, Any] | None
    ) -> None:
        """Train until nobody is left, from a state if there is one."""
        n_epochs = 0
        if state is not None:
            n_epochs = self._load_state(state)
            for _ in range(n_epochs):
                with advance():
                    pass  # it was done before
        elif checkpoint.is_kept and (why := self._why_not_kept()):
            what = "The training of members side by side"
            warn_of_unkept(what, f"{why}, so that the state of an epoch is not known")
            checkpoint = Checkpoint(None)
        while n_epochs < self.max_epochs and self._is_running():
            with advance(), interruptible():
                for group in self.groups:
                    self._run_epoch(group, n_epochs)
            for c in np.flatnonzero(self.diverged.any(axis=1)).tolist():
                self._stop(c)
            if self.patience is not None:
                self._keep_best(n_epochs, self.patience)
            n_epochs += 1
            if checkpoint.is_due and not self._keep(checkpoint, n_epochs):
                checkpoint = Checkpoint(None)
        self.curves = self.curves[:, :, :n_epochs]
        for group in self.groups:
            group.fit.finish()
        for cell, state in self.kept.items():
            self.nets[cell].module_.load_state_dict(state)

    def _keep(self, checkpoint: Checkpoint, n_epochs: int) -> bool:
        what = "The training of members side by side"
        return write_or_warn(checkpoint, {"state": self._state(n_epochs)}, what)

    def _state(self, n_epochs: int) -> dict[str, Any]:
        """Return all that the epochs to come depend on."""
        losses = {  # (an epoch that is first and last is one and the same)
            cell: [first] if first is last else [first, last]
            for cell, (first, last) in self.losses.items()
        }
        return {
            "n_epochs": n_epochs,
            "curves": self.curves[:, :, :n_epochs],
            "best": self.best,
            "epochs": self.epochs,
            "diverged": self.diverged,
            "kept": self.kept,
            "losses": losses,
            "groups": [group.fit.state() for group in self.groups],
            "generators": generator_states(self.splits[0].net.device),
        }

    def _load_state(self, state: dict[str, Any]) -> int:
        """Go on from a state; return after how many epochs it was taken."""
        n_epochs: int = state["n_epochs"]
        self.curves[:, :, :n_epochs] = state["curves"]
        self.best, self.epochs = state["best"], state["epochs"]
        self.diverged, self.kept = state["diverged"], state["kept"]
        for cell, losses in state["losses"].items():
            self.losses[cell] = losses[0], losses[-1]
        for group, of_group in zip(self.groups, state["groups"], strict=True):
            group.fit.load_state(of_group)
        set_generator_states(state["generators"])
        return n_epochs

    def _why_not_kept(self) -> str | None:
        """Why the state between two epochs may be more than can be kept, or None."""
        for split in self.splits[:1]:
            sampler = split.make_sampler(split.net, split.seed, alpha=self.alphas)
            for rule in (sampler.mixing, sampler.pairing):
                if not _is_skmixs_own(rule):
                    return f"{rule!r} may remember something"
        return why_not_carried(self.groups[0].fit.nets[0].module_)

    def trained(self) -> Trained:
        """Return what became of the alphas."""
        return Trained(
            nets=self.nets.tolist(),
            curves=self.curves,
            epochs=self.epochs,
            diverged=self.diverged,
            rising=self._rising(),
            vectorized=not self.singly,
        )

    def _is_running(self) -> bool:
        return any(len(group.fit.running) for group in self.groups)

    def _run_epoch(self, group: _Group, epoch: int) -> None:
        running = group.fit.running.tolist()
        if len(running):
            group.fit.epoch()
        for m in running:
            cell, last = group.cells[m], group.fit.nets[m].history[-1]
            self.curves[(*cell, epoch)] = last["valid_loss"]
            self.diverged[cell] = not is_finite(last)
            losses = group.fit.batch_losses(m)
            self.losses[cell] = (self.losses.get(cell, [losses])[0], losses)

    def _rising(self) -> np.ndarray:
        """Whether losses ended above their start, (C, F) bool."""
        rising = np.zeros_like(self.diverged)
        for (c, f), (first, last) in self.losses.items():
            mixed, again = self.alphas[c] > 0, first is not last
            if not self.diverged[c, f]:
                above = ends_above_start(first, last, mixed=mixed, comparable=again)
                rising[c, f] = above
        return rising

    def _stop(self, c: int) -> None:
        for group in self.groups:
            numbers = [m for m, cell in enumerate(group.cells) if cell[0] == c]
            group.fit.stop(numbers)

    def _keep_best(self, epoch: int, patience: float) -> None:
        """Keep members whose alpha was never better; stop those long past it."""
        for c, losses in enumerate(self.curves[:, :, epoch]):
            if patience == np.inf:  # the last one counts
                self.epochs[c] += not np.isnan(losses).any()
            elif losses.mean() < self.best[c]:
                self.best[c], self.epochs[c] = losses.mean(), epoch + 1
                for f in range(len(self.splits)):
                    state = self.nets[c, f].module_.state_dict()
                    self.kept[c, f] = {k: value.clone() for k, value in state.items()}
            elif epoch + 1 >= self.epochs[c] + patience:
                self._stop(c)


def _is_skmixs_own(rule: Any) -> bool:
    """Whether a mixing or a pairing is one of skmix, which remembers nothing."""
    if isinstance(rule, str):
        return True
    within = getattr(rule, "mixing", "mixup")
    return type(rule).__module__.startswith("skmix.") and _is_skmixs_own(within)


def _patience(net: NeuralNet) -> float:
    """Return that of early stopping; infinity if there is none."""
    patience = patience_of(net)
    return np.inf if patience is None else patience


def _groups(alphas: list[float], splits: list[Split], *, singly: bool) -> list[_Group]:
    """Make groups of members that are alike, or, `singly`, of each member."""
    one_each = [[c] for c in range(len(alphas))]
    groups = []
    for numbers in one_each if singly else _alike(alphas, splits):
        together = defaultdict(list)
        for f, split in enumerate(splits):
            start = _Start(split, [alphas[c] for c in numbers])
            together[(f,) if singly else start.shape()].append((f, start))
        groups += [_group_of(numbers, starts) for starts in together.values()]
    return groups


def _group_of(numbers: list[int], starts: list[tuple[int, _Start]]) -> _Group:
    """Make a group of alphas, by their numbers, in the folds of `starts`."""
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
    direct = is_direct(first.net, first.sampler, first.fold)
    return _Group(VectorizedFit(nets, folds, fold_of, alpha_of, direct=direct), cells)
