"""Fitted estimators as graphs of tensors: for `torch.export`, and for ONNX.

A graph takes the numbers and category codes of a table. Imputing, scaling and one-hot
encoding are inside, and so are the blend of a search, temperatures and priors.
"""

import json
import os
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import nn

from skmix._base import BaseMixup
from skmix._estimators import MixupClassifier, MixupRegressor
from skmix._estimators_cv import MixupClassifierCV, MixupRegressorCV
from skmix._files.persistence import versions
from skmix._preparation import Preparation, read_table
from skmix._search import Part, Prediction, prediction_of
from skmix._tables.dtypes import ColumnReader
from skmix._tables.targets import ClassCodec, NumberCodec
from skmix._training.skorch_compat import criterion_is, first_output, parameter_dtype
from skmix._validation import FARTHEST
from skmix.preprocessing import TableEncoder, learnt_by

__all__ = ["inputs_of", "to_module", "to_onnx", "to_program"]

KINDS = (MixupClassifier, MixupClassifierCV, MixupRegressor, MixupRegressorCV)

# As `predict_proba` reads probabilities that are 0.
TINY = torch.finfo(torch.float64).tiny
LEAST_LOGIT = -50
MOST_ROWS = 2**62  # (torch 2.6 sets the largest integer apart)


# What is public.


def to_module(estimator: Any) -> nn.Module:
    """Return a torch module that predicts as a fitted estimator does.

    Its ``forward(numbers, codes)`` takes what `inputs_of` returns, as tensors, by name.
    It checks nothing, and draws nothing.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV or MixupRegressorCV
        Fitted on a dense table.

    Returns
    -------
    module : torch.nn.Module
        In evaluation mode, on the CPU, and with parameters of its own. It returns a
        float64 tensor: of a classifier probabilities of shape (n, n_classes), in the
        order of ``classes_``; of a regressor numbers of shape (n,), in units of y.

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        If it is another estimator, a Pipeline, or of a subclass.
    ValueError
        If the table was a dict, or a sparse one that is scaled; or if a net is
        compiled, or predicts by more than its module: methods or loaders of its own,
        random draws.

    See Also
    --------
    to_program : The same, traced by `torch.export`.
    to_onnx : The same, in a file.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skmix import MixupClassifier, default_net, export
    >>> X, y = load_iris(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2)
    >>> clf = MixupClassifier(net, random_state=0).fit(X, y)
    >>> module = export.to_module(clf)
    >>> proba = module(numbers=torch.from_numpy(X))
    >>> bool(abs(proba.numpy() - clf.predict_proba(X)).max() < 1e-6)
    True
    """
    prediction = _checked(estimator)
    return _Graph(estimator, prediction).requires_grad_(False).eval()


def to_program(estimator: Any) -> torch.export.ExportedProgram:
    """Trace a fitted estimator by `torch.export`, for any number of rows.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV or MixupRegressorCV
        Fitted on a dense table.

    Returns
    -------
    program : torch.export.ExportedProgram
        ``program.module()`` takes and returns what the module of `to_module` does.
        ``torch.export.save`` writes it to a file.

    Raises
    ------
    NotFittedError, TypeError
        As in `to_module`.
    ValueError
        As in `to_module`, and if `torch.export` cannot trace the module of a net.

    See Also
    --------
    to_module : The module that is traced.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_diabetes
    >>> from skmix import MixupRegressor, default_net, export
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = default_net("regressor").set_params(max_epochs=2)
    >>> reg = MixupRegressor(net, random_state=0).fit(X, y)
    >>> program = export.to_program(reg)
    >>> program.module()(numbers=torch.from_numpy(X[:1])).shape
    torch.Size([1])
    """
    module, prediction = to_module(estimator), prediction_of(estimator)
    reader = _reader_of(prediction)
    rows = torch.export.Dim("rows", min=1, max=MOST_ROWS)
    examples = _tensors(_split(reader, np.zeros((3, len(reader.columns)))))
    shapes = {name: {0: rows} for name in examples}
    try:
        return torch.export.export(module, (), examples, dynamic_shapes=shapes)
    except Exception as error:  # of torch, or of the module itself
        raise ValueError(
            f"Got a net with the module {_module_of(prediction)}, which torch.export "
            f"cannot trace ({_reason(error)}). Its forward must not depend on values "
            "or the number of rows, other than by operations of torch."
        ) from error


