"""Columns, containers and changes of tables, by name, for the fuzz tests.

A maker gets a generator and a number of rows. What may be refused has the words that
the error must have, one of them at least; what has none must be taken.
"""

import datetime
import tempfile
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from scipy import sparse

NAME = "{name}"  # stands for the name of the column


def some(rng, n, share=0.2):
    """Mask of rows without a value; never all of them."""
    mask = rng.random(n) < share
    mask[0] = False
    return mask


def levels(rng, n, values="abc"):
    return np.array(list(values), dtype=object)[rng.integers(0, len(values), n)]


def objects(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def with_missing(rng, values, missing=None):
    column = objects(list(values))
    column[some(rng, len(column))] = missing
    return column


def numbers(rng, n, scale=1.0, offset=0.0):
    return scale * (offset + rng.normal(size=n))


def nullable(rng, values, dtype):
    return pd.Series(with_missing(rng, values), dtype=dtype)


def category(values, **options):
    return pd.Series(pd.Categorical(values, **options))


def category_of(rng, n, *values):
    """A category of any values, such as tuples."""
    codes = rng.integers(0, len(values), n)
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(objects(values))))


def days(rng, n):
    return pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D"))


def words(rng, n, *values):
    return pd.Series(levels(rng, n, values), dtype=object)


