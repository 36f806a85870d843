"""Which rows each fold of a search trains on, and which it holds out."""

import warnings
from collections.abc import Iterable

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils.metadata_routing import get_routing_for_object


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
