"""What classifier and regressor share: from a table to a fitted net, and to outputs.

Labels, dtypes, names, weights and seeds are seen to here; the net trains in
`skmix._training.patch.mixed_training`.
"""

import inspect
import numbers
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    clone,
)
from sklearn.utils import (
    check_array,
    check_consistent_length,
    check_random_state,
    check_X_y,
    column_or_1d,
)
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch import NeuralNet
from skorch.dataset import get_len
from skorch.utils import multi_indexing
from torch import nn
from torch.utils.data import DataLoader

from skmix._default_net import TabularNeuralNet, default_net, wants_scaled
from skmix._dtypes import Reader, as_frame
from skmix._mixup import check_mixing, is_interpolating
from skmix._sampler import Plan
from skmix._training.changes import (
    Recipe,
    alike,
    changed_params,
    complete_optimizer,
    set_changed,
    unsettable,
)
from skmix._training.convergence import check_finite, warn_if_above_start
from skmix._training.patch import mixed_training
from skmix._training.predict import draws, in_chunks
from skmix._training.random import one_thread_each, seeded
from skmix._training.skorch_compat import (
    AsGiven,
    Printer,
    as_module_dtype,
    has_default_split,
    inferring,
    may_watch_validation,
    named_callbacks,
    narrowed,
    picklable,
    takes_num_and_cat,
    twin,
    watches_validation,
)
from skmix._validation import (
    check_alpha,
    check_at_least_0,
    check_categorical_features,
    check_groups,
    check_integer,
    check_layers,
    check_net,
    check_no_target_missing,
    check_option,
    check_sample_weight,
    check_training_parameters,
    check_untrained,
    explain_not_finite,
    refuse_categories_of_dict,
)
from skmix.pairing import check_pairing
from skmix.preprocessing import TableEncoder, learn_encoder


