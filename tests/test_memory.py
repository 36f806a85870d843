"""How many tables a fit needs beside the user's own, and how many threads."""

import tracemalloc
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sample_nets import logits_net
from skorch.callbacks import Callback

from skmix import MixupClassifier, default_net
from skmix._training.random import one_thread_each

ROWS, COLUMNS = 40_000, 50
COPY = 4 * ROWS * COLUMNS  # bytes of the table in float32


@pytest.fixture(scope="module")
def big():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    y = rng.integers(2, size=ROWS)
    MixupClassifier(small_net()).fit(X[:4000], y[:4000])  # torch imports on first use
    return X, y


def small_net(**params):
    return logits_net(module__d=4, max_epochs=1, batch_size=2000, **params)


def peak_of(run):
    """Bytes of numpy and Python at the peak of a run, beyond those at its start.

    (torch's are not counted: chunks of batches and activations.)
    """
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("alpha", [0, 0.2])
def test_a_float32_table_is_trained_on_and_predicted_from_without_a_copy(big, alpha):
    X, y = big
    clf = MixupClassifier(small_net(), alpha=alpha, random_state=0)
    assert peak_of(partial(clf.fit, X, y)) < 0.5 * COPY
    assert peak_of(partial(clf.predict, X)) < 0.5 * COPY


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8, np.float16])
def test_other_tables_are_copied_once_as_float32(big, dtype):
    X, y = big
    X = (10 * X.clip(0)).astype(dtype)
    clf = MixupClassifier(small_net(), random_state=0)
    assert COPY < peak_of(partial(clf.fit, X, y)) < 1.5 * COPY
    assert peak_of(partial(clf.predict, X)) < 0.5 * COPY  # cast a chunk at a time


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.slow
def test_the_scaled_table_of_the_default_net_is_the_only_one(big, dtype):
    X, y = big
    X = X.astype(dtype)
    net = default_net("classifier").set_params(max_epochs=1, module__d_block=4)
    clf = MixupClassifier(net, random_state=0)
    # Blocks are scaled in float64: 16 MiB and more beside the copy of 8 MB.
    blocks = 4 * 8 * 2**20
    assert COPY < peak_of(partial(clf.fit, X, y)) < 1.5 * COPY + blocks


class Threads(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("threads", torch.get_num_threads())


def threads_of_a_fit(X, y, n_threads):
    torch.set_num_threads(n_threads)
    net = small_net(callbacks=[Threads()])
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    return clf.history_[-1]["threads"], torch.get_num_threads()


@pytest.mark.slow
def test_what_n_jobs_runs_in_parallel_gets_one_thread_each(big):
    X, y = big
    jobs = [joblib.delayed(threads_of_a_fit)(X[:4000], y[:4000], n) for n in (1, 3)]
    assert joblib.Parallel(n_jobs=2)(jobs) == [(1, 1), (1, 3)]


def test_a_process_on_its_own_keeps_its_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread_each():
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_frames_cost_what_scikit_learn_needs_to_read_them(big):
    X, y = big
    frame = pd.DataFrame(X)
    clf = MixupClassifier(small_net(), random_state=0)
    assert peak_of(partial(clf.fit, frame, y)) < 1.5 * COPY
