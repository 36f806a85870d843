"""Encode labels and numbers for a net, and decode its outputs.

A codec is learnt from training targets; it encodes targets for a net, checks the
net's first outputs against them, and decodes what the fitted net predicts.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from skorch import NeuralNet
from torch import nn

from skmix._training.skorch_compat import criterion_is, is_skorchs_own
from skmix._validation import is_number, warn, wrong


@dataclass(frozen=True)
class ClassCodec:
    """Labels to class indices, and a net's outputs to probabilities.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    binary : bool
        Whether the net has a single output, for the second of two classes.
    class_weight : ndarray of shape (n_classes,) or None
    mass : ndarray of shape (n_classes,)
        Sum of the weights of the training samples of each class, class weights
        included.
    """

    classes: np.ndarray
    binary: bool
    class_weight: np.ndarray | None
    mass: np.ndarray

    @classmethod
    def learn(
        cls,
        y: np.ndarray,
        *,
        binary: bool,
        class_weight: Any = None,
        weight: np.ndarray | None = None,
        classes: np.ndarray | None = None,
    ) -> "ClassCodec":
        """Learn the codec from training labels and their row weights.

        `classes` are all there are, sorted, where `y` may lack some.
        """
        present = check_labels(y)
        classes = present if classes is None else classes
        if len(classes) < 2:
            raise ValueError(
                f"Got one class only ({classes.tolist()[0]!r}), but expected at least "
                "two (rows of weight 0 do not count)."
            )
        if binary and len(classes) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)}: got {len(classes)} classes for a net with a "
                "single output. Use skorch.NeuralNetClassifier for more than two."
            )
        index = _index_of(y, classes)
        class_weight = _checked_class_weight(class_weight, classes)
        if class_weight is not None:
            # Those of classes that are not there cannot be balanced, and are 1.
            known = present if isinstance(class_weight, str) else classes
            of_known = compute_class_weight(
                class_weight, classes=known, y=y, sample_weight=weight
            )
            class_weight = np.ones(len(classes))
            class_weight[np.searchsorted(classes, known)] = of_known
            if not (class_weight >= 0).all() or not np.isfinite(class_weight).all():
                raise ValueError(
                    f"Got class weights {class_weight} for the classes "
                    f"{classes.tolist()}, but expected finite numbers of at least 0."
                )
            if (class_weight > 0).sum() < 2:
                raise ValueError(
                    f"Got class weights {class_weight} for the classes "
                    f"{classes.tolist()}, but expected at least two classes of a "
                    "weight above zero."
                )
        mass = np.bincount(index, weight, minlength=len(classes))
        mass = mass if class_weight is None else mass * class_weight
        return cls(classes, binary, class_weight, mass)

    def relearnt(
        self,
        y: np.ndarray,
        weight: np.ndarray | None,
        class_weight: Any,
        *,
        more: bool = False,
    ) -> "ClassCodec":
        """Return the codec of the same classes in other samples, or in `more` samples.

        Class weights are those that are given, and not those of before.
        """
        codec = self.learn(
            y,
            binary=self.binary,
            class_weight=class_weight,
            weight=weight,
            classes=self.classes,
        )
        return replace(codec, mass=codec.mass + self.mass) if more else codec

    @property
    def n_outputs(self) -> int:
        return 1 if self.binary else len(self.classes)

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in the training samples, by weight."""
        return np.asarray(self.mass / self.mass.sum())

    def encode(self, y: np.ndarray, name: str = "y") -> np.ndarray:
        """Return indices into `classes`, as the net's criterion wants them."""
        index = _index_of(y, self.classes, name)
        return index.astype(np.float64 if self.binary else np.int64)

    def class_factor(self, y: np.ndarray) -> np.ndarray | None:
        """Return the weight of each row's class, of shape (n,), or None."""
        if self.class_weight is None:
            return None
        return np.asarray(self.class_weight[_index_of(y, self.classes)])

    def check_classes(self, classes: Any) -> None:
        """Raise unless `classes` are those of the codec."""
        if not np.array_equal(np.unique(classes), self.classes):
            raise ValueError(
                f"Got classes={classes!r}, but expected those of the first call, "
                f"{self.classes.tolist()}."
            )

    def check_priors(self, given: Any, *, complete: bool = True) -> None:
        """Refuse priors that cannot be right for the classes.

        If the training samples are `complete`, classes with a prior are among them.
        """
        priors = _checked_priors(given, self.classes)
        if priors is None or isinstance(given, str) or not complete:
            return
        for c in np.flatnonzero((priors > 0) & (self.mass == 0)).tolist():
            raise ValueError(
                f"Got a prior of {priors[c]:.3g} for class "
                f"{self.classes.tolist()[c]!r}, but no training sample of this class "
                "has a weight above 0. Set its prior to 0, or pass such samples."
            )

    def corrected(self, proba: np.ndarray, given: Any) -> np.ndarray:
        """Return probabilities under the priors that are given."""
        priors = _checked_priors(given, self.classes)
        return proba if priors is None else under_priors(proba, priors, self.shares)

    def check_criterion(self, net: NeuralNet) -> None:
        """Raise if a criterion weighs another number of classes than there are."""
        kind = net.criterion if isinstance(net.criterion, type) else type(net.criterion)
        own = not is_skorchs_own(net, "get_loss", "predict_proba")
        if own or not issubclass(kind, nn.CrossEntropyLoss | nn.NLLLoss):
            return
        of_instance = getattr(net.criterion, "weight", None)
        weight = net.get_params_for("criterion").get("weight", of_instance)
        if weight is None:
            return
        if not isinstance(weight, torch.Tensor):
            raise TypeError(
                f"Got criterion__weight as {type(weight).__name__}, but expected a "
                "torch.Tensor of floats, or class_weight, which takes weights by label."
            )
        if np.shape(weight) != (len(self.classes),):
            raise ValueError(
                f"Got criterion__weight of shape {tuple(np.shape(weight))}, but "
                f"expected ({len(self.classes)},): one weight for each class of "
                f"{self.classes.tolist()}. (class_weight takes weights by label.)"
            )

    def check_output(self, net: NeuralNet, output: Any) -> None:
        """Raise if a first output of the module cannot be right for the classes."""
        self.check_criterion(net)
        if self.binary or not _decoded_by_skorch(net, "predict_proba", output):
            return
        # (An ensemble may put out its members along a third axis.)
        if output.ndim not in (2, 3) or output.shape[1] != len(self.classes):
            raise ValueError(
                f"Got a module output of shape {tuple(output.shape)}, but expected "
                f"({len(output)}, {len(self.classes)}): one column for each class. Set "
                "the width of the module's last layer, or name it `d_out` in the "
                "module's signature to have it filled in."
            )
        proba = output.detach()
        if callable(net.predict_nonlinearity):
            proba = net.predict_nonlinearity(proba)
        elif net.predict_nonlinearity == "auto" and criterion_is(net, *_LOGITS):
            # (Logits of a few rows may sum to 1 by chance.)
            enough = criterion_is(net, nn.CrossEntropyLoss) and len(proba) >= 8
            if enough and _are_probabilities(proba, proba.sum(dim=1)):
                warn(
                    "The module's outputs are probabilities already, of which "
                    "CrossEntropyLoss takes the softmax once more. Let the module end "
                    "without a softmax, or use criterion=torch.nn.NLLLoss."
                )
            return
        if not _are_probabilities(proba, proba.sum(dim=1)):
            raise ValueError(
                "Got module outputs that are no probabilities (rows sum to "
                f"{proba.sum(dim=1).min():.3g} to {proba.sum(dim=1).max():.3g}, the "
                f"smallest entry is {proba.min():.3g}), but the criterion "
                f"{type(net.criterion_).__name__} makes skorch take them for "
                "probabilities. End the module with a softmax, use criterion=torch.nn."
                "CrossEntropyLoss with raw outputs, or pass a predict_nonlinearity."
            )

    def decode(self, output: Any) -> np.ndarray:
        """Return probabilities of shape (n, n_classes), float64, rows sum to 1."""
        proba = np.asarray(output, dtype=np.float64)
        if proba.ndim != 2 or proba.shape[1] != len(self.classes):
            raise ValueError(
                f"Got outputs of shape {proba.shape} from the net's predict_proba, but "
                f"expected ({len(proba)}, {len(self.classes)})."
            )
        total = proba.sum(axis=1, keepdims=True)
        if not _are_probabilities(proba, total):
            if np.isnan(proba).any():
                raise ValueError(_DIVERGED.format("predict_proba"))
            raise ValueError(
                "Got outputs of the net's predict_proba that are no probabilities. "
                "Pass a predict_nonlinearity that makes them so."
            )
        return proba / total


