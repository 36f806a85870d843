"""Inspect skorch nets: overridden methods, callbacks, mode, dtype, printing."""

import builtins
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import lru_cache, partial
from importlib import import_module
from types import BuiltinFunctionType
from typing import Any

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    PassthroughScoring,
)
from skorch.dataset import Dataset
from skorch.utils import to_tensor
from torch import nn

from skmix._tables.columns import each
from skmix._validation import warn

METHODS = tuple(
    name
    for name, attribute in vars(NeuralNet).items()
    if callable(attribute) and not name.startswith("__")
)
# skorch tells users to override some of its private methods, too. None is named here.
PRIVATE_METHODS = tuple(name for name in METHODS if name.startswith("_"))
# Of callbacks; those of skorch's own do not change a batch.
BATCH_METHODS = ("on_batch_begin", "on_grad_computed", "on_batch_end")
_SCORINGS = (EpochScoring, BatchScoring, PassthroughScoring)
_HALVES = (torch.bfloat16, torch.float16)
_NUMPY_DTYPES = {
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.float64: np.float64,
}


# Methods of these change nothing in a batch, those of the default nets included.
TRUSTED = {"skorch.net", "skorch.classifier", "skorch.regressor", "skmix._default_net"}


def is_skorchs_own(net: NeuralNet, *methods: str) -> bool:
    """Whether a net's class inherits these methods from skorch's nets."""
    kind: Any = type(net)
    return _are_skorchs_own(kind, methods)


@lru_cache(maxsize=256)
def _are_skorchs_own(kind: Any, methods: tuple[str, ...]) -> bool:
    return {getattr(kind, method).__module__ for method in methods} <= TRUSTED


def steps_are_skorchs_own(net: NeuralNet) -> bool:
    """Whether no user-supplied methods or callbacks get the batches of a net."""
    listeners = (
        getattr(cb, name) for _, cb in net.callbacks_ for name in BATCH_METHODS
    )
    return is_skorchs_own(net, *METHODS) and all(
        str(getattr(listener, "__module__", "")).startswith("skorch.callbacks.")
        for listener in listeners
    )


def named_callbacks(net: NeuralNet) -> Iterator[tuple[str, Any]]:
    """Yield pairs of name and callback that a net was given."""
    given = net.callbacks if isinstance(net.callbacks, list) else ()
    for callback in given:
        named = isinstance(callback, tuple | list)
        yield tuple(callback) if named else (_class_of(callback).__name__, callback)


def stops_early(callback: Any) -> bool:
    """Whether a callback is early stopping, or its class."""
    return issubclass(_class_of(callback), EarlyStopping)


def patience_of(net: NeuralNet) -> Any:
    """Epochs that early stopping of an unfitted net waits for; None without any."""
    for _, callback in named_callbacks(net):
        if stops_early(callback):
            return _parameter(callback, "patience")
    return None


def _class_of(callback: Any) -> type:
    return callback if isinstance(callback, type) else type(callback)


def watches_validation(callback: Any) -> bool:
    """Whether a callback acts on a score of validation rows, by its name (`monitor`).

    It may be a class, which skorch makes one of.
    """
    return str(_parameter(callback, "monitor")).startswith("valid")


def is_skorchs_callback(callback: Any) -> bool:
    """Whether a callback, or its class, is one of skorch: else only the user knows."""
    return _class_of(callback).__module__.startswith("skorch.")


def may_watch_validation(callback: Any) -> bool:
    """Whether a callback acts on validation rows, scores them, or may do so."""
    if not is_skorchs_callback(callback):
        return True
    monitor = _parameter(callback, "monitor")
    plateau = "Plateau" in str(_parameter(callback, "policy"))
    keeps = issubclass(_class_of(callback), Checkpoint)
    stops = stops_early(callback) or keeps or plateau
    watches = stops and monitor is not None and not str(monitor).startswith("train")
    scores = issubclass(_class_of(callback), _SCORINGS)
    return watches or (scores and not _parameter(callback, "on_train"))


def _parameter(callback: Any, name: str) -> Any:
    """Return a parameter of a callback, or its default if that is a class."""
    if not isinstance(callback, type):
        return getattr(callback, name, None)
    parameter = inspect.signature(callback).parameters.get(name)
    return None if parameter is None else parameter.default


def has_default_split(net: NeuralNet) -> bool:
    """Whether an unfitted net has the `train_split` that skorch gives to all nets.

    It is one object for all of them. One that a user gives is another.
    """
    for kind in type(net).__mro__:
        if "__init__" in vars(kind) and kind.__module__.startswith("skorch."):
            split = inspect.signature(kind).parameters.get("train_split")
            if split is not None and split.default is net.train_split:
                return True
    return False


