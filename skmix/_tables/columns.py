"""The table that mixings learn from, and how whole columns of it are swapped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse


def each(function: Callable[..., Any], *structures: Any) -> Any:
    """Apply a function to tensors or arrays, or to each of mappings with equal keys."""
    first = structures[0]
    if isinstance(first, Mapping):
        return {k: each(function, *(s[k] for s in structures)) for k in first}
    return function(*structures)


def take(data: Any, rows: torch.Tensor) -> Any:
    """Gather rows of a tensor, of a CSR table (made dense), or of a mapping of them."""
    if isinstance(data, torch.Tensor):
        # (Six times as fast as data[rows].)
        return data.index_select(0, rows.to(data.device))
    if isinstance(data, Mapping):
        return {name: take(column, rows) for name, column in data.items()}
    if sparse.issparse(data):
        return torch.from_numpy(data[rows.numpy()].toarray())
    if isinstance(data, list | tuple):
        raise TypeError(
            f"Got rows in a {type(data).__name__}, but expected a tensor, or a dict of "
            "tensors that the module's forward takes by name."
        )
    return data[rows]


def copied(X: Any, part: slice) -> Any:
    """Copy a slice of rows of a tensor, or of a mapping of tensors, unless it is all.

    A view would not do: modules may write to what they are given, which torch refuses
    for some views, and the bits of a matrix product depend on its alignment in memory.
    """

    def copied_part(rows: torch.Tensor) -> torch.Tensor:
        return rows if part.stop - part.start >= len(rows) else rows[part].clone()

    return each(copied_part, X)


def beside(weight: Any, x: torch.Tensor) -> torch.Tensor:
    """Give weights of rows the dimensions of `x`, and its dtype if that is floating."""
    dtype = x.dtype if x.is_floating_point() else torch.float64
    weight = torch.as_tensor(weight).to(x.device, dtype)
    return weight.reshape(-1, *[1] * (x.ndim - 1))


def as_numpy(tensor: Any) -> np.ndarray:
    """Return the numbers of a tensor on any device as float64."""
    return torch.as_tensor(tensor).detach().cpu().double().numpy()


def columns_of(x: Any, columns: Any) -> tuple[Any, int]:
    """Return the column of the user's table behind each column of `x`; count them.

    Without `columns`, each column of `x` is a column of the table.
    """
    if columns is not None:
        parts = columns.values() if isinstance(columns, Mapping) else [columns]
        return columns, 1 + max(int(part.max(initial=-1)) for part in parts)
    if isinstance(x, Mapping):
        owner, n_columns = {}, 0
        for name, part in x.items():
            own, width = columns_of(part, None)
            owner[name] = each(lambda numbers, by=n_columns: numbers + by, own)
            n_columns += width
        return owner, n_columns
    width = x.shape[1] if len(x.shape) > 1 else 1
    return np.arange(width), width


def kept(
    lam: Any, n_columns: int, rng: np.random.Generator, *, on_average: bool
) -> np.ndarray:
    """Draw which columns are kept, of shape (1, n_columns) or (B, n_columns).

    There are ``lam * n_columns`` of them, rounded down, or such that it is right on
    average.
    """
    lam = as_numpy(lam).reshape(-1, 1)
    order = rng.permuted(np.tile(np.arange(n_columns), (len(lam), 1)), axis=1)
    # (0.29 * 100 is below 29, and so is 0.7 * 10 below 7 in float32.)
    extra = rng.random((len(lam), 1)) if on_average else 1e-6
    return order < np.floor(lam * n_columns + extra)


def take_columns(
    keep: np.ndarray, own: torch.Tensor, other: torch.Tensor, owner: np.ndarray
) -> torch.Tensor:
    """Take cells of kept columns from the own row, all others from the partner."""
    mask = keep[:, owner]  # (1 or B, columns of `own`)
    if own.ndim == 1:
        mask = mask[:, 0]
    else:
        mask = mask.reshape(*mask.shape, *[1] * (own.ndim - 2))
    return torch.where(torch.from_numpy(mask).to(own.device), own, other)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The rows that a net is trained on, as pairings and mixings are shown them.

    Rows held out are not among them. Each attribute is gathered on its first use, and
    is read-only.

    Parameters
    ----------
    all_X, all_y : table and array of N rows
        The rows that the net was given.
    rows : ndarray of shape (n,), int64, or None
        Numbers of the rows that are trained on. None if they are unknown; then `X`,
        `y` and `groups` raise an error.
    weight : ndarray of shape (n,), float64, default=None
        As below.
    all_groups : ndarray of shape (N,), default=None
        Groups of the rows that the net was given.
    columns, numeric : ndarray of shape (d,) or mapping of such, default=None
        As below.
    names : list of str, default=None
        As below.
    task : {"classifier", "regressor"}, default="classifier"
        As below.

    Attributes
    ----------
    X : {ndarray, CSR matrix} of shape (n, d), or a mapping of arrays
        Columns as the net gets them.
    y : ndarray of shape (n,)
        Targets as the net gets them: class indices, int64 (0.0 and 1.0 for a net with a
        single output), or numbers.
    weight : ndarray of shape (n,), float64, or None
        Row weights of mean 1. None if all are equal.
    groups : ndarray of shape (n,), int, or None
        Codes of the groups that were given to `fit`, in the order of their values.
    columns : ndarray of shape (d,), int, mapping of such, or None
        For each column of `X`, the number of the column of the user's table that it is
        made of. None if `X` is the user's table.
    numeric : ndarray of shape (d,), bool, mapping of such, or None
        Which columns of `X` are numbers, and no codes nor indicators. None for all.
    names : list of str, or None
        Names of the columns of the user's table.
    task : {"classifier", "regressor"}
        What the net predicts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmix.mixing import TrainingSet
    >>> X, y = np.eye(3), np.array([0, 1, 1])
    >>> TrainingSet(X, y, rows=np.array([0, 2])).y
    array([0, 1])
    """

    all_X: Any
    all_y: Any
    rows: Any
    weight: np.ndarray | None = None
    all_groups: np.ndarray | None = None
    columns: Any = None
    numeric: Any = None
    names: list[str] | None = None
    task: str = "classifier"

    @cached_property
    def X(self) -> Any:
        return self._of_rows(self.all_X)

    @cached_property
    def y(self) -> np.ndarray:
        return self._of_rows(np.asarray(self.all_y))

    @cached_property
    def groups(self) -> np.ndarray | None:
        return None if self.all_groups is None else self._of_rows(self.all_groups)

    def _of_rows(self, data: Any) -> Any:
        if self.rows is None:
            raise ValueError(
                "Got a mixing or a pairing that looks at the whole table, and a net "
                "with a dataset or a split of its own, which does not tell which rows "
                "are trained on. Leave these at skorch's defaults, or choose "
                "pairing='shuffle' and a mixing that learns nothing from the table."
            )
        if len(self.rows) != len(self.all_y) or (np.diff(self.rows) != 1).any():
            data = each(lambda part: part[self.rows], data)
        return each(_read_only, data)

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """Return where rows of the net's table are among the training rows.

        Parameters
        ----------
        rows : ndarray of shape (B,), int64
            Numbers of rows in the table that the net was given.

        Returns
        -------
        positions : ndarray of shape (B,), int64
            Their places among the training rows; -1 for rows held out.
        """
        return self._position[rows]

    @cached_property
    def _position(self) -> np.ndarray:
        position = np.full(len(self.all_y), -1)
        position[self.rows] = np.arange(len(self.rows))
        return position


def _read_only(data: Any) -> Any:
    """Protect what may be the user's own table from user-supplied functions."""
    if isinstance(data, np.ndarray):
        data = data.view()
        data.flags.writeable = False
    elif sparse.issparse(data):
        parts = map(_read_only, (data.data, data.indices, data.indptr))
        data = type(data)(tuple(parts), shape=data.shape, copy=False)
    return data
