"""A table in a file, read as a data scientist would: columns, target, task."""

import csv
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skmix._tables.dtypes import ColumnReader

Task = Literal["classification", "regression"]
FEWEST_ROWS = 40
FEWEST_OF_CLASS = 10  # one for each of five folds, twice
MANY = 20  # different whole numbers that are still read as classes
SEPARATORS = ",;\t|"


class Columns(NamedTuple):
    """Columns to predict by, the target, and the task."""

    X: pd.DataFrame
    y: np.ndarray
    task: Task


class UnreadableColumns(ValueError):
    """Columns hold what is neither numbers nor categories.

    Attributes
    ----------
    names : list of str
    """

    def __init__(self, message: str, names: list[str]) -> None:
        super().__init__(message)
        self.names = names


def read_file(path: Path) -> pd.DataFrame:
    """Read a Parquet file, or a CSV file with any of four separators.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is not written in UTF-8.
    """
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                header = file.readline()
            n_fields = {
                sep: len(next(csv.reader([header], delimiter=sep)))
                for sep in SEPARATORS
            }
            sep = max(n_fields, key=n_fields.__getitem__)
            options = {"sep": sep, "encoding": "utf-8-sig", "low_memory": False}
            table = pd.read_csv(path, **options)
            _keep_leading_zeros(table, pd.read_csv(path, dtype=str, **options))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not written in UTF-8 ({error}). Save it as UTF-8, for "
                "example by pandas.read_csv(path, encoding='cp1252').to_csv(new_path)."
            ) from error
        except StopIteration:
            raise ValueError(f"{path} is empty.") from None
    return table.set_axis(table.columns.astype(str), axis=1)


def _keep_leading_zeros(table: pd.DataFrame, as_written: pd.DataFrame) -> None:
    """Put the strings back where pandas made numbers of codes, such as "01067"."""
    for j, dtype in enumerate(table.dtypes):
        strings = as_written.iloc[:, j]
        number = pd.api.types.is_numeric_dtype(dtype) and strings.notna().any()
        if number and strings.str.fullmatch(r"\s*0\d+\s*", na=False).any():
            table.isetitem(j, strings)


def columns_of(
    table: pd.DataFrame,
    *,
    target: str | None = None,
    drop: Sequence[str] = (),
    task: Task | None = None,
    max_rows: int | None = None,
    seed: int = 0,
    tell: Callable[[str], Any] = print,
) -> Columns:
    """Take a table apart, and leave out what cannot be learnt from.

    Parameters
    ----------
    table : pandas.DataFrame
    target : str, default=None
        The column to predict; the last one by default.
    drop : sequence of str
        Columns to leave out.
    task : {"classification", "regression"}, default=None
        None decides by the values: words, booleans and at most 20 different whole
        numbers are classes.
    max_rows : int, default=None
        Sample as many rows at most, of all classes.
    seed : int, default=0
        Seeds the sample.
    tell : callable
        Gets a sentence for each choice that is made for the user.

    Raises
    ------
    ValueError
        If there are too few rows, classes or columns.
    UnreadableColumns
        If a column is neither numbers nor categories: dates, free text, ids.
    """
    target = table.columns[-1] if target is None else target
    for name in [target, *drop]:
        _check_name(name, table.columns)
    if target in drop:
        raise ValueError(f"{target!r} is the target and cannot be left out.")
    table = table.replace([np.inf, -np.inf], np.nan)
    if unlabelled := int(table[target].isna().sum()):
        tell(f"{unlabelled} rows without a {target!r} are left out.")
        table = table.dropna(subset=[target])
    if len(table) < FEWEST_ROWS:
        raise ValueError(f"Got {len(table)} rows, but expected at least {FEWEST_ROWS}.")
    y, task = read_target(table[target], task, tell)
    if task == "classification":
        table, y = _without_rare(table, y, max_rows, tell)
    X = table.drop(columns=[target, *drop])
    if X.shape[1] == 0:
        raise ValueError("no columns are left to predict by.")
    if max_rows is not None and len(X) > max_rows:
        tell(f"{max_rows:,} of {len(X):,} rows are sampled.")
        strata = y if task == "classification" else None
        options = {"train_size": max_rows, "random_state": seed, "stratify": strata}
        X, _, y, _ = train_test_split(X, y, **options)
    return Columns(_read_columns(X), y, task)


