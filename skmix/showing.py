"""A skorch net as it is printed: what was given, and not what skorch adds to it."""

import inspect
from functools import partial


class AsGiven:
    """Stands for a net in the ``repr`` of what wraps it.

    Parameters
    ----------
    net : skorch.NeuralNet
    """

    def __init__(self, net):
        self.net = net

    def __repr__(self):
        defaults = _defaults(type(self.net))
        given = {
            name: value
            for name, value in self.net.get_params(deep=False).items()
            if not name.startswith("_")
            and not (name in defaults and _same(value, defaults[name]))
        }
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in given.items())
        return f"{type(self.net).__name__}({shown})"


def _defaults(kind):
    """The defaults of the parameters of a class, its own before inherited ones."""
    defaults = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base) and base is not object:
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if parameter.default is not inspect.Parameter.empty:
                    defaults[name] = parameter.default
    return defaults


def _same(value, default):
    if value is default:
        return True
    if type(value) is not type(default):
        return False
    if _is_shown_as_object(value) and hasattr(value, "__dict__"):  # two equal splits
        return repr(vars(value)) == repr(vars(default))
    return repr(value) == repr(default)


def _shown(value):
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


def _is_shown_as_object(value):
    """Whether Python would write an address, or a module its layers line by line."""
    return hasattr(value, "named_modules") or " object at 0x" in repr(value)
