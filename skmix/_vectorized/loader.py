"""Batches of several members side by side, along a member axis.

Members share the rows of a fold and differ in alpha, or share alpha and differ in rows.
The rows of a fold are gathered once for all its members.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from skmix._mixing.mixup import mix_step
from skmix._mixing.sampler import MixupSampler
from skmix._tables.columns import each
from skmix._training.loader import (
    CHUNK_CELLS,
    Batches,
    BatchLoader,
    LoadedChunk,
    n_cells,
)
from skmix._training.random import Stream
from skmix._training.steps import mixes_at_once, stacked


class Fold(NamedTuple):
    """Rows that some members are trained on, and others that they are validated on."""

    loader: BatchLoader  # its sampler has a list of alphas, or is None
    train: Batches
    valid: Batches
    stream: Stream  # that a net alone draws the order of its rows from

    @property
    def n_steps(self) -> int:
        return len(self.train)

    def state(self) -> dict[str, Any]:
        """Return where its random draws stand, between two epochs."""
        sampler = self.loader.sampler
        own = None if sampler is None else sampler.state
        return {"stream": self.stream.states, "sampler": own}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on with the draws from there."""
        self.stream.states = state["stream"]
        if self.loader.sampler is not None:
            self.loader.sampler.state = state["sampler"]


class MemberBatches(NamedTuple):
    """What M members are given in S steps of at most B rows each.

    Attributes
    ----------
    x : structure of torch.Tensor of shape (S, M, B, ...)
        What modules are given; rows and partners, of shape (S, M, 2 * B, ...), where
        they are to be mixed behind a layer.
    y : torch.Tensor of shape (S, M, B, ...)
    sizes : ndarray of shape (S, M), int
        Rows of each batch; what follows them, up to B, is padding.
    weight : torch.Tensor of shape (S, M, B), float64, or None
    y_partner : torch.Tensor of shape (S, M, B, ...), or None where nothing is mixed
    share : torch.Tensor of shape (S, M, 1) or (S, M, B), or None
        The own label's share in the loss.
    lam_mean : ndarray of shape (S, M)
    """

    x: Any
    y: torch.Tensor
    sizes: np.ndarray
    weight: torch.Tensor | None = None
    y_partner: torch.Tensor | None = None
    share: Any = None
    lam_mean: np.ndarray | None = None

    @property
    def counts(self) -> torch.Tensor | None:
        """Which rows are no padding, (S, M, B) bool; None for all."""
        size = self.y.shape[2]
        if (self.sizes == size).all():
            return None
        there = np.arange(size) < self.sizes[:, :, None]
        return torch.from_numpy(there).to(self.y.device)


