"""Trained nets kept in files, and what is told of those that cannot be."""

from collections.abc import Callable
from typing import Any

import numpy as np
from skorch import NeuralNet
from skorch.dataset import get_len

from skmix._long_runs.checkpoints import Checkpoint, NotKept
from skmix._preparation import Preparation, rows_of
from skmix._validation import warn
from skmix._vectorized.carrying import NetState

SOME = 64  # rows


def trained_net(
    new_net: Callable[[], NeuralNet],
    train: Callable[[NeuralNet], None],
    predict: Callable[[NeuralNet], Any],
    seed: int,
    checkpoint: Checkpoint,
    outcome: dict[str, Any] | None = None,
) -> NeuralNet:
    """Train a net, or return the one that is kept, if there is one.

    Parameters
    ----------
    new_net : callable
        Returns a net that is not initialised.
    train : callable
        Trains a net, and may set values of `outcome`.
    predict : callable
        Returns what a trained net predicts of some rows. A net is kept if one with its
        numbers predicts the same, bit for bit.
    seed : int
    checkpoint : skmix._long_runs.checkpoints.Checkpoint
    outcome : dict, default=None
        What is kept beside the net, plain values.
    """
    outcome = {} if outcome is None else outcome
    if (found := checkpoint.read()) is not None:
        outcome |= found["outcome"]
        return NetState.from_plain(found["net"]).loaded(new_net(), seed)
    net = new_net()
    train(net)
    if not checkpoint.is_kept:
        return net
    state = NetState.of(net)
    again = state.loaded(new_net(), seed)
    if np.array_equal(predict(net), predict(again), equal_nan=True):
        kept = {"net": state.as_plain(), "outcome": outcome}
        write_or_warn(checkpoint, kept, "A trained net")
    else:
        warn_of_unkept("A trained net", "it is more than its tensors and plain values")
    return net


def outputs_for_some(preparation: Preparation, X: Any, net: NeuralNet) -> Any:
    """Return the outputs of a trained net for the first rows of an encoded table."""
    rows = np.arange(min(SOME, get_len(X)))
    return preparation.outputs(net, rows_of(X, rows), draws=True)


def write_or_warn(checkpoint: Checkpoint, value: Any, what: str) -> bool:
    """Write a checkpoint; warn, and return False, if it cannot keep the value."""
    try:
        checkpoint.write(value)
    except NotKept as error:
        warn_of_unkept(what, f"it holds a {error}, which is more than numbers")
        return False
    return True


def warn_of_unkept(what: str, why: str) -> None:
    warn(f"{what} is not kept in `checkpoint`: {why}. After a kill it is done anew.")
