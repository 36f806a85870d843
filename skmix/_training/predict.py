"""Predict by a fitted net, in chunks of a measured size and without a DataLoader.

A DataLoader takes milliseconds before it looks at the first row, and draws from
torch's global generator even to predict. Without one most nets draw nothing, so that
predictions need not wait for fits in other threads.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.dataset import get_len
from skorch.utils import multi_indexing, to_device
from torch.utils.data import DataLoader

from skmix._training.loader import is_table, n_cells
from skmix._training.random import generator_states, same_states
from skmix._training.skorch_compat import (
    PRIVATE_METHODS,
    as_module_dtype,
    inferring,
    is_skorchs_own,
    set_mode,
    twin,
)

# A forward pass on CPU is fastest where the units of a layer stay in the cache of a
# core (benchmarks/speed.py, bare forward); half or twice as many are nearly as good.
# (No other device was measured.)
CHUNK_ROWS = 2048
CHUNK_CELLS = 2**24  # 64 MiB of float32


def in_chunks(net: NeuralNet, X: Any) -> NeuralNet | None:
    """Return a twin of a fitted net that predicts `X` without a DataLoader.

    It shares everything with the net, except where its methods get the module's outputs
    from. None if the net loads rows or predicts by user-supplied code, or if `X` holds
    other things than arrays.
    """
    loader = net.get_params_for("iterator_valid")
    chunk_rows = getattr(net, "iterator_valid__batch_size", None)
    if (
        not is_skorchs_own(net, *_WAY_TO_PREDICT, *PRIVATE_METHODS)
        or net.iterator_valid is not DataLoader
        or not loader.keys() <= {"batch_size"}
        or not is_table(X)
    ):
        return None
    return twin(net, forward_iter=partial(_outputs, net, chunk_rows))


_WAY_TO_PREDICT = (
    "evaluation_step",
    "forward",
    "forward_iter",
    "get_dataset",
    "get_iterator",
    "infer",
    "predict",
    "predict_proba",
)


def _outputs(
    net: NeuralNet,
    chunk_rows: int | None,
    X: Any,
    training: bool = False,
    device: Any = "cpu",
) -> Iterator[Any]:
    """Stand in for ``NeuralNet.forward_iter``: yield the module's outputs by chunk."""
    n_rows = get_len(X) if isinstance(X, Mapping) else X.shape[0]
    if chunk_rows is None:
        chunk_rows = min(CHUNK_ROWS, max(1, CHUNK_CELLS // n_cells(X)))
    elif chunk_rows == -1:
        chunk_rows = n_rows
    set_mode(net, training)
    infer = inferring(net)
    for start in range(0, n_rows, chunk_rows):
        rows = slice(start, start + chunk_rows)
        rows = multi_indexing(X, rows) if isinstance(X, Mapping) else X[rows]
        # A copy, since a module may write to what it is given.
        rows = as_module_dtype(net, rows, kinds="fiub", copy=True)
        rows = rows.toarray() if sparse.issparse(rows) else rows
        with torch.set_grad_enabled(training):
            output = infer(rows)
        yield to_device(output, device)


def draws(net: NeuralNet, X: Any) -> bool:
    """Whether a fitted net draws from a global generator to predict rows like `X`.

    A copy of the module is tried, which may count what passes through it.
    """
    before = generator_states(net.device or "cpu")
    try:
        copy = twin(net, module_=deepcopy(net.module_))
        predictor = in_chunks(copy, X)
        if predictor is None:
            return True
        predictor.predict_proba(X)
    except Exception:  # will be raised again where it belongs: in a prediction
        return True
    return not same_states(before, generator_states(net.device or "cpu"))
