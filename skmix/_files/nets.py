"""skorch nets to JSON and tensors, and back: parameters, weights, history."""

from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.history import History
from torch import nn
from torch.utils.data import DataLoader

from skmix._files.container import Unreadable
from skmix._files.names import (
    MODULES,
    NETS,
    NotTrusted,
    Trusted,
    known_name,
    looked_up,
    own_name,
)
from skmix._files.values import (
    Reader,
    Unstorable,
    Writer,
    expected,
    fields,
)
from skmix._training.random import seeded
from skmix._training.skorch_compat import has_default_split
from skmix._validation import NotLoaded

# What only training needs; all other parameters may count in predictions.
TRAINING = {
    *("optimizer", "lr", "max_epochs", "iterator_train", "train_split", "callbacks"),
    *("warm_start", "criterion"),
}
TRAINING_PREFIXES = ("optimizer__", "iterator_train__", "callbacks__", "criterion__")
PREFIXES = (*TRAINING_PREFIXES, "module__", "iterator_valid__", "dataset__")
LOADING = {"iterator_valid__batch_size", "iterator_valid__drop_last"}
IGNORED = {"iterator_valid__num_workers", "iterator_valid__pin_memory"}  # speed alone

# What skorch's nets and those of skmix learn beside weights, and predict by.
FITTED = ("batch_size_", "classes_inferred_", "sizes_")


# A net as it is given.


def write_net(writer: Writer, net: NeuralNet) -> dict[str, Any]:
    """Return a record of an unfitted net, or of the parameters of a fitted one.

    Raises
    ------
    ValueError
        If predictions depend on something that a file cannot hold.
    """
    params = net.get_params(deep=False)
    _refuse_what_is_not_built_anew(params)
    if has_default_split(net):
        del params["train_split"]  # one object for all nets, by which it is known
    if isinstance(params.get("device"), torch.device):
        params["device"] = str(params["device"])
    encoded = {}
    for name, value in params.items():
        if name.startswith("_") or name in IGNORED:
            continue
        if only_trains(name):
            encoded[name] = writer.parameter(value)
            continue
        try:
            encoded[name] = writer.encode(value)
        except Unstorable as error:
            raise ValueError(
                f"Got a net with {name}={value!r}, which predictions may depend on, "
                f"but {error.name} cannot be stored in a file. Expected numbers, "
                "strings, arrays, classes or functions. Pickle it if you must."
            ) from error
    return {"class": known_name(type(net)) or own_name(type(net)), "params": encoded}


def only_trains(name: str) -> bool:
    """Whether a parameter of a net counts in training alone."""
    return name in TRAINING or name.startswith(TRAINING_PREFIXES)


def _refuse_what_is_not_built_anew(params: dict[str, Any]) -> None:
    if isinstance(params["module"], nn.Module):
        raise ValueError(
            "Got a net whose module is an instance of "
            f"{type(params['module']).__name__}, but expected its class, or a function "
            "that makes it, and its arguments as module__..., so that it can be built "
            "anew."
        )
    if params.get("compile") or params.get("torch_load_kwargs") is not None:
        raise ValueError(
            "Got a net with compile=True or torch_load_kwargs, which skmix.save does "
            "not store. Leave them at skorch's defaults."
        )


def read_net(reader: Reader, record: Any) -> NeuralNet:
    """Return an unfitted net of a record."""
    kind, params = _kind_and_params(reader, record)
    return kind(**params)


def _kind_and_params(reader: Reader, record: Any) -> tuple[Any, dict[str, Any]]:
    name, encoded = fields(record, **{"class": str, "params": dict})
    kind = looked_up(name, reader.trusted)
    if not (isinstance(kind, type) and issubclass(kind, NeuralNet)):
        raise Unreadable(f"it has a net of the class {name}, which is no net of skorch")
    if ":" not in name and name not in NETS:
        raise NotTrusted(name)
    known = set(vars(NeuralNet(nn.Identity, nn.MSELoss))) | {"classes", "threshold"}
    known |= {"refit", "calibrate"}
    params = {}
    for key, value in encoded.items():
        fine = key in known or key.startswith(PREFIXES) or ":" in name
        if not fine or not key.isidentifier() or key[0] == "_" or key[-1] == "_":
            raise Unreadable(f"it has a net with the parameter {key!r}")
        decode = reader.parameter if only_trains(key) else reader.decode
        params[key] = decode(value)
    _check_predicting(reader.trusted, params)
    params["device"] = _device_here(params.get("device", "cpu"))
    return kind, params


