"""What the columns of a table hold, and its cells as numbers and codes.

A `Reader` turns any table into one array of numbers, in which a level of a category is
a code; it knows what columns hold, and no statistics. docs/tables.md has the rules.
"""

import inspect
import warnings
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Complex, Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse
from sklearn.utils import check_array

from skmix._strings import (
    NOTATIONS,
    are_codes,
    are_dates,
    are_days_of_digits,
    are_missing,
    are_no_days,
    are_plain,
    as_booleans,
    as_numbers,
    key_of,
    notation_of,
    other_keys_of,
    units_of,
)

# Levels of a category that have a column, or a code, of their own; by frequency.
MAX_CATEGORIES = 50

# Of the values of a column: so many must be numbers, or dates, for it to hold such.
NEARLY_ALL = 0.95

# So many distinct strings, at most, tell how numbers are written.
MAX_DECIDING = 10_000

# Numbers with a unit are told of a category of more values than this.
MANY_MEASURES = 20

# A number of days is a date where it has so many distinct values.
MIN_DAYS = 10

# So many strings that all differ tell rows apart, and no kinds of rows.
MIN_IDS = 20


def as_frame(X):
    """Return a table of mixed columns as a pandas frame, other things as they are.

    Raises
    ------
    ValueError
        If it is no table, but a single row or column, or a single value.
    """
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "to_pandas") and hasattr(X, "columns"):  # polars and others
        return _keep_strings(X.to_pandas(), X)
    _refuse_flat(X)
    if isinstance(X, list | tuple) and np.asarray(X, dtype=object).ndim == 2:
        frame = pd.DataFrame(list(X))
        return X if all(map(types.is_numeric_dtype, frame.dtypes)) else frame
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUTmM":
        numbers = X.dtype.kind in "OmM"
        return pd.DataFrame(X).infer_objects() if numbers else _of_strings(X)
    return X


def _refuse_flat(X):
    """Let scikit-learn say that rows are to be rows, by which it is known for it."""
    if sparse.issparse(X):
        return
    n_dimensions = getattr(X, "ndim", None)
    if n_dimensions is None:
        n_dimensions = np.ndim(np.asarray(X, dtype=object))
    if n_dimensions < 2:
        check_array(np.asarray(X), dtype=None, ensure_all_finite=False)


def _of_strings(X):
    return pd.DataFrame(X.astype(object)).astype("str")


def _keep_strings(frame, X):
    """Let columns of strings be such, all missing ones too."""
    names = {
        name
        for name, dtype in zip(X.columns, getattr(X, "dtypes", ()), strict=False)
        if str(dtype) == "String"
    }
    return frame.astype(dict.fromkeys(names, "str")) if names else frame


