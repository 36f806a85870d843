"""What strings are read as, what is refused and told, and which categories match."""

import io
import pickle
import re
import warnings
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sample_nets import Layers, logits_net, number_net
from scipy import sparse

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
)
from skmix._tables import strings
from skmix._tables.dtypes import ColumnReader, as_frame
from skmix.preprocessing import TableEncoder

STRINGS = [object, "str", "string", pd.ArrowDtype(pa.string())]


def learn(values, declared="from_dtype", dtype=object):
    return ColumnReader.fit(frame(values, dtype), declared)


def frame(values, dtype=object):
    return pd.DataFrame({"a": pd.Series(list(values), dtype=dtype)})


def numbers(reader, values, dtype=object, **options):
    return reader.transform(frame(values, dtype), **options)[:, 0].tolist()


def hot(X, new, declared="from_dtype"):
    """One-hot columns of another table, by what was learnt from `X`."""
    return TableEncoder(declared, scale=False).fit(X).transform(new)


# Strings that are numbers.


@pytest.mark.parametrize("dtype", STRINGS, ids=str)
def test_strings_in_plain_notation_are_numbers_and_nothing_is_told(dtype):
    values = ["12.30", " 7 ", "-1e3", "+.5", "5.", None]
    reader = learn(values, dtype=dtype)
    assert not reader.categorical.any()
    assert numbers(reader, values, dtype)[:5] == [12.3, 7, -1000, 0.5, 5]
    assert np.isnan(numbers(reader, values, dtype)[5])


@pytest.mark.parametrize("dtype", STRINGS, ids=str)
def test_what_is_no_number_among_numbers_is_missing_and_told(dtype):
    values = [f"{i}.5" for i in range(97)] + ["12,30", "x", "x"]
    with pytest.warns(UserWarning, match=r"'a': 3 of 100 values \(such as 'x'\)"):
        reader = learn(values, dtype=dtype)
    read = numbers(reader, values, dtype, is_new=False)
    assert read[:97] == [i + 0.5 for i in range(97)]
    assert np.isnan(read[97:]).all()


MARKERS = ["", "?", "-", "--", ".", "NA", "n/a", "NaN", "NULL", "None", " missing "]


def test_missing_markers_count_neither_for_nor_against_numbers():
    values = [*MARKERS, "Unknown", "1", "2.5"]
    with pytest.warns(UserWarning, match="'a': 12 of 14 values"):
        reader = learn(values)
    assert (
        np.isnan(numbers(reader, values, is_new=False)).tolist()
        == [True] * 12 + [False] * 2
    )
    # Where nothing is a number, they are categories as others are.
    assert learn(["?", "b", "c"]).categories[0].tolist() == ["?", "b", "c"]
    assert learn(["?", "?"]).categorical.all()


def test_numbers_and_strings_that_are_such_are_one_column():
    values = [1, 2.5, Decimal("3.25"), Fraction(1, 2), np.float32(4), "5", True]
    assert numbers(learn(values), values) == [1, 2.5, 3.25, 0.5, 4, 5, 1]


@pytest.mark.parametrize(
    ("values", "expected", "told"),
    [
        (["1,200", "999", "12,345,678.5"], [1200, 999, 12345678.5], "for thousands"),
        (["1,5", "12,25", "3"], [1.5, 12.25, 3], "decimal comma, '1,5' being 1.5"),
        (["0,125", "1,500"], [0.125, 1.5], "decimal comma"),
        (["1.234,50", "12,5", "0,5", "7"], [1234.5, 12.5, 0.5, 7], "decimal comma"),
        (["$1,200", "-$5", "$7.50"], [1200, -5, 7.5], "for thousands"),
        (["5 €", "7 €"], [5, 7], "decimal point, '5 €' being 5"),
        (["12%", "3.5 %"], [12, 3.5], "'12%' being 12"),
        (["1 200", "12\u202f345"], [1200, 12345], "'1 200' being 1200"),
        (["\u22125", "4"], [-5, 4], "being -5"),
    ],
)
def test_other_notations_are_read_and_told(values, expected, told):
    with pytest.warns(UserWarning, match=f"'a': numbers with a .*{re.escape(told)}"):
        reader = learn(values)
    assert numbers(reader, values) == expected


def test_one_notation_a_column():
    by_three = [f"{i}.125" for i in range(1, 100)]  # would be thousands, with commas
    with pytest.warns(UserWarning, match=r"1 of 100 values \(such as '12,30'\)"):
        reader = learn([*by_three, "12,30"])
    assert reader.notations == ["decimal point"]
    assert numbers(reader, by_three) == [i + 0.125 for i in range(1, 100)]
    with pytest.warns(UserWarning, match=r"1 of 100 values \(such as '12.5'\)"):
        reader = learn([f"{i},5" for i in range(99)] + ["12.5"])
    assert reader.notations == ["decimal comma"]


def test_words_that_python_takes_for_numbers_are_none():
    with pytest.warns(UserWarning, match="4 of 84 values"):
        learn([*map(str, range(80)), "inf", "0x1A", "1_000", "1e"])


def test_integers_some_of_which_begin_with_zero_are_codes():
    many = [f"{i:03}" for i in range(60)] * 2
    assert learn(many).categorical.all()
    assert learn(["01", "12", "7"]).categories[0].tolist() == ["01", "12", "7"]
    assert learn(["01.5", "12", "7"]).categories == [None]
    assert learn(["0", "12", "0.5"]).categories == [None]


# Strings that are refused.

DATES = [
    "2020-01-31",
    "2020-1-3 12:30",
    "2020-01-31T12:30:00Z",
    "2020-01-31 12:30:00.123+02:00",
    "2020/01/31",
    "31/12/2020",
    "12/31/2020 1:05 PM",
    "31.12.2020",
    "1/2/20",
    "12:30",
    "12:30:15",
    "3 May 2020",
    "Jan 3, 2020",
    "03-Jan-20",
    "January 2020",
    "Mon, 03 Feb 2020 10:00:00 GMT",
    "31.12.20",
    "20200131T101500",
    "20200131T1015Z",
    "2020\u5e741\u670831\u65e5",
    "1 days 00:00:00",
    "-1 days +23:00:00.5",
    "1 day, 0:30:00",
]


