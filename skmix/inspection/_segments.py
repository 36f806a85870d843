"""Predictions of models along segments between two rows of a table."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import sklearn.base
from scipy import sparse
from sklearn.pipeline import Pipeline

from skmix._preparation import is_dict, rows_of
from skmix._search import indexable
from skmix._tables.dtypes import ColumnReader
from skmix._validation import check_integer
from skmix.inspection._changes import Pair, predicted, seed_of
from skmix.inspection._models import is_flat

ROWWISE = ("rows", "X", "y", "weight")  # of a Pair


class Segments(NamedTuple):
    """Predictions along segments, with mixing and without.

    Attributes
    ----------
    t : ndarray of shape (n_points,), float64
        Shares of the second row, from 0 to 1.
    mixed, plain : ndarray of shape (n_pairs, n_points), float64
        Probabilities of the first row's class, or numbers in standard deviations of
        the targets.
    task : {"classifier", "regressor"}
    """

    t: np.ndarray
    mixed: np.ndarray
    plain: np.ndarray
    task: Literal["classifier", "regressor"]


def along_segments(
    pairs: Sequence[Pair], *, n_pairs: int, n_points: int, random_state: Any
) -> Segments:
    """Draw segments between rows that models have not seen, and predict along them.

    Each pair of models has its part of the segments. Arguments are those of
    `SegmentDisplay.from_estimator`.
    """
    check_sizes(n_pairs, n_points)
    rng = np.random.default_rng(seed_of(pairs[0].mixed, random_state))
    t = np.linspace(0, 1, n_points)
    task = _task(pairs)
    pairs = [pair for pair in map(_counted, pairs) if len(np.unique(pair.y)) > 1]
    if not pairs:
        raise ValueError(
            "Got rows held out of which no two have different labels or targets, but "
            "expected some to draw segments between. Pass more rows, or use fewer "
            "folds."
        )
    parts = np.array_split(np.arange(n_pairs), len(pairs))
    along = [
        _predicted(pair, len(part), t, rng)
        for pair, part in zip(pairs, parts, strict=True)
        if len(part)
    ]
    mixed, plain = map(np.concatenate, zip(*along, strict=True))
    scale = _spread(pairs) if task == "regressor" else 1.0
    return Segments(t, mixed / scale, plain / scale, task)


def check_sizes(n_pairs: Any, n_points: Any) -> None:
    """Refuse too few segments, or points on them."""
    check_integer("n_pairs", n_pairs, at_least=1)
    check_integer("n_points", n_points, at_least=3)


def _task(pairs: Sequence[Pair]) -> Literal["classifier", "regressor"]:
    classify = sklearn.base.is_classifier(pairs[0].mixed)
    return "classifier" if classify else "regressor"


def refuse_no_table(X: Any) -> None:
    """Refuse rows that have no columns to interpolate."""
    if is_dict(X):
        raise TypeError(
            "Got X as a dict of arrays, but SegmentDisplay expected a table: it "
            "interpolates rows column by column. Pass an array or a frame."
        )
    if is_flat(X):
        raise TypeError(
            "Got X of one value a row, such as a text, but SegmentDisplay expected a "
            "table: it interpolates rows column by column. Pass the columns that the "
            "last step of the Pipeline gets, and the last step as the estimator."
        )


def _counted(pair: Pair) -> Pair:
    """Return a pair without rows of weight 0, its table such that rows can be taken."""
    refuse_no_table(pair.X)
    pair = pair._replace(X=indexable(pair.X))
    if pair.weight is None:
        return pair
    kept = np.flatnonzero(pair.weight)
    parts = {name: rows_of(getattr(pair, name), kept) for name in ROWWISE}
    return pair._replace(**parts)


def _spread(pairs: Sequence[Pair]) -> float:
    """Return the standard deviation of the targets; 1 if they are all the same."""
    return float(np.std(np.concatenate([pair.y for pair in pairs]))) or 1.0


def _predicted(
    pair: Pair, n_pairs: int, t: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Predict along random segments by both models, each (n_pairs, n_points)."""
    X = pair.X
    first, second = _ends(pair, n_pairs, rng)
    between = _between(X, first, second, t, _declared(pair.mixed, X))
    shape = n_pairs, len(t)
    along = [predicted(model, between) for model in (pair.mixed, pair.plain)]
    if sklearn.base.is_classifier(pair.mixed):
        label = np.searchsorted(pair.mixed.classes_, pair.y[first])
        every, of_label = np.arange(n_pairs * len(t)), np.repeat(label, len(t))
        along = [proba[every, of_label] for proba in along]
    return along[0].reshape(shape), along[1].reshape(shape)


def _ends(
    pair: Pair, n_pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two rows for each segment, whose labels or targets differ."""
    weight = np.ones(len(pair.y)) if pair.weight is None else pair.weight
    share = weight / weight.sum()
    first = rng.choice(len(share), size=n_pairs, p=share)
    others = [share * (pair.y != pair.y[row]) for row in first]
    second = [rng.choice(len(share), p=other / other.sum()) for other in others]
    return first, np.array(second)


def _declared(model: Any, X: Any) -> np.ndarray:
    """Return a mask of the columns that the user has declared to be categories."""
    piped = isinstance(model, Pipeline) and len(model.steps) > 1
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    given = getattr(last, "categorical_features", None)
    if piped or given is None or isinstance(given, str) or len(given) == 0:
        return np.zeros(X.shape[1], dtype=bool)
    return np.asarray(ColumnReader.fit(X, given).categorical)


def _between(
    X: Any, first: np.ndarray, second: np.ndarray, t: np.ndarray, declared: np.ndarray
) -> Any:
    """Return rows between each two, of shape (n_pairs * n_points, d)."""
    first, second = np.repeat(first, len(t)), np.repeat(second, len(t))
    share = np.tile(t, len(first) // len(t))
    if sparse.issparse(X):
        return X[first].multiply(1 - share[:, None]).tocsr() + X[second].multiply(
            share[:, None]
        )
    nearer = np.where(share < 0.5, first, second)
    if isinstance(X, np.ndarray):
        return np.column_stack(
            [
                column[nearer]
                if declared[j] or column.dtype.kind == "b"
                else _interpolated(column, first, second, share)
                for j, column in enumerate(X.T)
            ]
        )
    columns = {}
    for j in range(X.shape[1]):
        column = X.iloc[:, j]
        if declared[j] or not _holds_numbers(column):
            columns[j] = column.iloc[nearer].reset_index(drop=True)
        else:
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
            columns[j] = pd.Series(_interpolated(numbers, first, second, share))
    return pd.DataFrame(columns).set_axis(X.columns, axis=1)


def _holds_numbers(column: pd.Series) -> bool:
    types, dtype = pd.api.types, column.dtype
    return bool(types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype))


def _interpolated(
    column: np.ndarray, first: np.ndarray, second: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Interpolate numbers; switch in the middle where one of the two is missing."""
    column = column if column.dtype.kind == "f" else column.astype(np.float64)
    one, other = column[first], column[second]
    between = (1 - share) * one + share * other
    missing = np.isnan(one) | np.isnan(other)
    switched = np.where(share < 0.5, one, other)
    return np.asarray(np.where(missing, switched, between), dtype=column.dtype)
