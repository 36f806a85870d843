"""The searches: `MixupClassifierCV` and `MixupRegressorCV`, what they take and give.

What they share is in `skmix._search` and `skmix._base`.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from skorch import NeuralNet

from skmix._base import PredictsClasses, PredictsNumbers
from skmix._estimators import MixupClassifier, MixupRegressor
from skmix._preparation import rows_of
from skmix._search import MixupCV
from skmix._selection import shares_of_least_squares, shares_of_likelihood
from skmix.networks import apply_temperature, fit_temperature

D_EMBEDDING = 8  # of the default classifier: finer embeddings than alone
EPS = np.finfo(np.float32).tiny


class MixupClassifierCV(PredictsClasses, MixupCV):
    """Classifier that trains several alphas at once, and compares them.

    The search trains each alpha in each fold of a cross-validation, all of them at once
    as one vectorized net and with common random numbers. The net of one alpha in one
    fold is a member; members are kept, and predict together. A default net is trained
    on all rows, too, and predicts beside them. Validation rows tell which alpha is
    best, and whether mixing [1]_ helps.

    Parameters
    ----------
    estimator : skorch.NeuralNetClassifier or similar, default=None
        As in `MixupClassifier`, except that None stands for
        ``skmix.default_net("classifier")`` with ``module__d_embedding=8`` and, in the
        folds unless `ensemble` is False, ``module__k=2``: many members predict
        together.
    alphas : sequence of float, default=(0, 0.2, 1)
        Numbers of at least 0. They are sorted, and repeated numbers count once. 0 (no
        mixing) is added if it is missing. Each alpha adds a net for each fold, and the
        time grows with their number: docs/searches.md says what more nets buy.
    cv : int, splitter, iterable or None, default=None
        As in scikit-learn; None is five shuffled folds, stratified by classes. The
        folds replace the net's ``train_split``. With one fold (for example a split by
        time) gains have no interval. A row in no validation fold is only trained on,
        and has no out-of-fold prediction; a row in several of them has the mean.
    scoring : str, callable or None, default=None
        Score that chooses the best alpha, as in scikit-learn. None is the negated
        log loss. Scores get row weights. A score that is undefined
        in a fold is NaN there, and the other folds compare the candidates.
    ensemble : "blend", True or False, default="blend"
        The nets that predict.

        - "blend": the members of all alphas, weighted such that out-of-fold
          predictions have the least log loss. Shares below 0.05 are left out.
          Beside them, with half of the weight, a net of the default kind is trained on
          all rows with the best alpha. (Not if the net has callbacks that skorch does
          not have, or that monitor validation scores.)
        - True: the members of the best alpha, one for each fold, with equal weights.
        - False: one net, trained on all rows with the best alpha.

    n_jobs : int or None, default=None
        Number of processes. Each trains a group of members that are vectorized
        together, or the members of an alpha if they are not vectorized. Groups depend
        on candidates and folds alone, so the results are the same for every `n_jobs`.
    lam_per, mixing, pairing : default="batch", "mixup", "shuffle"
        As in `MixupClassifier`.
    layers : str or list of str, default="auto"
        As in `MixupClassifier`.
    clean_weight : float, default=0.0
        As in `MixupClassifier`.
    class_weight : dict, Series, "balanced" or None, default=None
        As in `MixupClassifier`.
    priors : "uniform", array-like of shape (n_classes,), dict or None, default=None
        As in `MixupClassifier`. The choice of the alpha by the default score, shares,
        temperature and `oof_proba_` are the same for all values; a user-supplied score
        sees corrected predictions.
    categorical_features : default="from_dtype"
        As in `MixupClassifier`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default folds and of the members. All members of a fold start from
        the same weights, and see the same batches, partners and quantiles of `lam`.
        By the rule of scikit-learn an int is the seed in each fold, as in a search by
        ``GridSearchCV``; with an instance or None each fold has a seed of its own, so
        that a gain cannot be the luck of one seed in all folds.
    store_cv_results : bool, default=False
        Keep what each candidate predicts of rows held out, `fold_predictions_`, which
        ``skmix.inspection.MixupEffect.from_search`` reads.
    checkpoint : str or path-like, default=None
        A folder that keeps what is done, so that a fit that was killed and is started
        again goes on from there, and ends with the same bits. It needs an int as
        `random_state`. None keeps nothing. Members that are trained together are kept
        every 30 seconds and in the end, others when they are trained. Files stay until
        you delete the folder; other data, parameters or versions have other files.
        docs/guide/long_runs.md says more.
    verbose : {0, 1}, default=0
        - 0: prints nothing.
        - 1: shows a bar of the epochs with the remaining time, where the standard error
          is a terminal, or in a notebook.

    Attributes
    ----------
    alpha_ : float
        The alpha with the best score.
    best_index_, best_score_, best_params_
        Index of the best candidate in `cv_results_`, its mean score over the folds
        (optimistic, since it is the best of several), and its parameters.
    cv_results_ : dict of ndarrays
        The columns of ``GridSearchCV``. A candidate is an alpha. Members are trained
        together, so each has an equal share of the time.
    gains_ : dict of ndarrays
        Gain of each candidate over alpha 0, in units of the score: ``alpha``,
        ``mean``, and the bounds ``low`` and ``high`` of 95 % intervals, which are
        paired by folds [2]_ and hold for all candidates at once. Below 0 mixing hurts.
        The gain of the chosen alpha is optimistic: measure it on test rows. ``low`` and
        ``high`` are NaN if there is one fold, or if all folds agree to the last digit.
    curves_ : ndarray of shape (n_candidates, n_splits, n_epochs)
        Loss of the net on the unmixed validation rows after each epoch (for the default
        regressor, with standardised targets; for the default classifier, with smoothed
        labels). NaN for epochs that were not run.
    oof_proba_ : ndarray of shape (n_samples, n_classes)
        Out-of-fold probabilities of each row, from members that were not trained on it,
        before calibration. NaN for rows in no validation fold, or of weight 0.
    fold_rows_ : list of ndarray of shape (n_test,), int
        Numbers of the rows that each fold holds out, those of weight 0 left out. With
        ``store_cv_results=True`` only.
    fold_predictions_ : list of ndarray of shape (n_candidates, n_test, n_classes)
        The probabilities that the candidates predict of these rows; NaN where training
        diverged. With ``store_cv_results=True`` only.
    target_hash_ : str
        Of the targets (of classes their indices) without rows of weight 0, by which
        they are known again. With ``store_cv_results=True`` only.
    estimators_ : list of MixupClassifier
        The estimators that predict: those of the folds, alpha by alpha, each fitted on
        the training rows of its fold, and last the one fitted on all rows, if any.
    alpha_weights_ : ndarray of shape (n_candidates,)
        Share of each candidate in what the estimators of the folds predict.
    temperature_ : float
        Divisor of the logarithms of probabilities: the best one for `oof_proba_`, with
        a prior around 1 (see ``skmix.networks.fit_temperature``).
    epochs_ : ndarray of shape (n_candidates,), int
        For nets of the default kind, the epoch with the least validation loss on
        average over the folds; members predict with the weights of this epoch. If
        members are trained one by one, the mean of the epochs that early stopping
        finds. 0 for a user-supplied net, whose callbacks decide.
    vectorized_ : bool
        Whether members were trained as one vectorized net.
    n_splits_ : int
        Number of folds.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    class_prior_ : ndarray of shape (n_classes,)
        As in `MixupClassifier`, of all samples.
    n_features_in_, feature_names_in_
        As in `MixupClassifier`.

    See Also
    --------
    MixupClassifier : One net, with one alpha.
    sklearn.model_selection.GridSearchCV : Searches any parameters, fit by fit.

    Notes
    -----
    Members are one module with an additional axis, trained by one optimizer. Each is
    the same net as in a separate fit; only torch's own dropout, which the default net
    does not use, draws other masks. Early stopping, learning rate schedules and
    gradient clipping of skorch work for each member separately. Members are trained one
    by one, with a warning that says why, if they cannot be vectorized:

    - nets that override methods of skorch, or have user-supplied iterators or other
      callbacks;
    - optimizers that do not update each number separately;
    - modules that `torch.func.vmap` does not accept;
    - ``clean_weight``, or several ``layers``.

    If steps are so large that vectorizing is no faster, members are also trained one by
    one, without a warning.

    A net of the default kind stops when the validation loss, averaged over folds, has
    not improved for the ``patience`` of its EarlyStopping callback; the callback's
    ``monitor`` is ignored. With ``clean_weight`` or several ``layers`` each member
    stops by itself.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond
       Empirical Risk Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412
    .. [2] C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003, equation 9, with 0.4 of what it adds for shared rows:
       docs/inspection.md

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

    _member_kind = MixupClassifier

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alphas: Sequence[float] = (0, 0.2, 1),
        cv: int | Iterable[Any] | object | None = None,
        scoring: str | Callable[..., Any] | None = None,
        ensemble: Literal["blend"] | bool = "blend",
        n_jobs: int | None = None,
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable[..., Any] | object = "mixup",
        pairing: str | Callable[..., Any] | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        priors: Literal["uniform"] | ArrayLike | Mapping[Any, float] | None = None,
        categorical_features: Literal["from_dtype"]
        | Sequence[Any]
        | None = "from_dtype",
        random_state: int | np.random.RandomState | None = None,
        store_cv_results: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.ensemble = ensemble
        self.n_jobs = n_jobs
        self.lam_per = lam_per
        self.mixing = mixing
        self.pairing = pairing
        self.layers = layers
        self.clean_weight = clean_weight
        self.class_weight = class_weight
        self.priors = priors
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.store_cv_results = store_cv_results
        self.checkpoint = checkpoint
        self.verbose = verbose

    def _net_for_all_rows(self) -> NeuralNet:
        net = super()._net_for_all_rows()
        if self.estimator is None:
            net.set_params(module__d_embedding=D_EMBEDDING)
        return net

    def _predict(self, X: Any) -> np.ndarray:
        return apply_temperature(super()._predict(X), self.temperature_)

    def _targets(self, y: np.ndarray) -> np.ndarray:
        return np.searchsorted(np.unique(y), y)

    def _score_of(self, predicted: Any, target: np.ndarray, weight: Any) -> float:
        of_label = predicted[np.arange(len(target)), target]
        return float(np.average(np.log(of_label.clip(EPS)), weights=weight))

    def _blend_weights(
        self, predicted: Any, target: np.ndarray, weight: Any
    ) -> np.ndarray:
        of_label = predicted[:, np.arange(len(target)), target]
        return shares_of_likelihood(of_label, weight)

    def _judge(
        self, out_of_fold: np.ndarray, target: np.ndarray, weight: Any, kept: Any
    ) -> None:
        self.oof_proba_ = out_of_fold
        known = np.isfinite(out_of_fold[kept]).all(axis=1)
        proba, weight = out_of_fold[kept][known], rows_of(weight, known)
        self.temperature_ = fit_temperature(proba, target[known], weight)


