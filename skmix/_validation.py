"""Checks of parameters and data: messages say what was got, expected, and to do.

Warnings, too, which point at the line of the user.
"""

import inspect
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Rational, Real
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import check_array, check_random_state
from skorch import NeuralNet
from torch import nn
from torch.utils.data import DataLoader

_SAMPLERS = {"sampler", "batch_sampler"}
PER_ROW = "a group for each row"

LARGEST = sys.float_info.max
FARTHEST = 1e150  # numbers up to here have finite squares
# Packages whose lines a warning does not point at, as they call this one.
NOT_USERS = (
    *("skmix", "sklearn", "skorch", "torch", "joblib", "pandas"),
    *("contextlib", "concurrent", "multiprocessing", "threading"),
)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn the user, at the line that called this package or scikit-learn."""
    frame: Any = inspect.currentframe()
    frame, level = frame.f_back, 2
    own = level  # where a thread begins there may be no line of the user
    while frame and _package_of(frame) in NOT_USERS:
        own = level if _package_of(frame) == "skmix" else own
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level if frame else own)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def is_number(value: Any, kind: type = Real) -> bool:
    """Whether a value is a number of a kind, and no bool."""
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def is_finite(value: Any) -> bool:
    """Whether a number is less than infinity, and a ratio no larger than floats."""
    return bool(value <= LARGEST if isinstance(value, Rational) else value < np.inf)


def wrong(kind: type[Exception], name: str, value: Any, expected: str) -> Exception:
    """Return the exception for a parameter's value that is not as expected."""
    return kind(f"Got {name}={value!r}, but expected {expected}.")


class NotLoaded:
    """Stands for a parameter that is in no file, or was not trusted in `skmix.load`.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"NotLoaded({self.name!r})"


def check_loaded(estimator: Any) -> None:
    """Refuse to train an estimator from a file that lacks some of its parameters."""
    params = estimator.get_params(deep=False)
    if isinstance(net := params.get("estimator"), NeuralNet):
        of_net = net.get_params(deep=False).items()
        params |= {f"estimator__{name}": value for name, value in of_net}
    missing = {n: v.name for n, v in params.items() if isinstance(v, NotLoaded)}
    if missing:
        lacks = ", ".join(f"{name} ({what})" for name, what in missing.items())
        raise ValueError(
            f"Got a {type(estimator).__name__} that was loaded without {lacks}, which "
            "training needs. Set it by set_params, or pass the class or function "
            "itself to skmix.load(path, trusted=[...])."
        )


def check_alpha(alpha: Any) -> None:
    """Refuse an alpha that is no number of at least 0, no function, and not "auto"."""
    if isinstance(alpha, str) and alpha == "auto":
        return
    if callable(alpha) and not isinstance(alpha, type):
        _check_signature("alpha", alpha, ("epoch",), "a number of at least 0")
    else:
        way_out = ", 'auto' or a function of the epoch; alpha=0 trains without mixing"
        check_at_least_0("alpha", alpha, way_out)


def check_alphas(alphas: Any, also: str = "") -> list[float]:
    """Return the numbers in a sequence of alphas; `also` is what else is expected."""
    expected = f"a sequence of finite numbers of at least 0, such as (0, 0.2, 1){also}"
    sequence = isinstance(alphas, Iterable) and not isinstance(alphas, Iterator)
    sequence = sequence and getattr(alphas, "ndim", 1) > 0  # no array of a number
    if isinstance(alphas, str | Mapping) or not sequence:
        raise wrong(TypeError, "alphas", alphas, expected)
    numbers = list(alphas)
    if not numbers:
        raise wrong(ValueError, "alphas", alphas, expected)
    for alpha in numbers:
        if not is_number(alpha) or not (alpha >= 0 and is_finite(alpha)):
            raise ValueError(f"Got {alpha!r} among alphas, but expected {expected}.")
    return [float(alpha) for alpha in numbers]


def check_at_least_0(name: str, value: Any, way_out: str = "") -> None:
    """Refuse a value that is no finite number of at least 0."""
    expected = f"a finite number of at least 0{way_out}"
    if not is_number(value):
        raise wrong(TypeError, name, value, expected)
    if not (value >= 0 and is_finite(value)):
        raise wrong(ValueError, name, value, expected)


def check_above_0(name: str, value: Any) -> None:
    """Refuse a value that is no finite number above 0."""
    if not is_number(value) or not (value > 0 and is_finite(value)):
        raise wrong(ValueError, name, value, "a number above 0")


def check_share(name: str, value: Any) -> None:
    """Refuse a value that is no number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise wrong(ValueError, name, value, "a number from 0 to 1")


