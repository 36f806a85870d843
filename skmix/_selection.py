"""What rows held out tell: scores, what each candidate gains, and who is to predict."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import nnls
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils.metadata_routing import get_routing_for_object

from skmix._preparation import rows_of

BLEND_ROUNDS = 30
EVEN = 0.03  # how much shares are drawn towards equal ones, in spreads of the target
HOPELESS = 1e6  # times the error of the best: no share for it


def folds_of(cv, X, y, *, kept, n_samples, classify, seed, metadata):
    """Return numbers of the rows to train on and of those held out, for each fold.

    Parameters
    ----------
    cv : int, splitter, iterable or None
        As in `skmix.MixupClassifierCV`.
    X, y : tables and arrays of n rows
        Those of a weight above 0.
    kept : ndarray of shape (n,), int
        Their numbers in the user's table, which are meant where folds are given as
        such.
    n_samples : int
        Rows of the user's table.
    classify : bool
    seed : int
        Of the folds where `cv` is None.
    metadata : dict
        What else the splitter is shown, such as ``groups``.

    Returns
    -------
    folds : list of tuple (train, test) of ndarray of int
    """
    if cv is None:
        folds = _shuffled_folds(y, classify, seed)
    else:
        if isinstance(cv, Iterable) and not hasattr(cv, "split"):
            cv = [_given(fold, kept, n_samples) for fold in cv]
        splitter = check_cv(cv, y, classifier=classify)
        folds = [tuple(map(_numbers, f)) for f in splitter.split(X, y, **metadata)]
    if not folds:
        raise ValueError("Got no folds from cv, but expected at least 1.")
    for train, test in folds:
        _check_fold(train, test, len(y))
    return folds


def looks_at_groups(cv):
    """Whether a splitter is to be shown groups; one that does not tell is."""
    if cv is None or not hasattr(cv, "split"):
        return False
    if not hasattr(cv, "get_metadata_routing"):
        return True
    return bool(get_routing_for_object(cv).consumes("split", ["groups"]))


def _check_fold(train, test, n_rows):
    largest = max(train.max(initial=0), test.max(initial=0))
    if largest >= n_rows:
        raise ValueError(
            f"Got row {largest} in a fold from cv, but expected numbers of the "
            f"{n_rows} rows of a weight above 0. Pass folds as pairs of arrays of row "
            "numbers, which count rows of weight 0, too."
        )
    if len(train) < 2 or len(test) < 1:
        raise ValueError(
            f"Got a fold from cv that trains on {len(train)} rows and holds out "
            f"{len(test)}, but expected at least 2 and 1."
        )
    if np.isin(train, test).any():
        raise ValueError(
            "Got a fold from cv that trains on rows which it holds out, but expected "
            "the two to have no row in common."
        )


def _given(fold, kept, n_samples):
    """A fold as it was given, by numbers of the rows that are kept."""
    parts = list(fold) if isinstance(fold, tuple | list | np.ndarray) else []
    if len(parts) != 2 or any(np.ndim(part) != 1 for part in parts):
        raise TypeError(
            f"Got {fold!r} as a fold in cv, but expected a pair of arrays of row "
            "numbers, to train on and to hold out: cv=[(train, test)] for one fold."
        )
    return tuple(_among(kept, part, n_samples) for part in parts)


def _numbers(rows):
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def _among(kept, rows, n_samples):
    """Numbers of rows among those that are kept; others are left out."""
    rows = _numbers(rows)
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_samples:
        raise ValueError(
            f"Got rows {rows.min()} to {rows.max()} in a fold from cv, but expected "
            f"numbers from 0 to {n_samples - 1}."
        )
    return np.searchsorted(kept, rows[np.isin(rows, kept)])


def _shuffled_folds(y, classify, seed):
    """Five folds at random, with classes spread evenly; fewer of a handful of rows."""
    options = {"shuffle": True, "random_state": seed}
    n_splits = min(5, len(y))
    if classify:
        n_splits = min(n_splits, np.unique(y, return_counts=True)[1].max())
    if not classify or n_splits < 2:
        return list(KFold(min(5, len(y)), **options).split(y))
    with warnings.catch_warnings():  # of classes of fewer rows than folds
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedKFold(n_splits, **options)
        return list(splitter.split(np.zeros(len(y)), y))


class Evidence(NamedTuple):
    """What C candidates predict of rows held out in F folds.

    Attributes
    ----------
    predicted : ndarray of shape (C, n) or (C, n, n_classes)
        Means over the folds that hold a row out; NaN for rows never held out.
    scores : ndarray of shape (C, F)
        NaN where training diverged, or where the score is undefined.
    diverged : ndarray of shape (C, F), bool
    seconds : float
    """

    predicted: np.ndarray
    scores: np.ndarray
    diverged: np.ndarray
    seconds: float

    @property
    def defined(self):
        """Folds in which there is a score for anyone who did not diverge, (F,) bool."""
        nobody = (np.isnan(self.scores) | self.diverged).all(axis=0)
        return ~nobody | self.diverged.all(axis=0)

    @property
    def mean_scores(self):
        """Mean score of each candidate over the folds where it is defined, (C,)."""
        if not self.defined.any():
            return np.full(len(self.scores), np.nan)
        return self.scores[:, self.defined].mean(axis=1)


# Scores.


@dataclass(frozen=True)
class Scoring:
    """A score of rows held out that scikit-learn makes.

    Parameters
    ----------
    name : str
        What it is called in messages.
    scorer : callable or None
        ``scorer(estimator, X, y, **metadata)``; None for the default of the search.
    X, y : table and ndarray of n rows
        As the user has them.
    metadata : dict
        What else the scorer is shown; arrays of n rows are cut to those scored.
    """

    name: str
    scorer: Any
    X: Any
    y: np.ndarray
    metadata: dict

    def of_rows(self, member: Any, rows: np.ndarray) -> float:
        """Score what a member predicts of these rows."""
        metadata = {
            name: rows_of(values, rows) if is_by_row(values, len(self.y)) else values
            for name, values in self.metadata.items()
        }
        try:
            X, y = rows_of(self.X, rows), rows_of(self.y, rows)
            score = self.scorer(member, X, y, **metadata)
        except TypeError as error:
            if "sample_weight" not in metadata:
                raise
            raise TypeError(
                f"Got row weights and a scoring that takes no sample_weight ({error}). "
                "Let it take some, or leave out the weights."
            ) from error
        if hasattr(score, "item"):  # an array or a tensor, as for GridSearchCV
            with suppress(ValueError, RuntimeError):
                score = score.item()
        if not isinstance(score, Real):
            raise ValueError(
                f"Got {score!r} from scoring={self.name}, but expected a number."
            )
        return float(score)

    def check(self, member: Any, folds: list[np.ndarray]) -> None:
        """Raise if what a member predicts can be scored in no fold.

        Parameters
        ----------
        member : MixupClassifier or MixupRegressor
            Its net need not be trained.
        folds : list of ndarray of int
            The rows that each fold holds out.
        """
        first = None
        for rows in folds:
            try:
                self.of_rows(member, rows)
                return
            except Exception as error:
                first = error if first is None else first
        if isinstance(first, TypeError) and "takes no sample_weight" in str(first):
            raise first
        way_out = "Choose a scoring that fits the task"
        classes = getattr(member, "classes_", ())
        if all(len(np.unique(rows_of(self.y, rows))) < len(classes) for rows in folds):
            way_out = (
                "Rows held out lack a class in each fold: stratify the folds, or "
                "shuffle them"
            )
        raise ValueError(
            f"Got scoring={self.name}, which fails on predictions for rows held out, "
            f"in each fold ({type(first).__name__}: {first}). {way_out}; nothing was "
            "trained."
        ) from first


def is_by_row(values, n_rows):
    """Whether metadata have a value for each row."""
    return hasattr(values, "__len__") and len(values) == n_rows


def warn_of_undefined(failures, name):
    """Warn of folds in which a score is undefined.

    Parameters
    ----------
    failures : dict
        Errors by the number of the fold.
    name : str
        Of the scoring.
    """
    if failures:
        folds = ", ".join(map(str, sorted(failures)))
        error = failures[min(failures)]
        warnings.warn(
            f"scoring={name} failed in fold {folds} ({type(error).__name__}: {error}). "
            "The score is NaN there, and candidates are compared by the other folds.",
            UserWarning,
            stacklevel=5,
        )


# What each candidate gains.


def gains(alphas, places, scores, defined, test_per_train):
    """What each candidate gains over alpha 0, and a 95 % interval, paired by folds.

    Parameters
    ----------
    alphas : ndarray of shape (C,)
    places : list of (str or list of str) of length C
        Where each mixes.
    scores : ndarray of shape (C, F)
    defined : ndarray of shape (F,), bool
        Folds in which there are scores.
    test_per_train : float
        Rows held out for one that is trained on, in a fold.

    Returns
    -------
    gains : dict of ndarrays of shape (C,)
        ``alpha``, ``layers``, ``mean``, ``low``, ``high``. The last two are NaN where
        folds cannot tell how much a gain varies: where there is one fold only, or where
        all of them agree to the last digit.

    Notes
    -----
    The variance of differences over F folds, which share most of their training rows,
    is ``var * (1 / F + n_test / n_train)`` (Nadeau and Bengio 2003, equation 9).
    """
    layers = np.empty(len(places), dtype=object)
    layers[:] = places
    of_fold = scores[:, defined] - scores[alphas == 0][:, defined]
    n_folds, mean = of_fold.shape[1], np.full(len(alphas), np.nan)
    half = mean.copy()
    if n_folds:
        mean = of_fold.mean(axis=1)
    if n_folds > 1:
        spread = of_fold.std(axis=1, ddof=1)
        noise = 1e-12 * np.abs(scores[:, defined]).max(axis=1)  # of rounding
        spread[spread <= noise] = np.nan
        error = spread * np.sqrt(1 / n_folds + test_per_train)
        half = stats.t.ppf(0.975, n_folds - 1) * error
    half[alphas == 0] = 0.0  # nothing over itself
    low, high = mean - half, mean + half
    return {"alpha": alphas, "layers": layers, "mean": mean, "low": low, "high": high}


# Who is to predict.


def shares_of_likelihood(of_label, weight=None):
    """Shares by which probabilities are blended to the least log loss.

    Parameters
    ----------
    of_label : ndarray of shape (C, n)
        What each candidate gives the label of a row held out.
    weight : ndarray of shape (n,), default=None

    Returns
    -------
    shares : ndarray of shape (C,)
        Of at least 0, with sum 1.

    Notes
    -----
    A few rounds of expectation maximisation, which start from equal shares and end
    before they fit every row.
    """
    of_label = of_label.clip(np.finfo(np.float32).tiny)
    shares = np.full(len(of_label), 1 / len(of_label))
    for _ in range(BLEND_ROUNDS):
        gain = np.average(of_label / (shares @ of_label), axis=1, weights=weight)
        shares = shares * gain
    return shares / shares.sum()


def shares_of_least_squares(predicted, target, weight=None):
    """Shares by which numbers are blended to the least squared error.

    Parameters
    ----------
    predicted : ndarray of shape (C, n)
        What each candidate predicts of rows held out.
    target : ndarray of shape (n,)
    weight : ndarray of shape (n,), default=None
        Of mean 1.

    Returns
    -------
    shares : ndarray of shape (C,)
        Of at least 0, with sum 1.

    Notes
    -----
    As shares sum to 1, the error of a blend is the blend of the errors, ``R @ s``. The
    least ``|R z|^2 + (sum(z) - 1)^2`` over all ``z >= 0`` is at a multiple of the
    shares with the least ``|R s|^2``: in ``z = t s`` the best `t` is
    ``1 / (1 + |R s|^2)``, which leaves ``1 - t``. So it takes no row of some large
    weight to make them sum to 1, and `z` is never zero, whatever the predictions.

    A small multiple of ``|s|^2`` draws shares towards equal ones.
    """
    root = np.ones(len(target)) if weight is None else np.sqrt(weight)
    with np.errstate(over="ignore"):
        errors = (predicted - target) * root
    size = np.abs(errors).max(axis=1)
    least = size.min()
    if not 0 < least < np.inf:
        return (size == least) / (size == least).sum()
    shares = np.zeros(len(predicted))
    near = size <= HOPELESS * least
    n_near = near.sum()
    with np.errstate(over="ignore"):
        spread = np.std((target - target.mean()) / least) * len(target) ** 0.5
    even = min(EVEN * spread, HOPELESS)
    rows = np.vstack([errors[near].T / least, even * np.eye(n_near)])
    norms = np.linalg.norm(rows, axis=0)
    rows = rows / norms.min()
    try:
        found, _ = nnls(
            np.vstack([rows, np.ones(n_near)]), np.r_[np.zeros(len(rows)), 1]
        )
    except RuntimeError:  # it has not converged
        found = norms == norms.min()
    shares[near] = found / found.sum()
    return shares
