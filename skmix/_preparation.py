"""Read and encode a user's samples, make a net for them, and train it once.

An estimator appears here only for its name and columns, which scikit-learn checks.
"""

import inspect
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from skorch import NeuralNet, NeuralNetBinaryClassifier
from skorch.dataset import get_len
from skorch.utils import multi_indexing
from torch import nn
from torch.utils.data import DataLoader

from skmix import _validation
from skmix._callbacks import Trainings
from skmix._default_net import wants_scaled
from skmix._mixing.mixup import is_interpolating
from skmix._mixing.sampler import MixupSampler
from skmix._tables.dtypes import ColumnReader, as_frame
from skmix._tables.targets import ClassCodec, NumberCodec
from skmix._training import skorch_compat
from skmix._training.epoch import check_finite, diverged, may_overflow
from skmix._training.patch import mixed_training
from skmix._training.predict import draws, in_chunks
from skmix._training.random import one_thread_each, seeded
from skmix._training.recording import Recorder
from skmix.preprocessing import TableEncoder, validate_table

# Samples.


class Samples(NamedTuple):
    """Rows of a table with their targets, weights and groups."""

    X: Any
    y: np.ndarray
    weight: np.ndarray | None = None
    groups: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Samples":
        """Return the samples of these row numbers, or of a mask."""
        return Samples(*(rows_of(part, rows) for part in self))

    def weighted(self, factor: np.ndarray | None = None) -> "Samples":
        """Multiply weights, drop rows of weight 0, and bring the rest to mean 1.

        Weights that are all equal become None.
        """
        weight = self.weight
        if factor is not None:
            weight = factor if weight is None else weight * factor
        if weight is None:
            return self
        samples = self._replace(weight=weight)
        if not weight.all():
            rows = np.flatnonzero(weight)
            if len(rows) == 0:
                raise ValueError(
                    "Got weights (sample_weight times class_weight) that are zero for "
                    "every row, but expected at least one positive weight."
                )
            samples = samples.take(rows)
            weight = weight[rows]
        if (weight == weight[0]).all():
            return samples._replace(weight=None)
        weight = weight / weight.max()  # the sum of huge ones would be infinite
        return samples._replace(weight=weight / weight.mean())


def rows_of(data: Any, rows: np.ndarray) -> Any:
    """Return rows of a table, an array or a mapping; None of None."""
    if data is None:
        return None
    return data[rows] if isinstance(data, np.ndarray) else multi_indexing(data, rows)


def is_dict(X: Any) -> bool:
    """Whether X is a mapping of arrays, which a net gets as it is."""
    return isinstance(X, Mapping) and not sparse.issparse(X)  # a DOK array is both


# Reading a user's table.


def learn_reader(X: Any, categorical_features: Any) -> ColumnReader | None:
    """Learn the kinds of a table's columns; None for a dict."""
    if is_dict(X):
        _validation.refuse_categories_of_dict(categorical_features)
        return None
    return ColumnReader.fit(X, categorical_features)


def read_table(
    estimator: BaseEstimator,
    reader: ColumnReader | None,
    X: Any,
    y: Any = "no_validation",
    *,
    reset: bool,
    allow_nan: bool = True,
    min_rows: int = 1,
) -> Any:
    """Return X, or X and y, as arrays of numbers and codes; a dict as it is.

    Like `validate_data` it sets or checks the names and the number of columns that the
    estimator has seen. `allow_nan` says whether numbers may be missing.
    """
    if not reset and isinstance(y, str) and _is_plainly_fine(estimator, reader, X):
        return X
    if is_dict(X):
        return _read_dict(estimator, X, y, reset=reset)
    if reader is None or not (reset or hasattr(estimator, "n_features_in_")):
        raise ValueError(
            "Got X as a table, but expected a dict of arrays, as in training."
        )
    return validate_table(
        estimator,
        as_frame(X),
        y,
        reader=reader,
        reset=reset,
        allow_nan=allow_nan,
        min_rows=min_rows,
        y_numeric=is_regressor(estimator),
    )