def check_integer(name: str, value: Any, *, at_least: int, or_else: str = "") -> None:
    """Refuse a value that is no integer, or a smaller one."""
    expected = f"an integer of at least {at_least}{or_else}"
    if not is_number(value, Integral):
        raise wrong(TypeError, name, value, expected)
    if value < at_least:
        raise wrong(ValueError, name, value, expected)


def check_n_jobs(value: Any) -> None:
    """Refuse a number of processes that joblib cannot start."""
    if value is not None and (not is_number(value, Integral) or value == 0):
        expected = "None, a number of processes, or -1 for one on each processor"
        kind = ValueError if is_number(value, Integral) else TypeError
        raise wrong(kind, "n_jobs", value, expected)


def check_rule(
    name: str,
    value: Any,
    names: Iterable[str],
    arguments: Sequence[str],
    given_back: str,
    bound_by: Sequence[str],
) -> None:
    """Refuse a mixing or pairing that is no name, function, or object that can bind.

    A function takes `arguments`; the method `bind` of an object takes `bound_by`, and
    returns such a function.
    """
    signature = _signature(arguments, given_back)
    if isinstance(value, type):
        made = f"{name}={value.__name__}"
        raise TypeError(
            f"Got {made}, a class, but expected an object of it: {made}(...)."
        )
    if hasattr(value, "bind"):
        bind = f"a function {signature}"
        _check_signature(f"{name} with bind", value.bind, bound_by, bind)
    elif callable(value):
        _check_signature(name, value, arguments, given_back)
    elif not isinstance(value, str) or value not in names:
        kind = ValueError if isinstance(value, str) else TypeError
        raise wrong(kind, name, value, f"{_either(names)}, or a function {signature}")


def check_bound(name: str, rule: Any, function: Any) -> None:
    """Refuse anything but a function from the method `bind` of a rule."""
    if not callable(function):
        raise TypeError(
            f"Got {function!r} from the bind of {name}={rule!r}, but expected a "
            "function, to be called for each step."
        )


def _check_signature(
    name: str, function: Any, arguments: Sequence[str], given_back: str
) -> None:
    """Refuse a function that cannot be called with as many arguments."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function of C may have no signature
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        what = getattr(function, "__name__", type(function).__name__)
        raise TypeError(
            f"Got {name}={what}{signature}, but expected a function "
            f"{_signature(arguments, given_back)} ({error})."
        ) from error


def _signature(arguments: Sequence[str], given_back: str) -> str:
    return f"f({', '.join(arguments)}) -> {given_back}"


def check_seed(random_state: Any) -> np.random.RandomState:
    """Return the generator that a `random_state` stands for."""
    if isinstance(random_state, Integral) and not 0 <= int(random_state) < 2**32:
        expected = "an integer from 0 to 2**32 - 1, a numpy RandomState or None"
        raise wrong(ValueError, "random_state", random_state, expected)
    generator: np.random.RandomState = check_random_state(random_state)
    return generator


def check_option(name: str, value: Any, options: Sequence[Any]) -> None:
    """Refuse a value that is none of the options."""
    # `==` of an array or a frame is no bool.
    if not (value is None or isinstance(value, str | Real)):
        raise wrong(TypeError, name, value, _either(options))
    if value not in options:
        raise wrong(ValueError, name, value, _either(options))


def _either(options: Iterable[Any]) -> str:
    return " or ".join(map(repr, options))


def check_net(net: Any, *, task: str) -> None:
    """Refuse all but an unfitted skorch net for a task ("Classifier", "Regressor")."""
    name, kind = f"Mixup{task}", type(net).__name__
    if not isinstance(net, NeuralNet):
        got, expected = (
            f"a {kind}",
            (
                f"a skorch net, or None for skmix.default_net({task.lower()!r}). "
                f"(Other steps stand before {name} in a Pipeline.)"
            ),
        )
        if isinstance(net, type) and issubclass(net, NeuralNet):
            got = f"the class {net.__name__}"
            expected = f"an instance of a skorch net: {name}({net.__name__}(...))."
        elif callable(net):
            got = getattr(net, "__name__", kind)
            around = f"{name}(skorch.NeuralNet{task}({got}, ...))"
            expected = f"a skorch net around a torch module: {around}."
        raise TypeError(f"Got {got} as estimator, but expected {expected}")
    classifies = task == "Classifier"
    if is_regressor(net) if classifies else is_classifier(net):
        other = "Regressor" if classifies else "Classifier"
        raise TypeError(
            f"Got a {kind} as estimator of {name}. "
            f"Use skmix.Mixup{other} for it, or a skorch.NeuralNet{task}."
        )
    check_untrained(net)


def check_untrained(net: NeuralNet) -> None:
    """Refuse a fitted net whose module is an instance: clones would be trained."""
    trained = getattr(net, "initialized_", False) and len(net.history) > 0
    if trained and isinstance(net.module, nn.Module):
        net_class, module = type(net).__name__, type(net.module).__name__
        raise ValueError(
            f"Got a fitted net whose module is an instance ({module}): its trained "
            "weights would leak into this fit and every fold of a cross-validation. "
            f"Pass the module's class instead: {net_class}({module}, module__...=...)."
        )


def check_training_parameters(net: NeuralNet) -> None:
    """Refuse epochs, rates and batch sizes that a net cannot be trained with.

    An optimizer of one's own may take a rate that is no number, such as None, and find
    it. Sizes count for torch's DataLoader, unless a user-supplied sampler loads the
    rows.
    """
    check_integer("max_epochs", net.max_epochs, at_least=0)
    _check_rate(net)
    for prefix in ("iterator_train", "iterator_valid"):
        given = net.get_params_for(prefix)
        if getattr(net, prefix) is not DataLoader or given.keys() & _SAMPLERS:
            continue
        name = "batch_size"
        size = given.get(name, net.batch_size)
        name = f"{prefix}__{name}" if name in given else name
        if not (isinstance(size, Integral) and size == -1):
            check_integer(name, size, at_least=1, or_else=", or -1 for all rows")


def _check_rate(net: NeuralNet) -> None:
    """Name the learning rate that torch's optimizers refuse."""
    given, optimizer = net.get_params_for("optimizer"), net.optimizer
    name, rate = "lr", net.lr
    if name in given:  # which goes before that of the net
        name, rate = "optimizer__lr", given[name]
    if isinstance(rate, torch.Tensor) or (is_number(rate) and rate >= 0):
        return
    home = str(getattr(optimizer, "func", optimizer).__module__)
    if not is_number(rate) and not home.startswith(("torch.", "skmix.")):
        return  # which may find it
    try:
        torch.optim.Adam([torch.zeros(1)], lr=rate)
    except (TypeError, ValueError) as error:
        expected = f"a number of at least 0 ({error})"
        raise wrong(type(error), name, rate, expected) from error