def to_onnx(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a file in the format ONNX.

    Runtimes of many languages predict by it, without Python, torch or skmix.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV or MixupRegressorCV
        Fitted on a dense table.
    path : str or path-like
        Where to write.

    Raises
    ------
    NotFittedError, TypeError
        As in `to_module`.
    ValueError
        As in `to_program`, and if a module has an operator that ONNX has not.
    ImportError
        If onnx or onnxscript is not installed.
    OSError
        If the file cannot be written.

    See Also
    --------
    inputs_of : The inputs of a table.
    to_program : The same for torch alone.

    Notes
    -----
    Inputs are ``numbers`` and ``codes``, as in `inputs_of`, those that the table has.
    The output is ``probabilities`` or ``predictions``, as in `to_module`. The file has
    these metadata, each a string:

    - ``task``: "classifier" or "regressor".
    - ``numbers``: a list, in JSON, of the names of the columns of numbers.
    - ``codes``: a list, in JSON, of ``{"name": ..., "categories": [...]}`` for each
      column of categories. The code of a category is its position in the list.
    - ``classes``: a list, in JSON, of the classes; of a classifier.
    - ``threshold``: the probability of the second class above which it is predicted; of
      a ``NeuralNetBinaryClassifier``.
    - ``skmix``: the version that has written it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmix import MixupClassifier, default_net, export
    >>> X, y = load_iris(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2)
    >>> clf = MixupClassifier(net).fit(X, y)
    >>> export.to_onnx(clf, "iris.onnx")  # doctest: +SKIP
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "ONNX files are written by onnx and onnxscript, which are not installed: "
            "pip install 'skmix[onnx]'. (skmix.export.to_program needs neither.)"
        ) from error
    prediction = _checked(estimator)
    classify = isinstance(prediction.target, ClassCodec)
    program = to_program(estimator)
    try:
        with warnings.catch_warnings():
            # torch uses names of its own that it has deprecated.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            written = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                output_names=["probabilities" if classify else "predictions"],
            )
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(
            f"Got a net with the module {_module_of(prediction)}, which torch.onnx "
            f"cannot write ({_reason(error)}). skmix.export.to_program needs no ONNX."
        ) from error
    assert written is not None
    written.model.metadata_props.update(_metadata(prediction))
    written.save(path)


def inputs_of(estimator: Any, X: Any) -> dict[str, np.ndarray]:
    """Return a table as the inputs of the graph of a fitted estimator.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV or MixupRegressorCV
        Fitted on a dense table.
    X : array-like of shape (n_samples, n_features)
        Rows with the columns of `fit`.

    Returns
    -------
    inputs : dict of ndarrays
        What onnxruntime takes. Columns are in the order of the table. A table without
        numbers, or without categories, has no such input.

        - ``numbers``, float64, of shape (n_samples, n_numbers): NaN where missing. If
          `fit` saw numbers alone, none of them missing, a net that is not of the
          default kind takes none that is missing.
        - ``codes``, int64, of shape (n_samples, n_categories): positions in the sorted
          list of the L categories of the column; L where missing, and -1 for a category
          that was not seen in `fit`.

    Raises
    ------
    NotFittedError, TypeError
        As in `to_module`.
    ValueError
        As in `to_module`, and as in `predict` for a table that is not like that of
        `fit`.

    Warns
    -----
    UserWarning
        As in `predict`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmix import MixupClassifier, default_net, export
    >>> X = pd.DataFrame({"size": [1.0, 2.0, None, 4.0] * 5, "hue": list("abac") * 5})
    >>> net = default_net("classifier").set_params(max_epochs=2)
    >>> clf = MixupClassifier(net).fit(X, [0, 1, 0, 1] * 5)
    >>> inputs = export.inputs_of(clf, X[:4])
    >>> inputs["numbers"].ravel().tolist(), inputs["codes"].ravel().tolist()
    ([1.0, 2.0, nan, 4.0], [0, 1, 0, 2])
    """
    prediction = _checked(estimator)
    encodes = prediction.parts[0].preparation.encoder is not None
    reader = prediction.reader
    table = read_table(estimator, reader, X, reset=False, allow_nan=encodes)
    if sparse.issparse(table):
        table = table.toarray()
    return _split(_reader_of(prediction), table)