def _check_predicting(trusted: Trusted, params: dict[str, Any]) -> None:
    """Check parameters by which a net predicts."""
    if "module" not in params:
        raise Unreadable("it has a net without a module")
    allowed: dict[str, list[Any]] = {
        "module": [*MODULES.values()],
        "iterator_valid": [DataLoader],
        "dataset": [Dataset],
    }
    for name, kinds in allowed.items():
        given = params.get(name, kinds[0])
        made_by = given.func if isinstance(given, partial) else given
        if not any(made_by is kind for kind in kinds) and not trusted.holds(made_by):
            raise NotTrusted(known_name(made_by) or own_name(made_by))
    for name, value in params.items():
        fine = name in LOADING and isinstance(value, int)
        if name.startswith("iterator_valid__") and not fine:
            raise Unreadable(f"it has a net with {name}={value!r}")
    for name, only in (("compile", False), ("torch_load_kwargs", None)):
        if params.get(name, only) is not only:
            raise Unreadable(f"it has a net with {name}={params[name]!r}")


def _device_here(device: Any) -> Any:
    """Return a device, or the CPU if it is not there."""
    if device is None:
        return None
    kind, _, number = expected(device, str, "a device").partition(":")
    there = {"cuda": torch.cuda.device_count(), "cpu": 1}.get(kind, 0)
    if kind == "mps":
        there = int(torch.backends.mps.is_available())
    return device if int(number or 0) < there else "cpu"


# A fitted net.


def write_fitted(writer: Writer, net: NeuralNet) -> dict[str, Any]:
    """Return a record of a fitted net, with the weights of its modules."""
    return {
        "net": write_net(writer, net),
        "criterion": _loss_of_torch(net.criterion_),
        "modules": {
            name: _write_weights(writer, name, module)
            for name, module in _modules(net).items()
        },
        "history": write_history(writer, net.history_),
        "fitted": {
            name: writer.encode(vars(net)[name]) for name in FITTED if name in vars(net)
        },
    }


def _modules(net: NeuralNet) -> dict[str, nn.Module]:
    """Return the modules of a net, except for its criterion."""
    return {
        name: value
        for name, value in vars(net).items()
        if isinstance(value, nn.Module) and name != "criterion_"
    }


def _loss_of_torch(criterion: Any) -> str | None:
    """Return the name of the loss that a criterion is, or inherits from.

    skorch looks at it to make probabilities of what the module puts out.
    """
    names = map(known_name, type(criterion).__mro__)
    return next((name for name in names if name and name.endswith("Loss")), None)


def _write_weights(writer: Writer, name: str, module: nn.Module) -> dict[str, str]:
    state = module.state_dict()
    for key, value in state.items():
        if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
            raise ValueError(
                f"Got a net whose {name} has {key!r} in its state_dict, a "
                f"{type(value).__name__}, but expected dense tensors only."
            )
    return {key: writer.tensor(value) for key, value in state.items()}


def read_fitted(reader: Reader, record: Any) -> NeuralNet:
    """Return a fitted net of a record; it can predict, and not be trained further."""
    names = {"net": dict, "criterion": object, "modules": dict, "history": dict}
    of_net, criterion, modules, history, fitted = fields(record, **names, fitted=dict)
    kind, params = _kind_and_params(reader, of_net)
    states = {name: _read_weights(reader, name, modules[name]) for name in modules}
    net = kind(**_for_prediction(params, criterion, reader.trusted))
    vars(net).update(_read_learnt(reader, fitted))
    with seeded(0, net.device):
        net.initialize()
    del net.optimizer_
    if _modules(net).keys() != states.keys():
        raise Unreadable(f"it has weights of {', '.join(states)}, and the net others")
    for name, state in states.items():
        _load_weights(name, vars(net)[name], state)
    vars(net).update({name: params[name] for name in params if only_trains(name)})
    net.history_ = read_history(reader, history)
    return net


