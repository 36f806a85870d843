"""Trained nets carried from one process to another: numbers, and no classes.

Another process cannot import a class that a script or a notebook defines. So only the
tensors and plain values of a net are carried, and a net that is made where the class is
known takes them up.
"""

from typing import Any, NamedTuple, Self

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn, optim


class NetState(NamedTuple):
    """What training has made of a net.

    Attributes
    ----------
    tensors : dict
        State dicts of modules, criteria and optimizers, by the name of the attribute.
    parts : dict
        Buffers and plain values that parts of modules keep, by the names of attribute
        and part.
    callbacks : dict
        Plain values that callbacks keep, by the callback's name.
    values : dict
        Other plain values of the net, its history among them.
    """

    tensors: dict[str, dict[str, Any]]
    parts: dict[tuple[str, str], dict[str, Any]]
    callbacks: dict[str, dict[str, Any]]
    values: dict[str, Any]

    @classmethod
    def of(cls, net: NeuralNet) -> Self:
        """Take the state of a net that was trained."""
        held = vars(net)
        tensors = {
            name: _on_cpu(value.state_dict())
            for name, value in held.items()
            if isinstance(value, nn.Module | optim.Optimizer)
        }
        parts = {
            (name, path): _values_of_part(part)
            for name, module in held.items()
            if isinstance(module, nn.Module)
            for path, part in module.named_modules()
        }
        callbacks = {name: _plain_values(callback) for name, callback in net.callbacks_}
        params = net.get_params(deep=False)
        values = {
            name: v for name, v in _plain_values(net).items() if name not in params
        }
        return cls(tensors, parts, callbacks, values | {"history_": net.history_})

    def load(self, net: NeuralNet) -> None:
        """Give an initialised net of the same kind this state."""
        vars(net).update(self.values)
        for name, state in self.tensors.items():
            getattr(net, name).load_state_dict(state)
        for (name, path), values in self.parts.items():
            part = getattr(net, name).get_submodule(path)
            for attribute, value in values.items():
                setattr(part, attribute, value)
        for name, callback in net.callbacks_:
            vars(callback).update(self.callbacks.get(name, {}))


def _values_of_part(module: nn.Module) -> dict[str, Any]:
    own = vars(module).keys() - vars(nn.Module()).keys()
    values = {name: v for name, v in _plain_values(module).items() if name in own}
    return values | _on_cpu(dict(module.named_buffers(recurse=False)))


def _plain_values(holder: object) -> dict[str, Any]:
    held = getattr(holder, "__dict__", {})
    return {name: value for name, value in held.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """Whether a value is made of nothing but numbers, strings and tensors."""
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if type(value) in (list, tuple, set):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype != object
    if type(value) in (torch.Tensor, torch.Size):
        return True
    return value is None or isinstance(
        value, bool | int | float | complex | str | bytes | np.generic
    )


def _on_cpu(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.cpu() if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
    }
