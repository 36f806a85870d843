"""Who is mixed with whom, how strongly, and what a mixed row costs.

Randomness lives in `Plan.draw` alone: everything after a `Draw` is a pure
function of it, so a step can be replayed, stacked and tested without a seed.
"""

from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import betainc, betaincinv


class Draw(NamedTuple):
    """What chance decided for S consecutive training steps on batches of B rows.

    Attributes
    ----------
    partner : ndarray of shape (S * B,), int64
        The row that each row is mixed with: its position, counted from the first
        row of the first step, or its number in the table where `Plan.from_table`.
    lam : ndarray of shape (S,) or (S * B,), float64
        Weight of a row's own half, one a step or one a row; its partner's weighs
        ``1 - lam``.
    swap_seed : int
        Seeds the mask that decides which integer codes come from the partner.
    """

    partner: np.ndarray
    lam: np.ndarray
    swap_seed: int

    def of_step(self, k, n_steps):
        """What was drawn for step `k` of `n_steps`."""
        partner, lam = (part.reshape(n_steps, -1)[k] for part in self[:2])
        return Draw(partner, lam, self.swap_seed + k)


class Plan:
    """Draws partners and weights, for one step or for several at a time.

    Parameters
    ----------
    alpha : float > 0
        ``lam ~ Beta(alpha, alpha)`` (Zhang et al. 2018).
    lam_per : {"batch", "row"}
        One `lam` for the whole batch, or one for each row.
    seed : int
        Entropy of the plan's own generators.

    Notes
    -----
    Partner, lam and swap mask each have a generator of their own, and `lam` is
    a monotone function of one uniform number, so that fits that differ in
    `alpha` alone meet the same partners and the same quantiles of `lam`. Steps
    drawn together have the partners and weights that they have one by one; only the
    mask that swaps codes is another one.
    """

    def __init__(self, *, alpha, lam_per, seed):
        self.alpha = alpha
        self.lam_per = lam_per
        self.rows = self.cdf = None
        # A step needs one quantile, or hundreds: 0.7 us each exactly, 0.02 by table.
        exact = lam_per == "batch"
        self._quantile = (
            partial(betaincinv, alpha, alpha) if exact else lam_table(alpha)
        )
        children = np.random.SeedSequence(seed).spawn(3)
        self._partner, self._lam, self._swap = map(np.random.default_rng, children)

    def weigh(self, rows, weight):
        """Draw partners from a table from now on, in proportion to their weights.

        Without this, partners are the other rows of the batch.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,), int64
            The rows of the table that may be drawn.
        weight : ndarray of shape (n_rows,), float64
            Their positive weights.
        """
        self.rows = rows
        self.cdf = np.cumsum(weight) / np.sum(weight)

    @property
    def from_table(self):
        """Whether partners are rows of the table rather than of the batch."""
        return self.cdf is not None

    def draw(self, n_rows, n_steps=1):
        """Draw what training steps on batches of equal size need.

        Parameters
        ----------
        n_rows : int
            Rows of each batch, B.
        n_steps : int, default=1
            Number of steps, S.

        Returns
        -------
        Draw
        """
        if self.from_table:
            size = n_steps * n_rows
            partner = self.rows[weighted_choice(self.cdf, size, self._partner)]
        else:
            partner = shuffle(n_rows, self._partner, n_steps)
        n_lam = n_steps if self.lam_per == "batch" else n_steps * n_rows
        lam = self._quantile(self._lam.random(n_lam))
        return Draw(partner, lam, int(self._swap.integers(2**63)))


def lam_table(alpha):
    """Tabulate the quantiles of Beta(alpha, alpha), to within some 1e-6.

    Parameters
    ----------
    alpha : float > 0

    Returns
    -------
    quantile : callable
        Maps an array of probabilities to one of quantiles, both in [0, 1].
    """
    if alpha > 100:  # within a tenth of 1/2, where the table is too coarse
        return partial(betaincinv, alpha, alpha)
    lam = np.sin(np.linspace(0, np.pi / 2, 8193)) ** 2  # dense at both ends
    return partial(np.interp, xp=betainc(alpha, alpha, lam), fp=lam)


def shuffle(n_rows, rng, n_steps=1):
    """Pair each row of a batch with another one, every other one being as likely.

    The pairs form one random cycle, so that nobody is left unmixed by meeting
    itself (as a plain permutation does to one row a batch), and each row is
    somebody's partner exactly once.

    Parameters
    ----------
    n_rows : int
    rng : numpy.random.Generator
    n_steps : int, default=1
        Number of batches, each of `n_rows` rows and paired within itself.

    Returns
    -------
    partner : ndarray of shape (n_steps * n_rows,), int64
        Positions, counted from the first row of the first batch; a batch of one
        row is its own partner.
    """
    order = np.arange(n_steps * n_rows).reshape(n_steps, n_rows)
    order = rng.permuted(order, axis=1)
    partner = np.empty(n_steps * n_rows, dtype=np.int64)
    partner[order] = np.roll(order, 1, axis=1)
    return partner


def weighted_choice(cdf, size, rng):
    """Draw `size` positions with replacement from a cumulative distribution."""
    # The last entry of a cumulated sum may end a rounding error short of 1.
    found = np.searchsorted(cdf, rng.random(size), side="right")
    return np.minimum(found, len(cdf) - 1)


