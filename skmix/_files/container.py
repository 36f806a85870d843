"""The bytes of a file: a header with a digest, JSON, tensors, and steps of a Pipeline.

docs/guide/files.md specifies the format. Nothing here knows what the JSON says.
"""

import hashlib
import json
import os
import shutil
import struct
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of

MAGIC = b"\x93SKMIX\r\n"
FORMAT = 1
START = struct.Struct("<8sI")  # magic, format
LENGTHS = struct.Struct("<QQQ")  # of JSON, tensors and steps
DIGEST = 32  # bytes
HEADER = START.size + DIGEST + LENGTHS.size

# Bytes of JSON, and of the header of the tensors, which is JSON, too. What is made of
# it may take some thirty times as much.
MAX_JSON = 2**24
MAX_BRACKETS = 2**20  # lists and objects of that JSON: each takes time and memory
SIZE = struct.Struct("<Q")  # of that header


class Unreadable(ValueError):
    """What is wrong with a file; `load` adds its name."""


class Content(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    record : dict
        Of JSON's types.
    tensors : dict of torch.Tensor
    steps : bytes
        The transformers of a Pipeline, as skops writes them; empty without any.
    """

    record: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    steps: bytes


def packed(content: Content) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    ValueError
        If the JSON is longer than `MAX_JSON`, or has more brackets than `MAX_BRACKETS`.
    """
    text = json.dumps(content.record, allow_nan=False, separators=(",", ":"))
    tensors = {name: _own_memory(tensor) for name, tensor in content.tensors.items()}
    parts = text.encode("ascii"), bytes_of(tensors), content.steps
    n_brackets = _n_brackets(parts[0])
    if len(parts[0]) > MAX_JSON or n_brackets > MAX_BRACKETS:
        raise ValueError(
            f"Got an estimator whose names, categories and parameters take "
            f"{len(parts[0]):,} bytes and {n_brackets:,} opening brackets as JSON, but "
            f"expected at most {MAX_JSON:,} and {MAX_BRACKETS:,}. A column of many "
            "different values, declared as a category, may be an id."
        )
    start, lengths = START.pack(MAGIC, FORMAT), LENGTHS.pack(*map(len, parts))
    rest = lengths + b"".join(parts)
    return start + sha256(start + rest) + rest


def sha256(data: bytes) -> bytes:
    """Return the digest of bytes."""
    return hashlib.sha256(data).digest()


def _own_memory(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor to the CPU, in the order of its indices."""
    return tensor.detach().cpu().contiguous().clone()


def unpacked(data: bytes) -> Content:
    """Check the bytes of a file, and return what they hold.

    Raises
    ------
    Unreadable
        If they are not as `packed` makes them.
    """
    check_start(data[:HEADER], len(data))
    rest = START.size + DIGEST
    if sha256(data[: START.size] + data[rest:]) != data[START.size : rest]:
        raise Unreadable("it is damaged: its SHA-256 digest is another one")
    _, version = START.unpack_from(data)
    if version != FORMAT:
        raise Unreadable(
            f"it is of format {version}, and this skmix reads format {FORMAT}. Load it "
            "with the version of skmix that wrote it, or a later one"
        )
    n_json, n_tensors, _ = LENGTHS.unpack_from(data, rest)
    if n_json > MAX_JSON:
        raise Unreadable(f"its JSON of {n_json:,} bytes is longer than {MAX_JSON:,}")
    ends = HEADER, HEADER + n_json, HEADER + n_json + n_tensors
    of_tensors = data[ends[1] : ends[1] + SIZE.size]
    if n_tensors < SIZE.size or SIZE.unpack(of_tensors)[0] > MAX_JSON:
        raise Unreadable(f"its tensors have no header of at most {MAX_JSON:,} bytes")
    try:
        tensors = tensors_of(data[ends[1] : ends[2]])
    except Exception as error:  # of a library in another language
        raise Unreadable(f"its tensors cannot be read ({error})") from error
    return Content(_record(data[ends[0] : ends[1]]), tensors, data[ends[2] :])


def check_start(header: bytes, size: int) -> None:
    """Check the first bytes of a file of some size, before more of it is read."""
    if header[: len(MAGIC)] != MAGIC[: len(header)] or not header:
        raise Unreadable("it was not written by skmix.save")
    if len(header) < HEADER:
        raise Unreadable("it is cut off: it is shorter than its header")
    _, version = START.unpack_from(header)
    expected = HEADER + sum(LENGTHS.unpack_from(header, START.size + DIGEST))
    if version == FORMAT and size != expected:
        how = "cut off" if size < expected else "damaged"
        raise Unreadable(
            f"it is {how}: it has {size:,} bytes, and its header says {expected:,}"
        )


def _record(text: bytes) -> dict[str, Any]:
    """Parse JSON, strictly."""
    check_brackets(text)
    try:
        record = json.loads(
            text.decode("ascii"), object_pairs_hook=_once, parse_constant=_refused
        )
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"its JSON cannot be read ({error})") from error
    if not isinstance(record, dict):
        raise Unreadable("its JSON holds no record")
    return record


def check_brackets(text: bytes) -> bytes:
    """Return JSON that does not hold too many lists and objects."""
    if (n := _n_brackets(text)) > MAX_BRACKETS:
        raise Unreadable(f"its JSON has {n:,} opening brackets, over {MAX_BRACKETS:,}")
    return text


def _n_brackets(text: bytes) -> int:
    # (Those in strings count, too: JSON is looked at before it is parsed.)
    return text.count(b"[") + text.count(b"{")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of pairs whose names all differ."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name occurs twice")
    return record


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def read(path: str | os.PathLike[str]) -> bytes:
    """Read a file whose first bytes agree with its size."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise Unreadable("it is no regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = file.read(HEADER)
        check_start(header, size)
        return header + file.read(size - len(header))


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file at once: whoever reads it meets the old one or the new one.

    A link stays one, and a file that is replaced keeps its permissions.
    """
    path = Path(os.path.realpath(path))
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            if path.exists():
                shutil.copymode(path, draft)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