@dataclass(frozen=True)
class Reader:
    """What the columns of a table hold: numbers, or which levels.

    Attributes
    ----------
    columns : list of str
        Names of the columns of the user's table.
    groups : list of tuple of int
        Positions of columns that are the one-hot columns of one category. They are read
        as a column of categories in the place of the first of them.
    names : list of str
        Of the columns as they are read.
    levels : list of (ndarray or None)
        The levels of each of these that holds categories, in the order of their codes;
        None for a column of numbers.
    notations : list of (str or None)
        How the numbers of each are written that came as text, one of
        `skmix._strings.NOTATIONS`; None for numbers that came as such, and categories.
    has_missing : list of bool
        Whether a missing value is among the levels of each.
    """

    columns: list
    groups: list
    names: list
    levels: list
    notations: list
    has_missing: list

    @classmethod
    def learn(cls, X, categorical_features):
        """Find out what the columns of training rows hold.

        Parameters
        ----------
        X : pandas.DataFrame or ndarray of shape (n, d)
        categorical_features : "from_dtype", None, or array-like of names, \
                of positions or of booleans, tuples of these among them
            As in the skmix estimators.

        Returns
        -------
        reader : Reader

        Raises
        ------
        ValueError, TypeError
            If `categorical_features` does not fit the table, or a column holds
            neither numbers nor categories.

        Warns
        -----
        UserWarning
            If values are not read as they are: strings as numbers, or as missing, or
            levels of which most are too rare to be kept.
        """
        X = _framed(X)
        columns, groups = [str(name) for name in X.columns], []
        if isinstance(categorical_features, list | tuple):
            groups = _groups(X, categorical_features)
            single = [c for c in categorical_features if not isinstance(c, tuple)]
            categorical_features = single
        declared = _declared(X, categorical_features)
        if groups:
            _refuse_both(X, declared, groups)
            X, declared = _merged(X, groups), _merged_mask(declared, groups)
        looks = [_look(X.iloc[:, j]) for j in range(X.shape[1])]
        kinds = np.array([look.kind for look in looks])
        categorical, refused = kinds == "category", list(_WAYS_OUT)[:-1]
        if declared is not None:
            categorical = declared
            never = np.isin(kinds, ["object", "complex"])
            kinds = np.where(declared & ~never, "declared", kinds)
            refused.append("category")
        _refuse(X, kinds, refused)
        levels = [
            _levels(X.iloc[:, j]) if is_category else None
            for j, is_category in enumerate(categorical)
        ]
        names = [str(name) for name in X.columns]
        as_text = np.where(kinds == "number", [look.notation for look in looks], None)
        told = [
            f"{name!r}: {look.told}"
            for name, kind, look in zip(names, kinds, looks, strict=True)
            if look.told and kind != "declared"
        ]
        _tell(told)
        for j, group in _made_upstream(columns, groups).items():
            levels[j] = np.array([columns[p] for p in group], dtype=object)
        has_missing = [
            of is not None and bool(X.iloc[:, j].isna().any())
            for j, of in enumerate(levels)
        ]
        return cls(columns, groups, names, levels, as_text.tolist(), has_missing)

    @classmethod
    def of_numbers(cls, n_columns):
        """Know that columns without names hold numbers."""
        names = [f"x{j}" for j in range(n_columns)]
        nothing = [None] * n_columns
        return cls(names, [], names, nothing, nothing, [False] * n_columns)

    def is_idle(self, X):
        """Whether scikit-learn reads numbers from the table just as well."""
        plain = not isinstance(X, pd.DataFrame) or all(
            isinstance(dtype, np.dtype) and types.is_numeric_dtype(dtype)
            for dtype in X.dtypes
        )
        return plain and not self.categorical.any()

    @property
    def read_as(self):
        """As which column each of the user's columns is read, of shape (d,)."""
        return _read_as(self.columns, self.groups)

    @property
    def made_upstream(self):
        """The groups, by the position of the column as which they are read."""
        return _made_upstream(self.columns, self.groups)

    @property
    def categorical(self):
        """Mask of the columns of categories, of shape (d,)."""
        return np.array([levels is not None for levels in self.levels], dtype=bool)

    @cached_property
    def _codes_by_key(self):
        """The codes of the levels of each column by what is alike of values."""
        return [None if of is None else _by_key(of) for of in self.levels]

    @cached_property
    def _indices(self):
        """The levels of each column as an index, which finds them by hashing."""
        return [
            None if of is None else pd.Index(of, dtype=object) for of in self.levels
        ]

    def read(self, X, *, is_new=True):
        """Return the table as numbers, levels being codes.

        Parameters
        ----------
        X : pandas.DataFrame or array-like of shape (n, d)
        is_new : bool, default=True
            Whether it is another table than was learnt from, of which nothing has been
            told yet.

        Returns
        -------
        table : ndarray of shape (n, len(names)), float64
            A missing number is NaN. Codes of L levels are 0 to L - 1, that of a missing
            one is L, and that of a level not seen in training -1.

        Raises
        ------
        ValueError
            If a column that held numbers in training does not, or a group of columns is
            not one-hot, or for sparse rows.

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
        X = _merged(_framed(X), self.groups)
        table, told = np.empty(X.shape), []
        for j, name in enumerate(self.names):
            read = self._numbers if self.levels[j] is None else self._codes
            table[:, j], about = read(X.iloc[:, j], j)
            told += [f"{name!r}: {about}"] * bool(about)
        if is_new:
            _tell(told)
        return table

    def _numbers(self, column, j):
        try:
            return _as_numbers(column, self.notations[j])
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(
                f"Got column {self.names[j]!r} with values that are no numbers "
                f"({error}), but expected numbers, as in training."
            ) from error

    def _codes(self, column, j):
        """Codes of a column of categories, and what is to be told of it."""
        levels = self.levels[j]
        try:
            values = _Values(column)
        except TypeError as error:  # a list
            raise ValueError(
                f"Got column {self.names[j]!r} with values that are no levels "
                f"({error}), but expected those of a category, as in training."
            ) from error
        known = self._indices[j].get_indexer(pd.Index(values.values, dtype=object))
        occurs = values.counts > 0
        for i in np.flatnonzero(occurs & (known < 0)):
            known[i] = self._code_alike(values.values[i], j)
        if self.has_missing[j] and (known < 0).any():
            known[(known < 0) & values.are_missing] = len(levels)
        about = ""
        if occurs.any() and (known[occurs] < 0).all():
            about = (
                f"none of its values (such as {values.example(occurs)}) was seen in "
                "fit. They count as none of its levels."
            )
        return np.append(known, len(levels))[values.codes], about  # (found at -1)

    def _code_alike(self, value, j):
        """The code of the one level that is like a value, or -1."""
        by_key = self._codes_by_key[j]
        for key in (key_of(value), *other_keys_of(value)):
            if key in by_key:
                return by_key[key]
        return -1


def _by_key(levels):
    """The code of each level by its keys; -1 where several levels have the same."""
    own = [(key_of(level), code) for code, level in enumerate(levels)]
    others = [
        (k, code) for code, level in enumerate(levels) for k in other_keys_of(level)
    ]
    return _of_one_level(others) | _of_one_level(own)


def _of_one_level(pairs):
    times = Counter(key for key, _ in pairs)
    return {key: code if times[key] == 1 else -1 for key, code in pairs}


def _tell(told):
    if told:
        warnings.warn(
            "Got columns that are not read as they are:\n- " + "\n- ".join(told),
            UserWarning,
            stacklevel=_level_of_caller(),
        )


def _level_of_caller():
    """The stacklevel, in the function that asks, of who called this package."""
    frame, level, package = inspect.currentframe().f_back, 1, __name__.split(".")[0]
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level


def _framed(X):
    if isinstance(X, pd.DataFrame):
        return X
    X = np.asarray(X)
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


def _groups(X, categorical_features):
    """Positions of the columns of each group of one-hot columns."""
    names, groups = list(X.columns), []
    for group in categorical_features:
        if not isinstance(group, tuple):
            continue
        known = [
            names.index(c) if isinstance(c, str) and c in names else c for c in group
        ]
        unknown = [c for c in known if isinstance(c, str) or not 0 <= c < len(names)]
        if unknown:
            raise ValueError(
                f"Got categorical_features with {unknown} in a group, but expected "
                f"positions from 0 to {len(names) - 1}, or names among "
                f"{', '.join(map(repr, names[:20]))}."
            )
        groups.append(tuple(map(int, known)))
    positions = [position for group in groups for position in group]
    _refuse_twice({names[p] for p in positions if positions.count(p) > 1})
    of_groups = [str(names[p]) for p in positions]
    if len(set(of_groups)) < len(of_groups):
        raise ValueError(
            f"Got columns of one-hot groups ({', '.join(of_groups)}), some of which "
            "have the same name, but expected names that differ: those of the levels."
        )
    return groups


def _read_as(columns, groups):
    first = np.arange(len(columns))
    for group in groups:
        first[list(group)] = group[0]
    return np.unique(first, return_inverse=True)[1]


def _made_upstream(columns, groups):
    read_as = _read_as(columns, groups)
    return {int(read_as[group[0]]): group for group in groups}


def _refuse_both(X, declared, groups):
    of_groups = {position for group in groups for position in group}
    _refuse_twice({X.columns[p] for p in np.flatnonzero(declared) if p in of_groups})


def _refuse_twice(names):
    if names:
        raise ValueError(
            "Got columns in more than one place of categorical_features "
            f"({', '.join(sorted(map(str, names)))}), but expected each once."
        )


def _merged(X, groups):
    """Put a column of categories in the place of each group of one-hot columns.

    Its levels are the names of the columns; where none of them is 1 it is missing.
    """
    if not groups:
        return X
    of_group = {position: group for group in groups for position in group}
    names, columns = [], []
    for position, name in enumerate(X.columns):
        group = of_group.get(position)
        if group is None:
            names.append(name)
            columns.append(X.iloc[:, position])
        elif position == group[0]:
            names.append("/".join(str(X.columns[p]) for p in group))
            columns.append(_category_of(X.iloc[:, list(group)]))
    merged = pd.concat(columns, axis=1)
    merged.columns = names
    return merged


def _category_of(one_hot):
    """The category that one-hot columns stand for, as a series."""
    try:
        columns = [one_hot.iloc[:, k] for k in range(one_hot.shape[1])]
        values = np.column_stack([_as_numbers(c, None)[0] for c in columns])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"Got columns ({', '.join(map(str, one_hot.columns))}), which "
            "categorical_features has as a group of one-hot columns, with values that "
            f"are no numbers ({error}), but expected zeros and ones."
        ) from error
    wrong = ~((values == 0) | (values == 1)).all(axis=1) | (values.sum(axis=1) > 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Got row {row} with {values[row].tolist()} in the columns "
            f"({', '.join(map(str, one_hot.columns))}), which categorical_features has "
            "as a group of one-hot columns, but expected zeros and at most one 1."
        )
    codes = np.where(values.any(axis=1), values.argmax(axis=1), -1)
    levels = [str(name) for name in one_hot.columns]
    return pd.Series(pd.Categorical.from_codes(codes, levels), index=one_hot.index)


def _merged_mask(mask, groups):
    """The mask of `_merged` columns that hold categories."""
    inner = {position for group in groups for position in group[1:]}
    first = {group[0] for group in groups}
    return np.array(
        [mask[p] or p in first for p in range(len(mask)) if p not in inner], dtype=bool
    )


def _declared(X, categorical_features):
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
    if given.dtype.kind in "iu":
        unknown = given[(given < 0) | (given >= X.shape[1])].tolist()
        known = f"positions from 0 to {X.shape[1] - 1}"
        if not unknown:
            mask[given] = True
    else:
        names = list(X.columns)
        unknown = [name for name in categorical_features if name not in names]
        known = f"names among {', '.join(map(repr, names[:20]))}"
        mask = np.array([name in set(categorical_features) for name in names])
    if unknown:
        raise ValueError(
            f"Got categorical_features with {unknown}, but expected {known}."
        )
    return mask


class _Look(NamedTuple):
    """What a column was found to hold.

    Attributes
    ----------
    kind : str
        "number", "category", or what is refused.
    notation : str or None
        How numbers that came as text are written.
    told : str
        What the user is to be told, if it is accepted.
    """

    kind: str
    notation: str | None = None
    told: str = ""


_PLAIN = _Look("number")


def _look(column):
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return _PLAIN
    if _is_category(dtype):
        return _Look("category", told=_about_levels(_Values(column)))
    if types.is_complex_dtype(dtype):
        return _Look("complex")
    if types.is_numeric_dtype(dtype):  # of booleans, too
        return _Look("number")
    inferred = types.infer_dtype(column.astype(object), skipna=True)
    if inferred in _NUMBERS:
        return _Look("number")
    if inferred == "complex":
        return _Look("complex")
    if inferred in _DATES or types.is_datetime64_any_dtype(dtype):
        return _Look("date")
    if inferred != "string" and not all(map(types.is_scalar, column)):
        return _Look("object")
    return _look_at_values(_Values(column))


def _is_category(dtype):
    arrow = isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("dictionary")
    return arrow or isinstance(dtype, pd.CategoricalDtype)


_NUMBERS = {"boolean", "decimal", "floating", "integer", "mixed-integer-float"}
_DATES = {
    "date",
    "datetime",
    "datetime64",
    "period",
    "time",
    "timedelta",
    "timedelta64",
}


class _Values:
    """The distinct values of a column, by their codes, and how often each occurs.

    Missing ones have the code -1, and are none of them.
    """

    def __init__(self, column):
        self.codes, self.values = _factorized(column)
        counts = np.bincount(self.codes + 1, minlength=len(self.values) + 1)
        self.n_missing, self.counts = counts[0], counts[1:]
        self._numbers = {}

    def _others_are(self, kind):
        """Mask of the values that are of a kind, and no strings."""
        mask = ~self.are_strings
        mask[mask] = [isinstance(value, kind) for value in self.values[mask]]
        return mask

    def of_strings(self, function, *args):
        """Mask of the values that are strings of which a mask of strings is true."""
        mask = np.zeros(len(self.values), dtype=bool)
        mask[self.are_strings] = function(self.values[self.are_strings], *args)
        return mask

    def occur(self, mask):
        """In how many rows the values of a mask are."""
        return self.counts[mask].sum()

    def example(self, mask):
        """The most frequent of the values of a mask, as Python writes it."""
        value = self.values[mask][np.argmax(self.counts[mask])]
        return str(value) if isinstance(value, np.floating) else repr(value)

    @cached_property
    def are_strings(self):
        return np.array([isinstance(value, str) for value in self.values], dtype=bool)

    @cached_property
    def are_real(self):
        return self._others_are((bool, np.bool_, Real, Decimal))

    @cached_property
    def are_complex(self):
        return self._others_are(Complex) & ~self.are_real

    @cached_property
    def are_missing(self):
        return self.of_strings(are_missing)

    def notation(self):
        """How numbers among the strings are written; None without strings."""
        strings = np.flatnonzero(self.are_strings)
        if len(strings) == 0:
            return None
        if len(strings) > MAX_DECIDING:
            some = np.linspace(0, len(strings) - 1, MAX_DECIDING).astype(int)
            strings = strings[some]
        return notation_of(self.values[strings], self.counts[strings])

    def numbers_of_strings(self, notation):
        """The numbers that strings are, float64; NaN for all other values."""
        if notation not in self._numbers:
            numbers, strings = np.full(len(self.values), np.nan), self.are_strings
            numbers[strings] = as_numbers(self.values[strings], notation)
            self._numbers[notation] = numbers
        return self._numbers[notation]

    def as_numbers(self, notation):
        """The numbers that values are, float64; NaN for those that are none."""
        numbers = self.numbers_of_strings(notation).copy()
        numbers[self.are_real] = [float(value) for value in self.values[self.are_real]]
        return numbers


def _look_at_values(values):
    """What a column of objects or strings holds, by its values."""
    strings, real, missing = values.are_strings, values.are_real, values.are_missing
    if values.are_complex.any():
        return _Look("complex")
    days = values.values[~missing] if strings.all() else []
    if len(days) >= MIN_DAYS and are_days_of_digits(days):
        return _Look("date")
    notation = values.notation()
    numbers = real.copy()
    if notation is not None:
        numbers |= ~np.isnan(values.numbers_of_strings(notation))
    n_present, n_numbers = values.occur(~missing), values.occur(numbers)
    codes = strings.all() and are_codes(values.values[numbers])
    nearly_all = NEARLY_ALL * n_present
    if n_numbers > 0 and n_numbers >= nearly_all and not codes:
        told = _about_numbers(values, numbers, notation)
        return _Look("number", notation, told)
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
    return _Look("category", told=_about_units(values) or _about_levels(values))


def _holds_dates(values, share):
    """Whether such a share of the values are dates, missing days apart."""
    dates, none = values.of_strings(are_dates), values.of_strings(are_no_days)
    n_dates = values.occur(dates & ~none)
    return 0 < n_dates >= share * values.occur(~values.are_missing & ~none)


def _are_measures(values):
    """Whether most strings are a number with something beside that others have, too."""
    units = units_of(values.values[values.are_strings][:MAX_DECIDING])
    known = [unit for unit in units if unit is not None]
    return 2 * len(known) > len(units) and 10 * len(set(known)) <= len(known)


def _about_units(values):
    """What is to be told of a category nearly all levels of which have one unit."""
    strings = values.are_strings & ~values.are_missing
    if strings.sum() <= MANY_MEASURES:
        return ""
    units = Counter(units_of(values.values[strings][:MAX_DECIDING]).tolist())
    (unit, times), n_units = units.most_common(1)[0], sum(units.values())
    if unit is None or times < NEARLY_ALL * n_units:
        return ""
    return (
        f"{strings.sum()} different strings that count as levels of a category, but "
        f"hold a number each with {unit!r} beside (such as {values.example(strings)}). "
        f"{_TAKE_AWAY}"
    )


def _about_numbers(values, numbers, notation):
    """What is to be told of a column that is read as numbers, if anything is."""
    told = []
    odd = values.of_strings(lambda of: ~are_plain(of)) & numbers
    if odd.any():
        first = values.example(odd)
        number = values.numbers_of_strings(notation)[odd]
        number = number[np.argmax(values.counts[odd])]
        told.append(f"numbers with a {notation}, {first} being {number:.12g}")
    lost = values.occur(~numbers)
    if lost:
        told.append(
            f"{lost} of {values.counts.sum()} values (such as "
            f"{values.example(~numbers)}) are no numbers and count as missing"
        )
    return "; ".join(told) + "." * bool(told)


def _about_levels(values):
    """What is to be told of a category whose kept levels are few of its values."""
    kept = np.sort(values.counts)[::-1][:MAX_CATEGORIES]
    if (
        len(kept) == MAX_CATEGORIES and values.n_missing > kept[-1]
    ):  # missing is one of them
        kept = kept[:-1]
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


def _is_text(values):
    """Whether strings are sentences rather than levels: most differ, in many words."""
    distinct = values.values
    if len(distinct) < 10 or 2 * len(distinct) <= values.counts.sum():
        return False
    return np.mean([len(value.split()) for value in distinct[:1000]]) >= 4


def _refuse(X, kinds, refused):
    """Name all columns that cannot be read, with the way out for each kind of them."""
    found = {
        kind: [str(X.columns[j]) for j in np.flatnonzero(kinds == kind)]
        for kind in refused
    }
    problems = [kind for kind, names in found.items() if names]
    if not problems:
        return
    lines = [
        f"- {_WAYS_OUT[kind][0]} ({', '.join(found[kind])}): {_WAYS_OUT[kind][1]}"
        for kind in problems
    ]
    error = TypeError if problems == ["object"] else ValueError
    raise error(
        "Got columns that a net cannot be given, but expected numbers or categories:\n"
        + "\n".join(lines)
    )


_LEVELS = (
    "Where each value stands for a level, name the column in categorical_features, or "
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
_WAYS_OUT = {
    "date": (
        "dates or times",
        f"Make numbers of them before: {_SKRUB}; skrub.DatetimeEncoder for one column, "
        f"and so do differences to a fixed day. Or drop them. {_LEVELS}",
    ),
    "text": (
        "free text",
        f"Make numbers of it before: {_SKRUB}; skrub.StringEncoder, or TfidfVectorizer "
        f"and TruncatedSVD, for one column. Or drop it. {_LEVELS}",
    ),
    "id": (
        "strings that are all different, as ids are",
        "They tell nothing of other rows, so drop them; where part of each tells "
        f"something, make a column of that part, or numbers: {_SKRUB}. {_LEVELS}",
    ),
    "measure": (
        "strings that are all different, and hold numbers with something beside, as "
        "units are",
        f"{_TAKE_AWAY} {_LEVELS}",
    ),
    "mixed": (
        "numbers and words side by side",
        "Where words stand for missing numbers, replace them, for example by "
        f"pandas.to_numeric(column, errors='coerce'). {_LEVELS}",
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
    "category": (
        "no numbers",
        "Name them in categorical_features, or leave that at 'from_dtype'.",
    ),
}


def _as_numbers(column, notation):
    """A column as numbers, float64, NaN where missing, and what is to be told of it."""
    dtype = column.dtype
    if types.is_complex_dtype(dtype):
        raise ValueError("Complex data not supported")
    if types.is_numeric_dtype(dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), ""
    inferred = types.infer_dtype(column.astype(object), skipna=True)
    if inferred in _DATES or types.is_datetime64_any_dtype(dtype):
        raise ValueError("dates or times")
    if inferred in _NUMBERS:
        numbers = column.astype(object).convert_dtypes()
        return numbers.to_numpy(dtype=np.float64, na_value=np.nan), ""
    values = _Values(column)
    numbers = values.as_numbers(notation or NOTATIONS[0])
    if notation is None:  # as Python has it
        words = np.isnan(numbers) & values.are_strings
        numbers[words] = as_booleans(values.values[words])
    no_number, missing = np.isnan(numbers), values.are_missing
    wrong = no_number & ~missing & (values.counts > 0)
    if 2 * values.occur(wrong) > values.occur(~missing):
        raise ValueError(f"such as {values.example(wrong)}")
    about, lost = [], values.occur(no_number)
    if lost:
        about.append(
            f"{lost} of {values.counts.sum()} values (such as "
            f"{values.example(no_number)}) are no numbers and count as missing."
        )
    if notation == NOTATIONS[-1]:
        about += _about_points(values, ~no_number)
    return np.append(numbers, np.nan)[values.codes], " ".join(about)


def _about_points(values, numbers):
    """What is to be told where a decimal comma is in force, but points may be such."""
    has = [[mark in s for s in values.values[values.are_strings]] for mark in ",."]
    commas, points = [values.of_strings(lambda _, m=mask: m) for mask in has]
    points &= numbers & (values.counts > 0)
    several = points & np.isnan(values.numbers_of_strings(NOTATIONS[0]))
    if commas.any() or several.any() or not points.any():
        return []
    example = values.example(points)
    read = values.numbers_of_strings(NOTATIONS[-1])[points]
    read = read[np.argmax(values.counts[points])]
    return [
        f"numbers with a decimal comma, as in fit: {example} is {read:.12g}, since "
        "points are between thousands."
    ]


def _factorized(column):
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


def _as_objects(values, dtype):
    """Values of a dtype as an array of objects; numbers of few bits stay such."""
    few_bits = isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8
    if not few_bits:
        return np.asarray(values, dtype=object)
    return np.array([dtype.type(value) for value in values] + [None], dtype=object)[:-1]


def _levels(column):
    codes, values = _factorized(column)
    present = values[np.unique(codes[codes >= 0])]
    # Levels of several types have an order, too, whichever row comes first.
    try:
        levels = sorted(present, key=lambda value: (type(value).__name__, value))
    except TypeError:  # tuples of a number and of a word
        levels = sorted(present, key=lambda value: (type(value).__name__, repr(value)))
    in_order = np.empty(len(levels), dtype=object)
    for code, level in enumerate(levels):
        in_order[code] = level
    return in_order
