"""Ctrl-C ends a training with a KeyboardInterrupt.

skorch ends a training quietly at a KeyboardInterrupt, since its callbacks raise one to
stop (early stopping does). So those of callbacks and of the user are told apart.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """A callback ends a training, as those of skorch do; what was trained stays."""


@contextmanager
def callbacks_may_stop() -> Iterator[None]:
    """Take a KeyboardInterrupt that leaves the block for a callback's request."""
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt as error:
        raise Stopped from error


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """End the block with a KeyboardInterrupt at Ctrl-C, even if it is caught inside.

    Yields the list of the signals that have arrived so far. Nothing is done outside of
    the main thread, which alone gets signals, and if Ctrl-C has no handler in Python.
    """
    arrived: list[int] = []
    with _noting(arrived):
        try:
            yield arrived
        except Stopped as error:
            if arrived:
                raise KeyboardInterrupt from error
            raise
    if arrived:
        raise KeyboardInterrupt


@contextmanager
def _noting(arrived: list[int]) -> Iterator[None]:
    """Append to `arrived` whenever the handler of Ctrl-C raises KeyboardInterrupt."""
    handler = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(handler):
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except KeyboardInterrupt:
            arrived.append(number)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # or another one was set meanwhile
            signal.signal(signal.SIGINT, handler)