def twin(net: NeuralNet, **attributes: Any) -> NeuralNet:
    """Return a net that shares all attributes with `net`, except for these."""
    other = object.__new__(type(net))
    vars(other).update(vars(net), **attributes)
    return other


def criterion_is(net: NeuralNet, *kinds: type) -> bool:
    """Whether an initialised net's criterion is of one of these classes."""
    # A compiled criterion is no instance of its class any more, and a partial is
    # no class to begin with.
    made_by = net.criterion if isinstance(net.criterion, type) else type(net.criterion)
    return isinstance(net.criterion_, kinds) or issubclass(made_by, kinds)


def takes_num_and_cat(net: NeuralNet) -> bool:
    """Whether the module's `forward` asks for numbers and categories by name."""
    module = net.module.func if isinstance(net.module, partial) else net.module
    if not isinstance(module, nn.Module | type):
        return False
    forward = getattr(module, "forward", None)
    names = inspect.signature(forward).parameters if callable(forward) else ()
    return {"x_num", "x_cat"} <= set(names)


def set_mode(net: NeuralNet, training: bool) -> None:
    """Put module and criterion into training or evaluation mode.

    All parts are visited, since a callback or a pass may have changed one.
    """
    for part in (net.module_, net.criterion_):
        if isinstance(part, nn.Module) and any(
            module.training is not training for module in part.modules()
        ):
            part.train(training)


def module_dtype(net: NeuralNet) -> torch.dtype:
    """Return the first floating dtype of a net's parameters that numpy has, too."""
    return _dtypes(net)[1]


def parameter_dtype(net: NeuralNet) -> torch.dtype:
    """Return the first floating dtype of a net's parameters."""
    return _dtypes(net)[0]


def _dtypes(net: NeuralNet) -> tuple[torch.dtype, torch.dtype]:
    """Return the first floating dtype of a net's parameters, and of numpy's, too."""
    first = None
    for _, parameter in net.get_all_learnable_params():
        if first is None and parameter.is_floating_point():
            first = parameter.dtype
        if parameter.dtype in _NUMPY_DTYPES:
            return first or parameter.dtype, parameter.dtype
    return first or torch.float32, torch.float32


def inferring(net: NeuralNet) -> Callable[..., Any]:
    """Return `infer` of a net's class, from and to the dtypes of tables and losses."""
    infer, (own, table) = type(net).infer, _dtypes(net)

    def infer_in_table_dtype(x: Any, **fit_params: Any) -> Any:
        x = to_tensor(x, device=net.device)
        if own is torch.bfloat16:  # which no table can be in
            x = each(lambda part: part.to(own) if part.is_floating_point() else part, x)
        try:
            output = infer(net, x, **fit_params)
        except ValueError as error:
            if net.module_.training:
                _explain_batch_of_one(error)
            raise
        return _unhalved(output, table)

    return infer_in_table_dtype


def _explain_batch_of_one(error: ValueError) -> None:
    """Raise a clearer error where torch's BatchNorm refuses to train on one row."""
    if "more than 1 value per channel" in str(error):
        raise ValueError(
            "Got a batch of one row in training, but the module has a BatchNorm, which "
            "expected at least two. Use a larger batch_size, give more rows (of a "
            "weight above 0), or leave out the BatchNorm."
        ) from error


def _unhalved(output: Any, dtype: torch.dtype) -> Any:
    """Bring outputs in half precision to `dtype`, of the table, targets and weights."""
    if isinstance(output, torch.Tensor):
        return output.to(dtype) if output.dtype in _HALVES else output
    if type(output) in (list, tuple):
        return type(output)(_unhalved(part, dtype) for part in output)
    return output