def _is_plainly_fine(
    estimator: BaseEstimator, reader: ColumnReader | None, X: Any
) -> bool:
    """Whether X is a plain array of numbers that `read_table` would return as it is.

    For a single row, all that scikit-learn asks takes longer than the net.
    """
    if type(X) is not np.ndarray or X.dtype.kind != "f" or X.ndim != 2:
        return False
    if hasattr(estimator, "feature_names_in_") or reader is None or not len(X):
        return False
    if X.shape[1] != getattr(estimator, "n_features_in_", None):
        return False
    if not reader.is_idle(X):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


def _read_dict(estimator: BaseEstimator, X: Any, y: Any, *, reset: bool) -> Any:
    if reset:
        for name in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(name, None)
    elif hasattr(estimator, "n_features_in_"):
        raise ValueError(
            "Got X as a dict, but expected a table of "
            f"{estimator.n_features_in_} columns, as in training."
        )
    _validation.check_dict(X)
    if isinstance(y, str):
        return dict(X)
    y = check_targets(y, numeric=is_regressor(estimator))
    check_consistent_length(y, np.empty(get_len(X)))
    return dict(X), y


def check_targets(y: Any, name: str = "y", *, numeric: bool) -> np.ndarray:
    """Return targets of shape (n,), checked without a table."""
    dtype = np.float64 if numeric else None
    with np.errstate(over="ignore", invalid="ignore"):  # of the sum of huge ones
        y = check_array(y, ensure_2d=False, dtype=dtype, input_name=name)
    return np.asarray(column_or_1d(y, warn=True))


# Encoding for a net.


@dataclass(frozen=True)
class Preparation:
    """Encode samples for a net, and decode its outputs.

    Attributes
    ----------
    target : ClassCodec or NumberCodec
    encoder : TableEncoder or None
        None if the net gets the table as it is.
    names : list of str or None
        Names of the columns of the table, if they are known.
    """

    target: ClassCodec | NumberCodec
    encoder: TableEncoder | None
    names: list[str] | None = None

    @classmethod
    def fit(
        cls,
        net: NeuralNet,
        samples: Samples,
        *,
        task: str,
        reader: ColumnReader | None,
        categorical_features: Any = "from_dtype",
        names: Sequence[str] | None = None,
        class_weight: Any = None,
        classes: np.ndarray | None = None,
        missing: bool = False,
    ) -> "Preparation":
        """Learn how samples are encoded for `net`; set the sizes of its module.

        `classes` are all that there are, sorted, where `y` may lack some. `missing`
        says whether numbers may be missing later, though none is here.
        """
        target = _learn_target(net, samples, task, class_weight, classes)
        X, _, weight, _ = samples.weighted(target.class_factor(samples.y))
        scale, as_dict = wants_scaled(net), skorch_compat.takes_num_and_cat(net)
        if scale and is_dict(X):
            raise ValueError(
                "Got X as a dict for a net of the default kind, but expected a "
                "table of shape (n_samples, n_features)."
            )
        if as_dict and sparse.issparse(X):
            raise ValueError(
                "Got a sparse table for a module that takes x_num and x_cat, but "
                "expected a dense one. Make an array or a frame of it."
            )
        encoder = None
        needed = scale or as_dict or missing or _needs_encoding(X, reader)
        if needed and reader is not None:  # no dict
            # Modules are made of the default dtype.
            single = torch.get_default_dtype() is not torch.float64
            encoder = TableEncoder(
                categorical_features,
                scale=scale,
                as_dict=as_dict,
                dtype=np.float32 if scale and single else np.float64,
            ).fit_table(X, reader, weight)
        _fill_sizes(net, X, encoder, target.n_outputs)
        if encoder is not None:
            names = encoder.reader_.columns
        return cls(target, encoder, None if names is None else list(names))

    @property
    def task(self) -> str:
        """Return "classifier" or "regressor"."""
        return "classifier" if isinstance(self.target, ClassCodec) else "regressor"

    def with_targets_of(
        self, samples: Samples, class_weight: Any, *, more: bool = False
    ) -> "Preparation":
        """Return the same for the classes in other samples, or in `more` samples."""
        part = samples.y, samples.weight, class_weight
        return replace(self, target=self.target.relearnt(*part, more=more))

    def transform(self, X: Any) -> Any:
        """Encode a table for the net."""
        return X if self.encoder is None else self.encoder.encode(X)

    def transform_samples(self, samples: Samples, name: str = "y") -> Samples:
        """Encode samples for the net, and weight them by class."""
        coded = samples._replace(X=self.transform(samples.X))
        return self.transform_targets(coded, name)

    def transform_targets(self, samples: Samples, name: str = "y") -> Samples:
        """Encode targets of samples whose X is encoded, and weight them by class."""
        coded = samples._replace(y=self.target.encode(samples.y, name=name))
        return coded.weighted(self.target.class_factor(samples.y))

    def context(self, samples: Samples) -> dict[str, Any]:
        """Return all but the rows that mixings and pairings may ask of the table."""
        context: dict[str, Any] = {"task": self.task, "all_groups": samples.groups}
        if self.names is not None:
            context["names"] = self.names
        if self.encoder is not None:
            context["columns"] = self.encoder.columns_
            context["numeric"] = self.encoder.numeric_
        return context

    def outputs(self, net: NeuralNet, X: Any, *, draws: bool) -> Any:
        """Return a fitted net's own predictions for an encoded table.

        `draws` says whether the net draws from a global generator to predict.
        """
        method = "predict_proba" if self.task == "classifier" else "predict"
        predictor = None if draws else in_chunks(net, X)
        if predictor is not None:
            return getattr(predictor, method)(X)
        infer = skorch_compat.inferring(net)
        with seeded(device=net.device):
            X = skorch_compat.as_module_dtype(net, X, kinds="fiub")
            return getattr(skorch_compat.twin(net, infer=infer), method)(X)

    def predict(self, net: NeuralNet, X: Any, *, draws: bool) -> np.ndarray:
        """Return predictions for a table as `read_table` returns it."""
        X = self.transform(X)
        with one_thread_each():
            return self.target.decode(self.outputs(net, X, draws=draws))


