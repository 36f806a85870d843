"""What is drawn at random in training: partners, weights, and where rows are mixed.

All randomness of a training step is drawn by `MixupSampler.draw`; what follows is a
pure function of the `Draw`, so that a step can be replayed and tested without a seed.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from scipy.special import betainc, betaincinv

from skmix import pairing
from skmix._mixing import mixup as mixings
from skmix._tables.columns import TrainingSet

Quantile = Callable[[np.ndarray], Any]


class Draw(NamedTuple):
    """What was drawn for S consecutive training steps on batches of B rows.

    Attributes
    ----------
    partner : ndarray of shape (S * B,), int64
        The row that each row is mixed with: its position, counted from the first row
        of the first step, or its number in the table if the sampler is `from_table`.
    lam : ndarray of shape (S,) or (S * B,), float64
        Weight of a row's own half, one for each step or row; its partner's weighs
        ``1 - lam``. Of shape (A, S) or (A, S * B) where the sampler has A alphas.
    seed : ndarray of shape (S,), int64
        Seeds the generator of the mixing in each step.
    place : ndarray of shape (S,), int64
        Which of `MixupSampler.layers` each step mixes at.
    """

    partner: np.ndarray
    lam: np.ndarray
    seed: np.ndarray = np.zeros(1, dtype=np.int64)
    place: np.ndarray = np.zeros(1, dtype=np.int64)

    def of_step(self, k: int, n_steps: int) -> "Draw":
        """Return what was drawn for step `k` of `n_steps`."""
        return Draw(*(part.reshape(n_steps, -1)[k] for part in self))

    def of_alpha(self, a: int) -> "Draw":
        """Return what was drawn for alpha number `a` of several."""
        return self._replace(lam=self.lam[a])


class MixupSampler:
    """Draws partners, weights and places, for one step or for several at a time.

    Parameters
    ----------
    alpha : float >= 0, callable, or list of float
        ``lam ~ Beta(alpha, alpha)`` (Zhang et al. 2018). A function of the number of
        the epoch, 1 for the first one, may change it: 0 mixes nothing. Each alpha of a
        list has a `lam`, computed from the same uniform number.
    lam_per : {"batch", "row"}
        One `lam` for the whole batch, or one for each row.
    seed : int
        Seeds the sampler's generators.
    mixing : str, callable or object, default="mixup"
        As in `skmix.mixing`.
    pairing : str, callable or object, default="shuffle"
        As in `skmix.pairing`.
    layers : sequence of (str or None), default=(None,)
        Where rows are mixed, one drawn for each step: behind a submodule, by its name,
        or, for None, at the input.
    clean_weight : float, default=0.0
        Weight of the loss of unmixed rows, which is added to the loss of mixed ones.

    Attributes
    ----------
    mix : list of callable
        For each of `layers`, the function that mixes there; None before `bind`.

    Notes
    -----
    Partners, lam, seeds of mixings, and places have a generator each, and `lam` is a
    monotone function of one uniform number, so that fits that differ in `alpha` alone
    get the same partners and the same quantiles of `lam`. Steps drawn together equal
    steps drawn one by one.
    """

    def __init__(
        self,
        *,
        alpha: Any,
        lam_per: str,
        seed: int,
        mixing: Any = "mixup",
        pairing: Any = "shuffle",
        layers: Sequence[str | None] = (None,),
        clean_weight: float = 0.0,
    ) -> None:
        self.alpha = alpha
        self.lam_per = lam_per
        self.seed = seed
        self.mixing = mixing
        self.pairing = pairing
        self.layers = tuple(layers)
        self.clean_weight = clean_weight
        self.table: Any = None
        self.mix: Any = None
        self._partners: Any = None
        self._restart()

    def _restart(self) -> None:
        """Seed the generators: of partners, of lam, of mixings and of places."""
        streams = np.random.SeedSequence(self.seed).spawn(4)
        self._partner, self._lam, self._seed, self._place = map(
            np.random.default_rng, streams
        )

    def bind(self, table: TrainingSet) -> None:
        """Learn from the training rows, and draw anew from the seed."""
        self._restart()
        self.table = table
        self.mix = [mixings.bound(self.mixing, table, layer) for layer in self.layers]
        self._partners = None
        if self.pairing != "shuffle":
            self._partners = pairing.bound(self.pairing, table)
        elif table.weight is not None:
            self._partners = pairing.by_weight(table.weight)

    @property
    def state(self) -> list[Any]:
        """The states of the generators, by which draws go on elsewhere."""
        own = self._partner, self._lam, self._seed, self._place
        return [generator.bit_generator.state for generator in own]

    @state.setter
    def state(self, states: list[Any]) -> None:
        own = self._partner, self._lam, self._seed, self._place
        for generator, state in zip(own, states, strict=True):
            generator.bit_generator.state = state

    @property
    def is_off(self) -> bool:
        """Whether nothing is mixed in any epoch."""
        if isinstance(self.alpha, list):
            return not any(self.alpha)
        return not callable(self.alpha) and self.alpha == 0

    @property
    def from_table(self) -> bool:
        """Whether partners are rows of the table rather than of the batch."""
        return self._partners is not None

    @property
    def looks_at_rows(self) -> bool:
        """Whether a partner depends on the number of a row in the table."""
        return self.from_table and self.pairing != "shuffle"

    @property
    def is_plain(self) -> bool:
        """Whether rows are interpolated by `lam`, as mixup does, at every layer."""
        return mixings.named(self.mixing) is mixings.mixup

    def strength(self, epoch: int) -> float:
        """Return the alpha of an epoch, 1 for the first one."""
        if not callable(self.alpha):
            return float(self.alpha)
        alpha = self.alpha(epoch)
        try:
            strength = float(alpha)
        except (TypeError, ValueError):
            strength = np.nan
        if not 0 <= strength < np.inf:
            raise ValueError(
                f"Got alpha({epoch}) = {alpha!r}, but expected a finite number of at "
                "least 0 for each epoch; 0 mixes nothing."
            )
        return strength

    def draw(
        self,
        n_rows: int,
        n_steps: int = 1,
        *,
        rows: np.ndarray | None = None,
        epoch: int = 1,
    ) -> Draw | None:
        """Draw for `n_steps` steps on batches of `n_rows` rows; None without mixing.

        `rows` are the numbers of all these rows in the table, (n_steps * n_rows,), for
        pairings that look at them.
        """
        several = isinstance(self.alpha, list)
        strengths = self.alpha if several else [self.strength(epoch)]
        if not any(strengths):
            return None
        n_lam = n_steps if self.lam_per == "batch" else n_steps * n_rows
        u = self._lam.random(n_lam)
        lam = [
            quantile(alpha, self.lam_per)(u) if alpha else np.ones(n_lam)
            for alpha in strengths
        ]
        place = self._place.integers(len(self.layers), size=n_steps)
        seed = self._seed.integers(2**63, size=n_steps)
        partner = self._paired(n_rows, n_steps, rows)
        return Draw(partner, np.stack(lam) if several else lam[0], seed, place)

    def _paired(self, n_rows: int, n_steps: int, rows: np.ndarray | None) -> np.ndarray:
        """Draw a partner for each row, as in `Draw.partner`."""
        if self._partners is None:
            return pairing.shuffle(n_rows, self._partner, n_steps)
        if self.pairing == "shuffle":  # by weight, whatever the rows are
            steps: Any = [np.arange(n_steps * n_rows)]
        else:
            at_once = 1 if pairing.draws_by_row(self.pairing) else n_steps
            steps = self.table.positions(rows).reshape(at_once, -1)
        found = [self._partners(step, self._partner) for step in steps]
        return self.table.rows[np.concatenate(found)]


@lru_cache(maxsize=64)
def quantile(alpha: float, lam_per: str) -> Quantile:
    """Return the quantile function of Beta(alpha, alpha).

    It takes 0.7 us for each number, or 0.02 by a table, for hundreds in a step.
    """
    if lam_per == "batch":
        return partial(betaincinv, alpha, alpha)
    return lam_table(alpha)


def lam_table(alpha: float) -> Quantile:
    """Tabulate the quantiles of Beta(alpha, alpha), to within some 1e-6."""
    if alpha > 100:  # within a tenth of 1/2, where the table is too coarse
        return partial(betaincinv, alpha, alpha)
    lam = np.sin(np.linspace(0, np.pi / 2, 8193)) ** 2  # dense at both ends
    return partial(np.interp, xp=betainc(alpha, alpha, lam), fp=lam)