class MixupRegressorCV(PredictsNumbers, MixupCV):
    """Regressor that trains several alphas at once, and compares them.

    The search trains each alpha in each fold of a cross-validation, all of them at once
    as one vectorized net and with common random numbers. The net of one alpha in one
    fold is a member; members are kept, and predict together. A default net is trained
    on all rows, too, and predicts beside them. Validation rows tell which alpha is
    best, and whether mixing [1]_ helps.

    Parameters
    ----------
    estimator : skorch.NeuralNetRegressor or similar, default=None
        As in `MixupRegressor`, except that None stands for
        ``skmix.default_net("regressor")`` with ``module__k=2`` in the folds, unless
        `ensemble` is False: many members predict together.
    alphas : sequence of float, default=(0, 0.2, 1)
        Numbers of at least 0. They are sorted, and repeated numbers count once. 0 (no
        mixing) is added if it is missing. Each alpha adds a net for each fold, and the
        time grows with their number: docs/searches.md says what more nets buy.
    cv : int, splitter, iterable or None, default=None
        As in scikit-learn; None is five shuffled folds. The
        folds replace the net's ``train_split``. With one fold (for example a split by
        time) gains have no interval. A row in no validation fold is only trained on,
        and has no out-of-fold prediction; a row in several of them has the mean.
    scoring : str, callable or None, default=None
        Score that chooses the best alpha, as in scikit-learn. None is the negated
        root mean squared error. Scores get row weights. A score that is undefined
        in a fold is NaN there, and the other folds compare the candidates.
    ensemble : "blend", True or False, default="blend"
        The nets that predict.

        - "blend": the members of all alphas, weighted such that out-of-fold
          predictions have the least squared error. Shares below 0.05 are left out.
          Beside them, with half of the weight, a net of the default kind is trained on
          all rows with the best alpha. (Not if the net has callbacks that skorch does
          not have, or that monitor validation scores.)
        - True: the members of the best alpha, one for each fold, with equal weights.
        - False: one net, trained on all rows with the best alpha.

    n_jobs : int or None, default=None
        Number of processes. Each trains a group of members that are vectorized
        together, or the members of an alpha if they are not vectorized. Groups depend
        on candidates and folds alone, so the results are the same for every `n_jobs`.
    lam_per, mixing, pairing : default="batch", "mixup", "shuffle"
        As in `MixupRegressor`.
    layers : str or list of str, default="auto"
        As in `MixupRegressor`.
    clean_weight : float, default=0.0
        As in `MixupRegressor`.
    categorical_features : default="from_dtype"
        As in `MixupRegressor`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default folds and of the members. All members of a fold start from
        the same weights, and see the same batches, partners and quantiles of `lam`.
        By the rule of scikit-learn an int is the seed in each fold, as in a search by
        ``GridSearchCV``; with an instance or None each fold has a seed of its own, so
        that a gain cannot be the luck of one seed in all folds.
    store_cv_results : bool, default=False
        Keep what each candidate predicts of rows held out, `fold_predictions_`, which
        ``skmix.inspection.MixupEffect.from_search`` reads.
    checkpoint : str or path-like, default=None
        A folder that keeps what is done, so that a fit that was killed and is started
        again goes on from there, and ends with the same bits. It needs an int as
        `random_state`. None keeps nothing. Members that are trained together are kept
        every 30 seconds and in the end, others when they are trained. Files stay until
        you delete the folder; other data, parameters or versions have other files.
        docs/guide/long_runs.md says more.
    verbose : {0, 1}, default=0
        - 0: prints nothing.
        - 1: shows a bar of the epochs with the remaining time, where the standard error
          is a terminal, or in a notebook.

    Attributes
    ----------
    alpha_ : float
        The alpha with the best score.
    best_index_, best_score_, best_params_
        Index of the best candidate in `cv_results_`, its mean score over the folds
        (optimistic, since it is the best of several), and its parameters.
    cv_results_ : dict of ndarrays
        The columns of ``GridSearchCV``. A candidate is an alpha. Members are trained
        together, so each has an equal share of the time.
    gains_ : dict of ndarrays
        Gain of each candidate over alpha 0, in units of the score: ``alpha``,
        ``mean``, and the bounds ``low`` and ``high`` of 95 % intervals, which are
        paired by folds [2]_ and hold for all candidates at once. Below 0 mixing hurts.
        The gain of the chosen alpha is optimistic: measure it on test rows. ``low`` and
        ``high`` are NaN if there is one fold, or if all folds agree to the last digit.
    curves_ : ndarray of shape (n_candidates, n_splits, n_epochs)
        Loss of the net on the unmixed validation rows after each epoch (for the default
        regressor, with standardised targets). NaN for epochs that were not run.
    oof_prediction_ : ndarray of shape (n_samples,)
        Out-of-fold prediction of each row, from members that were not trained on it.
        NaN for rows in no validation fold, or of weight 0.
    fold_rows_ : list of ndarray of shape (n_test,), int
        Numbers of the rows that each fold holds out, those of weight 0 left out. With
        ``store_cv_results=True`` only.
    fold_predictions_ : list of ndarray of shape (n_candidates, n_test)
        The numbers that the candidates predict of these rows; NaN where training
        diverged. With ``store_cv_results=True`` only.
    target_hash_ : str
        Of the targets (of classes their indices) without rows of weight 0, by which
        they are known again. With ``store_cv_results=True`` only.
    estimators_ : list of MixupRegressor
        The estimators that predict: those of the folds, alpha by alpha, each fitted on
        the training rows of its fold, and last the one fitted on all rows, if any.
    alpha_weights_ : ndarray of shape (n_candidates,)
        Share of each candidate in what the estimators of the folds predict.
    epochs_ : ndarray of shape (n_candidates,), int
        For nets of the default kind, the epoch with the least validation loss on
        average over the folds; members predict with the weights of this epoch. If
        members are trained one by one, the mean of the epochs that early stopping
        finds. 0 for a user-supplied net, whose callbacks decide.
    vectorized_ : bool
        Whether members were trained as one vectorized net.
    n_splits_ : int
        Number of folds.
    n_features_in_, feature_names_in_
        As in `MixupRegressor`.

    See Also
    --------
    MixupRegressor : One net, with one alpha.
    sklearn.model_selection.GridSearchCV : Searches any parameters, fit by fit.

    Notes
    -----
    Members are one module with an additional axis, trained by one optimizer. Each is
    the same net as in a separate fit; only torch's own dropout, which the default net
    does not use, draws other masks. Early stopping, learning rate schedules and
    gradient clipping of skorch work for each member separately. Members are trained one
    by one, with a warning that says why, if they cannot be vectorized:

    - nets that override methods of skorch, or have user-supplied iterators or other
      callbacks;
    - optimizers that do not update each number separately;
    - modules that `torch.func.vmap` does not accept;
    - ``clean_weight``, or several ``layers``.

    If steps are so large that vectorizing is no faster, members are also trained one by
    one, without a warning.

    A net of the default kind stops when the validation loss, averaged over folds, has
    not improved for the ``patience`` of its EarlyStopping callback; the callback's
    ``monitor`` is ignored. With ``clean_weight`` or several ``layers`` each member
    stops by itself.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond
       Empirical Risk Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412
    .. [2] C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003, equation 9, with 0.4 of what it adds for shared rows:
       docs/inspection.md

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

    _member_kind = MixupRegressor

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alphas: Sequence[float] = (0, 0.2, 1),
        cv: int | Iterable[Any] | object | None = None,
        scoring: str | Callable[..., Any] | None = None,
        ensemble: Literal["blend"] | bool = "blend",
        n_jobs: int | None = None,
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable[..., Any] | object = "mixup",
        pairing: str | Callable[..., Any] | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        categorical_features: Literal["from_dtype"]
        | Sequence[Any]
        | None = "from_dtype",
        random_state: int | np.random.RandomState | None = None,
        store_cv_results: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.ensemble = ensemble
        self.n_jobs = n_jobs
        self.lam_per = lam_per
        self.mixing = mixing
        self.pairing = pairing
        self.layers = layers
        self.clean_weight = clean_weight
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.store_cv_results = store_cv_results
        self.checkpoint = checkpoint
        self.verbose = verbose

    def _targets(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(y, dtype=np.float64)

    def _score_of(self, predicted: Any, target: np.ndarray, weight: Any) -> float:
        return float(-np.sqrt(np.average((predicted - target) ** 2, weights=weight)))

    def _blend_weights(
        self, predicted: Any, target: np.ndarray, weight: Any
    ) -> np.ndarray:
        return shares_of_least_squares(predicted, target, weight)

    def _judge(
        self, out_of_fold: np.ndarray, target: np.ndarray, weight: Any, kept: Any
    ) -> None:
        self.oof_prediction_ = out_of_fold
