"""Which columns of the user's table a net's columns are of, and swapping them whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse


def each(function, *structures):
    """Apply a function of tensors to tensors of structures that are alike."""
    first = structures[0]
    if isinstance(first, torch.Tensor):
        return function(*structures)
    if hasattr(first, "items"):
        return {k: each(function, *(s[k] for s in structures)) for k in first}
    parts = zip(*structures, strict=True)
    return type(first)(each(function, *part) for part in parts)


def beside(weight, x):
    """Give weights of rows the dimensions of `x`, and its dtype if that is floating."""
    dtype = x.dtype if x.is_floating_point() else torch.float64
    weight = torch.as_tensor(weight).to(x.device, dtype)
    return weight.reshape(-1, *[1] * (x.ndim - 1))


def as_numpy(tensor):
    """Return numbers, wherever they are, as an array of float64."""
    return torch.as_tensor(tensor).detach().cpu().double().numpy()


def each_array(function, X):
    """Apply a function to an array, or to each of a mapping."""
    if isinstance(X, Mapping):
        return {name: function(column) for name, column in X.items()}
    return function(X)


def dense(rows):
    """Return sparse rows as an array, others as they are."""
    return rows.toarray() if hasattr(rows, "toarray") else rows


def columns_of(x, columns):
    """Which of the table's columns each column of `x` is of, and their number.

    Without `columns`, each column of `x` is one of its own.
    """
    if columns is not None:
        parts = columns.values() if isinstance(columns, Mapping) else [columns]
        return columns, 1 + max(int(part.max(initial=-1)) for part in parts)
    if not isinstance(x, Mapping | list | tuple):
        width = x.shape[1] if len(x.shape) > 1 else 1
        return np.arange(width), width
    keys = list(x) if isinstance(x, Mapping) else range(len(x))
    owner, n_columns = {}, 0
    for key in keys:
        part, width = columns_of(x[key], None)
        owner[key], n_columns = _shifted(part, n_columns), n_columns + width
    if isinstance(x, Mapping):
        return owner, n_columns
    return type(x)(owner.values()), n_columns


def _shifted(owner, by):
    if isinstance(owner, np.ndarray):
        return owner + by
    if isinstance(owner, Mapping):
        return {name: _shifted(part, by) for name, part in owner.items()}
    return type(owner)(_shifted(part, by) for part in owner)


def kept(lam, n_columns, rng, *, on_average):
    """Draw which columns are kept, of shape (1, n_columns) or (B, n_columns).

    There are ``lam * n_columns`` of them, rounded down, or such that it is right on
    average.
    """
    lam = as_numpy(lam).reshape(-1, 1)
    order = rng.permuted(np.tile(np.arange(n_columns), (len(lam), 1)), axis=1)
    # (0.29 * 100 is below 29, and so is 0.7 * 10 below 7 in float32.)
    extra = rng.random((len(lam), 1)) if on_average else 1e-6
    return order < np.floor(lam * n_columns + extra)


def take_columns(keep, own, other, owner):
    """Take cells from the own row where the column that they are of is kept."""
    mask = keep[:, owner]  # (1 or B, columns of `own`)
    mask = (
        mask[:, 0]
        if own.ndim == 1
        else mask.reshape(*mask.shape, *[1] * (own.ndim - 2))
    )
    return torch.where(on(mask, own), own, other)


def on(mask, x):
    """Put a mask where a tensor is."""
    return torch.from_numpy(mask).to(x.device)


@dataclass(frozen=True, eq=False)
class TrainingSet:
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
            data = each_array(lambda part: part[self.rows], data)
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