NUMBERS = {
    "normal": numbers,
    "small": lambda rng, n: numbers(rng, n, 1e-9),
    "large": lambda rng, n: numbers(rng, n, 1e9),
    "offset": lambda rng, n: numbers(rng, n, 1e-3, 1e9),
    "int": lambda rng, n: rng.integers(0, 50, n),
    "bool": lambda rng, n: rng.random(n) < 0.5,
    "missing": lambda rng, n: np.where(some(rng, n), np.nan, numbers(rng, n)),
}
ODD_NUMBERS = {
    "float16": lambda rng, n: numbers(rng, n).astype(np.float16),
    "largest float16": lambda rng, n: levels(rng, n, [65504, -65504]).astype("f2"),
    "float32": lambda rng, n: numbers(rng, n).astype(np.float32),
    "largest float32": lambda rng, n: levels(rng, n, [3.4e38, -3e38]).astype("f4"),
    "uint8": lambda rng, n: rng.integers(0, 256, n).astype(np.uint8),
    "int8": lambda rng, n: rng.integers(-128, 128, n).astype(np.int8),
    "uint64": lambda rng, n: rng.integers(2**63, 2**64 - 1, n, dtype=np.uint64),
    "int64": lambda rng, n: rng.integers(-(2**63), 2**63 - 1, n),
    "constant": lambda rng, n: np.full(n, 7.5),
    "constant and huge": lambda rng, n: np.full(n, 1e300),
    "zero": lambda rng, n: np.zeros(n),
    "signed zero": lambda rng, n: levels(rng, n, [0.0, -0.0]).astype(float),
    "all missing": lambda rng, n: np.full(n, np.nan),
    "all but one missing": lambda rng, n: np.r_[1.0, np.full(n - 1, np.nan)],
    "constant or missing": lambda rng, n: np.where(some(rng, n), np.nan, 3.0),
    "huge": lambda rng, n: numbers(rng, n, 1e300),
    "largest": lambda rng, n: levels(rng, n, [1.7e308, -1.7e308]).astype(float),
    "tiny": lambda rng, n: numbers(rng, n, 1e-300),
    "subnormal": lambda rng, n: levels(rng, n, [5e-324, 0.0]).astype(float),
    "skewed": lambda rng, n: np.exp(100 * rng.normal(size=n)),
    "outlier": lambda rng, n: np.r_[1e200, numbers(rng, n - 1)],
    "one apart": lambda rng, n: np.r_[1.0, np.zeros(n - 1)],
    "neighbours": lambda rng, n: 1 + np.finfo(float).eps * rng.integers(0, 3, n),
}
OTHER_NUMBERS = {
    "Int64": lambda rng, n: nullable(rng, rng.integers(0, 9, n), "Int64"),
    "UInt8": lambda rng, n: nullable(rng, rng.integers(0, 9, n), "UInt8"),
    "boolean": lambda rng, n: nullable(rng, rng.random(n) < 0.5, "boolean"),
    "Float32": lambda rng, n: nullable(rng, rng.normal(size=n), "Float32"),
    "Float64": lambda rng, n: nullable(rng, rng.normal(size=n), "Float64"),
    "all NA": lambda rng, n: pd.Series([pd.NA] * n, dtype="Int64"),
    "arrow double": lambda rng, n: nullable(rng, numbers(rng, n), "double[pyarrow]"),
    "arrow int": lambda rng, n: nullable(rng, rng.integers(0, 9, n), "int8[pyarrow]"),
    "arrow bool": lambda rng, n: nullable(rng, rng.random(n) < 0.5, "bool[pyarrow]"),
    "arrow decimal": lambda rng, n: pd.Series(
        [Decimal(int(i)) / 8 for i in rng.integers(0, 99, n)],
        dtype=pd.ArrowDtype(pa.decimal128(10, 3)),
    ),
    "sparse floats": lambda rng, n: pd.Series(
        pd.arrays.SparseArray(np.where(some(rng, n, 0.7), 0.0, 1.5), fill_value=0.0)
    ),
    "sparse missing": lambda rng, n: pd.Series(
        pd.arrays.SparseArray(np.where(some(rng, n, 0.7), np.nan, 1.5))
    ),
    "objects": lambda rng, n: with_missing(rng, rng.integers(0, 9, n)),
    "object floats": lambda rng, n: with_missing(rng, numbers(rng, n), np.nan),
    "object bools": lambda rng, n: with_missing(rng, (rng.random(n) < 0.5).tolist()),
    "numpy scalars": lambda rng, n: with_missing(rng, numbers(rng, n).astype("f4")),
    "large ints": lambda rng, n: objects([int(i) * 10**30 for i in range(n)]),
    "Decimal": lambda rng, n: with_missing(rng, map(Decimal, map(str, range(n)))),
    "NA objects": lambda rng, n: with_missing(rng, rng.integers(0, 9, n), pd.NA),
    "strings": lambda rng, n: objects([f"{v:.3f}" for v in numbers(rng, n)]),
    "decimal commas": lambda rng, n: objects([f"{i},5" for i in range(n)]),
    "money": lambda rng, n: objects([f"${i},{i:03}" for i in range(1, n + 1)]),
    "a word": lambda rng, n: objects(["?", *map(str, range(n - 1))]),
    "exponents": lambda rng, n: objects([f"{i}e300" for i in range(n)]),
}
CATEGORIES = {
    "levels": lambda rng, n: category(levels(rng, n)),
    "string": lambda rng, n: pd.Series(with_missing(rng, levels(rng, n)), dtype="str"),
    "string objects": lambda rng, n: levels(rng, n, ["red", "green"]),
}
ODD_CATEGORIES = {
    "string[python]": lambda rng, n: nullable(rng, levels(rng, n), "string[python]"),
    "string[pyarrow]": lambda rng, n: nullable(rng, levels(rng, n), "string[pyarrow]"),
    "arrow string": lambda rng, n: nullable(
        rng, levels(rng, n), pd.ArrowDtype(pa.string())
    ),
    "arrow dictionary": lambda rng, n: pd.Series(
        levels(rng, n), dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    ),
    "ids": lambda rng, n: category(rng.permutation(n)),
    "one level": lambda rng, n: category(["a"] * n),
    "unused": lambda rng, n: category(levels(rng, n), categories=list("zcbayx")),
    "ordered": lambda rng, n: category(levels(rng, n), ordered=True),
    "missing levels": lambda rng, n: category(with_missing(rng, levels(rng, n))),
    "no level": lambda rng, n: category([None] * n, categories=list("ab")),
    "no level at all": lambda rng, n: category([None] * n),
    "ints": lambda rng, n: category(rng.integers(-2, 2, n)),
    "floats": lambda rng, n: category(rng.integers(-2, 2, n) / 2),
    "large floats": lambda rng, n: category(levels(rng, n, [1e300, -np.inf])),
    "bools": lambda rng, n: category(rng.random(n) < 0.5),
    "intervals": lambda rng, n: pd.Series(pd.cut(numbers(rng, n), 3)),
    "days": lambda rng, n: category(levels(rng, n, days(rng, 3))),
    "tuples": lambda rng, n: category_of(rng, n, (1, "a"), (2, 3), ("x",)),
    "mixed types": lambda rng, n: category_of(rng, n, 1, "1", 1.5, "b"),
    "frozen sets": lambda rng, n: category_of(rng, n, frozenset("a"), frozenset("bc")),
    "none but types": lambda rng, n: category_of(rng, n, int, str),
    "decimals": lambda rng, n: category_of(rng, n, Decimal("1.0"), Decimal(2)),
    "fractions": lambda rng, n: category_of(rng, n, Fraction(1, 3), Fraction(2, 3)),
    "bytes levels": lambda rng, n: category_of(rng, n, b"a", b"b"),
    "complex levels": lambda rng, n: category_of(rng, n, 1j, 2j),
    "odd words": lambda rng, n: words(rng, n, "", "a\0b", "é🙂", "x" * 5000),
    "surrogates": lambda rng, n: words(rng, n, "\ud800", "b"),
    "blanks": lambda rng, n: words(rng, n, " a", "a", "a "),
    "cases": lambda rng, n: words(rng, n, "a", "A"),
    "nan words": lambda rng, n: words(rng, n, "nan", "None", "yes"),
    "codes": lambda rng, n: words(rng, n, "01", "02", "10"),
    "string and missing": lambda rng, n: with_missing(rng, levels(rng, n), np.nan),
    "no words": lambda rng, n: pd.Series([None] * n, dtype="str"),
    "no objects": lambda rng, n: objects([None] * n),
    "no objects but nan": lambda rng, n: objects(
        [np.nan, None] * (n // 2) + [None] * (n % 2)
    ),
    "no values of a word": lambda rng, n: objects(["?"] * n),
    "yes and None": lambda rng, n: words(rng, n, "yes", None, "no"),
}
# What may be refused, by the name of the column.
DOUBTFUL = {
    "mixed objects": lambda rng, n: words(rng, n, 1, "a", 2.5),
    "bools and words": lambda rng, n: words(rng, n, True, "maybe"),
    "mixed numbers and words": lambda rng, n: objects(
        [i if i % 3 else "word" for i in range(n)]
    ),
    "infinity": lambda rng, n: np.r_[np.inf, numbers(rng, n - 1)],
    "-infinity": lambda rng, n: np.r_[-np.inf, numbers(rng, n - 1)],
    "long digits": lambda rng, n: objects([f"{i}{'9' * 400}" for i in range(1, n + 1)]),
    "infinite words": lambda rng, n: words(rng, n, "inf", "1", "2"),
    "overflowing words": lambda rng, n: words(rng, n, "1e400", "1"),
    "infinite Float64": lambda rng, n: pd.Series([np.inf] * n, dtype="Float64"),
    "infinite objects": lambda rng, n: objects([Decimal("Infinity")] + [1] * (n - 1)),
    "signalling objects": lambda rng, n: objects([Decimal("sNaN")] + [1] * (n - 1)),
    "overflowing ints": lambda rng, n: objects([10**400] + [1] * (n - 1)),
    "overflowing fractions": lambda rng, n: objects(
        [Fraction(10**400)] + [1] * (n - 1)
    ),
    "dates": days,
    "dates and missing": lambda rng, n: days(rng, n).where(~some(rng, n)),
    "no dates": lambda rng, n: pd.Series(pd.NaT, range(n)),
    "dates with zone": lambda rng, n: days(rng, n).dt.tz_localize("UTC"),
    "date objects": lambda rng, n: objects([datetime.date(2020, 1, 1)] * n),
    "time objects": lambda rng, n: objects([datetime.time(12)] * n),
    "date strings": lambda rng, n: days(rng, n).astype(str),
    "timedeltas": lambda rng, n: days(rng, n) - pd.Timestamp("2020-01-01"),
    "periods": lambda rng, n: days(rng, n).dt.to_period("D"),
    "arrow dates": lambda rng, n: days(rng, n).astype("timestamp[ns][pyarrow]"),
    "interval dtype": lambda rng, n: pd.Series(pd.interval_range(0, n)),
    "text": lambda rng, n: objects([f"the row of number {i}" for i in range(n)]),
    "id strings": lambda rng, n: objects([f"T-{i}x{i}" for i in range(n)]),
    "measures": lambda rng, n: objects([f"{i} km" for i in range(n)]),
    "complex": lambda rng, n: numbers(rng, n) * 1j,
    "complex objects": lambda rng, n: objects([1j] + [1.0] * (n - 1)),
    "lists": lambda rng, n: objects([[1, 2]] * n),
    "arrow lists": lambda rng, n: pd.Series(
        [[1, 2]] * n, dtype=pd.ArrowDtype(pa.list_(pa.int64()))
    ),
    "arrow structs": lambda rng, n: pd.Series(
        [{"a": 1}] * n, dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())]))
    ),
    "arrow binary": lambda rng, n: pd.Series(
        [b"a"] * n, dtype=pd.ArrowDtype(pa.binary())
    ),
    "arrow null": lambda rng, n: pd.Series([None] * n, dtype=pd.ArrowDtype(pa.null())),
    "dicts": lambda rng, n: objects([{}] * n),
    "sets": lambda rng, n: objects([{1}] * n),
    "arrays": lambda rng, n: objects([np.zeros(2)] * n),
    "bytes": lambda rng, n: objects([b"a", b"b"] * (n // 2) + [b"a"] * (n % 2)),
    "types": lambda rng, n: objects([int, str] * (n // 2) + [int] * (n % 2)),
    "frames": lambda rng, n: objects([pd.DataFrame()] * n),
    "complex sparse": lambda rng, n: pd.Series(pd.arrays.SparseArray([1j] * n)),
}
ALL = NUMBERS | ODD_NUMBERS | OTHER_NUMBERS | CATEGORIES | ODD_CATEGORIES | DOUBTFUL
IN_ARRAYS = NUMBERS | ODD_NUMBERS  # of a dtype of numpy
# Columns that are what they are by a dtype which only a frame of pandas keeps.
MAYBE_LOST = CATEGORIES | ODD_CATEGORIES
# Beyond float32, or so large that a net of one's own, in their units, diverges.
HUGE = {"huge", "largest", "constant and huge", "outlier", "skewed", "exponents"}
HUGE |= {"largest float32", "large ints", "long digits"}

NAMES = {
    "strings": lambda j: f"c{j}",
    "none": lambda j: j,
    "ints": lambda j: 7 - 3 * j,
    "floats": lambda j: j / 2,
    "duplicates": lambda j: "twice",
    "strings and ints": lambda j: f"c{j}" if j % 2 else j,
    "tuples": lambda j: ("group", j),
    "empty": lambda j: "" if j == 0 else f"c{j}",
    "of our own": lambda j: ["missingindicator_x0", "x0", "x_num", "x_cat"][j % 4],
    "odd": lambda j: "{0} %s\n" + "é" * j,
    "days": lambda j: pd.Timestamp("2020-01-01") + pd.Timedelta(days=j),
    "nan": lambda j: np.nan if j == 0 else f"c{j}",
    "None": lambda j: None if j == 0 else f"c{j}",
}
# Names that scikit-learn or the container refuses.
REFUSED_NAMES = {
    "strings and ints": "string",
    "tuples": "",
    "nan": "string",
    "None": "string",
    "duplicates": "twice",
}
INDEXES = {
    "range": lambda n: pd.RangeIndex(n),
    "reversed": lambda n: pd.RangeIndex(n)[::-1],
    "words": lambda n: pd.Index([f"row {i}" for i in range(n)]),
    "repeated": lambda n: pd.Index([0] * n),
    "missing": lambda n: pd.Index([np.nan] * n),
    "levels": lambda n: pd.MultiIndex.from_arrays([range(n), ["a"] * n]),
    "days": lambda n: pd.date_range("2020-01-01", periods=n),
}


def frame_of(columns, names, index, rng, n):
    """A frame of columns by their kind."""
    made = [pd.Series(ALL[kind](rng, n)).reset_index(drop=True) for kind in columns]
    frame = pd.concat(made, axis=1, keys=range(len(made)))
    named = [NAMES[names](j) for j in range(len(made))]
    frame.columns = pd.MultiIndex.from_tuples(named) if names == "tuples" else named
    return frame.set_axis(INDEXES[index](n))


def floats(frame):
    return np.column_stack(
        [np.asarray(column, dtype=np.float64) for _, column in frame.items()]
    )


def on_disk(array):
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, array)
        return np.load(file.name, mmap_mode="r")


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def every_second(array):
    wide = np.full((2 * array.shape[0], 2 * array.shape[1]), np.nan)
    wide[::2, ::2] = array
    return wide[::2, ::2]


def unsorted(table):
    """The same CSR table with its entries in another order, and zeros among them."""
    table = sparse.csr_array(table)
    for start, stop in zip(table.indptr[:-1], table.indptr[1:], strict=True):
        table.indices[start:stop] = table.indices[start:stop][::-1].copy()
        table.data[start:stop] = table.data[start:stop][::-1].copy()
    table.has_sorted_indices = False
    return table


def duplicated(table):
    """A CSR table each of whose entries is stored in two parts."""
    table = sparse.csr_array(table)
    halves = np.repeat(table.data / 2, 2)
    return sparse.csr_array(
        (halves, np.repeat(table.indices, 2), 2 * table.indptr), shape=table.shape
    )


def int64_indices(table):
    table = sparse.csr_array(table)
    table.indices, table.indptr = table.indices.astype("i8"), table.indptr.astype("i8")
    return table


def single(array):
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


ARRAYS = {
    "array": lambda X: X,
    "Fortran": np.asfortranarray,
    "frozen": frozen,
    "on disk": on_disk,
    "view": every_second,
    "reversed view": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "big endian": lambda X: X.astype(">f8"),
    "longdouble": lambda X: X.astype(np.longdouble),
    "object array": lambda X: X.astype(object),
    "list": lambda X: X.tolist(),
    "tuple": lambda X: tuple(map(tuple, X.tolist())),
    "list of arrays": list,
    "frame of array": pd.DataFrame,
    "float32": single,
}
SPARSE = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc": sparse.csc_array,
    "coo": sparse.coo_array,
    "dok": sparse.dok_array,
    "lil": sparse.lil_array,
    "unsorted": unsorted,
    "duplicated": duplicated,
    "int64 indices": int64_indices,
    "sparse float32": lambda X: sparse.csr_array(single(X)),
}
FRAMES = {
    "frame": lambda frame: frame,
    "polars": lambda frame: pl.from_pandas(frame),
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "list of rows": lambda frame: frame.astype(object).to_numpy().tolist(),
    "objects": lambda frame: frame.astype(object).to_numpy(),
}
# Containers that are refused, and words of the refusal.
NO_TABLES = {
    "column": (lambda X: X[:, 0], ("2D",)),
    "three axes": (lambda X: X[None], ("dim",)),
    "no columns": (lambda X: X[:, :0], ("0 feature",)),
    "masked": (
        lambda X: np.ma.masked_greater(X, np.nanmedian(X[:, 0]) - 1e-9),
        ("mask",),
    ),
    "series": (lambda X: pd.Series(X[:, 0]), ("2D", "Series")),
    "records": (
        lambda X: np.array(
            list(map(tuple, X)), [(f"f{j}", "f8") for j in range(X.shape[1])]
        ),
        ("structured",),
    ),
    "None": (lambda X: None, ("X", "None")),
    "number": (lambda X: 3.0, ("2D",)),
    "word": (lambda X: "X", ("2D", "str")),
    "generator": (lambda X: (row for row in X), ("2D", "generator")),
    "ragged": (
        lambda X: [[1.0], [1.0, 2.0]] * (len(X) // 2),
        ("inhomogeneous", "2D", "X"),
    ),
    "nested": (lambda X: [[[1.0], [2.0]]] * len(X), ("dim",)),
    "complex array": (lambda X: X * 1j, ("omplex",)),
    "day array": (lambda X: np.zeros(X.shape, "M8[D]"), ("date",)),
    "byte array": (lambda X: np.full(X.shape, b"a"), ("bytes", "strings")),
    "set": (lambda X: set("abc"), ("2D", "set")),
    "dict of numbers": (lambda X: {"a": 3}, ("dict", "X")),
    "frame class": (lambda X: pd.DataFrame, ("2D", "type", "class")),
}
