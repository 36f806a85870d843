"""Compare candidates by validation rows: folds, scores, gains and shares."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils.metadata_routing import get_routing_for_object

from skmix._intervals import joint_intervals
from skmix._preparation import rows_of
from skmix._validation import warn

BLEND_ROUNDS = 30
EVEN = 0.03  # how much shares are drawn towards equal ones, in spreads of the target
HOPELESS = 1e6  # times the error of the best: no share for it


def folds_of(
    cv: Any,
    X: Any,
    y: np.ndarray,
    *,
    kept: np.ndarray,
    n_samples: int,
    classify: bool,
    seed: int,
    metadata: dict[str, Any],
) -> list[Any]:
    """Return for each fold the numbers of the rows to train on and to validate on.

    `X` and `y` are the rows of positive weight; they were numbers `kept` among the
    `n_samples` of the user's table, which folds given as arrays count.
    """
    if cv is None:
        folds = _shuffled_folds(y, classify, seed)
    else:
        if isinstance(cv, Iterable) and not hasattr(cv, "split"):
            cv = [_given(fold, kept, n_samples) for fold in cv]
        splitter = check_cv(cv, y, classifier=classify)
        try:
            found = splitter.split(X, y, **metadata)
            folds = [tuple(_numbers(part, len(y)) for part in fold) for fold in found]
        except TypeError as error:
            if "groups" in metadata and "not supported between" in str(error):
                raise TypeError(
                    f"Got groups of several types, which cv={splitter!r} cannot put in "
                    f"order ({error}). Pass strings: [str(group) for group in groups]."
                ) from error
            raise
        except ValueError as error:
            if "groups" in str(error) and metadata.get("groups") is None:
                raise ValueError(
                    f"Got no groups, but cv={splitter!r} asks for them ({error}). "
                    "Pass them as groups=..., one for each row."
                ) from error
            raise
    if not folds:
        raise ValueError("Got no folds from cv, but expected at least 1.")
    for train, test in folds:
        _check_fold(train, test, len(y))
    return folds


def seeds_of_folds(seed: int, n_folds: int) -> list[int]:
    """Return another seed for each fold.

    With one seed all nets start alike and see rows in one order, and what is luck in
    that looks like a gain in every fold (docs/inspection.md).
    """
    states = np.random.SeedSequence(seed).generate_state(n_folds)
    seeds: list[int] = (states >> 1).tolist()  # 31 bits, which every generator takes
    return seeds


def looks_at_groups(cv: Any) -> bool:
    """Whether a splitter gets groups; it does if it does not tell."""
    if cv is None or not hasattr(cv, "split"):
        return False
    if not hasattr(cv, "get_metadata_routing"):
        return True
    return bool(get_routing_for_object(cv).consumes("split", ["groups"]))


def _check_fold(train: np.ndarray, test: np.ndarray, n_rows: int) -> None:
    largest = max(train.max(initial=0), test.max(initial=0))
    if largest >= n_rows:
        raise ValueError(
            f"Got row {largest} in a fold from cv, but expected numbers of the "
            f"{n_rows} rows of a weight above 0. Pass folds as pairs of arrays of row "
            "numbers, which count rows of weight 0, too."
        )
    if len(train) < 2 or len(test) < 1:
        raise ValueError(
            f"Got a fold of {n_rows} rows that trains on {len(train)} and holds out "
            f"{len(test)}, but expected at least 2 and 1. Use more rows, or a cv that "
            "trains on more of them."
        )
    if np.isin(train, test).any():
        raise ValueError(
            "Got a fold from cv that trains on rows which it holds out, but expected "
            "the two to have no row in common."
        )


def _given(fold: Any, kept: np.ndarray, n_samples: int) -> Any:
    """Translate a fold of the user's row numbers to numbers among the kept rows."""
    parts = list(fold) if isinstance(fold, tuple | list | np.ndarray) else []
    if len(parts) != 2 or any(np.ndim(part) != 1 for part in parts):
        raise TypeError(
            f"Got {fold!r} as a fold in cv, but expected a pair of arrays of row "
            "numbers, to train on and to hold out: cv=[(train, test)] for one fold."
        )
    parts = [_numbers(part, n_samples) for part in parts]
    for rows in parts:
        if len(rows) and not 0 <= rows.min() <= rows.max() < n_samples:
            raise ValueError(
                f"Got rows {rows.min()} to {rows.max()} in a fold from cv, but "
                f"expected numbers from 0 to {n_samples - 1}."
            )
    return tuple(np.searchsorted(kept, rows[np.isin(rows, kept)]) for rows in parts)


def _numbers(rows: Any, n_rows: int) -> np.ndarray:
    """Return row numbers as they are, and those of a mask of `n_rows` rows."""
    rows = np.asarray(rows)
    if rows.dtype != bool:
        return rows
    if len(rows) != n_rows:
        raise ValueError(
            f"Got a mask of {len(rows)} rows in a fold from cv, but expected one of "
            f"{n_rows}, or row numbers."
        )
    return np.flatnonzero(rows)


