"""Which row each row is mixed with.

`pairing` of the skmix estimators is a name, an object of this module, or a
user-supplied function or object:

- a function ``f(rows, X, y, weight, rng) -> partner`` is called once for each step;
- an object that sorts or searches the training rows first has a method ``bind(table)``,
  which is called once for each fit with a `TrainingSet` and returns a function
  ``partners(rows, rng)``. It may have two attributes: ``task``, "classifier" or
  "regressor", if it is for one of these alone; and ``by_row = True``, if the partner of
  a row depends on no other row, so that several steps may share a call.

Arguments and results of the function:

rows : ndarray of shape (B,), int64
    Which rows of `X` are in a batch.
X, y : ndarray (or CSR matrix, or mapping) of n rows, ndarray of shape (n,)
    All training rows, as the net gets them, and none held out; read-only.
    Labels are class indices, int64 (0.0 and 1.0 for a net with a single output).
weight : ndarray of shape (n,), float64
    Of mean 1.
rng : numpy.random.Generator
    Used for partners alone.
partner : ndarray of shape (B,), int
    Which row of `X` each of `rows` is mixed with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.sparsefuncs import mean_variance_axis

from skmix._tables.columns import TrainingSet
from skmix._validation import check_above_0, check_bound, check_rule, check_share

__all__ = ["Lisa", "Nearest", "OtherClass", "SameClass", "SimilarTarget"]

EXACT_ROWS = 20_000  # above, neighbours are searched for in cells of similar rows
CELL_ROWS = 1_000
MAX_CODES = 50  # of a column; the rarer ones count as one
LARGEST = float(np.finfo(np.float32).max)
CELL_WIDTH, REACH = 0.5, 8  # in bandwidths of the kernel of similar targets
PROPOSALS = 4

Rng = np.random.Generator
Partners = Callable[[np.ndarray, Rng], np.ndarray]


def shuffle(n_rows: int, rng: Rng, n_steps: int = 1) -> np.ndarray:
    """Pair each row of a batch with another one, every other one being as likely.

    The pairs of a batch form one random cycle: no row is its own partner, except in a
    batch of one row, and each row is the partner of one row. Of `n_steps` batches,
    positions count from the first row of the first batch.
    """
    order = np.arange(n_steps * n_rows).reshape(n_steps, n_rows)
    order = rng.permuted(order, axis=1)
    partner = np.empty(n_steps * n_rows, dtype=np.int64)
    partner[order] = np.roll(order, 1, axis=1)
    return partner


def by_weight(weight: np.ndarray) -> Partners:
    """Return a function that draws partners in proportion to their weights."""
    cdf = np.cumsum(weight) / np.sum(weight)
    return lambda rows, rng: weighted_choice(cdf, len(rows), rng)


def weighted_choice(cdf: np.ndarray, size: int, rng: Rng) -> np.ndarray:
    """Draw `size` positions with replacement from a cumulative distribution."""
    # The last entry of a cumulated sum may end a rounding error short of 1.
    found = np.searchsorted(cdf, rng.random(size), side="right")
    return np.minimum(found, len(cdf) - 1)


@dataclass(frozen=True)
class SameClass:
    """Partners of the row's own class, ``pairing="same_class"``.

    All other rows of the class are as likely. Rows that have weights are drawn in
    proportion to these, the row itself included, as its copies would be. The only row
    of a class is its own partner.

    Notes
    -----
    Labels stay as they are: what is mixed is the rows of a class (intra-class mixup).

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> from skmix.pairing import SameClass
    >>> MixupClassifier(pairing=SameClass())  # as pairing="same_class"
    MixupClassifier(pairing=SameClass())
    """

    task: ClassVar[str] = "classifier"
    by_row: ClassVar[bool] = True

    def bind(self, table: TrainingSet) -> Partners:
        """Return the function that draws partners.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.

        Returns
        -------
        partners : callable
            ``partners(rows, rng)``, as `skmix.pairing` says.
        """
        n_rows = len(table.y)
        itself = np.arange(n_rows) if table.weight is None else None
        return _Others(table.y, itself, table.weight).partners


@dataclass(frozen=True)
class OtherClass:
    """Partners of another class than the row's own, ``pairing="other_class"``.

    All rows of other classes are as likely, or are drawn in proportion to their
    weights. Where there is but one class among the rows that are trained on, each row
    is its own partner.

    Notes
    -----
    Where classes are of different sizes, mixed labels are not: of two classes, each has
    half of the weight in them, since `lam` is one half on average. So probabilities are
    drawn to equal ones; much less with ``mixing=skmix.mixing.OwnMajor()``.

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> from skmix.pairing import OtherClass
    >>> MixupClassifier(pairing=OtherClass())  # as pairing="other_class"
    MixupClassifier(pairing=OtherClass())
    """

    task: ClassVar[str] = "classifier"
    by_row: ClassVar[bool] = True

    def bind(self, table: TrainingSet) -> Partners:
        """Return the function that draws partners.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.

        Returns
        -------
        partners : callable
            ``partners(rows, rng)``, as `skmix.pairing` says.
        """
        return _Others(np.zeros(len(table.y)), table.y, table.weight).partners


@dataclass(frozen=True)
class Lisa:
    """Partners that share the label or the group, but not both (LISA).

    With probability `p` a row of the same label in another group, else one of another
    label in the same group: what tells groups apart no longer tells labels apart. `fit`
    is to be given ``groups``. ``pairing="lisa"`` stands for ``Lisa()``.

    Parameters
    ----------
    p : float, default=0.5
        Probability of the same label, from 0 to 1.

    Notes
    -----
    Where the one kind of partner does not exist, the other kind is taken, and where
    neither does, the row is its own partner. Rows of a kind are drawn in proportion to
    their weights.

    References
    ----------
    H. Yao et al., "Improving Out-of-Distribution Robustness via Selective
    Augmentation", ICML 2022, https://arxiv.org/abs/2201.00299

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=10)  # quick
    >>> clf = MixupClassifier(net, alpha=0.2, pairing="lisa", random_state=0)
    >>> clf.fit(X, y, groups=np.arange(len(y)) % 3).score(X, y) > 0.9
    True
    """

    p: float = 0.5
    task: ClassVar[str] = "classifier"
    by_row: ClassVar[bool] = True

    def bind(self, table: TrainingSet) -> Partners:
        """Return the function that draws partners.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.

        Returns
        -------
        partners : callable
            ``partners(rows, rng)``, as `skmix.pairing` says.
        """
        check_share("p", self.p)
        if table.groups is None:
            raise ValueError(
                "Got pairing='lisa' and no groups, but expected one for each row: "
                "fit(X, y, groups=...). (In a Pipeline or a search, with metadata "
                "routing enabled, ask for them by set_fit_request(groups=True).)"
            )
        _, groups = np.unique(table.groups, return_inverse=True)
        by_label = _Others(table.y, groups, table.weight)  # same label, other group
        by_group = _Others(groups, table.y, table.weight)  # same group, other label

        def partners(rows: np.ndarray, rng: Rng) -> np.ndarray:
            coin, u = rng.random((len(rows), 2)).T
            (label, labels), (group, of_group) = (
                others.draw(rows, u) for others in (by_label, by_group)
            )
            same_label = np.where(of_group & labels, coin < self.p, labels)
            return np.where(same_label, label, group)

        return partners


class _Others:
    """Draws rows of the same `outer` value and another `inner` one, by weight."""

    def __init__(
        self,
        outer: np.ndarray,
        inner: np.ndarray | None = None,
        weight: np.ndarray | None = None,
    ) -> None:
        keys = (outer,) if inner is None else (inner, outer)
        self.order = np.lexsort(keys)
        self.position = np.empty_like(self.order)
        self.position[self.order] = np.arange(len(outer))
        weight = np.ones(len(outer)) if weight is None else weight
        self.below = np.r_[0.0, np.cumsum(weight[self.order])]
        sorted_keys = [np.asarray(key)[self.order] for key in keys]
        self.outer = _runs(sorted_keys[-1:])
        self.inner = None if inner is None else _runs(sorted_keys)

    def partners(self, rows: np.ndarray, rng: Rng) -> np.ndarray:
        """Draw a partner for each row."""
        return self.draw(rows, rng.random(len(rows)))[0]

    def draw(self, rows: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a partner for each row, by uniform numbers, and whether there is one.

        A row without a partner is its own.
        """
        at = self.position[rows]
        start, stop = (ends[at] for ends in self.outer)
        # The rows to leave out, within [start, stop): [skip, resume).
        skip, resume = (
            (start, start) if self.inner is None else (ends[at] for ends in self.inner)
        )
        below = self.below
        left, right = below[skip] - below[start], below[stop] - below[resume]
        target = u * (left + right)
        on_left = (target < left) | (resume == stop)
        target = np.where(on_left, below[start] + target, below[resume] + target - left)
        found = np.searchsorted(below, target, side="right") - 1
        low = np.where(on_left, start, resume)
        high = np.where(on_left, skip, stop) - 1
        there = (skip > start) | (stop > resume)
        found = np.where(there, np.clip(found, low, np.maximum(low, high)), at)
        return self.order[found], there


