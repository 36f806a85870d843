"""A fit of one net, and what comes after: further training, replays, predictions.

`skmix._preparation` encodes samples and trains a net.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.dataset import get_len

from skmix import _default_net, _validation
from skmix._base import BaseMixup, all_or_nothing, draw_seed, of_one_fit
from skmix._callbacks import AS_IT_IS, Task, Trainings, max_epochs_of
from skmix._intervals import clearly_higher
from skmix._long_runs.digests import digest_of
from skmix._preparation import (
    Preparation,
    Samples,
    check_targets,
    draws_to_predict,
    fit_net,
)
from skmix._training import changes, skorch_compat
from skmix._training.epoch import Diverged, warn_if_above_start
from skmix._training.recording import Recorder

ALPHA = 0.2  # of mixing, where "auto" mixes
MANY_ROWS = 2_000  # of a class, or of a regression: "auto" does not mix more of them
# Standard errors by which a loss of rows held out must be higher with mixing, to speak
# against it where mixing is the rule, or lower, to speak for it where it is not.
AGAINST_MIXING, FOR_MIXING = 1.0, 2.0

# Parameters beside the net and the seed that a training depends on.
OF_TRAINING = (
    *("alpha", "lam_per", "mixing", "pairing", "layers", "clean_weight"),
    *("categorical_features", "class_weight"),
)

# What a fit of one net sets, as `skmix.save` stores it, and what that leaves out: a
# replay needs it, and the training rows.
FITTED = (
    *("_reader", "_preparation", "_draws", "estimator_", "alpha_", "history_"),
    *("n_iter_", "n_features_in_", "feature_names_in_"),
)
OF_REPLAY = ("_fitted_with", "_last_fit")


class MixupEstimator(BaseMixup):
    """What `MixupClassifier` and `MixupRegressor` share: a fit of one net."""

    # With alpha="auto" and a net of the default kind, where rows held out cannot tell.
    _mixes_in_doubt: bool
    _last_fit: "LastFit | None" = None

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Fit the net on mixed rows.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            A table as it is: numbers, booleans, categories and strings, missing
            values among them, in an array, a list of rows, or a frame of pandas or
            polars. Dates and free text are refused. A dict is passed to the module's
            ``forward`` by name, unvalidated.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: an integer weight counts as that many copies of
            the row, in expectation over the draws. Rows of weight 0 are left out.
            Weights that differ need a criterion with a ``reduction``, and skorch's
            own way of loading rows.
        groups : array-like of shape (n_samples,), default=None
            A group for each row, for ``pairing="lisa"`` and pairings that look at them.
        X_val, y_val : like X and y, default=None
            Rows to validate on after every epoch (for early stopping), never
            trained on nor mixed. They replace the net's ``train_split``, and count
            alike (except for ``class_weight``). A Pipeline passes them on as they are,
            unless ``transform_input=["X_val"]`` and metadata routing are set.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If a parameter, the table or the net is not as expected; or if training
            diverged, so that a loss or a weight is no finite number any more; or if
            the net's training step bypasses mixing, or its module a layer of `layers`.
        KeyboardInterrupt
            At Ctrl-C. (A KeyboardInterrupt that a callback raises, as early stopping
            does, ends the training quietly.)

        Warns
        -----
        ConvergenceWarning
            If the training loss ended above where it started.

        Notes
        -----
        After an error the estimator is as it was before.

        The default net is trained until its loss on every fifth row no longer improves,
        with ``alpha="auto"`` both with mixing and without; and then, from the same
        start, on all rows for the best number of epochs. With `X_val` there is no
        training on all rows, and the weights of the best epoch are kept. Its parameters
        `refit` and `calibrate` turn the last training and the calibration of a
        classifier off.
        """
        self._check_parameters()
        options = {"reset": True, "min_rows": 2}
        samples = self._read_samples(X, y, sample_weight, groups, **options).weighted()
        net = self._new_net()
        self._preparation = self._prepare(net, samples)
        self._preparation.target.check_priors(getattr(self, "priors", None))
        samples = self._preparation.transform_samples(samples)
        validation = self._read_validation(X_val, y_val)
        if validation is not None and isinstance(net, _default_net.TabularNeuralNet):
            net.set_params(refit=False)
        explores = self._explores(net, len(samples.y))
        task, trainings = self._begin_trainings(net, X, y, sample_weight, explores)
        _warn_of_small_split(self.estimator, len(samples.y), validation)
        seed = draw_seed(self.random_state)
        self._last_fit = LastFit(seed, self._settings(), validation is not None, {})
        net, alpha = self._fit_net(net, samples, validation, seed, trainings)
        if trainings.stopped:
            self._last_fit = None  # a replay would not stop there
        self._predict_by(net, alpha, samples)
        warn_if_above_start(
            net,
            mixed=callable(alpha) or alpha > 0,
            comparable=not callable(alpha),
        )
        task.end(fitted=AS_IT_IS)
        return self

    def _begin_trainings(
        self, net: NeuralNet, X: Any, y: Any, weight: Any, explores: bool
    ) -> tuple[Task, Trainings]:
        """Tell callbacks of the beginning of fit; return what they are told next."""
        n_epochs, n_trainings = max_epochs_of(net), 1
        n_trainings += explores  # (at a second alpha)
        n_trainings += _default_net.trains_twice(net)
        several = n_epochs is not None and n_trainings > 1
        n_parts = n_trainings if several else n_epochs
        task = self._begin_fit(X, y, weight, n_parts, net.device)
        return task, Trainings(task, several=several)

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, classes: Any = None
    ) -> Self:
        """Train for one more epoch, or for the first one."""
        self._check_parameters()
        self._last_fit = None
        first = not hasattr(self, "estimator_")
        if not first and not hasattr(self.estimator_, "optimizer_"):
            raise ValueError(
                f"Got a {type(self).__name__} that was loaded from a file, which holds "
                "no state of the optimizer: partial_fit cannot train it further. Call "
                "fit to train anew, or keep the estimator by pickle or joblib."
            )
        samples = self._read_samples(X, y, sample_weight, groups, reset=first)
        samples = samples.weighted()
        seed = draw_seed(self.random_state)
        if first:
            net = self._new_net()
            classes = None if classes is None else np.unique(classes)
            self._preparation = self._prepare(net, samples, classes=classes)
        else:
            net = _copied(self.estimator_)
            self._set_changed(net)
            class_weight = getattr(self, "class_weight", None)  # of now
            self._preparation = self._preparation.with_targets_of(
                samples, class_weight, more=True
            )
            # Not the draws of the calls before.
            sequence = np.random.SeedSequence([seed, len(net.history)])
            seed = int(sequence.generate_state(1)[0])
        priors = getattr(self, "priors", None)
        self._preparation.target.check_priors(priors, complete=False)
        _warn_of_small_split(self.estimator, len(samples.y), None)
        samples = self._preparation.transform_samples(samples)
        alpha = self.alpha
        if alpha == "auto":
            alpha = getattr(self, "alpha_", self._alpha_in_doubt(net))
        with _one_epoch(net):
            self._train(net, alpha, samples, None, seed, "partial_fit")
        self._predict_by(net, alpha, samples)
        return self

    def _set_changed(self, net: NeuralNet) -> None:
        """Set parameters on a fitted net that have changed since its fit."""
        net.set_params(verbose=self.verbose)
        # (A call is one epoch, whatever their number, which is refused all the same.)
        _validation.check_integer(
            "max_epochs", self.net_to_fit().max_epochs, at_least=0
        )
        if not hasattr(self, "_fitted_with"):
            return
        before, categorical = self._fitted_with
        now = changes.Recipe.of(self.net_to_fit())
        names = changes.changed_params(before, now)
        refused = [f"estimator__{name}" for name in changes.unsettable(net, names)]
        if before.kind is not now.kind:
            refused = ["estimator"]
        if not changes.alike(categorical, self.categorical_features):
            refused.append("categorical_features")
        if refused:
            raise ValueError(
                f"Got another {' and another '.join(refused)} than this "
                f"{type(self).__name__} was fitted with, which partial_fit cannot set "
                "on a trained net. Call fit to train anew, or set it back."
            )
        if names:
            wanted = self._new_net()
            changes.set_changed(net, names, wanted)
        _validation.check_training_parameters(net)

    def _fit_net(
        self,
        net: NeuralNet,
        rows: Samples,
        validation: Any,
        seed: int,
        trainings: Trainings,
    ) -> tuple[NeuralNet, Any]:
        """Train on coded rows, and return the net that predicts, and its alpha."""
        train: Callable[..., None] = partial(
            self._train,
            rows=rows,
            validation=validation,
            seed=seed,
            trainings=trainings,
        )
        n_samples = len(rows.y)
        if self._explores(net, n_samples):
            explore = partial(train, method="explore")
            net, alpha = self._explored(net, explore, trainings)
            if self._last_fit and self._last_fit.explored:
                digest = digest_of(tuple(rows))
                self._last_fit = self._last_fit._replace(digest=digest)
            if trainings.stopped:
                net.found_ = net.found_._replace(n_epochs=None)
            train(net, alpha, method="train_again")
        else:
            alpha = self.alpha
            if alpha == "auto":
                alpha = self._alpha_in_doubt(net, n_samples)
            train(net, alpha)
        return net, alpha

    def _explores(self, net: NeuralNet, n_samples: int) -> bool:
        """Whether rows held out choose the alpha of a fit."""
        fits = _default_net.is_explored(net) and not self._are_many(n_samples)
        return self.alpha == "auto" and fits

    def _alpha_in_doubt(self, net: NeuralNet, n_samples: int = 0) -> float:
        """Return the alpha that "auto" stands for where rows held out cannot tell."""
        own_recipe = isinstance(net, _default_net.TabularNeuralNet)
        mixes = self._mixes_in_doubt and not self._are_many(n_samples)
        return 0.0 if own_recipe and not mixes else ALPHA

    def _are_many(self, n_samples: int) -> bool:
        """Whether samples are so many that "auto" does not try to mix them."""
        return n_samples > MANY_ROWS * self._preparation.target.n_outputs

    def _explored(
        self, net: NeuralNet, explore: Callable[..., None], trainings: Trainings
    ) -> tuple[NeuralNet, float]:
        """Train with and without mixing while rows are held out, and choose by these.

        Where none are held out, train without a choice. Return the net, which is to be
        trained again, and its alpha.
        """
        alpha, error = self._alpha_in_doubt(net), None
        other_net, other_alpha = clone(net), 0.0 if alpha else ALPHA
        try:
            explore(net, alpha)
        except Diverged as diverged:
            error = diverged
            trainings.break_off()
        if not error and (trainings.stopped or net.found_.losses is None):
            return net, alpha
        found, others = None if error else net.found_, None
        try:
            explore(other_net, other_alpha)
            others = other_net.found_
        except Diverged:
            if error:
                raise error from None
            trainings.break_off()
        tried = {alpha: found, other_alpha: others}
        explored = {a: f.without_rows() for a, f in tried.items() if f and f.n_epochs}
        assert self._last_fit is not None  # of the `fit` that asks
        self._last_fit = self._last_fit._replace(explored=explored)
        if not others:
            return net, alpha
        if not found:
            return other_net, other_alpha
        n_errors = AGAINST_MIXING if alpha else FOR_MIXING
        losses = found.losses, others.losses
        if clearly_higher(*losses, found.weight, n_errors=n_errors):
            return other_net, other_alpha
        return net, alpha

    def _train(
        self,
        net: NeuralNet,
        alpha: Any,
        rows: Samples,
        validation: tuple[Any, ...] | None,
        seed: int,
        method: str = "fit",
        recorder: Recorder | None = None,
        trainings: Trainings | None = None,
    ) -> None:
        """Train `net` on coded rows by one of its methods."""
        fitted = partial(self._fitted_now, alpha=alpha, rows=rows)
        make_sampler = self._sampler_maker()
        fit_net(
            net,
            rows,
            sampler=make_sampler(net, seed, alpha=alpha),
            preparation=self._preparation,
            seed=seed,
            validation=validation,
            method=method,
            recorder=recorder,
            trainings=None if trainings is None else trainings.of(fitted),
        )

    def _fitted_now(self, net: NeuralNet, alpha: Any, rows: Samples) -> dict[str, Any]:
        """Return the attributes of an estimator that predicts by a net in training.

        It predicts as the net would if its training ended now.
        """
        copied = _copied(net)
        skorch_compat.part_callbacks(copied)
        skorch_compat.restore_best(copied)
        if isinstance(copied, _default_net.TabularNeuralNet):
            exploring = _default_net.is_exploring(net)
            copied.end_now(net.rows_held_out() if exploring else None)
        draws = draws_to_predict(copied, rows.X)
        state = _state_of_fit(copied, alpha, self._preparation, draws)
        return state | {"_last_fit": None}

    @of_one_fit
    def repeat_training(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        recorder: Recorder | None = None,
    ) -> "Repeated":
        """Train a net once more, as `fit` did in the end, and record how.

        It is the door of `skmix.inspection`, and changes nothing in the estimator. The
        default net is trained on all rows, for the number of epochs that `fit` found.

        Parameters
        ----------
        X, y, sample_weight, groups : as in `fit`
            What `fit` was given. It is not checked here that they are: another net
            than ``estimator_`` comes of others.
        recorder : Recorder, default=None
            Told of each step; see ``skmix/_training/recording.py``.

        Returns
        -------
        repeated : Repeated

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `fit` was not the last training, if it was given `X_val`, or if
            parameters have changed since. And as in `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmix import MixupClassifier, default_net
        >>> X, y = load_iris(return_X_y=True)
        >>> net = default_net("classifier").set_params(max_epochs=2)
        >>> clf = MixupClassifier(net).fit(X, y)
        >>> again = clf.repeat_training(X, y).net
        >>> bool((again.predict_proba(X) == clf.estimator_.predict_proba(X)).all())
        True
        """
        check_is_fitted(self)
        last = self._check_repeatable()
        self.verbose = 0  # of this copy
        samples, coded, net = self._read_again(X, y, sample_weight, groups)
        numbered = samples._replace(X=np.arange(len(samples.y))).weighted()
        rows = self._preparation.transform_targets(numbered).X
        own_recipe = isinstance(net, _default_net.TabularNeuralNet)
        again = own_recipe and skorch_compat.is_skorchs_own(net, "fit")
        again = again and net.take_over(self.estimator_)
        method = "train_again" if again else "fit"
        self._train(net, self.alpha_, coded, None, last.seed, method, recorder)
        return Repeated(net, self._preparation, coded, rows, samples.y)

    @property
    def explored_alphas_(self) -> tuple[float, ...]:
        """Alphas that ``alpha="auto"`` has tried and `refit_at` can train, sorted.

        None of them if the net was trained once, as with `X_val`, if fewer than 22
        rows were held out, after `partial_fit`, and from a file. One at which training
        diverged is not among them.
        """
        check_is_fitted(self)
        last = self._last_fit
        return () if last is None else tuple(sorted(last.explored))

    @of_one_fit
    def refit_at(
        self,
        alpha: float,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
    ) -> Self:
        """Return a copy that is fitted at another alpha that "auto" has tried.

        It is as a clone at this alpha is after its `fit`, but explores nothing again.

        Parameters
        ----------
        alpha : float
            One of ``explored_alphas_``.
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            The table that `fit` was given.
        y : array-like of shape (n_samples,)
            Its targets.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights that `fit` was given.
        groups : array-like of shape (n_samples,), default=None
            The groups that `fit` was given.

        Returns
        -------
        fitted : MixupClassifier or MixupRegressor

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If "auto" has not tried it, or the data are not those of `fit`; and as in
            `repeat_training`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmix import MixupClassifier, default_net
        >>> X, y = load_iris(return_X_y=True)
        >>> net = default_net("classifier").set_params(max_epochs=2)
        >>> clf = MixupClassifier(net).fit(X, y)
        >>> clf.explored_alphas_, clf.refit_at(0, X, y).alpha_
        ((0.0, 0.2), 0)
        """
        last, tried = self._check_repeatable(), self.explored_alphas_
        if not (_validation.is_number(alpha) and alpha in tried):
            known = (
                f"but expected one of {tried}, those that 'auto' has tried"
                if tried
                else "but this fit has tried no alpha that it could train again"
            )
            raise ValueError(
                f"Got alpha={alpha!r}, {known}. Use fit of a clone at this alpha."
            )
        _, coded, net = self._read_again(X, y, sample_weight, groups)
        if digest_of(tuple(coded)) != last.digest:
            raise ValueError(
                "Got X, y, sample_weight or groups that are not those of fit. Pass the "
                "same rows in the same order, or use fit of a clone at this alpha."
            )
        if alpha == self.alpha_:
            net = deepcopy(self.estimator_)
        else:
            again = net.take_over(self.estimator_, last.explored[alpha])
            method = "train_again" if again else "fit"
            self._train(net, alpha, coded, None, last.seed, method)
        self._predict_by(net, alpha, coded)
        own = None if self.estimator is None else clone(self.estimator)
        self.set_params(alpha=alpha, estimator=own)
        self._last_fit = last._replace(settings=self._settings(), explored={})
        return self

    def _read_again(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[Samples, Samples, NeuralNet]:
        """Return the rows of `fit` as they are, those that count, coded, and a net."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the table was told of in fit
            samples = self._read_samples(X, y, sample_weight, groups)
        net, kept = self._new_net(), samples.weighted()
        self._preparation = self._prepare(net, kept)
        return samples, self._preparation.transform_samples(kept), net

    def _settings(self) -> dict[str, Any]:
        """Return the parameters beside the net that a training depends on."""
        return {name: getattr(self, name, None) for name in OF_TRAINING}

    def _check_repeatable(self) -> "LastFit":
        """Return what a replay needs; refuse one that could not be right."""
        last = self._last_fit
        who = type(self).__name__
        if last is None:
            raise ValueError(
                f"Got a {who} whose training cannot be replayed: partial_fit or a "
                "search has trained it, not fit, or a callback has stopped its fit, or "
                "it was loaded from a file. Call fit of a clone of it."
            )
        if last.validated:
            raise ValueError(
                f"Got a {who} that was fitted with X_val, which is not kept, so that "
                "its training cannot be replayed. Fit a clone of it without X_val."
            )
        now = self._settings()
        kept = last.settings
        changed = [name for name in kept if not changes.alike(kept[name], now[name])]
        before, recipe = self._fitted_with[0], changes.Recipe.of(self.net_to_fit())
        names = changes.changed_params(before, recipe)
        if before.params.get("max_epochs") != recipe.params.get("max_epochs"):
            names.append("max_epochs")
        changed += [f"estimator__{name}" for name in names]
        if before.kind is not recipe.kind:
            changed = ["estimator"]
        if changed:
            raise ValueError(
                f"Got another {' and another '.join(changed)} than this {who} was "
                "fitted with, so that its training cannot be replayed. Set it back, or "
                "call fit anew."
            )
        return last

    def _predict_by(self, net: NeuralNet, alpha: Any, rows: Samples) -> None:
        """Predict by a net from now on."""
        draws = draws_to_predict(net, rows.X)
        state = _state_of_fit(net, alpha, self._preparation, draws)
        self.__dict__.update(state)

    @property
    def encoder_(self) -> Any:
        """Transformer from a table to the input of the net."""
        if self._preparation.encoder is None:
            raise AttributeError("Got no encoder_: the net gets the table as it is.")
        return self._preparation.encoder

    def _predict(self, X: Any) -> np.ndarray:
        if not hasattr(self, "_draws"):  # (for one row scikit-learn's check is slow)
            check_is_fitted(self)
        X = self._read(X)
        return self._preparation.predict(self.estimator_, X, draws=self._draws)

    def _check_parameters(self) -> None:
        self._check_settings()
        _validation.check_alpha(self.alpha)

    def _read_validation(self, X_val: Any, y_val: Any) -> tuple[Any, ...] | None:
        """Return coded ``(X_val, y_val, weight)``, or None if there are none."""
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
            raise ValueError(f"Got {given} without {missing}; pass both or neither.")
        _validation.check_no_target_missing(y_val, "y_val")
        with _noting_that_rows_are("X_val"):
            X_val = self._read(X_val)
        numeric = self._task == "Regressor"
        if numeric:
            _validation.check_number_targets(y_val, "y_val")
        y_val = check_targets(y_val, "y_val", numeric=numeric)
        check_consistent_length(np.empty(get_len(X_val)), y_val)
        with _noting_that_rows_are("X_val"):
            X_val = self._preparation.transform(X_val)
        coded = Samples(X_val, y_val)
        return self._preparation.transform_targets(coded, "y_val")[:3]


@contextmanager
def _noting_that_rows_are(name: str) -> Iterator[None]:
    """Note in errors of a table, which call it X, what its name is."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(f"(These rows are {name}.)")
        raise


class LastFit(NamedTuple):
    """What a replay of a fit needs beside the data.

    Attributes
    ----------
    seed : int
    settings : dict
        The parameters `OF_TRAINING`.
    validated : bool
        Whether rows to validate on were given.
    explored : dict
        What ``alpha="auto"`` has found, by the alphas that it has tried, where the net
        is then trained again.
    digest : str or None
        Of the coded rows, where something is explored.
    """

    seed: int
    settings: dict[str, Any]
    validated: bool
    explored: dict[float, _default_net.Found]
    digest: str | None = None


class Repeated(NamedTuple):
    """The last training of a fit, once more.

    Attributes
    ----------
    net : skorch.NeuralNet
    preparation : Preparation
    samples : Samples
        The n coded rows that the net was fitted on. Rows of weight 0 are left out.
    rows : ndarray of shape (n,), int64
        Their positions in the table that was given.
    y : ndarray
        The targets that were given.
    """

    net: NeuralNet
    preparation: Preparation
    samples: Samples
    rows: np.ndarray
    y: np.ndarray


def fitted_member(
    member: MixupEstimator,
    search: BaseMixup,
    net: NeuralNet,
    preparation: Preparation,
    draws: bool,
) -> MixupEstimator:
    """Return an estimator as if fitted, which reads tables as a search does."""
    names = ("_fitted_with", "_reader", "n_features_in_", "feature_names_in_")
    read = {name: value for name, value in vars(search).items() if name in names}
    state = _state_of_fit(net, member.alpha, preparation, draws)
    return skorch_compat.twin(member, **read, **state)


def _state_of_fit(
    net: NeuralNet, alpha: Any, preparation: Preparation, draws: bool
) -> dict[str, Any]:
    """Return the attributes of an estimator that predicts by a net."""
    return {
        "estimator_": net,
        "alpha_": alpha,
        "history_": getattr(net, "validation_history_", net.history),
        "n_iter_": len(net.history),
        "_preparation": preparation,
        "_draws": draws,
    }


def _copied(net: NeuralNet) -> NeuralNet:
    """Copy a net to train it further, so that the one there is stays as it was.

    Past epochs of its history do not change, and callbacks may hold what cannot be
    copied: of these only the lists are.
    """
    history, callbacks = net.history, net.callbacks_
    shared = {id(net.callbacks): net.callbacks, id(callbacks): list(callbacks)}
    if _default_net.is_exploring(net):
        shared[id(net.split_)] = net.split_  # its rows
    copied = deepcopy(net, shared | {id(history): type(history)(history)})
    changes.complete_optimizer(copied)
    return copied


@contextmanager
def _one_epoch(net: NeuralNet) -> Iterator[None]:
    """Let a net train for one epoch in the block."""
    max_epochs, net.max_epochs = net.max_epochs, 1
    try:
        yield
    finally:
        net.max_epochs = max_epochs


def _warn_of_small_split(given: NeuralNet | None, n_rows: int, validation: Any) -> None:
    """Warn of validation rows that a user-supplied net holds out for nothing."""
    if given is None or validation is not None or n_rows >= 1000:
        return
    if not skorch_compat.has_default_split(given) or _may_be_watched(given):
        return
    _validation.warn(
        f"skorch's default train_split holds out 20 % of these {n_rows} rows, the "
        "same ones whatever the seed, which serve for nothing unless a callback "
        "watches them. Set train_split=None to train on all rows, or "
        "ValidSplit(0.2, stratified=True) to draw them at random."
    )


def _may_be_watched(net: NeuralNet) -> bool:
    """Whether callbacks may act on the validation rows of an unfitted net."""
    callbacks = [callback for _, callback in skorch_compat.named_callbacks(net)]
    # (skorch's own callbacks, in every net, score validation rows for the table.)
    own = [
        callback
        for _, callback in net.get_default_callbacks()
        if skorch_compat.watches_validation(callback)
        or not skorch_compat.is_skorchs_callback(callback)
    ]
    return bool(own) or any(map(skorch_compat.may_watch_validation, callbacks))
