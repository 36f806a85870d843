"""Pairs of models that differ in mixing alone, and what that changes for each row.

The models of a pair are fitted in a fold of a cross-validation, or given. Whatever is
said about a change is computed from their predictions for rows that neither has seen.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn.base
from joblib import Parallel, delayed
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmix._base import draw_seed
from skmix._preparation import Samples, check_targets, rows_of
from skmix._validation import (
    check_groups,
    check_n_jobs,
    check_no_target_missing,
    check_number_targets,
    check_sample_weight,
    is_number,
)
from skmix.inspection._folds import check_length, folds_in
from skmix.inspection._metrics import (
    ACCURACY,
    ECE,
    SIGNED_ECE,
    log_losses,
)
from skmix.inspection._models import (
    at_alpha,
    fit_params,
    is_search,
    mixup_of,
    seeded,
    table_for,
)
from skmix.networks import apply_temperature, fit_temperature


class Pair(NamedTuple):
    """A model that mixes and one that does not, and rows that neither has seen.

    Attributes
    ----------
    mixed, plain : fitted estimators
    rows : ndarray of shape (n,), int
        Numbers of the rows in the whole table.
    X : table of n rows
    y : ndarray of shape (n,)
        Labels or targets.
    weight : ndarray of shape (n,), float64, or None
    """

    mixed: Any
    plain: Any
    rows: np.ndarray
    X: Any
    y: np.ndarray
    weight: np.ndarray | None


class PairPredictions(NamedTuple):
    """Predictions of all pairs for their rows, one pair after the other.

    Attributes
    ----------
    rows : ndarray of shape (n,), int
        Numbers of the rows in the whole table; those in several folds are repeated.
    pair : ndarray of shape (n,), int
        Number of the pair.
    y : ndarray of shape (n,)
        Indices of classes, or numbers.
    mixed, plain : ndarray of shape (n, n_classes) or (n,), float64
    weight : ndarray of shape (n,), float64, or None
    classes : ndarray of shape (n_classes,), or None
    """

    rows: np.ndarray
    pair: np.ndarray
    y: np.ndarray
    mixed: np.ndarray
    plain: np.ndarray
    weight: np.ndarray | None
    classes: np.ndarray | None


# Pairs.


def fitted_pairs(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    baseline: Any = None,
    cv: Any = 5,
    sample_weight: Any = None,
    groups: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> list[Pair]:
    """Return pairs of models, one for each fold, or the one that is given.

    Arguments are those of `row_effects`.
    """
    check_n_jobs(n_jobs)
    check_no_target_missing(y)
    if baseline is not None:
        return [_given_pair(estimator, baseline, X, y, sample_weight)]
    _check_mixes(estimator)
    X, y = table_for(estimator, X), _targets(estimator, y)
    check_length(X, y)
    weight = check_sample_weight(sample_weight, y)
    samples = Samples(X, y, weight, None if groups is None else check_groups(groups, y))
    seed = seed_of(estimator, random_state)
    classify = sklearn.base.is_classifier(estimator)
    folds = folds_in(cv, samples, classify=classify, seed=seed)
    work = (
        delayed(_fitted_pair)(
            estimator, samples, fold, np.random.SeedSequence([seed, k])
        )
        for k, fold in enumerate(folds)
    )
    return list(Parallel(n_jobs=n_jobs)(work))


def seed_of(model: Any, random_state: Any) -> int:
    """Return a seed of its own, or that of the model if `random_state` is None."""
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    own = getattr(last, "random_state", None)
    return draw_seed(own if random_state is None else random_state)


def _given_pair(mixed: Any, plain: Any, X: Any, y: Any, sample_weight: Any) -> Pair:
    """Check two fitted models, and return them with all rows."""
    kinds = [_kind(mixed), _kind(plain)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"Got a {kinds[0]} and a {kinds[1]} as its baseline, but expected two of "
            "a kind. Fit the baseline for the same targets."
        )
    for name, model in (("an estimator", mixed), ("a baseline", plain)):
        try:
            check_is_fitted(model)
        except NotFittedError:
            raise NotFittedError(
                f"Got {name} that is not fitted. With a baseline, both models must "
                "be fitted, and X and y hold rows that neither has seen. Call fit, or "
                "leave out the baseline: both are then fitted in folds."
            ) from None
    X, y = table_for(mixed, X), _targets(mixed, y)
    check_length(X, y)
    if kinds[0] == "classifier":
        _check_classes(mixed.classes_, plain.classes_, y)
    weight = check_sample_weight(sample_weight, y)
    return Pair(mixed, plain, np.arange(len(y)), X, y, weight)


def _kind(model: Any) -> str:
    """Return what a model predicts, in the words of scikit-learn."""
    for kind, is_one in (
        ("classifier", sklearn.base.is_classifier),
        ("regressor", sklearn.base.is_regressor),
    ):
        if hasattr(model, "__sklearn_tags__") and is_one(model):
            return kind
    raise TypeError(
        f"Got {type(model).__name__}, but expected a classifier or a regressor of "
        "scikit-learn's kind."
    )


def _check_classes(classes: np.ndarray, others: np.ndarray, y: np.ndarray) -> None:
    if not np.array_equal(classes, others):
        raise ValueError(
            f"Got a baseline with the classes {others.tolist()}, but expected those of "
            f"the estimator: {classes.tolist()}. Fit both on rows of all classes."
        )
    if unknown := sorted(set(y.tolist()) - set(classes.tolist())):
        raise ValueError(
            f"Got the labels {unknown} in y, but the models know only "
            f"{classes.tolist()}. Leave out rows of other classes."
        )


def _check_mixes(estimator: Any) -> None:
    """Refuse an estimator that mixes nothing."""
    params = mixup_of(estimator).get_params(deep=False)
    name = "alphas" if is_search(estimator) else "alpha"
    alphas = np.asarray(params[name], dtype=object).ravel()
    if len(alphas) and all(is_number(alpha) and alpha == 0 for alpha in alphas):
        raise ValueError(
            f"Got {name}={params[name]!r}, and so no alpha above 0: nothing to "
            "compare. Set an alpha that mixes, such as 0.2; its counterpart at "
            "alpha=0 is made here."
        )


def _targets(model: Any, y: Any) -> np.ndarray:
    """Return labels or numbers, of shape (n,)."""
    numeric = not sklearn.base.is_classifier(model)
    if numeric:
        check_number_targets(y)
    return check_targets(y, numeric=numeric)


def _fitted_pair(
    estimator: Any,
    samples: Samples,
    fold: tuple[np.ndarray, np.ndarray],
    sequence: np.random.SeedSequence,
) -> Pair:
    """Fit an estimator and its counterpart at alpha 0, from the same seed."""
    train, test = map(samples.take, fold)
    mixed = seeded(estimator, int(sequence.generate_state(1)[0]))
    plain = at_alpha(mixed, 0)
    by_row = {"sample_weight": train.weight, "groups": train.groups}
    for model in (mixed, plain):
        model.fit(train.X, train.y, **fit_params(model, by_row))
    return Pair(mixed, plain, fold[1], test.X, test.y, test.weight)


# Predictions for the rows held out.


def held_out(pairs: Sequence[Pair]) -> PairPredictions:
    """Predict the rows of each pair by both of its models."""
    classify = sklearn.base.is_classifier(pairs[0].mixed)
    classes = np.asarray(pairs[0].mixed.classes_) if classify else None
    y = np.concatenate([pair.y for pair in pairs])
    weights = [pair.weight for pair in pairs if pair.weight is not None]
    return PairPredictions(
        rows=np.concatenate([pair.rows for pair in pairs]),
        pair=np.repeat(np.arange(len(pairs)), [len(pair.y) for pair in pairs]),
        y=y.astype(float) if classes is None else np.searchsorted(classes, y),
        mixed=np.concatenate([predicted(pair.mixed, pair.X) for pair in pairs]),
        plain=np.concatenate([predicted(pair.plain, pair.X) for pair in pairs]),
        weight=np.concatenate(weights) if weights else None,
        classes=classes,
    )


def predicted(model: Any, X: Any) -> np.ndarray:
    """Return probabilities of classes, or numbers."""
    classify = sklearn.base.is_classifier(model)
    of_rows = model.predict_proba(X) if classify else model.predict(X)
    return np.asarray(of_rows, dtype=np.float64)


def refuse_numbers(model: Any, name: str) -> None:
    """Raise if a model predicts numbers."""
    if sklearn.base.is_regressor(model):
        raise TypeError(
            f"Got a regressor, but {name} looks at probabilities and so expected a "
            "classifier. For numbers there are row_effects and SegmentDisplay."
        )


# Loss by row.


def row_effects(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    baseline: Any = None,
    cv: Any = 5,
    sample_weight: Any = None,
    groups: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Tell for each row how mixing changes its loss.

    The estimator and its counterpart at alpha 0 are fitted in the folds of a
    cross-validation, from the same seed within a fold. The loss of a row is that of
    the models which have not seen it: the log loss of a label, or the squared error of
    a number.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV, MixupRegressorCV, \
            or a Pipeline that ends in one
        The model with mixing. It is cloned, unless there is a `baseline`.
    X : table of n_samples rows
        Whatever `estimator` takes.
    y : array-like of shape (n_samples,)
        Labels or targets.
    baseline : fitted classifier or regressor, default=None
        The model without mixing. With it `estimator` must be fitted, too; then nothing
        is fitted, and `X` and `y` are rows that neither has seen. Both may be any
        models of scikit-learn's kind.
    cv : int, splitter or iterable, default=5
        Folds in which both are fitted, if there is no `baseline`. An int is that many
        shuffled folds, stratified by classes, which keep `groups` together.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights in `fit`. Rows of weight 0 are left out, and their effect is NaN.
    groups : array-like of shape (n_samples,), default=None
        A group for each row, for the folds and for `fit`.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds and of the models, which is another one in each fold. None
        takes the estimator's.
    n_jobs : int or None, default=None
        Number of processes, which fit the pairs of several folds at once.

    Returns
    -------
    effects : DataFrame of shape (n_samples, 4)
        One row for each row of `X`, with its index, those that mixing hurts most first.

        - ``label`` or ``target``: what is in `y`.
        - ``loss``, ``loss_plain``: with mixing and without, float64.
        - ``change``: the first minus the second; above 0 mixing hurts.

        A row in several folds has the mean of their losses; one in none has NaN.

    Raises
    ------
    TypeError
        If `estimator` is none of skmix, and there is no `baseline`.
    ValueError
        If there is no alpha above 0, a single class, or a class with fewer rows than
        folds; if the two models have different tasks or classes; or as in `fit`.
    NotFittedError
        If there is a `baseline`, and one of the two is not fitted.

    See Also
    --------
    calibration_effect : Whether probabilities are too high or too low.
    mixup_effect : Whether the mean changes by more than chance.

    Notes
    -----
    The change of a single row is mostly chance: each fit starts elsewhere. Look at
    groups of rows, as below, and repeat them with another `random_state`.

    With ``alpha="auto"`` a fold may choose alpha 0, and its rows change little.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import row_effects
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = default_net("classifier").set_params(max_epochs=3, module__d_block=16)
    >>> clf = MixupClassifier(net, alpha=1, random_state=0)
    >>> effects = row_effects(clf, X, y, cv=2)
    >>> list(effects.columns)
    ['label', 'loss', 'loss_plain', 'change']

    Whom does mixing hurt? The mean change of each class, or by any column:

    >>> effects.groupby("label")["change"].mean().shape
    (3,)
    >>> effects["change"].groupby(X["alcohol"] > 13).mean().shape
    (2,)
    """
    pairs = fitted_pairs(
        estimator,
        X,
        y,
        baseline=baseline,
        cv=cv,
        sample_weight=sample_weight,
        groups=groups,
        random_state=random_state,
        n_jobs=n_jobs,
    )
    return effects_of_rows(pairs, X, y)