# What can be exported, and what it takes.


def _checked(estimator: Any) -> Prediction:
    """Return how an estimator predicts; refuse what is no graph of its columns."""
    if type(estimator) not in KINDS:
        raise TypeError(
            f"Got {type(estimator).__name__}, but expected "
            f"{', '.join(kind.__name__ for kind in KINDS)}. (Of a Pipeline the last "
            "step is exported, and its other steps transform the table before.)"
        )
    fitted = "estimator_" if hasattr(estimator, "alpha") else "estimators_"
    check_is_fitted(estimator, [fitted])
    prediction = prediction_of(estimator)
    if prediction.reader is None:
        raise ValueError(
            f"Got a {type(estimator).__name__} that was fitted on a dict, but expected "
            "one that was fitted on a table. Export the module of its net, "
            "estimator_.module_, by torch.export.export."
        )
    encoder = prediction.parts[0].preparation.encoder
    if encoder is not None and learnt_by(encoder).is_sparse:
        raise ValueError(
            f"Got a {type(estimator).__name__} that was fitted on a sparse table, but "
            "expected a dense one. Fit it on X.toarray()."
        )
    net = prediction.parts[0].net
    if net.compile:
        raise ValueError(
            "Got a net with compile=True, whose module torch.export cannot trace. Fit "
            "it with compile=False."
        )
    if prediction.draws:
        raise ValueError(
            f"Got a {type(net).__name__} that predicts by more than its module: it "
            "overrides methods of skorch, has an iterator_valid of its own, or draws "
            "random numbers in evaluation. Use a net that does none of these, or "
            "export its module, estimator_.module_, by torch.export.export."
        )
    return prediction


def _reader_of(prediction: Prediction) -> ColumnReader:
    assert prediction.reader is not None  # or it would have been refused
    return prediction.reader


def _split(reader: ColumnReader, table: np.ndarray) -> dict[str, np.ndarray]:
    """Return numbers and codes of a table, those that there are."""
    categorical = reader.categorical
    inputs = {}
    if not categorical.all():
        inputs["numbers"] = table[:, ~categorical].astype(np.float64)
    if categorical.any():
        inputs["codes"] = table[:, categorical].astype(np.int64)
    return inputs


def _tensors(inputs: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(part) for name, part in inputs.items()}


def _metadata(prediction: Prediction) -> dict[str, str]:
    """Return what somebody who has the file alone needs to know."""
    reader, target = _reader_of(prediction), prediction.target
    columns = list(zip(reader.columns, reader.categories, strict=True))
    codes = [
        {"name": name, "categories": list(found)}
        for name, found in columns
        if found is not None
    ]
    metadata = {
        "task": "classifier" if isinstance(target, ClassCodec) else "regressor",
        "numbers": json.dumps([name for name, found in columns if found is None]),
        "codes": json.dumps(codes, default=_plain),
        "skmix": versions()["skmix"],
    }
    if isinstance(target, ClassCodec):
        metadata["classes"] = json.dumps(target.classes.tolist(), default=_plain)
        if target.binary:
            metadata["threshold"] = json.dumps(prediction.parts[0].net.threshold)
    return metadata


def _plain(value: Any) -> Any:
    """Return a category as a number, if it is one, and else as a string."""
    return value.item() if isinstance(value, np.number | np.bool_) else str(value)


def _module_of(prediction: Prediction) -> str:
    return type(prediction.parts[0].net.module_).__name__


