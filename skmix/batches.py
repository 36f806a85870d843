"""Tables held in memory, dealt out in the batches that torch's DataLoader would deal.

One gather a batch instead of one Python call a row, and every batch knows the
numbers of its rows, which is what weights and partners from the whole table need.
"""

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse


class Batch(list):
    """A pair ``[X, y]``, as a DataLoader deals it, that knows where it is from.

    Attributes
    ----------
    table : object
        The `X` that the rows are from.
    rows : torch.Tensor of shape (B,), int64
        Their numbers in it.
    """

    def __init__(self, pair, table, rows):
        super().__init__(pair)
        self.table = table
        self.rows = rows


class Batches:
    """Iterate over an in-memory table in batches of rows.

    Draws from torch's global generator what a `torch.utils.data.DataLoader`
    with the same arguments draws, in the same order, so that training with
    either gives the same bits.

    Parameters
    ----------
    X : ndarray, torch.Tensor, CSR matrix or array, or a mapping of dense ones
        The table, of n rows. Dense arrays are shared, not copied.
    y : ndarray or torch.Tensor of shape (n,) or (n, 1)
        The targets.
    indices : array-like of shape (n_rows,), int, default=None
        The rows of the table to iterate over; all of them by default.
    batch_size : int, default=1
    shuffle : bool, default=False
    drop_last : bool, default=False
        Leave out a last batch smaller than the others.

    Attributes
    ----------
    table : object
        `X` as it was given.
    indices : torch.Tensor of shape (n_rows,), int64
    """

    def __init__(
        self, X, y, *, indices=None, batch_size=1, shuffle=False, drop_last=False
    ):
        self.table = X
        self.X = _in_memory(X)
        self.y = torch.as_tensor(y)
        indices = np.arange(len(y)) if indices is None else np.asarray(indices)
        self.indices = torch.from_numpy(indices.astype(np.int64, copy=False))
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last

    def __len__(self):
        n_rows, size = len(self.indices), self.batch_size
        return n_rows // size if self.drop_last else -(-n_rows // size)

    def __iter__(self):
        order = self.indices[self._order()]
        for step in range(len(self)):
            start = step * self.batch_size
            rows = order[start : start + self.batch_size]
            yield Batch(self.take(rows), self.table, rows)

    def take(self, rows):
        """Gather ``(X, y)`` of any rows of the table, CSR rows made dense."""
        rows = torch.as_tensor(rows)
        return take(self.X, rows), self.y[rows]

    def _order(self):
        # A DataLoader draws a seed for its workers on every pass, used or not;
        # its RandomSampler then draws the seed of a generator of its own.
        _draw_int64()
        if not self.shuffle:
            return torch.arange(len(self.indices))
        sampler = torch.Generator().manual_seed(_draw_int64())
        return torch.randperm(len(self.indices), generator=sampler)


def take(data, rows):
    """Gather rows of a tensor, of a CSR table (made dense), or of a nest of them."""
    if isinstance(data, Mapping):
        return {name: take(column, rows) for name, column in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(take(part, rows) for part in data)
    if sparse.issparse(data):
        return torch.from_numpy(data[rows.numpy()].toarray())
    return data[rows]


def _in_memory(X):
    if isinstance(X, Mapping):
        return {name: _in_memory(column) for name, column in X.items()}
    return X if sparse.issparse(X) else torch.as_tensor(X)


def _draw_int64():
    return int(torch.empty((), dtype=torch.int64).random_().item())
