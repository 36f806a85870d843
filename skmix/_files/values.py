"""Values of parameters and attributes to JSON and back.

None, booleans, strings, integers, finite floats and lists are JSON. Anything else is an
object with a "type", and the rest by its type (docs/guide/files.md lists them). Arrays
and tensors are tensors of the file, which JSON refers to by name.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from skmix._files.container import Unreadable
from skmix._files.names import (
    OBJECTS,
    RULES,
    NotTrusted,
    Trusted,
    is_dtype_name,
    is_named,
    known_name,
    looked_up,
    own_name,
)
from skmix._validation import NotLoaded

# Of numpy scalars and arrays, by name.
DTYPES = {
    name: np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
        *("uint64", "float16", "float32", "float64"),
    )
}

# Bytes that all arrays of strings may take: each string has the width of the longest.
MAX_STRINGS = 2**26

WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
UNITS = ("s", "ms", "us", "ns")
CLOSED = ("left", "right", "both", "neither")


class Unstorable(ValueError):
    """A value that a file cannot hold.

    Attributes
    ----------
    name : str
        What it is, for an error.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} cannot be stored in a file")
        self.name = name


class Writer:
    """Encodes values, and collects their arrays and tensors.

    Attributes
    ----------
    tensors : dict of torch.Tensor
    shared : list
        Records of objects that several others hold.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.shared: list[Any] = []
        self._places: dict[int, tuple[int, Any]] = {}
        self._n_bytes = 0  # of arrays of strings

    def share(self, value: Any, write: Callable[["Writer", Any], Any]) -> int:
        """Add the record of an object once, and return its number."""
        if id(value) not in self._places:
            record = write(self, value)
            # (The object is kept, so that no other one gets its id.)
            self._places[id(value)] = len(self.shared), value
            self.shared.append(record)
        return self._places[id(value)][0]

    def tensor(self, value: torch.Tensor) -> str:
        """Add a tensor, and return the name it has in the file."""
        name = str(len(self.tensors))
        self.tensors[name] = value
        return name

    def encode(self, value: Any) -> Any:
        """Return JSON for a value; raise `Unstorable` if there is none."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            word = next((w for w, x in WORDS.items() if repr(x) == repr(value)), None)
            return value if word is None else {"type": "float", "value": word}
        if type(value) is list:
            return [self.encode(item) for item in value]
        for kinds, encoded in self._by_kind():
            if isinstance(value, kinds):
                return encoded(value)
        if (name := known_name(value)) is not None:
            return {"type": "name", "name": name}
        if is_named(value):
            return {"type": "name", "name": own_name(value)}
        return self._object(value)

    def parameter(self, value: Any) -> Any:
        """Return JSON for a parameter that only training needs."""
        try:
            return self.encode(value)
        except Unstorable as error:
            return {"type": "missing", "name": error.name}

    def _by_kind(self) -> list[tuple[Any, Callable[[Any], Any]]]:
        return [
            (np.ma.MaskedArray, self._masked),
            (np.ndarray, self._array),
            (np.generic, self._scalar),
            (torch.Tensor, self._torch_tensor),
            (torch.dtype, lambda x: {"type": "torch", "name": str(x)[len("torch.") :]}),
            (np.dtype, self._dtype),
            (tuple, lambda x: {"type": "tuple", "items": self.encode(list(x))}),
            (dict, self._dict),
            (partial, self._partial),
            (Decimal, lambda x: {"type": "decimal", "value": str(x)}),
            (pd.Interval, self._interval),
            (pd.Timestamp, self._timestamp),
            (pd.Timedelta, self._timedelta),
            (date, self._date),
        ]

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype.name in DTYPES:
            copy = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
            return {"type": "array", "tensor": self.tensor(torch.from_numpy(copy))}
        if value.ndim == 1 and value.dtype.kind == "O":
            return {"type": "objects", "items": self.encode(list(value))}
        if value.ndim == 1 and value.dtype.kind == "U":
            width = value.dtype.itemsize // 4
            self._n_bytes += value.nbytes
            if self._n_bytes <= MAX_STRINGS:
                return {"type": "strings", "items": value.tolist(), "width": width}
        raise Unstorable(f"an array of dtype {value.dtype} and shape {value.shape}")

    def _masked(self, value: Any) -> Any:
        data, mask = np.asarray(value.data), np.ma.getmaskarray(value)
        return {"type": "masked", "data": self.encode(data), "mask": self.encode(mask)}

    def _scalar(self, value: np.generic) -> Any:
        name = "str" if isinstance(value, np.str_) else value.dtype.name
        if name != "str" and name not in DTYPES:
            raise Unstorable(f"a number of dtype {name}")
        return {"type": "scalar", "dtype": name, "value": self.encode(value.item())}

    def _torch_tensor(self, value: torch.Tensor) -> Any:
        if type(value) is not torch.Tensor or value.layout is not torch.strided:
            raise Unstorable(own_name(value))
        return {"type": "tensor", "tensor": self.tensor(value)}

    def _dtype(self, value: Any) -> Any:
        if value.name not in DTYPES:
            raise Unstorable(f"the dtype {value}")
        return {"type": "dtype", "name": value.name}

    def _dict(self, value: dict[Any, Any]) -> Any:
        if type(value) is not dict:
            raise Unstorable(own_name(value))
        return {
            "type": "dict",
            "items": [[*map(self.encode, p)] for p in value.items()],
        }

    def _partial(self, value: Any) -> Any:
        return {
            "type": "partial",
            "func": self.encode(value.func),
            "args": self.encode(list(value.args)),
            "keywords": self.encode(dict(value.keywords)),
        }

    def _interval(self, value: Any) -> Any:
        sides = {"left": self.encode(value.left), "right": self.encode(value.right)}
        return {"type": "interval", **sides, "closed": value.closed}

    def _timestamp(self, value: Any) -> Any:
        if value.tz is not None:
            raise Unstorable(f"a time with a zone ({value})")
        number = int(value.asm8.astype(np.int64))
        return {"type": "timestamp", "value": number, "unit": value.unit}

    def _timedelta(self, value: Any) -> Any:
        number = int(value.asm8.astype(np.int64))
        return {"type": "timedelta", "value": number, "unit": value.unit}

    def _date(self, value: date) -> Any:
        if type(value) is not date:
            raise Unstorable(f"a {type(value).__name__} ({value})")
        return {"type": "date", "value": value.isoformat()}

    def _object(self, value: Any) -> Any:
        """Encode an object that is made anew of its parameters."""
        name = known_name(type(value)) or own_name(value)
        known = name in RULES | OBJECTS
        if not known and not (":" in name and _has_params(type(value))):
            raise Unstorable(name)
        try:
            params = self._params(value)
        except AttributeError as error:  # it has changed them
            raise Unstorable(name) from error
        encoded = {key: self.encode(item) for key, item in params.items()}
        return {"type": "object", "class": name, "params": encoded}

    def _params(self, value: Any) -> dict[str, Any]:
        if is_dataclass(value):
            return {f.name: getattr(value, f.name) for f in fields_of(value) if f.init}
        if isinstance(value, tuple(OBJECTS.values())):
            names = inspect.signature(type(value)).parameters.values()
            of_signature = {
                p.name: getattr(value, p.name) for p in names if p.kind != p.VAR_KEYWORD
            }
            return of_signature | getattr(value, "kwargs", {})  # of a LRScheduler
        params: dict[str, Any] = value.get_params(deep=False)
        return params


