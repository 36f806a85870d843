"""From a table of any dtypes to the numbers that a net gets.

A `TableEncoder` finds out what the columns hold, learns medians, scales and the most
frequent categories from training rows and their weights, and encodes any table like
that.
"""

from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags, check_array, check_X_y
from sklearn.utils.validation import check_is_fitted, validate_data

from skmix._tables.dtypes import MAX_CATEGORIES, ColumnReader, as_frame
from skmix._training.skorch_compat import narrowed
from skmix._validation import (
    FARTHEST,
    check_categorical_features,
    check_finite_columns,
    check_sample_weight,
)

__all__ = ["TableEncoder"]

# Rows are encoded in blocks of so many cells, 8 MiB of float64.
BLOCK_CELLS = 2**20

# Standard deviations, of a sparse column, beyond which numbers are not told apart.
FAR = 1e6

# A share that is 1 but for rounding.
SAME = 1e-6

# What `TableEncoder.fit` sets, as `skmix.save` stores it.
FITTED = (
    *("reader_", "n_features_in_", "feature_names_in_", "_sparse_scaler", "_numbers"),
    *("_categories", "center_", "scale_", "_indicated", "_empty", "bins_", "_kept"),
    "_n_missing",
)

# Pieces of a number, of about as many rows each.
MAX_BINS = 16
SHORTEST = 1e-30  # piece of a number, in its own scale


