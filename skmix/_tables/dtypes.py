"""What the columns of a table hold, and its cells as numbers and codes.

A `ColumnReader` turns any table into one array of numbers, in which each category is a
code. It knows what the columns hold, and no statistics. docs/tables.md has the rules.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Complex, Real
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse
from sklearn.utils import check_array

from skmix._tables import strings as text
from skmix._validation import check_unmasked, warn

# Categories of a column that have a column, or a code, of their own; by frequency.
MAX_CATEGORIES = 50

# This share of the values of a column must be numbers (dates) for it to hold numbers
# (dates).
NEARLY_ALL = 0.95

# At most this many distinct strings decide how the numbers of a column are written.
MAX_DECIDING = 10_000

# A category with more values than this is told of if they are numbers with a unit.
MANY_MEASURES = 20

# A column of eight digits holds dates if it has at least this many distinct values.
MIN_DAYS = 10

# At least this many strings that all differ are ids.
MIN_IDS = 20

# Types of objects that are numbers or dates, by pandas' names.
NUMBERS = {"boolean", "decimal", "floating", "integer", "mixed-integer-float"}
DATES = {"date", "datetime", "datetime64", "period", "time", "timedelta", "timedelta64"}

_DECLARE = (
    "Where each value is a category, name the column in categorical_features, or "
    "give it the dtype 'category'."
)
_SKRUB = (
    "skrub.tabular_pipeline(MixupClassifier()), or the same around another estimator, "
    "does it for all columns"
)
_TAKE_AWAY = (
    "Where they are numbers, take away what is beside, for column c: "
    "X[c].str.extract(r'([\\d.]+)')[0].astype(float)."
)
WAYS_OUT = {
    "date": (
        "dates or times",
        f"Make numbers of them before: {_SKRUB}; skrub.DatetimeEncoder for one column, "
        f"and so do differences to a fixed day. Or drop them. {_DECLARE}",
    ),
    "text": (
        "free text",
        f"Make numbers of it before: {_SKRUB}; skrub.StringEncoder, or TfidfVectorizer "
        f"and TruncatedSVD, for one column. Or drop it. {_DECLARE}",
    ),
    "id": (
        "strings that are all different, as ids are",
        "They tell nothing of other rows, so drop them; where part of each tells "
        f"something, make a column of that part, or numbers: {_SKRUB}. {_DECLARE}",
    ),
    "measure": (
        "strings that are all different, and hold numbers with something beside, as "
        "units are",
        f"{_TAKE_AWAY} {_DECLARE}",
    ),
    "mixed": (
        "numbers and words side by side",
        "Where words stand for missing numbers, replace them, for example by "
        f"pandas.to_numeric(column, errors='coerce'). {_DECLARE}",
    ),
    "complex": (
        "complex numbers",
        "Complex data not supported. Make two columns of each, of its real and its "
        "imaginary part.",
    ),
    "object": (
        "other things than strings and numbers",
        "Each value of an object column must be a string or a number (or None).",
    ),
    "undeclared": (
        "no numbers",
        "Name them in categorical_features, or leave that at 'from_dtype'.",
    ),
}


# What libraries raise for values that pandas has no dtype for.
UNHELD = TypeError, ValueError, NotImplementedError


def as_frame(X: Any) -> Any:
    """Return a table of mixed columns as a pandas frame, other tables as they are."""
    if hasattr(X, "to_pandas") and hasattr(X, "columns"):  # polars and others
        X = _keep_strings(_converted(_to_pandas, X), X)
    if isinstance(X, pd.DataFrame):
        _refuse_repeated(X.columns)
        if not len(X.columns):
            raise ValueError(
                f"Got X of shape {X.shape}, which has no columns, but expected some."
            )
        return X
    check_unmasked(X, "X")
    _refuse_other_dimensions(X)
    if isinstance(X, list | tuple) and np.asarray(X, dtype=object).ndim == 2:
        frame = _converted(pd.DataFrame, list(X))
        if not all(map(types.is_numeric_dtype, frame.dtypes)):
            return frame
        # (scikit-learn would leave numbers beside None as they are.)
        return X if np.asarray(X).dtype.kind != "O" else frame.to_numpy(np.float64)
    if isinstance(X, np.ndarray) and X.ndim == 2:
        if X.dtype.kind in "OmM":
            return _converted(_inferred, X)
        if X.dtype.kind in "UT":
            return _converted(_of_strings, X)
    return X


def _inferred(X: Any) -> pd.DataFrame:
    return pd.DataFrame(X).infer_objects()


def _of_strings(X: Any) -> pd.DataFrame:
    return pd.DataFrame(np.asarray(X).astype(object)).astype("str")


def _to_pandas(X: Any) -> Any:
    """Return a table of another library as a frame of pandas."""
    metadata = getattr(getattr(X, "schema", None), "pandas_metadata", None)
    if not isinstance(metadata, dict):
        return X.to_pandas()
    try:
        return X.to_pandas()
    except (TypeError, ValueError):  # of dtypes that pandas writes but does not read
        levels = [name for name in metadata["index_columns"] if isinstance(name, str)]
        there = [name for name in levels if name in X.schema.names]
        return X.drop_columns(there).to_pandas(ignore_metadata=True)


def _converted(convert: Callable[[Any], pd.DataFrame], X: Any) -> pd.DataFrame:
    """Return a table as a frame of pandas; refuse values that no such frame holds."""
    try:
        return convert(X)
    except UNHELD as error:
        whose = " and ".join(_columns_that_fail(convert, X)[:10])
        raise ValueError(
            f"Got X with values{whose and ' of the column '}{whose} that a frame of "
            f"pandas cannot hold ({error}), but expected columns of numbers, booleans, "
            "valid texts or categories. Leave out the other columns, or make strings "
            "of them."
        ) from error


def _columns_that_fail(convert: Callable[[Any], pd.DataFrame], X: Any) -> list[str]:
    """Return the columns that cannot be converted, each tried alone."""
    if hasattr(X, "select"):
        names = getattr(X, "column_names", X.columns)  # of pyarrow, of polars
        alone = {repr(name): X.select([name]) for name in names}
    elif hasattr(X, "to_pandas"):
        return []  # of a library whose way to a single column is not known
    else:
        rows = np.asarray(X, dtype=object)
        alone = {str(j): rows[:, [j]].tolist() for j in range(rows.shape[1])}
    failing = []
    for name, column in alone.items():
        try:
            convert(column)
        except UNHELD:
            failing.append(name)
    return failing


def _refuse_repeated(names: pd.Index) -> None:
    """Refuse columns of the same name, which nobody could tell apart."""
    if names.is_unique:
        return
    repeated = names[names.duplicated()].unique().tolist()
    raise ValueError(
        f"Got several columns of the name {' and of '.join(map(repr, repeated[:10]))}, "
        "but expected a name of its own for each. Rename them, or keep the first of "
        "each: X.loc[:, ~X.columns.duplicated()]."
    )


def _refuse_other_dimensions(X: Any) -> None:
    """Refuse what has not two dimensions, rows and columns, as scikit-learn does."""
    n_dimensions = getattr(X, "ndim", None)
    if not isinstance(n_dimensions, int):  # a list, a class
        n_dimensions = np.ndim(np.asarray(X, dtype=object))
    if n_dimensions != 2:
        if sparse.issparse(X):
            raise ValueError(
                f"Got X as a sparse array of shape {X.shape}, but expected two "
                "dimensions: (n_samples, n_features)."
            )
        _refuse_ragged(X)
        if way_out := _way_to_a_table(X):
            raise ValueError(
                f"Got X as {type(X).__name__}, but expected a table of rows and "
                f"columns: {way_out}."
            )
        check_array(np.asarray(X), dtype=None, ensure_all_finite=False)


def _way_to_a_table(X: Any) -> str:
    """Return how to make a table of what holds one; nothing of anything else."""
    if hasattr(X, "collect"):  # a lazy frame of polars and of others
        return "X.collect()"
    if isinstance(X, list | tuple) and X and isinstance(X[0], Mapping):
        return "pandas.DataFrame(X), of a list of dicts"
    if isinstance(X, np.ndarray) and X.dtype.names:
        return "pandas.DataFrame(X), of a structured array"
    if isinstance(X, Iterator):
        return "list(X)"
    return ""


def _refuse_ragged(X: Any) -> None:
    """Refuse rows of different lengths."""
    if not isinstance(X, list | tuple) or not all(map(types.is_list_like, X)):
        return
    lengths = sorted({len(row) for row in X})
    if len(lengths) > 1:
        raise ValueError(
            f"Got X with rows of {lengths[0]} to {lengths[-1]} values, but expected as "
            "many in each row. None stands for a missing value."
        )


def _keep_strings(frame: pd.DataFrame, X: Any) -> pd.DataFrame:
    """Give columns of strings a string dtype, even if all their values are missing."""
    dtypes = zip(X.columns, getattr(X, "dtypes", ()), strict=False)
    names = {name for name, dtype in dtypes if str(dtype) == "String"}
    # (By "str" pandas 2 would make strings of missing values.)
    return frame.astype(dict.fromkeys(names, "string")) if names else frame


@dataclass(frozen=True)
class ColumnReader:
    """What the columns of a table hold: numbers, or which categories.

    Attributes
    ----------
    columns : list of str
        Names of the columns.
    has_names : bool
        Whether the table named its columns by strings.
    categories : list of (ndarray or None)
        The categories of each column in the order of their codes; None for a column of
        numbers.
    notations : list of (str or None)
        How the numbers of each column are written that came as text, one of
        `skmix._tables.strings.NOTATIONS`; None for numbers that came as such, and
        categories.
    has_missing : list of bool
        Whether a missing value is among the categories of each column.
    """

    columns: list[str]
    has_names: bool
    categories: list[Any]
    notations: list[str | None]
    has_missing: list[bool]

    @classmethod
    def fit(cls, X: Any, categorical_features: Any = "from_dtype") -> Self:
        """Find out what the columns of a table hold.

        Parameters
        ----------
        X : pandas.DataFrame, or array-like or CSR of numbers, of shape (n, d)
            As `as_frame` returns it.
        categorical_features : "from_dtype", None, or array-like of names, \
                of positions or of booleans, default="from_dtype"
            As in the skmix estimators.

        Returns
        -------
        reader : ColumnReader

        Raises
        ------
        ValueError, TypeError
            If `categorical_features` does not fit the table, or a column holds
            neither numbers nor categories.

        Warns
        -----
        UserWarning
            If values are not read as they are: strings as numbers, or as missing, or
            categories most of which are too rare to be kept.
        """
        given = categorical_features
        declares = not (given is None or isinstance(given, str) or len(given) == 0)
        if not isinstance(X, pd.DataFrame) and not declares:
            shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
            return cls.of_numbers(shape[1])
        if sparse.issparse(X):
            raise ValueError(
                f"Got categorical_features={categorical_features!r} for a sparse "
                "table, but expected a dense one: make an array of it, or encode its "
                "categories before."
            )
        has_names = isinstance(X, pd.DataFrame) and all(
            isinstance(name, str) for name in X.columns
        )
        X = _framed(X)
        declared = _declared(X, categorical_features)
        looks = [_look(column) for _, column in X.items()]
        kinds = np.array([look.kind for look in looks], dtype=object)
        categorical = kinds == "category"
        if declared is not None:
            categorical = declared
            kinds[declared & ~np.isin(kinds, ["object", "complex"])] = "declared"
            kinds[kinds == "category"] = "undeclared"
        names = [str(name) for name in X.columns]
        _refuse(names, kinds)
        told, categories, notations, has_missing = [], [], [], []
        for j, (look, kind) in enumerate(zip(looks, kinds, strict=True)):
            column = X.iloc[:, j]
            categories.append(_categories(column) if categorical[j] else None)
            notations.append(look.notation if kind == "number" else None)
            has_missing.append(bool(categorical[j] and column.isna().any()))
            if look.told and kind != "declared":
                told.append(f"{names[j]!r}: {look.told}")
        _tell(told)
        return cls(names, has_names, categories, notations, has_missing)

    @classmethod
    def of_numbers(cls, n_columns: int) -> Self:
        """Return a reader of columns without names that hold numbers."""
        names = [f"x{j}" for j in range(n_columns)]
        nothing = [None] * n_columns
        return cls(names, False, [*nothing], [*nothing], [False] * n_columns)

    def is_idle(self, X: Any) -> bool:
        """Whether scikit-learn reads numbers from the table just as well."""
        plain = not isinstance(X, pd.DataFrame) or all(
            isinstance(dtype, np.dtype) and types.is_numeric_dtype(dtype)
            for dtype in X.dtypes
        )
        return plain and not self.categorical.any()

    @property
    def categorical(self) -> np.ndarray:
        """Mask of the columns of categories, of shape (d,)."""
        return np.array([found is not None for found in self.categories], dtype=bool)

    @cached_property
    def _codes_by_key(self) -> list[Any]:
        """The codes of the categories of each column by the keys of their values."""
        return [None if found is None else _by_key(found) for found in self.categories]

    @cached_property
    def _indices(self) -> list[Any]:
        """The categories of each column as an index, which finds them by hashing."""
        found = self.categories
        return [None if of is None else pd.Index(of, dtype=object) for of in found]

    def transform(self, X: Any, *, is_new: bool = True) -> np.ndarray:
        """Return the table as numbers and codes.

        Parameters
        ----------
        X : pandas.DataFrame or array-like of shape (n, d)
        is_new : bool, default=True
            Whether it is another table than that of `fit`, so that nothing has been
            told of it yet.

        Returns
        -------
        table : ndarray of shape (n, d), float64
            A missing number is NaN. The codes of L categories are 0 to L - 1, the code
            of a missing value is L, and that of a category not seen in training -1.

        Raises
        ------
        ValueError
            If a column that held numbers in training does not, or for sparse rows.

        Warns
        -----
        UserWarning
            If values of a column of numbers are none and count as missing, or none of
            the values of a category was seen in training.
        """
        if sparse.issparse(X):
            raise ValueError(
                "Got a sparse table, but expected a dense one: there were columns of "
                "categories in training. Make an array or a frame of it."
            )
        X = _framed(X)
        table, told = np.empty(X.shape), []
        for j, name in enumerate(self.columns):
            read = self._numbers if self.categories[j] is None else self._codes
            table[:, j], about = read(X.iloc[:, j], j)
            told += [f"{name!r}: {about}"] * bool(about)
        if is_new:
            _tell(told)
        return table

    def _numbers(self, column: pd.Series, j: int) -> tuple[np.ndarray, str]:
        """Numbers of a column, and what the user is to be told of it."""
        try:
            return _as_numbers(column, self.notations[j])
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(
                f"Got column {self.columns[j]!r} with values that are no numbers "
                f"({error}), but expected numbers, as in training."
            ) from error

    def _codes(self, column: pd.Series, j: int) -> tuple[np.ndarray, str]:
        """Codes of a column of categories, and what the user is to be told of it."""
        n_categories = len(self.categories[j])
        try:
            values = _Values(column)
        except TypeError as error:  # a list
            raise ValueError(
                f"Got column {self.columns[j]!r} with values that are no categories "
                f"({error}), but expected categories, as in training."
            ) from error
        known = self._indices[j].get_indexer(pd.Index(values.values, dtype=object))
        occurs = values.counts > 0
        for i in np.flatnonzero(occurs & (known < 0)):
            value, by_key = values.values[i], self._codes_by_key[j]
            keys = (text.key_of(value), *text.other_keys_of(value))
            known[i] = next((by_key[key] for key in keys if key in by_key), -1)
        if self.has_missing[j] and (known < 0).any():
            known[(known < 0) & values.are_missing] = n_categories
        about = ""
        if occurs.any() and (known[occurs] < 0).all():
            about = (
                f"none of its values (such as {values.example(occurs)}) was seen in "
                "fit. They count as none of its categories."
            )
        return np.append(known, n_categories)[values.codes], about  # (found at -1)


def _by_key(categories: np.ndarray) -> dict[Hashable, int]:
    """The code of each category by its keys; -1 where several have the same key."""
    own = [(text.key_of(value), code) for code, value in enumerate(categories)]
    others = [
        (key, code)
        for code, value in enumerate(categories)
        for key in text.other_keys_of(value)
    ]
    return _unambiguous(others) | _unambiguous(own)


def _unambiguous(pairs: list[tuple[Hashable, int]]) -> dict[Hashable, int]:
    """The code of each key; -1 for keys that occur several times."""
    times = Counter(key for key, _ in pairs)
    return {key: code if times[key] == 1 else -1 for key, code in pairs}


def _tell(told: list[str]) -> None:
    """Warn the user of columns, at the line that called this package."""
    if told:
        message = "\n- ".join(["Got columns that are not read as they are:", *told])
        warn(message)


def _framed(X: Any) -> pd.DataFrame:
    """An array as a frame, frames as they are."""
    if isinstance(X, pd.DataFrame):
        return X
    X = np.asarray(X)
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


def _declared(X: pd.DataFrame, categorical_features: Any) -> np.ndarray | None:
    """Mask of the columns declared as categories; None where their dtype decides."""
    if isinstance(categorical_features, str) and categorical_features == "from_dtype":
        return None
    mask = np.zeros(X.shape[1], dtype=bool)
    if categorical_features is None or len(categorical_features) == 0:
        return mask
    given = np.asarray(categorical_features)
    if given.dtype == bool:
        if given.shape != mask.shape:
            raise ValueError(
                f"Got categorical_features as a mask of shape {given.shape}, but "
                f"expected ({X.shape[1]},): one boolean for each column."
            )
        return given
    known: Any
    if given.dtype.kind in "iu":
        known, expected = range(len(mask)), f"positions from 0 to {len(mask) - 1}"
    else:
        known = list(X.columns)
        expected = f"names among {', '.join(map(repr, known[:20]))}"
    wanted = set(given.tolist())
    unknown = [entry for entry in given.tolist() if entry not in known]
    if unknown:
        raise ValueError(
            f"Got categorical_features with {unknown}, but expected {expected}."
        )
    return np.array([entry in wanted for entry in known], dtype=bool)


class _Look(NamedTuple):
    """What a column was found to hold, and what the user is to be told of it."""

    kind: str  # "number", "category", or one of `WAYS_OUT`
    notation: str | None = None  # of numbers that came as text
    told: str = ""


def _look(column: pd.Series) -> _Look:
    """Find out what a column holds."""
    kind = _kind_of_dtype(column)
    if kind == "category":
        return _Look("category", told=_about_rare(_Values(column)))
    if kind is not None:
        return _Look(kind)
    try:
        values = _Values(column)
    except TypeError:  # what has no hash, such as a signalling NaN
        return _Look("object")
    return _look_at_values(values)


def _kind_of_dtype(column: pd.Series) -> str | None:
    """What a column holds by dtype or types of objects; None if values must tell."""
    dtype = column.dtype
    arrow = isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("dictionary")
    if arrow or isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if types.is_complex_dtype(dtype):
        return "complex"
    if types.is_numeric_dtype(dtype):  # of booleans, too
        return "number"
    inferred = types.infer_dtype(column.astype(object), skipna=True)
    if inferred in NUMBERS:
        return "number"
    if inferred in DATES or types.is_datetime64_any_dtype(dtype):
        return "date"
    if inferred == "complex":
        return "complex"
    if inferred != "string" and not all(map(types.is_scalar, column)):
        return "object"
    return None


class _Values:
    """The distinct values of a column, and how often each occurs.

    Missing ones have the code -1, and are none of them.
    """

    def __init__(self, column: pd.Series) -> None:
        self.codes, self.values = _factorized(column)
        counts = np.bincount(self.codes + 1, minlength=len(self.values) + 1)
        self.n_missing, self.counts = counts[0], counts[1:]

    def of_strings(
        self, function: Callable[[np.ndarray], Any], fill: Any = False
    ) -> np.ndarray:
        """Apply a function to the values that are strings; others get the fill."""
        result = np.full(len(self.values), fill)
        result[self.are_strings] = function(self.values[self.are_strings])
        return result

    def occur(self, mask: np.ndarray) -> int:
        """In how many rows the values of a mask are."""
        return int(self.counts[mask].sum())

    def example(self, mask: np.ndarray) -> str:
        """The most frequent of the values of a mask, as Python writes it."""
        value = self.values[mask][np.argmax(self.counts[mask])]
        return str(value) if isinstance(value, np.floating) else repr(value)

    def example_read(self, mask: np.ndarray, notation: Any) -> str:
        """The number that the example of a mask of strings is."""
        strings = self.values[mask][[np.argmax(self.counts[mask])]]
        return f"{text.as_numbers(strings, notation)[0]:.12g}"

    def others_are(self, kind: Any) -> np.ndarray:
        """Mask of the values that are of a kind, and no strings."""
        mask = ~self.are_strings
        mask[mask] = [isinstance(value, kind) for value in self.values[mask]]
        return mask

    @cached_property
    def are_strings(self) -> np.ndarray:
        return np.array([isinstance(value, str) for value in self.values], dtype=bool)

    @cached_property
    def are_real(self) -> np.ndarray:
        return self.others_are((bool, np.bool_, Real, Decimal))

    @cached_property
    def are_missing(self) -> np.ndarray:
        return self.of_strings(text.are_missing)

    def notation(self) -> str:
        """How numbers among the strings are written."""
        strings = np.flatnonzero(self.are_strings)
        if len(strings) > MAX_DECIDING:
            some = np.linspace(0, len(strings) - 1, MAX_DECIDING).astype(int)
            strings = strings[some]
        return text.notation_of(self.values[strings], self.counts[strings])

    def as_numbers(self, notation: str) -> np.ndarray:
        """The numbers that values are, float64; NaN for values that are none."""
        numbers = self.of_strings(lambda s: text.as_numbers(s, notation), fill=np.nan)
        numbers[self.are_real] = [float(value) for value in self.values[self.are_real]]
        return numbers


def _look_at_values(values: _Values) -> _Look:
    """What a column of objects or strings holds, by its values."""
    strings, real, missing = values.are_strings, values.are_real, values.are_missing
    if (values.others_are(Complex) & ~real).any():
        return _Look("complex")
    days: Any = values.values[~missing] if strings.all() else []
    if len(days) >= MIN_DAYS and text.are_days_of_digits(days):
        return _Look("date")
    notation = values.notation() if strings.any() else None
    numbers = real.copy()
    if notation is not None:
        numbers |= ~np.isnan(
            values.of_strings(lambda s: text.as_numbers(s, notation), np.nan)
        )
    n_present, n_numbers = values.occur(~missing), values.occur(numbers)
    codes = strings.all() and text.are_codes(values.values[numbers])
    if n_numbers > 0 and n_numbers >= NEARLY_ALL * n_present and not codes:
        return _Look("number", notation, _about_numbers(values, numbers, notation))
    few = strings.all() and len(values.values) <= MAX_CATEGORIES
    if _holds_dates(values, NEARLY_ALL if few else 0.5):
        return _Look("date")
    if not real.any() and not strings.all():
        return _Look("object")
    if not real.any() and _is_text(values):
        return _Look("text")
    if strings.sum() >= MIN_IDS and values.counts.max() == 1:
        return _Look("measure" if _are_measures(values) else "id")
    if 0 < n_present <= 2 * n_numbers and not codes and not few:
        return _Look("mixed")
    return _Look("category", told=_about_units(values) or _about_rare(values))


def _holds_dates(values: _Values, share: float) -> bool:
    """Whether such a share of the values are dates, missing days apart."""
    dates, none = values.of_strings(text.are_dates), values.of_strings(text.are_no_days)
    n_dates = values.occur(dates & ~none)
    return 0 < n_dates >= share * values.occur(~values.are_missing & ~none)


def _are_measures(values: _Values) -> bool:
    """Whether most strings are a number with a unit that others have, too."""
    units = text.units_of(values.values[values.are_strings][:MAX_DECIDING])
    known = [unit for unit in units if unit is not None]
    return 2 * len(known) > len(units) and 10 * len(set(known)) <= len(known)


def _is_text(values: _Values) -> bool:
    """Whether strings are sentences, no categories: most differ, in many words."""
    distinct = values.values
    if len(distinct) < 10 or 2 * len(distinct) <= values.counts.sum():
        return False
    return bool(np.mean([len(value.split()) for value in distinct[:1000]]) >= 4)


def _about_units(values: _Values) -> str:
    """What is to be told of a category nearly all values of which have one unit."""
    strings = values.are_strings & ~values.are_missing
    if strings.sum() <= MANY_MEASURES:
        return ""
    units = Counter(text.units_of(values.values[strings][:MAX_DECIDING]).tolist())
    (unit, times), n_units = units.most_common(1)[0], sum(units.values())
    if unit is None or times < NEARLY_ALL * n_units:
        return ""
    return (
        f"{strings.sum()} different strings that count as categories, but "
        f"hold a number each with {unit!r} beside (such as {values.example(strings)}). "
        f"{_TAKE_AWAY}"
    )


def _about_numbers(values: _Values, numbers: np.ndarray, notation: str | None) -> str:
    """What is to be told of a column that is read as numbers, if anything is."""
    told = []
    odd = values.of_strings(lambda s: ~text.are_plain(s)) & numbers
    if odd.any():
        number = values.example_read(odd, notation)
        told.append(f"numbers with a {notation}, {values.example(odd)} being {number}")
    told += _about_lost(values, ~numbers)
    return "; ".join(told) + "." * bool(told)


def _about_lost(values: _Values, lost: np.ndarray) -> list[str]:
    """What is to be told of values that are no numbers."""
    n_lost = values.occur(lost)
    if not n_lost:
        return []
    return [
        f"{n_lost} of {values.counts.sum()} values (such as {values.example(lost)}) "
        "are no numbers and count as missing"
    ]


def _about_rare(values: _Values) -> str:
    """What is to be told of a category if few of its values are kept."""
    kept = np.sort(values.counts)[::-1][:MAX_CATEGORIES]
    if len(kept) == MAX_CATEGORIES and values.n_missing > kept[-1]:
        kept = kept[:-1]  # a missing value takes the place of one
    n_present = values.counts.sum()
    share = kept.sum() / max(n_present, 1)
    if share >= 0.5 or n_present == 0:
        return ""
    return (
        f"{(values.counts > 0).sum()} different values, of which the {len(kept)} most "
        f"frequent are kept and the others count as one. Those kept cover "
        f"{100 * share:.0f} % of the rows. Make groups of the values, or numbers of "
        "them by sklearn.preprocessing.TargetEncoder in a Pipeline before; or drop the "
        "column."
    )


def _refuse(names: list[str], kinds: np.ndarray) -> None:
    """Name all columns that cannot be read, with the way out for each kind of them."""
    problems = [kind for kind in WAYS_OUT if (kinds == kind).any()]
    if not problems:
        return
    lines = [
        f"\n- {WAYS_OUT[problem][0]} "
        f"({', '.join(n for n, k in zip(names, kinds, strict=True) if k == problem)}): "
        f"{WAYS_OUT[problem][1]}"
        for problem in problems
    ]
    error = TypeError if problems == ["object"] else ValueError
    raise error(
        "Got columns that a net cannot be given, but expected numbers or categories:"
        + "".join(lines)
    )


def _as_numbers(column: pd.Series, notation: str | None) -> tuple[np.ndarray, str]:
    """A column as numbers, float64, NaN where missing, and what is to be told of it."""
    kind = _kind_of_dtype(column)
    if kind == "complex":
        raise ValueError("Complex data not supported")
    if kind == "date":
        raise ValueError("dates or times")
    if kind == "number":
        if not types.is_numeric_dtype(column.dtype):
            column = column.astype(object).convert_dtypes()
        return column.to_numpy(dtype=np.float64, na_value=np.nan), ""
    values = _Values(column)
    numbers = values.as_numbers(notation or text.NOTATIONS[0])
    if notation is None:  # as Python has it
        words = np.isnan(numbers) & values.are_strings
        numbers[words] = text.as_booleans(values.values[words])
    no_number, missing = np.isnan(numbers), values.are_missing
    wrong = no_number & ~missing & (values.counts > 0)
    if 2 * values.occur(wrong) > values.occur(~missing):
        raise ValueError(f"such as {values.example(wrong)}")
    about = _about_lost(values, no_number)
    if notation == text.NOTATIONS[-1]:
        about += _about_points(values, ~no_number)
    return np.append(numbers, np.nan)[values.codes], ". ".join(about) + "." * bool(
        about
    )


def _about_points(values: _Values, numbers: np.ndarray) -> list[str]:
    """What is to be told where a decimal comma is in force, but points may be such."""
    commas = values.of_strings(lambda strings: ["," in s for s in strings])
    points = values.of_strings(lambda strings: ["." in s for s in strings])
    points &= numbers & (values.counts > 0)
    several = points & np.isnan(values.as_numbers(text.NOTATIONS[0]))
    if commas.any() or several.any() or not points.any():
        return []
    return [
        f"numbers with a decimal comma, as in fit: {values.example(points)} is "
        f"{values.example_read(points, text.NOTATIONS[-1])}, since points are between "
        "thousands"
    ]


def _factorized(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a column, -1 where missing, and the values that they stand for."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes, present = pd.factorize(column.cat.codes.to_numpy(), sort=True)
        codes = codes.astype(np.intp)
        if len(present) and present[0] < 0:  # missing
            codes, present = codes - 1, present[1:]
        values, dtype = column.cat.categories.take(present), column.cat.categories.dtype
    else:
        codes, values = pd.factorize(column.astype(object))
    return codes, _as_objects(values, getattr(dtype, "numpy_dtype", dtype))


def _as_objects(values: Any, dtype: Any) -> np.ndarray:
    """Values of a dtype as an array of objects; numbers of few bits stay such."""
    few_bits = isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8
    if not few_bits:
        return np.asarray(values, dtype=object)
    return np.array([dtype.type(value) for value in values] + [None], dtype=object)[:-1]


def _categories(column: pd.Series) -> np.ndarray:
    """The categories of a column in an order that does not depend on the rows'."""
    codes, values = _factorized(column)
    present = values[np.unique(codes[codes >= 0])]
    # Categories of several types have an order, too.
    try:
        order = sorted(present, key=lambda value: (type(value).__name__, value))
    except TypeError:  # tuples of a number and of a word
        order = sorted(present, key=lambda value: (type(value).__name__, repr(value)))
    return np.fromiter(order, dtype=object, count=len(order))