@pytest.mark.parametrize("date", DATES)
def test_dates_as_strings_are_refused_as_dates_are(date):
    with pytest.raises(ValueError, match=r"dates or times \(a\).*tabular_pipeline"):
        learn([date] * 3 + [None, "?"])
    assert learn([date] * 3, ["a"]).categorical.all()
    assert ColumnReader.fit(
        frame([date] * 3).astype("category"), "from_dtype"
    ).categorical


@pytest.mark.parametrize("dtype", STRINGS, ids=str)
def test_dates_are_known_in_strings_of_any_dtype(dtype):
    with pytest.raises(ValueError, match=r"dates or times \(a\)"):
        learn(pd.date_range("2020", periods=40).astype(str), dtype=dtype)


@pytest.mark.parametrize(
    "word",
    [
        "1.2.3",
        "1.10.20",
        "may",
        "mon",
        "45/12/2020",
        "MARK 12",
        "10.0.0.1",
        "3:2",
        "1/2",
    ],
)
def test_what_only_looks_like_a_date_is_a_category(word):
    assert learn([word, "other"] * 3).categorical.all()
    assert learn([word] * 3).categorical.all()


def test_strings_that_are_all_different_are_ids():
    ids = [f"T-{i}" for i in range(20)]
    with pytest.raises(ValueError, match=r"all different, as ids are \(a\).*drop"):
        learn(ids)
    with pytest.raises(ValueError, match="as ids are"):
        learn([f"{i:04}" for i in range(20)])
    with pytest.raises(ValueError, match="as ids are"):
        learn([*ids, None, None])
    assert learn(ids[:19]).categorical.all()
    assert learn([*ids, ids[0]]).categorical.all()
    assert learn(ids, [0]).categorical.all()
    assert ColumnReader.fit(
        frame(ids).astype("category"), "from_dtype"
    ).categorical.all()
    assert learn(map(str, range(20))).categories == [None]  # numbers, as ints are


def test_numbers_and_words_side_by_side():
    few = [*"123456", "7+", "n"] * 3
    assert learn(few).categorical.all()
    many = [*map(str, range(60)), *["word"] * 20]
    with pytest.raises(ValueError, match=r"numbers and words side by side \(a\)"):
        learn(many)
    with pytest.raises(ValueError, match="side by side"):
        learn([1, 2, 3, "word"])
    assert learn([1, "word", "b", "c"]).categorical.all()


def test_all_problems_of_all_columns_are_in_one_message():
    n = 30
    X = pd.DataFrame(
        {
            "size": range(n),
            "day": pd.date_range("2020", periods=n),
            "told": pd.date_range("2020", periods=n).astype(str),
            "id": [f"T-{i}" for i in range(n)],
            "note": [f"this is the sentence number {i} of all" for i in range(n)],
            "both": pd.Series([1, 2, "x"] * 10, dtype=object),
            "thing": pd.Series([[1]] * n, dtype=object),
        }
    )
    with pytest.raises(ValueError, match="Got columns that") as caught:
        MixupClassifier().fit(X, [0, 1] * 15)
    lines = str(caught.value).splitlines()[1:]
    assert [re.search(r"\((.*?)\):", line)[1] for line in lines] == [
        "day, told",
        "note",
        "id",
        "both",
        "thing",
    ]
    for line in lines[:3]:
        assert "skrub.tabular_pipeline(MixupClassifier())" in line
    with pytest.raises(TypeError, match="other things"):
        ColumnReader.fit(X[["size", "thing"]], "from_dtype")


@pytest.mark.parametrize("declared", ["from_dtype", None, ["b"]])
def test_strings_that_are_numbers_need_no_declaration(declared):
    X = pd.DataFrame({"a": ["1", "2.5"], "b": [1, 2]})
    assert ColumnReader.fit(X, declared).categories[0] is None
    assert ColumnReader.fit(X, ["a"]).categories[0].tolist() == ["1", "2.5"]


@pytest.mark.parametrize(
    ("values", "expected", "told"),
    [
        (["($1,062.87)", "$950.00"], [-1062.87, 950], "being -1062.87"),
        (["$(1,062.87)", "(5)", "7"], [-1062.87, -5, 7], "being -1062.87"),
        (["(1.062,87)", "5,5", "1"], [-1062.87, 5.5, 1], "being -1062.87"),
        (["EUR 12.30", "7"], [12.3, 7], "being 12.3"),
        (["12.30 EUR", "EUR -7", "-EUR 8"], [12.3, -7, -8], "being 12.3"),
        (["CHF 1'200.50", "CHF 5"], [1200.5, 5], "being 1200.5"),
        (["USD 1,200", "GBP 5", "6 GBP"], [1200, 5, 6], "being 1200"),
        (["R$ 1.234,50", "R$ 0,5", "R$7"], [1234.5, 0.5, 7], "being 1234.5"),
        (["US$5.50", "US$ 7"], [5.5, 7], "being 5.5"),
        (["12,50 kr.", "12 kr", "kr 3,5"], [12.5, 12, 3.5], "being 12.5"),
        (["EUR 1e3", "EUR 5"], [1000, 5], "being 1000"),
        (
            ["1.234.567", "12.345", "7"],
            [1234567, 12345, 7],
            "'1.234.567' being 1234567",
        ),
        (
            ["12,34,567", "1,234", "99"],
            [1234567, 1234, 99],
            "'12,34,567' being 1234567",
        ),
        (["1,23,45,678.50", "-5"], [12345678.5, -5], "being 12345678.5"),
    ],
)
def test_common_notations_of_money_and_of_thousands_are_read(values, expected, told):
    with pytest.warns(UserWarning, match=re.escape(told)):
        reader = learn(values)
    assert numbers(reader, values) == expected


