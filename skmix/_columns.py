"""Which columns of the user's table a net's columns are of, and swapping them whole."""

from collections.abc import Mapping

import numpy as np
import torch


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