def _runs(keys: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return where the run of equal keys begins and ends, for each sorted row."""
    n_rows = len(keys[0])
    new = np.ones(n_rows, dtype=bool)
    new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    run = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    return starts[run], np.append(starts[1:], n_rows)[run]


@dataclass(frozen=True)
class Nearest:
    """Partners among the `k` nearest rows (local mixup), ``pairing="nearest"``.

    Parameters
    ----------
    k : int, default=10
        Number of neighbours, all as likely (or by weight).

    Notes
    -----
    Distances are Euclidean, of the columns as the net gets them, numbers divided by
    their standard deviation. Tables of more than `EXACT_ROWS` rows are cut into cells
    of like rows, of at most `CELL_ROWS`, and neighbours are those of the same cell.

    Weights decide among the neighbours only: a row of weight 3 does not take three of
    the `k` places, as three copies of it would (so law 6 of the design does not hold).

    References
    ----------
    R. Baena, L. Drumetz, V. Gripon, "Preventing Manifold Intrusion with Locality: Local
    Mixup", 2022, https://arxiv.org/abs/2201.04368 (the graph of neighbours; partners
    outside of it have weight 0)

    Examples
    --------
    >>> from skmix import MixupRegressor
    >>> from skmix.pairing import Nearest
    >>> MixupRegressor(pairing=Nearest(k=5))
    MixupRegressor(pairing=Nearest(k=5))
    """

    k: int = 10
    by_row: ClassVar[bool] = True

    def bind(self, table: TrainingSet) -> Partners:
        """Return the function that draws partners.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.

        Returns
        -------
        partners : callable
            ``partners(rows, rng)``, as `skmix.pairing` says.
        """
        if not isinstance(self.k, Integral) or self.k < 1:
            raise ValueError(
                f"Got k={self.k!r}, but expected an integer of at least 1."
            )
        neighbours = _neighbours(_points(table.X), self.k)
        weight = table.weight

        def partners(rows: np.ndarray, rng: Rng) -> np.ndarray:
            u, near = rng.random(len(rows)), neighbours[rows]
            if weight is None:
                place = (u * near.shape[1]).astype(np.intp)
            else:
                below = np.cumsum(weight[near], axis=1)
                place = (u[:, None] * below[:, -1:] >= below[:, :-1]).sum(axis=1)
            return near[np.arange(len(rows)), place]

        return partners


def _points(X: Any) -> Any:
    """Return rows as points in float32: numbers of variance 1, codes one-hot."""
    if isinstance(X, Mapping):
        return np.hstack([_points(column) for column in X.values()])
    if sparse.issparse(X):
        X = sparse.csr_array(X, dtype=np.float64, copy=True)
        np.clip(
            X.data, -LARGEST, LARGEST, out=X.data
        )  # the square of 1e200 is infinite
        scale = np.sqrt(mean_variance_axis(X, axis=0)[1])
        return (X @ sparse.diags(1 / np.where(scale > 0, scale, 1))).tocsr()
    X = np.asarray(X)
    X = X.reshape(len(X), -1)
    if X.dtype.kind in "iub":
        options = {"sparse_output": False, "dtype": np.float32}
        one_hot = OneHotEncoder(max_categories=MAX_CODES, **options)
        return one_hot.fit_transform(X) if X.size else X
    X = np.clip(np.nan_to_num(X), -LARGEST, LARGEST).astype(np.float32)
    scale = X.std(axis=0, dtype=np.float64)
    two_valued = ((X == 0) | (X == 1)).all(axis=0)  # as one-hot codes are
    return X / np.where(two_valued | (scale == 0), 1, scale).astype(np.float32)


def _neighbours(points: Any, k: int) -> np.ndarray:
    """Return the numbers of the nearest other rows, of shape (n, k) or narrower."""
    n_rows = points.shape[0]
    if n_rows == 1:
        return np.zeros((1, 1), dtype=np.int32)
    cells = [np.arange(n_rows)]
    if n_rows > EXACT_ROWS:
        cells = _cells(points, np.random.default_rng(0))
    k = min(k, min(map(len, cells)) - 1)
    found = np.empty((n_rows, k), dtype=np.int32)
    for rows in cells:
        search = NearestNeighbors(n_neighbors=k).fit(points[rows])
        # (Without points of its own, a row is no neighbour of itself.)
        found[rows] = rows[search.kneighbors(return_distance=False)]
    return found


def _cells(points: Any, rng: Rng) -> list[np.ndarray]:
    """Halve the rows, along lines through two of them, until cells are small."""
    cells, large = [], [np.arange(points.shape[0])]
    while large:
        rows = large.pop()
        if len(rows) <= CELL_ROWS:
            cells.append(rows)
            continue
        one, other = rng.choice(rows, 2, replace=False)
        along = points[[one]] - points[[other]]
        along = along.toarray() if sparse.issparse(along) else along
        where = np.asarray(points[rows] @ along.ravel())
        order, half = np.argpartition(where, len(rows) // 2), len(rows) // 2
        large += [rows[order[:half]], rows[order[half:]]]
    return cells


@dataclass(frozen=True)
class SimilarTarget:
    """Partners of similar targets (C-Mixup), ``pairing="similar_target"``.

    Row j is the partner of row i with a probability in proportion to
    ``exp(-(y_i - y_j)**2 / (2 * bandwidth**2))``, times its weight.

    Parameters
    ----------
    bandwidth : float, default=0.1
        In standard deviations of the targets.

    Notes
    -----
    As in the paper a row may be its own partner, which one of rare targets often is.
    Memory grows with the number of rows, and the time of a draw hardly at all: rows are
    drawn from cells of similar targets by an upper bound of the kernel, and accepted by
    its ratio to that, until they are. The kernel ends at 8 bandwidths.

    References
    ----------
    H. Yao et al., "C-Mixup: Improving Generalization in Regression", NeurIPS 2022,
    equation 6, https://arxiv.org/abs/2210.05775

    Examples
    --------
    >>> from skmix import MixupRegressor
    >>> from skmix.pairing import SimilarTarget
    >>> MixupRegressor(pairing=SimilarTarget(bandwidth=0.5))
    MixupRegressor(pairing=SimilarTarget(bandwidth=0.5))
    """

    bandwidth: float = 0.1
    task: ClassVar[str] = "regressor"

    def bind(self, table: TrainingSet) -> Partners:
        """Return the function that draws partners.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.

        Returns
        -------
        partners : callable
            ``partners(rows, rng)``, as `skmix.pairing` says.
        """
        check_above_0("bandwidth", self.bandwidth)
        y = np.asarray(table.y, dtype=np.float64).ravel()
        mean = np.average(y, weights=table.weight)
        scale = np.sqrt(np.average((y - mean) ** 2, weights=table.weight))
        with np.errstate(over="ignore"):
            scaled = (y - mean) / (scale or 1) / self.bandwidth
        if not np.isfinite(scaled).all():
            raise ValueError(
                f"Got bandwidth={self.bandwidth!r}, so small that targets are "
                "infinitely far apart. (Its unit is their standard deviation.)"
            )
        return _Similar(scaled, table.weight).draw


class _Similar:
    """Draws rows by a Gaussian kernel of their targets, in units of its bandwidth."""

    def __init__(self, y: np.ndarray, weight: np.ndarray | None) -> None:
        self.y = y
        self.order = np.argsort(y, kind="stable")
        weight = np.ones(len(y)) if weight is None else weight
        self.below = np.r_[0.0, np.cumsum(weight[self.order])]
        # Only cells that hold rows, so that memory is bounded by their number.
        cell = np.floor((y - y.min()) / CELL_WIDTH)[self.order]
        self.cell, self.start = np.unique(cell, return_index=True)
        self.stop = np.append(self.start[1:], len(y))
        self.mass = self.below[self.stop] - self.below[self.start]
        self.low, self.high = y[self.order][self.start], y[self.order][self.stop - 1]

    def draw(self, rows: np.ndarray, rng: Rng) -> np.ndarray:
        """Draw a partner for each row."""
        y = self.y[rows]
        near, bound = self._near(y)
        below = np.cumsum(bound * self.mass[near], axis=1)
        partner, open_ = np.empty(len(rows), dtype=np.int64), np.arange(len(rows))
        while len(open_):
            # Some proposals at once, of which the first one accepted counts.
            which, where, accept = rng.random((3, len(open_), PROPOSALS))
            which = which * below[open_, -1:]
            place = (which[:, :, None] >= below[open_, None, :-1]).sum(axis=2)
            cell = near[open_[:, None], place]
            target = self.below[self.start[cell]] + where * self.mass[cell]
            found = np.searchsorted(self.below, target, side="right") - 1
            found = np.clip(found, self.start[cell], self.stop[cell] - 1)
            found = self.order[found]
            kernel = np.exp(-((y[open_, None] - self.y[found]) ** 2) / 2)
            accepted = accept * bound[open_[:, None], place] <= kernel
            first = accepted.argmax(axis=1)
            partner[open_] = found[np.arange(len(open_)), first]
            open_ = open_[~accepted.any(axis=1)]
        return partner

    def _near(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return cells within reach of targets, and bounds of the kernel, (n, m)."""
        first = np.searchsorted(self.low, y - REACH) - 1
        m = int(2 * REACH / CELL_WIDTH) + 3
        near = np.maximum(first, 0)[:, None] + np.arange(m)
        there = near < len(self.cell)
        near = np.minimum(near, len(self.cell) - 1)
        # A cell is as near as the nearest of its targets may be.
        apart = np.maximum(self.low[near] - y[:, None], y[:, None] - self.high[near])
        apart = np.maximum(apart, 0)
        return near, np.exp(-(apart**2) / 2) * (there & (apart <= REACH))