def _reason(error: BaseException) -> str:
    """Return the first line of an error, or of what has caused it."""
    cause = error.__cause__ or error
    first, *_ = [*str(cause).strip().splitlines(), ""]
    return f"{type(cause).__name__}: {first}"


# The modules of a graph.


class _Graph(nn.Module):
    """Numbers and codes to predictions: of each net, and blended."""

    shares: torch.Tensor
    temperature: torch.Tensor
    least: torch.Tensor
    tiny: torch.Tensor
    log_ratio: torch.Tensor

    def __init__(self, estimator: BaseMixup, prediction: Prediction) -> None:
        super().__init__()
        # (ONNX would get Python's floats in float32.)
        constants = {
            "shares": [[[part.share]] for part in prediction.parts],
            "temperature": getattr(estimator, "temperature_", 1.0),
            "least": LEAST_LOGIT,
            "tiny": TINY,
        }
        _keep(self, constants)
        # (The members of a fold share its encoder.)
        preparations = {id(part.preparation): part for part in prediction.parts}
        order = {key: position for position, key in enumerate(preparations)}
        self.tables = nn.ModuleList(
            _Table(part.preparation) for part in preparations.values()
        )
        self.table_of = [order[id(part.preparation)] for part in prediction.parts]
        self.members = nn.ModuleList(map(_Member, prediction.parts))
        self.is_classifier_search = isinstance(estimator, MixupClassifierCV)
        self.classifies = isinstance(prediction.target, ClassCodec)
        priors, target = getattr(estimator, "priors", None), prediction.target
        self.has_priors = priors is not None
        if self.has_priors and isinstance(target, ClassCodec):
            # Under priors, equal probabilities are in proportion to what the priors
            # multiply probabilities by.
            equal = np.full((1, len(target.classes)), 1 / len(target.classes))
            with np.errstate(divide="ignore"):
                _keep(self, {"log_ratio": np.log(target.corrected(equal, priors))})

    def forward(
        self, numbers: torch.Tensor | None = None, codes: torch.Tensor | None = None
    ) -> torch.Tensor:
        coded = [table(numbers, codes) for table in self.tables]
        of_members = [
            member(coded[position])
            for member, position in zip(self.members, self.table_of, strict=True)
        ]
        predicted = (torch.stack(of_members) * self.shares).sum(dim=0)
        if self.is_classifier_search:
            logits = predicted.log().maximum(self.least)
            predicted = (logits / self.temperature).softmax(dim=1)
        if self.has_priors:
            logits = predicted.maximum(self.tiny).log() + self.log_ratio
            predicted = logits.softmax(dim=1)
        return predicted if self.classifies else predicted[:, 0]


def _keep(module: nn.Module, constants: Mapping[str, Any]) -> None:
    """Register constants as buffers in float64."""
    for name, value in constants.items():
        module.register_buffer(name, torch.tensor(value, dtype=torch.float64))


class _Table(nn.Module):
    """Numbers and codes to what a net gets, as `TableEncoder` encodes them."""

    def __init__(self, preparation: Preparation) -> None:
        super().__init__()
        encoder = preparation.encoder
        self.encoding = None if encoder is None else _Encoding(encoder)

    def forward(self, numbers: torch.Tensor | None, codes: torch.Tensor | None) -> Any:
        return numbers if self.encoding is None else self.encoding(numbers, codes)


