"""Columns as the default net wants them: standardised, in its own dtype.

Both functions go through a dense table block by block, so that they need no second one.
"""

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

BLOCK_CELLS = 2**20  # 8 MiB of float64


def learn_scaler(X, weight=None):
    """Fit a `StandardScaler` to the rows of a table, and to their weights.

    Parameters
    ----------
    X : {ndarray, CSR matrix or array} of shape (n, d)
    weight : ndarray of shape (n,), default=None

    Returns
    -------
    scaler : sklearn.preprocessing.StandardScaler
        One that leaves the mean in, where `X` is sparse.
    """
    # Frames would reach skorch as dicts, so no set_output.
    scaler = StandardScaler(with_mean=not sparse.issparse(X))
    scaler.set_output(transform="default")
    for rows in [slice(None)] if sparse.issparse(X) else _blocks(X):
        scaler.partial_fit(
            X[rows], sample_weight=None if weight is None else weight[rows]
        )
    return scaler


def scaled(X, scaler, cast):
    """Scale the columns of a table.

    Parameters
    ----------
    X : {ndarray, CSR matrix or array} of shape (n, d)
    scaler : sklearn.preprocessing.StandardScaler
    cast : callable
        Brings a block of scaled rows to the dtype that is wanted.

    Returns
    -------
    Table of shape (n, d), CSR if `X` is and the scaler leaves the mean in.
    """
    if sparse.issparse(X) and not scaler.with_mean:
        return cast(scaler.transform(X))
    table = None
    for rows in _blocks(X):
        block = X[rows].toarray() if sparse.issparse(X) else X[rows]
        block = cast(scaler.transform(block))
        if table is None:
            table = np.empty(X.shape, dtype=block.dtype)
        table[rows] = block
    return table


def _blocks(X):
    return gen_batches(X.shape[0], max(1, BLOCK_CELLS // X.shape[1]))
