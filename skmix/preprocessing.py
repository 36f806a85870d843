"""Numbers and codes as nets want them: scaled, imputed, one-hot.

A `TableEncoder` learns from training rows and their weights, of the array that a
`skmix._dtypes.Reader` makes of a table, and makes of it what a net gets.
"""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import gen_batches

from skmix._dtypes import MAX_CATEGORIES, as_frame

BLOCK_CELLS = 2**20  # 8 MiB of float64

# Pieces of a number, of about as many rows each.
MAX_BINS = 16


class TableEncoder:
    """Makes of numbers and codes what a net gets.

    Parameters
    ----------
    reader : skmix._dtypes.Reader
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
            increasing_edges(self._scaled(quantile_edges(table[:, column], weight), j))
            for j, column in enumerate(self._numbers if self.scale else ())
        ]
        kept = [
            _most_frequent(table[:, j], self.reader.levels[j], weight)
            for j in self._categories
        ]
        self._n_missing = np.isnan(table).sum(axis=0)
        for j in self._categories:
            self._n_missing[j] = (table[:, j] == len(self.reader.levels[j])).sum()
        self._kept = kept
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
            for j, codes in zip(self._categories, self._kept, strict=True)
            for code in codes
        ]
        return np.array([*numbers, *hot], dtype=object)

    def _name_of(self, j, code):
        """Name of the one-hot column of a level of column `j`."""
        name, levels = self.reader.names[j], self.reader.levels[j]
        if code == len(levels):
            return f"{name}_nan"
        made_upstream = j in self.reader.made_upstream
        return levels[code] if made_upstream else f"{name}_{levels[code]!s}"

    def feature_summary(self) -> pd.DataFrame:
        """Show what became of each column of the table.

        Returns
        -------
        summary : pandas.DataFrame
            A row for each column of the user's table, in its order:

            name : str
            read_as : str
                "number", "number from text", "category" or "one-hot group".
            n_missing : int
                Training rows without a value, those included whose text is no number in
                a column of numbers. (Rows count as one, whatever they weigh.)
            n_levels : int
                Different values of a category, or columns of a one-hot group; 0 for
                numbers.
            n_kept : int
                How many of these have a column, or a code, of their own.
            median : float
                What missing numbers are replaced by; NaN for categories.
            features : list of str
                Names of what a net gets of it, among `get_feature_names_out`.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmix import MixupClassifier
        >>> X = pd.DataFrame({"size": [1, 2, None, 4] * 10, "hue": list("abac") * 10})
        >>> clf = MixupClassifier(random_state=0).fit(X, X["hue"] == "a")
        >>> print(clf.encoder_.feature_summary().drop(columns="features"))
           name   read_as  n_missing  n_levels  n_kept  median
        0  size    number         10         0       0     2.0
        1   hue  category          0         3       3     NaN
        >>> clf.encoder_.feature_summary()["features"].tolist()
        [['size', 'missingindicator_size'], ['hue_a', 'hue_b', 'hue_c']]
        """
        reader = self.reader
        owner = self.columns_
        owner = np.r_[owner["x_num"], owner["x_cat"]] if self.as_dict else owner
        features = self.get_feature_names_out()
        rows = []
        for name, j in zip(reader.columns, reader.read_as, strict=True):
            made = features[owner == j].tolist()
            siblings = {reader.columns[p] for p in reader.made_upstream.get(int(j), ())}
            rows.append(
                {
                    "name": name,
                    "read_as": self._read_as(int(j)),
                    "n_missing": int(self._n_missing[j]),
                    **self._sizes_of(int(j)),
                    "features": [f for f in made if f == name or f not in siblings],
                }
            )
        return pd.DataFrame(rows)

    def _read_as(self, j):
        if self.reader.levels[j] is None:
            as_text = self.reader.notations[j] is not None
            return "number from text" if as_text else "number"
        return "one-hot group" if j in self.reader.made_upstream else "category"

    def _sizes_of(self, j):
        """Levels of column `j`, how many of them are kept, and its median."""
        levels = self.reader.levels[j]
        if levels is None:
            median = self.center_[np.flatnonzero(self._numbers == j)[0]]
            return {"n_levels": 0, "n_kept": 0, "median": median}
        codes = self._kept[np.flatnonzero(self._categories == j)[0]]
        n_kept = int((codes < len(levels)).sum())
        return {"n_levels": len(levels), "n_kept": n_kept, "median": np.nan}

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


def quantile_edges(x: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Quantiles of a number, between which it has pieces of about as many rows."""
    if np.isnan(x).all():
        return np.zeros(1)
    return _quantiles(x, np.linspace(0, 1, MAX_BINS + 1), weight)


def increasing_edges(edges: np.ndarray) -> np.ndarray:
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
    reader : skmix._dtypes.Reader
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