def mixup(x, x_partner, draw, *, in_place=False):
    """Mix rows with their partners: ``lam * x + (1 - lam) * x_partner``.

    Numbers are interpolated. Integer codes and booleans have no in-between:
    each cell keeps its own value with probability `lam` and takes the
    partner's otherwise, the expectation of which is the mix of their one-hot
    codes.

    Parameters
    ----------
    x, x_partner : torch.Tensor of shape (S * B, ...), or a mapping, list or tuple of \
            such
        The rows of the steps that were drawn, one after the other.
    draw : Draw
    in_place : bool, default=False
        Whether mixed numbers may take the place of those of `x_partner`.

    Returns
    -------
    Same structure, shapes, dtypes and device as `x`.
    """
    swaps = torch.Generator().manual_seed(draw.swap_seed)
    return _mixed(x, x_partner, draw.lam, swaps, in_place)


def _mixed(x, x_partner, lam, swaps, in_place):
    if isinstance(x, torch.Tensor):
        # Rows that share a `lam` form a group: (S * B, ...) -> (n_groups, -1)
        groups, others = (part.reshape(len(lam), -1) for part in (x, x_partner))
        weight = torch.as_tensor(lam).reshape(-1, 1)
        if x.is_floating_point():
            lerp = others.lerp_ if in_place else others.lerp
            mixed = lerp(groups, weight.to(x.device, x.dtype))
        else:
            keep = (
                torch.rand(groups.shape, generator=swaps, dtype=weight.dtype) < weight
            )
            mixed = torch.where(keep.to(x.device), groups, others)
        return mixed.reshape(x.shape)
    if hasattr(x, "items"):
        return {k: _mixed(v, x_partner[k], lam, swaps, in_place) for k, v in x.items()}
    halves = zip(x, x_partner, strict=True)
    return type(x)(_mixed(*both, lam, swaps, in_place) for both in halves)


def stacked(x, x_partner):
    """Put rows and their partners one below the other, of shape (2 * B, ...)."""
    if isinstance(x, Mapping):
        return {name: stacked(rows, x_partner[name]) for name, rows in x.items()}
    return torch.cat([x, x_partner])


@contextmanager
def mixed_inside(module, layer, draw):
    """Mix what a submodule puts out, instead of what the module is given.

    Parameters
    ----------
    module : torch.nn.Module
        It is to be given `stacked` rows and partners, once, while the block runs;
        behind the layer there is one mixed row for each pair.
    layer : str
        Name of the submodule.
    draw : Draw
        Of one step.

    Raises
    ------
    RuntimeError
        If the submodule was not called, or not on all the rows.
    """
    fired = False

    def mix(_, args, output):
        nonlocal fired
        n_rows = len(draw.partner)
        if not isinstance(output, torch.Tensor) or len(output) != 2 * n_rows:
            got = getattr(output, "shape", type(output).__name__)
            raise RuntimeError(
                f"Got {got} from the layer {layer!r}, but expected a tensor of one row "
                f"for each of the {2 * n_rows} rows, mixed ones and partners, that the "
                "module was given. Choose another layer, or layers='input'."
            )
        fired = True
        return mixup(output[:n_rows], output[n_rows:], draw)

    handle = module.get_submodule(layer).register_forward_hook(mix)
    try:
        yield
    finally:
        handle.remove()
    if not fired:
        raise RuntimeError(
            f"The layer {layer!r} was not called in a training step, so that nothing "
            "was mixed. (Modules inside a compiled one are not told of calls.) Choose "
            "another layer, or layers='input'."
        )


def mixed_loss(own, partner, lam):
    """Loss of a mixed row: ``lam * own + (1 - lam) * partner``.

    For losses linear in the target (cross-entropy on one-hot labels) this is
    the loss of the mixed label of Zhang et al. 2018; for the squared error it
    differs from the loss of the mixed target by a constant in the prediction,
    so the gradients agree; for L1, Huber and pinball losses it is a definition
    of its own.

    Parameters
    ----------
    own, partner : torch.Tensor of shape () or (B,)
    lam : ndarray or torch.Tensor of shape (1,) or (B,)

    Returns
    -------
    torch.Tensor of the shape of `own`
    """
    lam = torch.as_tensor(lam).to(own.device, own.dtype)
    lam = lam.reshape(()) if own.ndim == 0 else lam
    return lam * own + (1 - lam) * partner


def mixed_nll(log_proba, labels, share):
    """Negative log-likelihood of several labels a row, each with its share of the loss.

    With the labels of a row and of its partner, and shares ``lam / B`` and
    ``(1 - lam) / B``, it is the cross-entropy of the mixed labels of a batch of B rows,
    for one pass over the outputs instead of two.

    Parameters
    ----------
    log_proba : torch.Tensor of shape (B, n_classes) or (B, n_classes, k)
    labels : torch.Tensor of shape (B, n_labels) or (B, n_labels, k), int64
    share : torch.Tensor of the shape of `labels`, or one that it broadcasts to

    Returns
    -------
    torch.Tensor of shape ()
    """
    return -(log_proba.gather(1, labels) * share).sum()
