"""What the callbacks of a net print goes through the `print` of the moment.

skorch's callbacks hold on to the `print` that there was when skorch was imported. Where
something has put another one in its place, they no longer know it: they print whatever
`verbose` says, and do not pickle.
"""

import builtins
from copy import copy
from importlib import import_module
from types import BuiltinFunctionType

from skmix.nets import named_callbacks, twin


class Printer:
    """Prints by today's `print`, if a net is verbose, and pickles as that of tomorrow.

    Parameters
    ----------
    net : object with an attribute `verbose`
    """

    def __init__(self, net):
        self.net = net

    def __call__(self, *args, **kwargs):
        if self.net.verbose:
            print(*args, **kwargs)

    def __reduce__(self):
        return getattr, (_Builtins(), "print")


class _Builtins:
    """Pickles as the module `builtins`."""

    def __reduce__(self):
        return import_module, ("builtins",)


def is_print(function):
    """Whether a function is `print`, today's or the one that Python began with."""
    return function is builtins.print or _is_stale(function)


def _is_stale(function):
    python_s = isinstance(function, BuiltinFunctionType)
    python_s = python_s and function.__name__ == "print"
    return python_s and function is not builtins.print


def bind_prints(net):
    """Let an initialised net and its callbacks print by a `Printer`, if they print."""
    for name, value in vars(net).items():
        if is_print(value) or isinstance(value, Printer):
            vars(net)[name] = Printer(net)
    for _, callback in net.callbacks_:
        # (One that a copied net shares with another has the printer of that.)
        sink = getattr(callback, "sink", None)
        if is_print(sink) or isinstance(sink, Printer):
            callback.sink = Printer(net)


def picklable(net):
    """Return an unfitted net, or one like it that holds no `print` of the past."""
    changed = {name: Printer(net) for name, x in vars(net).items() if _is_stale(x)}
    if any(_has_stale_sink(callback) for _, callback in named_callbacks(net)):
        changed["callbacks"] = [_with_printer(item, net) for item in net.callbacks]
    return twin(net, **changed) if changed else net


def _has_stale_sink(callback):
    return not isinstance(callback, type) and _is_stale(getattr(callback, "sink", None))


def _with_printer(item, net):
    if isinstance(item, tuple | list):
        return item[0], _with_printer(item[1], net)
    if not _has_stale_sink(item):
        return item
    other = copy(item)
    other.sink = Printer(net)
    return other
