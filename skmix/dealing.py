"""Which rows a net is trained and validated on, what they weigh, and their partners.

From top to bottom: what is dealt, the weights, and the `Dealer` of one fit.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch.dataset import Dataset
from skorch.utils import multi_indexing

from skmix.batches import (
    Batch,
    Batches,
    Chunk,
    in_memory_batches,
    is_table,
    table_and_rows,
    take,
)
from skmix.nets import as_module_dtype
from skmix.plan import Draw, Table


class Dealt(NamedTuple):
    """Rows of S consecutive batches of B rows, and who they are mixed with.

    Attributes
    ----------
    chunk : skmix.batches.Chunk
    weight : ndarray of shape (S * B,), or None
    draw : skmix.plan.Draw, or None where nothing is mixed
    X_partner, y_partner : structure of torch.Tensor of shape (S * B, ...), or None
    """

    chunk: Chunk
    weight: np.ndarray | None = None
    draw: Draw | None = None
    X_partner: Any = None
    y_partner: Any = None


@dataclass(frozen=True)
class _Weights:
    """Row weights of a table, of mean 1 over the rows of it that are dealt."""

    table: Dataset
    rows: np.ndarray
    values: np.ndarray

    @classmethod
    def over(cls, dataset, X, values):
        """Weigh the rows of `X` that a dataset deals; None if it deals others."""
        table, rows = table_and_rows(dataset)
        if table is None or table.X is not X:
            return None
        return cls(table, rows, values / values[rows].mean())

    def of(self, batch):
        if not isinstance(batch, Batch | Chunk) or batch.table is not self.table.X:
            raise ValueError(ROWS_UNKNOWN)
        return self.values[batch.rows.numpy()]


ROWS_UNKNOWN = (
    "Got row weights (sample_weight or class_weight) and a net with a data iterator, "
    "dataset, split or collate function of its own, which does not tell which rows a "
    "batch holds. Leave these at skorch's defaults, or leave out the weights (classes "
    "can be weighted by criterion__weight)."
)


class Dealer:
    """Deals the rows of one fit, with their weights and partners.

    Parameters
    ----------
    net : skorch.NeuralNet
    plan : skmix.plan.Plan or None
        It is shown the rows that are trained on, once it is known which these are.
    weight : ndarray of shape (n,), float64, or None
        A positive weight for each row of the table that the net is fitted on.
    validation : tuple (X, y, weight), or None
        Rows to validate on instead of those that the net's `train_split` holds out.
    about : mapping
        What the plan's mixing and pairing may ask of the table, as `skmix.plan.Table`.

    Attributes
    ----------
    train_weight, valid_weight : object with a method `of`, or None
        ``of(batch)`` are the weights of a batch or chunk of rows.
    table : skmix.batches.Batches or None
        To take partners from that are not of the batch.
    """

    def __init__(self, net, plan, weight, validation, about):
        self.net, self.plan, self.about = net, plan, about
        self.weight, self.validation = weight, validation
        self.train_weight = self.valid_weight = None
        self.table = self.valid = None

    def split(self, X, y=None, **fit_params):
        """Return datasets of the rows to train and to validate on."""
        net = self.net
        X = as_module_dtype(net, X, kinds="fiub")
        y = as_module_dtype(net, y, name="y")
        if self.validation is None:
            train, valid = type(net).get_split_datasets(net, X, y, **fit_params)
            X_val, valid_weight = X, self.weight
        else:
            X_val, y_val, valid_weight = self.validation
            X_val = as_module_dtype(net, X_val, name="X_val", kinds="fiub")
            y_val = as_module_dtype(net, y_val, name="y_val")
            train, valid = net.get_dataset(X, y), net.get_dataset(X_val, y_val)
        if self.weight is not None:
            self.train_weight = _Weights.over(train, X, self.weight)
            if self.train_weight is None:
                raise ValueError(ROWS_UNKNOWN)
        if self.plan is not None:
            self._bind(train, X)
        if valid_weight is not None:
            # A split may validate on rows of another table, which have no weights.
            self.valid_weight = _Weights.over(valid, X_val, valid_weight)
        self.valid = None if valid is train else valid
        return train, valid

    def _bind(self, train, X):
        """Show the plan the rows that are trained on."""
        dataset, rows = table_and_rows(train)
        if dataset is None or dataset.X is not X:
            self.plan.bind(Table(None, None, None, **self.about))  # rows are unknown
            return
        weights = self.train_weight
        weight = None if weights is None else weights.values[rows]
        self.plan.bind(Table(X, dataset.y, rows, weight, **self.about))
        if self.plan.from_table:
            self.table = Batches(X, dataset.y)

    def validated_on(self):
        """Return ``(X, y, weight)`` of the rows that the net was validated on.

        `weight` may be None. Nothing is returned where there are none, none but those
        trained on, or where they are no rows of a table.
        """
        table, rows = (None, None) if self.valid is None else table_and_rows(self.valid)
        if table is None or not is_table(table.X):
            return None
        weights = self.valid_weight
        weight = None if weights is None else weights.values[rows]
        return multi_indexing(table.X, rows), np.asarray(table.y)[rows], weight

    def iterator(self, dataset, training):
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

    def deal(self, batches, *, training, epoch, order=None, n_steps=None):
        """Deal an epoch, a chunk of batches at a time.

        Parameters
        ----------
        batches : skmix.batches.Batches
        training : bool
        epoch : int
            Its number, 1 for the first one.
        order, n_steps
            As in `skmix.batches.Batches.chunks`.

        Yields
        ------
        dealt : Dealt
        """
        weights = self.train_weight if training else self.valid_weight
        for chunk in batches.chunks(order, n_steps):
            weight = None if weights is None else weights.of(chunk)
            draw = self._drawn(chunk, epoch) if training else None
            partners = ()
            if draw is not None:
                partners = self._partners(batches, chunk, draw)
            yield Dealt(chunk, weight, draw, *partners)

    def _drawn(self, chunk, epoch):
        if self.plan is None:
            return None
        size, rows = chunk.batch_size, chunk.rows.numpy()
        return self.plan.draw(size, chunk.n_batches, rows=rows, epoch=epoch)

    def _partners(self, batches, chunk, draw):
        """Rows and targets of the partners of a chunk's rows."""
        if self.plan.from_table:
            return batches.take(draw.partner)
        rows = torch.from_numpy(draw.partner)
        return take(chunk.X, rows), take(chunk.y, rows)


def _n_batches(batches):
    try:
        return len(batches)
    except TypeError:  # an iterator of unknown length
        return None
