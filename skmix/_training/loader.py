"""Batches of rows in memory, with their weights and partners.

`Batches` stands in for a DataLoader; the `BatchLoader` of a fit knows which rows are
trained and validated on.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.utils import multi_indexing, to_device
from torch.utils.data import DataLoader, Subset

from skmix._tables.columns import TrainingSet, copied, each, take
from skmix._training.skorch_compat import as_module_dtype, is_skorchs_own

# Numbers in a chunk (2 MiB of float32): enough for the calls that gather and mix it to
# cost next to nothing a batch, and little enough to stay in a processor's cache.
CHUNK_CELLS = 2**19


class Batch(list[Any]):
    """A pair ``[X, y]``, as of a DataLoader, with its rows' numbers in a table `X`."""

    def __init__(self, pair: list[Any], table: Any, rows: torch.Tensor) -> None:
        super().__init__(pair)
        self.table = table
        self.rows = rows


class Chunk(NamedTuple):
    """Rows of S consecutive batches of equal size B, gathered at once.

    Attributes
    ----------
    X, y : structure of torch.Tensor of shape (S * B, ...)
        Copies, on the device of the batches.
    table : object
        The `X` that the rows are from.
    rows : torch.Tensor of shape (S * B,), int64
        Their numbers in it.
    batch_size : int
        B.
    """

    X: Any
    y: torch.Tensor
    table: Any
    rows: torch.Tensor
    batch_size: int

    @property
    def n_batches(self) -> int:
        return len(self.rows) // self.batch_size

    def part(self, k: int) -> slice:
        """Return the rows of batch number `k`, as a slice of those of the chunk."""
        return slice(k * self.batch_size, (k + 1) * self.batch_size)

    def batch(self, k: int) -> Batch:
        """Return the `Batch` number `k` of the chunk."""
        X, y = copied(self.X, self.part(k)), copied(self.y, self.part(k))
        return Batch([X, y], self.table, self.rows[self.part(k)])


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
    device : str or torch.device, default="cpu"
        Where the batches are put. The table is put there, too, if it takes no more
        than half of the free memory.
    draws : bool, default=True
        Draw what a DataLoader draws. Without, rows are loaded as they come.

    Attributes
    ----------
    table : object
        `X` as it was given.
    indices : torch.Tensor of shape (n_rows,), int64
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        *,
        indices: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        device: Any = "cpu",
        draws: bool = True,
    ) -> None:
        self.table = X
        self.X = _held(each(_in_memory, X), device)
        self.y = torch.as_tensor(y)
        self.device = device
        indices = np.arange(len(y)) if indices is None else np.asarray(indices)
        self.indices = torch.from_numpy(indices.astype(np.int64, copy=False))
        self.batch_size = int(batch_size)  # torch wants no numpy.int64
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.draws = draws

    def __len__(self) -> int:
        n_rows, size = len(self.indices), self.batch_size
        return n_rows // size if self.drop_last else -(-n_rows // size)

    def __iter__(self) -> Iterator[Batch]:
        for chunk in self.chunks():
            for k in range(chunk.n_batches):
                yield chunk.batch(k)

    @property
    def largest(self) -> int:
        """Number of rows in the largest batch."""
        return min(self.batch_size, len(self.indices))

    def chunks(
        self, order: torch.Tensor | None = None, n_steps: int | None = None
    ) -> Iterator[Chunk]:
        """Iterate in chunks of batches, with the draws of an iteration in batches.

        `order` has the rows as `order()` has drawn them; a chunk has `n_steps` batches,
        by default as many as fit into `CHUNK_CELLS`.
        """
        order, size = self.order() if order is None else order, self.batch_size
        n_whole = len(order) // size * size
        if n_steps is None:
            n_steps = max(1, CHUNK_CELLS // (size * n_cells(self.X)))
        step = n_steps * size
        ends = [*range(step, n_whole, step), n_whole]
        if not self.drop_last and n_whole < len(order):
            ends.append(len(order))
        start = 0
        for end in ends:
            if end > start:
                rows = order[start:end]
                X, y = self.take(rows)
                yield Chunk(X, y, self.table, rows, min(size, end - start))
            start = end

    def take(self, rows: Any) -> tuple[Any, torch.Tensor]:
        """Gather ``(X, y)`` of any rows of the table, CSR rows made dense."""
        rows = torch.as_tensor(rows)
        return to_device((take(self.X, rows), take(self.y, rows)), self.device)

    def order(self) -> torch.Tensor:
        """Draw the order in which the rows of an epoch are loaded, (n_rows,)."""
        if not self.draws:
            return self.indices
        # A DataLoader draws a seed for its workers on every pass, used or not;
        # its RandomSampler then draws the seed of a generator of its own.
        _draw_int64()
        if not self.shuffle:
            return self.indices
        sampler = torch.Generator().manual_seed(_draw_int64())
        return self.indices[torch.randperm(len(self.indices), generator=sampler)]


def _in_memory(X: Any) -> Any:
    return X if sparse.issparse(X) else torch.as_tensor(X)


def _held(X: Any, device: Any) -> Any:
    """Put a table on the device, if that has room enough for it."""
    if sparse.issparse(X) or device is None or torch.device(device).type != "cuda":
        return X
    columns = X.values() if isinstance(X, Mapping) else [X]
    free, _ = torch.cuda.mem_get_info(device)
    return X if sum(x.nbytes for x in columns) > free / 2 else to_device(X, device)


def n_cells(X: Any) -> int:
    """Count the numbers in a row."""
    if isinstance(X, Mapping):
        return sum(map(n_cells, X.values()))
    return max(1, math.prod(X.shape[1:]))


def _draw_int64() -> int:
    return int(torch.empty((), dtype=torch.int64).random_().item())


def in_memory_batches(
    net: NeuralNet, dataset: Any, training: bool, *, draws: bool = True
) -> Batches | None:
    """Return `Batches` that load `dataset` as the net's DataLoader would.

    None if anything is user-supplied: an overridden `get_iterator`, another iterator,
    dataset, sampler, collate function, worker processes.
    """
    prefix = "iterator_train" if training else "iterator_valid"
    if not is_skorchs_own(net, "get_iterator"):
        return None
    if getattr(net, prefix) is not DataLoader:
        return None
    kwargs = {"batch_size": net.batch_size} | net.get_params_for(prefix)
    if not kwargs.keys() <= {"batch_size", "shuffle", "drop_last"}:
        return None
    table, indices = table_and_rows(dataset)
    if table is None or table.y is None or not is_table(table.X):
        return None
    if kwargs["batch_size"] == -1:
        kwargs["batch_size"] = len(dataset)
    if training and not kwargs.get("drop_last"):
        kwargs["batch_size"] = _no_lonely_row(len(dataset), kwargs["batch_size"])
    where = {"indices": indices, "device": net.device, "draws": draws}
    return Batches(table.X, table.y, **where, **kwargs)


def table_and_rows(dataset: Any) -> tuple[Dataset | None, np.ndarray | None]:
    """Unwrap `Subset`s into skorch's own dataset and the rows of it that remain.

    ``(None, None)`` if the dataset is of another class.
    """
    rows = None
    while type(dataset) is Subset:
        indices = np.asarray(dataset.indices)
        rows = indices if rows is None else indices[rows]
        dataset = dataset.dataset
    if type(dataset) is not Dataset:
        return None, None
    return dataset, np.arange(len(dataset)) if rows is None else rows


def is_table(X: Any) -> bool:
    """Whether X is an array, a CSR table or a mapping of arrays or tensors."""
    if isinstance(X, Mapping):
        return all(isinstance(x, np.ndarray | torch.Tensor) for x in X.values())
    if sparse.issparse(X):
        return X.format == "csr"
    return isinstance(X, np.ndarray | torch.Tensor)


def _no_lonely_row(n_rows: int, batch_size: int) -> int:
    """Return the next larger batch size that leaves no last batch of one row.

    BatchNorm refuses such a batch, and its row has no partner.
    """
    while 1 < batch_size < n_rows and n_rows % batch_size == 1:
        batch_size += 1
    return batch_size


class LoadedChunk(NamedTuple):
    """Rows of S consecutive batches of B rows, with weights, draws and partners."""

    chunk: Chunk
    weight: np.ndarray | None = None
    draw: Any = None  # a `Draw`, or None without mixing
    X_partner: Any = None
    y_partner: Any = None


@dataclass(frozen=True)
class _Weights:
    """Row weights of a table, of mean 1 over the rows of it that are loaded."""

    table: Dataset
    rows: Any
    values: np.ndarray

    @classmethod
    def over(cls, dataset: Any, X: Any, values: np.ndarray) -> "_Weights | None":
        """Weight the rows of `X` that a dataset loads; None if it loads others."""
        table, rows = table_and_rows(dataset)
        if table is None or table.X is not X:
            return None
        return cls(table, rows, values / values[rows].mean())

    def of(self, batch: Any) -> np.ndarray:
        """Return the weights of a batch or chunk of rows."""
        if not isinstance(batch, Batch | Chunk) or batch.table is not self.table.X:
            raise ValueError(ROWS_UNKNOWN)
        return self.values[batch.rows.numpy()]


ROWS_UNKNOWN = (
    "Got row weights (sample_weight or class_weight) and a net with a data iterator, "
    "dataset, split or collate function of its own, which does not tell which rows a "
    "batch holds. Leave these at skorch's defaults, or leave out the weights (classes "
    "can be weighted by criterion__weight)."
)


ROWS_UNTRACED = (
    "Got a net with a data iterator, dataset, split or collate function of its own, "
    "which does not tell which rows a batch holds, so that they cannot be traced. "
    "Leave these at skorch's defaults to see which rows were mixed."
)


class BatchLoader:
    """Rows, weights and partners of one fit.

    Parameters
    ----------
    net : skorch.NeuralNet
    sampler : skmix._mixing.sampler.MixupSampler or None
        It is bound to the rows that are trained on, once these are known.
    weight : ndarray of shape (n,), float64, or None
        A positive weight for each row of the table that the net is fitted on.
    validation : tuple (X, y, weight), or None
        Rows to validate on instead of those that the net's `train_split` holds out.
    about : mapping
        Further attributes of the `skmix.mixing.TrainingSet`.

    Attributes
    ----------
    train_weight, valid_weight : object with a method `of`, or None
        ``of(batch)`` returns the weights of a batch or chunk of rows.
    table : skmix._training.loader.Batches or None
        The table, where partners are not rows of the batch.
    train : torch.utils.data.Dataset
        The rows that are trained on.
    """

    def __init__(
        self,
        net: NeuralNet,
        sampler: Any,
        weight: np.ndarray | None,
        validation: tuple[Any, Any, Any] | None,
        about: Mapping[str, Any],
    ) -> None:
        self.net, self.sampler, self.about = net, sampler, about
        self.weight, self.validation = weight, validation
        self.train_weight: _Weights | None = None
        self.valid_weight: _Weights | None = None
        self.table: Any = None
        self.X: Any = None
        self.train: Any = None
        self.valid: Any = None

    def split(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        """Return datasets of the rows to train and to validate on."""
        net, names = self.net, self._names_of_columns()
        X = as_module_dtype(net, X, names=names, kinds="fiub")
        y = as_module_dtype(net, y, name="y")
        if self.validation is None:
            train, valid = type(net).get_split_datasets(net, X, y, **fit_params)
            X_val, valid_weight = X, self.weight
        else:
            X_val, y_val, valid_weight = self.validation
            X_val = as_module_dtype(net, X_val, "X_val", names=names, kinds="fiub")
            y_val = as_module_dtype(net, y_val, name="y_val")
            train, valid = net.get_dataset(X, y), net.get_dataset(X_val, y_val)
        if self.weight is not None:
            self.train_weight = _Weights.over(train, X, self.weight)
            if self.train_weight is None:
                raise ValueError(ROWS_UNKNOWN)
        if self.sampler is not None:
            self._bind(train, X)
        if valid_weight is not None:
            # A split may validate on rows of another table, which have no weights.
            self.valid_weight = _Weights.over(valid, X_val, valid_weight)
        self.valid = None if valid is train else valid
        self.X, self.train = X, train
        return train, valid

    def _names_of_columns(self) -> Any:
        """Return the names of the user's columns for those that the net gets."""
        names, owner = self.about.get("names"), self.about.get("columns")
        if names is None or owner is None:
            return None if isinstance(owner, Mapping) else names
        return each(lambda columns: [names[j] for j in columns], owner)

    def _bind(self, train: Any, X: Any) -> None:
        """Show the sampler the rows that are trained on."""
        dataset, rows = table_and_rows(train)
        if dataset is None or dataset.X is not X:
            rows_unknown = TrainingSet(None, None, None, **self.about)
            self.sampler.bind(rows_unknown)
            return
        weights = self.train_weight
        weight = None if weights is None else weights.values[rows]
        self.sampler.bind(TrainingSet(X, dataset.y, rows, weight, **self.about))
        if self.sampler.from_table:
            self.table = Batches(X, dataset.y)

    def numbers_of(self, batch: Any) -> np.ndarray:
        """Return the numbers of a batch's or chunk's rows in the net's table."""
        if not isinstance(batch, Batch | Chunk) or batch.table is not self.X:
            raise ValueError(ROWS_UNTRACED)
        return batch.rows.numpy()

    def to_evaluate(self) -> Any:
        """Return an iterator over the training rows as they come, without draws.

        Batches are of the size of those in training; of a net with an iterator or
        dataset of its own they are those of its validation.
        """
        net = self.net
        batches = in_memory_batches(net, self.train, True, draws=False)
        if batches is None:
            return type(net).get_iterator(net, self.train, training=False)
        return batches

    def validated_on(self) -> tuple[Any, np.ndarray, np.ndarray | None] | None:
        """Return ``(X, y, weight)`` of the rows that the net was validated on.

        None if there are none but the training rows, or if they are not in a table.
        """
        table, rows = (None, None) if self.valid is None else table_and_rows(self.valid)
        if table is None or not is_table(table.X):
            return None
        weights = self.valid_weight
        weight = None if weights is None else weights.values[rows]
        return multi_indexing(table.X, rows), np.asarray(table.y)[rows], weight

    def iterator(self, dataset: Any, training: bool) -> Any:
        """Return `Batches` of a dataset, or the net's own iterator."""
        net = self.net
        # To validate on rows that are given does not change the training.
        draws = training or self.validation is None
        batches = in_memory_batches(net, dataset, training, draws=draws)
        if batches is None:
            batches = type(net).get_iterator(net, dataset, training=training)
        if training and _n_batches(batches) == 0:
            raise ValueError(
                f"Got drop_last=True and fewer rows ({len(dataset)}) than a batch "
                "holds, so there is nothing to train on. Use a smaller batch_size, or "
                "iterator_train__drop_last=False."
            )
        return batches

    def load(
        self,
        batches: Batches,
        *,
        training: bool,
        epoch: int,
        order: torch.Tensor | None = None,
        n_steps: int | None = None,
    ) -> Iterator[LoadedChunk]:
        """Load an epoch, 1 for the first one, a chunk of batches at a time.

        `order` and `n_steps` are as in `Batches.chunks`.
        """
        weights = self.train_weight if training else self.valid_weight
        for chunk in batches.chunks(order, n_steps):
            weight = None if weights is None else weights.of(chunk)
            if not training or self.sampler is None:
                yield LoadedChunk(chunk, weight)
                continue
            size, rows = chunk.batch_size, chunk.rows.numpy()
            draw = self.sampler.draw(size, chunk.n_batches, rows=rows, epoch=epoch)
            partners: tuple[Any, Any] = (None, None)
            if draw is not None and self.sampler.from_table:
                partners = batches.take(draw.partner)
            elif draw is not None:
                numbers = torch.from_numpy(draw.partner)
                partners = take(chunk.X, numbers), take(chunk.y, numbers)
            yield LoadedChunk(chunk, weight, draw, *partners)


def _n_batches(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:  # an iterator of unknown length
        return None
