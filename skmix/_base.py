"""Settings, tables and predictions, which all four skmix estimators share."""

import numbers
from collections.abc import Callable
from copy import copy
from functools import partial, wraps
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
)
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetBinaryClassifier

from skmix import _default_net, _validation
from skmix._callbacks import TakesCallbacks, take_down, without_contexts
from skmix._html import block_around
from skmix._mixing.mixup import check_mixing
from skmix._preparation import (
    Preparation,
    Samples,
    is_dict,
    learn_reader,
    make_sampler,
    new_net,
    read_table,
)
from skmix._tables.dtypes import as_frame
from skmix._tables.targets import ClassCodec
from skmix._training import changes, skorch_compat
from skmix._training.epoch import interruptible
from skmix.pairing import check_pairing

Method = TypeVar("Method", bound=Callable[..., Any])


def all_or_nothing(fit: Method) -> Method:
    """Let a method work on a copy of the estimator, which takes its place at the end.

    Until then, and for good after an error or Ctrl-C, the estimator is as it was: for
    the caller, for callbacks, for other threads.
    """

    @wraps(fit)
    def fit_a_draft(self: Any, *args: Any, **kwargs: Any) -> Any:
        draft = skorch_compat.twin(self)
        with interruptible():
            try:
                fit(draft, *args, **kwargs)
            finally:
                take_down(draft)
        self.__dict__ = vars(draft)
        return self

    return fit_a_draft  # type: ignore[return-value]


def of_one_fit(predict: Method) -> Method:
    """Let a method see one fit only, even if another thread fits anew meanwhile."""

    @wraps(predict)
    def predict_by_a_copy(self: Any, *args: Any, **kwargs: Any) -> Any:
        return predict(skorch_compat.twin(self), *args, **kwargs)

    return predict_by_a_copy  # type: ignore[return-value]


class BaseMixup(TakesCallbacks, MetaEstimatorMixin, BaseEstimator):
    """Settings, tables and tags of every skmix estimator."""

    # Groups are for the pairing, and most pairings look at none: a splitter may have
    # them alone. Who pairs by groups calls `set_fit_request(groups=True)`.
    __metadata_request__fit: ClassVar = {"groups": False}

    _task: Literal["Classifier", "Regressor"]
    _preparation: Preparation

    def _check_settings(self) -> None:
        _validation.check_loaded(self)
        task = self._task.lower()
        _validation.check_option("lam_per", self.lam_per, ("batch", "row"))
        check_mixing(self.mixing, task)
        check_pairing(self.pairing, task)
        _validation.check_layers(self.layers)
        _validation.check_at_least_0("clean_weight", self.clean_weight)
        _validation.check_categorical_features(self.categorical_features)
        _validation.check_option("verbose", self.verbose, (0, 1))
        if self.estimator is not None:
            _validation.check_net(self.estimator, task=self._task)

    def _read(self, X: Any, *y: Any, reset: bool = False, min_rows: int = 1) -> Any:
        """Return X, or X and y, as arrays of numbers and codes."""
        if reset:
            X = X if is_dict(X) else as_frame(X)
            self._reader = learn_reader(X, self.categorical_features)
        encoder = None if reset else self._preparation.encoder
        allow_nan = reset or (encoder is not None and encoder.takes_missing_)
        options: dict[str, Any] = {"reset": reset, "allow_nan": allow_nan}
        return read_table(self, self._reader, X, *y, min_rows=min_rows, **options)

    def _read_samples(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, **options: Any
    ) -> Samples:
        """Return the samples to train on, those of weight 0 among them."""
        _validation.check_single_target(y, self._task, type(self).__name__)
        _validation.check_no_target_missing(y)
        if self._task == "Regressor":
            _validation.check_number_targets(y)
        X, y = self._read(X, y, **options)
        weight = _validation.check_sample_weight(sample_weight, y)
        if groups is not None:
            groups = _validation.codes_of_groups(_validation.check_groups(groups, y))
        return Samples(X, y, weight, groups)

    def net_to_fit(self) -> NeuralNet:
        """Return the net that `fit` clones.

        Returns
        -------
        net : skorch.NeuralNet
            `estimator`, or, where it is None, a new default net.

        Examples
        --------
        >>> from skmix import MixupClassifier, MixupClassifierCV
        >>> MixupClassifier().net_to_fit().lr
        0.01
        >>> MixupClassifierCV().net_to_fit().get_params()["module__k"]
        2
        """
        if self.estimator is None:
            classify = self._task == "Classifier"
            return _default_net.default_net("classifier" if classify else "regressor")
        return self.estimator

    def _new_net(self, given: NeuralNet | None = None) -> NeuralNet:
        """Return a net to fit, a clone of the given one (of `net_to_fit()`)."""
        given = self.net_to_fit() if given is None else given
        categorical = copy(self.categorical_features)
        self._fitted_with = changes.Recipe.of(given), categorical
        return new_net(given, verbose=self.verbose)

    def _prepare(self, net: NeuralNet, samples: Samples, **options: Any) -> Preparation:
        """Learn how samples are coded for a net."""
        return Preparation.fit(
            net,
            samples,
            task=self._task.lower(),
            reader=self._reader,
            categorical_features=self.categorical_features,
            names=getattr(self, "feature_names_in_", None),
            class_weight=getattr(self, "class_weight", None),
            **options,
        )

    def _sampler_maker(self) -> Callable[..., Any]:
        """Return a function of net, seed and `alpha` that makes a sampler."""
        names = ("lam_per", "mixing", "pairing", "layers", "clean_weight")
        settings = {name: getattr(self, name) for name in names}
        return partial(make_sampler, task=self._task.lower(), **settings)

    def _predict(self, X: Any) -> np.ndarray:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        shown = self
        if isinstance(self.estimator, NeuralNet):
            as_given = skorch_compat.AsGiven(self.estimator)
            shown = skorch_compat.twin(self, estimator=as_given)
        return BaseEstimator.__repr__(shown, N_CHAR_MAX)

    def _sk_visual_block_(self) -> Any:
        given = self.estimator
        net = self.net_to_fit() if given is None else given
        return block_around(net, default=given is None)

    def __sklearn_clone__(self) -> Self:
        # A clone no longer shows that its module was trained.
        net = self.estimator
        if isinstance(net, NeuralNet):
            _validation.check_untrained(net)
        other = super().__sklearn_clone__()
        if isinstance(net, NeuralNet) and skorch_compat.has_default_split(net):
            other.estimator.train_split = net.train_split  # and so has its net
        return other

    def __getstate__(self) -> dict[str, Any]:
        state = without_contexts(super().__getstate__())
        if isinstance(self.estimator, NeuralNet):
            state = state | {"estimator": skorch_compat.picklable(self.estimator)}
        return state

    def set_params(self, **params: Any) -> Self:
        """Set the parameters of this estimator and of the net it wraps.

        Parameters
        ----------
        **params : dict
            Parameters of the net are spelt ``estimator__lr`` and the like.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If parameters of the net are given while ``estimator`` is None.
        """
        nested = [name for name in params if name.startswith("estimator__")]
        if nested and params.get("estimator", self.estimator) is None:
            net = f"skmix.default_net({self._task.lower()!r})"
            raise ValueError(
                f"Got {', '.join(nested)}, but estimator=None, which stands for "
                f"a net like {net}, has no parameters to set. Pass estimator={net} "
                "instead."
            )
        return super().set_params(**params)


