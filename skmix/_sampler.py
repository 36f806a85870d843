"""What chance decides in training: partners, weights, and where rows are mixed.

Randomness lives in `Plan.draw` alone: everything after a `Draw` is a pure function of
it, so a step can be replayed, stacked and tested without a seed.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import betainc, betaincinv
from skorch.utils import multi_indexing

from skmix import _mixup, pairing
from skmix._columns import each_array


class Draw(NamedTuple):
    """What chance decided for S consecutive training steps on batches of B rows.

    Attributes
    ----------
    partner : ndarray of shape (S * B,), int64
        The row that each row is mixed with: its position, counted from the first
        row of the first step, or its number in the table where `Plan.from_table`.
    lam : ndarray of shape (S,) or (S * B,), float64
        Weight of a row's own half, one a step or one a row; its partner's weighs
        ``1 - lam``. With a first axis for several alphas, of shape (A, S) or
        (A, S * B), where the plan has a list of them.
    seed : ndarray of shape (S,), int64
        Seeds what a mixing draws in each step.
    place : ndarray of shape (S,), int64
        Which of `Plan.layers` each step mixes at.
    """

    partner: np.ndarray
    lam: np.ndarray
    seed: np.ndarray = np.zeros(1, dtype=np.int64)
    place: np.ndarray = np.zeros(1, dtype=np.int64)

    def of_step(self, k, n_steps):
        """What was drawn for step `k` of `n_steps`."""
        return Draw(*(part.reshape(n_steps, -1)[k] for part in self))

    def of_alpha(self, a):
        """What was drawn for alpha number `a` of several."""
        return self._replace(lam=self.lam[a])


@dataclass(frozen=True, eq=False)
class Table:
    """The rows that are trained on, as pairings and mixings are shown them.

    Held-out rows are not among them. What is shown is gathered when it is asked for,
    and read-only.

    Parameters
    ----------
    all_X, all_y, all_groups : tables and arrays of N rows
        What the net was given.
    rows : ndarray of shape (n,), int64, or None
        Numbers of the rows that are trained on. None where nobody knows them; then
        looking at rows is an error.
    weight, columns, numeric, names, read_as, task
        As below.

    Attributes
    ----------
    X : {ndarray, CSR matrix} of shape (n, d), or a mapping of arrays
        Columns as the net gets them.
    y : ndarray of shape (n,)
        Targets as the net gets them: class indices, int64 (0.0 and 1.0 for a net with a
        single output), or numbers.
    weight : ndarray of shape (n,), float64, or None
        Row weights of mean 1, unless all are equal.
    groups : ndarray of shape (n,), or None
        As given to `fit`.
    columns : ndarray of shape (d,), int, mapping of such, or None
        For each column of `X`, the number of the column of the user's table that it is
        made of, columns that are a group of one-hot columns counting as one. None where
        each is one of its own.
    numeric : ndarray of shape (d,), bool, mapping of such, or None
        Which columns of `X` are numbers, and no codes nor indicators. None for all.
    names : list of str, or None
        Of the columns of the user's table.
    read_as : ndarray of shape (n_features,), int, or None
        The number that `columns` has for each of these; the same one for columns that
        are a group of one-hot columns. None where each is one of its own.
    task : str
        "classifier" or "regressor".
    """

    all_X: Any
    all_y: Any
    rows: np.ndarray | None
    weight: np.ndarray | None = None
    all_groups: np.ndarray | None = None
    columns: Any = None
    numeric: Any = None
    names: list | None = None
    read_as: np.ndarray | None = None
    task: str = "classifier"

    @cached_property
    def X(self):
        return self._of_rows(self.all_X)

    @cached_property
    def y(self):
        return self._of_rows(np.asarray(self.all_y))

    @cached_property
    def groups(self):
        return None if self.all_groups is None else self._of_rows(self.all_groups)

    def _of_rows(self, data):
        if self.rows is None:
            raise ValueError(
                "Got a mixing or a pairing that looks at the whole table, and a net "
                "with a dataset or a split of its own, which does not tell which rows "
                "are trained on. Leave these at skorch's defaults, or choose "
                "pairing='shuffle' and a mixing that learns nothing from the table."
            )
        if len(self.rows) != len(self.all_y) or (np.diff(self.rows) != 1).any():
            data = multi_indexing(data, self.rows)
        return each_array(_read_only, data)

    def positions(self, rows):
        """Where rows of the net's table are among those that are trained on."""
        return self._position[rows]

    @cached_property
    def _position(self):
        position = np.full(len(self.all_y), -1)
        position[self.rows] = np.arange(len(self.rows))
        return position


def _read_only(data):
    """What a rule of one's own is shown may be the user's own table."""
    if isinstance(data, np.ndarray):
        data = data.view()
        data.flags.writeable = False
    elif sparse.issparse(data):
        parts = map(_read_only, (data.data, data.indices, data.indptr))
        data = type(data)(tuple(parts), shape=data.shape, copy=False)
    return data