def test_a_point_is_between_thousands_only_where_several_say_so():
    assert numbers(learn(["1.234", "950.000"]), ["1.234"]) == [1.234]
    many = [f"{i}.5" for i in range(1, 100)]
    with pytest.warns(UserWarning, match="1 of 100 values"):
        assert learn([*many, "1.234.567"]).notations == ["decimal point"]
    assert learn(["1.2.3", "1.2.4", "1.10.0"] * 3).categorical.all()
    assert learn(["10.0.0.1", "10.0.0.2"] * 3).categorical.all()


@pytest.mark.parametrize(
    "text", ["{} km", "{}.6k", "{} kg/m2", "{},000+", "~{} years old"]
)
def test_numbers_with_a_unit_are_not_said_to_be_ids(text):
    values = [text.format(1063 + i) for i in range(25)]
    with pytest.raises(ValueError, match=r"hold numbers with something beside") as told:
        learn(values)
    assert "X[c].str.extract(r'([\\d.]+)')[0].astype(float)" in str(told.value)
    assert "drop" not in str(told.value)
    with pytest.warns(UserWarning, match="'a': 25 different strings .*hold a number"):
        assert learn(values * 2).categorical.all()
    assert learn(values * 2, ["a"]).categorical.all()
    assert learn(values[:10] * 2).categorical.all()


@pytest.mark.parametrize("text", ["T-{}", "{} of a kind {}", "x{}y", "{}-{}"])
def test_ids_with_digits_are_ids(text):
    with pytest.raises(ValueError, match=r"as ids are|free text"):
        learn([text.format(i, i) for i in range(30)])


def test_how_a_long_column_is_written_is_decided_by_some_of_its_values(monkeypatch):
    asked = []
    decide = strings.notation_of

    def notation_of(values, counts):
        asked.append(len(values))
        return decide(values, counts)

    monkeypatch.setattr("skmix._tables.strings.notation_of", notation_of)
    values = [f"{i:,}.25" for i in range(1000, 15_000)]
    with pytest.warns(UserWarning, match="comma for thousands"):
        reader = learn(values)
    assert asked == [10_000]
    assert numbers(reader, values) == [i + 0.25 for i in range(1000, 15_000)]


def test_days_of_eight_digits_are_dates_where_there_are_many():
    days = pd.date_range("2020-01-25", periods=12).strftime("%Y%m%d").tolist()
    with pytest.raises(ValueError, match=r"dates or times \(a\)"):
        learn([*days, None, "?"])
    with pytest.raises(ValueError, match=r"dates or times \(a\)"):
        learn([*days, "00000000"])
    assert learn([f"{i:08}" for i in range(12)] * 2).categorical.all()
    assert learn(days[:9]).categories == [None]
    assert learn([*days, "20201301"]).categories == [None]
    assert learn([*days, "30200101"]).categories == [None]
    assert learn(list(map(int, days))).categories == [None]
    assert learn(days, ["a"]).categorical.all()


@pytest.mark.parametrize("none", ["0000-00-00", "0000-00-00 00:00:00", "9999-12-31"])
def test_days_that_are_none_are_missing_among_dates(none):
    with pytest.raises(ValueError, match=r"dates or times \(a\)"):
        learn(["2020-01-31", "2020-02-01", none, none] * 3)
    assert learn([none, "a", "b"]).categorical.all()


def test_dates_among_words_are_refused_where_there_are_many():
    days = pd.date_range("2020", periods=60).astype(str).tolist()
    for words in (["open"] * 30, [f"word {i}" for i in range(30)]):
        with pytest.raises(ValueError, match=r"dates or times \(a\)"):
            learn([*days, *words])
    assert learn([*days[:40], *["open"] * 30]).categorical.all()
    assert learn([*days, *["open"] * 61]).categorical.all()


# Categories most of which are not kept.


def test_a_category_that_its_kept_levels_hardly_cover_is_told():
    names = [f"n{i}" for i in range(300)] * 2
    told = r"'a': 300 different values, of which the 50 .* cover 17 % of the rows"
    for X in (frame(names), frame(names).astype("category")):
        with pytest.warns(UserWarning, match=told):
            ColumnReader.fit(X)
        assert ColumnReader.fit(X, ["a"]).categorical.all()  # declared: known
    assert learn([*names, *["often"] * 600]).categorical.all()


# At prediction: numbers.


def test_a_column_of_numbers_takes_strings():
    reader = ColumnReader.fit(pd.DataFrame({"a": [1.0, 2.5]}), "from_dtype")
    assert numbers(reader, ["1", " 2.5 ", "-1e3"]) == [1, 2.5, -1000]
    assert numbers(reader, ["True", "False"]) == [1, 0]
    with pytest.warns(UserWarning, match=r"'a': 2 of 3 values \(such as '\?'\)"):
        assert np.isnan(numbers(reader, ["?", "x", "1"])[:2]).all()
    with pytest.raises(ValueError, match=r"column 'a' with values.*'x'.*in training"):
        numbers(reader, ["x", "y", "1", "?"])
    with pytest.raises(ValueError, match="column 'a' with values"):
        numbers(reader, ["2020-01-01"] * 2)
    with pytest.raises(ValueError, match="Complex data not supported"):
        reader.transform(pd.DataFrame({"a": [1j, 2]}))
    as_category = pd.DataFrame({"a": pd.Categorical(["1", "2.5"])})
    assert reader.transform(as_category).ravel().tolist() == [1, 2.5]


def test_the_notation_of_fit_holds_at_prediction():
    with pytest.warns(UserWarning, match="decimal comma"):
        reader = learn(["1,5", "2,25", "0,5"])
    assert numbers(reader, ["12,5", "7"]) == [12.5, 7]
    assert reader.transform(pd.DataFrame({"a": [1.5, 2]})).ravel().tolist() == [1.5, 2]
    with pytest.raises(ValueError, match="column 'a' with values"):
        numbers(reader, ["12.5"])


