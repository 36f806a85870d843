"""What every test shares: array API support, one torch thread, real tables."""

import os
import signal

# Read by scipy when it is first imported, which scikit-learn's checks need.
os.environ["SCIPY_ARRAY_API"] = "1"

from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import settings
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import scale

torch.set_num_threads(1)

DATA = Path(os.environ.get("SKMIX_DATA", Path(__file__).parents[2] / "shared/data"))


@pytest.fixture(scope="session")
def table():
    """Load a real table by name, as ``(X, y)``; skip where the tables are absent."""

    def load(name):
        paths = sorted(DATA.glob(f"*/{name}.parquet"))
        if not paths:
            pytest.skip(f"needs the table {name}; set SKMIX_DATA to a folder of tables")
        frame = pd.read_parquet(paths[0])
        return frame.drop(columns="target"), frame["target"]

    return load


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return scale(X), y


# How many examples a property test draws. Another profile than "dev" is chosen by
#     HYPOTHESIS_PROFILE=thorough python -m pytest tests/test_laws.py ...
settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None)
settings.register_profile("thorough", max_examples=10_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heard():
    """A shell starts jobs in the background with Ctrl-C ignored; tests raise it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if before is not None:  # of a handler that is not Python's
        signal.signal(signal.SIGINT, before)
