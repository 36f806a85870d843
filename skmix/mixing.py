"""Who is mixed with whom, how strongly, and what a mixed row costs.

Randomness lives in `Plan.draw` alone: everything after a `Draw` is a pure
function of it, so a step can be replayed, stacked and tested without a seed.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import betaincinv


class Draw(NamedTuple):
    """What chance decided for one training step on a batch of B rows.

    Attributes
    ----------
    partner : ndarray of shape (B,), int64
        The row that each row is mixed with: its position in the batch or, where
        `Plan.from_table`, its number in the table.
    lam : ndarray of shape (1,) or (B,), float64
        Weight of a row's own half; its partner's weighs ``1 - lam``.
    swap_seed : int
        Seeds the mask that decides which integer codes come from the partner.
    """

    partner: np.ndarray
    lam: np.ndarray
    swap_seed: int


class Plan:
    """Draws partners and weights, one step at a time.

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
    `alpha` alone meet the same partners and the same quantiles of `lam`.
    """

    def __init__(self, *, alpha, lam_per, seed):
        self.alpha = alpha
        self.lam_per = lam_per
        self.rows = self.cdf = None
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

    def draw(self, n_rows):
        """Draw what one training step needs.

        Parameters
        ----------
        n_rows : int
            Rows of the batch, B.

        Returns
        -------
        Draw
        """
        if self.from_table:
            partner = self.rows[weighted_choice(self.cdf, n_rows, self._partner)]
        else:
            partner = shuffle(n_rows, self._partner)
        quantile = self._lam.random(1 if self.lam_per == "batch" else n_rows)
        lam = betaincinv(self.alpha, self.alpha, quantile)
        return Draw(partner, lam, int(self._swap.integers(2**63)))


def shuffle(n_rows, rng):
    """Pair each row of a batch with another one, every other one being as likely.

    The pairs form one random cycle, so that nobody is left unmixed by meeting
    itself (as a plain permutation does to one row a batch), and each row is
    somebody's partner exactly once.

    Parameters
    ----------
    n_rows : int
    rng : numpy.random.Generator

    Returns
    -------
    partner : ndarray of shape (n_rows,), int64
        Positions in the batch; a batch of one row is its own partner.
    """
    order = rng.permutation(n_rows)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner


def weighted_choice(cdf, size, rng):
    """Draw `size` positions with replacement from a cumulative distribution."""
    # The last entry of a cumulated sum may end a rounding error short of 1.
    found = np.searchsorted(cdf, rng.random(size), side="right")
    return np.minimum(found, len(cdf) - 1)


def mixup(x, x_partner, draw):
    """Mix a batch with its partners: ``lam * x + (1 - lam) * x_partner``.

    Numbers are interpolated. Integer codes and booleans have no in-between:
    each cell keeps its own value with probability `lam` and takes the
    partner's otherwise, the expectation of which is the mix of their one-hot
    codes.

    Parameters
    ----------
    x, x_partner : torch.Tensor of shape (B, ...), or a mapping, list or tuple of such
    draw : Draw

    Returns
    -------
    Same structure, shapes, dtypes and device as `x`.
    """
    return _mixed(x, x_partner, draw.lam, _generator(draw.swap_seed))


def _mixed(x, x_partner, lam, swaps):
    if isinstance(x, torch.Tensor):
        # (1,) or (B,) -> (1, 1, ...) or (B, 1, ...)
        weight = torch.as_tensor(lam).reshape(-1, *[1] * (x.ndim - 1))
        if x.is_floating_point():
            return torch.lerp(x_partner, x, weight.to(x.device, x.dtype))
        keep = torch.rand(x.shape, generator=swaps, dtype=weight.dtype) < weight
        return torch.where(keep.to(x.device), x, x_partner)
    if hasattr(x, "items"):
        return {k: _mixed(v, x_partner[k], lam, swaps) for k, v in x.items()}
    return type(x)(
        _mixed(*halves, lam, swaps) for halves in zip(x, x_partner, strict=True)
    )


def _generator(seed):
    return torch.Generator().manual_seed(seed)


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
    lam : ndarray of shape (1,) or (B,)

    Returns
    -------
    torch.Tensor of the shape of `own`
    """
    lam = torch.as_tensor(lam).to(own.device, own.dtype)
    lam = lam.reshape(()) if own.ndim == 0 else lam
    return lam * own + (1 - lam) * partner