def _has_params(kind: Any) -> bool:
    """Whether objects of a class can be made anew of their parameters."""
    return isinstance(kind, type) and (
        is_dataclass(kind) or hasattr(kind, "get_params")
    )


class Reader:
    """Decodes what a `Writer` has encoded, and trusts none of it.

    Parameters
    ----------
    tensors : dict of torch.Tensor
    shared : list
        Records of objects that several others hold.
    trusted : Trusted

    Attributes
    ----------
    unused : set of str
        Names of the tensors that were not asked for yet.
    """

    def __init__(
        self, tensors: dict[str, torch.Tensor], shared: list[Any], trusted: Trusted
    ) -> None:
        self.tensors, self.shared, self.trusted = tensors, shared, trusted
        self.unused = set(tensors)
        self._read: dict[int, Any] = {}
        self._n_bytes = 0  # of arrays of strings

    def tensor(self, name: Any) -> torch.Tensor:
        """Return a tensor by its name in the file.

        Each is asked for once: many copies of one could fill the memory.
        """
        if not isinstance(name, str) or name not in self.unused:
            raise Unreadable(
                f"its JSON refers to a tensor {name!r} that is not there, or twice"
            )
        self.unused.remove(name)
        return self.tensors[name]

    def share(
        self, number: Any, read: Callable[["Reader", Any], Any], kind: Any
    ) -> Any:
        """Return the object of a number, which is read once."""
        if type(number) is not int or not 0 <= number < len(self.shared):
            raise Unreadable(
                f"its JSON refers to an object {number!r} that is not there"
            )
        if number not in self._read:
            self._read[number] = None  # an object that holds itself is of no kind
            self._read[number] = read(self, self.shared[number])
        return expected(self._read[number], kind, "an object")

    def decode(self, encoded: Any) -> Any:
        """Return the value that JSON stands for."""
        if isinstance(encoded, list):
            return [self.decode(item) for item in encoded]
        if not isinstance(encoded, dict):
            return encoded
        kind = encoded.get("type")
        decoded = {
            "array": self._array,
            "date": self._date,
            "decimal": self._decimal,
            "dict": self._dict,
            "dtype": self._dtype,
            "float": self._float,
            "interval": self._interval,
            "masked": self._masked,
            "missing": self._missing,
            "name": self._name,
            "object": self._object,
            "objects": self._objects,
            "partial": self._partial,
            "scalar": self._scalar,
            "strings": self._strings,
            "tensor": self._torch_tensor,
            "timedelta": self._timedelta,
            "timestamp": self._timestamp,
            "torch": self._torch_dtype,
            "tuple": self._tuple,
        }.get(kind if isinstance(kind, str) else "")
        if decoded is None:
            raise Unreadable(f"its JSON has a value of the unknown type {kind!r}")
        return decoded({name: part for name, part in encoded.items() if name != "type"})

    def parameter(self, encoded: Any) -> Any:
        """Return a parameter that only training needs, or what stands for it."""
        try:
            return self.decode(encoded)
        except NotTrusted as error:
            return NotLoaded(error.name)
        except Missing as error:
            return NotLoaded(error.name)

    def expect(self, encoded: Any, kind: Any, what: str) -> Any:
        """Decode a value, and check its type."""
        return expected(self.decode(encoded), kind, what)

    def array(self, encoded: Any, kinds: str, what: str, n: Any = None) -> np.ndarray:
        """Decode an array of one dimension, of dtypes of some kinds and a length."""
        value: np.ndarray = self.expect(encoded, np.ndarray, what)
        if (
            value.ndim != 1
            or value.dtype.kind not in kinds
            or n not in (None, len(value))
        ):
            raise Unreadable(
                f"{what} is an array of dtype {value.dtype} and shape {value.shape}, "
                "which it cannot be"
            )
        return value

    def _array(self, record: Any) -> np.ndarray:
        (name,) = fields(record, tensor=str)
        tensor = self.tensor(name)
        if str(tensor.dtype)[len("torch.") :] not in DTYPES:
            raise Unreadable(f"it has an array of the dtype {tensor.dtype}")
        return tensor.numpy().copy()

    def _torch_tensor(self, record: Any) -> torch.Tensor:
        (name,) = fields(record, tensor=str)
        return self.tensor(name).clone()

    def _masked(self, record: Any) -> Any:
        data, mask = map(self.decode, fields(record, data=dict, mask=dict))
        return np.ma.MaskedArray(data, mask=mask)

    def _objects(self, record: Any) -> np.ndarray:
        (items,) = fields(record, items=list)
        return np.fromiter(self.decode(items), dtype=object, count=len(items))

    def _strings(self, record: Any) -> np.ndarray:
        items, width = fields(record, items=list, width=int)
        check_all(items, str, "an array of strings")
        longest = max(map(len, items), default=0)
        self._n_bytes += width * 4 * len(items)
        if not longest <= width or self._n_bytes > MAX_STRINGS:
            raise Unreadable(f"it has strings of the width {width}, which it cannot be")
        return np.array(items, dtype=f"U{width}")

    def _scalar(self, record: Any) -> Any:
        name, value = fields(record, dtype=str, value=object)
        value = self.decode(value)
        if name == "str":
            return np.str_(expected(value, str, "a string"))
        if name not in DTYPES:
            raise Unreadable(f"it has a number of the dtype {name!r}")
        kind = {"b": bool, "f": float}.get(DTYPES[name].kind, int)
        return DTYPES[name].type(expected(value, kind, "a number"))

    def _float(self, record: Any) -> float:
        (word,) = fields(record, value=str)
        if word not in WORDS:
            raise Unreadable(f"it has the number {word!r}")
        return WORDS[word]

    def _tuple(self, record: Any) -> tuple[Any, ...]:
        return tuple(self.decode(fields(record, items=list)[0]))

    def _dict(self, record: Any) -> dict[Any, Any]:
        (items,) = fields(record, items=list)
        pairs = [self.decode(expected(pair, list, "an item")) for pair in items]
        if any(len(pair) != 2 for pair in pairs):
            raise Unreadable("it has an item of a dict that is no pair")
        return dict(pairs)

    def _dtype(self, record: Any) -> np.dtype[Any]:
        (name,) = fields(record, name=str)
        if name not in DTYPES:
            raise Unreadable(f"it names the dtype {name!r}")
        return DTYPES[name]

    def _torch_dtype(self, record: Any) -> torch.dtype:
        (name,) = fields(record, name=str)
        if not is_dtype_name(name):
            raise Unreadable(f"it names the dtype {name!r}")
        dtype: torch.dtype = getattr(torch, name)
        return dtype

    def _decimal(self, record: Any) -> Decimal:
        (text,) = fields(record, value=str)
        value = Decimal(text)
        # (Of a huge exponent Python takes forever to make an integer.)
        if value.is_finite() and abs(value.adjusted()) > 400:
            raise Unreadable(f"it has the number {value}")
        return value

    def _interval(self, record: Any) -> Any:
        left, right, closed = fields(record, left=object, right=object, closed=str)
        if closed not in CLOSED:
            raise Unreadable(f"it has an interval that is closed {closed!r}")
        return pd.Interval(self.decode(left), self.decode(right), closed)

    def _timestamp(self, record: Any) -> Any:
        value, unit = _time(record)
        return pd.Timestamp(np.array(value).astype(f"M8[{unit}]")[()])

    def _timedelta(self, record: Any) -> Any:
        value, unit = _time(record)
        return pd.Timedelta(np.array(value).astype(f"m8[{unit}]")[()])

    def _date(self, record: Any) -> date:
        return date.fromisoformat(fields(record, value=str)[0])

    def _name(self, record: Any) -> Any:
        return looked_up(fields(record, name=str)[0], self.trusted)

    def _partial(self, record: Any) -> Any:
        kinds = {"func": dict, "args": list, "keywords": dict}
        func, args, keywords = map(self.decode, fields(record, **kinds))
        expected(keywords, dict, "keywords")
        check_all(keywords, str, "keywords")
        return partial(func, *args, **keywords)

    def _object(self, record: Any) -> Any:
        name, params = fields(record, **{"class": str, "params": dict})
        kind = looked_up(name, self.trusted)
        known = name in RULES | OBJECTS
        if not known and not (":" in name and _has_params(kind)):
            raise Unreadable(f"it has an object of the class {name}")
        takes, any_other = _takes(kind)
        if not any_other:
            check_names(params, takes, name)
        return kind(**{key: self.decode(item) for key, item in params.items()})

    def _missing(self, record: Any) -> Any:
        raise Missing(fields(record, name=str)[0])


