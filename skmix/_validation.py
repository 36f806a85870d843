"""What a user gives, refused with what was got, what was expected and the way out."""

import inspect
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import check_array
from skorch import NeuralNet
from torch import nn
from torch.utils.data import DataLoader

_SAMPLERS = {"sampler", "batch_sampler"}


def is_number(value: Any, kind: type = Real) -> bool:
    """Whether a value is a number of a kind, and no bool."""
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def check_number(
    name: str, value: Any, expected: str, fits: Callable[[Any], bool], kind: type = Real
) -> None:
    """Refuse what is no number of a kind, or one that does not fit."""
    told = f"Got {name}={value!r}, but expected {expected}."
    if not is_number(value, kind):
        raise TypeError(told)
    if not fits(value):
        raise ValueError(told)


def check_alpha(alpha: Any) -> None:
    """Refuse what is neither a finite number of at least 0 nor a function."""
    if callable(alpha) and not isinstance(alpha, type):
        _check_signature("alpha", alpha, ("epoch",), "a number of at least 0")
        return
    function = "or a function of the epoch; alpha=0 trains without mixing"
    expected = f"a finite number of at least 0, {function}"
    check_number("alpha", alpha, expected, lambda x: 0 <= x < np.inf)


def check_at_least_0(name: str, value: Any) -> None:
    """Refuse what is no finite number of at least 0."""
    expected = "a finite number of at least 0"
    check_number(name, value, expected, lambda x: 0 <= x < np.inf)


def check_above_0(name: str, value: Any) -> None:
    """Refuse what is no finite number above 0."""
    if not is_number(value) or not 0 < value < np.inf:
        raise ValueError(f"Got {name}={value!r}, but expected a number above 0.")


def check_share(name: str, value: Any) -> None:
    """Refuse what is no number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"Got {name}={value!r}, but expected a number from 0 to 1.")


def check_integer(name: str, value: Any, *, at_least: int, or_else: str = "") -> None:
    """Refuse what is no integer from some number up."""
    expected = f"an integer of at least {at_least}{or_else}"
    check_number(name, value, expected, lambda x: x >= at_least, Integral)


def check_rule(name, value, names, arguments, given_back, bound_by):
    """Refuse what is no name of a mixing or pairing, nor a function or object for one.

    Parameters
    ----------
    name : str
        Of the parameter.
    value : object
    names : sequence of str
        The names that there are.
    arguments : sequence of str
        What a function is called with.
    given_back : str
        What it is to return.
    bound_by : sequence of str
        What the method `bind` of an object is called with.
    """
    if isinstance(value, str):
        if value not in names:
            raise ValueError(
                f"Got {name}={value!r}, but expected {_either(names)}, or a function "
                f"{_signature(arguments, given_back)}."
            )
        return
    if isinstance(value, type):
        raise TypeError(
            f"Got {name}={value.__name__}, a class, but expected an object of it: "
            f"{name}={value.__name__}(...)."
        )
    if hasattr(value, "bind"):
        bind = f"a function {_signature(arguments, given_back)}"
        _check_signature(f"{name} with bind", value.bind, bound_by, bind)
        return
    if not callable(value):
        raise TypeError(
            f"Got {name}={value!r}, but expected {_either(names)}, or a function "
            f"{_signature(arguments, given_back)}."
        )
    _check_signature(name, value, arguments, given_back)


def check_bound(name, rule, function):
    """Refuse what the method `bind` of a rule gave, if it is no function."""
    if not callable(function):
        raise TypeError(
            f"Got {function!r} from the bind of {name}={rule!r}, but expected a "
            "function, to be called for each step."
        )


def _check_signature(name, function, arguments, given_back):
    """Refuse a function that cannot be called with as many arguments."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # one of C, that does not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        what = getattr(function, "__name__", type(function).__name__)
        raise TypeError(
            f"Got {name}={what}{signature}, but expected a function "
            f"{_signature(arguments, given_back)} ({error})."
        ) from error


def _signature(arguments, given_back):
    return f"f({', '.join(arguments)}) -> {given_back}"


def check_option(name, value, options):
    """Refuse a value that is none of the options."""
    # `==` of an array or a frame is no bool.
    if not (value is None or isinstance(value, str | Real)):
        raise TypeError(f"Got {name}={value!r}, but expected {_either(options)}.")
    if value not in options:
        raise ValueError(f"Got {name}={value!r}, but expected {_either(options)}.")