def _index_of(y: np.ndarray, classes: np.ndarray, name: str = "y") -> np.ndarray:
    """Return indices of labels in sorted `classes`, of which each must be one."""
    known = np.isin(y, classes)
    if not known.all():
        raise ValueError(
            f"Got {name} with unknown labels {np.unique(y[~known]).tolist()}, but "
            f"expected only {classes.tolist()}, the classes seen in training."
        )
    return np.searchsorted(classes, y)


def under_priors(
    proba: np.ndarray, priors: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Correct probabilities for classes that come in other shares than in training.

    Parameters
    ----------
    proba : ndarray of shape (n, n_classes)
        Probabilities, as learnt from samples with these `shares`.
    priors, shares : ndarray of shape (n_classes,)
        Shares of the classes where predictions are used, and in training.

    Returns
    -------
    proba : ndarray of shape (n, n_classes), float64
        In proportion to ``proba * priors / shares`` (Saerens et al. 2002, equation 4;
        of two classes it is theorem 2 of Elkan 2001); 0 for classes without a share.

    Raises
    ------
    ValueError
        If each class has a prior or a share of 0.

    References
    ----------
    M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the Outputs of a Classifier to
    New a Priori Probabilities", Neural Computation 14, 2002

    C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001
    """
    known = shares > 0
    ratio = np.divide(priors, shares, out=np.zeros_like(shares), where=known)
    if not ratio.any():
        raise ValueError(
            f"Got priors {priors.tolist()}, which are 0 for each class that has "
            "training samples. Raise one of them, or train on samples of the others."
        )
    with np.errstate(divide="ignore"):  # of a sum of 0 there would be no share
        return np.asarray(softmax(np.log(proba.clip(_TINY)) + np.log(ratio), axis=1))


def _checked_class_weight(given: Any, classes: np.ndarray) -> Any:
    """Return class weights as scikit-learn takes them: a dict, "balanced" or None."""
    if given is None or (isinstance(given, str) and given == "balanced"):
        return given
    if not isinstance(given, Mapping | pd.Series):
        kind = ValueError if isinstance(given, str) else TypeError
        expected = "'balanced', a dict {label: weight} or None"
        raise wrong(kind, "class_weight", given, expected)
    labels, known = list(given.keys()), set(classes.tolist())
    unknown = [label for label in labels if label not in known]
    # (A fold may lack a class, but then no other class lacks a weight.)
    if len({*labels}) < len(labels) or (unknown and not known <= {*labels}):
        raise ValueError(
            f"Got class_weight for the labels {labels}, but expected labels of y, each "
            f"once, which has the classes {classes.tolist()}."
        )
    try:
        return {label: float(given[label]) for label in labels if label in known}
    except (TypeError, ValueError) as error:
        raise wrong(TypeError, "class_weight", given, "numbers as weights") from error


def _are_shares_of(labels: list[Any], given: Any) -> bool:
    """Whether there is a share for each label, and none above 0 for others."""
    others = set(given.keys()) - {*labels}
    nothing = all(is_number(given[label]) and not given[label] for label in others)
    return {*labels} <= set(given.keys()) and nothing


def _names_no_labels(given: Any) -> bool:
    """Whether numbers are a Series with the index 0, 1, 2 ..."""
    is_series = isinstance(given, pd.Series)
    return is_series and given.index.equals(pd.RangeIndex(len(given)))


def without_pandas(given: Any, *, in_order: bool) -> Any:
    """Return what is given by label as a plain dict.

    `in_order` says that a Series with the index 0, 1, 2 ... is in the order of classes.
    """
    if in_order and _names_no_labels(given):
        return given.to_numpy()
    return dict(given.items()) if isinstance(given, Mapping | pd.Series) else given


def _checked_priors(given: Any, classes: np.ndarray) -> np.ndarray | None:
    """Return priors as an array of shape (n_classes,), or None for None."""
    n_classes = len(classes)
    if given is None:
        return None
    if isinstance(given, str) and given == "uniform":
        return np.full(n_classes, 1 / n_classes)
    expected = "'uniform', None or a number for each class, in the order of classes_"
    if isinstance(given, str):
        raise wrong(ValueError, "priors", given, expected)
    if _names_no_labels(given):
        given = given.tolist()
    if isinstance(given, Mapping | pd.Series):
        known, labels = classes.tolist(), list(given.keys())
        once = len({*labels}) == len(labels)
        # (Of a category that no row has, pandas counts 0.)
        if not once or not _are_shares_of(known, given):
            raise ValueError(
                f"Got priors for the labels {labels}, but expected one for each of the "
                f"classes {known}."
            )
        given = [given[label] for label in known]
    priors = np.asarray(given)
    if priors.ndim == 0 or priors.dtype.kind not in "fiu":
        raise wrong(TypeError, "priors", given, expected)
    if priors.shape != (n_classes,):
        raise ValueError(
            f"Got priors of shape {priors.shape}, but expected ({n_classes},): one "
            "number for each class, in the order of classes_."
        )
    if not (priors >= 0).all() or not np.isfinite(priors).all():
        expected = "finite numbers of at least 0"
        raise wrong(ValueError, "priors", priors.tolist(), expected)
    if abs(priors.sum() - 1) > 1e-5:
        raise ValueError(
            f"Got priors that sum to {priors.sum():.6g}, but expected 1. Divide them "
            "by their sum."
        )
    return priors.astype(np.float64)


@dataclass(frozen=True)
class NumberCodec:
    """Numbers to standardised numbers and back.

    Attributes
    ----------
    mean, scale : float
    """

    mean: float = 0.0
    scale: float = 1.0

    n_outputs = 1

    @classmethod
    def learn(cls, y: np.ndarray, weight: np.ndarray | None = None) -> "NumberCodec":
        """Learn mean and standard deviation from training targets."""
        y = np.asarray(y, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.average(y, weights=weight)
            scale = np.sqrt(np.average((y - mean) ** 2, weights=weight))
        if not np.isfinite(scale):
            raise ValueError(
                f"Got targets of up to {np.abs(y).max():.3g}, whose variance is no "
                "finite number. Express y in another unit."
            )
        return cls(mean, scale if scale > 0 else 1.0)

    def encode(self, y: np.ndarray, name: str = "y") -> np.ndarray:
        """Return standardised targets of shape (n,), float64."""
        return (np.asarray(y, dtype=np.float64) - self.mean) / self.scale

    def class_factor(self, y: np.ndarray) -> None:
        """Numbers have no classes to be weighted."""

    def relearnt(self, *args: Any, **kwargs: Any) -> "NumberCodec":
        """Return itself: numbers are scaled as in the first samples."""
        return self

    def check_priors(self, given: Any, *, complete: bool = True) -> None:
        """Numbers have no priors."""

    def check_criterion(self, net: NeuralNet) -> None:
        """Numbers are weighed by no criterion."""

    def check_output(self, net: NeuralNet, output: Any) -> None:
        """Raise if a first output of the module is not one number a row."""
        if not _decoded_by_skorch(net, "predict", output):
            return
        # (An ensemble may put out its members along a third axis.)
        if output.ndim not in (1, 2, 3) or output.shape[1:2] not in ((), (1,)):
            raise ValueError(
                f"Got a module output of shape {tuple(output.shape)}, but expected "
                f"({len(output)}, 1) or ({len(output)},): one number a row. Set the "
                "width of the module's last layer to 1."
            )

    def decode(self, output: Any) -> np.ndarray:
        """Return predictions of shape (n,), float64."""
        numbers = np.asarray(output, dtype=np.float64).reshape(len(output))
        if not np.isfinite(numbers).all():
            raise ValueError(_DIVERGED.format("predict"))
        return numbers * self.scale + self.mean


def check_labels(y: np.ndarray) -> np.ndarray:
    """Return the sorted classes; refuse what cannot be their labels."""
    try:
        classes = np.unique(y)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y})
        raise TypeError(
            f"Got y with labels that have no order (of {', '.join(kinds)}), but "
            "expected labels of one type, numbers or strings, such as "
            "[str(label) for label in y]."
        ) from error
    # Labels, each three times: of many classes scikit-learn would warn at this line.
    # (Huge numbers are compared as integers.)
    labels = np.repeat(classes, 3)
    with np.errstate(invalid="ignore"):
        if type_of_target(labels) == "unknown":
            raise _unknown_labels(y)
        try:
            check_classification_targets(labels)
        except ValueError as error:
            way_out = "MixupRegressor and MixupRegressorCV predict numbers."
            raise ValueError(f"{error} {way_out}") from error
    if len(y) > 20 and len(classes) > len(y) / 2:
        warn(
            f"Got {len(classes)} different labels in {len(y)} rows. Are they numbers "
            "to predict? Then use MixupRegressor or MixupRegressorCV."
        )
    return classes


def _unknown_labels(y: np.ndarray) -> Exception:
    """Return the error for labels of dtype object whose type tells nothing."""
    label = y.flat[0]
    dtypes = (("bool", bool | np.bool_), ("int", Integral), ("float", Real))
    fitting = (name for name, of in dtypes if all(isinstance(c, of) for c in y))
    return ValueError(
        f"Unknown label type: got y of dtype object with labels such as {label!r} (of "
        f"type {type(label).__name__}), but expected numbers, booleans or strings in a "
        f"dtype of their own: y.astype({next(fitting, 'str')}), say. (A column that "
        "had missing labels keeps the dtype object when their rows are dropped.)"
    )


_TINY = np.finfo(np.float64).tiny

_DIVERGED = (
    "Got outputs of the net's {} that are no finite numbers. Training has diverged; "
    "lower `lr`, or scale the columns (and the targets of a regression)."
)

# skorch makes probabilities of the outputs that belong to these criteria.
_LOGITS = (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.BCELoss)


def _decoded_by_skorch(net: NeuralNet, method: str, output: Any) -> bool:
    """Whether skorch's own `method` makes predictions of a single tensor."""
    if not isinstance(output, torch.Tensor):
        return False
    module = inspect.getmodule(getattr(type(net), method))
    return module is not None and module.__name__.startswith("skorch.")


def _are_probabilities(proba: Any, total: Any) -> bool:
    """Whether rows, and what each sums to, are probabilities of classes."""
    # Half precision sums to 1 within some 1e-2.
    return bool((proba.min() >= 0) & (abs(total - 1).max() < 2e-2))