class MixupEstimator(MetaEstimatorMixin, BaseEstimator):
    """What classifier and regressor share: from a table to a fitted net.

    A subclass names its `_task`, and says how targets are coded (`_code`) and how a
    fitted net is asked (`_forward`).
    """

    # Groups are for the pairing, and most pairings look at none: a splitter may have
    # them alone. Who pairs by groups calls `set_fit_request(groups=True)`.
    __metadata_request__fit: ClassVar = {"groups": False}

    def fit(
        self, X, y, sample_weight=None, *, groups=None, X_val=None, y_val=None
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
            alike (but for ``class_weight``). A Pipeline passes them on as they are,
            unless ``transform_input=["X_val"]`` and metadata routing are set.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If a parameter, the table or the net is not as expected; or if training
            diverged, so that a loss or a weight is no finite number any more.
        RuntimeError
            If the net's training step bypasses mixing, or its module a layer of
            `layers`.
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

        The default net is trained twice: once with one row in five held out, until it
        gets no better on these, and then, from the same start, on all rows for as many
        epochs as were best. With `X_val` it is trained once, and keeps the weights of
        the best epoch.
        """
        with adopted_if_done(self) as draft:
            draft._check_parameters()
            rows = draft._check_training(X, y, sample_weight, groups, min_rows=2)
            net, rows = draft._prepare(rows)
            validation = draft._check_validation(X_val, y_val)
            _warn_of_small_split(draft.estimator, len(rows.y), validation)
            seed = draw_seed(draft.random_state)
            draft._train_and_judge(net, rows, validation, seed)
        return self

    def _prepare(self, rows, *, classes=None, missing=False):
        """Learn how rows are coded; return a net, and the rows as it is given them.

        Parameters
        ----------
        rows : Rows
            As `_check_training` returns them.
        classes : ndarray of shape (n_classes,), default=None
            All labels that there are, if `rows` may lack some.
        missing : bool, default=False
            Whether numbers may be missing later, though none is here.

        Returns
        -------
        net : skorch.NeuralNet
            Not initialised.
        rows : Rows
            Those of a weight, coded.
        """
        net = self._new_net()
        codec = self._code(net, rows.y, rows.weight, "y", classes=classes)
        rows = self._learn_coding(net, rows, codec, missing=missing)
        return net, self._coded(rows)

    def _partial_fit(self, X, y, sample_weight, groups, classes=None):
        with adopted_if_done(self) as draft:
            draft._check_parameters()
            first = not hasattr(draft, "estimator_")
            rows = draft._check_training(X, y, sample_weight, groups, reset=first)
            seed = draw_seed(draft.random_state)
            if first:
                net = draft._new_net()
                known = rows.y if classes is None else np.asarray(classes)
                weight = rows.weight if classes is None else None
                name = "y" if classes is None else "classes"
                codec = draft._code(net, known, weight, name)
                rows = draft._learn_coding(net, rows, codec)
            else:
                net = _copied(draft.estimator_)
                draft._set_changed(net)
                draft._codec = draft._recoded()
                rows = rows.weighed(draft._codec.class_factor(rows.y))
                # Not the draws of the calls before.
                sequence = np.random.SeedSequence([seed, len(net.history)])
                seed = int(sequence.generate_state(1)[0])
            _warn_of_small_split(draft.estimator, len(rows.y), None, stacklevel=4)
            with _one_epoch(net):
                draft._train(net, net.partial_fit, draft._coded(rows), None, seed)
        return self

    def _check_training(self, X, y, sample_weight, groups, *, reset=True, min_rows=1):
        """Return the `Rows` to train on, those of weight 0 left out."""
        X, y = self._check_table(X, y, reset=reset, min_rows=min_rows)
        weight = check_sample_weight(sample_weight, y)
        if groups is not None:
            groups = check_groups(groups, y)
        return Rows(X, y, weight, groups).weighed()

    def _coded(self, rows):
        """The rows as a net is given them, targets too."""
        return rows._replace(X=self._encoded(rows.X), y=self._codec.encode(rows.y))

    def _learn_coding(self, net, rows, codec, missing=False):
        """Learn from training rows how columns are coded for `net`; weigh classes."""
        self._codec = codec
        rows = rows.weighed(self._codec.class_factor(rows.y))
        X, weight = rows.X, rows.weight
        vars(self).pop("encoder_", None)
        default = wants_scaled(net)
        if default and is_dict(X):
            raise ValueError(
                "Got X as a dict for a net of the default kind, but expected a "
                "table of shape (n_samples, n_features)."
            )
        as_dict = takes_num_and_cat(net)
        if as_dict and sparse.issparse(X):
            raise ValueError(
                "Got a sparse table for a module that takes x_num and x_cat, but "
                "expected a dense one. Make an array or a frame of it."
            )
        needed = as_dict or missing or default or self._needs_encoding(X)
        if needed and (default or not is_dict(X)):
            reader = self._reader or Reader.of_numbers(X.shape[1])
            self.encoder_ = learn_encoder(
                X, reader, weight, scale=default, as_dict=as_dict
            )
        _fill_sizes(net, X, getattr(self, "encoder_", None), self._codec.n_outputs)
        return rows

    def _needs_encoding(self, X):
        """Whether any net needs the columns of `X` encoded."""
        if sparse.issparse(X) or is_dict(X):
            return False
        reader = self._reader
        read = reader is not None and (
            reader.categorical.any() or any(reader.notations)
        )
        return bool(read or np.isnan(X.min()))

    def _new_net(self):
        """Return the net to fit: a clone of the user's, or the default one."""
        given = self._given_net()
        self._fitted_with = Recipe.of(given), copy(self.categorical_features)
        net = given if self.estimator is None else clone(given)
        check_training_parameters(net)
        if net.iterator_train is DataLoader and not _orders_rows(net):
            net.set_params(iterator_train__shuffle=True)
        net.set_params(verbose=self.verbose)
        sink = getattr(net, "callbacks__print_log__sink", None)
        if sink == "auto" and not self.verbose:
            # AccelerateMixin's own, which prints at any `verbose`.
            # (set_params would initialise the callbacks, and so resolve "auto".)
            net.callbacks__print_log__sink = Printer(net)
        return net

    def _given_net(self):
        """Return the net that the user means: the one given, or the default one."""
        if self.estimator is None:
            return default_net(self._task.lower())
        return self.estimator

    def _set_changed(self, net):
        """Bring a fitted net up to what has changed in the parameters since its fit."""
        net.set_params(verbose=self.verbose)
        # (A call is one epoch, whatever their number, which is refused all the same.)
        check_integer("max_epochs", self._given_net().max_epochs, at_least=0)
        if not hasattr(self, "_fitted_with"):
            return
        before, categorical = self._fitted_with
        now = Recipe.of(self._given_net())
        names = changed_params(before, now)
        refused = [f"estimator__{name}" for name in unsettable(net, names)]
        if before.kind is not now.kind:
            refused = ["estimator"]
        if not alike(categorical, self.categorical_features):
            refused.append("categorical_features")
        if refused:
            raise ValueError(
                f"Got another {' and another '.join(refused)} than this "
                f"{type(self).__name__} was fitted with, which partial_fit cannot set "
                "on a trained net. Call fit to train anew, or set it back."
            )
        if names:
            wanted = self._new_net()
            set_changed(net, names, wanted)
        check_training_parameters(net)

    def _recoded(self):
        """The codec of a fitted estimator, with the class weights of now."""
        return self._codec

    def _train_and_judge(self, net, rows, validation, seed):
        """Train `net`, which need not hold out rows if there is `validation`."""
        if validation is not None and isinstance(net, TabularNeuralNet):
            net.set_params(refit=False)
        self._train(net, net.fit, rows, validation, seed)
        self.history_ = getattr(net, "validation_history_", net.history)
        warn_if_above_start(
            net,
            mixed=callable(self.alpha) or self.alpha > 0,
            comparable=not callable(self.alpha),
        )

    def _train(self, net, fit, rows, validation, seed):
        """Train `net` on coded rows by its method `fit`, seeded, and adopt it."""
        self._codec.check_criterion(net)
        training = mixed_training(
            net,
            plan=self._plan(net, seed),
            weight=rows.weight,
            validation=validation,
            check_output=self._codec.check_output,
            table=self._about(rows),
        )
        with one_thread_each(), seeded(seed, net.device):
            n_before = len(net.history or ())
            with training:
                fit(rows.X, rows.y)
            check_finite(net, n_before)
            self._adopt(net, rows)

    def _adopt(self, net, rows, like=None):
        """Predict by `net`, which was trained on `rows`, from now on.

        `like` is an estimator with a fitted net of the same kind, if there is one.
        """
        first = multi_indexing(rows.X, slice(2))
        self._draws = draws(net, first) if like is None else like._draws
        self.estimator_ = net
        self.history_ = net.history
        self.n_iter_ = len(net.history)

    def _plan(self, net, seed, alphas=None):
        """Return the plan of a fit, or for several alphas that of their fits."""
        layers = self.layers
        if layers == "auto":
            inside = self._task == "Regressor" and wants_scaled(net)
            layers = (
                "embedding" if inside and is_interpolating(self.mixing) else "input"
            )
        layers = [layers] if isinstance(layers, str) else layers
        return Plan(
            alpha=self.alpha if alphas is None else list(alphas),
            lam_per=self.lam_per,
            seed=seed,
            mixing=self.mixing,
            pairing=self.pairing,
            layers=[None if layer == "input" else layer for layer in layers],
            clean_weight=self.clean_weight,
        )

    def _about(self, rows):
        """What mixings and pairings may ask of the table beside its rows."""
        about = {"task": self._task.lower(), "all_groups": rows.groups}
        encoder = getattr(self, "encoder_", None)
        if isinstance(encoder, TableEncoder):
            about |= {"columns": encoder.columns_, "numeric": encoder.numeric_}
            about["names"] = encoder.reader.columns
            about["read_as"] = encoder.reader.read_as
        elif hasattr(self, "feature_names_in_"):
            about["names"] = list(self.feature_names_in_)
        return about

    def _predicted(self, X):
        """Predictions of the fitted net for a raw table, in the user's terms."""
        check_is_fitted(self)
        # All of one fit, even if another thread's takes its place meanwhile.
        fitted = object.__new__(type(self))
        fitted.__dict__ = vars(self)
        if not fitted._is_plainly_fine(X):
            X = fitted._check_rows(X, reset=False)
        return fitted._predicted_for(X)

    def _predicted_for(self, X):
        """Predictions of the fitted net for a checked table, in the user's terms."""
        X = self._encoded(X)
        with one_thread_each():
            return self._codec.decode(self._outputs(self.estimator_, X))

    def _outputs(self, net, X):
        """What a fitted net predicts for an encoded table."""
        predictor = None if self._draws else in_chunks(net, X)
        if predictor is not None:
            return self._forward(predictor, X)
        infer = inferring(net, net.infer)
        with seeded(device=net.device):
            X = as_module_dtype(net, X, kinds="fiub")
            return self._forward(twin(net, infer=infer), X)

    def _encoded(self, X):
        """The table as the net is given it, but for the dtype of a user's net."""
        encoder = getattr(self, "encoder_", None)
        if encoder is None:
            return X
        double = torch.get_default_dtype() is torch.float64  # what modules are made of
        dtype = np.float64 if double else np.float32
        if isinstance(encoder, TableEncoder):
            return encoder.encode(X, dtype if encoder.scale else np.float64)
        return narrowed(encoder.transform(X), dtype)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    # Checks: what was got, what was expected, the way out.

    def _check_parameters(self):
        check_alpha(self.alpha)
        check_option("lam_per", self.lam_per, ("batch", "row"))
        check_mixing(self.mixing, self._task.lower())
        check_pairing(self.pairing, self._task.lower())
        check_layers(self.layers)
        check_at_least_0("clean_weight", self.clean_weight)
        check_categorical_features(self.categorical_features)
        check_option("verbose", self.verbose, (0, 1))
        if self.estimator is not None:
            check_net(self.estimator, task=self._task)

    def __repr__(self, N_CHAR_MAX=700):
        if not isinstance(self.estimator, NeuralNet):
            return super().__repr__(N_CHAR_MAX)
        shown = object.__new__(type(self))
        vars(shown).update(vars(self), estimator=AsGiven(self.estimator))
        return BaseEstimator.__repr__(shown, N_CHAR_MAX)

    def __sklearn_clone__(self):
        # A clone no longer shows that its module was trained.
        net = self.estimator
        if isinstance(net, NeuralNet):
            check_untrained(net)
        other = super().__sklearn_clone__()
        if isinstance(net, NeuralNet) and has_default_split(net):
            other.estimator.train_split = net.train_split  # and so has its net
        return other

    def __getstate__(self):
        state = super().__getstate__()
        if isinstance(self.estimator, NeuralNet):
            state = state | {"estimator": picklable(self.estimator)}
        return state

    def set_params(self, **params) -> Self:
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
                f"{net}, has no parameters to set. Pass estimator={net} instead."
            )
        return super().set_params(**params)

    def _check_table(self, X, y, *, reset, min_rows=1):
        """Return X and y as arrays (a dict of X as it is), rows checked."""
        shape = getattr(y, "shape", None)
        if shape is not None and len(shape) == 2 and shape[1] > 1:
            raise ValueError(
                f"Got y of shape {tuple(shape)}, but expected (n_samples,). "
                "Multilabel and multi-output targets are not supported: fit one "
                f"{type(self).__name__} per column, as sklearn.multioutput."
                f"MultiOutput{self._task} does."
            )
        check_no_target_missing(y)
        if is_dict(X):
            y = self._checked_targets(y, "y")
            X = self._check_rows(X, reset=reset)
            check_consistent_length(y, np.empty(get_len(X)))
        else:
            X, y = self._check_rows(X, y, reset=reset, min_rows=min_rows)
        return X, y

    def _checked_targets(self, y, name):
        """Return targets that no table is checked with, of shape (n,)."""
        dtype = "numeric" if self._task == "Regressor" else None
        y = check_array(y, ensure_2d=False, dtype=dtype, input_name=name)
        return column_or_1d(y, warn=True)

    def _is_plainly_fine(self, X):
        """Whether X is a plain array of numbers that `_check_rows` would return as is.

        For a single row, all that scikit-learn asks takes longer than the net.
        """
        if type(X) is not np.ndarray or X.dtype.kind != "f" or X.ndim != 2:
            return False
        read = hasattr(self, "feature_names_in_") or getattr(self, "_reader", None)
        if read or X.shape[1] != getattr(self, "n_features_in_", None) or not len(X):
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(X.sum()))

    def _check_rows(self, X, y="no_validation", *, reset, min_rows=1):
        if is_dict(X):
            if reset:
                refuse_categories_of_dict(self.categorical_features)
                for name in ("n_features_in_", "feature_names_in_"):
                    vars(self).pop(name, None)
            elif hasattr(self, "n_features_in_"):
                raise ValueError(
                    "Got X as a dict, but expected a table of "
                    f"{self.n_features_in_} columns, as in training."
                )
            return dict(X)
        if not reset and not hasattr(self, "n_features_in_"):
            raise ValueError(
                "Got X as a table, but expected a dict of arrays, as in training."
            )
        X = as_frame(X)
        if reset:
            self._reader = self._learn_reader(X)
        reader = self._reader
        if reader is None and isinstance(X, pd.DataFrame):
            reader = Reader.of_numbers(X.shape[1])
        options = {"accept_sparse": "csr", "ensure_min_samples": min_rows}
        if reset or self._takes_missing():
            options["ensure_all_finite"] = sparse.issparse(X) or "allow-nan"
        if not isinstance(y, str):  # "no_validation" is what validate_data calls no y
            options["y_numeric"] = self._task == "Regressor"
        table = X
        try:
            if reader is None or reader.is_idle(X):
                return validate_data(self, X, y, reset=reset, **options)
            validate_data(self, X, y, reset=reset, skip_check_array=True)
            table = reader.read(X, is_new=not reset)
            if isinstance(y, str):
                return check_array(table, input_name="X", estimator=self, **options)
            return check_X_y(table, y, estimator=self, **options)
        except (ValueError, TypeError) as error:
            names = getattr(X, "columns", None)
            explain_not_finite(table, names, error, type(self).__name__)
            raise

    def _takes_missing(self):
        """Whether the fitted net is given something in the place of missing numbers."""
        return hasattr(self, "encoder_")

    def _read_like(self, other):
        """Read tables as another estimator has learnt to."""
        for name in ("_reader", "n_features_in_", "feature_names_in_"):
            if hasattr(other, name):
                setattr(self, name, getattr(other, name))

    def _learn_reader(self, X):
        """Find out what columns hold; None for arrays of nothing but numbers."""
        given = self.categorical_features
        declared = given is not None and not isinstance(given, str) and len(given) > 0
        if declared and sparse.issparse(X):
            raise ValueError(
                f"Got categorical_features={given!r} for a sparse table, but expected "
                "a dense one: make an array of it, or encode its categories before."
            )
        if isinstance(X, pd.DataFrame) or declared:
            return Reader.learn(X, given)
        return None

    def _check_validation(self, X_val, y_val):
        """Return coded ``(X_val, y_val, weight)``, or None if there are none."""
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
            raise ValueError(f"Got {given} without {missing}; pass both or neither.")
        check_no_target_missing(y_val, "y_val")
        X_val = self._check_rows(X_val, reset=False)
        y_val = self._checked_targets(y_val, "y_val")
        check_consistent_length(np.empty(get_len(X_val)), y_val)
        return self._coded_validation(Rows(X_val, y_val))

    def _coded_validation(self, rows):
        """Return ``(X, y, weight)`` of checked rows as a net is validated on them."""
        target = self._codec.encode(rows.y, name="y_val")
        factor = self._codec.class_factor(rows.y)
        rows = rows._replace(y=target).weighed(factor)
        return self._encoded(rows.X), rows.y, rows.weight