def _either(options):
    return " or ".join(map(repr, options))


def check_net(net, *, task):
    """Refuse what is no unfitted skorch net for a task ("Classifier", "Regressor")."""
    name = f"Mixup{task}"
    if isinstance(net, type) and issubclass(net, NeuralNet):
        raise TypeError(
            f"Got the class {net.__name__} as estimator, but expected an instance "
            f"of a skorch net: {name}({net.__name__}(...))."
        )
    if callable(net) and not isinstance(net, NeuralNet):
        module = getattr(net, "__name__", type(net).__name__)
        raise TypeError(
            f"Got {module} as estimator, but expected a skorch net around a torch "
            f"module: {name}(skorch.NeuralNet{task}({module}, ...))."
        )
    if not isinstance(net, NeuralNet):
        raise TypeError(
            f"Got a {type(net).__name__} as estimator, but expected a skorch net, "
            f"or None for skmix.default_net({task.lower()!r}). (Other steps "
            f"stand before {name} in a Pipeline.)"
        )
    other = "Regressor" if task == "Classifier" else "Classifier"
    if (is_regressor if task == "Classifier" else is_classifier)(net):
        raise TypeError(
            f"Got a {type(net).__name__} as estimator of {name}. "
            f"Use skmix.Mixup{other} for it, or a skorch.NeuralNet{task}."
        )
    check_untrained(net)


def check_untrained(net):
    """Refuse a fitted net whose module is an instance: clones would be trained."""
    trained = getattr(net, "initialized_", False) and len(net.history) > 0
    if trained and isinstance(net.module, nn.Module):
        raise ValueError(
            "Got a fitted net whose module is an instance "
            f"({type(net.module).__name__}): its trained weights would leak into "
            "this fit and into every fold of a cross-validation. Pass the module's "
            f"class instead: {type(net).__name__}({type(net.module).__name__}, "
            "module__...=...)."
        )


def check_training_parameters(net):
    """Refuse numbers of epochs and sizes of batches with which a net cannot be trained.

    Sizes count for torch's DataLoader, unless a user-supplied sampler loads the rows.
    """
    check_integer("max_epochs", net.max_epochs, at_least=0)
    for prefix in ("iterator_train", "iterator_valid"):
        given = net.get_params_for(prefix)
        if getattr(net, prefix) is not DataLoader or given.keys() & _SAMPLERS:
            continue
        own = "batch_size" in given
        name = f"{prefix}__batch_size" if own else "batch_size"
        size = given["batch_size"] if own else net.batch_size
        whole = isinstance(size, Integral) and size == -1
        if not whole:
            check_integer(name, size, at_least=1, or_else=", or -1 for all rows")


def check_layers(layers):
    """Refuse what is neither a name nor names; which there are the module says."""
    expected = (
        "'auto', 'input', the name of a submodule, or a list of 'input' and such names"
    )
    if isinstance(layers, str) and layers:
        return
    if not isinstance(layers, list | tuple) or not all(
        isinstance(name, str) and name for name in layers
    ):
        raise TypeError(f"Got layers={layers!r}, but expected {expected}.")
    if not layers or "auto" in layers or len(set(layers)) < len(layers):
        raise ValueError(
            f"Got layers={layers!r}, but expected {expected}, each of them once."
        )


def check_categorical_features(given: Any) -> None:
    """Refuse anything but 'from_dtype', None and a sequence of columns."""
    if given is None or (isinstance(given, str) and given == "from_dtype"):
        return
    expected = (
        "'from_dtype', None, or a sequence of column names, of positions or of "
        "booleans, one for each column"
    )
    if isinstance(given, str):
        raise ValueError(
            f"Got categorical_features={given!r}, but expected {expected}: "
            f"[{given!r}] names one column."
        )
    entries = np.asarray(given, dtype=object)
    if entries.ndim != 1 or not any(
        all(isinstance(entry, kind) for entry in entries)
        for kind in (str, Integral, np.bool_)
    ):
        raise TypeError(f"Got categorical_features={given!r}, but expected {expected}.")