class PredictsClasses(ClassifierMixin, BaseMixup):
    """Predictions of a classifier."""

    _task = "Classifier"

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted; of shape (n_classes,)."""
        check_is_fitted(self, "_preparation")
        return self._codec.classes

    @property
    def class_prior_(self) -> np.ndarray:
        """Share of each class in the training samples; of shape (n_classes,)."""
        check_is_fitted(self, "_preparation")
        return self._codec.shares

    @property
    def _codec(self) -> ClassCodec:
        target = self._preparation.target
        assert isinstance(target, ClassCodec)
        return target

    @of_one_fit
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes), float64
            Columns ordered as ``classes_``; rows sum to 1.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        proba = self._predict(X)
        return self._codec.corrected(proba, self.priors)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes), float64
            Columns ordered as ``classes_``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each row.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            The most probable label; with a ``NeuralNetBinaryClassifier``, the
            second one where its probability exceeds the net's ``threshold``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        proba = self.predict_proba(X)
        if self._codec.binary:
            net = getattr(self, "estimators_", [self])[0].estimator_
            return self.classes_[(proba[:, 1] > net.threshold).astype(int)]
        return self.classes_[proba.argmax(axis=1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        binary = isinstance(self.estimator, NeuralNetBinaryClassifier)
        tags.classifier_tags.multi_class = not binary
        return tags


class PredictsNumbers(RegressorMixin, BaseMixup):
    """Predictions of a regressor."""

    _task = "Regressor"

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """Predict the target of each row.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,), float64

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        return self._predict(X)


def of_kind(other: BaseMixup, kind: type, /, **params: Any) -> Any:
    """Return an unfitted estimator of another kind with the settings that both have."""
    own = other.get_params(deep=False)
    names = kind().get_params(deep=False).keys() & own.keys()
    return kind(**({name: own[name] for name in names} | params))


def draw_seed(random_state: Any) -> int:
    """Return `random_state` if it is an int, else draw one from it."""
    generator = _validation.check_seed(random_state)
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(generator.randint(np.iinfo(np.int32).max))
