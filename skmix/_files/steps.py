"""The transformers of a Pipeline, as skops stores them: scikit-learn's own alone.

skops makes objects of classes that it trusts, and sets their attributes unseen.
Compiled classes, trees say, may read outside of their memory by forged attributes, so
only modules that are mostly Python are let in.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skmix._files.container import MAX_JSON, Unreadable, check_brackets

PLAIN = (None, "passthrough")
ROOMS = (
    *("sklearn.compose.", "sklearn.decomposition.", "sklearn.feature_selection."),
    *("sklearn.impute.", "sklearn.pipeline", "sklearn.preprocessing."),
)
# As skops itself writes it, an empty array, and not by attributes.
ALSO_TRUSTED, LOADER = ["numpy.dtype"], "DTypeNode"
MAX_PARTS = 10_000  # arrays of all transformers together


def skops_io() -> Any:
    """Return the module `skops.io`, or say how to install it."""
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "Pipelines are saved and loaded by skops, which is not installed: "
            "pip install 'skmix[files]'. (An estimator without a Pipeline needs no "
            "skops.)"
        ) from error
    return skops.io


def write_steps(steps: list[Any]) -> bytes:
    """Return the bytes of fitted transformers.

    Raises
    ------
    ValueError
        If one is not scikit-learn's own, or holds something that is not.
    ImportError
        Without skops.
    """
    own = skops_io()
    for step in steps:
        if not _is_of_sklearn(step):
            raise ValueError(
                f"Got a Pipeline with a {type(step).__name__}, but expected "
                f"transformers of {', '.join(room.strip('.') for room in ROOMS)}. Save "
                "its last step by itself, and transform tables before."
            )
    try:
        data: bytes = own.dumps(steps)
        read_steps(data)
    except Exception as error:  # whatever skops thinks of what they hold
        raise ValueError(
            f"Got a Pipeline whose transformers cannot be stored: {error}. Save its "
            "last step by itself, and transform tables before."
        ) from error
    return data


def _is_of_sklearn(step: Any) -> bool:
    if step is None or isinstance(step, str):
        return step in PLAIN
    known = type(step).__module__.startswith(ROOMS)
    return known and isinstance(step, BaseEstimator) and hasattr(step, "transform")


def read_steps(data: bytes) -> list[Any]:
    """Return the transformers that bytes hold.

    Raises
    ------
    Unreadable
        If the bytes are damaged, would grow in memory, or hold anything that skops does
        not know as harmless.
    ImportError
        Without skops.
    """
    own = skops_io()
    try:
        _check_archive(data)
        if unknown := set(own.get_untrusted_types(data=data)) - set(ALSO_TRUSTED):
            raise Unreadable(f"its Pipeline holds {', '.join(sorted(unknown))}")
        steps = own.loads(data, trusted=ALSO_TRUSTED)
    except Unreadable:
        raise
    except Exception as error:  # of zipfile, json, numpy and skops
        raise Unreadable(
            f"its Pipeline cannot be read ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(steps, list) or not all(map(_is_of_sklearn, steps)):
        raise Unreadable("its Pipeline holds other things than transformers")
    return steps


def _check_archive(data: bytes) -> None:
    """Refuse an archive whose parts would be larger than it is."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        sizes = [part.file_size for part in parts]
        packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        large = sum(sizes) > len(data) or len(parts) > MAX_PARTS
        if packed or large or archive.getinfo("schema.json").file_size > MAX_JSON:
            raise Unreadable("its Pipeline is compressed, and may fill the memory")
        schema = json.loads(check_brackets(archive.read("schema.json")))
        if other := set(_modules(schema)):
            raise Unreadable(
                f"its Pipeline holds objects of {', '.join(sorted(other))}"
            )
        _number(schema, {}, {})
        for part in parts:
            if part.filename.endswith(".npy"):
                with archive.open(part) as file:
                    _check_array(file, part.file_size)
            elif part.filename != "schema.json":
                raise Unreadable(f"its Pipeline holds the file {part.filename}")


def _modules(schema: Any) -> Iterator[str]:
    """Yield modules of scikit-learn that a schema names and that are not let in."""
    parts = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, dict):
        named = str(schema.get("__module__"))
        if named.startswith("sklearn") and not f"{named}.".startswith(ROOMS):
            yield named
        dtype = (named, schema.get("__class__")) == ("numpy", "dtype")
        if dtype and schema.get("__loader__") != LOADER:
            yield named
    if isinstance(parts, str) or not hasattr(parts, "__iter__"):
        return
    for part in parts:
        yield from _modules(part)


def _number(part: Any, numbers: dict[Any, int], objects: dict[int, int]) -> int:
    """Number a part of a schema, alike parts alike; refuse what would grow.

    skops reads an object once, by its `__id__`, and takes it again wherever there is
    this id, whatever is written there. A few ids could stand for very much. skops
    itself writes an object in full each time, and so must a file.
    """
    whole: Any = part
    if isinstance(part, list):
        whole = tuple(_number(item, numbers, objects) for item in part)
    elif isinstance(part, dict):
        whole = tuple(
            (name, _number(item, numbers, objects))
            for name, item in part.items()
            # (What skops makes to write an object has other ids each time.)
            if name not in ("__id__", "file")
        )
    number = numbers.setdefault((type(part), whole), len(numbers))
    if isinstance(part, dict):
        own = part.get("__id__")
        known = own is None or (type(own) is int and own > 0)
        if not known or not _is_as_written(part):
            raise Unreadable("its Pipeline holds an object that skops writes otherwise")
        if own is not None and objects.setdefault(own, number) != number:
            raise Unreadable("its Pipeline holds an id that skops writes otherwise")
    return number


def _is_as_written(node: dict[str, Any]) -> bool:
    """Whether arrays of a node are no larger than what is written of them.

    An array of numbers is a part of the archive by its id, so it is read once. An array
    of objects is of one dimension; numpy would copy what others hold.
    """
    file = node.get("file")
    if isinstance(file, str) and file != f"{node.get('__id__')}.npy":
        return False
    loader = node.get("__loader__")
    if loader == "NdArrayNode" and node.get("type") == "json":
        shape = node["shape"]
        of_tuple = (shape["__module__"], shape["__class__"], shape["__loader__"])
        return of_tuple == ("builtins", "tuple", "TupleNode") and (
            len(shape["content"]) == 1
        )
    if loader == "MaskedArrayNode":
        parts = node["content"]["data"], node["content"]["mask"]
        return all(part["__loader__"] == "NdArrayNode" for part in parts)
    return True


def _check_array(file: Any, size: int) -> None:
    """Refuse an array whose header asks for more bytes than there are."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise Unreadable("its Pipeline holds an array of an unknown format")
    shape, _, dtype = read[version](file)
    wanted = dtype.itemsize
    for length in shape:
        wanted *= length
    if dtype.hasobject or wanted > size or min(shape, default=0) < 0:
        raise Unreadable("its Pipeline holds an array that is larger than its bytes")
