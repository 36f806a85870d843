"""Folds in which models with mixing and without are compared."""

import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from skorch.dataset import get_len

from skmix._preparation import Samples, rows_of
from skmix._selection import folds_of, looks_at_groups
from skmix._tables.targets import check_labels
from skmix._validation import check_integer, codes_of_groups, is_number


def check_length(X: Any, y: np.ndarray) -> None:
    """Refuse a table of another length than the targets."""
    n_rows = X.shape[0] if hasattr(X, "shape") else get_len(X)
    if n_rows != len(y):
        raise ValueError(
            f"Got X of {n_rows} rows and y of {len(y)}, but expected as many."
        )


def folds_in(
    cv: Any, samples: Samples, *, classify: bool, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows to fit on and those held out, for each fold.

    Parameters
    ----------
    cv : int, splitter, iterable or None
        An int is shuffled folds, stratified by classes, which keep groups together;
        None is five of them.
    samples : Samples
        Rows of weight 0 are in no fold.
    classify : bool
        Whether targets are classes.
    seed : int

    Raises
    ------
    ValueError
        If there is one class only, or if a fold has too few rows of one.
    """
    n_samples, weight = len(samples.y), samples.weight
    kept = np.arange(n_samples) if weight is None else np.flatnonzero(weight)
    labels, groups = samples.y[kept], rows_of(samples.groups, kept)
    is_table = hasattr(samples.X, "shape")
    table = rows_of(samples.X, kept) if is_table else np.zeros(len(kept))
    if classify:
        _check_several(check_labels(labels))
    if cv is None or is_number(cv):
        n_splits = 5 if cv is None else cv
        check_integer("cv", n_splits, at_least=2)
        if classify:
            _check_rare(labels, n_splits)
        if groups is not None:
            groups = codes_of_groups(groups)
            _check_groups_for(groups, n_splits)
        cv = _shuffled(n_splits, classify, groups is not None, seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = folds_of(
            cv,
            table,
            labels,
            kept=kept,
            n_samples=n_samples,
            classify=classify,
            seed=seed,
            metadata={"groups": groups} if looks_at_groups(cv) else {},
        )
    if classify:
        _check_complete(folds, labels)
    return [(kept[train], kept[test]) for train, test in folds]


def _check_complete(folds: Any, y: np.ndarray) -> None:
    """Refuse folds that train without a class, whose probabilities would lack it."""
    for train, _ in folds:
        lacking = set(y.tolist()) - set(y[train].tolist())
        if lacking:
            raise ValueError(
                f"Got a fold without any row of class {lacking.pop()!r} to fit on. "
                "Use fewer or stratified folds, merge this class with another, or "
                "leave out its rows."
            )


def _check_several(classes: np.ndarray) -> None:
    if len(classes) < 2:
        raise ValueError(
            f"Got one class in y, {classes.tolist()}, but expected at least two (among "
            "rows of a weight above 0)."
        )


def _check_rare(y: np.ndarray, n_splits: int) -> None:
    classes, n_rows = np.unique(y, return_counts=True)
    rare = n_rows.argmin()
    if n_rows[rare] < n_splits:
        label = classes.tolist()[rare]
        raise ValueError(
            f"Got {n_rows[rare]} rows of class {label!r} (of a weight above 0) for "
            f"cv={n_splits} folds, but expected one for each fold. Use fewer folds, "
            "merge this class with another, or leave out its rows."
        )


def _check_groups_for(codes: np.ndarray, n_splits: int) -> None:
    if len(np.unique(codes)) < n_splits:
        raise ValueError(
            f"Got {len(np.unique(codes))} groups for cv={n_splits} folds, but "
            "expected one for each fold. Use fewer folds."
        )


def _shuffled(n_splits: int, classify: bool, grouped: bool, seed: int) -> Any:
    kinds = {
        (True, False): StratifiedKFold,
        (True, True): StratifiedGroupKFold,
        (False, False): KFold,
        (False, True): GroupKFold,
    }
    kind = kinds[classify, grouped]
    return kind(n_splits=n_splits, shuffle=True, random_state=seed)