def _learn_target(
    net: NeuralNet, samples: Samples, task: str, class_weight: Any, classes: Any
) -> ClassCodec | NumberCodec:
    """Learn how targets are coded for a net."""
    if task == "regressor":  # user-supplied nets get unscaled numbers
        learnt = wants_scaled(net)
        return NumberCodec.learn(*samples[1:3]) if learnt else NumberCodec()
    return ClassCodec.learn(
        samples.y,
        binary=isinstance(net, NeuralNetBinaryClassifier),
        class_weight=class_weight,
        weight=samples.weight,
        classes=classes,
    )


def _needs_encoding(X: Any, reader: ColumnReader | None) -> bool:
    """Whether any net needs the columns of `X` encoded."""
    if reader is None or sparse.issparse(X):
        return False
    read = reader.categorical.any() or any(reader.notations)
    return bool(read or np.isnan(X.min()))


def _fill_sizes(
    net: NeuralNet, X: Any, encoder: TableEncoder | None, n_outputs: int
) -> None:
    """Set the sizes that the module takes and that are not given."""
    if isinstance(net.module, nn.Module):
        return
    takes = inspect.signature(net.module).parameters
    given = net.get_params_for("module").keys() | getattr(net.module, "keywords", {})
    sizes: dict[str, Any] = {"d_out": n_outputs}
    if encoder is not None:
        sizes["d_in"] = encoder.n_columns_
        sizes["n_num_features"] = encoder.n_num_features_
        sizes["cat_cardinalities"] = encoder.cat_cardinalities_
        if encoder.scale:
            sizes["bins"] = encoder.bins_
    elif not is_dict(X):
        sizes |= {"d_in": X.shape[1], "n_num_features": X.shape[1]}
        sizes["cat_cardinalities"] = []
    for name, size in sizes.items():
        if name in takes and name not in given:
            net.set_params(**{f"module__{name}": size})


# One net.


def new_net(given: NeuralNet, *, verbose: int = 0) -> NeuralNet:
    """Return a clone of a net that is ready to be fitted."""
    net = clone(given)
    _validation.check_training_parameters(net)
    for name, value in net.get_params(deep=False).items():
        if name.endswith("batch_size") and isinstance(value, np.integer):
            net.set_params(**{name: int(value)})  # torch wants no numpy.int64
    if net.iterator_train is DataLoader and not _orders_rows(net):
        net.set_params(iterator_train__shuffle=True)
    net.set_params(verbose=verbose)
    sink = getattr(net, "callbacks__print_log__sink", None)
    if sink == "auto" and not verbose:
        # AccelerateMixin's own, which prints at any `verbose`.
        # (set_params would initialise the callbacks, and so resolve "auto".)
        net.callbacks__print_log__sink = skorch_compat.Printer(net)
    return net