def test_points_alone_where_a_decimal_comma_is_in_force_are_told():
    with pytest.warns(UserWarning, match="decimal comma"):
        reader = learn(["1,5", "2,25", "0,5"])
    with pytest.warns(UserWarning, match=r"decimal comma, as in fit: '1.500' is 1500"):
        assert numbers(reader, ["1.500", "7", None])[:2] == [1500, 7]
    assert numbers(reader, ["1.500", "7,5"]) == [1500, 7.5]  # nothing is told
    plain = learn(["1.5", "2"])
    assert numbers(plain, ["1.500"]) == [1.5]
    with pytest.warns(UserWarning, match="1 of 3 values"):
        assert np.isnan(numbers(plain, ["1,500", "2", "3"])[0])


def test_a_reader_is_frozen_and_can_be_shared():
    reader = learn(["1", "2"])
    with pytest.raises(FrozenInstanceError):
        reader.notations = [None]
    other = pickle.loads(pickle.dumps(reader))
    assert numbers(other, ["3"]) == numbers(reader, ["3"]) == [3]


def test_lists_where_levels_were():
    reader = learn(["a", "b"])
    with pytest.raises(ValueError, match="'a' with values that are no categories"):
        reader.transform(frame([[1], [2]]))


# At prediction: categories, by value.

ALIKE = [
    [1, 2, 3],
    [1.0, 2.0, 3.0],
    ["1", "2", "3"],
    ["1.0", "2.0", "3.0"],
    [Decimal(1), Decimal("2.0"), Decimal("3.00")],
    [np.int8(1), np.float32(2), np.int64(3)],
    ["01", "02", " 3 "],
]


@pytest.mark.parametrize("new", ALIKE, ids=str)
@pytest.mark.parametrize("seen", ALIKE, ids=str)
@pytest.mark.parametrize("kind", ["category", object])
def test_levels_that_are_one_number_are_matched(seen, new, kind):
    seen, new = frame(seen), frame(new).astype(kind)
    assert_array_equal(hot(seen, new, ["a"]).sum(axis=1), 1)
    assert_array_equal(hot(seen, new, ["a"]), hot(seen, seen, ["a"]))


@pytest.mark.parametrize(
    "seen",
    [
        pd.Series([False, True]),
        pd.Series(pd.interval_range(0, 2)),
        pd.Series(pd.date_range("2020", periods=2)),
        pd.Series(["a", "b"]),
    ],
    ids=lambda seen: str(seen.dtype),
)
@pytest.mark.parametrize(
    "dtype", ["str", "string", "category", pd.StringDtype("pyarrow")]
)
def test_levels_that_are_written_alike_are_matched(seen, dtype):
    seen = seen.astype("category")
    X, text = pd.DataFrame({"a": seen}), pd.DataFrame({"a": seen.astype(str)})
    assert_array_equal(hot(X, text.astype(dtype)), np.eye(2))
    assert_array_equal(hot(text.astype("category"), X), np.eye(2))


def test_levels_are_not_matched_where_it_is_ambiguous():
    seen = frame(["01", "1", "2"])
    assert_array_equal(hot(seen, frame(["01", "1", 2]), ["a"]), np.eye(3))
    assert_array_equal(hot(seen, frame([1, "1.0", 2]), ["a"]).sum(axis=1), [0, 0, 1])
    both = frame([1, "1", 2])
    assert_array_equal(hot(both, both, ["a"]).sum(axis=1), 1)
    # Large numbers that are one in float64 are two categories.
    large = frame([2**53, 5])
    assert_array_equal(
        hot(large, frame([str(2**53 + 1), "5"]), ["a"]).sum(axis=1), [0, 1]
    )


def test_codes_of_levels_are_matched_too():
    X = pd.DataFrame({"a": pd.Categorical([3, 1, 2])})
    encoder = TableEncoder(scale=False, as_dict=True).fit(X)
    assert encoder.transform(X.astype(str))["x_cat"].ravel().tolist() == [3, 1, 2]
    assert encoder.transform(X.astype(float))["x_cat"].ravel().tolist() == [3, 1, 2]


def test_no_value_of_a_category_seen_is_told_by_name():
    X = pd.DataFrame({"a": ["x", "y"], "b": ["u", "v"], "c": ["x", "y"]})
    new = X.assign(a=["X", "Y"], b=["u", "W"], c=[None, None])
    reader = ColumnReader.fit(X)
    with pytest.warns(UserWarning, match="'a': none of its values") as told:
        reader.transform(new)
    assert "'b'" not in str(told[0].message)
    assert "'c'" not in str(told[0].message)


# At prediction: missing values, numbers of fewer bits, booleans and days as text.