def refuse_categories_of_dict(given: Any) -> None:
    """Refuse to name categories in a dict of arrays, of which no column is read."""
    if given is None or isinstance(given, str) or len(given) == 0:
        return
    raise ValueError(
        f"Got categorical_features={given!r} for a dict of arrays, which is passed to "
        "the module as it is, but expected 'from_dtype'. Pass a table, or let the "
        "module take the codes of categories from an array of the dict."
    )


def check_finite_columns(
    table: Any, names: Sequence[Any] | None, estimator: str, *, allow_nan: bool
) -> None:
    """Refuse infinity in a table of numbers, and NaN where none is to be, by column.

    Missing values of a sparse table are refused in any case.
    """
    is_sparse = sparse.issparse(table)
    values = table.data if is_sparse else table
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):  # quick
            return
    bad = np.zeros(values.shape, bool)
    if is_sparse or not allow_nan:
        bad, found = np.isnan(values), "NaN"
    if not bad.any():
        bad, found = np.isinf(values), "infinity"
    if not bad.any():
        return
    columns = np.unique(table.indices[bad] if is_sparse else np.nonzero(bad)[1])
    shown = [str(j if names is None else names[j]) for j in columns[:10]]
    shown = ", ".join(shown + ["..."] * (len(columns) > 10))
    if found == "infinity":
        way_out = (
            f"{estimator} expected finite numbers. Where it stands for a missing "
            "value, replace it by NaN."
        )
    elif is_sparse:
        way_out = (
            "missing values of a sparse table are not imputed. Impute them in a "
            f"Pipeline before this {estimator}, for example by sklearn.impute."
            "SimpleImputer, or make an array of it (X.toarray())."
        )
    else:
        way_out = (
            f"no number was missing when this {estimator} was fitted, and its net "
            "takes columns as they are. Impute them in a Pipeline before it, for "
            "example by sklearn.impute.SimpleImputer(add_indicator=True), or fit on "
            "rows some of which have missing values."
        )
    raise ValueError(f"Input X contains {found} in columns ({shown}), but {way_out}")


def check_single_target(y: Any, task: str, estimator: str) -> None:
    """Refuse targets of several columns."""
    shape = getattr(y, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"Got y of shape {tuple(shape)}, but expected (n_samples,). Multilabel and "
            f"multi-output targets are not supported: fit one {estimator} per column, "
            f"as sklearn.multioutput.MultiOutput{task} does."
        )


def check_no_target_missing(y, name="y"):
    """Refuse targets some of which are missing, in whatever way they are marked."""
    values = y if hasattr(y, "dtype") and not hasattr(y, "to_pandas") else None
    if values is None:
        if isinstance(y, str) or not np.iterable(y):
            return  # scikit-learn says what it is
        values = np.asarray(y, dtype=object)
    missing = np.asarray(pd.isna(values))
    missing = missing.any(axis=1) if missing.ndim == 2 else missing
    if not missing.any():
        return
    X = name.replace("y", "X")
    raise ValueError(
        f"Input {name} contains NaN: {missing.sum()} of {len(missing)} rows have no "
        f"label. Leave these rows out, for example {X}[{name}.notna()], "
        f"{name}[{name}.notna()]."
    )


def check_groups(groups, y):
    """Return the group of each row as a code, of shape (n,), int."""
    groups = np.asarray(groups, dtype=object)
    if groups.shape != (len(y),):
        raise ValueError(
            f"Got groups of shape {groups.shape}, but expected ({len(y)},): a group "
            "for each row."
        )
    codes, _ = pd.factorize(groups)
    if (codes < 0).any():
        raise ValueError(
            f"Got groups that are missing for {(codes < 0).sum()} rows, but expected a "
            "group for each row."
        )
    return codes


def check_sample_weight(sample_weight: Any, y: Any) -> np.ndarray | None:
    """Return weights as an array of shape (n,), float64, or None."""
    if sample_weight is None:
        return None
    weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.shape != (len(y),):
        raise ValueError(
            f"Got sample_weight of shape {weight.shape}, but expected ({len(y)},)."
        )
    if (weight < 0).any():
        raise ValueError(
            f"Got a negative sample_weight ({weight.min()}), but expected weights of "
            "at least 0; rows of weight 0 are left out."
        )
    return weight
