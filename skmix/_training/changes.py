"""Find parameters of a net that have changed since its fit, and set them."""

import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from skmix._training.skorch_compat import is_print, named_callbacks, twin


class Recipe(NamedTuple):
    """Class, parameters and callbacks of an unfitted net.

    Callbacks are tuples of name, class and parameters: they may be changed in place.
    """

    kind: type
    params: dict[str, Any]
    callbacks: list[tuple[str, Any, dict[str, Any]]]

    @classmethod
    def of(cls, net: NeuralNet) -> "Recipe":
        """Read the recipe of an unfitted net."""
        params = _but_prints(net.get_params(deep=False))
        if isinstance(params.get("callbacks"), list):
            params.pop("callbacks")
        callbacks = [
            (name, *_class_and_params(callback))
            for name, callback in named_callbacks(net)
        ]
        return cls(type(net), params, callbacks)


def _class_and_params(callback: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(callback, type) or not hasattr(callback, "get_params"):
        return callback, {}
    return type(callback), _but_prints(callback.get_params(deep=False))


def _but_prints(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if not is_print(value)}


def changed_params(before: Recipe, now: Recipe) -> list[str]:
    """Return the names of parameters that differ between two recipes.

    `max_epochs` and `verbose` are left out: they do not change a fitted net.
    """
    missing = object()
    names = dict.fromkeys([*before.params, *now.params])
    changed = [
        name
        for name in names
        if name not in ("callbacks", "max_epochs", "verbose")
        and not alike(before.params.get(name, missing), now.params.get(name, missing))
    ]
    disabled = (recipe.params.get("callbacks") for recipe in (before, now))
    if not (alike(before.callbacks, now.callbacks) and alike(*disabled)):
        changed.append("callbacks")
    return changed


def alike(a: Any, b: Any) -> bool:
    """Whether two values of a parameter, arrays and objects among them, are equal."""
    if a is b:
        return True
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and a.device == b.device
        return same and bool(torch.equal(a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and bool(np.array_equal(a, b))
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, Mapping) and type(a) is type(b):
        return list(a) == list(b) and all(alike(a[name], b[name]) for name in a)
    if isinstance(a, partial) and isinstance(b, partial):
        return all(alike(getattr(a, x), getattr(b, x)) for x in _OF_PARTIAL)
    try:
        if bool(a == b):
            return True
    except Exception:  # whatever the `==` of a user's object does
        return False
    return type(a) is type(b) and _attributes_alike(a, b)


_OF_PARTIAL = ("func", "args", "keywords")


def _attributes_alike(a: Any, b: Any) -> bool:
    """Whether two objects of one class, which has no `==`, hold the same."""
    if isinstance(a, type) or inspect.isroutine(a) or not hasattr(a, "__dict__"):
        return False
    try:
        return alike(vars(a), vars(b))
    except RecursionError:  # they hold each other
        return False


def unsettable(net: NeuralNet, names: Iterable[str]) -> list[str]:
    """Return the names of parameters that cannot be set on a trained net."""
    return [name for name in names if _is_of_module(net, name)]


def _is_of_module(net: NeuralNet, name: str) -> bool:
    prefix = name.split("__")[0]
    if prefix in ("module", "compile", "device"):
        return True
    return prefix != "criterion" and isinstance(_component(net, prefix), nn.Module)


def _component(net: NeuralNet, prefix: str) -> Any:
    return getattr(net, f"{prefix}_", None)


def set_changed(net: NeuralNet, names: list[str], wanted: NeuralNet) -> None:
    """Set parameters of an initialised net to their values in an unfitted one.

    Everything else stays as it is, such as the state of the optimizer. (skorch's
    `set_params` refuses another optimizer on an initialised net, and forgets its state
    where the criterion changes.)
    """
    prefixes = {name.split("__")[0] for name in names}
    for prefix in prefixes & {"iterator_train", "iterator_valid"}:
        # What is set beside (an order of the rows) goes with the iterator.
        both = [*vars(net), *vars(wanted)]
        names = [*names, *(name for name in both if name.startswith(prefix))]
    for name in dict.fromkeys(names):
        if name in vars(wanted):
            vars(net)[name] = vars(wanted)[name]
        else:
            vars(net).pop(name, None)
    if "criterion" in prefixes:
        _renew_criterion(net)
    if "callbacks" in prefixes:
        disabled = net.callbacks == "disable"
        net.callbacks_ = [] if disabled else net.initialize_callbacks().callbacks_
    of_optimizer = [name for name in names if _is_of_optimizer(net, name)]
    if of_optimizer:
        _renew_optimizer(net, of_optimizer)
    _let_schedules_start(net)


def _let_schedules_start(net: NeuralNet) -> None:
    """Set the rate that a schedule starts from which comes after the first epoch."""
    optimizer = getattr(net, "optimizer_", None)
    for group in getattr(optimizer, "param_groups", ()):
        if "lr" in group:
            group.setdefault("initial_lr", group["lr"])


def _renew_criterion(net: NeuralNet) -> None:
    """Make the criterion anew, and leave the optimizer as it is if it can be."""
    before = net.optimizer_
    params = net.get_params(deep=False).items()
    net.set_params(**{n: value for n, value in params if n.startswith("criterion")})
    # skorch has made a new optimizer, too: the criterion may have parameters.
    if type(before) is type(net.optimizer_):
        with suppress(ValueError):  # it has some
            net.optimizer_.load_state_dict(before.state_dict())


def _is_of_optimizer(net: NeuralNet, name: str) -> bool:
    component = _component(net, name.split("__")[0])
    return name == "lr" or isinstance(component, torch.optim.Optimizer)


def _renew_optimizer(net: NeuralNet, names: list[str]) -> None:
    """Set what was changed for the optimizer; make a new one only if it must be."""
    groups = net.optimizer_.param_groups
    settings = {name.removeprefix("optimizer__"): name for name in names}
    # A new one refuses what cannot be, and tells what groups of parameters have.
    new = _new_optimizer(net)
    if len(new.param_groups) != len(groups) or not all(
        name in vars(net) and all(setting in group for group in groups)
        for setting, name in settings.items()
    ):
        net.initialize_optimizer()
        return
    for group, of_new in zip(groups, new.param_groups, strict=True):
        for setting, name in settings.items():
            if not alike(of_new[setting], vars(net)[name]):
                continue  # the group names its own
            group[setting] = vars(net)[name]
            if setting == "lr" and "initial_lr" in group:  # where schedules start from
                group["initial_lr"] = group["lr"]


def _new_optimizer(net: NeuralNet) -> torch.optim.Optimizer:
    """Return another optimizer of an initialised net, which keeps its own."""
    other = twin(net)
    other.initialize_optimizer()
    return other.optimizer_


def complete_optimizer(net: NeuralNet) -> None:
    """Renew the optimizer of a copied net if the copy lacks attributes, as of LBFGS."""
    optimizer = getattr(net, "optimizer_", None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        return
    new = _new_optimizer(net)
    if type(new) is type(optimizer) and not vars(new).keys() <= vars(optimizer).keys():
        new.load_state_dict(optimizer.state_dict())
        vars(net)["optimizer_"] = new