NAMED: dict[str, Any] = {
    "same_class": SameClass(),
    "other_class": OtherClass(),
    "nearest": Nearest(),
    "similar_target": SimilarTarget(),
    "lisa": Lisa(),
}


def may_read_groups(pairing: Any) -> bool:
    """Whether a pairing may look at groups: LISA, and bound objects of users."""
    rule = NAMED.get(pairing) if isinstance(pairing, str) else pairing
    of_user = type(rule).__module__ != __name__
    return isinstance(rule, Lisa) or (of_user and hasattr(rule, "bind"))


def check_pairing(pairing: Any, task: str) -> None:
    """Refuse an object that is no pairing for a "classifier" or "regressor"."""
    arguments = ("rows", "X", "y", "weight", "rng")
    check_rule(
        "pairing", pairing, ("shuffle", *NAMED), arguments, "partner", ("table",)
    )
    if not isinstance(pairing, str):
        name, rule = type(pairing).__name__, pairing
    else:
        name, rule = repr(pairing), NAMED.get(pairing)
    wanted = getattr(rule, "task", task)
    if wanted != task:
        instead = (
            "pairing='similar_target' pairs rows of similar numbers"
            if wanted == "classifier"
            else "pairing='same_class' pairs rows of one class"
        )
        raise ValueError(
            f"Got pairing={name} for a {task}, but it is one for a {wanted}: {instead}."
        )


