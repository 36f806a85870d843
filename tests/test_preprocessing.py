"""What columns hold, whatever their dtype, and what a net gets of them."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmix import MixupClassifier, default_net, preprocessing
from skmix._tables import dtypes
from skmix._tables.dtypes import ColumnReader, as_frame
from skmix.preprocessing import TableEncoder


def encoder_of(X, weight=None, *, declared="from_dtype", **options):
    options = {"dtype": np.float64} | options
    return TableEncoder(declared, **options).fit(X, sample_weight=weight)


def encoded(X, *, new=None, **options):
    return encoder_of(X, **options).transform(X if new is None else new)


# One table, in many dtypes.

KINDS = ["a", None, "b", "a", "c", "b"]
COUNTS = [1, None, 3, 1, 2, 3]
FLAGS = [True, None, False, True, True, False]
PLAIN = pd.DataFrame(
    {
        "kind": pd.Series(KINDS, dtype=object),
        "count": np.array(COUNTS, dtype=float),
        "flag": np.array(FLAGS, dtype=float),
    }
)


def frame(**dtypes):
    columns = {"kind": KINDS, "count": COUNTS, "flag": FLAGS}
    return pd.DataFrame(
        {
            name: pd.Series(column, dtype=dtypes[name])
            for name, column in columns.items()
        }
    )


def arrow(kind):
    return pd.ArrowDtype(kind)


@pytest.mark.parametrize(
    "same",
    [
        frame(kind="category", count="Int64", flag="boolean"),
        frame(kind="string", count="Float64", flag="object"),
        frame(kind="str", count="float32", flag="boolean"),
        frame(kind="object", count="object", flag="object"),
        frame(kind=arrow(pa.string()), count=arrow(pa.int64()), flag=arrow(pa.bool_())),
        frame(
            kind=arrow(pa.dictionary(pa.int32(), pa.string())),
            count=arrow(pa.float32()),
            flag=arrow(pa.bool_()),
        ),
        pl.DataFrame({"kind": KINDS, "count": COUNTS, "flag": FLAGS}),
        pl.DataFrame(
            {"kind": KINDS, "count": COUNTS, "flag": FLAGS},
            schema={"kind": pl.Categorical, "count": pl.Int8, "flag": pl.Boolean},
        ),
        pl.DataFrame(
            {"kind": KINDS, "count": COUNTS, "flag": FLAGS},
            schema={
                "kind": pl.Enum(["c", "b", "a", "z"]),
                "count": pl.Float32,
                "flag": pl.Boolean,
            },
        ),
        PLAIN.to_numpy(),
        [list(row) for row in zip(KINDS, COUNTS, FLAGS, strict=True)],
    ],
    ids=[
        "nullable",
        "string",
        "str",
        "object",
        "arrow",
        "arrow-dictionary",
        "polars",
        "polars-categorical",
        "polars-enum",
        "object-array",
        "list",
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_dtypes_do_not_matter(same):
    expected = encoded(PLAIN)
    assert expected.shape == (6, 2 + 2 + 4)  # numbers, indicators, a b c and missing
    assert_array_equal(encoded(same), expected)
    assert_array_equal(encoded(PLAIN, new=same), expected)


def test_columns_come_in_a_known_order():
    names = encoder_of(PLAIN).get_feature_names_out()
    assert names.tolist() == [
        "count",
        "flag",
        "missingindicator_count",
        "missingindicator_flag",
        "kind_a",
        "kind_b",
        "kind_c",
        "kind_nan",
    ]
    assert encoder_of(PLAIN, as_dict=True).get_feature_names_out().tolist() == [
        *names[:4],
        "kind",
    ]


def test_one_hot_columns():
    hot = encoded(PLAIN)[:, 4:]
    assert_array_equal(hot.argmax(axis=1), [0, 3, 1, 0, 2, 1])
    assert_array_equal(hot.sum(axis=1), 1)


def test_numbers_and_codes_apart():
    parts = encoded(PLAIN, as_dict=True)
    assert_array_equal(parts["x_num"], encoded(PLAIN)[:, :4])
    assert_array_equal(parts["x_cat"], [[1], [4], [2], [1], [3], [2]])
    assert parts["x_cat"].dtype == np.int64
    new = PLAIN.assign(kind=["z", None, "a", "b", "c", "y"])
    codes = encoded(PLAIN, new=new, as_dict=True)["x_cat"]
    assert_array_equal(codes, [[0], [4], [1], [2], [3], [0]])
    encoder = encoder_of(PLAIN, as_dict=True)
    assert (encoder.n_num_features_, encoder.cat_cardinalities_) == (4, [5])


def test_a_table_without_categories_has_no_codes():
    parts = encoded(np.eye(4), as_dict=True, declared=[])
    assert parts["x_num"].shape == (4, 4)
    assert parts["x_cat"].shape == (4, 0)


def test_levels_unseen_in_training_are_none_of_those_seen():
    new = PLAIN.assign(kind=["z", "a", None, "b", "c", "z"])
    hot = encoded(PLAIN, new=new)[:, 4:]
    assert_array_equal(hot.sum(axis=1), [0, 1, 1, 1, 1, 0])
    seen = PLAIN.assign(kind=list("aabbcc"))
    assert_array_equal(
        encoded(seen, new=PLAIN)[1, 4:], 0
    )  # missing, for the first time


def test_levels_of_several_types():
    X = pd.DataFrame({"kind": pd.Series(["a", 1, 2.5, "b", 1, None], dtype=object)})
    with pytest.raises(ValueError, match=r"numbers and words.*\(kind\).*to_numeric"):
        ColumnReader.fit(X)
    assert encoder_of(X, declared=["kind"]).get_feature_names_out().tolist() == [
        "kind_2.5",
        "kind_1",
        "kind_a",
        "kind_b",
        "kind_nan",
    ]
    both_ways = encoded(X, declared=[0]), encoded(X, new=X[::-1], declared=[0])[::-1]
    assert_array_equal(*both_ways)
    words = pd.DataFrame({"kind": ["a", 1, "c", "b"]}, dtype=object)
    assert ColumnReader.fit(words).categorical.all()


def test_the_order_of_rows_does_not_matter():
    assert_array_equal(encoded(PLAIN[::-1])[::-1], encoded(PLAIN))


def test_inputs_are_never_changed():
    before = PLAIN.copy(deep=True)
    encoded(PLAIN)
    pd.testing.assert_frame_equal(PLAIN, before)


# Which columns are categories.


@pytest.mark.parametrize(
    "declared",
    [["a", "c"], [0, 2], np.array([0, 2]), [True, False, True], ("c", "a")],
    ids=repr,
)
def test_declared_columns(declared):
    X = pd.DataFrame({"a": [1, 2, 1], "b": [1.0, 2, 3], "c": [7, 8, 9]})
    expected = ColumnReader.fit(X, [0, 2])
    assert expected.categorical.tolist() == [True, False, True]
    assert_array_equal(ColumnReader.fit(X, declared).categorical, expected.categorical)


def test_codes_in_an_array():
    X = np.array([[3.0, 0.5], [1, 1.5], [3, 2.5], [np.nan, 3.5]])
    names = encoder_of(X, declared=[0]).get_feature_names_out()
    assert names.tolist() == ["x1", "x0_1.0", "x0_3.0", "x0_nan"]
    assert_array_equal(
        encoded(X, declared=[0])[:, 1:], [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    )


def test_none_is_declared():
    X = pd.DataFrame({"a": pd.Categorical([1, 2, 1]), "b": [1.0, 2, 3]})
    assert ColumnReader.fit(X).categorical.tolist() == [True, False]
    with pytest.raises(ValueError, match=r"no numbers \(a\).*categorical_features"):
        ColumnReader.fit(X, None)


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        (["a", "z"], r"\['z'\], but expected names among 'a', 'b'"),
        ([0, 2], r"2\)?\], but expected positions from 0 to 1"),
        ([-1], r"-1\)?\], but expected positions"),
        ([True], r"mask of shape \(1,\), but expected \(2,\)"),
        ([], r"no numbers \(b\)"),
        (["a"], r"no numbers \(b\).*Name them in categorical_features"),
    ],
)
def test_wrong_declarations(declared, match):
    X = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    with pytest.raises(ValueError, match=match):
        ColumnReader.fit(X, declared)


# Columns that are neither.

SENTENCES = [f"this is the sentence number {i} of a few" for i in range(30)]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.date_range("2020", periods=30)),
        pd.Series(pd.date_range("2020", periods=30, tz="UTC")),
        pd.Series(pd.timedelta_range("1h", periods=30)),
        pd.Series(pd.period_range("2020", periods=30, freq="D")),
        pd.Series([datetime.date(2020, 1, 1)] * 30, dtype=object),
        pd.Series([datetime.time(12)] * 29 + [None], dtype=object),
        pd.Series(pd.date_range("2020", periods=30)).astype(arrow(pa.timestamp("s"))),
    ],
    ids=lambda column: str(column.dtype),
)
def test_dates_are_refused(column):
    X = pd.DataFrame({"x": range(30), "day": column})
    with pytest.raises(ValueError, match=r"dates or times \(day\).*DatetimeEncoder"):
        ColumnReader.fit(X)


def test_dates_of_polars_are_refused():
    X = as_frame(pl.DataFrame({"day": [datetime.date(2020, 1, 1)] * 3}))
    with pytest.raises(ValueError, match=r"dates or times \(day\)"):
        ColumnReader.fit(X)


@pytest.mark.parametrize("dtype", [object, "str", "string", arrow(pa.string())])
def test_free_text_is_refused(dtype):
    X = pd.DataFrame({"x": range(30), "note": pd.Series(SENTENCES, dtype=dtype)})
    with pytest.raises(ValueError, match=r"free text \(note\).*StringEncoder"):
        ColumnReader.fit(X)


@pytest.mark.parametrize(
    "column",
    [
        pd.Categorical(SENTENCES),  # declared as levels
        SENTENCES[:10] * 3,  # they repeat
        [f"id-{i}" for i in range(10)] * 3,  # no sentences
        SENTENCES[:6] * 5,
    ],
)
def test_not_free_text(column):
    X = pd.DataFrame({"note": column})
    assert ColumnReader.fit(X).categorical.all()
    declared = pd.DataFrame({"note": SENTENCES})
    assert ColumnReader.fit(declared, ["note"]).categorical.all()


@pytest.mark.parametrize("value", [{"a": 1}, [1, 2], (1, 2)], ids=repr)
def test_objects_are_refused(value):
    X = pd.DataFrame({"thing": [value, 1, "a"]})
    with pytest.raises(TypeError, match=r"other things.*\(thing\).*string or a number"):
        ColumnReader.fit(X)


@pytest.mark.parametrize(
    "values",
    [
        ["one", "two"],
        pd.to_datetime(["2020-01-01", "2021-01-01"]),
        pd.to_timedelta(["1h", "2h"]),
        [datetime.date(2020, 1, 1)] * 2,
        pd.Series([10**400, 1], dtype=object),
    ],
    ids=["words", "datetime", "timedelta", "date", "huge"],
)
def test_other_things_where_numbers_were(values):
    X = pd.DataFrame({"count": [1, 2, 3]})
    encoder = encoder_of(X)
    with pytest.raises(ValueError, match=r"column 'count' with values.*in training"):
        encoder.transform(pd.DataFrame({"count": values}))


def test_other_columns_than_in_training():
    encoder = encoder_of(PLAIN)
    for other in (PLAIN[["count", "kind", "flag"]], PLAIN[["kind", "count"]]):
        with pytest.raises(ValueError, match=r"feature names should match|2 features"):
            encoder.transform(other)


@pytest.mark.parametrize("dtype", ["str", "string", "object", pl.String])
def test_strings_that_are_all_missing_in_training(dtype):
    if dtype == "str" and pd.__version__.startswith("2."):
        pytest.skip("pandas 2 makes strings of missing values")
    make = pl.DataFrame if dtype is pl.String else pd.DataFrame
    seen = make({"kind": [None] * 3, "x": [1.0, 2, 3]})
    new = make({"kind": ["a", "b", None], "x": [1.0, 2, 3]})
    if make is pd.DataFrame:
        seen, new = (X.astype({"kind": dtype}) for X in (seen, new))
    else:
        seen = seen.cast({"kind": pl.String})
    assert_array_equal(encoded(seen)[:, 1:], 1)
    with pytest.warns(UserWarning, match="'kind': none of its values"):
        assert_array_equal(encoded(seen, new=new)[:, 1:], [[0], [0], [1]])


def test_arrays_of_strings_and_of_dates():
    X = np.array([["a", "x"], ["b", "y"], ["a", "y"]])
    assert_array_equal(encoded(X), encoded(X.tolist()))
    assert encoded(X).shape == (3, 4)
    with pytest.raises(ValueError, match="dates or times"):
        ColumnReader.fit(as_frame(np.array([["2020"]], dtype="M8[D]")), "from_dtype")


def test_numbers_of_any_kind_in_object_columns():
    values = [Decimal("1.5"), 2, np.float32(3), True, None]
    X = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    assert_array_equal(encoded(X, scale=False)[:, 0], [1.5, 2, 3, 1, 1.5])
    stray = pd.DataFrame({"x": pd.Series([*range(10), *["x"] * 5], dtype=object)})
    with pytest.raises(ValueError, match="numbers and words side by side"):
        ColumnReader.fit(stray)
    complex_ = pd.DataFrame({"x": [1j, 2], "kind": ["a", "b"]})
    with pytest.raises(ValueError, match=r"\(x\): Complex data not supported"):
        ColumnReader.fit(complex_)


def test_a_name_that_stands_for_several_columns():
    X = pd.DataFrame([[1, 2, 3]] * 4, columns=["a", "b", "a"])
    assert ColumnReader.fit(X, ["a"]).categorical.tolist() == [True, False, True]


# Numbers.


def test_numbers_are_robust_to_scale_and_outliers():
    x = np.random.default_rng(0).normal(size=(200, 1))
    wild = np.append(x, [[1e300], [-1e300]], axis=0)
    z = encoded(wild, declared=[])
    assert abs(np.median(z)) < 0.1
    assert_allclose(z[-2:], [[3], [-3]])
    assert 0.5 < np.std(z[:-2]) < 1
    assert_allclose(encoded(wild * 1e-9 + 7, declared=[])[:-2], z[:-2], atol=1e-6)


def test_by_hand():
    x = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])  # quartiles 1, 3, 5 of the inverted CDF
    z = (x - 3) / 4
    assert_allclose(
        encoded(x[:, None], declared=[])[:, 0], z / np.sqrt(1 + (z / 3) ** 2)
    )
    rare = np.array([0.0] * 9 + [8])  # quartiles are all 0: half the range
    assert_allclose(encoded(rare[:, None], declared=[])[-1, 0], 2 / np.sqrt(1 + 4 / 9))


def test_a_users_net_gets_numbers_as_they_are():
    plain = encoded(PLAIN, scale=False)
    assert_array_equal(plain[:, 0], [1, 2, 3, 1, 2, 3])  # the median is 2
    assert_array_equal(plain[:, 2], [0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("scale", [False, True])
def test_constant_and_empty_columns(scale):
    X = pd.DataFrame(
        {
            "same": 7.0,
            "none": np.nan,
            "nothing": pd.Series([None] * 4, dtype=object),
            "level": "a",
            "x": [1.0, 2, 3, 4],
        },
        index=range(4),
    )
    table = encoded(X, scale=scale)
    assert np.isfinite(table).all()
    assert_array_equal(table[:, 0], 0 if scale else 7)
    assert_array_equal(table[:, 1], 0)
    news = X.assign(nothing="word", none=5.0, level="b")
    with pytest.warns(UserWarning, match="'nothing': none.*\n.*'level': none"):
        assert np.isfinite(encoded(X, new=news, scale=scale)).all()
    # No indicators where nothing was known; of objects that are all missing, a level.
    assert table.shape == (4, 3 + 1 + 1)


def test_missing_for_the_first_time():
    X = np.array([[1.0, 2], [3, 4], [5, 6]])
    new = np.array([[np.nan, 4]])
    assert_array_equal(encoded(X, new=new, declared=[]), [[0, 0]])


# Pieces of numbers.

LARGEST = np.finfo(float).max


def test_bins_are_quantiles_in_the_scale_of_the_columns():
    x = np.random.default_rng(0).normal(size=(321, 1))
    encoder = encoder_of(x, declared=[])
    edges = encoder.bins_[0]
    assert len(edges) == preprocessing.MAX_BINS + 1
    z = encoder.transform(x)[:, 0].astype(np.float32)
    counts, _ = np.histogram(z, edges)
    assert counts.min() >= 19
    assert counts.max() <= 22
    assert encoder_of(x, declared=[], scale=False).bins_ == []


@pytest.mark.parametrize(
    "x",
    [
        [7.0, 7],
        [np.nan, np.nan],
        [0.0, 1],
        [1e30, 1e30],
        [1, 1 + 1e-12],
        [*[1.0] * 9, LARGEST],
        [-LARGEST, LARGEST] * 4,
        [-LARGEST, 0, 1, 2, LARGEST],
        [0.0, 1e-120, 2e-120, 1e-30, 1e-5, *[1e90] * 4],
    ],
)
def test_any_numbers_are_scaled_to_finite_ones_and_bins_increase(x):
    X = np.reshape(x, (-1, 1))
    encoder = encoder_of(X, declared=[])
    edges = encoder.bins_[0]
    assert edges.dtype == np.float32
    assert len(edges) >= 3
    assert (np.diff(edges) > 0).all()
    assert np.isfinite(1 / np.diff(edges)).all()  # the slope of each piece
    for new in (X, -X, np.full((1, 1), LARGEST)):
        assert np.isfinite(encoder.transform(new)).all()


# Many levels.


def test_rare_levels_have_no_column(monkeypatch):
    monkeypatch.setattr(preprocessing, "MAX_CATEGORIES", 2)
    X = pd.DataFrame({"kind": list("aaabbbcd")})
    encoder = encoder_of(X)
    assert encoder.get_feature_names_out().tolist() == ["kind_a", "kind_b"]
    assert_array_equal(encoder.transform(X).sum(axis=1), [1] * 6 + [0] * 2)


def test_thousands_of_levels_take_bounded_memory():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"kind": rng.integers(4000, size=20_000)}).astype("category")
    with pytest.warns(UserWarning, match="'kind': .* different values"):
        assert encoded(X).shape == (20_000, dtypes.MAX_CATEGORIES)


# Weights.


def test_a_share_of_the_weight_that_is_just_a_quantile():
    x = np.array([0.0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1])[:, None]
    weight = np.array([1, 1, 1, 1, 3, 1, 1, 3, 4, 1, 3])  # a quarter on the zeros
    weighted = encoder_of(x, weight / weight.mean(), declared=[])
    repeated = encoder_of(np.repeat(x, weight, axis=0), declared=[])
    assert_array_equal(weighted.transform(x), repeated.transform(x))


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(2, 12), st.just(2)),
        elements=st.sampled_from([0.0, 1, 2, 3, 5.5, np.nan]),
    ),
    st.data(),
)
def test_a_weight_counts_as_copies(X, data):
    n = len(X)
    weight = np.array(data.draw(st.lists(st.integers(1, 4), min_size=n, max_size=n)))
    weighted = encoder_of(X, weight / weight.mean(), declared=[1])
    repeated = encoder_of(np.repeat(X, weight, axis=0), declared=[1])
    assert_array_equal(weighted.transform(X), repeated.transform(X))
    for ours, theirs in zip(weighted.bins_, repeated.bins_, strict=True):
        assert_array_equal(ours, theirs)
    assert_array_equal(
        weighted.get_feature_names_out(), repeated.get_feature_names_out()
    )


def test_weights_decide_which_levels_are_rare(monkeypatch):
    monkeypatch.setattr(preprocessing, "MAX_CATEGORIES", 1)
    X = pd.DataFrame({"kind": list("aab")})
    assert encoder_of(X).get_feature_names_out().tolist() == ["kind_a"]
    heavy = encoder_of(X, np.array([0.5, 0.5, 2]))
    assert heavy.get_feature_names_out().tolist() == ["kind_b"]


# Blocks, dtypes and sparse rows.


@pytest.mark.parametrize("as_dict", [False, True])
def test_block_by_block(monkeypatch, as_dict):
    expected = encoded(PLAIN, as_dict=as_dict)
    monkeypatch.setattr(preprocessing, "BLOCK_CELLS", 7)
    got = encoded(PLAIN, as_dict=as_dict)
    parts = [(got, expected)]
    if as_dict:
        parts = [(got[name], expected[name]) for name in expected]
    for ours, whole in parts:
        assert_array_equal(ours, whole)


def test_in_the_dtype_asked_for():
    table = TableEncoder().fit_transform(PLAIN)
    assert table.dtype == np.float32
    assert_allclose(table, encoded(PLAIN), rtol=1e-6)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_rows_are_scaled_and_stay_sparse(container):
    X = np.random.default_rng(0).poisson(0.3, size=(50, 6)).astype(float)
    weight = np.random.default_rng(1).uniform(0.1, 3, size=50)
    ours = TableEncoder(dtype=np.float64).fit(container(X), sample_weight=weight)
    theirs = StandardScaler(with_mean=False).fit(X, sample_weight=weight)
    got = ours.transform(container(X))
    assert sparse.issparse(got)
    assert_allclose(got.toarray(), theirs.transform(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [-0.9, -0.5, 0.5, 0.9])
def test_sparse_columns_whose_squares_overflow_or_vanish_are_scaled(power, dtype):
    X = np.random.default_rng(0).poisson(0.3, size=(50, 2)).astype(dtype)
    expected = TableEncoder(dtype=np.float64).fit_transform(sparse.csr_array(X))
    X[:, 1] *= dtype(np.finfo(dtype).max) ** dtype(power)
    got = TableEncoder(dtype=np.float64).fit_transform(sparse.csr_array(X))
    assert_allclose(got.toarray(), expected.toarray(), rtol=1e-5)


def test_sparse_numbers_far_from_those_of_fit_stay_finite():
    X = sparse.csr_array(np.eye(4))
    encoder = TableEncoder().fit(X)
    far = encoder.transform(sparse.csr_array([[1e300, -1e300, 1e-300, 1]])).toarray()
    assert_array_equal(far[0, :2], [1e6, -1e6])
    assert_array_equal(far[0, 3], encoder.transform(X).toarray()[3, 3])


def test_entries_of_a_sparse_table_stay_as_they_are_stored():
    indptr, indices, data = [0, 3, 4], [2, 0, 0, 1], [1.0, 2.0, 3.0, 4.0]
    X = sparse.csr_array((data, indices, indptr), shape=(2, 3))
    TableEncoder().fit(X).transform(X)
    assert (X.indices.tolist(), X.data.tolist()) == (indices, data)


def test_sparse_rows_behind_an_encoder_of_dense_ones(monkeypatch):
    monkeypatch.setattr(preprocessing, "BLOCK_CELLS", 7)
    X = np.random.default_rng(0).normal(3, 5, size=(50, 6))
    encoder = TableEncoder().fit(X)
    assert_array_equal(encoder.transform(sparse.csr_array(X)), encoder.transform(X))


# Real tables.


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
@pytest.mark.parametrize(
    "name", ["adult", "colic", "hotel-bookings", "open-payments", "soybean"]
)
def test_real_tables(table, name, library):
    X, _ = table(name)
    X = X[:2000]
    # Levels written like numbers are numbers where they come as strings.
    like_numbers = [name for name in X if X[name].dtype == "category"]
    like_numbers = [
        name
        for name in like_numbers
        if pd.to_numeric(X[name].cat.categories, errors="coerce").notna().all()
    ]
    X = X.drop(columns=like_numbers)
    expected = encoded(X)
    assert np.isfinite(expected).all()
    assert abs(expected).max() <= 3
    same = {
        "pandas": lambda: X.astype(
            dict.fromkeys(X.select_dtypes("category").columns, "str")
        ),
        "polars": lambda: pl.from_pandas(X),
        "arrow": lambda: X.convert_dtypes(dtype_backend="pyarrow"),
    }[library]()
    assert_array_equal(encoded(same), expected)


# A transformer of scikit-learn.

CHECKED = [TableEncoder(), TableEncoder(scale=False, dtype=np.float64)]


@parametrize_with_checks(CHECKED)
def test_check(estimator, check):
    check(estimator)


def test_the_encoder_of_a_fit_can_be_cloned_and_gives_what_the_net_gets():
    y = [0, 1, 0, 1, 0, 1]
    net = default_net("classifier").set_params(max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(PLAIN, y)
    assert repr(clf.encoder_) == "TableEncoder()"
    given = clf.encoder_.transform(PLAIN)
    assert given.dtype == np.float32
    assert_array_equal(clone(clf.encoder_).fit_transform(PLAIN), given)
    proba = clf.estimator_.predict_proba(given)
    assert_allclose(proba, clf.predict_proba(PLAIN), rtol=1e-6)
    declared = MixupClassifier(net, categorical_features=["count", "kind"])
    encoder = declared.fit(PLAIN, y).encoder_
    again = clone(encoder).fit(PLAIN)
    assert_array_equal(again.get_feature_names_out(), encoder.get_feature_names_out())


def test_the_encoder_of_sparse_rows_is_one_too():
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.random((60, 5)) * (rng.random((60, 5)) < 0.4))
    net = default_net("classifier").set_params(max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(X, np.arange(60) % 2)
    given = clone(clf.encoder_).fit_transform(X)
    assert given.dtype == np.float32
    assert_array_equal(given.toarray(), clf.encoder_.transform(X).toarray())
    summary = clf.encoder_.feature_summary()
    assert summary["read_as"].tolist() == ["number"] * 5
    assert summary["median"].isna().all()
    plain = TableEncoder(scale=False, dtype=np.float64).fit_transform(X)
    assert_array_equal(plain.toarray(), X.toarray())
    with pytest.raises(ValueError, match=r"sparse table .* as_dict=True"):
        TableEncoder(as_dict=True).fit(X)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_come_out_where_they_are_asked_for(library):
    encoder = TableEncoder().set_output(transform=library).fit(PLAIN)
    frame = encoder.transform(PLAIN)
    assert list(frame.columns) == encoder.get_feature_names_out().tolist()
    assert_array_equal(frame.to_numpy(), TableEncoder().fit_transform(PLAIN))


@pytest.mark.parametrize("as_dict", [False, True])
def test_no_two_columns_of_the_output_have_one_name(as_dict):
    n = 12
    X = pd.DataFrame({"c": list("uv") * 6, "c_u": np.arange(n), "a": np.arange(n)})
    X["missingindicator_a"] = np.arange(n)
    X.loc[0, "a"] = None
    X["k"], X["k_l"] = ["l_m", "o"] * 6, ["m", "o"] * 6
    encoder = TableEncoder(as_dict=as_dict).fit(X)
    names = encoder.get_feature_names_out().tolist()
    assert len(set(names)) == len(names)
    assert names[:4] == ["c_u", "a", "missingindicator_a", "missingindicator_a_2"]
    features = encoder.feature_summary()["features"]
    assert {name for of_one in features for name in of_one} == set(names)
    if not as_dict:
        assert names[4:] == ["c_u_2", "c_v", "k_l_m", "k_o", "k_l_m_2", "k_l_o"]
        encoder.set_output(transform="polars")
        assert encoder.transform(X).columns == names


def test_before_fit_there_is_nothing_to_ask():
    for ask in ("transform", "get_feature_names_out", "feature_summary"):
        arguments = [PLAIN] * (ask == "transform")
        with pytest.raises(NotFittedError):
            getattr(TableEncoder(), ask)(*arguments)


def test_rows_of_weight_0_do_not_count():
    weight = np.array([1, 2, 1, 1, 0, 0])
    ours = TableEncoder().fit(PLAIN, sample_weight=weight)
    theirs = TableEncoder().fit(PLAIN[:4], sample_weight=weight[:4])
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    assert_array_equal(ours.transform(PLAIN[:4]), theirs.transform(PLAIN[:4]))
    with pytest.raises(ValueError, match="sample_weight of zeros"):
        TableEncoder().fit(PLAIN, sample_weight=np.zeros(6))


def test_a_reader_serves_several_encoders():
    reader = ColumnReader.fit(PLAIN)
    table = reader.transform(PLAIN)
    some, all_rows = (TableEncoder().fit_table(table[:n], reader) for n in (3, 6))
    assert some.reader_ is all_rows.reader_
    assert_array_equal(some.feature_names_in_, PLAIN.columns)
    # "c" is known to the reader, and not among the rows that some was fitted on.
    assert "kind_c" in all_rows.get_feature_names_out()
    assert "kind_c" not in some.get_feature_names_out()
    assert some.transform(PLAIN).shape == (6, some.n_columns_)


@pytest.mark.parametrize("given", [[("kind", "flag")], ["kind", ("count", "flag")]])
def test_tuples_are_no_columns(given):
    with pytest.raises(TypeError, match="a sequence of column names, of positions or"):
        TableEncoder(given).fit(PLAIN)
    with pytest.raises(TypeError, match="a sequence of column names, of positions or"):
        MixupClassifier(categorical_features=given).fit(PLAIN, [0, 1] * 3)


class TestInverseTransform:
    @pytest.fixture
    def table(self):
        rng = np.random.default_rng(0)
        return pd.DataFrame(
            {
                "size": np.where(np.arange(60) % 7, rng.normal(50, 10, 60), np.nan),
                "hue": rng.choice(["red", "green"], 60),
                "tail": rng.standard_t(2, 60),
                "mood": np.where(np.arange(60) % 5, "glad", None),
                "same": 3.0,
                "none": np.nan,
            }
        )

    @pytest.mark.parametrize("scale", [True, False])
    @pytest.mark.parametrize("as_dict", [True, False])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_gives_the_table_back(self, scale, as_dict, dtype, table):
        encoder = TableEncoder(scale=scale, as_dict=as_dict, dtype=dtype).fit(table)
        decoded = encoder.inverse_transform(encoder.transform(table))
        expected = table.astype({"hue": object, "mood": object})
        missing = expected.isna()
        assert_array_equal(decoded.isna(), missing)
        decoded, expected = decoded.mask(missing), expected.mask(missing)  # None is nan
        close = 1e-9 if dtype is np.float64 else 1e-3
        pd.testing.assert_frame_equal(decoded, expected, rtol=close, atol=close)

    def test_shares_of_mixed_categories(self, table):
        encoder = TableEncoder(dtype=np.float64).fit(table)
        Z = encoder.transform(table.iloc[[0, 1]])  # both are missing in row 0
        row = encoder.inverse_transform(0.75 * Z[:1] + 0.25 * Z[1:]).iloc[0]
        glad = {"nan" if key is np.nan else key: s for key, s in row["mood"].items()}
        assert glad == pytest.approx({"nan": 0.75, "glad": 0.25})
        # A missing number counts as the median.
        low, high = sorted([table["size"][1], table["size"].median()])
        assert low < row["size"] < high

    def test_a_category_without_a_column_is_none(self):
        X = pd.DataFrame({"c": [f"v{k}" for k in range(60)] + ["a", "b"] * 100})
        for as_dict in (False, True):
            encoder = TableEncoder(["c"], as_dict=as_dict).fit(X)
            decoded = encoder.inverse_transform(encoder.transform(X))["c"]
            assert decoded[-2:].tolist() == ["a", "b"]
            assert decoded[59] is None
        encoder = TableEncoder().fit(pd.DataFrame({"c": list("aabb")}))
        shares = encoder.inverse_transform(np.array([[0.25, 0.0]]))["c"].tolist()
        assert shares == [{"a": 0.25, None: 0.75}]

    def test_sparse_rows(self):
        X = sparse.random(30, 6, density=0.3, format="csr", random_state=0)
        encoder = TableEncoder(dtype=np.float64).fit(X)
        decoded = encoder.inverse_transform(encoder.transform(X))
        assert_allclose(decoded, X.toarray())
        assert decoded.columns.tolist() == [f"x{j}" for j in range(6)]

    def test_other_columns_are_refused(self, table):
        encoder = TableEncoder().fit(table)
        with pytest.raises(ValueError, match=r"Got encoded rows of shape \(2, 3\)"):
            encoder.inverse_transform(np.zeros((2, 3)))
        with pytest.raises(NotFittedError):
            TableEncoder().inverse_transform(np.zeros((2, 3)))
