"""Digests: short names of values, the same in each process, by which they are known.

Unlike a pickle, a digest tells functions and classes that a script or a notebook
defines by their source, and minds neither who shares an object nor in which process.
"""

import hashlib
import inspect
import platform
from collections.abc import Mapping
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any

import joblib
import numpy as np
import pandas as pd
import scipy
import sklearn
import skorch
import torch
from scipy import sparse

# Their versions stand for their classes.
LIBRARIES = (torch, np, scipy, pd, sklearn, skorch, joblib)
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
BY_NAME = (torch.dtype, torch.device, torch.Size, np.dtype, BuiltinFunctionType)


def environment() -> dict[str, Any]:
    """Return what results may depend on beside parameters and data."""
    versions = {library.__name__: library.__version__ for library in LIBRARIES}
    return versions | {
        "skmix": _own_code(),
        "tabm": version("tabm"),
        "python": platform.python_version_tuple()[:2],
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
    }


@lru_cache
def _own_code() -> str:
    """Return the digest of the code of skmix, its version included."""
    package = Path(__file__).parent
    code = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        code.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return code.hexdigest()


def digest_of(*values: Any) -> str:
    """Return the SHA-256 of values, as 40 hexadecimal digits.

    Parameters
    ----------
    *values
        Plain values, arrays, tensors, frames, CSR tables, estimators and nets by their
        parameters, functions and classes by their name and source, structures of all
        these, and other objects by their class and attributes.

    Raises
    ------
    ValueError
        If a value cannot be told from others of its kind.

    Notes
    -----
    What a function or class calls is not looked at, nor global variables.

    Examples
    --------
    >>> import numpy as np
    >>> from skmix._long_runs.digests import digest_of
    >>> digest_of(np.zeros(3), 1) == digest_of(np.zeros(3), 1)
    True
    >>> digest_of(np.zeros(3), 1) == digest_of(np.zeros(3), 1.0)
    False
    """
    digest = _Digest()
    digest.add(values)
    return digest.sha.hexdigest()[:40]


class _Digest:
    """Adds values to a hash, by their kind."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()
        self.open: list[Any] = []  # objects around the one that is added

    def add(self, value: Any) -> None:
        """Add a value of any kind."""
        if type(value) in PLAIN:
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, BY_NAME):
            self._say("name", repr(value))
        elif isinstance(value, np.ndarray | np.generic):
            self._add_array(np.asarray(value))
        elif isinstance(value, torch.Tensor):
            self._add_tensor(value)
        elif isinstance(value, pd.DataFrame | pd.Series | pd.Index):
            self._say("frame", joblib.hash(value))
        elif isinstance(value, type | FunctionType | MethodType | partial | ModuleType):
            self._add_code(value)
        else:
            self._add_nested(value)

    def _say(self, kind: str, text: str) -> None:
        self.sha.update(f"{kind} {len(text)} {text}\n".encode())

    def _add_array(self, array: np.ndarray) -> None:
        self._say("array", f"{array.dtype.str} {array.shape}")
        if array.dtype.hasobject:
            self._add_items("objects", array.ravel().tolist())
        else:
            self.sha.update(np.ascontiguousarray(array).data)

    def _add_tensor(self, tensor: torch.Tensor) -> None:
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        self._say("tensor", f"{tensor.dtype} {tuple(tensor.shape)}")
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        self.sha.update(flat.view(torch.uint8).numpy().data)

    def _add_items(self, kind: str, values: Any) -> None:
        self._say(kind, str(len(values)))
        for value in values:
            self.add(value)

    def _add_code(self, value: Any) -> None:
        if isinstance(value, partial):
            self._add_items("partial", [value.func, value.args, value.keywords])
        elif isinstance(value, MethodType):
            self._add_items("method", [value.__func__, value.__self__])
        elif isinstance(value, FunctionType):
            self._add_function(value)
        elif isinstance(value, type):
            self._add_items("class", [_source_of(kind) for kind in value.__mro__])
        else:
            self._say("module", value.__name__)

    def _add_function(self, function: FunctionType) -> None:
        self._say("function", _source_of(function))
        names = function.__code__.co_freevars
        cells = zip(names, function.__closure__ or (), strict=True)
        held = {name: _held(cell) for name, cell in cells}
        code = _code_of(function.__code__)  # (a line may have several functions)
        defaults = [function.__defaults__, function.__kwdefaults__]
        self._within(function, "held", [code, *defaults, held])

    def _add_nested(self, value: Any) -> None:
        if isinstance(value, Mapping) and not sparse.issparse(value):
            pairs = [part for pair in value.items() for part in pair]
            self._within(value, type(value).__name__, pairs)
        elif isinstance(value, list | tuple):
            self._within(value, type(value).__name__, list(value))
        elif isinstance(value, set | frozenset):
            self._say("set", " ".join(sorted(map(digest_of, value))))
        else:
            self._within(value, "object", [type(value), self._state_of(value)])

    def _state_of(self, value: Any) -> Any:
        """Return what makes an object differ from others of its class."""
        if sparse.issparse(value):
            table = value.tocsr()
            return [table.shape, table.data, table.indices, table.indptr]
        if hasattr(value, "get_params"):
            return value.get_params(deep=False)
        if hasattr(value, "__dict__"):
            return vars(value)
        try:
            return joblib.hash(value)
        except Exception as error:
            raise ValueError(
                f"Got {value!r}, which cannot be told from others of its kind "
                f"({type(error).__name__}: {error}), so that a checkpoint with it "
                "could not be known again. Leave out `checkpoint`, or this object."
            ) from error

    def _within(self, value: Any, kind: str, parts: list[Any]) -> None:
        """Add parts of an object, which may hold the object itself again."""
        depth = next((k for k, other in enumerate(self.open) if other is value), None)
        if depth is not None:
            self._say("again", str(depth))
            return
        self.open.append(value)
        self._add_items(kind, parts)
        self.open.pop()


@lru_cache(maxsize=1024)
def _source_of(code: Any) -> str:
    """Return the name and source of a class or function; of a library the name."""
    name = f"{code.__module__}.{code.__qualname__}"
    library = (code.__module__ or "").split(".")[0]
    if library in {"builtins", *(known.__name__ for known in LIBRARIES)}:
        return name
    try:
        return f"{name}\n{inspect.getsource(code)}"
    except (OSError, TypeError):  # typed into a shell, or compiled
        own = vars(code) if isinstance(code, type) else {}
        methods = [_code_of(f.__code__) for f in own.values() if inspect.isfunction(f)]
        return f"{name}\n{methods}"


def _code_of(code: CodeType) -> list[Any]:
    """Return what Python made of a function, and of those inside it."""
    nested = [c for c in code.co_consts if isinstance(c, CodeType)]
    plain = [c for c in code.co_consts if not isinstance(c, CodeType)]
    return [code.co_code, code.co_names, repr(plain), *map(_code_of, nested)]


def _held(cell: CellType) -> Any:
    """Return what a function holds of the function around it."""
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None
