"""In-memory batches are those of torch's DataLoader."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from skorch.dataset import Dataset
from torch.utils.data import DataLoader, Subset

import skmix._training.loader
from skmix._tables.columns import take
from skmix._training.loader import Batches


@given(
    st.integers(1, 50),
    st.integers(1, 60),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_same_batches_and_same_draws(n_rows, size, shuffle, drop_last, subset, seed):
    """Notices if torch ever draws otherwise."""
    X = np.random.default_rng(0).normal(size=(n_rows, 3)).astype(np.float32)
    y = np.arange(n_rows)
    options = {"batch_size": size, "shuffle": shuffle, "drop_last": drop_last}
    rows = np.random.default_rng(1).permutation(n_rows)[: n_rows // 2 + 1]
    dataset = Dataset(X, y)
    ours = Batches(X, y, indices=rows if subset else None, **options)
    theirs = DataLoader(Subset(dataset, rows) if subset else dataset, **options)
    assert len(ours) == len(theirs)
    loaded = []
    for batches in (ours, theirs):
        torch.manual_seed(seed)
        epochs = [list(batches), list(batches)]
        loaded.append((epochs, torch.get_rng_state()))
    (our_epochs, our_state), (their_epochs, their_state) = loaded
    assert torch.equal(our_state, their_state)
    for our_epoch, their_epoch in zip(our_epochs, their_epochs, strict=True):
        for ours_, theirs_ in zip(our_epoch, their_epoch, strict=True):
            for a, b in zip(ours_, theirs_, strict=True):
                assert torch.equal(a, b)
                assert a.dtype == b.dtype


def test_batches_know_the_numbers_of_their_rows():
    X, y = np.arange(10.0)[:, None], np.arange(10)
    batches = Batches(X, y, indices=[7, 3, 5, 1, 9], batch_size=2, shuffle=True)
    seen = []
    for batch in batches:
        X_batch, y_batch = batch
        assert batch.table is X
        assert_array_equal(batch.rows, y_batch)
        assert_array_equal(batch.rows, X_batch[:, 0])
        seen += batch.rows.tolist()
    assert sorted(seen) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_csr_rows_are_made_dense_a_batch_at_a_time(container):
    X = np.eye(6, dtype=np.float32)
    batches = Batches(container(X), np.arange(6), batch_size=4)
    assert sparse.issparse(batches.X)
    assert_array_equal(torch.cat([X_batch for X_batch, _ in batches]), X)


def test_dense_tables_are_shared_and_not_copied():
    X, y = np.zeros((5, 2), np.float32), np.zeros(5)
    batches = Batches(X, y)
    assert batches.X.data_ptr() == X.ctypes.data
    assert batches.y.data_ptr() == y.ctypes.data


def test_take_from_a_mapping():
    rows = torch.tensor([2, 0])
    taken = take({"a": torch.arange(3), "b": np.eye(3)}, rows)
    assert_array_equal(taken["a"], [2, 0])
    assert_array_equal(taken["b"], [[0, 0, 1], [1, 0, 0]])
    with pytest.raises(TypeError, match="Got rows in a tuple, but expected a tensor"):
        take((torch.arange(3),), rows)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 10, 25, 40])
@pytest.mark.parametrize("cells", [1, 30, 10**6])
def test_chunks_are_consecutive_batches(
    cells, batch_size, drop_last, container, monkeypatch
):
    monkeypatch.setattr(skmix._training.loader, "CHUNK_CELLS", cells)
    X, y = np.arange(75.0).reshape(25, 3), np.arange(25)
    loader = Batches(
        container(X), y, batch_size=batch_size, shuffle=True, drop_last=drop_last
    )
    torch.manual_seed(0)
    chunks = list(loader.chunks())
    torch.manual_seed(0)
    expected = list(DataLoader(Dataset(X, y), batch_size, True, drop_last=drop_last))
    parts = [chunk.batch(k) for chunk in chunks for k in range(chunk.n_batches)]
    assert len(parts) == len(expected) == len(loader)
    n_whole = 25 // batch_size  # batches, of which as many as fit make up a chunk
    fit = max(1, cells // (3 * batch_size))
    rest = 0 if drop_last else (25 % batch_size > 0)
    assert len(chunks) == -(-n_whole // fit) + rest
    for ours, theirs in zip(parts, expected, strict=True):
        assert_array_equal(ours[0], theirs[0])
        assert_array_equal(ours[1], theirs[1])
        assert_array_equal(ours.rows, theirs[1])
    for chunk in chunks:
        assert chunk.X.numel() <= max(cells, 3 * batch_size)
        assert chunk.n_batches * chunk.batch_size == len(chunk.rows)


def test_writing_to_a_batch_changes_no_table():
    X, y = np.zeros((10, 2), np.float32), np.zeros(10)
    for X_batch, y_batch in Batches(X, y, batch_size=3):
        X_batch += 1
        y_batch += 1
    assert not X.any()
    assert not y.any()
