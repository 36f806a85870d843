"""All alphas and folds at once: what both searches share."""

import time
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple, Self

import joblib
import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn import get_config
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.utils import check_array
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from skmix._base import BaseMixup, all_or_nothing, draw_seed, of_kind
from skmix._callbacks import AS_IT_IS, Task
from skmix._default_net import train_once, trains_twice
from skmix._long_runs.checkpoints import Folder
from skmix._one_net import MixupEstimator, fitted_member
from skmix._preparation import (
    Preparation,
    Samples,
    draws_to_predict,
    fit_net,
    is_dict,
    noting_what_a_net_gets,
    rows_of,
)
from skmix._selection import (
    Evidence,
    Scoring,
    folds_of,
    gains,
    is_by_row,
    looks_at_groups,
    seeds_of_folds,
    warn_of_undefined,
)
from skmix._tables.dtypes import ColumnReader, as_frame
from skmix._tables.targets import ClassCodec, NumberCodec, check_labels
from skmix._training.epoch import Diverged, warn_of_rising_losses
from skmix._training.skorch_compat import (
    is_skorchs_callback,
    named_callbacks,
    watches_validation,
)
from skmix._validation import (
    FARTHEST,
    check_alphas,
    check_groups,
    check_n_jobs,
    check_option,
    warn,
)
from skmix._vectorized.candidates import Split, Trained, train_members, untrained
from skmix._vectorized.keeping import outputs_for_some, trained_net
from skmix.pairing import may_read_groups

FEW_NETS = 2  # `module__k` of a default net in a fold, since many of them predict
ALL_ROWS_SHARE = 0.5  # of a blend, for the net that is trained on all rows
# What a search sets, as `skmix.save` stores it.
FITTED = (
    *("_reader", "_preparation", "_draws", "_shares", "_preparations", "estimators_"),
    *("alpha_", "alpha_weights_", "best_index_", "best_params_", "best_score_"),
    *("curves_", "cv_results_", "epochs_", "fold_predictions_", "fold_rows_"),
    *("gains_", "n_splits_", "oof_prediction_", "oof_proba_", "target_hash_"),
    *("temperature_", "vectorized_", "n_features_in_", "feature_names_in_"),
)
SMALL_SHARE = 0.05  # of a candidate that would cost more than it gives