def bound(pairing: Any, table: TrainingSet) -> Any:
    """Return the function ``partners(rows, rng)`` of a pairing for a table."""
    if isinstance(pairing, str):
        return NAMED[pairing].bind(table)
    if hasattr(pairing, "bind"):
        partners = pairing.bind(table)
        check_bound("pairing", pairing, partners)
    else:
        weight = np.ones(len(table.y)) if table.weight is None else table.weight.copy()
        weight.flags.writeable = False

        def partners(rows: np.ndarray, rng: Rng) -> Any:
            return pairing(rows, table.X, table.y, weight, rng)

    return lambda rows, rng: _checked(partners(rows, rng), len(rows), len(table.y))


def draws_by_row(pairing: Any) -> bool:
    """Whether partners of several steps may be drawn in one call."""
    pairing = NAMED.get(pairing) if isinstance(pairing, str) else pairing
    return pairing is None or getattr(pairing, "by_row", False)


def _checked(partner: Any, n_rows: int, n_table: int) -> np.ndarray:
    """Return the result of a user-supplied pairing as an array of positions."""
    got = np.asarray(partner)
    if got.shape != (n_rows,) or got.dtype.kind not in "iu":
        raise ValueError(
            f"Got an array of shape {got.shape} and dtype {got.dtype} from the "
            f"pairing, but expected the numbers of {n_rows} rows of X, of shape "
            f"({n_rows},) and an integer dtype: one partner for each of `rows`."
        )
    if got.min(initial=0) < 0 or got.max(initial=0) >= n_table:
        raise ValueError(
            f"Got row numbers from {got.min()} to {got.max()} from the pairing, but "
            f"expected numbers of rows of X, from 0 to {n_table - 1}."
        )
    return got.astype(np.int64, copy=False)