@contextmanager
def adopted_if_done(estimator):
    """Yield a draft of the estimator that takes its place, at once, if all goes well.

    Until then, and for good after an error, the estimator is as it was: for the
    caller, for callbacks, for other threads.
    """
    draft = object.__new__(type(estimator))
    vars(draft).update(vars(estimator))
    yield draft
    estimator.__dict__ = vars(draft)


def _copied(net):
    """Copy a net to train it further, so that the one there is stays as it was.

    Past epochs of its history do not change, and callbacks may hold what cannot be
    copied: of these only the lists are.
    """
    history, callbacks = net.history, net.callbacks_
    shared = {id(net.callbacks): net.callbacks, id(callbacks): list(callbacks)}
    copied = deepcopy(net, shared | {id(history): type(history)(history)})
    complete_optimizer(copied)
    return copied


@contextmanager
def _one_epoch(net):
    max_epochs, net.max_epochs = net.max_epochs, 1
    try:
        yield
    finally:
        net.max_epochs = max_epochs


def is_dict(X):
    return isinstance(X, Mapping) and not sparse.issparse(X)  # a DOK array is both


def draw_seed(random_state):
    """An int stands for itself; anything else is asked for one."""
    generator = check_random_state(random_state)
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(generator.randint(np.iinfo(np.int32).max))