def as_module_dtype(
    net: NeuralNet,
    data: Any,
    name: str = "X",
    *,
    names: Any = None,
    kinds: str = "f",
    copy: bool = False,
) -> Any:
    """Bring numbers to the dtype of an initialised net's parameters.

    Parameters
    ----------
    net : skorch.NeuralNet
    data : ndarray, CSR matrix or array, or mapping
        Tensors, and whatever else a mapping may hold, keep their dtype.
    name : str, default="X"
        What `data` is called in an error.
    names : sequence of str, or mapping of such, default=None
        What its columns are called.
    kinds : str, default="f"
        Kinds of numpy dtypes that stand for numbers. Others keep their dtype, as
        integers in a mapping do, which may be codes.
    copy : bool, default=False
        Whether dense data must not share the memory of `data`.

    Returns
    -------
    Same structure as `data`; dense arrays are such as torch can share the memory
    of, and CSR data is a CSR matrix, as skorch wants it. Copied only if need be.

    Raises
    ------
    ValueError
        If a finite value does not fit into the dtype.
    """
    if isinstance(data, Mapping):
        names = names or {}
        return {
            part: as_module_dtype(net, value, name, names=names.get(part), copy=copy)
            for part, value in data.items()
        }
    if sparse.issparse(data):
        data = sparse.csr_matrix(data)  # shares the memory of a CSR array
    elif isinstance(data, torch.Tensor):
        return data.clone() if copy else data
    elif not isinstance(data, np.ndarray):
        return data
    cast = data
    if data.dtype.kind in kinds:
        cast = narrowed(data, _NUMPY_DTYPES[module_dtype(net)], name, names)
    if sparse.issparse(cast):
        return cast
    return _shareable(cast, copy=copy and cast is data)


def narrowed(data: Any, dtype: Any, name: str = "X", names: Any = None) -> Any:
    """Cast an array or CSR matrix to a floating dtype; refuse values too large."""
    if data.dtype == dtype:
        return data
    with np.errstate(over="ignore"):
        cast = data.astype(dtype)
    values = cast.data if sparse.issparse(cast) else cast
    with np.errstate(invalid="ignore"):  # infinity less infinity
        # (A sum in float64 takes no memory, and is finite where all values are.)
        total = values.sum(dtype=np.float64)
    if not np.isfinite(total):
        raise ValueError(
            f"Got {name} with a value too large for {np.dtype(dtype)}, the dtype of "
            f"the net's parameters{_where(cast, names)}. Express it in another unit "
            "(columns: sklearn.preprocessing.StandardScaler), or use a module of dtype "
            "float64."
        )
    return cast


def _where(data: Any, names: Any) -> str:
    """In which columns of an array or CSR matrix there are infinite values."""
    if data.ndim != 2:
        return ""
    if sparse.issparse(data):
        columns = np.unique(data.indices[~np.isfinite(data.data)])
    else:
        columns = np.flatnonzero(~np.isfinite(data).all(axis=0))
    shown = [str(j) if names is None else str(names[j]) for j in columns[:10]]
    of = "of the net's input " if names is None else ""
    return f", in columns {of}({', '.join(shown)}{', ...' * (len(columns) > 10)})"


def _shareable(array: np.ndarray, *, copy: bool = False) -> np.ndarray:
    """Copy what torch cannot share memory with (or warns about)."""
    forward = all(stride >= 0 for stride in array.strides)
    native = array.dtype.isnative
    if array.flags.writeable and forward and native and not copy:
        return array
    return np.array(array, dtype=array.dtype.newbyteorder("="))


class AsGiven:
    """Stands for a net in the ``repr`` of the estimator that wraps it."""

    def __init__(self, net: NeuralNet) -> None:
        self.net = net

    def __repr__(self) -> str:
        defaults = _defaults(type(self.net))
        given = {
            name: value
            for name, value in self.net.get_params(deep=False).items()
            if not name.startswith("_")
            and not (name in defaults and _same(value, defaults[name]))
        }
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in given.items())
        return f"{type(self.net).__name__}({shown})"


def _defaults(kind: Any) -> dict[str, Any]:
    """Return the defaults of a class, its own before inherited ones."""
    defaults: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base) and base is not object:
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if parameter.default is not inspect.Parameter.empty:
                    defaults[name] = parameter.default
    return defaults


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if type(value) is not type(default):
        return False
    if _is_shown_as_object(value) and hasattr(value, "__dict__"):  # two equal splits
        return repr(vars(value)) == repr(vars(default))
    return repr(value) == repr(default)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        parts = ", ".join(map(_shown, value))
        if isinstance(value, list):
            return f"[{parts}]"
        return f"({parts},)" if len(value) == 1 else f"({parts})"
    if isinstance(value, partial):
        arguments = [value.func, *value.args]
        shown = [*map(_shown, arguments)]
        shown += [f"{name}={_shown(given)}" for name, given in value.keywords.items()]
        return f"partial({', '.join(shown)})"
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__name__
    return f"{type(value).__name__}(...)" if _is_shown_as_object(value) else repr(value)


def _is_shown_as_object(value: Any) -> bool:
    """Whether Python would write an address, or a module its layers line by line."""
    return hasattr(value, "named_modules") or " object at 0x" in repr(value)


class Printer:
    """Prints by the current `print` if a net is verbose; pickles as that."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        if self.net.verbose:
            print(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (_Builtins(), "print")


class _Builtins:
    """Pickles as the module `builtins`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, ("builtins",)


