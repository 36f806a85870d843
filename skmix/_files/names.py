"""Public names that a file may hold for classes and functions, and what is not there.

A name is looked up in the tables here, or among objects that the caller trusts. Nothing
is imported by the name that a file has.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import skorch
import torch
from sklearn import model_selection
from skorch import callbacks
from skorch.dataset import Dataset, ValidSplit
from skorch.utils import noop, to_numpy
from torch import nn, optim
from torch.utils.data import DataLoader

from skmix import _default_net, mixing, networks, pairing, schedules
from skmix._files.container import Unreadable
from skmix._training.muon import Muon

# Nets whose code is known. (`default_net` makes the first two.)
NETS = {
    "skmix.TabularNetClassifier": _default_net.TabularNetClassifier,
    "skmix.TabularNetRegressor": _default_net.TabularNetRegressor,
    "skorch.NeuralNet": skorch.NeuralNet,
    "skorch.NeuralNetClassifier": skorch.NeuralNetClassifier,
    "skorch.NeuralNetBinaryClassifier": skorch.NeuralNetBinaryClassifier,
    "skorch.NeuralNetRegressor": skorch.NeuralNetRegressor,
}

# Modules that may be built without being trusted.
MODULES = {"skmix.networks.TabularNet": networks.TabularNet}

# Frozen dataclasses of the method.
RULES = {
    f"{room.__name__}.{name}": getattr(room, name)
    for room, names in (
        (mixing, mixing.__all__),
        (pairing, ("Lisa", "Nearest", "OtherClass", "SameClass", "SimilarTarget")),
        (schedules, ("Schedule",)),
    )
    for name in names
    if name not in ("TrainingSet", "mixup")
}

# Objects that are made of their parameters. None of these writes files.
OBJECTS = {
    "skorch.dataset.ValidSplit": ValidSplit,
    **{
        f"skorch.callbacks.{name}": getattr(callbacks, name)
        for name in (
            *("EarlyStopping", "EpochScoring", "EpochTimer", "GradientNormClipping"),
            *("LRScheduler", "PassthroughScoring", "PrintLog"),
        )
    },
    **{
        f"sklearn.model_selection.{name}": getattr(model_selection, name)
        for name in (
            *("GroupKFold", "GroupShuffleSplit", "KFold", "LeaveOneGroupOut"),
            *("LeaveOneOut", "LeavePGroupsOut", "LeavePOut", "RepeatedKFold"),
            *("RepeatedStratifiedKFold", "ShuffleSplit", "StratifiedGroupKFold"),
            *("StratifiedKFold", "StratifiedShuffleSplit", "TimeSeriesSplit"),
        )
    },
}


@cache
def known() -> dict[str, Any]:
    """Return all classes and functions that a file may name."""
    table = {**NETS, **MODULES, **RULES, **OBJECTS}
    table |= {f"torch.nn.{name}": kind for name, kind in _classes(nn, nn.Module)}
    table |= {
        f"torch.optim.{name}": kind for name, kind in _classes(optim, optim.Optimizer)
    }
    schedulers = _classes(optim.lr_scheduler, optim.lr_scheduler.LRScheduler)
    table |= {f"torch.optim.lr_scheduler.{name}": kind for name, kind in schedulers}
    return table | {
        "skmix.Muon": Muon,
        "skmix.hold_out": _default_net.hold_out,
        "skmix.mixing.mixup": mixing.mixup,
        "skorch.dataset.Dataset": Dataset,
        "skorch.utils.noop": noop,
        "skorch.utils.to_numpy": to_numpy,
        "torch.utils.data.DataLoader": DataLoader,
        "numpy.float32": np.float32,
        "numpy.float64": np.float64,
        "print": print,
    }


def _classes(room: Any, base: type) -> Iterable[tuple[str, type]]:
    """Public classes of a module that inherit from another one."""
    return [
        (name, kind)
        for name, kind in vars(room).items()
        if not name.startswith("_")
        and isinstance(kind, type)
        and issubclass(kind, base)
    ]


@cache
def _names_by_id() -> dict[int, str]:
    return {id(found): name for name, found in known().items()}


def known_name(value: Any) -> str | None:
    """Return the public name of a class or function; None if it has none here."""
    return _names_by_id().get(id(value))


def is_named(value: Any) -> bool:
    """Whether a value is a class or a function, which `trusted` may hold."""
    return hasattr(value, "__qualname__") and hasattr(value, "__module__")


def own_name(value: Any) -> str:
    """Return the full name of a class or function; of its class for an instance."""
    kind = value if is_named(value) else type(value)
    return f"{kind.__module__}:{kind.__qualname__}"


class Trusted:
    """The classes and functions that the caller of `load` trusts.

    Parameters
    ----------
    objects : iterable of classes and functions

    Raises
    ------
    TypeError
        If one is neither.
    ValueError
        If two have the same name.
    """

    def __init__(self, objects: Iterable[Any]) -> None:
        self._objects: dict[str, Any] = {}
        if isinstance(objects, str) or not isinstance(objects, Iterable):
            objects = [objects]
        for found in objects:
            if not is_named(found) or isinstance(found, str):
                raise TypeError(
                    f"Got {found!r} in trusted, but expected classes and functions "
                    "themselves, such as trusted=[MyModule], and not their names."
                )
            other = self._objects.setdefault(own_name(found), found)
            if other is not found:
                raise ValueError(
                    f"Got two objects of the name {own_name(found)} in trusted, but "
                    "expected one."
                )

    def holds(self, value: Any) -> bool:
        """Whether a class or function is among those that are trusted."""
        return any(value is found for found in self._objects.values())

    def find(self, name: str) -> Any:
        """Return the object of this name.

        ``__main__`` stands for any module: what a script defines has another one where
        it is imported.

        Raises
        ------
        NotTrusted
            If there is none.
        """
        if name in self._objects:
            return self._objects[name]
        module, _, qualname = name.rpartition(":")
        found = [
            value
            for own, value in self._objects.items()
            if own.rpartition(":")[2] == qualname
            and "__main__" in (module, own.rpartition(":")[0])
        ]
        if len(found) != 1:
            raise NotTrusted(name)
        return found[0]


class NotTrusted(Unreadable):
    """A class or function that is neither known nor trusted."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"it needs {name}, which is not trusted. If you trust it, pass the class "
            f"or function itself: skmix.load(..., trusted=[{name.rpartition(':')[2]}])"
        )
        self.name = name


def looked_up(name: str, trusted: Trusted) -> Any:
    """Return the class or function of a name in a file."""
    if ":" in name:
        return trusted.find(name)
    if name not in known():
        raise Unreadable(f"it names {name!r}, which is none of the names of skmix.load")
    return known()[name]


def is_dtype_name(name: str) -> bool:
    """Whether a name is that of a dtype of torch."""
    return isinstance(getattr(torch, name, None), torch.dtype)
