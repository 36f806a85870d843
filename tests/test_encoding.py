"""Scaling block by block is scikit-learn's own, in less memory."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skmix import encoding
from skmix.encoding import learn_scaler, scaled


def as_float32(block):
    return block.astype(np.float32)


def weights(n, weighted):
    return np.random.default_rng(1).uniform(0.1, 3, size=n) if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("block_cells", [60, 10**6])
def test_as_standard_scaler(block_cells, container, weighted, monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK_CELLS", block_cells)
    X = np.random.default_rng(0).normal(3, 5, size=(50, 6))
    X[:, 2] = 7.0  # constant
    X[:, 3] += 1e6  # far from 0
    weight = weights(len(X), weighted)
    table = container(X)
    ours = learn_scaler(table, weight)
    theirs = StandardScaler(with_mean=not sparse.issparse(table))
    theirs.fit(table, sample_weight=weight)
    assert_allclose(ours.scale_, theirs.scale_, rtol=1e-9)
    expected = theirs.transform(table)
    got = scaled(table, ours, as_float32)
    assert got.dtype == np.float32
    if sparse.issparse(table):
        assert sparse.issparse(got)
        got, expected = got.toarray(), expected.toarray()
    assert_allclose(got, expected, atol=1e-5, rtol=1e-6)


def test_sparse_rows_behind_a_scaler_of_dense_ones(monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK_CELLS", 7)
    X = np.random.default_rng(0).normal(3, 5, size=(50, 6))
    scaler = learn_scaler(X)
    got = scaled(sparse.csr_array(X), scaler, as_float32)
    assert_array_equal(got, scaled(X, scaler, as_float32))
