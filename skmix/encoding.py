"""Columns as nets want them: numbers, indicators of missing ones, and categories.

Two steps. A `Reader` turns any table into one array of numbers, in which a level of a
category is a code; it knows what columns hold, and no statistics. A `TableEncoder`
learns those from training rows and their weights, and makes of that array what a net
gets.
"""

from dataclasses import dataclass
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import gen_batches

BLOCK_CELLS = 2**20  # 8 MiB of float64

# Levels of a category that have a column, or a code, of their own; by frequency.
MAX_CATEGORIES = 50

# Pieces of a number, of about as many rows each.
MAX_BINS = 16


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
    if len(set(positions)) < len(positions):
        twice = {str(names[p]) for p in positions if positions.count(p) > 1}
        raise ValueError(
            f"Got columns in more than one place of the groups of categorical_features "
            f"({', '.join(sorted(twice))}), but expected each once."
        )
    return groups


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
    values = one_hot.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~((values == 0) | (values == 1)).all(axis=1) | (values.sum(axis=1) > 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Got row {row} with {values[row].tolist()} in the columns "
            f"({', '.join(map(str, one_hot.columns))}), which categorical_features has as "
            "a group of one-hot columns, but expected zeros and at most a single one."
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


class TableEncoder:
    """Makes of numbers and codes what a net gets.

    Parameters
    ----------
    reader : Reader
    scale : bool
        Whether numbers are brought to a common scale, and outliers drawn in: ``z`` is
        the distance from the median in interquartile ranges, and the net gets
        ``z / sqrt(1 + (z / 3) ** 2)`` (robust scaling and smooth clipping of
        Holzmüller et al. 2024, https://arxiv.org/abs/2407.04491).
    as_dict : bool
        Whether a net gets ``{"x_num": ..., "x_cat": ...}``, categories as codes, and
        not one array, categories one-hot.

    Attributes
    ----------
    n_columns_ : int
        Columns of the array.
    n_num_features_ : int
        Columns of numbers, indicators of missing ones included where `as_dict`.
        Without, they are the first ones of the array.
    cat_cardinalities_ : list of int
        Number of codes of each column of categories.
    bins_ : list of ndarray of shape (n_edges,)
        Quantiles of each number, in the scale of the array, increasing; at least 3
        and at most ``MAX_BINS + 1``. None where numbers are not scaled.

    Notes
    -----
    Numbers come first, in the order of the table. Missing ones become the median, and
    a column that has some in training gets an indicator. Each column of categories
    keeps its `MAX_CATEGORIES` most frequent levels, a missing value being a level like
    others; what is rare, or not seen in training, is none of them: all zeros, or
    code 0.
    """

    def __init__(self, reader, *, scale, as_dict=False):
        self.reader = reader
        self.scale = scale
        self.as_dict = as_dict

    def fit(self, table, weight=None):
        """Learn from a table of numbers and codes, as `Reader.read` makes it.

        Parameters
        ----------
        table : ndarray of shape (n, d)
        weight : ndarray of shape (n,), default=None

        Returns
        -------
        self : TableEncoder
        """
        categorical = self.reader.categorical
        self._numbers, self._categories = map(
            np.flatnonzero, (~categorical, categorical)
        )
        spread = [_spread(table[:, j], weight) for j in self._numbers]
        self.center_, self.scale_, missing = np.reshape(spread, (-1, 3)).T
        self._indicated = np.flatnonzero(missing)
        self.bins_ = [
            _distinct(self._scaled(_edges(table[:, column], weight), j))
            for j, column in enumerate(self._numbers if self.scale else ())
        ]
        kept = [
            _most_frequent(table[:, j], self.reader.levels[j], weight)
            for j in self._categories
        ]
        self._one_hot = None
        if kept:
            # (Levels are known from here on; the encoder only checks their form.)
            self._one_hot = OneHotEncoder(
                categories=kept, handle_unknown="ignore", sparse_output=False
            )
            self._one_hot.set_output(transform="default")
            self._one_hot.fit(np.array([[codes[0] for codes in kept]]))
        self.cat_cardinalities_ = [len(codes) + 1 for codes in kept]
        self.n_num_features_ = len(self._numbers)
        self.n_columns_ = len(self._numbers) + len(self._indicated)
        if self.as_dict:
            self.n_num_features_ = self.n_columns_
        else:
            self.n_columns_ += sum(map(len, kept))
        return self

    def transform(self, X):
        """Encode a table like that of `fit`, as the user has it.

        Parameters
        ----------
        X : pandas or polars frame, or array-like of shape (n, d)

        Returns
        -------
        encoded : ndarray of shape (n, n_columns), or dict of such, float64 and int64
        """
        columns = self.reader.columns
        names = [str(name) for name in getattr(X, "columns", columns)]
        X = as_frame(X)
        if np.shape(X)[1] != len(columns) or names != columns:
            raise ValueError(
                f"Got a table of {np.shape(X)[1]} columns ({', '.join(names)}), but "
                f"expected those of training ({', '.join(columns)})."
            )
        return self.encode(self.reader.read(X))

    def encode(self, table, dtype=np.float64):
        """Encode a table of numbers and codes, a block of rows at a time.

        Parameters
        ----------
        table : {ndarray, CSR matrix or array} of shape (n, d)
        dtype : numpy dtype, default=numpy.float64
            Of the numbers.

        Returns
        -------
        encoded : ndarray of shape (n, n_columns), or dict of such
        """
        n_rows = table.shape[0]
        numbers = len(self._numbers) + len(self._indicated)
        encoded = np.empty((n_rows, self.n_columns_), dtype=dtype)
        codes = np.empty((n_rows, len(self._categories)), dtype=np.int64)
        for rows in gen_batches(n_rows, max(1, BLOCK_CELLS // table.shape[1])):
            block = table[rows].toarray() if sparse.issparse(table) else table[rows]
            encoded[rows, :numbers] = self._encoded_numbers(block[:, self._numbers])
            if self._one_hot is not None:
                hot = self._one_hot.transform(block[:, self._categories])
                if self.as_dict:
                    codes[rows] = _codes_of_one_hot(hot, self.cat_cardinalities_)
                else:
                    encoded[rows, numbers:] = hot
        return {"x_num": encoded, "x_cat": codes} if self.as_dict else encoded

    def _encoded_numbers(self, x):
        x = x.astype(np.float64)
        missing = np.isnan(x)
        indicators = missing[:, self._indicated]
        x = np.where(missing, self.center_, x)
        return np.hstack([self._scaled(x) if self.scale else x, indicators])

    def _scaled(self, x, columns=slice(None)):
        with np.errstate(over="ignore", invalid="ignore"):
            z = (x - self.center_[columns]) * self.scale_[columns]
        z = np.nan_to_num(z, nan=0, posinf=1e150, neginf=-1e150)  # nan: infinity * 0
        return z / np.hypot(1, z / 3)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the columns that a net gets, as scikit-learn's encoders name them.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of shape (n_columns,), dtype object
        """
        names = np.array(self.reader.names, dtype=object)
        numbers = list(names[self._numbers])
        numbers += [f"missingindicator_{numbers[j]}" for j in self._indicated]
        if self.as_dict or self._one_hot is None:
            return np.array([*numbers, *names[self._categories]], dtype=object)
        hot = [
            self._name_of(j, int(code))
            for j, codes in zip(self._categories, self._one_hot.categories, strict=True)
            for code in codes
        ]
        return np.array([*numbers, *hot], dtype=object)

    def _name_of(self, j, code):
        """Name of the one-hot column of a level of column `j`."""
        name, levels = self.reader.names[j], self.reader.levels[j]
        if code == len(levels):
            return f"{name}_nan"
        made_upstream = "/".join(levels) == name if self.reader.groups else False
        return levels[code] if made_upstream else f"{name}_{levels[code]}"

    @property
    def columns_(self):
        """For each column that a net gets, the number of the table's column it is of.

        An array of shape (n_columns,), or a dict of such; columns of a group of one-hot
        columns count as one.
        """
        numbers = np.r_[self._numbers, self._numbers[self._indicated]]
        if self.as_dict:
            return {"x_num": numbers, "x_cat": self._categories}
        hot = np.repeat(self._categories, np.array(self.cat_cardinalities_, int) - 1)
        return np.r_[numbers, hot].astype(int)

    @property
    def numeric_(self):
        """Mask of the columns that a net gets which are numbers, like `columns_`."""
        numbers = np.arange(len(self._numbers) + len(self._indicated))
        numbers = numbers < len(self._numbers)
        if self.as_dict:
            return {"x_num": numbers, "x_cat": np.zeros(len(self._categories), bool)}
        return np.append(numbers, np.zeros(self.n_columns_ - len(numbers), bool))


def _codes_of_one_hot(hot, cardinalities):
    """Codes of one-hot columns, side by side: 1 for the first level, 0 for none."""
    ends = np.cumsum(np.array(cardinalities) - 1)
    parts = np.split(hot, ends[:-1], axis=1)
    ranks = [part @ np.arange(1, part.shape[1] + 1) for part in parts]
    return np.stack(ranks, axis=1).astype(np.int64)


def _spread(x, weight):
    """Median, one over the interquartile range, and whether numbers are missing.

    Where the quartiles are equal it is half the range that counts, and 0 stands for
    a constant column.
    """
    missing = np.isnan(x).any()
    if np.isnan(x).all():
        return 0.0, 0.0, False  # nothing is known, and missing is no news
    low, q1, median, q3, high = _quantiles(x, [0, 0.25, 0.5, 0.75, 1], weight)
    half = q3 / 2 - q1 / 2 if q3 > q1 else high / 4 - low / 4  # none overflows
    with np.errstate(over="ignore", divide="ignore"):
        factor = 0.5 / half if half > 0 else 0.0
    return median, factor if np.isfinite(factor) else 0.0, missing


def _quantiles(x, q, weight):
    """Quantiles of the numbers that are not missing."""
    present = ~np.isnan(x)
    if not present.all():
        x, weight = x[present], None if weight is None else weight[present]
    # The one definition by which weights count as copies. A share of the weight that is
    # just q may be rounded to either side of it, so let it count as reached.
    q = np.maximum(np.asarray(q) - 1e-9, 0)
    x = x.astype(np.float64, copy=False)
    return np.quantile(x, q, weights=weight, method="inverted_cdf")


def _edges(x, weight):
    if np.isnan(x).all():
        return np.zeros(1)
    return _quantiles(x, np.linspace(0, 1, MAX_BINS + 1), weight)


def _distinct(edges):
    """Edges that increase, in float32 too; two pieces at least."""
    edges = np.unique(edges.astype(np.float32))
    if len(edges) == 2:
        edges = np.unique(np.insert(edges, 1, edges.mean()))
    if len(edges) < 3:  # constant, or as good as that
        edges = edges[0] + max(1, abs(edges[0])) * np.array([0, 0.5, 1])
    return edges.astype(np.float32)


def _most_frequent(codes, levels, weight):
    """The codes of the most frequent levels, in ascending order."""
    counts = np.bincount(codes.astype(np.intp), weight, minlength=len(levels) + 1)
    order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    return np.sort(order[counts[order] > 0]).astype(np.float64)


def learn_encoder(X, reader, weight=None, *, scale, as_dict=False):
    """Learn from training rows how a net of the default kind, or any, gets them.

    Parameters
    ----------
    X : {ndarray, CSR matrix or array} of shape (n, d)
        Numbers and codes.
    reader : Reader
    weight : ndarray of shape (n,), default=None
    scale, as_dict : bool
        As in `TableEncoder`.

    Returns
    -------
    encoder : TableEncoder, or sklearn.preprocessing.StandardScaler
        For sparse rows the latter, which leaves zeros as they are.
    """
    if sparse.issparse(X):
        scaler = StandardScaler(with_mean=False).set_output(transform="default")
        return scaler.fit(X, sample_weight=weight)
    return TableEncoder(reader, scale=scale, as_dict=as_dict).fit(X, weight)
