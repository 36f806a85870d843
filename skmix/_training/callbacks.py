"""What skorch's callbacks need where rows are mixed or a training does not begin."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset

from skmix._training.skorch_compat import watches_validation


@contextmanager
def only_deaf_callbacks(net: NeuralNet) -> Iterator[None]:
    """Hide skorch's callbacks that look up the last epoch, of which there is none."""
    callbacks = net.callbacks_
    net.callbacks_ = [
        (name, callback)
        for name, callback in callbacks
        if type(callback).__module__ != EarlyStopping.__module__
    ]
    try:
        yield
    finally:
        net.callbacks_ = callbacks


def explain_monitor(net: NeuralNet, error: Exception) -> None:
    """Raise a clearer error if a callback looks for a score that is not there."""
    known = net.history[-1]
    for name, callback in net.callbacks_:
        monitor = getattr(callback, "monitor", None)
        missing = isinstance(monitor, str) and monitor not in known
        if missing and repr(monitor) in str(error):
            scores = ", ".join(key for key in known if key != "batches")
            raise ValueError(
                f"Got monitor={monitor!r} for the callback {name} "
                f"({type(callback).__name__}), but expected something that is in "
                f"the history by then: {scores}. Let a scoring callback of that "
                "name stand before it, such as skorch.callbacks.EpochScoring(..., "
                f"name={monitor.removesuffix('_best')!r})."
            ) from error


def check_monitors(net: NeuralNet) -> None:
    """Refuse callbacks that watch validation rows, if the net has none."""
    blind = [name for name, callback in net.callbacks_ if watches_validation(callback)]
    if blind:
        raise ValueError(
            f"Got callbacks that watch scores on validation rows "
            f"({', '.join(blind)}), but no such rows. Pass X_val and y_val, or set "
            "a train_split, or remove the callbacks."
        )


def stop_caching(net: NeuralNet) -> list[Any]:
    """Let no callback score training rows by cached outputs for mixed rows.

    Their labels are not mixed; without the cache, skorch passes the rows again. Returns
    the callbacks, and the net, whose `use_caching` was True and is to be restored.
    """
    cached = [
        callback
        for _, callback in net.callbacks_
        if getattr(callback, "on_train", False)
        and getattr(callback, "use_caching", False)
    ]
    dataset = net.dataset if isinstance(net.dataset, type) else type(net.dataset)
    if cached and not issubclass(dataset, Dataset):
        warnings.warn(
            f"Scores on training rows ({', '.join(c.name_ for c in cached)}) are "
            "of mixed rows against their own labels: skorch cannot pass a dataset "
            f"of type {dataset.__name__} again. Subclass skorch.dataset.Dataset.",
            UserWarning,
            stacklevel=3,
        )
        return []
    for callback in cached:
        callback.use_caching = False
    if cached and net.use_caching is True:  # which overrules the callbacks
        net.use_caching = "auto"
        cached.append(net)
    return cached