def check_layers(layers: Any) -> None:
    """Refuse all but a name or names; the module tells later which there are."""
    expected = (
        "'auto', 'input', the name of a submodule, or a list of 'input' and such names"
    )
    names = [layers] if isinstance(layers, str) else layers
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) and name for name in names
    ):
        raise wrong(TypeError, "layers", layers, expected)
    repeated = not names or len(set(names)) < len(names)
    if repeated or (names is layers and "auto" in names):
        raise wrong(ValueError, "layers", layers, f"{expected}, each of them once")


def check_categorical_features(given: Any) -> None:
    """Refuse anything but 'from_dtype', None and a sequence of columns."""
    if given is None or (isinstance(given, str) and given == "from_dtype"):
        return
    name = "categorical_features"
    expected = (
        "'from_dtype', None, or a sequence of column names, of positions or of "
        "booleans, one for each column"
    )
    if isinstance(given, str):
        raise wrong(
            ValueError, name, given, f"{expected}: [{given!r}] names one column"
        )
    entries = np.asarray(given, dtype=object)
    kinds = (str, Integral, np.bool_)
    if entries.ndim != 1 or not any(
        all(isinstance(entry, kind) for entry in entries) for kind in kinds
    ):
        raise wrong(TypeError, name, given, expected)


def check_dict(X: Mapping[str, Any]) -> None:
    """Refuse a dict of anything but arrays of the same number of rows."""
    expected = (
        "a dict of arrays, all of them with a row for each sample, which the module "
        "gets by name"
    )
    if not X:
        raise ValueError(f"Got X as an empty dict, but expected {expected}.")
    for name, value in X.items():
        if not np.ndim(value):
            raise TypeError(
                f"Got X with {value!r} as {name!r}, but expected {expected}."
            )
    n_rows = {name: len(value) for name, value in X.items()}
    if len(set(n_rows.values())) > 1:
        raise ValueError(f"Got X with {n_rows} rows, but expected {expected}.")


def refuse_categories_of_dict(given: Any) -> None:
    """Refuse columns of categories for a dict of arrays, whose columns are not read."""
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
    """Refuse infinity in a table, and NaN unless allowed, and name the columns.

    Missing values of a sparse table are refused in any case.
    """
    is_sparse = sparse.issparse(table)
    values = table.data if is_sparse else table
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):  # quick
            return
    bad, found = np.isnan(values), "NaN"
    if not bad.any() or (allow_nan and not is_sparse):
        bad, found = np.isinf(values), "infinity"
    if not bad.any():
        return
    columns = np.unique(table.indices[bad] if is_sparse else np.nonzero(bad)[1])
    shown = [str(j if names is None else names[j]) for j in columns[:10]]
    shown += ["..."] * (len(columns) > 10)
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
    where = f"columns ({', '.join(shown)})"
    raise ValueError(f"Input X contains {found} in {where}, but {way_out}")