def _shuffled_folds(y: np.ndarray, classify: bool, seed: int) -> list[Any]:
    """Return five random folds, stratified by classes; fewer for few rows."""
    options = {"shuffle": True, "random_state": seed}
    most, zeros = min(5, len(y)), np.zeros(len(y))
    n_splits = min(most, np.unique(y, return_counts=True)[1].max())
    if not classify or n_splits < 2:
        return list(KFold(most, **options).split(zeros))
    with warnings.catch_warnings():  # of classes of fewer rows than folds
        warnings.simplefilter("ignore", UserWarning)
        return list(StratifiedKFold(n_splits, **options).split(zeros, y))


class Evidence(NamedTuple):
    """Predictions of C candidates for validation rows of F folds, and their scores.

    Attributes
    ----------
    predicted : ndarray of shape (C, n) or (C, n, n_classes)
        Means over the folds that validate on a row; NaN for rows in no such fold.
    by_fold : list of ndarray of shape (C, n_test) or (C, n_test, n_classes)
        The predictions of each fold.
    scores : ndarray of shape (C, F)
        NaN where training diverged, or where the score is undefined.
    diverged : ndarray of shape (C, F), bool
    errors : dict
        Why candidate c has no score in fold f, by (c, f), where scoring it failed.
    seconds : float
    """

    predicted: np.ndarray
    by_fold: list[np.ndarray]
    scores: np.ndarray
    diverged: np.ndarray
    errors: dict[tuple[int, int], Exception]
    seconds: float

    @property
    def defined(self) -> np.ndarray:
        """Folds by which candidates are compared, (F,) bool.

        Those with a score for any candidate, and those in which all have diverged, so
        that no candidate has a mean score then.
        """
        nobody = (np.isnan(self.scores) | self.diverged).all(axis=0)
        return ~nobody | self.diverged.all(axis=0)

    @property
    def mean_scores(self) -> Any:
        """Mean score of each candidate over the defined folds, (C,)."""
        if not self.defined.any():
            return np.full(len(self.scores), np.nan)
        return self.scores[:, self.defined].mean(axis=1)


# Scores.


@dataclass(frozen=True)
class Scoring:
    """A scorer of scikit-learn, None for the default, and all that it gets.

    `metadata` that have a value for each row are cut to the rows scored.
    """

    name: str
    scorer: Any
    X: Any
    y: np.ndarray
    metadata: dict[str, Any]

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
        """Raise if predictions of a member can be scored in no fold.

        Its net need not be trained; `folds` are the validation rows of each fold.
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


def is_by_row(values: Any, n_rows: int) -> bool:
    """Whether metadata have a value for each row."""
    return hasattr(values, "__len__") and len(values) == n_rows


def warn_of_undefined(evidence: Evidence, name: str) -> None:
    """Warn of folds in which nothing can be scored, with the error of the first."""
    defined = evidence.defined
    failed = sorted((f, c) for c, f in evidence.errors if not defined[f])
    if failed and defined.any():
        folds = ", ".join(map(str, sorted({f for f, _ in failed})))
        first, candidate = failed[0]
        error = evidence.errors[candidate, first]
        warn(
            f"scoring={name} failed in fold {folds} ({type(error).__name__}: {error}). "
            "The score is NaN there, and candidates are compared by the other folds."
        )


# Gains.


def gains(
    alphas: np.ndarray,
    scores: np.ndarray,
    defined: np.ndarray,
    test_per_train: float,
) -> dict[str, np.ndarray]:
    """Return gains over alpha 0 by C candidates, with 95 % intervals paired by folds.

    `scores` are of shape (C, F). The intervals hold jointly: see `joint_intervals`.
    Their bounds are NaN for a single fold, or if all folds agree to the last digit. A
    candidate without a score in one of the `defined` folds has no gain.
    """
    scores = scores[:, defined]
    of_fold = scores - scores[alphas == 0]
    of_fold[np.isnan(of_fold).any(axis=1)] = np.nan
    size = np.abs(scores).max(axis=1, initial=0)
    told = joint_intervals(of_fold, test_per_train=test_per_train, scale=size)
    found = {"alpha": alphas} | told._asdict()
    for bound in ("low", "high"):
        found[bound][alphas == 0] = told.mean[alphas == 0]  # nothing over itself
    return found


# Shares in the prediction.


def shares_of_likelihood(
    of_label: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return shares in a blend of probabilities that minimise its log loss.

    `of_label`, of shape (C, n), are the candidates' probabilities of each row's label.
    A few rounds of expectation maximisation start from equal shares, and end before
    they fit every row.
    """
    of_label = of_label.clip(np.finfo(np.float32).tiny)
    shares = np.full(len(of_label), 1 / len(of_label))
    for _ in range(BLEND_ROUNDS):
        gain = np.average(of_label / (shares @ of_label), axis=1, weights=weight)
        shares = shares * gain
    return np.asarray(shares / shares.sum())


def shares_of_least_squares(
    predicted: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return shares in a blend of numbers, `predicted` (C, n), with the least error.

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
        return np.asarray((size == least) / (size == least).sum())
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
        right = np.r_[np.zeros(len(rows)), 1]
        found, _ = nnls(np.vstack([rows, np.ones(n_near)]), right)
    except RuntimeError:  # it has not converged
        found = norms == norms.min()
    shares[near] = found / found.sum()
    return shares
