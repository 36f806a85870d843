"""Estimators, encoders and codecs to JSON and tensors, and back.

What is stored is listed: `FITTED` of `skmix._one_net`, `skmix._search` and
`skmix.preprocessing` has the names of attributes, and the tables here how each is
written and checked. In a file an attribute has its name without underscores around.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet

from skmix import _one_net, _search, preprocessing
from skmix._base import BaseMixup
from skmix._estimators import MixupClassifier, MixupRegressor
from skmix._estimators_cv import MixupClassifierCV, MixupRegressorCV
from skmix._files.container import Unreadable
from skmix._files.nets import (
    read_fitted,
    read_history,
    read_net,
    write_fitted,
    write_history,
    write_net,
)
from skmix._files.values import (
    Reader,
    Unstorable,
    Writer,
    check_all,
    expected,
    fields,
)
from skmix._one_net import MixupEstimator
from skmix._preparation import Preparation
from skmix._tables.dtypes import ColumnReader
from skmix._tables.strings import NOTATIONS
from skmix._tables.targets import ClassCodec, NumberCodec, without_pandas
from skmix._training import skorch_compat
from skmix.preprocessing import TableEncoder

KINDS: dict[str, type[BaseMixup]] = {
    kind.__name__: kind
    for kind in (MixupClassifier, MixupClassifierCV, MixupRegressor, MixupRegressorCV)
}
PREDICTING = {"priors"}  # parameters of estimators, beside the net, that count then


def key(name: str) -> str:
    """Return the name of an attribute in a file."""
    return name.strip("_")


# Readers of columns.


def write_reader(writer: Writer, reader: ColumnReader) -> dict[str, Any]:
    """Return a record of what the columns of a table hold."""
    try:
        categories = [writer.encode(found) for found in reader.categories]
    except Unstorable as error:
        raise ValueError(
            f"Got a column of categories with {error.name}, but expected strings, "
            "numbers, booleans, dates without a zone, or intervals of these. Make "
            "strings of them before fit."
        ) from error
    return {
        "columns": reader.columns,
        "has_names": reader.has_names,
        "categories": categories,
        "notations": reader.notations,
        "has_missing": reader.has_missing,
    }


def read_reader(reader: Reader, record: Any) -> ColumnReader:
    """Return a reader of columns of a record."""
    names, has_names, categories, notations, has_missing = fields(
        record,
        columns=list,
        has_names=bool,
        categories=list,
        notations=list,
        has_missing=list,
    )
    check_all(names, str, "columns")
    check_all(has_missing, bool, "has_missing")
    found = [reader.expect(of, np.ndarray | None, "categories") for of in categories]
    alike = {len(names), len(found), len(notations), len(has_missing)}
    if len(alike) != 1 or any(n is not None and n not in NOTATIONS for n in notations):
        raise Unreadable("what it says of columns does not fit together")
    if any(of is not None and (of.dtype != object or of.ndim != 1) for of in found):
        raise Unreadable("its categories of a column are no list")
    return ColumnReader(names, has_names, found, notations, has_missing)


# Encoders.


def write_encoder(writer: Writer, encoder: TableEncoder) -> dict[str, Any]:
    """Return a record of a fitted encoder."""
    params = encoder.get_params(deep=False)
    learnt = vars(encoder)
    state: dict[str, Any] = {n: learnt.get(n) for n in preprocessing.FITTED}
    own = {
        "reader_": writer.share(state["reader_"], write_reader),
        "_sparse_scaler": _write_scaler(writer, state["_sparse_scaler"]),
        "_empty": [bool(empty) for empty in state["_empty"]],
    }
    fitted = {n: own[n] if n in own else writer.encode(v) for n, v in state.items()}
    return {
        "params": {name: writer.parameter(value) for name, value in params.items()},
        "fitted": {key(name): value for name, value in fitted.items()},
    }


def _write_scaler(writer: Writer, scaler: StandardScaler | None) -> Any:
    """Return a record of the scaler of sparse columns."""
    if scaler is None:
        return None
    names = ("scale_", "var_", "mean_", "n_samples_seen_")
    learnt = {key(name): writer.encode(getattr(scaler, name)) for name in names}
    return learnt | {"with_std": scaler.with_std}


def _read_scaler(reader: Reader, record: Any, n: int) -> StandardScaler | None:
    if record is None:
        return None
    names = ("scale", "var", "mean", "n_samples_seen")
    parts = fields(record, **dict.fromkeys(names, object), with_std=bool)
    scaler = StandardScaler(with_mean=False, with_std=parts[-1])
    for name, part in zip(names, parts[:-1], strict=True):
        value = reader.decode(part)
        if name == "n_samples_seen":
            expected(value, int | np.number | np.ndarray, name)
        elif value is not None and np.shape(expected(value, np.ndarray, name)) != (n,):
            raise Unreadable(f"the {name} of its columns is not as long as the table")
        setattr(scaler, f"{name}_", value)
    if scaler.with_std is (scaler.scale_ is None):
        raise Unreadable("its scaler of sparse columns has no scale")
    scaler.n_features_in_ = n
    return scaler.set_output(transform="default")


def read_encoder(reader: Reader, record: Any) -> TableEncoder:
    """Return a fitted encoder of a record."""
    params, fitted = fields(record, params=dict, fitted=dict)
    names = TableEncoder().get_params(deep=False)
    given = fields(params, **dict.fromkeys(names, object))
    decoded = dict(zip(names, map(reader.parameter, given), strict=True))
    encoder = TableEncoder(**decoded)
    for name in ("scale", "as_dict"):
        expected(decoded[name], bool, name)
    # (numpy would parse a string as Python.)
    if decoded["dtype"] is not np.float32 and decoded["dtype"] is not np.float64:
        raise Unreadable(f"it has an encoder of dtype {decoded['dtype']!r}")
    state = _read_state(reader, fitted, bool(encoder.as_dict))
    if state["feature_names_in_"] is None:
        del state["feature_names_in_"]
    fitted_encoder: TableEncoder = skorch_compat.twin(encoder, **state)
    return fitted_encoder


def _read_state(reader: Reader, record: Any, as_dict: bool) -> dict[str, Any]:
    """Return what an encoder has learnt, each part checked against the others."""
    parts = fields(record, **{key(name): object for name in preprocessing.FITTED})
    of = dict(zip(preprocessing.FITTED, parts, strict=True))
    table = reader.share(of["reader_"], read_reader, ColumnReader)
    width = len(table.columns)
    numbers = reader.array(of["_numbers"], "i", "numbers")
    categories = reader.array(of["_categories"], "i", "categories")
    n = len(numbers)
    indicated = reader.array(of["_indicated"], "i", "indicated")
    empty = expected(of["_empty"], list, "empty")
    check_all(empty, bool, "empty")
    bins = expected(of["bins_"], list, "bins")
    kept = expected(of["_kept"], list, "kept")
    scaler = _read_scaler(reader, of["_sparse_scaler"], width)
    is_category = np.isin(np.arange(width), categories)
    fits = (
        np.array_equal(np.sort(np.r_[numbers, categories]), np.arange(width))
        and np.array_equal(table.categorical, is_category)
        and np.isin(indicated, np.arange(n)).all()
        and len(empty) == n
        and len(bins) in (0, n)
        and len(kept) == len(categories)
        and not (scaler is not None and (as_dict or len(categories)))
    )
    if not fits or expected(of["n_features_in_"], int, "n_features_in") != width:
        raise Unreadable("what it says of an encoder does not fit together")
    codes = [reader.array(part, "f", "kept") for part in kept]
    for j, part in zip(categories, codes, strict=True):
        if not np.isin(part, np.arange(len(table.categories[j]) + 1)).all():
            raise Unreadable("it keeps categories that there are not")
    names = reader.decode(of["feature_names_in_"])
    return {
        "reader_": table,
        "n_features_in_": width,
        "feature_names_in_": _checked_names(names, width),
        "_sparse_scaler": scaler,
        "_numbers": numbers,
        "_categories": categories,
        "center_": reader.array(of["center_"], "f", "center", n),
        "scale_": reader.array(of["scale_"], "f", "scale", n),
        "_indicated": indicated,
        "_empty": empty,
        "bins_": [reader.array(part, "f", "bins") for part in bins],
        "_kept": codes,
        "_n_missing": reader.array(of["_n_missing"], "i", "n_missing", width),
    }


def _checked_names(names: Any, width: int) -> Any:
    """Return names of columns as scikit-learn has them, or None."""
    if names is None:
        return None
    expected(names, np.ndarray, "feature_names_in")
    check_all(names.tolist(), str, "feature_names_in")
    if names.dtype != object or names.shape != (width,):
        raise Unreadable("it has not as many names as columns")
    return names


# Preparations.


def write_preparation(writer: Writer, preparation: Preparation) -> dict[str, Any]:
    """Return a record of how a table and its targets are coded for a net."""
    encoder, target = preparation.encoder, preparation.target
    if isinstance(target, ClassCodec):
        names: tuple[str, ...] = ("classes", "binary", "class_weight", "mass")
    else:
        names = ("mean", "scale")
    try:
        codec = {name: writer.encode(getattr(target, name)) for name in names}
    except Unstorable as error:
        raise ValueError(
            f"Got labels that are {error.name}, but expected strings, numbers or "
            "booleans. Make strings of them before fit."
        ) from error
    return {
        "target": codec,
        "encoder": None if encoder is None else writer.share(encoder, write_encoder),
        "names": preparation.names,
    }


def read_preparation(reader: Reader, record: Any) -> Preparation:
    """Return a preparation of a record."""
    target, encoder, names = fields(
        record, target=dict, encoder=int | None, names=list | None
    )
    if encoder is not None:
        encoder = reader.share(encoder, read_encoder, TableEncoder)
    check_all(names or [], str, "names")
    read = _read_classes if "classes" in target else _read_numbers
    return Preparation(read(reader, target), encoder, names)


def _read_classes(reader: Reader, record: Any) -> ClassCodec:
    classes, binary, weight, mass = fields(
        record, classes=dict, binary=bool, class_weight=dict | None, mass=dict
    )
    labels = reader.array(classes, "OUbiuf", "classes")
    n = len(labels)
    if n < 2 or not np.array_equal(np.unique(labels), labels) or (binary and n > 2):
        raise Unreadable("its classes are not as fit learns them")
    weight = None if weight is None else reader.array(weight, "f", "class_weight", n)
    return ClassCodec(labels, binary, weight, reader.array(mass, "fiu", "mass", n))


def _read_numbers(reader: Reader, record: Any) -> NumberCodec:
    mean, scale = map(reader.decode, fields(record, mean=object, scale=object))
    for value in (mean, scale):
        if not np.isfinite(expected(value, float, "the scale of targets")):
            raise Unreadable("the scale of its targets is not finite")
    return NumberCodec(mean, scale)


# Estimators.


def write_estimator(writer: Writer, estimator: BaseMixup) -> dict[str, Any]:
    """Return a record of a fitted estimator.

    Raises
    ------
    ValueError
        If predictions depend on something that a file cannot hold.
    """
    encoded = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in ("priors", "class_weight"):
            value = without_pandas(value, in_order=name == "priors")
        if isinstance(value, NeuralNet):
            encoded[name] = writer.share(value, write_net)
        elif name in PREDICTING:
            encoded[name] = writer.encode(value)
        elif name == "checkpoint":  # a folder of this machine
            encoded[name] = writer.encode(None)
        else:
            encoded[name] = writer.parameter(value)
    state = dict(vars(estimator))
    if "history_" in state and state["history_"] is state["estimator_"].history_:
        state["history_"] = None  # it is that of the net
    fitted = {
        key(name): WRITE.get(name, Writer.encode)(writer, state[name])
        for name in names_of_fitted(type(estimator))
        if name in state
    }
    return {"class": type(estimator).__name__, "params": encoded, "fitted": fitted}


def names_of_fitted(kind: type) -> tuple[str, ...]:
    """Return the names of attributes that are stored of a class of estimators."""
    return _one_net.FITTED if issubclass(kind, MixupEstimator) else _search.FITTED


def _write_shared(
    write: Callable[[Writer, Any], Any],
) -> Callable[[Writer, Any], int | None]:
    return lambda writer, value: None if value is None else writer.share(value, write)


def _write_history(writer: Writer, history: Any) -> Any:
    return None if history is None else write_history(writer, history)


def _write_list(
    write: Callable[[Writer, Any], Any],
) -> Callable[[Writer, Any], list[Any]]:
    return lambda writer, values: [write(writer, value) for value in values]


WRITE: dict[str, Callable[[Writer, Any], Any]] = {
    "_reader": _write_shared(write_reader),
    "_preparation": _write_shared(write_preparation),
    "_preparations": _write_list(_write_shared(write_preparation)),
    "estimator_": write_fitted,
    "estimators_": _write_list(write_estimator),
    "history_": _write_history,
    "alpha_": Writer.parameter,
}


def read_estimator(reader: Reader, record: Any) -> BaseMixup:
    """Return a fitted estimator of a record."""
    name, params, fitted = fields(
        record, **{"class": str, "params": dict, "fitted": dict}
    )
    if name not in KINDS:
        raise Unreadable(f"it has an estimator of the class {name!r}")
    kind: Any = KINDS[name]
    known = kind().get_params(deep=False)
    given = fields(params, **dict.fromkeys(known, object))
    decoded = {}
    for param, value in zip(known, given, strict=True):
        if param == "estimator":
            net = None if value is None else reader.share(value, read_net, NeuralNet)
            decoded[param] = net
        elif param in PREDICTING:
            decoded[param] = reader.decode(value)
        else:
            decoded[param] = reader.parameter(value)
    state = _read_fitted_state(reader, kind, fitted)
    estimator: BaseMixup = skorch_compat.twin(kind(**decoded), **state)
    return estimator


def _read_fitted_state(reader: Reader, kind: Any, record: Any) -> dict[str, Any]:
    """Return what a fit has set, checked as far as predictions depend on it."""
    names = {key(name): name for name in names_of_fitted(kind)}
    single = issubclass(kind, MixupEstimator)
    needed = {"reader", "preparation", "draws"}
    needed |= {"estimator"} if single else {"estimators", "preparations", "shares"}
    if unknown := record.keys() - names.keys():
        raise Unreadable(f"it has unknown attributes: {', '.join(sorted(unknown))}")
    if missing := needed - record.keys():
        raise Unreadable(f"it lacks {', '.join(sorted(missing))}")
    state = {
        names[name]: READ.get(names[name], Reader.decode)(reader, value)
        for name, value in record.items()
    }
    expected(state["_draws"], bool, "draws")
    _check_columns(state)
    classifies = issubclass(kind, MixupClassifier | MixupClassifierCV)
    preparations = [state["_preparation"], *state.get("_preparations", ())]
    codec = ClassCodec if classifies else NumberCodec
    for preparation in preparations:
        expected(preparation.target, codec, "a target")
        encoder = preparation.encoder
        if encoder is not None and encoder.reader_ is not state["_reader"]:
            raise Unreadable("its encoder reads other columns than its estimator")
    if single:
        if state.get("history_", 0) is None:
            state["history_"] = state["estimator_"].history_
        expected(state.get("n_iter_"), int, "n_iter")
    else:
        _check_members(kind, state)
    return state


def _check_columns(state: dict[str, Any]) -> None:
    """Check names and number of columns against what reads them."""
    reader, n = state["_reader"], state.get("n_features_in_")
    if (reader is None) != (n is None) or (n is not None and n != len(reader.columns)):
        raise Unreadable("its number of columns does not fit what it says of them")
    if "feature_names_in_" in state:
        _checked_names(state["feature_names_in_"], -1 if n is None else n)


def _check_members(kind: Any, state: dict[str, Any]) -> None:
    """Check the members of a search, their shares and the temperature."""
    members, shares = state["estimators_"], state["_shares"]
    expected(shares, np.ndarray, "shares")
    wanted = MixupClassifier if kind is MixupClassifierCV else MixupRegressor
    for member in members:
        expected(member, wanted, "a member")
    fine = shares.dtype.kind == "f" and shares.shape == (len(members),)
    if not members or not fine or len(state["_preparations"]) != len(members):
        raise Unreadable("its members and their shares do not fit together")
    if kind is MixupClassifierCV:
        temperature = expected(state.get("temperature_"), float, "temperature")
        classes = [part.target.classes for part in state["_preparations"]]
        same = all(np.array_equal(classes[0], other) for other in classes)
        if not 0 < temperature < np.inf or not same:
            raise Unreadable("its temperature or its classes are not as fit sets them")


def _read_shared(
    read: Callable[[Reader, Any], Any], kind: Any
) -> Callable[[Reader, Any], Any]:
    return lambda reader, number: reader.share(number, read, kind)


def _read_list(
    read: Callable[[Reader, Any], Any],
) -> Callable[[Reader, Any], list[Any]]:
    return lambda reader, values: [
        read(reader, value) for value in expected(values, list, "a list")
    ]


def _read_reader(reader: Reader, number: Any) -> Any:
    return None if number is None else reader.share(number, read_reader, ColumnReader)


def _read_history(reader: Reader, record: Any) -> Any:
    return None if record is None else read_history(reader, record)


READ: dict[str, Callable[[Reader, Any], Any]] = {
    "_reader": _read_reader,
    "_preparation": _read_shared(read_preparation, Preparation),
    "_preparations": _read_list(_read_shared(read_preparation, Preparation)),
    "estimator_": read_fitted,
    "estimators_": _read_list(read_estimator),
    "history_": _read_history,
    "alpha_": Reader.parameter,
}