def effects_of_rows(pairs: Sequence[Pair], X: Any, y: Any) -> pd.DataFrame:
    """Return what `row_effects` does, from pairs for rows of this table."""
    of, name = held_out(pairs), "target"
    if of.classes is None:
        losses = [(predicted - of.y) ** 2 for predicted in (of.mixed, of.plain)]
    else:
        name = "label"
        losses = [log_losses(of.y, proba) for proba in (of.mixed, of.plain)]
    y = _targets(pairs[0].mixed, y)
    times = np.bincount(of.rows, minlength=len(y))
    with np.errstate(invalid="ignore"):
        mixed, plain = (np.bincount(of.rows, loss, len(y)) / times for loss in losses)
    columns = {name: y, "loss": mixed, "loss_plain": plain, "change": mixed - plain}
    index = X.index if isinstance(X, pd.DataFrame) else None
    effects = pd.DataFrame(columns, index=index)
    return effects.sort_values("change", ascending=False, kind="stable")


# Calibration.


def calibration_effect(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    baseline: Any = None,
    cv: Any = 5,
    sample_weight: Any = None,
    groups: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Tell whether probabilities are too high or too low, with mixing and without.

    The estimator and its counterpart at alpha 0 are fitted in the folds of a
    cross-validation, from the same seed within a fold, and predict the rows held out.

    Parameters
    ----------
    estimator : MixupClassifier, MixupClassifierCV, or a Pipeline that ends in one
        The model with mixing. It is cloned, unless there is a `baseline`.
    X : table of n_samples rows
        Whatever `estimator` takes.
    y : array-like of shape (n_samples,)
        Labels.
    baseline : fitted classifier, default=None
        As in `row_effects`.
    cv : int, splitter or iterable, default=5
        As in `row_effects`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights in `fit`, and in everything that is returned.
    groups : array-like of shape (n_samples,), default=None
        A group for each row, for the folds and for `fit`.
    random_state : int, RandomState instance or None, default=None
        As in `row_effects`.
    n_jobs : int or None, default=None
        Number of processes, which fit the pairs of several folds at once.

    Returns
    -------
    effect : DataFrame of shape (2, 6), float64
        The rows are "mixed" and "plain".

        - ``confidence``: the mean of the highest probability of each row.
        - ``accuracy``: the share of rows of which it is that of the label.
        - ``ece``: expected calibration error, the mean distance of the two in 15 bins
          of equal width of the confidence [1]_.
        - ``signed_ece``: confidence minus accuracy. Above 0 the model is too sure of
          itself, below 0 not sure enough.
        - ``ece_after_temperature``: the error that temperature scaling [1]_ leaves, its
          temperature fitted on the rows that the other folds hold out. NaN with a
          `baseline` or one fold, where there are no other rows.
        - ``temperature``: what would calibrate all these rows best. Above 1 the model
          is too sure of itself, below 1 not sure enough.

    Raises
    ------
    TypeError
        If the model predicts numbers. And as in `row_effects`.
    ValueError, NotFittedError
        As in `row_effects`.

    See Also
    --------
    ReliabilityDisplay : The same as a picture.
    sklearn.calibration.CalibratedClassifierCV : Calibrates a classifier.

    Notes
    -----
    The default net has a temperature of its own, which it fits on rows that it holds
    out, with mixing and without.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017, https://arxiv.org/abs/1706.04599

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import calibration_effect
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=3, module__d_block=16)
    >>> clf = MixupClassifier(net, alpha=1, random_state=0)
    >>> effect = calibration_effect(clf, X, y, cv=2)
    >>> effect.loc["mixed", "signed_ece"].shape
    ()
    >>> list(effect.index)
    ['mixed', 'plain']
    """
    refuse_numbers(estimator, "calibration_effect")
    pairs = fitted_pairs(
        estimator,
        X,
        y,
        baseline=baseline,
        cv=cv,
        sample_weight=sample_weight,
        groups=groups,
        random_state=random_state,
        n_jobs=n_jobs,
    )
    return calibration_of(pairs)


def calibration_of(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return what `calibration_effect` does, from pairs of classifiers."""
    of = held_out(pairs)
    rows = {"mixed": of.mixed, "plain": of.plain}
    return pd.DataFrame({k: _calibration(of, p) for k, p in rows.items()}).T