class TableEncoder(TransformerMixin, BaseEstimator):
    """Encode a table of any dtypes as the numbers that a net gets.

    Missing numbers become the median, and numbers are brought to a common scale.
    Categories become one-hot columns.

    Parameters
    ----------
    categorical_features : "from_dtype", array-like of str, int or bool, or None, \
            default="from_dtype"
        Which columns hold categories:

        - "from_dtype": columns of strings that are no numbers, and of a categorical
          dtype;
        - names, positions or a mask: these columns, and no others;
        - None: no column.
    scale : bool, default=True
        Whether numbers are brought to a common scale, and outliers drawn in: ``z`` is
        the distance from the median in interquartile ranges, and the output is
        ``z / sqrt(1 + (z / 3) ** 2)``. This is robust scaling and smooth clipping of
        Holzmüller et al. (2024), with weights. Columns of sparse tables are divided by
        their standard deviation, so that zeros stay zeros.
    as_dict : bool, default=False
        Whether the output is ``{"x_num": ..., "x_cat": ...}``, categories as codes,
        instead of one array with categories one-hot. `set_output` is for arrays.
    dtype : numpy dtype, default=numpy.float32
        Of the numbers of the output.

    Attributes
    ----------
    reader_ : skmix._tables.dtypes.ColumnReader
        What each column of the table holds.
    n_columns_ : int
        Columns of the output, of ``x_num`` with `as_dict`.
    n_num_features_ : int
        Columns of the output that hold numbers. They come first. With `as_dict` the
        indicators of missing values are among them.
    cat_cardinalities_ : list of int
        Number of codes of each column of categories.
    bins_ : list of ndarray of shape (n_edges,), float32
        Quantiles of each number, in the scale of the output, increasing; at least 3
        and at most 17. Empty where numbers are not scaled, and for sparse tables.
    center_ : ndarray of shape (n_numbers,), float64
        Median of each number.
    scale_ : ndarray of shape (n_numbers,), float64
        Factor by which the distance of each number from the median is multiplied.
    columns_ : ndarray of shape (``n_columns_``,), int, or dict of these
        Position of the column of the table that each column of the output is made of.
    numeric_ : ndarray of shape (``n_columns_``,), bool, or dict of these
        Which columns of the output are numbers, and no codes nor indicators.
    takes_missing_ : bool
        Whether numbers may be missing: not if the table of `fit` was sparse.
    n_features_in_ : int
        Columns of the table.
    feature_names_in_ : ndarray of shape (``n_features_in_``,), object
        Names of the columns, if all of them are strings.

    See Also
    --------
    skmix.MixupClassifier : Encodes the table by itself, and has this as ``encoder_``.
    sklearn.compose.ColumnTransformer : Other encoders for some columns.

    Notes
    -----
    Numbers come first, in the order of the table, and then an indicator for each number
    that has missing values in training. Each column of categories keeps the 50
    categories with the most rows, a missing value being a category like others. Rarer
    categories, and categories not seen in training, become all zeros, or code 0.

    Rows of weight 0 do not count, and integer weights count as copies.

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by Default: Strong Pre-Tuned
    MLPs and Boosted Trees on Tabular Data", NeurIPS 2024,
    https://arxiv.org/abs/2407.04491

    Examples
    --------
    >>> import pandas as pd
    >>> from skmix.preprocessing import TableEncoder
    >>> X = pd.DataFrame({"size": [1, 2, None, 4], "hue": ["red", "blue", "red", None]})
    >>> encoder = TableEncoder().set_output(transform="pandas")
    >>> encoder.fit_transform(X).round(2)
       size  missingindicator_size  hue_blue  hue_red  hue_nan
    0 -0.33                    0.0       0.0      1.0      0.0
    1  0.00                    0.0       1.0      0.0      0.0
    2  0.00                    1.0       0.0      1.0      0.0
    3  0.65                    0.0       0.0      0.0      1.0
    """

    def __init__(
        self,
        categorical_features: Any = "from_dtype",
        *,
        scale: bool = True,
        as_dict: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        self.categorical_features = categorical_features
        self.scale = scale
        self.as_dict = as_dict
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn what columns hold, their medians, scales and frequent categories.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features)
            A frame of pandas or polars, an array, or a list of rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : TableEncoder

        Raises
        ------
        ValueError, TypeError
            If `categorical_features` does not fit the table, or a column holds neither
            numbers nor categories, or infinity; or for a sparse table with missing
            values or `as_dict`.

        Warns
        -----
        UserWarning
            If values are not read as they are: strings as numbers, or as missing, or
            categories most of which are too rare to be kept.
        """
        check_categorical_features(self.categorical_features)
        X = as_frame(X)
        reader = ColumnReader.fit(X, self.categorical_features)
        table = validate_table(self, X, reader=reader, reset=True)
        weight = check_sample_weight(sample_weight, np.empty(table.shape[0]))
        if weight is not None:
            table, weight = table[weight > 0], weight[weight > 0]
            if len(weight) == 0:
                raise ValueError(
                    "Got a sample_weight of zeros, but expected a positive weight."
                )
        return self.fit_table(table, reader, weight)

    def fit_table(
        self, table: Any, reader: ColumnReader, weight: np.ndarray | None = None
    ) -> Self:
        """Learn from a table of numbers and codes.

        So one reader serves many encoders, each fitted on some of the rows.

        Parameters
        ----------
        table : {ndarray, CSR matrix or array} of shape (n_samples, n_features)
            As `reader` makes it.
        reader : skmix._tables.dtypes.ColumnReader
            `categorical_features` is not looked at.
        weight : ndarray of shape (n_samples,), default=None
            Positive weights.

        Returns
        -------
        self : TableEncoder

        Raises
        ------
        ValueError
            For a sparse table with `as_dict`.
        """
        self.reader_, self.n_features_in_ = reader, len(reader.columns)
        self.__dict__.pop("feature_names_in_", None)
        if reader.has_names:
            self.feature_names_in_ = np.array(reader.columns, dtype=object)
        self._sparse_scaler: Any = None
        if sparse.issparse(table):
            return self._fit_sparse(table, weight)
        self._numbers = np.flatnonzero(~reader.categorical)
        self._categories = np.flatnonzero(reader.categorical)
        spread = [_spread(table[:, j], weight) for j in self._numbers]
        self.center_, self.scale_, missing = np.reshape(spread, (-1, 3)).T
        self._indicated = np.flatnonzero(missing)
        self._empty = [np.isnan(table[:, j]).all() for j in self._numbers]
        self.bins_ = [
            increasing_edges(self._scaled(quantile_edges(table[:, column], weight), j))
            for j, column in enumerate(self._numbers if self.scale else ())
        ]
        sizes = {j: len(reader.categories[j]) for j in self._categories}
        self._kept = [_most_frequent(table[:, j], sizes[j], weight) for j in sizes]
        self._n_missing = np.isnan(table).sum(axis=0)
        for j, size in sizes.items():
            self._n_missing[j] = (table[:, j] == size).sum()
        return self

    def _fit_sparse(self, table: Any, weight: np.ndarray | None) -> Self:
        """Learn the scale of the columns of a sparse table, all of them numbers."""
        if self.as_dict:
            raise ValueError(
                "Got a sparse table for a TableEncoder with as_dict=True, but expected "
                "a dense one. Make an array or a frame of it."
            )
        scaler = StandardScaler(with_mean=False, with_std=bool(self.scale))
        self._sparse_scaler = scaler.set_output(transform="default")
        with np.errstate(over="ignore", invalid="ignore"):
            self._sparse_scaler.fit(table, sample_weight=weight)
        if self.scale:
            _rescale_extremes(scaler, table, weight)
        self._numbers, self._categories = np.arange(self.n_features_in_), np.arange(0)
        self._indicated, self._kept, self.bins_ = np.arange(0), [], []
        self._empty = [False] * self.n_features_in_
        self.center_ = np.full(self.n_features_in_, np.nan)  # nothing is imputed
        self.scale_ = 1 / scaler.scale_ if self.scale else np.ones(self.n_features_in_)
        self._n_missing = np.zeros(self.n_features_in_, dtype=int)
        return self

    def transform(self, X: Any) -> Any:
        """Encode a table like that of `fit`.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features)

        Returns
        -------
        encoded : ndarray of shape (n_samples, ``n_columns_``), of `dtype`
            A CSR matrix or array for sparse tables, if that of `fit` was sparse. With
            `as_dict` a dict of ``x_num``, of `dtype`, and ``x_cat``, int64.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are others than in `fit`; if a column that held numbers does
            not; or for infinity.

        Warns
        -----
        UserWarning
            If values of a column of numbers are none and count as missing, or none of
            the values of a category was seen in `fit`.
        """
        check_is_fitted(self)
        X = as_frame(X)
        options: dict[str, Any] = {"allow_nan": self.takes_missing_, "reset": False}
        return self.encode(validate_table(self, X, reader=self.reader_, **options))

    def encode(self, table: Any) -> Any:
        """Encode a table of numbers and codes, a block of rows at a time.

        Parameters
        ----------
        table : {ndarray, CSR matrix or array} of shape (n_samples, n_features)
            As `reader_` makes it.

        Returns
        -------
        encoded : ndarray, CSR matrix or array, or dict
            As `transform` returns it.
        """
        if self._sparse_scaler is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # of sums of huge ones
                scaled = self._sparse_scaler.transform(table)
            if self.scale:  # held-out rows may lie anywhere
                numbers = scaled.data if sparse.issparse(scaled) else scaled
                np.clip(numbers, -FAR, FAR, out=numbers)
            return narrowed(scaled, self.dtype)
        n_rows, n_numbers = table.shape[0], len(self._numbers) + len(self._indicated)
        encoded = np.empty((n_rows, self.n_columns_), dtype=self.dtype)
        codes = np.empty((n_rows, len(self._categories)), dtype=np.int64)
        # (sklearn's `gen_batches` would take a tenth of the time of one row.)
        n_at_once = max(1, BLOCK_CELLS // table.shape[1])
        for first in range(0, n_rows, n_at_once):
            rows = slice(first, first + n_at_once)
            block = table[rows].toarray() if sparse.issparse(table) else table[rows]
            encoded[rows, :n_numbers] = self._encoded_numbers(block[:, self._numbers])
            start = n_numbers
            for c, (j, kept) in enumerate(
                zip(self._categories, self._kept, strict=True)
            ):
                hot = block[:, j, None] == kept
                if self.as_dict:
                    codes[rows, c] = hot @ np.arange(1, len(kept) + 1)
                else:
                    encoded[rows, start : start + len(kept)] = hot
                    start += len(kept)
        return {"x_num": encoded, "x_cat": codes} if self.as_dict else encoded

    def _encoded_numbers(self, x: np.ndarray) -> np.ndarray:
        """Numbers imputed and scaled, and indicators of missing ones."""
        x = x.astype(np.float64)
        missing = np.isnan(x)
        indicators = missing[:, self._indicated]
        x = np.where(missing, self.center_, x)
        return np.hstack([self._scaled(x) if self.scale else x, indicators])

    def _scaled(self, x: np.ndarray, columns: Any = slice(None)) -> np.ndarray:
        """Numbers of some columns in the scale of the output."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = (x - self.center_[columns]) * self.scale_[columns]
        # (Infinity * 0 is NaN, and becomes 0.)
        z = np.nan_to_num(z, nan=0, posinf=FARTHEST, neginf=-FARTHEST)
        return np.asarray(z / np.hypot(1, z / 3))

    def inverse_transform(self, encoded: Any) -> pd.DataFrame:
        """Decode rows into the columns and units of the table, mixed rows among them.

        Parameters
        ----------
        encoded : array, sparse or not, of shape (n_samples, ``n_columns_``), or dict
            As `transform` returns it, or mixed from such rows.

        Returns
        -------
        table : pandas.DataFrame of shape (n_samples, ``n_features_in_``)
            Columns have the names and the order of the table.

            - A number is float64, scaled back. It is NaN where it is wholly missing
              (its indicator is 1); a missing number that is mixed with another one
              counts as the median, as it does for the net.
            - A category is its value, as in the table; NaN if that is missing, and None
              if it had no column of its own (it is rare, or was not seen in `fit`).
              Where the columns of a category are not one-hot, a dict has the share of
              each value, such as ``{"a": 0.7, "b": 0.3}``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `encoded` has another number of columns.

        Notes
        -----
        Numbers are as exact as the encoding was: in float32, to seven digits near the
        median, and to fewer far out, where `scale` has drawn them in.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmix.preprocessing import TableEncoder
        >>> X = pd.DataFrame({"size": [1.0, 2.0, None], "hue": ["red", "blue", "red"]})
        >>> encoder = TableEncoder(dtype="float64").fit(X)
        >>> Z = encoder.transform(X)
        >>> encoder.inverse_transform(Z)
           size   hue
        0   1.0   red
        1   2.0  blue
        2   NaN   red
        >>> encoder.inverse_transform(0.75 * Z[:1] + 0.25 * Z[1:2])["hue"].tolist()
        [{'blue': 0.25, 'red': 0.75}]
        """
        check_is_fitted(self)
        codes = encoded["x_cat"] if self.as_dict else None
        numbers = encoded["x_num"] if self.as_dict else encoded
        if sparse.issparse(numbers):
            numbers = numbers.toarray()
        numbers = np.asarray(numbers, dtype=np.float64)
        if numbers.ndim != 2 or numbers.shape[1] != self.n_columns_:
            raise ValueError(
                f"Got encoded rows of shape {numbers.shape}, but expected "
                f"(n_samples, {self.n_columns_}), as transform returns them."
            )
        columns: list[Any] = [None] * self.n_features_in_
        decoded = self._decoded_numbers(numbers)
        for j, column in zip(self._numbers, decoded.T, strict=True):
            columns[j] = column
        start = len(self._numbers) + len(self._indicated)
        for c, (j, kept) in enumerate(zip(self._categories, self._kept, strict=True)):
            if codes is None:
                hot = numbers[:, start : start + len(kept)]
                start += len(kept)
            else:
                hot = np.asarray(codes)[:, c, None] == np.arange(1, len(kept) + 1)
            known = [*self.reader_.categories[j], np.nan]
            columns[j] = _values(hot, [known[int(code)] for code in kept])
        # (pandas would take objects that are all strings for a column of strings.)
        series = [pd.Series(column, dtype=column.dtype) for column in columns]
        return pd.concat(series, axis=1, keys=range(len(series))).set_axis(
            self.reader_.columns, axis=1
        )

    def _decoded_numbers(self, encoded: np.ndarray) -> np.ndarray:
        """Numbers scaled back, NaN where they are wholly missing."""
        n_numbers = len(self._numbers)
        x = encoded[:, :n_numbers].copy()
        if self._sparse_scaler is not None:
            return np.asarray(x / self.scale_)
        if self.scale:
            # (1 is infinity, which an outlier may be rounded to.)
            end = 1 - np.finfo(self.dtype).eps / 2
            u = (x / 3).clip(-end, end)
            z = 3 * u / np.sqrt((1 - u) * (1 + u))
            varies = self.scale_ > 0
            unit = np.divide(1, self.scale_, where=varies, out=np.zeros(n_numbers))
            x = self.center_ + z * unit
        indicators = encoded[:, n_numbers : n_numbers + len(self._indicated)]
        for k, j in enumerate(self._indicated):
            x[indicators[:, k] > 1 - SAME, j] = np.nan
        x[:, self._empty] = np.nan
        return x

    @property
    def takes_missing_(self) -> bool:
        return self._sparse_scaler is None

    @property
    def n_columns_(self) -> int:
        n_numbers = len(self._numbers) + len(self._indicated)
        return n_numbers + (0 if self.as_dict else sum(map(len, self._kept)))

    @property
    def n_num_features_(self) -> int:
        return self.n_columns_ if self.as_dict else len(self._numbers)

    @property
    def cat_cardinalities_(self) -> list[int]:
        return [len(kept) + 1 for kept in self._kept]

    @property
    def columns_(self) -> Any:
        numbers = np.r_[self._numbers, self._numbers[self._indicated]]
        if self.as_dict:
            return {"x_num": numbers, "x_cat": self._categories}
        hot = np.repeat(self._categories, list(map(len, self._kept)))
        return np.r_[numbers, hot].astype(int)

    @property
    def numeric_(self) -> Any:
        numeric = np.arange(self.n_columns_) < len(self._numbers)
        if self.as_dict:
            return {"x_num": numeric, "x_cat": np.zeros(len(self._categories), bool)}
        return numeric

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the columns of the output, as scikit-learn's encoders do.

        Where one would be there twice, as ``size_2`` for a number of this name and for
        the value 2 of ``size``, the later one has a number behind it: ``size_2_2``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of shape (``n_columns_``,), dtype object
            With `as_dict` those of ``x_num``, and then those of ``x_cat``.
        """
        check_is_fitted(self)
        names = np.array(self.reader_.columns, dtype=object)
        numbers = list(names[self._numbers])
        codes = list(names[self._categories]) if self.as_dict else []
        made = [f"missingindicator_{numbers[j]}" for j in self._indicated]
        if not self.as_dict:
            made += [
                f"{names[j]}_{[*self.reader_.categories[j], 'nan'][int(code)]!s}"
                for j, kept in zip(self._categories, self._kept, strict=True)
                for code in kept
            ]
        made = _unlike(made, [*numbers, *codes])
        return np.array([*numbers, *made, *codes], dtype=object)

    def feature_summary(self) -> pd.DataFrame:
        """Show what became of each column of the table.

        Returns
        -------
        summary : pandas.DataFrame
            A row for each column of the table, in its order.

            - ``name``, str.
            - ``read_as``, str: "number", "number from text" or "category".
            - ``n_missing``, int: training rows without a value, whatever they weigh. In
              a column of numbers, text that is no number counts as missing.
            - ``n_categories``, int: different values of a category; 0 for numbers.
            - ``n_kept``, int: how many of these have a column, or a code, of their own.
            - ``median``, float: what replaces missing numbers; NaN for categories and
              sparse tables.
            - ``features``, list of str: names of the columns of the output that are
              made of it.

        Raises
        ------
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmix.preprocessing import TableEncoder
        >>> X = pd.DataFrame({"size": [1, 2, None, 4], "hue": list("abac")})
        >>> summary = TableEncoder().fit(X).feature_summary()
        >>> print(summary.drop(columns="features"))
           name   read_as  n_missing  n_categories  n_kept  median
        0  size    number          1             0       0     2.0
        1   hue  category          0             3       3     NaN
        >>> summary["features"].tolist()
        [['size', 'missingindicator_size'], ['hue_a', 'hue_b', 'hue_c']]
        """
        features, owner, reader = (
            self.get_feature_names_out(),
            self.columns_,
            self.reader_,
        )
        owner = np.r_[owner["x_num"], owner["x_cat"]] if self.as_dict else owner
        medians = dict(zip(self._numbers, self.center_, strict=True))
        kept = dict(zip(self._categories, self._kept, strict=True))
        rows = []
        for j, (name, found) in enumerate(
            zip(reader.columns, reader.categories, strict=True)
        ):
            as_number = "number from text" if reader.notations[j] else "number"
            rows.append(
                {
                    "name": name,
                    "read_as": as_number if found is None else "category",
                    "n_missing": int(self._n_missing[j]),
                    "n_categories": 0 if found is None else len(found),
                    "n_kept": 0 if found is None else int((kept[j] < len(found)).sum()),
                    "median": medians.get(j, np.nan),
                    "features": features[owner == j].tolist(),
                }
            )
        return pd.DataFrame(rows)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = not self.as_dict
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _values(hot: np.ndarray, values: list[Any]) -> np.ndarray:
    """Value of each row by its one-hot columns, a dict of shares where it has none."""
    hot = np.asarray(hot, dtype=np.float64)
    hot = np.column_stack([hot, 1 - hot.sum(axis=1)])
    known = np.empty(len(values) + 1, dtype=object)
    known[:-1] = values  # the last one is without a column of its own: None
    decoded: np.ndarray = known[hot.argmax(axis=1)]
    for row in np.flatnonzero(hot.max(axis=1) <= 1 - SAME):
        parts = np.flatnonzero(np.abs(hot[row]) > SAME)
        decoded[row] = {known[part]: float(hot[row, part]) for part in parts}
    return decoded


def _unlike(names: list[str], others: list[Any]) -> list[str]:
    """Number names that are among the others, or that came before."""
    taken, unlike = set(others), []
    for name in names:
        numbered, k = name, 2
        while numbered in taken:
            numbered, k = f"{name}_{k}", k + 1
        taken.add(numbered)
        unlike.append(numbered)
    return unlike


class Learnt(NamedTuple):
    """What an encoder has learnt, for who encodes by other means.

    Attributes
    ----------
    indicated : ndarray of shape (n_indicators,), int
        Positions, among the columns of numbers, of those with an indicator.
    kept : list of ndarray of shape (n_kept,), float64
        For each column of categories, the codes that have a column of their own.
    is_sparse : bool
        Whether the table was sparse.
    """

    indicated: np.ndarray
    kept: list[np.ndarray]
    is_sparse: bool


def learnt_by(encoder: TableEncoder) -> Learnt:
    """Return what a fitted encoder has learnt, beside its public attributes."""
    learnt = vars(encoder)
    is_sparse = learnt["_sparse_scaler"] is not None
    return Learnt(learnt["_indicated"], learnt["_kept"], is_sparse)


def validate_table(
    estimator: BaseEstimator,
    X: Any,
    y: Any = "no_validation",
    *,
    reader: ColumnReader,
    reset: bool,
    allow_nan: bool = True,
    min_rows: int = 1,
    y_numeric: bool = False,
) -> Any:
    """Return a table as numbers and codes, checked, and y beside it if it is given.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_``, or has them already.
    X : pandas.DataFrame, or array-like or CSR of numbers
        As `as_frame` returns it.
    y : array-like of shape (n_samples,), default="no_validation"
    reader : ColumnReader
    reset : bool
        Whether this is the table that was learnt from.
    allow_nan : bool, default=True
        Whether numbers of dense tables may be missing.
    min_rows : int, default=1
    y_numeric : bool, default=False
        Whether y must be numbers.

    Returns
    -------
    table : {ndarray, CSR matrix or array} of shape (n_samples, n_features)
        Or a tuple of this and y, where y is given.
    """
    validate_data(estimator, X, y, reset=reset, skip_check_array=True)
    options = {
        "accept_sparse": "csr",
        "ensure_all_finite": False,
        "ensure_min_samples": min_rows,
        "estimator": estimator,
    }
    table = X if reader.is_idle(X) else reader.transform(X, is_new=not reset)
    if isinstance(y, str):  # "no_validation" is what validate_data calls no y
        table = check_array(table, input_name="X", **options)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # of the sum of huge targets
            table, y = check_X_y(table, y, y_numeric=y_numeric, **options)
    if sparse.issparse(table) and not table.has_canonical_format:
        table = table.copy()  # or scipy would sort and sum the entries of the user's
        table.sum_duplicates()
    names, who = getattr(X, "columns", None), type(estimator).__name__
    check_finite_columns(table, names, who, allow_nan=allow_nan)
    return table if isinstance(y, str) else (table, y)


def _rescale_extremes(
    scaler: StandardScaler, table: Any, weight: np.ndarray | None
) -> None:
    """Set the scale of sparse columns whose squares overflow, or vanish."""
    largest = abs(table).max(axis=0).toarray().ravel()
    limit = np.finfo(table.dtype if table.dtype.kind == "f" else np.float64).max ** 0.4
    extreme = (largest > limit) | ((largest < 1 / limit) & (largest > 0))
    if not extreme.any():
        return
    unit = np.where(extreme, largest, 1).astype(np.float64)
    in_units = table.astype(np.float64)
    in_units.data = in_units.data / unit[in_units.indices]
    scale = StandardScaler(with_mean=False).fit(in_units, sample_weight=weight).scale_
    # (What is below has no inverse, and counts as constant.)
    found = np.maximum(scale * unit, np.finfo(np.float64).tiny)
    scaler.scale_ = np.where(extreme, found, scaler.scale_)


def _spread(x: np.ndarray, weight: np.ndarray | None) -> tuple[float, float, bool]:
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


def _quantiles(x: np.ndarray, q: Any, weight: np.ndarray | None) -> np.ndarray:
    """Quantiles of the numbers that are not missing."""
    present = ~np.isnan(x)
    if not present.all():
        x, weight = x[present], None if weight is None else weight[present]
    # The one definition by which weights count as copies. A share of the weight that is
    # just q may be rounded to either side of it, so let it count as reached.
    q = np.maximum(np.asarray(q) - 1e-9, 0)
    x = x.astype(np.float64, copy=False)
    return np.asarray(np.quantile(x, q, weights=weight, method="inverted_cdf"))


def quantile_edges(x: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Quantiles of a number, between which it has pieces of about as many rows."""
    if np.isnan(x).all():
        return np.zeros(1)
    return _quantiles(x, np.linspace(0, 1, MAX_BINS + 1), weight)


def increasing_edges(edges: np.ndarray) -> np.ndarray:
    """Edges that increase, in float32 too; two pieces at least."""
    edges = np.unique(edges.astype(np.float32))
    # A piece is a ramp, whose slope must be finite.
    edges = edges[np.diff(edges, prepend=-np.inf) > SHORTEST]
    if len(edges) == 2:
        edges = np.unique(np.insert(edges, 1, edges.mean()))
    if len(edges) < 3:  # constant, or as good as that
        edges = edges[0] + max(1, abs(edges[0])) * np.array([0, 0.5, 1])
    return edges.astype(np.float32)


def _most_frequent(
    codes: np.ndarray, n_categories: int, weight: np.ndarray | None
) -> np.ndarray:
    """The codes of the most frequent categories, in ascending order."""
    counts = np.bincount(codes.astype(np.intp), weight, minlength=n_categories + 1)
    order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    return np.sort(order[counts[order] > 0]).astype(np.float64)
