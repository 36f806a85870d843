"""Files that keep what a long fit has done, each written at once or not at all.

A piece of work has a file of its own, whose name is the digest of all that its result
depends on. So a piece is found again by whoever has the same work to do, and other work
never meets it.
"""

import hashlib
import os
import tempfile
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from io import BytesIO
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skmix._long_runs.digests import digest_of, environment
from skmix._validation import warn, wrong

# Seconds between two states of a piece, and the share of its time that they may take.
INTERVAL, SHARE = 30.0, 0.02
HEAD = b"skmix checkpoint 1\n"
ARRAY, SCALAR = "skmix:array", "skmix:scalar"  # how numpy's are written
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype)
STRUCTURES = (dict, OrderedDict, Counter)


class NotKept(TypeError):
    """A state holds what a file cannot keep for sure."""


@dataclass(frozen=True)
class Folder:
    """A folder of checkpoints; with None as its path nothing is kept.

    Attributes
    ----------
    path : pathlib.Path or None
    """

    path: Path | None = None

    @classmethod
    def of(cls, checkpoint: Any, random_state: Any) -> "Folder":
        """Check parameters of a user, and return the folder that they mean.

        Raises
        ------
        TypeError, ValueError
            If `checkpoint` is no path of a folder, or `random_state` is no int.
        """
        if isinstance(checkpoint, Folder):
            return checkpoint
        if checkpoint is None:
            return cls()
        if not isinstance(checkpoint, str | os.PathLike):
            raise wrong(TypeError, "checkpoint", checkpoint, "the path of a folder")
        path = Path(checkpoint).expanduser().absolute()
        if path.exists() and not path.is_dir():
            raise wrong(ValueError, "checkpoint", checkpoint, "a folder, and no file")
        if not isinstance(random_state, Integral):
            raise ValueError(
                f"Got checkpoint={checkpoint!r} and random_state={random_state!r}, but "
                "expected an int: only a training with a seed can be continued as if "
                "it had not been interrupted. Set random_state=0, say."
            )
        return cls(path)

    def checkpoint(self, *work: Any) -> "Checkpoint":
        """Return the file of a piece of work, by all that its result depends on."""
        if self.path is None:
            return Checkpoint(None)
        name = digest_of(HEAD, environment(), work)
        return Checkpoint(self.path / f"{name}.checkpoint")

    def digest(self, *values: Any) -> str:
        """Return the digest of values; "" if nothing is kept."""
        return "" if self.path is None else digest_of(*values)


@dataclass
class Checkpoint:
    """The file of a piece of work; with None as its path nothing is kept."""

    path: Path | None
    _due: float = field(default_factory=lambda: time.monotonic() + INTERVAL)

    @property
    def is_kept(self) -> bool:
        """Whether there is a file."""
        return self.path is not None

    @property
    def is_due(self) -> bool:
        """Whether it is time to keep a state of work that goes on."""
        return self.is_kept and time.monotonic() >= self._due

    def read(self) -> Any:
        """Return what was written last; None if there is nothing.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        if self.path is None:
            return None
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        end = len(HEAD) + hashlib.sha256().digest_size
        head, checksum, payload = content[: len(HEAD)], content[:end], content[end:]
        if head != HEAD:
            raise self._damaged("does not begin as a checkpoint of skmix does")
        if checksum[len(HEAD) :] != self._checksum(payload):
            size = f"its {len(content)} bytes are not those that were written"
            raise self._damaged(f"is damaged: {size}")
        return _from_plain(torch.load(BytesIO(payload), weights_only=True))

    def write(self, value: Any) -> None:
        """Keep a value in the place of what was there; warn if that does not work.

        Raises
        ------
        NotKept
            If the value holds what a file cannot keep.
        """
        if self.path is None:
            return
        begin = time.monotonic()
        buffer = BytesIO()
        torch.save(_as_plain(value), buffer)
        payload = buffer.getvalue()
        try:
            replace_file(self.path, [HEAD, self._checksum(payload), payload])
        except OSError as error:
            warn(
                f"The checkpoint {str(self.path)!r} could not be written ({error}). "
                "The training goes on without it."
            )
        now = time.monotonic()
        self._due = now + max(INTERVAL, (now - begin) / SHARE)

    def _checksum(self, payload: bytes) -> bytes:
        """Return that of the file's name and what it holds."""
        assert self.path is not None
        return hashlib.sha256(self.path.name.encode() + payload).digest()

    def _damaged(self, why: str) -> ValueError:
        return ValueError(
            f"Got the checkpoint {str(self.path)!r}, which {why}. Delete this file to "
            "start its part of the work anew."
        )


def replace_file(path: Path, parts: list[bytes]) -> None:
    """Write a file that is there as a whole, or not at all, whenever that is ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(".tmp", f"{path.stem[:8]}-", path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# Values as tensors and plain values, which `torch.load` reads without any code.


def _as_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return {SCALAR: _as_plain(np.asarray(value))}
    if type(value) in PLAIN:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()  # of a view torch would write all numbers
    if type(value) is np.ndarray and not value.dtype.hasobject:
        numbers = np.frombuffer(value.tobytes(), dtype=np.uint8).copy()
        parts = value.dtype.str, value.shape, torch.from_numpy(numbers)
        return {ARRAY: parts}
    if type(value) in STRUCTURES:
        pairs = {_as_plain(k): _as_plain(v) for k, v in value.items()}
        return type(value)(pairs)
    if type(value) in (list, tuple, set):
        return type(value)([_as_plain(part) for part in value])
    raise NotKept(f"{type(value).__module__}.{type(value).__qualname__}")


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict) and ARRAY in value:
        dtype, shape, numbers = value[ARRAY]
        flat = np.frombuffer(numbers.numpy().tobytes(), dtype=np.dtype(dtype))
        return flat.reshape(shape).copy()
    if isinstance(value, dict) and SCALAR in value:
        return _from_plain(value[SCALAR])[()]
    if isinstance(value, dict):
        return type(value)({_from_plain(k): _from_plain(v) for k, v in value.items()})
    if type(value) in (list, tuple, set):
        return type(value)([_from_plain(part) for part in value])
    return value