@pytest.mark.parametrize(
    "text", ["None", "nan", "", "NaN", "<NA>", "NaT", " ? ", "NULL", "n/a"]
)
@pytest.mark.parametrize("kind", ["category", object])
def test_a_missing_level_is_matched_by_what_is_written_for_missing(text, kind):
    X = frame(["a", "b", None]).astype(kind)
    assert_array_equal(hot(X, X), np.eye(3))
    for dtype in (object, "str", "category"):
        assert_array_equal(hot(X, frame(["a", "b", text], dtype)), np.eye(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing level was seen in fit
        assert_array_equal(hot(X, frame([text])), [[0, 0, 1]])


def test_what_is_written_for_missing_stays_a_level_where_it_is_one():
    X = frame(["a", "?", None, "none"])
    read = ColumnReader.fit(X).transform(frame(["?", "none", "", "None"]))
    assert read.ravel().tolist() == [0, 2, 3, 3]
    # Where none was missing in fit, it is a level like others: not seen.
    with pytest.warns(UserWarning, match="none of its values"):
        assert hot(frame(["a", "b"]), frame(["nan"])).tolist() == [[0, 0]]


def test_missing_numbers_of_a_category_come_back_as_text():
    X = frame([1.0, 2.0, None], float).astype("category")
    assert_array_equal(hot(X, frame(["1.0", "2.0", "nan"])), np.eye(3))


@pytest.mark.parametrize("seen", ["float16", "float32", "float64"])
@pytest.mark.parametrize("new", ["float16", "float32", "float64", "text", "csv"])
def test_numbers_of_fewer_bits_are_the_levels_that_they_are_written_as(seen, new):
    values = [0.1, 0.3, 0.5, 2.0]
    X = frame(values, seen)
    asked = {
        "text": lambda: X.map(str),
        "csv": lambda: pd.read_csv(io.StringIO(X.to_csv(index=False))),
    }.get(new, lambda: frame(values, new))()
    kinds = [None] + ["category"] * (seen != "float16")
    for kind in kinds:
        fitted = X if kind is None else X.astype(kind)
        assert_array_equal(hot(fitted, asked, ["a"]), np.eye(4))
        assert_array_equal(hot(asked, fitted, ["a"]), np.eye(4))
    wide = X.astype(float)  # the same bits, and zeros
    assert_array_equal(hot(X, wide, ["a"]), np.eye(4))
    assert_array_equal(hot(wide, X, ["a"]), np.eye(4))
    assert_array_equal(hot(X, wide.map(str), ["a"]), np.eye(4))


def test_features_of_few_bits_are_named_as_they_are_written():
    X = frame([0.1, 0.5], "float32").astype("category")
    encoder = TableEncoder(scale=False).fit(X)
    assert encoder.get_feature_names_out().tolist() == ["a_0.1", "a_0.5"]


@pytest.mark.parametrize(
    "new",
    [["false", "true"], ["FALSE", "TRUE"], [" False", "True "], ["0", "1"], [0, 1.0]],
    ids=str,
)
def test_booleans_are_matched_as_other_programs_write_them(new):
    X = frame([False, True], bool)
    for fitted in (X.astype("category"), X.astype(object), X.astype("boolean")):
        assert_array_equal(hot(fitted, frame(new), ["a"]), np.eye(2))
    assert numbers(ColumnReader.fit(X), new) == [0, 1]
    words = frame(["False", "True"])
    if isinstance(new[0], str) and new[0] != "0":
        assert_array_equal(hot(words, frame(new)), np.eye(2))
        assert_array_equal(
            hot(frame(new), X), np.eye(2)[:, np.argsort(np.argsort(new))]
        )


def test_booleans_are_not_matched_where_it_is_ambiguous():
    X = frame(["1", "true", "x"])
    assert_array_equal(hot(X, frame([1.0, "1", "true"]), ["a"])[:, 0], [1, 1, 0])
    new = frame(["True", "true"])
    assert_array_equal(hot(frame(["true", "TRUE"]), new), [[0, 0], [0, 1]])


@pytest.mark.parametrize(
    "text", ["{}T00:00:00", "{}T00:00:00.000", "{} 00:00:00", "{} 00:00:00.000000"]
)
def test_days_are_matched_as_other_programs_write_them(text):
    X = frame(pd.date_range("2020", periods=2)).astype("category")
    new = frame([text.format(day) for day in ("2020-01-01", "2020-01-02")])
    assert_array_equal(hot(X, new), np.eye(2))
    assert_array_equal(hot(new.astype("category"), X), np.eye(2))


def test_times_are_matched_as_other_programs_write_them():
    X = frame(pd.date_range("2020-01-01 10:30", periods=2)).astype("category")
    new = frame(["2020-01-01T10:30:00", "2020-01-02T10:30:00.000"])
    assert_array_equal(hot(X, new), np.eye(2))


def test_levels_without_an_order_are_ordered_as_they_are_written():
    X = frame([(1, "a"), (1, 2)] * 3).astype("category")
    reader = ColumnReader.fit(X)
    assert reader.categories[0].tolist() == [(1, "a"), (1, 2)]
    backwards = X[::-1].reset_index(drop=True)
    assert ColumnReader.fit(backwards).categories[0].tolist() == [
        (1, "a"),
        (1, 2),
    ]
    assert reader.transform(X).ravel().tolist() == [0, 1] * 3


def test_categories_that_do_not_occur_are_not_looked_at(monkeypatch):
    categories = [f"n{i:04}" for i in range(2000)]
    X = frame(categories).astype("category")
    reader = ColumnReader.fit(X, ["a"])
    new = X.iloc[[1999, 7]]
    seen = []
    as_index = pd.Index

    def index(values, **options):
        seen.append(len(values))
        return as_index(values, **options)

    reader.transform(X)
    monkeypatch.setattr("skmix._tables.dtypes.pd.Index", index)
    assert reader.transform(new).ravel().tolist() == [1999, 7]
    assert max(seen) == 2


# Through the door.

ROWS = 60
QUICK = {"max_epochs": 3, "module__d_block": 8, "module__k": 2}
ESTIMATORS = {
    "classifier": lambda: MixupClassifier(
        default_net("classifier").set_params(**QUICK), random_state=0
    ),
    "classifier, own": lambda: MixupClassifier(
        logits_net(max_epochs=3), random_state=0
    ),
    "regressor": lambda: MixupRegressor(
        default_net("regressor").set_params(**QUICK), random_state=0
    ),
    "classifier cv": lambda: MixupClassifierCV(
        logits_net(max_epochs=3), alphas=(0.2,), cv=2, random_state=0
    ),
    "regressor cv": lambda: MixupRegressorCV(
        number_net(module__d_out=1, max_epochs=3), alphas=(0.2,), cv=2, random_state=0
    ),
}
OLD_PANDAS = pd.__version__.startswith("2.")
each_estimator = pytest.mark.parametrize(
    "make", ESTIMATORS.values(), ids=ESTIMATORS.keys()
)


@pytest.fixture(scope="module")
def messy():
    rng = np.random.default_rng(0)
    g = rng.integers(1, 4, size=ROWS)
    price = rng.normal(10, 3, size=ROWS).round(2)
    X = pd.DataFrame({"price": price, "g": pd.Categorical(g)})
    return X, (price > 10).astype(int)


@each_estimator
def test_predictions_do_not_depend_on_the_dtype_of_the_table(messy, make):
    X, y = messy
    fitted = make().fit(X, y)
    expected = fitted.predict(X)
    for g in ("str", "string", float, int, object):
        assert_array_equal(fitted.predict(X.astype({"g": g})), expected)
    assert_array_equal(fitted.predict(X.astype(str)), expected)
    assert_array_equal(fitted.predict(pl.from_pandas(X.astype(str))), expected)
    with pytest.warns(UserWarning, match="'g': none of its values"):
        fitted.predict(X.assign(g="new"))


@each_estimator
def test_prices_as_text_are_the_numbers_that_they_are(messy, make):
    X, y = messy
    X = X[["price"]]
    fitted, as_text = make().fit(X, y), make().fit(X.astype(str), y)
    assert_array_equal(as_text.predict(X.astype(str)), fitted.predict(X))
    assert_array_equal(as_text.predict(X), fitted.predict(X))
    dirty = X.astype(str)
    dirty.iloc[:2] = "?"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        make().fit(dirty, y)
    assert "'price': 2 of 60 values (such as '?')" in str(told[0].message)


def test_a_single_fit_tells_once(messy):
    X, y = messy
    dirty = X.astype({"price": str})
    dirty.loc[:1, "price"] = "?"
    with pytest.warns(UserWarning, match="2 of 60") as told:
        ESTIMATORS["classifier"]().fit(dirty, y)
    assert len(told) == 1


@each_estimator
def test_what_is_told_points_at_the_line_of_the_user(messy, make):
    X, y = messy
    dirty = X.astype({"price": str})
    dirty.loc[:1, "price"] = "?"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fitted = make().fit(dirty, y)
        fitted.predict(dirty)
    told = [warning for warning in told if "not read as they" in str(warning.message)]
    assert len(told) == 2
    assert {warning.filename for warning in told} == {__file__}


@each_estimator
def test_categories_named_for_a_dict_of_arrays_are_refused(make):
    X = {"X": np.ones((ROWS, 5), dtype=np.float32)}
    y = np.arange(ROWS) % 2
    for given in (["X"], [0], np.array([True, False])):
        clf = make().set_params(categorical_features=given)
        with pytest.raises(ValueError, match=r"categorical_features=.* for a dict of"):
            clf.fit(X, y)


@pytest.mark.parametrize("given", ["from_dtype", None, [], ()], ids=str)
def test_a_dict_of_arrays_is_taken_where_no_category_is_named(given):
    X = {"X": np.ones((ROWS, 5), dtype=np.float32)}
    net = logits_net(module=Layers, max_epochs=1)
    clf = MixupClassifier(net, categorical_features=given)
    clf.fit(X, np.arange(ROWS) % 2)
    assert clf.predict_proba(X).shape == (ROWS, 2)


def test_an_array_of_strings_is_read_where_numbers_were(messy):
    X, y = messy
    array = X[["price"]].to_numpy()
    clf = ESTIMATORS["classifier, own"]().fit(array, y)
    expected = clf.predict_proba(array)
    assert_array_equal(clf.predict_proba(array.astype(str)), expected)
    assert_array_equal(clf.predict_proba(array.astype(str).tolist()), expected)


def test_what_became_of_each_column():
    X = pd.DataFrame(
        {
            "size": [1.0, None, 3.0, 4.0] * 5,
            "price": ["1", "?", "3", "4"] * 5,
            "kind": ["a", "b", None, "a"] * 5,
        }
    )
    for as_dict in (False, True):
        with pytest.warns(UserWarning, match="'price': 5 of 20"):
            encoder = TableEncoder(["kind"], scale=False, as_dict=as_dict).fit(X)
        summary = encoder.feature_summary().set_index("name")
        kinds = ["number", "number from text", "category"]
        assert summary["read_as"].tolist() == kinds
        assert summary["n_missing"].tolist() == [5, 5, 5]
        assert summary["n_categories"].tolist() == [0, 0, 2]
        assert summary["n_kept"].tolist() == [0, 0, 2]
        assert summary["median"].tolist()[:2] == [3, 3]
        assert summary["median"].isna().tolist() == [False, False, True]
        assert summary["features"].tolist() == [
            ["size", "missingindicator_size"],
            ["price", "missingindicator_price"],
            ["kind"] if as_dict else ["kind_a", "kind_b", "kind_nan"],
        ]


def test_only_frequent_levels_are_counted_as_kept():
    names = [f"n{i}" for i in range(60)] + ["often"] * 100
    X = frame(names)
    encoder = TableEncoder().fit(X)
    summary = encoder.feature_summary().iloc[0]
    assert (summary["n_categories"], summary["n_kept"]) == (61, 50)


# Targets, and tables that are none.

MISSING = {
    "series": pd.Series(["u", "v", None] * 20),
    "array": np.array(["u", "v", np.nan] * 20, dtype=object),
    "list": ["u", "v", np.nan] * 20,
    "NA": pd.Series([1, 2, pd.NA] * 20, dtype="Int64"),
    "category": pd.Series(pd.Categorical(["u", "v", None] * 20)),
    "polars": pl.Series(["u", "v", None] * 20),
    "floats": np.array([1, 2, np.nan] * 20),
    "NaT": pd.Series(pd.to_datetime(["2020", "2021", None] * 20)),
}


@each_estimator
@pytest.mark.parametrize("y", MISSING.values(), ids=MISSING.keys())
@pytest.mark.parametrize("x", [1.0, np.nan, np.inf])
def test_rows_without_a_label_are_told_whatever_else_is_wrong(make, y, x):
    X = pd.DataFrame({"a": [x, 1.0, 2.0] * 20})
    with pytest.raises(ValueError, match="Input y contains NaN: 20 of 60 rows have no"):
        make().fit(X, y)
    if not type(make()).__name__.endswith("CV"):
        options = {"classes": [0, 1]} if "Classifier" in type(make()).__name__ else {}
        with pytest.raises(ValueError, match="Input y contains NaN: 20 of 60"):
            make().partial_fit(X, y, **options)


@pytest.mark.parametrize("name", ["classifier", "classifier, own", "regressor"])
def test_validation_rows_without_a_label_are_told_by_name(messy, name):
    (X, y), make = messy, ESTIMATORS[name]
    y_val = np.where(np.arange(ROWS) % 3, 1.0, np.nan)
    with pytest.raises(ValueError, match="Input y_val contains NaN: 20 of 60"):
        make().fit(X, y, X_val=X, y_val=y_val)
    with pytest.raises(ValueError, match="Input y_val contains infinity"):
        make().fit(X, y, X_val=X, y_val=np.where(y, 1, np.inf))


def test_labels_of_a_dict_are_told_too():
    X = {"X": np.ones((60, 5), dtype=np.float32)}
    with pytest.raises(ValueError, match="Input y contains NaN: 20 of 60"):
        MixupClassifier(logits_net(module=Layers)).fit(X, MISSING["list"])
    with pytest.raises(ValueError, match="Input y contains infinity"):
        MixupRegressor(number_net()).fit(X, np.r_[np.inf, np.ones(59)])


def test_numbers_in_objects_are_targets_of_validation_rows_too(messy):
    X, y = messy
    reg = ESTIMATORS["regressor"]().fit(X, y, X_val=X, y_val=y.astype(object))
    same = ESTIMATORS["regressor"]().fit(X, y, X_val=X, y_val=y)
    assert_array_equal(reg.predict(X), same.predict(X))


FLAT = {
    "array": np.ones(2),
    "series": pd.Series(["1", "x"]),
    "list": [1.0, 2.0],
    "number": 3.0,
    "polars": pl.Series([1.0, 2.0]),
}


@each_estimator
@pytest.mark.parametrize("flat", FLAT.values(), ids=FLAT.keys())
def test_what_is_no_table_is_told_as_scikit_learn_does(messy, make, flat):
    X, y = messy
    expected = r"(?s)Expected 2D array, got (1D|scalar) array instead.*Reshape"
    with pytest.raises(ValueError, match=expected):
        make().fit(flat, y)
    for table in (X, X[["price"]], X[["price"]].to_numpy()):
        if isinstance(table, pd.DataFrame) or "own" in str(make):
            fitted = make().fit(table, y)
            with pytest.raises(ValueError, match=expected):
                fitted.predict(flat)


@each_estimator
def test_complex_numbers_are_told_by_that_name(messy, make):
    X, y = messy
    for wrong in (np.ones((ROWS, 2)) * 1j, X.assign(price=1j), [[1j, 2]] * ROWS):
        with pytest.raises(ValueError, match="Complex data not supported"):
            make().fit(wrong, y)
        with pytest.raises(ValueError, match="Complex data not supported"):
            make().set_params(categorical_features=[1]).fit(wrong, y)
    with pytest.raises(ValueError, match="Complex data not supported"):
        make().fit(X, y).predict(X.assign(price=1j))
    with pytest.raises(ValueError, match="Complex data not supported"):
        learn([1j, "a", 2])


@each_estimator
def test_missing_values_of_sparse_tables_are_not_imputed_and_it_is_said(make):
    X, y = np.eye(ROWS)[:, :3], np.arange(ROWS) % 2
    X[5, 1] = np.nan
    expected = r"(?s)NaN in columns \(1\), but missing.*sparse.*not imputed.*toarray"
    with pytest.raises(ValueError, match=expected):
        make().fit(sparse.csr_array(X), y)
    fitted = make().fit(sparse.csr_array(np.nan_to_num(X)), y)
    with pytest.raises(ValueError, match=expected):
        fitted.predict(sparse.csc_array(X))


@each_estimator
@pytest.mark.parametrize(
    "rows",
    [
        lambda X: X.tolist(),
        lambda X: tuple(map(tuple, X.tolist())),
        list,
        lambda X: [pd.Series(row) for row in X],
    ],
    ids=["lists", "tuples", "arrays", "series"],
)
def test_positions_of_categories_work_for_whatever_is_like_an_array(make, rows):
    X = np.c_[np.arange(ROWS) % 3, np.linspace(0, 1, ROWS)]
    y = (np.arange(ROWS) % 3 > 0).astype(int)
    fitted = make().set_params(categorical_features=[0]).fit(rows(X), y)
    same = make().set_params(categorical_features=[0]).fit(X, y)
    assert_array_equal(fitted.predict(rows(X)), same.predict(X))


@each_estimator
@pytest.mark.parametrize("container", [pd.DataFrame, pa.table])
def test_columns_of_the_same_name_are_refused_by_name(make, container):
    X = pd.DataFrame([[1.0, 2.0, 3.0]] * ROWS, columns=["a", "b", "a"])
    if container is pa.table:
        X = pa.table([X.iloc[:, j] for j in range(3)], names=list(X.columns))
    with pytest.raises(ValueError, match=r"columns of the name 'a'.*Rename them"):
        make().fit(X, np.arange(ROWS) % 2)


@each_estimator
def test_none_in_a_list_of_numbers_is_missing(make):
    X = np.random.default_rng(0).normal(size=(ROWS, 2))
    X[::7, 1], y = np.nan, np.arange(ROWS) % 2
    rows = [[value if value == value else None for value in row] for row in X.tolist()]
    assert_array_equal(make().fit(rows, y).predict(rows), make().fit(X, y).predict(X))


@each_estimator
def test_the_name_of_a_column_is_no_target(messy, make):
    with pytest.raises(ValueError, match=r"y='price', but expected.*X\['price'\]"):
        make().fit(messy[0], "price")


@each_estimator
def test_masked_values_are_not_looked_behind(make):
    X, y = np.ones((ROWS, 2)), np.arange(ROWS) % 2
    hidden = np.ma.array(X, mask=np.eye(ROWS, 2))
    with pytest.raises(ValueError, match=r"X as a masked array.*filled\(numpy.nan\)"):
        make().fit(hidden, y)
    with pytest.raises(ValueError, match="X as a masked array"):
        make().fit(X, y).predict(hidden)
    with pytest.raises(ValueError, match="y as a masked array"):
        make().fit(X, np.ma.array(y, mask=y == 1))
    with pytest.raises(ValueError, match="sample_weight as a masked array"):
        make().fit(X, y, sample_weight=np.ma.array(y + 1, mask=y == 1))


RECORDS = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]


@pytest.mark.parametrize(
    ("X", "told"),
    [
        (pl.DataFrame(RECORDS).lazy(), r"LazyFrame, .*: X\.collect\(\)"),
        (RECORDS, r"list, .*: pandas\.DataFrame\(X\), of a list of dicts"),
        (pd.DataFrame(RECORDS).to_records(), r"recarray, .*: pandas\.DataFrame\(X\)"),
        (iter([[1, 2], [3, 4]]), r"list_iterator, .*: list\(X\)"),
        (pd.DataFrame(index=range(2)), r"shape \(2, 0\), which has no columns"),
    ],
)
def test_what_holds_a_table_is_refused_with_the_way_to_one(X, told):
    with pytest.raises(ValueError, match=rf"Got X (as|of) {told}"):
        as_frame(X)


@each_estimator
def test_rows_of_different_lengths_are_told(make):
    with pytest.raises(ValueError, match="rows of 1 to 2 values, but expected as many"):
        make().fit([[1.0], [1.0, 2.0]] * 10, np.arange(20) % 2)


@each_estimator
def test_numbers_without_a_hash_are_refused_by_name(make):
    X = pd.DataFrame({"x": [Decimal("sNaN"), *range(ROWS - 1)]})
    with pytest.raises(TypeError, match=r"\(x\).*must be a string or a number"):
        make().fit(X, np.arange(ROWS) % 2)


def test_a_class_is_no_table():
    with pytest.raises(ValueError, match="Expected 2D array, got scalar array"):
        as_frame(pd.DataFrame)


@each_estimator
def test_a_dense_row_without_a_value_where_sparse_ones_were(make):
    X, y = np.eye(ROWS)[:, :3], np.arange(ROWS) % 2
    fitted = make().fit(sparse.csr_array(X), y)
    X[5, 1] = np.nan
    with pytest.raises(ValueError, match=r"NaN in columns \(1\), but no number was"):
        fitted.predict(X)


def test_frames_of_numbers_are_not_read_again():
    X = pd.DataFrame(np.eye(5))
    assert ColumnReader.fit(X).is_idle(X)
    assert as_frame(X) is X


def test_missing_values_of_pandas_are_no_masked_arrays():
    X = np.random.default_rng(0).normal(size=(20, 2))
    y = pd.array([*np.arange(19.0), None], dtype="Float64")
    for one in (y, pd.Series(y)):
        with pytest.raises(ValueError, match=r"^(?!.*masked).*y"):
            MixupRegressor(number_net(max_epochs=1)).fit(X, one)


@pytest.mark.skipif(OLD_PANDAS, reason="pandas 2 holds invalid texts")
@each_estimator
def test_values_that_no_frame_holds_are_told(make):
    y = np.arange(ROWS) % 2
    half_a_letter = [["\ud800", 1.0], *[["a", 2.0]] * (ROWS - 1)]
    structs = pa.array([{"from": 0, "to": 1}, {"from": 1, "to": 2}])
    positions = pa.array(np.arange(ROWS) % 2, type=pa.int32())
    arrow = pa.table({"span": pa.DictionaryArray.from_arrays(positions, structs)})
    for X, column in (
        (half_a_letter, "0"),
        (np.array(half_a_letter, dtype=object), "0"),
        (np.array(half_a_letter, dtype=str), "0"),
        (arrow.append_column("size", pa.array(np.arange(ROWS))), "'span'"),
    ):
        match = f"of the column {column} that a frame of pandas cannot hold"
        with pytest.raises(ValueError, match=match):
            make().fit(X, y)

    class OfAnotherLibrary:
        columns = ("a",)

        def to_pandas(self):
            raise TypeError("as the test wants")

    with pytest.raises(ValueError, match="values that a frame of pandas cannot hold"):
        make().fit(OfAnotherLibrary(), y)


def test_arrow_tables_of_dtypes_that_pandas_does_not_read():
    words = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    columns = {"size": [1.0, 2.0, 3.0], "word": pd.Series(list("aba"), dtype=words)}
    X = pd.DataFrame(columns).set_axis(pd.Index([5, 6, 7], name="row"))
    for index in (True, False):
        frame = as_frame(pa.Table.from_pandas(X, preserve_index=index))
        assert list(frame.columns) == ["size", "word"]
        assert list(frame["word"].cat.categories) == ["a", "b"]
        assert list(frame["word"]) == list("aba")
    without_index = pa.Table.from_pandas(X).select(["size", "word"])
    assert list(as_frame(without_index).columns) == ["size", "word"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2], pa.time64("ns")),  # times of pandas have microseconds
        pa.UnionArray.from_sparse(
            pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
        ),
    ],
    ids=["nanoseconds", "union"],
)
def test_dtypes_of_arrow_that_no_frame_holds_are_told(values):
    table = pa.table({"odd": values, "size": [1.0, 2.0]})
    with pytest.raises(ValueError, match="of the column 'odd' that a frame of pandas"):
        as_frame(table)


def test_sparse_arrays_have_two_dimensions():
    X = sparse.coo_array(np.ones(ROWS))
    clf = MixupClassifier(logits_net(max_epochs=1))
    with pytest.raises(ValueError, match=r"sparse array of shape .*two dimensions"):
        clf.fit(X, np.arange(ROWS) % 2)


def test_declared_columns_of_lists_of_three_dimensions():
    X, y = [[[1.0], [2.0]]] * ROWS, np.arange(ROWS) % 2
    clf = MixupClassifier(logits_net(max_epochs=1), categorical_features=[0])
    with pytest.raises(ValueError, match="Found array with dim 3"):
        clf.fit(X, y)