def _orders_rows(net: NeuralNet) -> bool:
    """Whether the net's parameters say in which order rows are trained on."""
    given = net.get_params_for("iterator_train").keys()
    return bool(given & {"shuffle", "sampler", "batch_sampler"})


def make_sampler(
    net: NeuralNet, seed: int, *, task: str, layers: Any, mixing: Any, **settings: Any
) -> MixupSampler:
    """Return the sampler for a fit of `net`, with ``layers="auto"`` resolved."""
    if layers == "auto":
        inside = task == "regressor" and wants_scaled(net)
        layers = "embedding" if inside and is_interpolating(mixing) else "input"
    layers = [layers] if isinstance(layers, str) else layers
    places = [None if layer == "input" else layer for layer in layers]
    return MixupSampler(seed=seed, layers=places, mixing=mixing, **settings)


def fit_net(
    net: NeuralNet,
    samples: Samples,
    *,
    sampler: MixupSampler,
    preparation: Preparation,
    seed: int,
    validation: tuple[Any, ...] | None = None,
    method: str = "fit",
    recorder: Recorder | None = None,
    trainings: Trainings | None = None,
) -> None:
    """Train `net` on prepared samples by its `method`, seeded; tell who listens."""
    preparation.target.check_criterion(net)
    training = mixed_training(
        net,
        sampler=sampler,
        weight=samples.weight,
        validation=validation,
        check_output=preparation.target.check_output,
        table=preparation.context(samples),
        recorder=recorder,
        trainings=trainings,
    )
    noting = noting_what_a_net_gets(samples.X, preparation)
    with one_thread_each(), seeded(seed, net.device), noting:
        n_before = len(net.history or ()) if method == "partial_fit" else 0
        with training:
            getattr(net, method)(samples.X, samples.y)
        check_finite(net, n_before)
        if may_overflow(net):
            _check_outputs(preparation.outputs(net, samples.X, draws=True))


@contextmanager
def noting_what_a_net_gets(X: Any, preparation: Preparation) -> Iterator[None]:
    """Note in errors of torch's layers what a net gets of a prepared table."""
    try:
        yield
    except (RuntimeError, IndexError) as error:
        if _is_of_a_layer(error):
            encoded = preparation.encoder is not None
            error.add_note(_what_a_net_gets(X, encoded=encoded))
        raise


def _is_of_a_layer(error: Exception) -> bool:
    """Whether torch has raised an error in one of its layers."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames[-1].f_globals.get("__name__", "").startswith("torch.nn."):
        return False
    owners = (frame.f_locals.get("self") for frame in frames)
    modules = [owner for owner in owners if isinstance(owner, nn.Module)]
    return bool(modules) and not type(modules[-1]).__name__.endswith("Loss")


def _what_a_net_gets(X: Any, *, encoded: bool) -> str:
    if is_dict(X):
        shapes = (f"{name} of shape {np.shape(part)}" for name, part in X.items())
        return f"(The net gets {' and '.join(shapes)}.)"
    note = f"The net gets rows of width {X.shape[1]} in the dtype of its parameters. "
    if encoded:
        note += (
            "Categories are one-hot, or codes if its module's forward takes x_num and "
            "x_cat. "
        )
    return f"({note}A module whose signature names d_in is given the width.)"


def _check_outputs(outputs: Any) -> None:
    """Raise `Diverged` unless all predictions of training samples are finite."""
    if not np.isfinite(np.asarray(outputs, dtype=np.float64)).all():
        raise diverged("outputs that are no finite numbers for samples of the training")


def draws_to_predict(net: NeuralNet, X: Any) -> bool:
    """Whether a fitted net draws from a global generator to predict rows like `X`."""
    with seeded(device=net.device):
        return draws(net, multi_indexing(X, slice(2)))
