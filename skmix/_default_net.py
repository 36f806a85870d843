"""The default net, an ensemble of small nets in one, and the recipe that trains it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping
from skorch.dataset import get_len
from skorch.utils import data_from_dataset, to_tensor
from torch import nn
from torch.utils.data import Subset

from skmix._training.muon import Muon
from skmix._training.random import seeded
from skmix._training.skorch_compat import (
    as_module_dtype,
    is_skorchs_own,
    named_callbacks,
    shaped_like,
    stop_caching,
    stops_early,
    watches_validation,
)
from skmix.networks import TabularNet, apply_temperature, fit_temperature
from skmix.preprocessing import increasing_edges, quantile_edges

MIN_BATCH, MAX_BATCH = 16, 256
N_BATCHES = 6  # at least so many in an epoch, as far as MIN_BATCH allows
SMOOTHED = 10, 0.1  # rows of labels spread evenly, and their largest share
HIDDEN = "*members.[0-9]*.weight"  # matrices of a `TabularNet`, but the output layer's


class Found(NamedTuple):
    """What a training with rows held out has found, for the one on all rows.

    Attributes
    ----------
    n_epochs : int or None
        How many are best; None if there is no second training.
    start : dict
        Parameters of the net as they were before.
    losses : ndarray of shape (n_held_out,) or None
        Of each row held out; None if there are none.
    temperature : float or None
    weight : ndarray of shape (n_held_out,) or None
    history : skorch.history.History or None
    """

    n_epochs: int | None
    start: dict[str, Any]
    losses: np.ndarray | None = None
    temperature: float | None = None
    weight: np.ndarray | None = None
    history: Any = None

    def without_rows(self) -> "Found":
        """Return what is small enough to be kept."""
        return self._replace(start={}, losses=None, weight=None)


class TabularNeuralNet(NeuralNet):
    """A skorch net around a `TabularNet` that owns the recipe of its training.

    Parameters
    ----------
    module : class or torch.nn.Module
        `TabularNet`, or similar. ``module__d_in``, ``module__d_out`` and
        ``module__bins`` are found in the training rows unless they are given.
    batch_size : int or "auto"
        "auto" is a power of 2 between 16 and 256 that leaves at least six batches.
    refit : bool, default=True
        Train again on all samples for the number of epochs that early stopping found.
    **kwargs
        As in `skorch.NeuralNet`.
    """

    callbacks_: list[tuple[str, Any]]

    def __init__(self, module: Any, *args: Any, refit: bool = True, **kwargs: Any):
        super().__init__(module, *args, **kwargs)
        self.refit = refit

    def fit(self, X: np.ndarray, y: np.ndarray, **fit_params: Any) -> Self:
        """Train with rows held out, then on all rows for the best number of epochs.

        The second training starts from the random state of the first one. There is none
        without `refit` and early stopping, if other callbacks monitor validation
        scores, if the split validates on rows from outside (``predefined_split``), or
        if the first training was interrupted. ``warm_start`` has no effect: use
        `partial_fit`.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features), float
            Finite numbers, scaled and encoded. Trailing columns of zeros and ones are
            taken for categories, which are not embedded.
        y : ndarray of shape (n_samples,)
            Numbers, or the classes 0, 1, 2, ... for a classifier.
        **fit_params : dict
            Passed to ``forward`` and to `train_split`.

        Returns
        -------
        self : object
        """
        self.explore(X, y, **fit_params)
        return self.train_again(X, y, **fit_params)

    def explore(self, X: np.ndarray, y: np.ndarray, **fit_params: Any) -> Self:
        """Train with rows held out, as `fit` does first, and note what these tell.

        Parameters
        ----------
        X, y, **fit_params
            As in `fit`.

        Returns
        -------
        self : object
            It has the attribute ``found_`` until `train_again` or `partial_fit`.
        """
        self.sizes_ = self._sizes_of(X, y)
        self.__dict__.pop("label_smoothing_", None)
        self.split_: tuple[Any, Any] | None = None
        twice, start = trains_twice(self), {}
        if twice:  # what a training may change
            parts = ("module", "criterion", "callbacks")
            start = {part: clone(getattr(self, part), safe=False) for part in parts}
        # The block leaves the generators as they are, for the second training.
        with seeded(device=self.device) if twice else nullcontext():
            try:
                self._train(X, y, **fit_params)
                n_epochs = self._n_epochs_found(X) if twice else None
                found = Found(n_epochs, start, *self._losses_held_out())
                self.found_ = found._replace(history=self.history)
            finally:
                del self.split_
        self.validation_history_ = self.history
        return self

    def train_again(self, X: np.ndarray, y: np.ndarray, **fit_params: Any) -> Self:
        """Train on all rows, as `fit` does in the end, by what `explore` has found.

        Parameters
        ----------
        X, y, **fit_params
            As in `explore`, with the same random state.

        Returns
        -------
        self : object

        Raises
        ------
        NotFittedError
            Before `explore`.
        """
        check_is_fitted(self, "found_")
        found = self.found_
        try:
            if found.n_epochs is not None:
                self.__dict__.update(found.start)
                with self._without_stopping(max_epochs=found.n_epochs):
                    self._train(X, y, **fit_params)
        finally:
            del self.found_
        self._set_temperature(found.temperature)
        return self

    def end_now(self, held_out: tuple[Any, np.ndarray, Any] | None) -> None:
        """Let a copy that was made in training be as if training had ended then.

        Parameters
        ----------
        held_out : tuple (X, y, weight) or None
            What `rows_held_out` returns while `explore` runs.
        """
        found = self.__dict__.pop("found_", None)
        if found is not None:
            self._set_temperature(found.temperature)
            return
        self.__dict__.pop("split_", None)
        self.validation_history_ = self.history
        if held_out is not None:
            X, y, weight = held_out
            self._set_temperature(self._losses(X, np.ravel(y), weight)[1])

    def take_over(self, fitted: "TabularNeuralNet", found: Found | None = None) -> bool:
        """Note what a net of the same parameters has found in its fit on the same rows.

        `train_again` then repeats its last training, without an exploration.

        Parameters
        ----------
        fitted : TabularNeuralNet
        found : Found, default=None
            What another exploration on these rows has found, to be taken instead.

        Returns
        -------
        taken_over : bool
            False if it was trained once, so that `fit` repeats its training.
        """
        if fitted.validation_history_ is fitted.history:
            return False
        self.sizes_ = fitted.sizes_
        if found is None:
            temperature = getattr(fitted.module_, "temperature", None)
            value = None if temperature is None else float(temperature)
            found = Found(len(fitted.history), {}, temperature=value)
        else:
            self.validation_history_ = found.history
        self.found_ = found
        return True

    def partial_fit(
        self, X: np.ndarray, y: np.ndarray, classes: Any = None, **fit_params: Any
    ) -> Self:
        """Train for `max_epochs` more epochs on all rows, without early stopping.

        Parameters
        ----------
        X, y
            As in `fit`.
        classes
            Ignored, as in skorch.
        **fit_params : dict
            Passed to ``forward``.

        Returns
        -------
        self : object
        """
        if not self.initialized_:
            self.sizes_ = self._sizes_of(X, y)
            if self._smooths():
                self.label_smoothing_ = 0.0  # nobody knows how many rows will come
            self.initialize()
        for name in ("validation_history_", "found_"):
            self.__dict__.pop(name, None)
        with self._without_stopping(), self._uncached():
            super().partial_fit(X, y, classes, **fit_params)
        return self

    def rows_held_out(self) -> tuple[Any, np.ndarray, np.ndarray | None] | None:
        """Return ``(X, y, weight)`` of rows held out, while `fit` runs."""
        train, valid = self.split_ or (None, None)
        if valid is None or valid is train:
            return None
        try:
            return *data_from_dataset(valid), None
        except AttributeError:  # of a dataset that does not hold them
            return None

    def was_stopped(self) -> bool:
        """Return whether somebody who looked on has ended the training: nobody did."""
        return False

    # What skorch asks for.

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        """Return arguments for a part of the net, with those that `fit` has found."""
        found: dict[str, Any] = {}
        if prefix == "module":
            found = vars(self).get("sizes_", {})
        elif prefix.startswith("iterator") and self.batch_size == "auto":
            found = {"batch_size": vars(self).get("batch_size_", MAX_BATCH)}
        found = found | super().get_params_for(prefix)
        if prefix == "criterion" and isinstance(found.get("label_smoothing"), str):
            if (given := found.pop("label_smoothing")) != "auto":
                raise ValueError(
                    f"Got criterion__label_smoothing={given!r}, but expected a number "
                    "from 0 to 1, or 'auto'."
                )
            if self._smooths():
                found["label_smoothing"] = vars(self).get("label_smoothing_", 0.0)
        return found

    def check_data(self, X: Any, y: Any = None) -> None:
        """Refuse numbers that are not finite, and choose what is "auto" for `X`."""
        super().check_data(X, y)
        if isinstance(X, np.ndarray) or sparse.issparse(X):
            assert_all_finite(X, input_name="X")
        n_rows = get_len(X)
        if not len(self.history):
            size = 2 ** np.floor(np.log2(n_rows / N_BATCHES))
            self.batch_size_ = int(np.clip(size, MIN_BATCH, MAX_BATCH))
        if self._smooths() and "label_smoothing_" not in vars(self):
            self.label_smoothing_ = smoothing_for(n_rows)
            self.criterion_.label_smoothing = self.label_smoothing_

    def _smooths(self) -> bool:
        """Whether the number of rows says how smooth labels are."""
        is_own = self.criterion is nn.CrossEntropyLoss
        return is_own and vars(self).get("criterion__label_smoothing") == "auto"

    def get_split_datasets(
        self, X: Any, y: Any = None, **fit_params: Any
    ) -> tuple[Any, Any]:
        """Split, and remember the parts while `fit` runs."""
        if isinstance(y, np.ndarray):
            labels = isinstance(self, NeuralNetClassifier)
            y = y.ravel()
            y = as_module_dtype(self, y, "y", kinds="f" if labels else "fiub")
        train, valid = super().get_split_datasets(X, y, **fit_params)
        if hasattr(self, "split_"):
            self.split_ = train, valid
        return train, valid

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Return a dataset in the dtype of the module."""
        if isinstance(X, np.ndarray):
            X = as_module_dtype(self, X, kinds="fiub")
        return super().get_dataset(X, y)

    def get_loss(self, y_pred: Any, y_true: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the mean loss of the members, which share their targets."""
        y_true = shaped_like(y_pred, to_tensor(y_true, device=self.device))
        return super().get_loss(y_pred, y_true, *args, **kwargs)

    # Parts of the recipe.

    def _train(self, X: Any, y: Any, **fit_params: Any) -> None:
        # (Or skorch would announce a new initialization, and clear the same history.)
        self.initialized_, self.history_ = False, None
        self.initialize()
        with self._uncached():
            super().partial_fit(X, y, **fit_params)

    @contextmanager
    def _uncached(self) -> Iterator[None]:
        """Score training rows by predictions, and not by what members put out."""
        uncached = stop_caching(self)
        try:
            yield
        finally:
            for owner in uncached:
                owner.use_caching = True

    def _sizes_of(self, X: Any, y: Any) -> dict[str, Any]:
        """Find those arguments of the module in `X` and `y` that are not given."""
        if isinstance(self.module, nn.Module) or not wants_scaled(self):
            return {}
        classify = isinstance(self, NeuralNetClassifier)
        dtype = np.asarray(y).dtype
        if classify and dtype.kind not in "iu":
            raise ValueError(
                f"Got labels of dtype {dtype}, but expected class indices 0, 1, 2 ... "
                "as integers. MixupClassifier(net, alpha=0) encodes labels, as does "
                "sklearn.preprocessing.LabelEncoder."
            )
        _check_matrix(X)
        sizes = {"d_in": X.shape[1], "d_out": int(np.max(y)) + 1 if classify else 1}
        given = set(super().get_params_for("module"))
        given.update(getattr(self.module, "keywords", ()))
        if "bins" not in given:
            sizes["bins"] = bins_of(X)
        return {name: size for name, size in sizes.items() if name not in given}

    def _n_epochs_found(self, X: Any) -> int | None:
        """Return the best epoch; None if the training was cut off, or held out none."""
        n_epochs, (train, valid) = len(self.history), self.split_ or (None, None)
        stops = [cb for _, cb in self.callbacks_ if stops_early(cb)]
        ended = n_epochs == self.max_epochs or any(
            stop.misses_ >= stop.patience for stop in stops
        )
        ended = ended and not self.was_stopped()
        held_out = train is not None and (train is valid or len(train) < get_len(X))
        found = n_epochs and stops and ended and held_out
        return best_epoch(self) if found else None

    def _losses_held_out(self) -> tuple[Any, ...]:
        """Return losses, temperature and weights by rows held out, if there are any."""
        held_out = self.rows_held_out() if len(self.history) else None
        if held_out is None:
            return ()
        X, y, weight = held_out
        return *self._losses(X, np.ravel(y), weight), weight

    def _losses(self, X: Any, y: Any, weight: Any) -> tuple[np.ndarray, float | None]:
        """Return the squared error of each row, and no temperature."""
        return (np.ravel(self.predict(X)) - y) ** 2, None

    def _set_temperature(self, temperature: float | None) -> None:
        if temperature is not None:
            self.module_.temperature.fill_(temperature)

    @contextmanager
    def _without_stopping(self, **params: Any) -> Iterator[None]:
        """Train on all rows, and by these parameters, while the block runs."""
        params |= stopping_off(self)
        before = {name: getattr(self, name) for name in params}
        self.__dict__.update(params)
        if self.initialized_:
            self.callbacks_ = without_early_stopping(self.callbacks_)
        try:
            yield
        finally:
            self.__dict__.update(before)


class TabularNetClassifier(TabularNeuralNet, NeuralNetClassifier):
    """The default classifier as a skorch net; see `default_net`.

    Parameters
    ----------
    module, batch_size, refit, **kwargs
        As in `TabularNeuralNet`.
    calibrate : bool, default=True
        Set the temperature of the module by rows held out (temperature scaling).

    Notes
    -----
    ``criterion__label_smoothing="auto"`` smooths labels by 10 divided by the number of
    rows, in steps of 0.01 and at most 0.1, where the criterion is
    `torch.nn.CrossEntropyLoss` itself. A net that begins with `partial_fit` does not.
    """

    def __init__(self, *args: Any, calibrate: bool = True, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.calibrate = calibrate

    def _losses(self, X: Any, y: Any, weight: Any) -> tuple[np.ndarray, float | None]:
        """Return the calibrated log loss of each row, and the temperature."""
        proba, temperature = self.predict_proba(X), None
        if self.calibrate and hasattr(self.module_, "temperature"):
            temperature = fit_temperature(proba, y, weight)
            proba = apply_temperature(proba, temperature)
        of_label = proba[np.arange(len(y)), y]
        return -np.log(of_label.clip(np.finfo(np.float64).tiny)), temperature


class TabularNetRegressor(TabularNeuralNet, NeuralNetRegressor):
    """The default regressor as a skorch net; see `default_net`."""


def default_net(task: Literal["classifier", "regressor"]) -> TabularNeuralNet:
    """Return the unfitted skorch net that ``estimator=None`` stands for.

    A `skmix.networks.TabularNet`, trained at a constant ``lr``: a regressor by AdamW, a
    classifier by Muon in its hidden layers and AdamW elsewhere. One row in five is held
    out, and never mixed; training stops after five epochs without a lower validation
    loss. Then the net is trained again on all rows, for the best number of epochs, and
    a classifier is calibrated by the rows held out (temperature scaling). Its labels
    are smoothed, as if ten rows had the labels of all classes evenly: by 10 divided
    by the number of rows, in steps of 0.01 and at most 0.1. Validation losses are of
    smoothed labels, too.

    Each step of this recipe is a parameter of the net: ``train_split``, ``callbacks``
    (early stopping), ``refit``, ``calibrate``, ``batch_size="auto"``,
    ``criterion__label_smoothing="auto"``, ``module__average_decay``, and so are
    ``module__k``, ``module__d_block``, ``lr``, ``max_epochs`` ... With ``X_val`` in the
    `fit` of an estimator, or with other callbacks that monitor validation scores, the
    net is trained once, and keeps the weights of the best epoch.

    The net can be trained by skorch alone: ``fit(X, y)`` takes an array of finite
    floats and finds the sizes of its module in it. It neither scales nor encodes. The
    skmix estimators do, for every net whose module is `TabularNet`, a subclass or an
    instance of it.

    Parameters
    ----------
    task : {"classifier", "regressor"}

    Returns
    -------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor

    Raises
    ------
    ValueError
        If `task` is neither 'classifier' nor 'regressor'.

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
    CVPR 2016, https://arxiv.org/abs/1512.00567 (label smoothing: section 7)

    Examples
    --------
    >>> from skmix import MixupClassifier, default_net
    >>> net = default_net("classifier").set_params(lr=3e-3, module__d_block=64)
    >>> MixupClassifier(net).estimator.lr
    0.003

    In skorch alone:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> X, y = load_iris(return_X_y=True)
    >>> default_net("classifier").fit(scale(X), y).score(scale(X), y) > 0.9
    True
    """
    if task not in ("classifier", "regressor"):
        raise ValueError(
            f"Got task={task!r}, but expected 'classifier' or 'regressor'."
        )
    classify = task == "classifier"
    own: dict[str, Any]
    if classify:
        own = {
            "criterion": nn.CrossEntropyLoss,
            "criterion__label_smoothing": "auto",
            "optimizer": partial(Muon, betas=(0.9, 0.95), fused=True),
            "optimizer__param_groups": [(HIDDEN, {"orthogonal": True})],
            "lr": 1e-2,
        }
    else:
        own = {
            "criterion": nn.MSELoss,
            "optimizer": partial(torch.optim.AdamW, betas=(0.9, 0.95), fused=True),
            "lr": 6e-3,
        }
    kind = TabularNetClassifier if classify else TabularNetRegressor
    return kind(
        TabularNet,
        **own,
        optimizer__weight_decay=1e-2,
        batch_size="auto",
        max_epochs=150,
        iterator_train__shuffle=True,
        train_split=hold_out,
        callbacks=[
            ("early_stopping", EarlyStopping(patience=5, load_best=True)),
        ],
        verbose=0,
    )


def smoothing_for(n_rows: int) -> float:
    """Return the share by which labels are smoothed with "auto"."""
    n_smoothed, largest = SMOOTHED
    return round(min(n_smoothed / n_rows, largest), 2)


def wants_scaled(net: NeuralNet) -> bool:
    """Whether estimators scale columns and targets: for every `TabularNet`.

    So they do for the default nets, and for a user's net with such a module.
    """
    module = net.module.func if isinstance(net.module, partial) else net.module
    return isinstance(module, TabularNet) or (
        isinstance(module, type) and issubclass(module, TabularNet)
    )


def trains_twice(net: NeuralNet) -> bool:
    """Whether a net trains again on all rows, once its number of epochs is known.

    Not if callbacks other than early stopping watch the rows held out: they may change
    the net (a schedule) or keep one (a checkpoint), and have nothing to watch later.
    """
    others = (
        callback for _, callback in named_callbacks(net) if not stops_early(callback)
    )
    recipe = isinstance(net, TabularNeuralNet) and net.refit and net.train_split
    return bool(recipe) and not any(map(watches_validation, others))


def is_exploring(net: NeuralNet) -> bool:
    """Whether a net of this recipe is in its `explore`."""
    return isinstance(net, TabularNeuralNet) and hasattr(net, "split_")


def is_explored(net: NeuralNet) -> bool:
    """Whether a net may be explored more than once, and one of its trainings kept.

    Not if it has a `fit` of its own, or is trained once and has callbacks of the user,
    which may write what the last training has made (checkpoints).
    """
    if not isinstance(net, TabularNeuralNet) or not is_skorchs_own(net, "fit"):
        return False
    callbacks = [callback for _, callback in named_callbacks(net)]
    return trains_twice(net) or all(map(stops_early, callbacks))


def train_once(net: NeuralNet, *, stopping: bool = True) -> NeuralNet:
    """Set a default net to a single training, without calibration; return the net.

    Without `stopping` it is on all rows, and for `max_epochs`.
    """
    if isinstance(net, TabularNeuralNet):
        params = {"refit": False} | ({} if stopping else stopping_off(net))
        if isinstance(net, TabularNetClassifier):
            params["calibrate"] = False
        net.set_params(**params)
    return net


def best_epoch(net: NeuralNet) -> int:
    """Return the epoch that early stopping found best, or else the last one."""
    stops = [cb for _, cb in net.callbacks_ if stops_early(cb) and len(net.history)]
    return max(1, stops[0].best_epoch_) if stops else len(net.history)


def stopping_off(net: NeuralNet) -> dict[str, Any]:
    """Return parameters by which a net trains on all rows for `max_epochs`."""
    params: dict[str, Any] = {"train_split": None}
    if isinstance(net.callbacks, list):
        params["callbacks"] = without_early_stopping(net.callbacks)
    return params


def without_early_stopping(callbacks: list[Any]) -> list[Any]:
    """Return the other callbacks, which are given alone or by name."""
    return [
        callback
        for callback in callbacks
        if not stops_early(
            callback[1] if isinstance(callback, tuple | list) else callback
        )
    ]


def _check_matrix(X: Any) -> None:
    """Refuse what is no array of numbers, of rows and columns."""
    is_array = isinstance(X, np.ndarray) or sparse.issparse(X)
    if is_array and X.ndim == 2 and X.shape[1] and X.dtype.kind in "fiub":
        return
    shape = f" of shape {X.shape} and dtype {X.dtype}" if is_array else ""
    raise ValueError(
        f"Got X as {type(X).__name__}{shape}, but expected an array of numbers of "
        "shape (n_samples, n_features): np.asarray(X) of a tensor or of lists. Of a "
        "table with other columns skmix.preprocessing.TableEncoder makes one, before "
        "the net in a Pipeline; so do MixupClassifier(net, alpha=0) and MixupRegressor."
    )


def bins_of(X: Any) -> list[np.ndarray]:
    """Return the edges of the bins of each number; trailing categories have none."""
    if sparse.issparse(X):
        return []
    one_hot = ((X == 0) | (X == 1)).all(axis=0) & (X == 1).any(axis=0)
    n_numbers = np.max(np.flatnonzero(~one_hot), initial=-1) + 1
    return [increasing_edges(quantile_edges(x)) for x in X.T[:n_numbers]]


def hold_out(dataset: Any, y: np.ndarray) -> tuple[Any, Any]:
    """Hold out one row in five, of every class, or spread evenly over the values.

    Classes of fewer than three rows stay with the training rows as a whole.
    Where nothing can be held out (fewer than ten rows, or small classes only) the
    training rows are validated on.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
    y : ndarray of shape (n_samples,), integers for classes or floats

    Returns
    -------
    train, valid : torch.utils.data.Dataset

    Notes
    -----
    Draws from torch's global generator, as the initialisation does.
    """
    shuffled = torch.randperm(len(dataset)).numpy()
    # Neighbours in this order are alike in y and random otherwise.
    order = shuffled[np.argsort(y[shuffled], kind="stable")]
    rank = np.arange(len(order))
    if y.dtype.kind in "iu":
        rank -= np.searchsorted(y[order], y[order])  # rank within the class
    held_out = np.zeros(len(order), dtype=bool)
    held_out[order[rank % 5 == 2]] = True
    if len(order) < 10 or not held_out.any():
        return dataset, dataset
    train: Any = np.flatnonzero(~held_out)
    valid: Any = np.flatnonzero(held_out)
    return Subset(dataset, train), Subset(dataset, valid)
