"""All alphas and folds at once: `MixupClassifierCV` and `MixupRegressorCV`.

From top to bottom: what both share, and the two estimators.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Literal, Self

import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn import get_config
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import check_scoring
from sklearn.utils import check_array
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetBinaryClassifier
from skorch.utils import multi_indexing

from skmix._base import MixupEstimator, Rows, adopted_if_done, draw_seed, is_dict
from skmix._default_net import default_net, train_once, wants_scaled
from skmix._dtypes import as_frame
from skmix._estimators import MixupClassifier, MixupRegressor
from skmix._mixup import mixup, named
from skmix._selection import (
    Evidence,
    Scoring,
    folds_of,
    gains,
    is_by_row,
    looks_at_groups,
    shares_of_least_squares,
    shares_of_likelihood,
    warn_of_undefined,
)
from skmix._training.convergence import warn_of_rising_losses
from skmix._training.skorch_compat import named_callbacks, watches_validation
from skmix._validation import check_groups, check_option, check_sample_weight
from skmix._vectorized.race import Candidate, Split, train_members, untrained
from skmix.networks import apply_temperature, fit_temperature


class _MixupCV(MixupEstimator):
    """What both share: folds, members, and the choice among alphas.

    A subclass has a `_member_kind`, and knows what predictions of rows held out are
    worth (`_score_of`) and how those of several members are blended (`_blend_weights`).
    """

    def fit(self, X, y, sample_weight=None, *, groups=None, **params) -> Self:
        """Train a member for each alpha and fold, and choose among alphas.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            A table as it is, as for `MixupClassifier`.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, which count in training, in validation and in scores.
            Rows of weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            A group for each row, for splitters and pairings that look at them.
        **params : dict
            What the splitter and the scorer request beside, where metadata routing is
            enabled, as in ``LogisticRegressionCV``.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If a parameter, the table or the net is not as expected, if folds cannot be
            made, if no fold can be scored, or if training has diverged for each alpha.
        KeyboardInterrupt
            If it is interrupted.

        Warns
        -----
        UserWarning
            Of what is not as it seems: members that are trained one by one, candidates
            without a score, folds that cannot be scored, columns that are not read as
            they are written.
        ConvergenceWarning
            If the training loss of a candidate ended above its start in most folds.

        Notes
        -----
        After an error the estimator is as it was before.
        """
        with adopted_if_done(self) as draft:
            draft._check_parameters()
            rows, kept, n_samples = draft._rows(X, y, sample_weight, groups)
            table = _part(_indexable(X), kept)
            to_splitter, to_scorer = draft._routed(
                rows, kept, sample_weight, groups, params
            )
            seed = draw_seed(draft.random_state)
            folds = folds_of(
                draft.cv,
                np.zeros(len(rows.y)) if is_dict(X) else table,
                rows.y,
                kept=kept,
                n_samples=n_samples,
                classify=draft._task == "Classifier",
                seed=seed,
                metadata=to_splitter,
            )
            splits = [draft._split(rows, seed, *fold) for fold in folds]
            draft._check_net(splits[0].net)
            candidates = draft._candidates(splits[0].net)
            scoring = draft._scoring(table, rows.y, to_scorer)
            _try_out(scoring, untrained(splits[0], candidates[0]), splits)
            options = {"halving": draft.halving, "verbose": bool(draft.verbose)}
            trained = train_members(candidates, splits, n_jobs=draft.n_jobs, **options)
            _warn_of_lone(trained.why_alone)
            _warn_of_rising(candidates, trained)
            target = draft._targets(rows.y)
            evidence = draft._evidence(trained, splits, rows, target, scoring)
            draft._report(candidates, trained, evidence, splits)
            weights = draft._weights(evidence, target, rows.weight)
            draft._keep(trained, weights, rows, seed)
            out_of_fold = np.full((n_samples, *evidence.predicted.shape[2:]), np.nan)
            used = weights > 0
            blended = np.tensordot(weights[used], evidence.predicted[used], axes=1)
            out_of_fold[kept] = blended
            draft._judge(out_of_fold, target, rows, kept)
        return self

    def _rows(self, X, y, sample_weight, groups):
        """Read the user's table: return `Rows`, which they are, and of how many."""
        X, y = self._check_table(X, y, reset=True, min_rows=2)
        # What one fold lacks, another may be asked to predict.
        dense = isinstance(X, np.ndarray)
        self._missing = dense and bool(np.isnan(X).any())
        if self._task == "Classifier":
            check_classification_targets(y)
        weight = check_sample_weight(sample_weight, y)
        groups = None if groups is None else check_groups(groups, y)
        kept = np.arange(len(y)) if weight is None else np.flatnonzero(weight)
        return Rows(X, y, weight, groups).weighed(), kept, len(y)

    def _routed(self, rows, kept, sample_weight, groups, params):
        """Return what the splitter and the scorer are shown beside X and y."""
        if get_config()["enable_metadata_routing"]:
            given = {"sample_weight": sample_weight} | params
            if self.get_metadata_routing().consumes("fit", ["groups"]):
                given["groups"] = groups  # else they are for the pairing alone
            given = {name: value for name, value in given.items() if value is not None}
            routed = process_routing(self, "fit", **given)
            parts = routed.splitter.split, routed.scorer.score
            n_samples = len(rows.y) if sample_weight is None else len(sample_weight)
            return tuple(
                {k: _kept(v, kept, n_samples) for k, v in part.items()}
                for part in parts
            )
        if params:
            raise TypeError(
                f"Got {', '.join(sorted(params))} in fit, which takes them for its "
                "splitter and its scorer where metadata routing is enabled: "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        to_scorer = {} if rows.weight is None else {"sample_weight": rows.weight}
        return {"groups": rows.groups} if looks_at_groups(self.cv) else {}, to_scorer

    def get_metadata_routing(self) -> MetadataRouter:
        """Say what fit takes, and what of it the splitter and the scorer are shown.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        to_splitter = MethodMapping().add(caller="fit", callee="split")
        to_scorer = MethodMapping().add(caller="fit", callee="score")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(splitter=self.cv, method_mapping=to_splitter)
        return router.add(scorer=self._scorer(), method_mapping=to_scorer)

    def _split(self, rows, seed, train, test):
        """Learn how the rows of a fold are coded, from those to train on."""
        template = self._member(alpha=0.0, random_state=seed)
        template.estimator = self._net()
        template._read_like(self)
        classes = np.unique(rows.y) if self._task == "Classifier" else None
        to_train = Rows(*(_part(data, train) for data in rows)).weighed()
        net, coded = template._prepare(to_train, classes=classes, missing=self._missing)
        held_out = Rows(*(_part(data, test) for data in rows))
        validation = template._coded_validation(held_out)
        return Split(
            template, net, coded, validation, test, template._encoded(held_out.X)
        )

    def _net(self):
        """Return the net of members; None for the default one."""
        if self.estimator is not None or self._task == "Regressor":
            return self.estimator
        return default_net("classifier").set_params(module__d_embedding=D_EMBEDDING)

    def _check_net(self, net):
        """Refuse what the net would refuse, or lose, after all the training."""
        if net.get_params_for("iterator_valid").get("drop_last"):
            raise ValueError(
                "Got iterator_valid__drop_last=True, but rows held out are all wanted. "
                "Leave it out."
            )
        watching = [
            name
            for name, callback in named_callbacks(net)
            if watches_validation(callback)
        ]
        if watching and not self.ensemble and not net.train_split:
            raise ValueError(
                "Got ensemble=False and callbacks that watch scores on validation rows "
                f"({', '.join(watching)}), but a net that is trained on all rows has "
                "none. Set a train_split, or use ensemble=True."
            )

    def _candidates(self, net):
        """Every alpha; of the default classifier before and behind its embedding."""
        alphas, places = _checked_alphas(self.alphas), [self.layers]
        default = self.layers == "auto" and wants_scaled(net)
        if default and self._task == "Classifier" and named(self.mixing) is mixup:
            places = ["input", "embedding"]
        every = [Candidate(alpha, place) for place in places for alpha in alphas]
        # Where nothing is mixed, the place does not matter.
        return [c for c in every if c.alpha > 0 or c.layers is places[0]]

    def _member(self, **params):
        """Return an unfitted estimator with the settings of this one."""
        own, kind = self.get_params(deep=False), self._member_kind
        names = kind().get_params(deep=False).keys() & own.keys()
        shared = {name: own[name] for name in names}
        return kind(**(shared | {"verbose": 0} | params))

    def _scoring(self, X, y, metadata):
        """Return how rows held out are scored; None for the default."""
        scorer = self._scorer()
        if scorer is None:
            return None
        return Scoring(repr(self.scoring), scorer, X, y, metadata)

    # What rows held out tell.

    def _evidence(self, trained, splits, rows, target, scoring):
        """Predict rows held out by all members, and score the predictions."""
        start = time.perf_counter()
        failures, diverged = {}, trained.diverged.copy()
        scores, predicted = np.full(diverged.shape, np.nan), []
        for c, members in enumerate(trained.members):
            of_folds = [_held_out(*pair) for pair in zip(members, splits, strict=True)]
            predicted.append(_over_folds(of_folds, splits, len(rows.y)))
            for f, (of_fold, split) in enumerate(zip(of_folds, splits, strict=True)):
                diverged[c, f] |= not np.isfinite(of_fold).all()
                if diverged[c, f]:
                    continue
                if scoring is None:
                    weight = _part(rows.weight, split.test)
                    scores[c, f] = self._score_of(of_fold, target[split.test], weight)
                    continue
                try:
                    score = scoring.of_rows(members[f], split.test, _part)
                    if not np.isfinite(score):
                        raise ValueError(f"the score is {score}")
                    scores[c, f] = score
                except Exception as error:  # undefined there, as in GridSearchCV
                    failures[f] = error
        seconds = time.perf_counter() - start
        warn_of_undefined(failures, repr(self.scoring))
        return Evidence(np.array(predicted), scores, diverged, seconds)

    def _report(self, candidates, trained, evidence, splits):
        """Set `cv_results_` and what is read off it."""
        scores, mean = evidence.scores, evidence.mean_scores
        if np.isnan(mean).all():
            if evidence.diverged.any(axis=1).all():
                why = (
                    "Training has diverged for each of them: lower the net's `lr`, or "
                    "scale the columns (and the targets of a regression)."
                )
            else:
                why = f"scoring={self.scoring!r} has no finite value for them."
            raise ValueError(f"Got no finite score for any alpha. {why}")
        _warn_of_scoreless(candidates, evidence)
        params = _params(candidates)
        alphas = np.array([candidate.alpha for candidate in candidates])
        self.best_index_ = int(np.nanargmax(mean))
        self.alpha_ = float(alphas[self.best_index_])
        self.best_score_ = float(mean[self.best_index_])
        self.best_params_ = params[self.best_index_]
        self.curves_ = trained.curves
        self.stacked_ = trained.stacked
        self.n_splits_ = len(splits)
        self.epochs_ = trained.epochs
        seconds = np.array([trained.seconds, evidence.seconds]) / scores.size
        self.cv_results_ = _results(params, evidence, *seconds)
        sizes = [(len(split.test), len(split.rows.y)) for split in splits]
        n_test, n_train = np.mean(sizes, axis=0)
        places = [candidate.layers for candidate in candidates]
        self.gains_ = gains(alphas, places, scores, evidence.defined, n_test / n_train)
        if len(splits) == 1:
            warnings.warn(
                "One fold cannot tell how much a gain varies: `low` and `high` of "
                "gains_ are NaN. With cv=5, say, they are a 95 % interval.",
                UserWarning,
                stacklevel=3,
            )

    def _weights(self, evidence, target, weight):
        """Return the share of each candidate in a prediction, of shape (C,)."""
        shares = np.zeros(len(evidence.scores))
        shares[self.best_index_] = 1
        if self.ensemble != "blend":
            return shares
        usable = np.isfinite(evidence.mean_scores)
        predicted = evidence.predicted[usable]
        known = np.isfinite(predicted.sum(axis=0)).reshape(len(target), -1).all(axis=1)
        part = predicted[:, known], target[known], _part(weight, known)
        shares[usable] = self._blend_weights(*part)
        shares[shares < min(SMALL_SHARE, shares.max() / 2)] = 0
        return shares / shares.sum()

    def _keep(self, trained, weights, rows, seed):
        """Keep the members that predict, or train one on all rows."""
        self.alpha_weights_ = weights
        if not self.ensemble:
            self.estimators_ = [self._refitted(trained, rows, seed)]
            self._shares = np.ones(1)
            return
        members, shares = [], []
        for of_candidate, weight in zip(trained.members, weights, strict=True):
            if weight > 0:
                members += of_candidate
                shares += [weight / len(of_candidate)] * len(of_candidate)
        self.estimators_, self._shares = members, np.array(shares)

    def _refitted(self, trained, rows, seed):
        """Train on all rows by the best alpha, for as long as was best."""
        member = self._member(random_state=seed, **self.best_params_)
        member.estimator = self._net()
        member._read_like(self)
        net, coded = member._prepare(rows)
        n_epochs = int(trained.epochs[self.best_index_])
        train_once(net, stopping=not n_epochs)
        if n_epochs:
            net.set_params(max_epochs=n_epochs)
        member._train(net, net.fit, coded, None, seed)
        return member

    def _of_one_fit(self):
        """Return what was fitted, all by one fit, even if another thread fits anew."""
        check_is_fitted(self)
        fitted = object.__new__(type(self))
        fitted.__dict__ = vars(self)
        return fitted

    def _mean(self, X):
        """Predictions of all members, each by its share."""
        if not self._is_plainly_fine(X):
            X = self._check_rows(X, reset=False)
        pairs = zip(self.estimators_, self._shares, strict=True)
        return sum(share * member._predicted_for(X) for member, share in pairs)

    def _takes_missing(self):
        return self.estimators_[0]._takes_missing()

    def _scorer(self):
        """Return what scores members; None for the default."""
        if self.scoring is None:
            return None
        if not isinstance(self.scoring, str) and not callable(self.scoring):
            raise TypeError(
                f"Got scoring={self.scoring!r}, but expected one score: a name such as "
                "'accuracy', a function of (estimator, X, y), or None."
            )
        return check_scoring(self._member(), self.scoring)

    def _check_parameters(self):
        self._member()._check_parameters()
        self._scorer()
        _checked_alphas(self.alphas)
        check_option("ensemble", self.ensemble, ("blend", True, False))
        check_option("halving", self.halving, (True, False))
        check_option("verbose", self.verbose, (0, 1))


D_EMBEDDING = 8  # of the default classifier: finer than alone, for more nets


SMALL_SHARE = 0.05  # of a candidate that would cost more than it gives


def _held_out(member, split):
    """Predictions of a fold's rows held out, in the user's terms; NaN if diverged."""
    outputs = member._outputs(member.estimator_, split.X_test)
    if not np.isfinite(outputs).all():
        classify = member._task == "Classifier"
        return np.full(np.shape(outputs)[: 1 + classify], np.nan)
    return member._codec.decode(outputs)


def _try_out(scoring, member, splits):
    """Find out before training whether predictions can be scored."""
    if scoring is None:
        return
    if np.isfinite(_held_out(member, splits[0])).all():
        scoring.check(member, [split.test for split in splits], _part)


def _over_folds(of_folds, splits, n_rows):
    """Mean prediction of each row over the folds that hold it out; NaN for none."""
    total = np.zeros((n_rows, *of_folds[0].shape[1:]))
    times = np.zeros((n_rows, *[1] * (total.ndim - 1)))
    for of_fold, split in zip(of_folds, splits, strict=True):
        total[split.test] += of_fold
        times[split.test] += 1
    with np.errstate(invalid="ignore"):
        return total / times


def _params(candidates):
    """Parameters in which candidates differ, of each."""
    params = [{"alpha": c.alpha, "layers": c.layers} for c in candidates]
    if len({repr(c.layers) for c in candidates}) == 1:
        return [{"alpha": p["alpha"]} for p in params]
    return params


def _results(params, evidence, fit_seconds, score_seconds):
    """What `GridSearchCV` has in `cv_results_`."""
    scores, mean = evidence.scores, evidence.mean_scores
    zeros = np.zeros(len(params))
    results = {
        "mean_fit_time": zeros + fit_seconds,
        "std_fit_time": zeros,
        "mean_score_time": zeros + score_seconds,
        "std_score_time": zeros.copy(),
    }
    for name in params[0]:
        values = np.ma.MaskedArray([p[name] for p in params], mask=False)
        results[f"param_{name}"] = values
    results["params"] = params
    results |= {f"split{f}_test_score": of_fold for f, of_fold in enumerate(scores.T)}
    worst = np.where(np.isnan(mean), -np.inf, mean)
    results["mean_test_score"] = mean
    results["std_test_score"] = scores[:, evidence.defined].std(axis=1)
    results["rank_test_score"] = stats.rankdata(-worst, "min").astype(np.int32)
    return results


def _warn_of_scoreless(candidates, evidence):
    """Warn of candidates that have no score though others have one."""
    diverged = evidence.diverged.any(axis=1)
    scoreless = np.isnan(evidence.mean_scores)
    for which, why in [
        (scoreless & diverged, "Training has diverged in a fold."),
        (scoreless & ~diverged, "The score is undefined in a fold."),
    ]:
        alphas = sorted({candidates[c].alpha for c in np.flatnonzero(which)})
        if alphas:
            warnings.warn(
                f"Got no finite score for alpha in {alphas}, which is NaN and does "
                f"not predict. {why}",
                UserWarning,
                stacklevel=4,
            )


def _warn_of_rising(candidates, trained):
    # In most folds: among many members one or the other ends above by chance.
    rising = np.flatnonzero(trained.rising.mean(axis=1) > 0.5)
    if len(rising):
        alphas = sorted({candidates[c].alpha for c in rising})
        warn_of_rising_losses(alphas)


def _warn_of_lone(why):
    if why:
        warnings.warn(
            f"Members are trained one by one, and not as one stack: {why}. The results "
            "are the same, but take longer.",
            UserWarning,
            stacklevel=3,
        )


# Alphas and rows.


def _checked_alphas(alphas):
    """Sort alphas, leave out repeated ones, and add 0."""
    expected = "a sequence of finite numbers of at least 0, such as (0, 0.2, 1)"
    sequence = isinstance(alphas, Iterable) and not isinstance(alphas, Iterator)
    if isinstance(alphas, str | Mapping) or not sequence:
        raise TypeError(f"Got alphas={alphas!r}, but expected {expected}.")
    numbers = list(alphas)
    if not numbers:
        raise ValueError(f"Got alphas={alphas!r}, but expected {expected}.")
    for alpha in numbers:
        number = isinstance(alpha, Real) and not isinstance(alpha, bool | np.bool_)
        if not number or not 0 <= alpha < np.inf:
            raise ValueError(
                f"Got {alpha!r} among alphas, but expected {expected}. (0, which mixes "
                "nothing, is added where it is missing.)"
            )
    return sorted({0.0, *map(float, numbers)})


def _indexable(X):
    """Return a table of which rows can be taken."""
    if is_dict(X):
        return dict(X)
    X = as_frame(X)
    if sparse.issparse(X):
        return sparse.csr_matrix(X)
    if isinstance(X, np.ndarray | pd.DataFrame):
        return X
    return check_array(X, dtype=None, ensure_all_finite=False)


def _kept(values, kept, n_samples):
    """What is left of metadata where rows of weight 0 are not."""
    by_row = is_by_row(values, n_samples)
    return _part(np.asarray(values), kept) if by_row else values


def _part(data, rows):
    if data is None:
        return None
    return data[rows] if isinstance(data, np.ndarray) else multi_indexing(data, rows)


class MixupClassifierCV(ClassifierMixin, _MixupCV):
    """Classifier by several alphas at once, compared on rows held out.

    Each alpha is tried in each fold of a cross-validation, all as one stacked net under
    common random numbers; the members of the folds are kept and predict together. Which
    alpha was best, and whether mixing [1]_ helped at all, is told by rows held out.

    Parameters
    ----------
    estimator : skorch.NeuralNetClassifier or similar, default=None
        As in `MixupClassifier`, but that None stands for
        ``skmix.default_net("classifier")`` with ``module__d_embedding=8``.
    alphas : sequence of float, default=(0, 0.2, 1)
        Numbers of at least 0; they are sorted, repeated ones count once, and 0, which
        mixes nothing, is added where it is missing.
    cv : int, splitter, iterable or None, default=None
        As in scikit-learn; None is five folds of shuffled rows, with classes spread
        evenly. Rows that no fold holds out are trained on and have no prediction of
        their own; those that several hold out have the mean. Folds replace the net's
        ``train_split``. One fold will do (a split by time, say), but tells no interval.
    scoring : str, callable or None, default=None
        By what the best alpha is chosen, as in scikit-learn; None is the log loss.
        Row weights are passed on to it. Where it is undefined in a fold, its score
        there is NaN, and candidates are compared by the other folds.
    ensemble : "blend", True or False, default="blend"
        What predicts. True: the mean of the members of the best alpha, one a fold.
        "blend": the members of all alphas, each alpha by the share that predicts rows
        held out best (by log loss); shares of less than 0.05 are left out. False: one
        net, trained on all rows by the best alpha.
    halving : bool, default=False
        Give up alphas above 0 that are clearly behind: after 10, 20, 40, 80, 160 or 320
        epochs, by more than two standard errors (paired by folds) and 2 % of the loss.
        They are scored as they were then, or at their best epoch (the default net). All
        candidates are then trained in one process.
    n_jobs : int or None, default=None
        Processes, each of which trains some of the stacks, or some of the alphas where
        members are not stacked. Results do not depend on it: which members are trained
        together depends on candidates and folds alone.
    lam_per, mixing, pairing, clean_weight : default="batch", "mixup", "shuffle", 0.0
        As in `MixupClassifier`.
    layers : str or list of str, default="auto"
        As in `MixupClassifier`; but "auto" of the default net
        tries each alpha both at the "input" and behind the "embedding".
    class_weight : dict, "balanced" or None, default=None
        As in `MixupClassifier`.
    categorical_features : default="from_dtype"
        As in `MixupClassifier`.
    random_state : int, RandomState instance or None, default=None
        Seeds the default folds, and each member as it would seed a `MixupClassifier`:
        members that differ in alpha start from the same weights, and meet the same
        batches, partners and quantiles of `lam`.
    verbose : {0, 1}, default=0
        1 shows a bar of the epochs with the time left.

    Attributes
    ----------
    alpha_ : float
        The alpha of the best score.
    best_index_, best_score_, best_params_
        Its place in `cv_results_`, its mean score over the folds (optimistic, as it is
        the best of several), and its parameters.
    cv_results_ : dict of ndarrays
        The columns of ``GridSearchCV``, one row a candidate: an alpha, or an alpha at
        a place. As members are trained together, each has an equal share of the time.
    gains_ : dict of ndarrays
        What each row of `cv_results_` gains over alpha 0, in the units of the score:
        ``alpha``, ``layers``, ``mean``, and from ``low`` to ``high`` a 95 % interval,
        paired by folds [2]_. Below 0 mixing hurts. The gain of the chosen alpha is too
        good, since it was chosen by it: judge it on rows put aside. ``low`` and
        ``high`` are NaN where folds cannot tell how much a gain varies: where there is
        one fold, or where all of them agree to the last digit.
    curves_ : ndarray of shape (n_candidates, n_splits, n_epochs)
        Loss of the net (of the default regressor, for standardised targets) on rows
        held out, unmixed, after each epoch; NaN for epochs not run.
    oof_proba_ : ndarray of shape (n_samples, n_classes)
        Out-of-fold probabilities of each row, by members that have not seen it, before
        tempering. NaN for rows never held out or of weight 0.
    estimators_ : list of MixupClassifier
        What predicts: fitted on the rows of a fold, or on all.
    alpha_weights_ : ndarray of shape (n_candidates,)
        The share that each row of `cv_results_`, and of `gains_`, has in predictions.
    temperature_ : float
        What the logarithms of probabilities are divided by: the best for `oof_proba_`,
        with a prior around 1 (see `skmix.networks.fit_temperature`).
    epochs_ : ndarray of shape (n_candidates,), int
        After how many epochs members of the default kind predict: where the mean loss
        of their alpha over the folds was least. 0 for a net of one's own, whose
        callbacks say.
    stacked_ : bool
        Whether members were trained as one stack.
    n_splits_ : int
        Number of folds.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    n_features_in_, feature_names_in_
        As in `MixupClassifier`.

    See Also
    --------
    MixupClassifier : One net, by one alpha.
    sklearn.model_selection.GridSearchCV : Any parameters, one fit after the other.

    Notes
    -----
    Members are one module with one more axis, trained by one optimizer; each is what it
    would be if it were trained by itself, but for what dropout draws. Callbacks of
    skorch that stop early, schedule the learning rate or clip gradients count for each
    member by itself. What cannot be trained so is trained one by one, with one warning
    that says why: nets with methods, iterators or other callbacks of their own,
    optimizers that look at several numbers at once, modules that `torch.func.vmap` does
    not take, ``clean_weight``, several ``layers``. Where steps are so large that a
    stack is no faster, members are trained one by one, too.

    A net of the default kind is trained until its loss on rows held out has not been
    better on average over the folds for half as many epochs as its early stopping is
    patient, whatever that monitors.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond
       Empirical Risk Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412
    .. [2] C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003, equation 9, with the quantile of Student's t

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn, optim
    >>> from skmix import MixupClassifierCV
    >>> def mlp(d_in, d_out):
    ...     return nn.Sequential(nn.Linear(d_in, 32), nn.ReLU(), nn.Linear(32, d_out))
    >>> net = NeuralNetClassifier(mlp, criterion=nn.CrossEntropyLoss, lr=0.01)
    >>> net = net.set_params(optimizer=optim.Adam, max_epochs=20)
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = MixupClassifierCV(net, alphas=(0, 0.2, 1), cv=5, random_state=0)
    >>> clf = make_pipeline(StandardScaler(), clf).fit(X, y)
    >>> clf[-1].cv_results_["mean_test_score"].shape, clf[-1].curves_.shape
    ((3,), (3, 5, 20))
    >>> clf.score(X, y) > 0.9
    True
    """

    _task = "Classifier"
    _member_kind = MixupClassifier

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alphas: Sequence[float] = (0, 0.2, 1),
        cv: int | Iterable | object | None = None,
        scoring: str | Callable | None = None,
        ensemble: Literal["blend"] | bool = "blend",
        halving: bool = False,
        n_jobs: int | None = None,
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable | object = "mixup",
        pairing: str | Callable | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        class_weight: Mapping | Literal["balanced"] | None = None,
        categorical_features: Literal["from_dtype"] | Sequence | None = "from_dtype",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.ensemble = ensemble
        self.halving = halving
        self.n_jobs = n_jobs
        self.lam_per = lam_per
        self.mixing = mixing
        self.pairing = pairing
        self.layers = layers
        self.clean_weight = clean_weight
        self.class_weight = class_weight
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.verbose = verbose

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted; of shape (n_classes,)."""
        check_is_fitted(self, "estimators_")
        return self.estimators_[0].classes_

    def predict_proba(self, X) -> np.ndarray:
        """Predict the probability of each class, by all members together.

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
            If the columns are not those of `fit`, or outputs are not finite.
        """
        fitted = self._of_one_fit()
        return apply_temperature(fitted._mean(X), fitted.temperature_)

    def predict_log_proba(self, X) -> np.ndarray:
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
            If the columns are not those of `fit`, or outputs are not finite.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X) -> np.ndarray:
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
            If the columns are not those of `fit`, or outputs are not finite.
        """
        fitted = self._of_one_fit()
        proba, member = fitted.predict_proba(X), fitted.estimators_[0]
        if member._codec.binary:
            beyond = proba[:, 1] > member.estimator_.threshold
            return fitted.classes_[beyond.astype(int)]
        return fitted.classes_[proba.argmax(axis=1)]

    def _targets(self, y):
        return np.searchsorted(np.unique(y), y)

    def _score_of(self, predicted, target, weight):
        of_label = predicted[np.arange(len(target)), target]
        return np.average(np.log(of_label.clip(EPS)), weights=weight)

    def _blend_weights(self, predicted, target, weight):
        of_label = predicted[:, np.arange(len(target)), target]
        return shares_of_likelihood(of_label, weight)

    def _judge(self, out_of_fold, target, rows, kept):
        self.oof_proba_ = out_of_fold
        known = np.isfinite(out_of_fold[kept]).all(axis=1)
        proba, weight = out_of_fold[kept][known], _part(rows.weight, known)
        self.temperature_ = fit_temperature(proba, target[known], weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        binary = isinstance(self.estimator, NeuralNetBinaryClassifier)
        tags.classifier_tags.multi_class = not binary
        return tags


EPS = np.finfo(np.float32).tiny


class MixupRegressorCV(RegressorMixin, _MixupCV):
    """Regressor by several alphas at once, compared on rows held out.

    Each alpha is tried in each fold of a cross-validation, all as one stacked net under
    common random numbers; the members of the folds are kept and predict together. Which
    alpha was best, and whether mixing [1]_ helped at all, is told by rows held out.

    Parameters
    ----------
    estimator : skorch.NeuralNetRegressor or similar, default=None
        As in `MixupRegressor`.
    alphas : sequence of float, default=(0, 0.2, 1)
        Numbers of at least 0; they are sorted, repeated ones count once, and 0, which
        mixes nothing, is added where it is missing.
    cv : int, splitter, iterable or None, default=None
        As in scikit-learn; None is five folds of shuffled rows. Rows that no fold holds
        out are trained on and have no prediction of their own; those that several hold
        out have the mean. Folds replace the net's ``train_split``. One fold will do (a
        split by time, say), but tells no interval.
    scoring : str, callable or None, default=None
        By what the best alpha is chosen, as in scikit-learn; None is the root of the
        mean squared error. Row weights are passed on to it.
    ensemble : "blend", True or False, default="blend"
        What predicts. True: the mean of the members of the best alpha, one a fold.
        "blend": the members of all alphas, each alpha by the share that predicts rows
        held out best (by squared error); shares of less than 0.05 are left out. False:
        one net, trained on all rows by the best alpha.
    halving : bool, default=False
        Give up alphas above 0 that are clearly behind: after 10, 20, 40, 80, 160 or 320
        epochs, by more than two standard errors (paired by folds) and 2 % of the loss.
        They are scored as they were then, or at their best epoch (the default net). All
        candidates are then trained in one process.
    n_jobs : int or None, default=None
        Processes, each of which trains some of the stacks, or some of the alphas where
        members are not stacked. Results do not depend on it: which members are trained
        together depends on candidates and folds alone.
    lam_per, mixing, pairing, clean_weight : default="batch", "mixup", "shuffle", 0.0
        As in `MixupRegressor`.
    layers : str or list of str, default="auto"
        As in `MixupRegressor`.
    categorical_features : default="from_dtype"
        As in `MixupRegressor`.
    random_state : int, RandomState instance or None, default=None
        Seeds the default folds, and each member as it would seed a `MixupRegressor`:
        members that differ in alpha start from the same weights, and meet the same
        batches, partners and quantiles of `lam`.
    verbose : {0, 1}, default=0
        1 shows a bar of the epochs with the time left.

    Attributes
    ----------
    alpha_ : float
        The alpha of the best score.
    best_index_, best_score_, best_params_
        Its place in `cv_results_`, its mean score over the folds (optimistic, as it is
        the best of several), and its parameters.
    cv_results_ : dict of ndarrays
        The columns of ``GridSearchCV``, one row a candidate: an alpha, or an alpha at
        a place. As members are trained together, each has an equal share of the time.
    gains_ : dict of ndarrays
        What each row of `cv_results_` gains over alpha 0, in the units of the score:
        ``alpha``, ``layers``, ``mean``, and from ``low`` to ``high`` a 95 % interval,
        paired by folds [2]_. Below 0 mixing hurts. The gain of the chosen alpha is too
        good, since it was chosen by it: judge it on rows put aside. ``low`` and
        ``high`` are NaN where folds cannot tell how much a gain varies: where there is
        one fold, or where all of them agree to the last digit.
    curves_ : ndarray of shape (n_candidates, n_splits, n_epochs)
        Loss of the net (of the default regressor, for standardised targets) on rows
        held out, unmixed, after each epoch; NaN for epochs not run.
    oof_prediction_ : ndarray of shape (n_samples,)
        Out-of-fold predictions of each row, by members that have not seen it. NaN for
        rows never held out or of weight 0.
    estimators_ : list of MixupRegressor
        What predicts: fitted on the rows of a fold, or on all.
    alpha_weights_ : ndarray of shape (n_candidates,)
        The share that each row of `cv_results_`, and of `gains_`, has in predictions.
    epochs_ : ndarray of shape (n_candidates,), int
        After how many epochs members of the default kind predict: where the mean loss
        of their alpha over the folds was least. 0 for a net of one's own, whose
        callbacks say.
    stacked_ : bool
        Whether members were trained as one stack.
    n_splits_ : int
        Number of folds.
    n_features_in_, feature_names_in_
        As in `MixupRegressor`.

    See Also
    --------
    MixupRegressor : One net, by one alpha.
    sklearn.model_selection.GridSearchCV : Any parameters, one fit after the other.

    Notes
    -----
    Members are one module with one more axis, trained by one optimizer; each is what it
    would be if it were trained by itself, but for what dropout draws. Callbacks of
    skorch that stop early, schedule the learning rate or clip gradients count for each
    member by itself. What cannot be trained so is trained one by one, with one warning
    that says why: nets with methods, iterators or other callbacks of their own,
    optimizers that look at several numbers at once, modules that `torch.func.vmap` does
    not take, ``clean_weight``, several ``layers``. Where steps are so large that a
    stack is no faster, members are trained one by one, too.

    A net of the default kind is trained until its loss on rows held out has not been
    better on average over the folds for half as many epochs as its early stopping is
    patient, whatever that monitors.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond
       Empirical Risk Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412
    .. [2] C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003, equation 9, with the quantile of Student's t

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmix import MixupRegressorCV, default_net
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = default_net("regressor").set_params(max_epochs=5, module__d_block=16)
    >>> reg = MixupRegressorCV(net, alphas=(0.5,), cv=3, random_state=0).fit(X, y)
    >>> reg.cv_results_["param_alpha"].tolist(), len(reg.gains_["mean"])
    ([0.0, 0.5], 2)
    >>> reg.predict(X[:3]).shape
    (3,)
    """

    _task = "Regressor"
    _member_kind = MixupRegressor

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alphas: Sequence[float] = (0, 0.2, 1),
        cv: int | Iterable | object | None = None,
        scoring: str | Callable | None = None,
        ensemble: Literal["blend"] | bool = "blend",
        halving: bool = False,
        n_jobs: int | None = None,
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable | object = "mixup",
        pairing: str | Callable | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        categorical_features: Literal["from_dtype"] | Sequence | None = "from_dtype",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.ensemble = ensemble
        self.halving = halving
        self.n_jobs = n_jobs
        self.lam_per = lam_per
        self.mixing = mixing
        self.pairing = pairing
        self.layers = layers
        self.clean_weight = clean_weight
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.verbose = verbose

    def predict(self, X) -> np.ndarray:
        """Predict the number of each row, by all members together.

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
            If the columns are not those of `fit`, or outputs are not finite.
        """
        return self._of_one_fit()._mean(X)

    def _targets(self, y):
        return np.asarray(y, dtype=np.float64)

    def _score_of(self, predicted, target, weight):
        return -np.sqrt(np.average((predicted - target) ** 2, weights=weight))

    def _blend_weights(self, predicted, target, weight):
        return shares_of_least_squares(predicted, target, weight)

    def _judge(self, out_of_fold, target, rows, kept):
        self.oof_prediction_ = out_of_fold