def _for_prediction(
    params: dict[str, Any], criterion: Any, trusted: Trusted
) -> dict[str, Any]:
    """Return parameters without those that only training needs.

    Of the criterion skorch looks at the class; it is built, so it must be a loss.
    """
    needed = {name: value for name, value in params.items() if not only_trains(name)}
    of_criterion = {n: v for n, v in params.items() if n.startswith("criterion")}
    if any(isinstance(value, NotLoaded) for value in of_criterion.values()):
        known = looked_up(criterion, Trusted(())) if criterion is not None else _NoLoss
        of_criterion = {"criterion": known}
    loss = of_criterion.get("criterion", _NoLoss)
    made_by = loss.func if isinstance(loss, partial) else loss
    name = known_name(made_by) or own_name(made_by)
    is_loss = name.startswith("torch.nn.") and name.endswith("Loss")
    if not is_loss and made_by is not _NoLoss and not trusted.holds(made_by):
        raise NotTrusted(name)
    return needed | of_criterion | {"callbacks": "disable"}


class _NoLoss(nn.Module):
    """Stands for a criterion that was not loaded."""


def _read_learnt(reader: Reader, record: dict[str, Any]) -> dict[str, Any]:
    kinds = {"batch_size_": int, "classes_inferred_": np.ndarray, "sizes_": dict}
    if unknown := record.keys() - kinds.keys():
        raise Unreadable(f"it has a net with {', '.join(sorted(unknown))}")
    return {n: reader.expect(value, kinds[n], n) for n, value in record.items()}


def _read_weights(reader: Reader, name: str, record: Any) -> dict[str, torch.Tensor]:
    names = expected(record, dict, name)
    return {key: reader.tensor(tensor) for key, tensor in names.items()}


def _load_weights(name: str, module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give a module its weights, if they are just those that it has."""
    own = module.state_dict()
    if own.keys() != state.keys():
        other = ", ".join(sorted(own.keys() ^ state.keys())[:5])
        raise Unreadable(f"its weights are not those of {name}: {other}")
    for key, tensor in state.items():
        lazy = nn.parameter.is_lazy(own[key])
        if not lazy and own[key].shape != tensor.shape:
            raise Unreadable(
                f"its weights {name}.{key} are of shape {tuple(tensor.shape)}, and the "
                f"module has {tuple(own[key].shape)}"
            )
        floating = own[key].is_floating_point() and tensor.is_floating_point()
        if not lazy and own[key].dtype != tensor.dtype and not floating:
            raise Unreadable(f"its weights {name}.{key} are of dtype {tensor.dtype}")
    for parts in (module.named_parameters, module.named_buffers):
        for key, part in parts(remove_duplicate=False):
            # As it was in training: torch's default dtype may be another one now.
            if key in state and not nn.parameter.is_lazy(part):
                part.data = part.data.to(state[key].dtype)
    module.load_state_dict(state)


# Histories.


def write_history(writer: Writer, history: Any) -> dict[str, Any]:
    """Return a record of a history by columns, without what it says of batches."""
    names = dict.fromkeys(name for row in history for name in row if name != "batches")
    columns = {}
    for name in names:
        rows = [k for k, row in enumerate(history) if name in row]
        values = [history[k][name] for k in rows]
        columns[name] = {
            "rows": None if len(rows) == len(history) else rows,
            "values": writer.encode(_as_array(values)),
        }
    return {"n": len(history), "columns": columns}


def _as_array(values: list[Any]) -> Any:
    """Return values of one plain type as an array, others as they are."""
    kinds = {bool if isinstance(v, np.bool_) else type(v) for v in values}
    if kinds == {bool} or kinds == {int}:
        return np.array(values)
    return np.array(values) if kinds <= {float, np.float64} else values


def read_history(reader: Reader, record: Any) -> History:
    """Return a history of a record; skorch numbers its epochs."""
    n, columns = fields(record, n=int, columns=dict)
    decoded = {}
    for name, column in columns.items():
        rows, values = fields(column, rows=list | None, values=object)
        values = reader.expect(values, list | np.ndarray, name)
        rows = list(range(len(values))) if rows is None else rows
        decoded[name] = rows, list(getattr(values, "tolist", lambda v=values: v)())
    if n != len(decoded.get("epoch", ((), ()))[1]):
        raise Unreadable(f"its history of {n} epochs has not as many numbers of epochs")
    history: list[dict[str, Any]] = [{"batches": []} for _ in range(n)]
    for name, (rows, values) in decoded.items():
        fine = all(type(k) is int and 0 <= k < n for k in rows)
        if not fine or len(rows) != len(values):
            raise Unreadable(f"its history has no {name} for each epoch")
        for k, value in zip(rows, values, strict=True):
            history[k][name] = value
    return History(history)
