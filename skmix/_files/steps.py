"""The transformers of a Pipeline, as skops stores them: scikit-learn's own alone."""

import io
import zipfile
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skmix._files.container import Unreadable

PLAIN = (None, "passthrough")


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
                "transformers of scikit-learn alone. Save its last step by itself, and "
                "transform tables before."
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
    ours = type(step).__module__.startswith("sklearn.")
    return ours and isinstance(step, BaseEstimator) and hasattr(step, "transform")


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
        if unknown := own.get_untrusted_types(data=data):
            raise Unreadable(f"its Pipeline holds {', '.join(unknown)}")
        steps = own.loads(data)
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
        if packed or sum(sizes) > len(data):
            raise Unreadable("its Pipeline is compressed, and may fill the memory")
        for part in parts:
            if part.filename.endswith(".npy"):
                with archive.open(part) as file:
                    _check_array(file, part.file_size)
            elif part.filename != "schema.json":
                raise Unreadable(f"its Pipeline holds the file {part.filename}")


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