def _check_name(name: str, names: Any) -> None:
    if name not in names:
        close = get_close_matches(name, names, n=3) or list(names[:20])
        raise ValueError(
            f"no column {name!r}. Did you mean {', '.join(map(repr, close))}?"
        )


def read_target(
    column: pd.Series, task: Task | None, tell: Callable[[str], Any] = print
) -> tuple[np.ndarray, Task]:
    """Return the target and the task; tell what was decided by the values."""
    name, frame = column.name, column.to_frame()
    try:
        reader = None if task == "classification" else ColumnReader.fit(frame)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the target {name!r} is neither classes nor numbers. {error}"
        ) from None
    numeric = reader is not None and reader.categories[0] is None
    if task == "regression" and not numeric:
        raise ValueError(
            f"the target {name!r} holds words, so it can be no task of regression."
        )
    boolean = pd.api.types.is_bool_dtype(column.dtype)
    if reader is None or not numeric or boolean:
        if task is None:
            tell(f"{name!r} has {column.nunique()} different values: classes.")
        number = pd.api.types.is_numeric_dtype(column.dtype)
        whole = number and bool((column == column.round()).all())
        labels = column if boolean or whole else column.astype(str)
        return labels.to_numpy(), "classification"
    numbers = np.asarray(reader.transform(frame))[:, 0]
    n_values = len(np.unique(numbers))
    whole = np.array_equal(numbers, numbers.round()) and np.abs(numbers).max() < 2**53
    few = n_values <= MANY and whole
    if task is None:
        as_what, other = ("classes", "numbers") if few else ("numbers", "classes")
        tell(f"{name!r} has {n_values} different values: {as_what}, and not {other}.")
    if few and task is None:
        return numbers.astype(int), "classification"
    if np.ptp(numbers) == 0:
        raise ValueError(f"the target {name!r} is {numbers[0]:g} in all rows.")
    return numbers, "regression"


def _without_rare(
    table: pd.DataFrame, y: np.ndarray, max_rows: int | None, tell: Callable[[str], Any]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Leave out classes with too few rows for the folds, also after sampling."""
    shrunk = 1.0 if max_rows is None else max(1.0, len(y) / max_rows)
    fewest = int(np.ceil(FEWEST_OF_CLASS * shrunk))
    labels, counts = np.unique(y, return_counts=True)
    kept = labels[counts >= fewest]
    if len(kept) < 2:
        raise ValueError(
            f"the target has {len(labels)} classes, {len(kept)} of them with {fewest} "
            "rows or more, but expected at least 2 of these. Is it a regression?"
        )
    if len(kept) == len(labels):
        return table, y
    rows = np.isin(y, kept)
    tell(
        f"{len(labels) - len(kept)} classes of fewer than {fewest} rows are left out, "
        f"{(~rows).sum()} rows in all."
    )
    return table[rows], y[rows]


def _read_columns(X: pd.DataFrame) -> pd.DataFrame:
    """Read columns as skmix does, as numbers or as at most 250 categories."""
    try:
        reader = ColumnReader.fit(X)
    except (ValueError, TypeError) as error:
        wrong = [name for name in X.columns if not _is_readable(X[[name]])]
        raise UnreadableColumns(str(error), wrong) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `fit` has warned already
        numbers = np.asarray(reader.transform(X))
    columns: dict[str, Any] = {}
    for j, name in enumerate(X.columns):
        if reader.categories[j] is None:
            columns[name] = numbers[:, j]
        else:
            words = X[name].astype(object).map(str, na_action="ignore")
            frequent = words.value_counts().index[:250]
            columns[name] = pd.Categorical(words.where(words.isin(frequent)))
    return pd.DataFrame(columns, index=X.index)


def _is_readable(column: pd.DataFrame) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ColumnReader.fit(column)
        except (ValueError, TypeError):
            return False
    return True
