"""What the columns of a table hold, and its cells as numbers and codes.

A `Reader` turns any table into one array of numbers, in which a level of a category is
a code; it knows what columns hold, and no statistics.
"""

from dataclasses import dataclass
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse


def as_frame(X):
    """Return a table of mixed columns as a pandas frame, other things as they are."""
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "to_pandas") and hasattr(X, "columns"):  # polars and others
        return _keep_strings(X.to_pandas(), X)
    if isinstance(X, list | tuple) and np.asarray(X, dtype=object).ndim == 2:
        frame = pd.DataFrame(list(X))
        return X if all(map(types.is_numeric_dtype, frame.dtypes)) else frame
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUTmM":
        numbers = X.dtype.kind in "OmM"
        return pd.DataFrame(X).infer_objects() if numbers else _of_strings(X)
    return X


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
    """

    columns: list
    groups: list
    names: list
    levels: list

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
        kinds = np.array([_kind(X.iloc[:, j]) for j in range(X.shape[1])])
        categorical, refused = kinds == "category", ["date", "text", "mixed", "object"]
        if declared is not None:
            categorical = declared
            kinds = np.where(declared & (kinds != "object"), "declared", kinds)
            refused.append("category")
        _refuse(X, kinds, refused)
        levels = [
            _levels(X.iloc[:, j]) if is_category else None
            for j, is_category in enumerate(categorical)
        ]
        for j, group in _made_upstream(columns, groups).items():
            levels[j] = np.array([columns[p] for p in group], dtype=object)
        return cls(columns, groups, [str(name) for name in X.columns], levels)

    @classmethod
    def of_numbers(cls, n_columns):
        """Know that columns without names hold numbers."""
        names = [f"x{j}" for j in range(n_columns)]
        return cls(names, [], names, [None] * n_columns)

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

    def read(self, X):
        """Return the table as numbers, levels being codes.

        Parameters
        ----------
        X : pandas.DataFrame or ndarray of shape (n, d)

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
        """
        if sparse.issparse(X):
            raise ValueError(
                "Got a sparse table, but expected a dense one: there were columns of "
                "categories in training. Make an array or a frame of it."
            )
        X = _merged(_framed(X), self.groups)
        table = np.empty(X.shape)
        for j, levels in enumerate(self.levels):
            column = X.iloc[:, j]
            table[:, j] = (
                self._numbers(column, j) if levels is None else _codes(column, levels)
            )
        return table

    def _numbers(self, column, j):
        try:
            return _as_numbers(column)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(
                f"Got column {self.names[j]!r} with values that are no numbers "
                f"({error}), but expected numbers, as in training."
            ) from error


def _framed(X):
    if isinstance(X, pd.DataFrame):
        return X
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
        values = one_hot.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
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


def _kind(column):
    """What a column holds: "number", "category", or what is refused."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if types.is_numeric_dtype(dtype):  # of booleans, too
        return "object" if types.is_complex_dtype(dtype) else "number"
    inferred = types.infer_dtype(column.astype(object), skipna=True)
    if inferred in _DATES or types.is_datetime64_any_dtype(dtype):
        return "date"
    if inferred == "string" or isinstance(dtype, pd.StringDtype):
        return "text" if _is_text(column) else "category"
    return _kind_of_objects(column.dropna())


_DATES = {
    "date",
    "datetime",
    "datetime64",
    "period",
    "time",
    "timedelta",
    "timedelta64",
}


def _kind_of_objects(present):
    """What the values of an object column are, none of them missing."""
    if not all(map(types.is_scalar, present)):
        return "object"
    numbers = [isinstance(value, bool | np.bool_ | Real | Decimal) for value in present]
    if not any(numbers):  # nothing, where all are missing
        strings = all(isinstance(value, str) for value in present)
        return "category" if strings else "object"
    if all(numbers):
        return "number"
    return "mixed" if 2 * sum(numbers) >= len(numbers) else "category"


def _is_text(column):
    """Whether strings are sentences rather than levels: most differ, in many words."""
    present = column.dropna()
    distinct = present.unique()
    if len(distinct) < 10 or 2 * len(distinct) <= len(present):
        return False
    return np.mean([len(str(value).split()) for value in distinct[:1000]]) >= 4


def _refuse(X, kinds, refused):
    found = {
        kind: [str(X.columns[j]) for j, k in enumerate(kinds) if k == kind]
        for kind in refused
    }
    for kind, names in found.items():
        if names:
            what, way_out = _WAYS_OUT[kind]
            error = TypeError if kind == "object" else ValueError
            raise error(
                f"Got columns that hold {what} ({', '.join(names)}), but expected "
                f"numbers or categories. {way_out}"
            )


_WAYS_OUT = {
    "date": (
        "dates or times",
        "Make numbers of them in a Pipeline before this estimator, for example with "
        "skrub.DatetimeEncoder, or by differences to a fixed day; or drop them.",
    ),
    "text": (
        "free text",
        "Make numbers of it in a Pipeline before this estimator, for example with "
        "skrub.StringEncoder, or TfidfVectorizer and TruncatedSVD; or drop it. Where "
        "each string stands for a level, name the column in categorical_features, or "
        "give it the dtype 'category'.",
    ),
    "mixed": (
        "numbers and words side by side",
        "Where words stand for missing numbers, replace them, for example by "
        "pandas.to_numeric(column, errors='coerce'). Where all are levels, name the "
        "column in categorical_features.",
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


def _as_numbers(column):
    if column.dtype == object:
        column = column.convert_dtypes()
    if _kind(column) == "date":
        raise ValueError("dates or times")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _factorized(column):
    """Codes of a column, -1 where missing, and the values that they stand for."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, categories = column.cat.codes.to_numpy(), column.cat.categories
        return codes, np.asarray(categories, dtype=object)
    codes, values = pd.factorize(column.astype(object))
    return codes, np.asarray(values, dtype=object)


def _levels(column):
    codes, values = _factorized(column)
    present = values[np.unique(codes[codes >= 0])]
    # Levels of several types have an order, too, whichever row comes first.
    levels = sorted(present, key=lambda value: (type(value).__name__, value))
    return np.array([*levels, None], dtype=object)[:-1]


def _codes(column, levels):
    codes, values = _factorized(column)
    known = pd.Index(levels, dtype=object).get_indexer(pd.Index(values, dtype=object))
    return np.append(known, len(levels))[codes]  # the last one is found at -1