def _calibration(of: PairPredictions, proba: np.ndarray) -> dict[str, float]:
    y, weight = of.y, of.weight
    everyone = np.ones(len(y), dtype=bool)
    return {
        "confidence": float(np.average(proba.max(axis=1), weights=weight)),
        "accuracy": ACCURACY.of(y, proba, weight),
        "ece": ECE.of(y, proba, weight),
        "signed_ece": SIGNED_ECE.of(y, proba, weight),
        "ece_after_temperature": _ece_after_temperature(of, proba),
        "temperature": _temperature(of, proba, everyone),
    }


def _ece_after_temperature(of: PairPredictions, proba: np.ndarray) -> float:
    """Return the error where each pair has a temperature by the rows of the others."""
    scaled = proba.copy()
    for pair in np.unique(of.pair):
        own = of.pair == pair
        others = ~np.isin(of.rows, of.rows[own])
        if not others.any():
            return float("nan")
        scaled[own] = apply_temperature(proba[own], _temperature(of, proba, others))
    return ECE.of(of.y, scaled, of.weight)


def _temperature(of: PairPredictions, proba: np.ndarray, rows: np.ndarray) -> float:
    """Return the temperature that calibrates these rows, by weights of mean 1."""
    weight = rows_of(of.weight, rows)
    if weight is not None:
        weight = weight / weight[weight > 0].mean()
    return fit_temperature(proba[rows], of.y[rows], weight)