def _orders_rows(net):
    """Whether the net's parameters say in which order rows are trained on."""
    given = net.get_params_for("iterator_train").keys()
    return bool(given & {"shuffle", "sampler", "batch_sampler"})


def _fill_sizes(net, X, encoder, n_outputs):
    """Set the sizes that the module takes and that are not given.

    ``d_out``; for a table ``d_in``, ``n_num_features`` and ``cat_cardinalities``, and
    where it is scaled the ``bins`` of its numbers.
    """
    if isinstance(net.module, nn.Module):
        return
    takes = inspect.signature(net.module).parameters
    given = net.get_params_for("module").keys() | getattr(net.module, "keywords", {})
    sizes = {"d_out": n_outputs}
    if isinstance(encoder, TableEncoder):
        sizes |= {
            "d_in": encoder.n_columns_,
            "n_num_features": encoder.n_num_features_,
            "cat_cardinalities": encoder.cat_cardinalities_,
        }
        if encoder.scale:
            sizes["bins"] = encoder.bins_
    elif not is_dict(X):
        sizes |= {"d_in": X.shape[1], "n_num_features": X.shape[1]}
        sizes["cat_cardinalities"] = []
    for name, size in sizes.items():
        if name in takes and name not in given:
            net.set_params(**{f"module__{name}": size})