@lru_cache(maxsize=128)
def _takes(kind: Any) -> tuple[set[str], bool]:
    """Return the names of what a class takes, and whether it takes others, too."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name for p in parameters}, any(
        p.kind == p.VAR_KEYWORD for p in parameters
    )


def _time(record: Any) -> tuple[int, str]:
    """Return the number and the unit of a time."""
    value, unit = fields(record, value=int, unit=str)
    if unit not in UNITS:
        raise Unreadable(f"it has a time in {unit!r}")
    return value, unit


class Missing(Unreadable):
    """A value that was not stored."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it lacks {name}, which could not be stored")
        self.name = name


# Checks.


def expected(value: Any, kind: Any, what: str) -> Any:
    """Return a value of a type; a boolean is no integer."""
    fine = isinstance(value, kind)
    if isinstance(value, bool) and kind in (int, float):
        fine = False
    if not fine:
        raise Unreadable(
            f"{what} is of the type {type(value).__name__}, which it cannot be"
        )
    return value


def check_all(values: Any, kind: Any, what: str) -> None:
    """Check the type of each value."""
    for value in values:
        expected(value, kind, f"a part of {what}")


def check_names(record: dict[str, Any], names: Any, what: str) -> None:
    """Refuse a record with names that are not expected."""
    if unknown := record.keys() - set(names):
        raise Unreadable(f"{what} has unknown parts: {', '.join(sorted(unknown))}")


def fields(record: Any, **kinds: Any) -> list[Any]:
    """Return the parts of a record that has exactly these, each of a type."""
    expected(record, dict, "a part of its JSON")
    if record.keys() != kinds.keys():
        names = ", ".join(sorted(record.keys() ^ kinds.keys()))
        raise Unreadable(f"a part of its JSON lacks, or should not have, {names}")
    return [expected(record[name], kind, name) for name, kind in kinds.items()]
