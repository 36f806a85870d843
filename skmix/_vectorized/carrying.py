"""Nets carried from one process to another, or by a file: numbers, and no classes.

Another process cannot import a class that a script or a notebook defines. So only the
tensors and plain values of a net are carried, and a net that is made where the class is
known takes them up.
"""

from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from skorch import NeuralNet
from skorch.history import History
from torch import nn, optim

from skmix._training.random import Stream


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
                if isinstance(old := getattr(part, attribute, None), torch.Tensor):
                    value = torch.as_tensor(value, device=old.device)
                setattr(part, attribute, value)
        for name, callback in net.callbacks_:
            vars(callback).update(self.callbacks.get(name, {}))

    def loaded(self, net: NeuralNet, seed: int) -> NeuralNet:
        """Initialise a net of the same kind by a seed, and return it in this state."""
        with Stream(seed, net.device).resumed():
            net.initialize()
        self.load(net)
        return net

    def as_plain(self) -> dict[str, Any]:
        """Return tensors and plain values alone, the history among them."""
        history = list(self.values["history_"])
        return self._asdict() | {"values": self.values | {"history_": history}}

    @classmethod
    def from_plain(cls, state: dict[str, Any]) -> Self:
        """Return the state of which `as_plain` has made this."""
        history = History(state["values"]["history_"])
        return cls(**state | {"values": state["values"] | {"history_": history}})


def plain_parts(module: nn.Module) -> dict[str, dict[str, Any]]:
    """Return plain values that parts of a module keep beside parameters and buffers."""
    return {path: _own_values(part) for path, part in module.named_modules()}


def load_plain_parts(module: nn.Module, parts: dict[str, dict[str, Any]]) -> None:
    """Give a module of the same kind these values."""
    for path, values in parts.items():
        vars(module.get_submodule(path)).update(values)


def why_not_carried(module: nn.Module) -> str | None:
    """Why plain values may not be all that training changes in a module, or None."""
    hooks = vars(nn.Module())
    for path, part in module.named_modules():
        where = f"its module has, in {path or 'itself'},"
        for name, value in vars(part).items():
            if name in hooks:
                if "hooks" in name and value:
                    return f"{where} hooks"
            elif not (_is_plain(value) or isinstance(value, _UNCHANGING)):
                return f"{where} the attribute {name} ({type(value).__name__})"
    return None


_UNCHANGING = (type, FunctionType, BuiltinFunctionType, torch.dtype, torch.device)


def _values_of_part(module: nn.Module) -> dict[str, Any]:
    return _own_values(module) | _on_cpu(dict(module.named_buffers(recurse=False)))


def _own_values(module: nn.Module) -> dict[str, Any]:
    own = vars(module).keys() - vars(nn.Module()).keys()
    return {name: v for name, v in _plain_values(module).items() if name in own}


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
