"""Ctrl-C ends a training, whoever would take it for something else.

skorch ends a training quietly at a KeyboardInterrupt, since its callbacks raise one to
stop (early stopping does). So a callback's wish and the user's have to be told apart.
"""

import signal
import threading
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """A callback ends a training, as those of skorch do; what was trained stays."""


@contextmanager
def callbacks_may_stop():
    """Take a KeyboardInterrupt that leaves the block for the wish of a callback."""
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt as error:
        raise Stopped from error


@contextmanager
def interruptible():
    """Let a Ctrl-C end the block, whatever becomes of its KeyboardInterrupt inside.

    Yields
    ------
    arrived : list
        Of the signals that have arrived so far and raised a KeyboardInterrupt.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if one arrived and nothing else was raised, or if it is
        taken for that of a callback (`Stopped`) only.

    Notes
    -----
    Only the main thread is told of signals. Elsewhere, and where Ctrl-C is not seen to
    by a function of Python's, nothing is done.
    """
    arrived = []
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
def _noting(arrived):
    """Append to `arrived` whenever the handler of Ctrl-C raises KeyboardInterrupt."""
    handler = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(handler):
        yield
        return

    def note(number, frame):
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