class MixupCV(BaseMixup):
    """Folds, members, and the choice among alphas, which both searches share.

    A subclass has a `_member_kind`, scores predictions of validation rows
    (`_score_of`), and blends predictions of several members (`_blend_weights`).
    """

    _member_kind: type[MixupEstimator]

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        **params: Any,
    ) -> Self:
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
            A group for each row, for splitters and pairings that look at them, such as
            ``cv=GroupKFold(5)`` and ``pairing="lisa"``. A warning says if none does.
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
            without a score, folds that cannot be scored, a net on all rows whose
            training has diverged, columns that are not read as they are written.
        ConvergenceWarning
            If the training loss of a candidate ended above its start in most folds.

        Notes
        -----
        After an error the estimator is as it was before.
        """
        self._check_parameters()
        plan = self._plan(X, y, sample_weight, groups, params)
        samples, splits = plan.samples, plan.splits
        self._check_net(splits[0])
        self._prepare_targets(samples, splits[0])
        self._try_out(plan.scoring, splits, plan.alphas[0])
        refits = self._refits(splits[0].net)
        n_parts = 2 if refits else 1  # members, and a net on all rows
        task = self._begin_fit(X, y, sample_weight, n_parts, splits[0].net.device)
        trained = self._train(plan, task)
        members = [
            [
                self._fitted(alpha, net, split.preparation, split.seed)
                for net, split in zip(nets, splits, strict=True)
            ]
            for alpha, nets in zip(plan.alphas, trained.nets, strict=True)
        ]
        data = self._targets(samples.y), samples.weight
        evidence = self._evidence(members, trained, splits, data, plan.scoring)
        self._report(plan.alphas, trained, evidence, splits)
        rows = [plan.kept[split.test] for split in splits]
        self._store(rows, evidence.by_fold, data[0])
        self.alpha_weights_ = self._weights(evidence, *data)
        parts = self._parts_of_folds(members, splits) if self.ensemble else []
        if refits:
            with task.subtask("all rows"):
                parts = self._with_all_rows(parts, trained, samples, plan.seed)
        shares, self._preparations, self.estimators_ = map(
            list, zip(*parts, strict=True)
        )
        self._shares = np.array(shares)
        self._judge(self._out_of_fold(evidence, plan), *data, plan.kept)
        task.end(fitted=AS_IT_IS)
        return self

    # What is trained, and on which rows.

    def _plan(
        self, X: Any, y: Any, weight: Any, groups: Any, params: dict[str, Any]
    ) -> "Plan":
        """Read the table, and divide the samples that count into folds."""
        options: dict[str, Any] = {"reset": True, "min_rows": 2}
        read = self._read_samples(X, y, weight, groups, **options)
        if self._task == "Classifier":
            check_labels(read.y)
        n_samples = len(read.y)
        kept = np.arange(n_samples)
        if read.weight is not None:
            kept = np.flatnonzero(read.weight)
        samples, table = read.weighted(), rows_of(indexable(X), kept)
        keep = partial(_kept, kept=kept, n_samples=n_samples)
        if groups is not None:  # a splitter sees values, and pairings see codes
            groups = check_groups(groups, read.y)
        to_splitter, to_scorer = self._routed(samples, keep, groups, weight, params)
        seed = draw_seed(self.random_state)
        folds = folds_of(
            self.cv,
            np.zeros(len(samples.y)) if is_dict(X) else table,
            samples.y,
            kept=kept,
            n_samples=n_samples,
            classify=self._task == "Classifier",
            seed=seed,
            metadata=to_splitter,
        )
        if samples.groups is not None and not looks_at_groups(self.cv):
            self._warn_of_unused_groups(samples.groups, folds)
        # Numbers that one fold lacks, another may be asked to predict.
        dense = isinstance(read.X, np.ndarray)
        missing = dense and bool(np.isnan(read.X).any())
        # An int is the seed of every fold, as in GridSearchCV.
        one_seed = isinstance(self.random_state, Integral)
        seeds = [seed] * len(folds) if one_seed else seeds_of_folds(seed, len(folds))
        splits = [
            self._split(samples, of_fold, missing, *fold)
            for of_fold, fold in zip(seeds, folds, strict=True)
        ]
        alphas = sorted({0.0, *check_alphas(self.alphas)})
        scorer = self._scorer()
        scoring = Scoring(repr(self.scoring), scorer, table, samples.y, to_scorer)
        return Plan(alphas, samples, kept, n_samples, splits, scoring, seed)

    def _warn_of_unused_groups(self, groups: np.ndarray, folds: list[Any]) -> None:
        """Warn if nobody looks at groups, and a fold trains on and holds out one."""
        if may_read_groups(self.pairing) or get_config()["enable_metadata_routing"]:
            return
        if any(np.isin(groups[test], groups[train]).any() for train, test in folds):
            warn(
                f"Got groups that are not used: neither cv={self.cv} nor pairing="
                f"{self.pairing!r} looks at them, and rows of a group are both trained "
                "on and held out. Pass a splitter that keeps groups together, "
                "cv=GroupKFold(5) say, or leave the groups out."
            )

    def _prepare_targets(self, samples: Samples, split: Split) -> None:
        """Learn the classes of all samples, and what they weigh, for predictions."""
        class_weight = getattr(self, "class_weight", None)
        prepared = split.preparation.with_targets_of(samples, class_weight)
        prepared.target.check_priors(getattr(self, "priors", None))
        self._preparation = prepared

    def _train(self, plan: "Plan", task: Task) -> Trained:
        """Train a net for each alpha and fold."""
        trained = train_members(
            plan.alphas,
            plan.splits,
            n_jobs=self.n_jobs,
            verbose=bool(self.verbose),
            folder=self._folder(),
            task=task,
        )
        if why := trained.why_not_vectorized:
            warn(
                f"Members are trained one by one, and not vectorized: {why}. This "
                "takes longer."
            )
        if rising := _rising(plan.alphas, trained):
            warn_of_rising_losses(rising)
        return trained

    def _routed(
        self, samples: Samples, keep: Any, groups: Any, weight: Any, params: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return metadata for the splitter and for the scorer."""
        if get_config()["enable_metadata_routing"]:
            given = {"sample_weight": weight} | params
            if self.get_metadata_routing().consumes("fit", ["groups"]):
                given["groups"] = groups  # else they are for the pairing alone
            given = {name: value for name, value in given.items() if value is not None}
            routed = process_routing(self, "fit", **given)
            parts = routed.splitter.split, routed.scorer.score
            kept = [{name: keep(v) for name, v in part.items()} for part in parts]
            return kept[0], kept[1]
        if params:
            raise TypeError(
                f"Got {', '.join(sorted(params))} in fit, which takes them for its "
                "splitter and its scorer where metadata routing is enabled: "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        to_splitter = {}
        if looks_at_groups(self.cv):
            to_splitter["groups"] = None if groups is None else keep(groups)
        weighted = samples.weight is not None
        return to_splitter, {"sample_weight": samples.weight} if weighted else {}

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which arguments of fit go to the splitter and to the scorer.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        to_splitter = MethodMapping().add(caller="fit", callee="split")
        to_scorer = MethodMapping().add(caller="fit", callee="score")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(splitter=self.cv, method_mapping=to_splitter)
        return router.add(scorer=self._scorer(), method_mapping=to_scorer)

    def _split(
        self, samples: Samples, seed: int, missing: bool, train: Any, test: Any
    ) -> Split:
        """Learn how the samples of a fold are coded, from those to train on."""
        to_train, held_out = samples.take(train).weighted(), samples.take(test)
        net = self._new_net()
        known = {"classes": np.unique(samples.y)} if self._task == "Classifier" else {}
        preparation = self._prepare(net, to_train, missing=missing, **known)
        held_out = held_out._replace(X=preparation.transform(held_out.X))
        return Split(
            net=net,
            preparation=preparation,
            rows=preparation.transform_samples(to_train),
            validation=preparation.transform_targets(held_out, "y_val")[:3],
            test=test,
            X_test=held_out.X,
            seed=seed,
            make_sampler=self._sampler_maker(),
        )

    def _check_net(self, split: Split) -> None:
        """Refuse what the net would refuse, or lose, after all the training."""
        net = split.net
        split.preparation.target.check_criterion(net)
        if net.get_params_for("iterator_valid").get("drop_last"):
            raise ValueError(
                "Got iterator_valid__drop_last=True, but rows held out are all wanted. "
                "Leave it out."
            )
        watching = [n for n, call in named_callbacks(net) if watches_validation(call)]
        if watching and not self.ensemble and not net.train_split:
            raise ValueError(
                "Got ensemble=False and callbacks that watch scores on validation rows "
                f"({', '.join(watching)}), but a net that is trained on all rows has "
                "none. Set a train_split, or use ensemble=True."
            )

    def _member(self, **params: Any) -> MixupEstimator:
        """Return an unfitted estimator with the settings of this one."""
        member: MixupEstimator = of_kind(
            self, self._member_kind, **{"verbose": 0} | params
        )
        return member

    def _fitted(
        self,
        alpha: float,
        net: NeuralNet,
        prepared: Preparation,
        seed: int,
        given: NeuralNet | None = None,
    ) -> MixupEstimator:
        """Return the estimator that a net makes which was trained by this alpha."""
        given = self.net_to_fit() if given is None else given
        member = self._member(alpha=alpha, estimator=given, random_state=seed)
        return fitted_member(member, self, net, prepared, self._draws)

    def net_to_fit(self) -> NeuralNet:
        """Return the net that `fit` clones for members.

        Returns
        -------
        net : skorch.NeuralNet
            `estimator`, or, where it is None, a new default net.
        """
        net = self._net_for_all_rows()
        if self.estimator is None and self.ensemble:
            net.set_params(module__k=FEW_NETS)
        return net

    def _net_for_all_rows(self) -> NeuralNet:
        """Return the net of which a clone is trained on all rows."""
        return super().net_to_fit()

    def _try_out(self, scoring: Scoring, splits: list[Split], alpha: float) -> None:
        """Find out before training whether outputs are fine, and can be scored."""
        split = splits[0]
        with noting_what_a_net_gets(split.rows.X, split.preparation):
            net = untrained(split, alpha)
        self._draws = draws_to_predict(net, split.rows.X)
        scored = scoring.scorer is not None
        if scored and np.isfinite(self._held_out(net, split)).all():
            fold = split.preparation, split.seed
            member = self._fitted(alpha, net, *fold)
            scoring.check(member, [split.test for split in splits])

    def _held_out(self, net: NeuralNet, split: Split) -> np.ndarray:
        """Predict the validation rows of a fold; NaN if training diverged."""
        preparation = split.preparation
        outputs = preparation.outputs(net, split.X_test, draws=self._draws)
        if not np.isfinite(outputs).all():
            classify = self._task == "Classifier"
            return np.full(np.shape(outputs)[: 1 + classify], np.nan)
        return preparation.target.decode(outputs)

    # Validation rows.

    def _evidence(
        self,
        members: Any,
        trained: Trained,
        splits: list[Split],
        data: Any,
        scoring: Any,
    ) -> Evidence:
        """Predict validation rows by all members, and score the predictions."""
        target, weight = data
        start = time.perf_counter()
        errors, diverged = {}, trained.diverged.copy()
        scores, predicted, held_out = np.full(diverged.shape, np.nan), [], []
        for c, nets in enumerate(trained.nets):
            pairs = zip(nets, splits, strict=True)
            of_folds = [self._held_out(*pair) for pair in pairs]
            predicted.append(_over_folds(of_folds, splits, len(target)))
            held_out.append(of_folds)
            for f, (of_fold, split) in enumerate(zip(of_folds, splits, strict=True)):
                diverged[c, f] |= not (np.abs(of_fold) <= FARTHEST).all()  # or NaN
                if diverged[c, f]:
                    continue
                if scoring.scorer is None:
                    truth = target[split.test], rows_of(weight, split.test)
                    scores[c, f] = self._score_of(of_fold, *truth)
                    continue
                try:
                    score = scoring.of_rows(members[c][f], split.test)
                    if not np.isfinite(score):
                        raise ValueError(f"the score is {score}")
                    scores[c, f] = score
                except Exception as error:  # undefined there, as in GridSearchCV
                    errors[c, f] = error
        seconds = time.perf_counter() - start
        by_fold = [np.array(of_fold) for of_fold in zip(*held_out, strict=True)]
        return Evidence(np.array(predicted), by_fold, scores, diverged, errors, seconds)

    def _report(
        self, tried: list[float], trained: Trained, evidence: Evidence, splits: Any
    ) -> None:
        """Set `cv_results_` and the attributes that follow from it."""
        scores, mean = evidence.scores, evidence.mean_scores
        warn_of_undefined(evidence, repr(self.scoring))
        if np.isnan(mean).all():
            if evidence.diverged.any(axis=1).all():
                why = (
                    "Training has diverged for each of them: lower the net's `lr`, or "
                    "scale the columns (and the targets of a regression)."
                )
            else:
                error = next(iter(evidence.errors.values()))
                why = (
                    f"scoring={self.scoring!r} failed ({type(error).__name__}: {error})"
                    ". Choose a scoring that is defined for the rows of each fold, or "
                    "larger folds."
                )
            raise ValueError(f"Got no finite score for any alpha. {why}")
        _warn_of_scoreless(tried, evidence)
        alphas = np.array(tried)
        params = [{"alpha": alpha} for alpha in alphas.tolist()]
        self.best_index_ = int(np.nanargmax(mean))
        self.alpha_ = float(alphas[self.best_index_])
        self.best_score_ = float(mean[self.best_index_])
        self.best_params_ = params[self.best_index_]
        self.curves_ = trained.curves
        self.vectorized_ = trained.vectorized
        self.n_splits_ = len(splits)
        self.epochs_ = trained.epochs
        seconds = np.array([trained.seconds, evidence.seconds]) / scores.size
        self.cv_results_ = _results(params, evidence, *seconds)
        sizes = [(len(split.test), len(split.rows.y)) for split in splits]
        n_test, n_train = np.mean(sizes, axis=0)
        self.gains_ = gains(alphas, scores, evidence.defined, n_test / n_train)
        if len(splits) == 1:
            warn(
                "One fold cannot tell how much a gain varies: `low` and `high` of "
                "gains_ are NaN. With cv=5, say, they are a 95 % interval."
            )

    def _store(
        self, rows: list[np.ndarray], predictions: list[np.ndarray], target: np.ndarray
    ) -> None:
        """Keep what each candidate predicts of rows held out, if that is wanted."""
        for name in ("fold_rows_", "fold_predictions_", "target_hash_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        if self.store_cv_results:
            self.fold_rows_, self.fold_predictions_ = rows, predictions
            self.target_hash_ = joblib.hash(target)

    def _weights(
        self, evidence: Evidence, target: np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray:
        """Return the share of each candidate in a prediction, of shape (C,)."""
        shares = np.zeros(len(evidence.scores))
        shares[self.best_index_] = 1
        if self.ensemble != "blend":
            return shares
        usable = np.isfinite(evidence.mean_scores)
        predicted = evidence.predicted[usable]
        known = np.isfinite(predicted.sum(axis=0)).reshape(len(target), -1).all(axis=1)
        part = predicted[:, known], target[known], rows_of(weight, known)
        shares[usable] = self._blend_weights(*part)
        shares[shares < min(SMALL_SHARE, shares.max() / 2)] = 0
        return np.asarray(shares / shares.sum())

    # What predicts.

    def _out_of_fold(self, evidence: Evidence, plan: "Plan") -> np.ndarray:
        """Return what the members predict together of rows held out; NaN elsewhere."""
        predicted, used = evidence.predicted, self.alpha_weights_ > 0
        blend = np.full((plan.n_samples, *predicted.shape[2:]), np.nan)
        blend[plan.kept] = np.tensordot(self.alpha_weights_[used], predicted[used], 1)
        return blend

    def _parts_of_folds(
        self, members: list[list[Any]], splits: list[Split]
    ) -> list[tuple[float, Preparation, Any]]:
        """Return the members that predict, with their shares and preparations."""
        return [
            (self.alpha_weights_[c] / len(splits), split.preparation, member)
            for c in np.flatnonzero(self.alpha_weights_)
            for member, split in zip(members[c], splits, strict=True)
        ]

    def _refits(self, net: NeuralNet) -> bool:
        """Whether a net is trained on all rows, to predict alone or beside the members.

        Beside them only a net of the default kind, of which the folds find the epochs,
        and not where a callback of the user may want rows held out.
        """
        if self.ensemble != "blend":
            return not self.ensemble
        callbacks = [callback for _, callback in named_callbacks(net)]
        return trains_twice(net) and all(map(is_skorchs_callback, callbacks))

    def _with_all_rows(
        self, parts: list[Any], trained: Trained, samples: Samples, seed: int
    ) -> list[tuple[float, Preparation, Any]]:
        """Return what predicts, with a net that is trained on all rows."""
        share = ALL_ROWS_SHARE if parts else 1.0
        try:
            preparation, member = self._refit(trained, samples, seed)
        except Diverged as error:
            if not parts:
                raise
            warn(
                "The net on all rows is left out, so that nets of the folds predict: "
                f"{error}"
            )
            return parts
        self._preparation = preparation
        others = [(s * (1 - share), prepared, one) for s, prepared, one in parts]
        return [*others, (share, preparation, member)]

    def _refit(
        self, trained: Trained, samples: Samples, seed: int
    ) -> tuple[Preparation, MixupEstimator]:
        """Train on all samples by the best alpha, for as long as was best."""
        given = self._net_for_all_rows()
        net = self._new_net(given).set_params(verbose=0)  # as the members
        preparation = self._prepare(net, samples)
        n_epochs = int(trained.epochs[self.best_index_])
        train_once(net, stopping=not n_epochs)
        if n_epochs:
            net.set_params(max_epochs=n_epochs)
        sampler = self._sampler_maker()(net, seed, alpha=self.alpha_)
        coded = preparation.transform_samples(samples)
        settings = {"sampler": sampler, "preparation": preparation, "seed": seed}
        work = net, coded, preparation.context(coded), self._sampler_maker()
        net = trained_net(
            partial(clone, net),
            lambda net: fit_net(net, coded, **settings),
            partial(outputs_for_some, preparation, coded.X),
            seed,
            self._folder().checkpoint("on all rows", *work, self.alpha_, seed),
        )
        return preparation, self._fitted(self.alpha_, net, preparation, seed, given)

    def _predict(self, X: Any) -> np.ndarray:
        """Return the mean prediction of all members, each by its share."""
        check_is_fitted(self)
        X, draws = self._read(X), self._draws
        members = zip(self._shares, self._preparations, self.estimators_, strict=True)
        predicted = (
            share * preparation.predict(member.estimator_, X, draws=draws)
            for share, preparation, member in members
        )
        return np.asarray(sum(predicted))

    def _scorer(self) -> Any:
        """Return the scorer of members; None for the default."""
        if self.scoring is None:
            return None
        if not isinstance(self.scoring, str) and not callable(self.scoring):
            raise TypeError(
                f"Got scoring={self.scoring!r}, but expected one score: a name such as "
                "'accuracy', a function of (estimator, X, y), or None."
            )
        return check_scoring(self._member(), self.scoring)

    def _folder(self) -> Folder:
        """Return where what is done is kept."""
        return Folder.of(self.checkpoint, self.random_state)

    def _check_parameters(self) -> None:
        self._check_settings()
        self._folder()
        self._scorer()
        check_alphas(self.alphas)
        check_option("ensemble", self.ensemble, ("blend", True, False))
        check_option("store_cv_results", self.store_cv_results, (True, False))
        check_n_jobs(self.n_jobs)


class Plan(NamedTuple):
    """What a search trains, and on which rows.

    Attributes
    ----------
    alphas : list of float
        Increasing, and 0 is one of them.
    samples : Samples
        Those that count: none of weight 0.
    kept : ndarray of shape (n_kept,)
        Their places in the user's table, of `n_samples` rows.
    n_samples : int
    splits : list of Split
    scoring : Scoring
    seed : int
    """

    alphas: list[float]
    samples: Samples
    kept: np.ndarray
    n_samples: int
    splits: list[Split]
    scoring: Scoring
    seed: int


class Part(NamedTuple):
    """A net that predicts, how its rows are coded, and its share in predictions."""

    share: float
    preparation: Preparation
    net: NeuralNet


class Prediction(NamedTuple):
    """How a fitted estimator predicts, for who predicts by other means.

    Attributes
    ----------
    reader : ColumnReader or None
        None if the table was a dict.
    target : ClassCodec or NumberCodec
    parts : list of Part
    draws : bool
        Whether a net draws from a global generator to predict, or may do so.
    """

    reader: ColumnReader | None
    target: ClassCodec | NumberCodec
    parts: list[Part]
    draws: bool


def prediction_of(estimator: BaseMixup) -> Prediction:
    """Return how a fitted estimator, with one net or many, predicts."""
    learnt = vars(estimator)
    preparation = learnt["_preparation"]
    if "estimator_" in learnt:
        parts = [Part(1.0, preparation, learnt["estimator_"])]
    else:
        shares, preparations = learnt["_shares"], learnt["_preparations"]
        nets = [member.estimator_ for member in learnt["estimators_"]]
        parts = list(map(Part, shares, preparations, nets))
    return Prediction(learnt["_reader"], preparation.target, parts, learnt["_draws"])


def _over_folds(of_folds: list[Any], splits: list[Split], n_rows: int) -> np.ndarray:
    """Return the mean prediction of each row, NaN where no fold holds it out."""
    total = np.zeros((n_rows, *of_folds[0].shape[1:]))
    times = np.zeros((n_rows, *[1] * (total.ndim - 1)))
    for of_fold, split in zip(of_folds, splits, strict=True):
        total[split.test] += of_fold
        times[split.test] += 1
    with np.errstate(invalid="ignore"):
        return total / times


def _results(
    params: Any, evidence: Evidence, fit_seconds: float, score_seconds: float
) -> dict[str, Any]:
    """Return `cv_results_` with the columns of `GridSearchCV`."""
    scores, mean = evidence.scores, evidence.mean_scores
    zeros = np.zeros(len(params))
    results: dict[str, Any] = {
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


def _warn_of_scoreless(alphas: list[float], evidence: Evidence) -> None:
    """Warn of alphas that have no score though others have one."""
    whys: dict[str, list[float]] = {}
    for c in np.flatnonzero(np.isnan(evidence.mean_scores)).tolist():
        why = "Training has diverged in a fold."
        if not evidence.diverged[c].any():
            fold = int(np.argmax(np.isnan(evidence.scores[c]) & evidence.defined))
            error = evidence.errors[c, fold]
            why = f"Scoring failed in fold {fold} ({type(error).__name__}: {error})."
        whys.setdefault(why, []).append(alphas[c])
    for why, without in whys.items():
        warn(
            f"Got no finite score for alpha in {without}, so that it does not predict. "
            f"{why}"
        )


def _rising(alphas: list[float], trained: Trained) -> list[float]:
    """Return alphas whose losses ended above their start in most folds."""
    # Among many members one or the other ends above by chance.
    return [alphas[c] for c in np.flatnonzero(trained.rising.mean(axis=1) > 0.5)]


# Rows.


def indexable(X: Any) -> Any:
    """Return a table of which rows can be taken."""
    if is_dict(X):
        return dict(X)
    X = as_frame(X)
    if sparse.issparse(X):
        return sparse.csr_matrix(X)
    if isinstance(X, np.ndarray | pd.DataFrame):
        return X
    return check_array(X, dtype=None, ensure_all_finite=False)


def _kept(values: Any, kept: np.ndarray, n_samples: int) -> Any:
    """Return metadata without the rows of weight 0."""
    by_row = is_by_row(values, n_samples)
    return rows_of(np.asarray(values), kept) if by_row else values