class Plan:
    """Draws partners, weights and places, for one step or for several at a time.

    Parameters
    ----------
    alpha : float >= 0, callable, or list of float
        ``lam ~ Beta(alpha, alpha)`` (Zhang et al. 2018). A function of the number of
        the epoch, 1 for the first one, may change it: 0 mixes nothing. Of a list, each
        has a `lam` of its own, of the same uniform number.
    lam_per : {"batch", "row"}
        One `lam` for the whole batch, or one for each row.
    seed : int
        Entropy of the plan's own generators.
    mixing : str, callable or object, default="mixup"
        As in `skmix.mixing`.
    pairing : str, callable or object, default="shuffle"
        As in `skmix.pairing`.
    layers : sequence of (str or None), default=(None,)
        Where rows are mixed, one drawn for each step: behind a submodule, by its name,
        or, for None, at the input.
    clean_weight : float, default=0.0
        Weight of the loss of unmixed rows, which is added to that of mixed ones.

    Attributes
    ----------
    mix : list of callable
        For each of `layers`, the function that mixes there.

    Notes
    -----
    Partners, lam, what a mixing draws, and places have a generator each, and `lam` is
    a monotone function of one uniform number, so that fits that differ in `alpha` alone
    meet the same partners and the same quantiles of `lam`. Steps drawn together are
    those drawn one by one.
    """

    def __init__(
        self,
        *,
        alpha,
        lam_per,
        seed,
        mixing="mixup",
        pairing="shuffle",
        layers=(None,),
        clean_weight=0.0,
    ):
        self.alpha = alpha
        self.lam_per = lam_per
        self.mixing = mixing
        self.pairing = pairing
        self.layers = tuple(layers)
        self.clean_weight = clean_weight
        self.table = self._partners = None
        self.mix = None
        self.seed = seed
        self._restart()

    def _restart(self):
        # A stream each; the first three are those of any plan of this seed.
        streams = np.random.SeedSequence(self.seed).spawn(4)
        self._partner, self._lam, self._seed, self._place = map(
            np.random.default_rng, streams
        )

    def bind(self, table):
        """Start anew, and learn what there is to learn from the training rows.

        Parameters
        ----------
        table : Table
        """
        self._restart()
        self.table = table
        self.mix = [_mixup.bound(self.mixing, table, layer) for layer in self.layers]
        self._partners = None
        if self.pairing != "shuffle":
            self._partners = pairing.bound(self.pairing, table)
        elif table.weight is not None:
            self._partners = pairing.by_weight(table.weight)

    @property
    def is_off(self):
        """Whether nothing is mixed in any epoch."""
        if isinstance(self.alpha, list):
            return not any(self.alpha)
        return not callable(self.alpha) and self.alpha == 0

    @property
    def from_table(self):
        """Whether partners are rows of the table rather than of the batch."""
        return self._partners is not None

    @property
    def looks_at_rows(self):
        """Whether partners depend on which rows of the table a row is."""
        return self.from_table and self.pairing != "shuffle"

    @property
    def is_plain(self):
        """Whether rows are but interpolated, by `lam`, wherever that is."""
        return _mixup.named(self.mixing) is _mixup.mixup

    def strength(self, epoch):
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

    def draw(self, n_rows, n_steps=1, *, rows=None, epoch=1):
        """Draw what training steps on batches of equal size need.

        Parameters
        ----------
        n_rows : int
            Rows of each batch, B.
        n_steps : int, default=1
            Number of steps, S.
        rows : ndarray of shape (S * B,), int64, default=None
            Their numbers in the table; needed by pairings that look at them.
        epoch : int, default=1
            Number of the epoch.

        Returns
        -------
        Draw, or None in an epoch in which nothing is mixed
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
        lam = np.stack(lam) if several else lam[0]
        place = self._place.integers(len(self.layers), size=n_steps)
        seed = self._seed.integers(2**63, size=n_steps)
        return Draw(self._paired(n_rows, n_steps, rows), lam, seed, place)

    def _paired(self, n_rows, n_steps, rows):
        if self._partners is None:
            return pairing.shuffle(n_rows, self._partner, n_steps)
        if self.pairing == "shuffle":  # by weight, whatever the rows are
            steps = [np.arange(n_steps * n_rows)]
        else:
            at_once = 1 if pairing.draws_by_row(self.pairing) else n_steps
            steps = self.table.positions(rows).reshape(at_once, -1)
        found = [self._partners(step, self._partner) for step in steps]
        return self.table.rows[np.concatenate(found)]


@lru_cache(maxsize=64)
def quantile(alpha, lam_per):
    """Return the quantile function of Beta(alpha, alpha).

    A step needs one quantile, or hundreds: 0.7 us each exactly, 0.02 by table.
    """
    if lam_per == "batch":
        return partial(betaincinv, alpha, alpha)
    return lam_table(alpha)


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