def training_batches(
    folds: list[Fold],
    orders: list[torch.Tensor],
    fold_of: np.ndarray,
    alpha_of: np.ndarray,
    epoch: int,
) -> Iterator[MemberBatches]:
    """Load an epoch of training, a chunk of steps at a time.

    Folds have as many steps each; their rows come in the given orders. Members
    have the folds and alphas of these numbers, both of shape (M,).
    """
    size = max(fold.train.largest for fold in folds)
    cells = len(fold_of) * size * n_cells(folds[0].train.X)
    n_steps, left = max(1, CHUNK_CELLS // cells), folds[0].n_steps
    loads = [
        fold.loader.load(
            fold.train, training=True, epoch=epoch, order=order, n_steps=n_steps
        )
        for fold, order in zip(folds, orders, strict=True)
    ]
    while left > 0:
        loaded = [list(_next_steps(load, min(n_steps, left))) for load in loads]
        left -= n_steps
        for some, n_rows in _of_one_size(loaded, size):
            batches = _side_by_side(some, n_rows, fold_of)
            if some[0][0].draw is not None:
                batches = _mixed(batches, folds, some, fold_of, alpha_of)
            yield batches


def mixed_at_input(
    batches: MemberBatches, inside: np.ndarray
) -> tuple[MemberBatches, torch.Tensor]:
    """Mix rows of members that are not `inside`, (M,) bool, before a layer.

    Rows and partners stand one below the other. Returned is also the `lam` behind the
    layer, 1 for those that are mixed already.
    """
    lam = batches.share
    at_input = torch.from_numpy(~inside).to(lam.device)[None, :, None]
    own, partner = batches.x.chunk(2, dim=2)
    weight = lam.where(at_input, 1).to(own.dtype)
    mixed = partner.lerp(own, weight.reshape(*weight.shape, *[1] * (own.ndim - 3)))
    x = torch.cat([mixed, partner], dim=2)
    return batches._replace(x=x), lam.where(~at_input, 1)


def _of_one_size(
    loaded: list[list[LoadedChunk]], size: int
) -> Iterator[tuple[list[list[LoadedChunk]], int]]:
    """Take steps apart that need no padding, as the last one of folds of equal size."""
    if len({tuple(d.chunk.y.shape[0] for d in fold) for fold in loaded}) > 1:
        yield loaded, size
        return
    for parts in zip(*loaded, strict=True):
        if len({part.chunk.batch_size for part in parts}) > 1:
            yield [[part] for part in parts], size
        else:
            yield [[part] for part in parts], parts[0].chunk.batch_size


def validation_batches(folds: list[Fold]) -> MemberBatches:
    """Load all validation rows at once, with one entry of the member axis a fold."""
    loaded = [
        list(
            fold.loader.load(
                fold.valid, training=False, epoch=0, order=fold.valid.indices
            )
        )
        for fold in folds
    ]
    size = max(fold.valid.largest for fold in folds)
    n_steps = max(len(fold.valid) for fold in folds)
    return _side_by_side(loaded, size, np.arange(len(folds)), n_steps)


def _next_steps(load: Iterator[LoadedChunk], n_steps: int) -> Iterator[LoadedChunk]:
    while n_steps > 0:
        loaded = next(load)
        n_steps -= loaded.chunk.n_batches
        yield loaded


def _side_by_side(
    loaded: list[list[LoadedChunk]],
    size: int,
    fold_of: np.ndarray,
    n_steps: int | None = None,
) -> MemberBatches:
    """Lay the rows of folds side by side, as they are loaded.

    `loaded` has a list of `LoadedChunk` for each fold.
    """
    lay = partial(_laid, loaded, size=size, fold_of=fold_of, n_steps=n_steps)
    of_folds = [
        np.concatenate([np.full(d.chunk.n_batches, d.chunk.batch_size) for d in fold])
        for fold in loaded
    ]
    n_steps = n_steps or len(of_folds[0])
    padded = [np.r_[s, np.zeros(n_steps - len(s), int)] for s in of_folds]
    sizes = np.stack(padded, axis=1)
    weight = None
    if any(d.weight is not None for fold in loaded for d in fold):
        weight = lay(_weight)
    x, y = lay(lambda d: d.chunk.X), lay(lambda d: d.chunk.y)
    return MemberBatches(
        x, y, sizes[:, fold_of], weight, lam_mean=np.ones((n_steps, 1))
    )


def _weight(loaded: LoadedChunk) -> torch.Tensor:
    if loaded.weight is None:
        return torch.ones(len(loaded.chunk.rows), dtype=torch.float64)
    return torch.from_numpy(loaded.weight)


def _laid(
    loaded: list[list[LoadedChunk]],
    get: Callable[[LoadedChunk], Any],
    *,
    size: int,
    fold_of: np.ndarray,
    n_steps: int | None = None,
) -> Any:
    """Lay out rows of each fold as (S, M, size, ...).

    `get` returns those of a `LoadedChunk`, tensors of shape (S * B, ...).
    """
    folds = []
    for fold in loaded:
        parts = [
            each(partial(_as_steps, n_steps=d.chunk.n_batches, size=size), get(d))
            for d in fold
        ]
        steps = parts[0] if len(parts) == 1 else stacked(*parts)
        if n_steps is not None:
            steps = each(partial(_padded, length=n_steps, dim=0), steps)
        folds.append(steps)

    def together(*folds: torch.Tensor) -> torch.Tensor:
        return torch.stack(folds, dim=1)[:, fold_of]

    return each(together, *folds)


def _as_steps(rows: torch.Tensor, n_steps: int, size: int) -> torch.Tensor:
    # (The number of rows is said, since a table may have no columns of a kind.)
    steps = rows.reshape(n_steps, len(rows) // n_steps, *rows.shape[1:])
    return _padded(steps, size, dim=1)


def _padded(tensor: torch.Tensor, length: int, dim: int) -> torch.Tensor:
    """Repeat what is first along a dimension until there is enough of it."""
    missing = length - tensor.shape[dim]
    if missing == 0:
        return tensor
    first = tensor.narrow(dim, 0, 1)
    return torch.cat([tensor, *[first] * missing], dim=dim)


def _mixed(
    batches: MemberBatches,
    folds: list[Fold],
    loaded: list[list[LoadedChunk]],
    fold_of: np.ndarray,
    alpha_of: np.ndarray,
) -> MemberBatches:
    """Mix the rows of members, or put partners beside them."""
    sampler, size = folds[0].loader.sampler, batches.y.shape[2]
    lay = partial(_laid, loaded, size=size, fold_of=fold_of)
    lam = _lam(loaded, size)[:, fold_of, alpha_of]  # (S, M, 1 or B)
    own = np.arange(lam.shape[2]) < batches.sizes[:, :, None]  # and no padding
    lam_mean = lam.mean(axis=2, where=own)
    batches = batches._replace(y_partner=lay(lambda d: d.y_partner), lam_mean=lam_mean)
    inside = sampler.layers[0] is not None
    if not (mixes_at_once(sampler, batches.x) or (inside and sampler.is_plain)):
        x, share = _mixed_by_batch(folds, loaded, size, fold_of, alpha_of)
        return batches._replace(x=x, share=share)
    share = torch.from_numpy(lam).to(batches.y.device)
    X_partner = lay(lambda d: d.X_partner)
    if inside:
        x = each(lambda *pair: torch.cat(pair, dim=2), batches.x, X_partner)
    else:
        shape = *share.shape, *[1] * (batches.x.ndim - 3)
        x = X_partner.lerp_(batches.x, share.to(batches.x.dtype).reshape(shape))
    return batches._replace(x=x, share=share)


def _lam(loaded: list[list[LoadedChunk]], size: int) -> np.ndarray:
    """Return lam of each fold and alpha, of shape (S, F, A, 1) or (S, F, A, size)."""
    folds = []
    for fold in loaded:
        parts = []
        for d in fold:  # (A, S * B) or (A, S) -> (S, A, B or 1)
            lam = d.draw.lam.reshape(len(d.draw.lam), d.chunk.n_batches, -1)
            parts.append(lam.transpose(1, 0, 2))
        width = size if any(part.shape[2] > 1 for part in parts) else 1
        padded = [
            np.pad(part, ((0, 0), (0, 0), (0, width - part.shape[2])), mode="edge")
            for part in parts
        ]
        folds.append(np.concatenate(padded))
    width = max(fold.shape[2] for fold in folds)
    wide = [np.broadcast_to(fold, (*fold.shape[:2], width)) for fold in folds]
    return np.stack(wide, axis=1)


def _mixed_by_batch(
    folds: list[Fold],
    loaded: list[list[LoadedChunk]],
    size: int,
    fold_of: np.ndarray,
    alpha_of: np.ndarray,
) -> tuple[Any, torch.Tensor]:
    """Mix by a rule that is asked for a batch at a time, as a net alone asks it."""
    xs, shares = [], []
    for fold, alpha in zip(fold_of, alpha_of, strict=True):
        sampler = folds[fold].loader.sampler
        for d in loaded[fold]:
            for k in range(d.chunk.n_batches):
                x, share = _mixed_batch(sampler, d, k, alpha, size)
                xs.append(x)
                shares.append(share)

    def laid(*batches: torch.Tensor) -> torch.Tensor:
        # Members' steps one below the other -> (S, M, B, ...).
        steps = torch.stack(batches).unflatten(0, (len(fold_of), -1))
        return steps.transpose(0, 1).contiguous()

    return each(laid, *xs), laid(*shares)


def _mixed_batch(
    sampler: MixupSampler, loaded: LoadedChunk, k: int, alpha: int, size: int
) -> tuple[Any, torch.Tensor]:
    """One batch mixed, and the own share of each row, padded to `size` rows."""
    chunk, part = loaded.chunk, loaded.chunk.part(k)
    own, partner = (
        each(lambda rows: rows[part].clone(), X) for X in (chunk.X, loaded.X_partner)
    )
    share: Any = np.ones(1)
    if sampler.alpha[alpha]:
        draw = loaded.draw.of_alpha(alpha).of_step(k, chunk.n_batches)
        y, y_partner = chunk.y[part], loaded.y_partner[part]
        own, share = mix_step(sampler.mix[0], own, partner, y, y_partner, draw)
    share = torch.as_tensor(share, dtype=torch.float64).to(chunk.y.device)
    share = share.expand(chunk.batch_size)
    return each(partial(_padded, length=size, dim=0), own), _padded(share, size, dim=0)