def check_unmasked(values: Any, name: str) -> None:
    """Refuse a masked array with masked values, of which others see what is behind."""
    # (Nullable arrays of pandas have a mask, too, which they know how to read.)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        way_out = "expected its masked values to be told as missing ones: "
        way_out += f"{name}.astype(float).filled(numpy.nan)"
        if name != "X":
            way_out = "no value may be missing. Leave out the rows that are masked"
        raise ValueError(f"Got {name} as a masked array, but {way_out}.")


def check_number_targets(y: Any, name: str = "y") -> None:
    """Refuse targets of a regression that are no numbers."""
    values = np.asarray(y)
    if values.dtype.kind in "mM":
        raise ValueError(
            f"Got {name} of dtype {values.dtype}, but expected numbers. Make some of "
            "dates or times, such as days: (y - y.min()) / pandas.Timedelta(days=1)."
        )
    if values.dtype.kind not in "OUST":
        return
    try:
        values.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"Got {name} with values that are no finite numbers ({error}), but "
            "expected a number for each row."
        ) from error


def check_single_target(y: Any, task: str, estimator: str) -> None:
    """Refuse targets of several columns, and the name of a column."""
    if isinstance(y, str):
        expected = f"a target for each row, such as X[{y!r}] of a frame X"
        raise wrong(ValueError, "y", y, expected)
    shape = getattr(y, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"Got y of shape {tuple(shape)}, but expected (n_samples,). Multilabel and "
            f"multi-output targets are not supported: fit one {estimator} per column, "
            f"as sklearn.multioutput.MultiOutput{task} does."
        )


def check_no_target_missing(y: Any, name: str = "y") -> None:
    """Refuse missing targets, whichever way they are marked."""
    if not hasattr(y, "dtype") or hasattr(y, "to_pandas"):
        if isinstance(y, str) or not np.iterable(y):
            return  # scikit-learn refuses it
        y = np.asarray(y, dtype=object)
    check_unmasked(y, name)
    missing: Any = np.asarray(pd.isna(y))
    if missing.ndim == 2:
        missing = missing.any(axis=1)
    if not missing.any():
        return
    X = name.replace("y", "X")
    raise ValueError(
        f"Input {name} contains NaN: {missing.sum()} of {len(missing)} rows have no "
        f"label. Leave them out: {X}[{name}.notna()], {name}[{name}.notna()]."
    )


def check_groups(groups: Any, y: Any) -> np.ndarray:
    """Return the group of each row as an array of shape (n,), of values as given."""
    given = np.asarray(groups) if hasattr(groups, "dtype") else None
    groups = np.asarray(groups, dtype=object)
    if groups.ndim == 0:
        raise wrong(ValueError, "groups", groups.item(), PER_ROW)
    if groups.shape != (len(y),):
        got, expected = f"of shape {groups.shape}", f"({len(y)},): "
        raise ValueError(f"Got groups {got}, but expected {expected}{PER_ROW}.")
    try:
        codes: np.ndarray = pd.factorize(groups)[0]
    except TypeError as error:  # lists
        got, expected = f"such as {groups[0]!r} ({error})", f"{PER_ROW}, by a value"
        raise TypeError(
            f"Got groups {got}, but expected {expected} such as a number or a string."
        ) from error
    if missing := (codes < 0).sum():
        got = f"that are missing for {missing} rows"
        raise ValueError(f"Got groups {got}, but expected {PER_ROW}.")
    if given is not None and given.dtype.kind != "O":
        return given  # (numpy's dates would become integers)
    kinds = set(map(type, groups))
    if len(kinds) == 1 and kinds <= {bool, int, float}:
        return np.asarray(groups.tolist())
    return groups


def codes_of_groups(groups: np.ndarray) -> np.ndarray:
    """Return groups as codes, of shape (n,), int; in the order of their values.

    What has no order, as values of several types, counts by its first row.
    """
    try:
        return np.unique(groups, return_inverse=True)[1]
    except TypeError:
        codes: np.ndarray = pd.factorize(groups)[0]
        return codes


def check_sample_weight(sample_weight: Any, y: Any) -> np.ndarray | None:
    """Return weights as an array of shape (n,), float64, or None."""
    if sample_weight is None:
        return None
    name = "sample_weight"
    check_unmasked(sample_weight, name)
    try:
        weight = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, input_name=name
        )
    except (TypeError, ValueError) as error:
        if name in str(error) or "omplex" in str(error):
            raise
        raise type(error)(
            f"Got {name} that cannot be read as numbers ({error}), but expected an "
            "array of a number of at least 0 for each row."
        ) from error
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