def is_print(function: Any) -> bool:
    """Whether a function is `print`, today's or the one that Python began with."""
    return function is builtins.print or _is_stale(function)


def _is_stale(function: Any) -> bool:
    """Whether a function is the `print` of Python, which is not the current one."""
    python_s = isinstance(function, BuiltinFunctionType)
    python_s = python_s and function.__name__ == "print"
    return python_s and function is not builtins.print


def bind_prints(net: NeuralNet) -> None:
    """Let an initialised net and its callbacks print by a `Printer`, if they print."""
    for name, value in vars(net).items():
        if is_print(value) or isinstance(value, Printer):
            vars(net)[name] = Printer(net)
    for _, callback in net.callbacks_:
        # (One that a copied net shares with another has the printer of that.)
        sink = getattr(callback, "sink", None)
        if is_print(sink) or isinstance(sink, Printer):
            callback.sink = Printer(net)


def picklable(net: NeuralNet) -> NeuralNet:
    """Return an unfitted net, or one like it that holds no `print` of the past."""
    stale = (name for name, value in vars(net).items() if _is_stale(value))
    changed: dict[str, Any] = {name: Printer(net) for name in stale}
    if any(_has_stale_sink(callback) for _, callback in named_callbacks(net)):
        changed["callbacks"] = [_with_printer(item, net) for item in net.callbacks]
    return twin(net, **changed) if changed else net


def _has_stale_sink(callback: Any) -> bool:
    return not isinstance(callback, type) and _is_stale(getattr(callback, "sink", None))


def _with_printer(item: Any, net: NeuralNet) -> Any:
    if isinstance(item, tuple | list):
        return item[0], _with_printer(item[1], net)
    if not _has_stale_sink(item):
        return item
    other = copy(item)
    other.sink = Printer(net)
    return other


def first_output(output: Any) -> Any:
    """Return the first of several outputs, or the only one."""
    return output[0] if isinstance(output, tuple) else output


def shaped_like(output: Any, y: Any) -> Any:
    """Give 1-d targets the shape that fits the module's output, if there is one.

    Numbers get the shape (B, 1). For an ensemble, whose output is (B, d_out, k), labels
    and numbers are repeated for each of the k members.
    """
    if not isinstance(output, torch.Tensor):
        return y
    if not isinstance(y, torch.Tensor) or y.ndim != 1 or len(output) != len(y):
        return y
    if y.is_floating_point() and output.shape[1:2] == (1,) and output.ndim in (2, 3):
        return y.reshape(-1, *[1] * (output.ndim - 1)).expand_as(output)
    if not y.is_floating_point() and output.ndim == 3:
        return y[:, None].expand(-1, output.shape[2])
    return y


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


def part_callbacks(net: NeuralNet) -> None:
    """Give a copy of a net callbacks of its own, which share what they hold.

    So those of the other net, in training, keep their counts if the copy is trained.
    """
    net.callbacks_ = [(name, twin(callback)) for name, callback in net.callbacks_]


def restore_best(net: NeuralNet) -> None:
    """Load what callbacks would load if the training of a net ended now."""
    for _, callback in net.callbacks_:
        if isinstance(callback, Checkpoint) and _has_best(callback, net):
            safe = callback.use_safetensors
            net.load_params(checkpoint=callback, use_safetensors=safe)
        if stops_early(callback) and callback.load_best and len(net.history):
            weights = callback.best_model_weights_
            last = callback.best_epoch_ == net.history[-1, "epoch"]
            if weights is not None and not last:
                net.module_.load_state_dict(weights)


def _has_best(checkpoint: Checkpoint, net: NeuralNet) -> bool:
    """Whether a checkpoint loads the best weights, and has written some by now."""
    if not (checkpoint.load_best and checkpoint.monitor):
        return False
    event = checkpoint.event_name
    return event is None or any(epoch.get(event) for epoch in net.history.to_list())


def explain_monitor(net: NeuralNet, error: Exception) -> None:
    """Raise a clearer error if a callback looks for a score that is not there."""
    known = net.history[-1]
    for name, callback in net.callbacks_:
        monitor: Any = getattr(callback, "monitor", None)
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
        warn(
            f"Scores on training rows ({', '.join(c.name_ for c in cached)}) are "
            "of mixed rows against their own labels: skorch cannot pass a dataset "
            f"of type {dataset.__name__} again. Subclass skorch.dataset.Dataset."
        )
        return []
    for callback in cached:
        callback.use_caching = False
    if cached and net.use_caching is True:  # which overrules the callbacks
        net.use_caching = "auto"
        cached.append(net)
    return cached