def _warn_of_small_split(given, n_rows, validation, stacklevel=3):
    """Warn of rows held out by the way, by a net that the user has `given`."""
    if given is None or validation is not None or n_rows >= 1000:
        return
    if not has_default_split(given) or _may_be_watched(given):
        return
    warnings.warn(
        f"skorch's default train_split holds out 20 % of these {n_rows} rows, the "
        "same ones whatever the seed, which serve for nothing unless a callback "
        "watches them. Set train_split=None to train on all rows, or "
        "ValidSplit(0.2, stratified=True) to draw them at random.",
        UserWarning,
        stacklevel=stacklevel,
    )


def _may_be_watched(net):
    """Whether callbacks may act on the validation rows of an unfitted net."""
    callbacks = [callback for _, callback in named_callbacks(net)]
    # (skorch's own callbacks, in every net, score validation rows for the table.)
    own = [
        callback
        for _, callback in net.get_default_callbacks()
        if watches_validation(callback)
        or not type(callback).__module__.startswith("skorch.")
    ]
    return bool(own) or any(map(may_watch_validation, callbacks))


class Rows(NamedTuple):
    """Rows of a table, and what is known of each."""

    X: Any
    y: np.ndarray
    weight: np.ndarray | None = None
    groups: np.ndarray | None = None

    def weighed(self, factor=None):
        """Multiply weights, leave out rows of weight 0, and bring the rest to mean 1.

        Weights that are all equal are none.
        """
        X, y, weight, groups = self
        if factor is not None:
            weight = factor if weight is None else weight * factor
        if weight is None:
            return self
        if not weight.all():
            rows = np.flatnonzero(weight)
            if len(rows) == 0:
                raise ValueError(
                    "Got weights (sample_weight times class_weight) that are zero for "
                    "every row, but expected at least one positive weight."
                )
            X, y, weight = multi_indexing(X, rows), y[rows], weight[rows]
            groups = None if groups is None else groups[rows]
        if (weight == weight[0]).all():
            return Rows(X, y, None, groups)
        weight = weight / weight.max()  # the sum of huge ones would be infinite
        return Rows(X, y, weight / weight.mean(), groups)