class _Encoding(nn.Module):
    """Impute, scale, indicate and one-hot encode."""

    center: torch.Tensor
    factor: torch.Tensor
    far: torch.Tensor
    indicated: torch.Tensor

    def __init__(self, encoder: TableEncoder) -> None:
        super().__init__()
        learnt = learnt_by(encoder)
        self.scale, self.as_dict = bool(encoder.scale), bool(encoder.as_dict)
        as_torch = {np.dtype("float32"): torch.float32}
        self.dtype = as_torch.get(np.dtype(encoder.dtype), torch.float64)
        _keep(self, {"center": encoder.center_, "factor": encoder.scale_})
        _keep(self, {"far": FARTHEST})
        self.register_buffer("indicated", torch.tensor(learnt.indicated))
        self.n_kept = [len(kept) for kept in learnt.kept]
        for column, kept in enumerate(learnt.kept):
            self.register_buffer(f"kept_{column}", torch.tensor(kept).to(torch.int64))

    def forward(self, numbers: torch.Tensor | None, codes: torch.Tensor | None) -> Any:
        parts = [] if numbers is None else self._encoded(numbers)
        hot = [] if codes is None else self._hot(codes)
        if not self.as_dict:
            parts += hot
        rows = numbers if numbers is not None else codes
        assert rows is not None  # a table has columns
        encoded = [part.to(self.dtype) for part in parts]
        x = torch.cat(encoded, 1) if encoded else rows.new_zeros(rows.shape[0], 0)
        if not self.as_dict:
            return x
        positions = [
            (column * torch.arange(1, n + 1)).sum(dim=1)
            for column, n in zip(hot, self.n_kept, strict=True)
        ]
        empty = rows.new_zeros((rows.shape[0], 0), dtype=torch.int64)
        x_cat = torch.stack(positions, dim=1) if positions else empty
        return {"x_num": x.to(self.dtype), "x_cat": x_cat}

    def _encoded(self, numbers: torch.Tensor) -> list[torch.Tensor]:
        """Numbers imputed and scaled, and indicators of missing ones."""
        missing = numbers.isnan()
        x = torch.where(missing, self.center, numbers)
        if self.scale:
            z = (x - self.center) * self.factor
            z = torch.where(z.isnan(), torch.zeros_like(z), z)
            z = z.maximum(-self.far).minimum(self.far)
            x = z / (1 + (z / 3).square()).sqrt()
        return [x, missing[:, self.indicated]]

    def _hot(self, codes: torch.Tensor) -> list[torch.Tensor]:
        """Columns of 0 and 1, for each column of categories."""
        return [
            codes[:, column, None] == getattr(self, f"kept_{column}")
            for column in range(len(self.n_kept))
        ]


class _Member(nn.Module):
    """A net, and what makes probabilities or numbers of its outputs."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.net = deepcopy(part.net.module_).cpu()
        self.dtype = parameter_dtype(part.net)
        target = part.preparation.target
        self.binary = isinstance(target, ClassCodec) and target.binary
        self.classifies = isinstance(target, ClassCodec)
        if isinstance(target, NumberCodec):
            _keep(self, {"mean": target.mean, "scale": target.scale})
        self.nonlinearity = _nonlinearity_of(part.net)

    def forward(self, x: Any) -> torch.Tensor:
        if isinstance(x, dict):
            output = self.net(x_num=x["x_num"].to(self.dtype), x_cat=x["x_cat"])
        else:
            output = self.net(x.to(self.dtype))
        output = first_output(output)
        if output.dtype in (torch.bfloat16, torch.float16):
            output = output.float()
        if not self.classifies:
            numbers = self._decoded(output).double().reshape(-1, 1)
            return numbers * self.scale + self.mean
        proba = self._decoded(output.reshape(-1) if self.binary else output).double()
        return proba / proba.sum(dim=1, keepdim=True)

    def _decoded(self, output: torch.Tensor) -> torch.Tensor:
        """Apply what skorch applies to outputs before it returns them."""
        if callable(self.nonlinearity):
            decoded: torch.Tensor = self.nonlinearity(output)
            return decoded
        if self.nonlinearity == "softmax":
            return output.softmax(dim=-1)
        if self.nonlinearity == "identity":
            return output
        second = output.sigmoid() if self.nonlinearity == "sigmoid" else output
        return torch.stack([1 - second, second], dim=1)


def _nonlinearity_of(net: NeuralNet) -> Any:
    """Return what skorch makes probabilities of outputs by: a name, or a function."""
    given = net.predict_nonlinearity
    if callable(given):
        return given
    by_name = {
        "softmax": nn.CrossEntropyLoss,
        "sigmoid": nn.BCEWithLogitsLoss,
        "both": nn.BCELoss,
    }
    if given == "auto":
        for name, kind in by_name.items():
            if criterion_is(net, kind):
                return name
    return "identity"
