"""What strings stand for: numbers, in one of three notations, missing values, dates.

Functions are given distinct strings, as an array of objects.
"""

import re
from collections.abc import Callable, Hashable, Iterable
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

MISSING = frozenset(
    ["", "?", "-", "--", ".", "na", "n/a", "<na>", "nan", "nat", "null", "none"]
).union(["missing", "unknown"])

# What a comma, and a point, are in a column of numbers.
NOTATIONS = ("decimal point", "comma for thousands", "decimal comma")

_SPACE = " \u00a0\u2009\u202f"
_CODES = (
    r"(?:US\$|R\$|[ACSH]\$|HK\$|NZ\$|EUR|USD|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|"
    r"PLN|CZK|HUF|RON|BRL|MXN|ZAR|SGD|HKD|KRW|TRY|RUB|ILS|THB|[Kk]r\.?|Rs\.?|Fr\.|z\u0142|"
    r"K\u010d)"
)
_CURRENCY = rf"(?:[$\u00a2-\u00a5\u20a0-\u20bf]|{_CODES})"
_SIGN = "[-+\u2212]?"
_INDIAN = "[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"


def _number(thousands: str, decimal: str, *others: str) -> re.Pattern[str]:
    """The pattern of numbers whose thousands and decimals are marked like this."""
    by_three = rf"[1-9][0-9]{{0,2}}(?:{thousands}[0-9]{{3}})+"
    whole = "|".join([*others, by_three, "[0-9]+"])
    digits = rf"(?:(?:{whole})(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:[eE][-+]?[0-9]+)?"
    space = f"[{_SPACE}]?"
    # (Where a digit is next, it is quicker not to try each currency.)
    currency = rf"(?:(?![0-9]){_CURRENCY}{space})?"
    after = rf"(?:{space}(?![0-9])(?:{_CURRENCY}|%))?"
    before = rf"(?:{_SIGN}{space}{currency}|(?![0-9]){_CURRENCY}{space}[-\u2212])"
    negative = rf"{currency}\({space}{currency}{digits}{after}{space}\){after}"
    return re.compile(rf"{before}{digits}{after}|{negative}")


_PATTERNS = {
    "decimal point": _number(rf"[{_SPACE}'\u2019]", r"\."),
    "comma for thousands": _number(rf"[,{_SPACE}'\u2019]", r"\.", _INDIAN),
    "decimal comma": _number(rf"[.{_SPACE}'\u2019]", ","),
}
_PLAIN = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*")
_ISO_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0+)?"
)
_LETTER = re.compile("[^\\W\\d_eE]")  # of a currency
_CODE = re.compile(_CODES)
_BESIDE = [
    *f"{_SPACE}'\u2019$%)",
    *map(chr, range(0xA2, 0xA6)),
    *map(chr, range(0x20A0, 0x20C0)),
]
_TO_PLAIN = {
    "decimal point": {"\u2212": "-", "(": "-", **dict.fromkeys(_BESIDE, "")},
}
_TO_PLAIN["comma for thousands"] = _TO_PLAIN["decimal point"] | {",": ""}
_TO_PLAIN["decimal comma"] = _TO_PLAIN["decimal point"] | {".": "", ",": "."}
_SEVERAL_DOTS = re.compile(r"[0-9]\.[0-9]+\.[0-9]")


def _mask(predicate: Callable[[str], Any], strings: Iterable[str]) -> np.ndarray:
    """Of which strings a predicate is true, or finds a match."""
    return np.array([bool(predicate(s)) for s in strings], dtype=bool)


def are_missing(strings: np.ndarray) -> np.ndarray:
    """Mask of the strings that stand for a missing value."""
    return _mask(lambda s: s.strip().lower() in MISSING, strings)


def are_plain(strings: np.ndarray) -> np.ndarray:
    """Mask of the strings that are numbers as Python and most programs write them."""
    return _mask(_PLAIN.fullmatch, strings)


def are_codes(strings: np.ndarray) -> bool:
    """Whether strings, all of them numbers, are integers some of which begin with 0."""
    padded = False
    for string in strings:
        digits = string.strip().lstrip("+-")
        if not (digits.isascii() and digits.isdigit()):
            return False
        padded |= len(digits) > 1 and digits[0] == "0"
    return padded


def as_numbers(strings: np.ndarray, notation: str) -> np.ndarray:
    """Return what numbers strings stand for, float64, NaN where they are none."""
    values = np.full(len(strings), np.nan)
    if notation != "decimal comma":
        quick = ~np.array(["," in s for s in strings], dtype=bool)
        read = pd.to_numeric(pd.Series(strings[quick], dtype=object), errors="coerce")
        values[quick] = read.to_numpy(dtype=np.float64, na_value=np.nan)
        values[np.isinf(values)] = np.nan  # "inf" is a word, "1e400" is read below
    odd = np.flatnonzero(np.isnan(values))
    odd = odd[_mask(_PATTERNS[notation].fullmatch, map(str.strip, strings[odd]))]
    if len(odd):
        found = [s.strip() for s in strings[odd]]
        values[odd] = list(map(float, _plain(found, notation)))
    return values


def _plain(strings: list[str], notation: str) -> list[str]:
    """Numbers as Python writes them; all at once, which is quicker."""
    text = "\n".join(strings)
    if _LETTER.search(text):
        text = _CODE.sub("", text)
    for mark, plain in _TO_PLAIN[notation].items():
        text = text.replace(mark, plain)
    return text.split("\n")


def notation_of(strings: np.ndarray, counts: np.ndarray) -> str:
    """In which notation the numbers among strings of some counts are written.

    The decimal point, unless more than twice as many values are numbers with commas
    alone as are lost, or another number, with these. A comma stands for thousands if it
    can in every number that has one; and so does a point, where there are numbers with
    several.
    """
    point, thousands, comma = NOTATIONS
    with_comma = np.array(["," in s for s in strings], dtype=bool)
    if not with_comma.any():
        return comma if _are_dots_between_thousands(strings) else point
    plain = as_numbers(strings, point)
    for notation in (thousands, comma):
        read = as_numbers(strings, notation)
        if notation == thousands:
            decimals = ~np.isnan(as_numbers(strings[with_comma], comma))
            if (decimals & np.isnan(read[with_comma])).any():
                continue
        won = counts[np.isnan(plain) & ~np.isnan(read)].sum()
        lost = counts[~np.isnan(plain) & (read != plain)].sum()
        if won > 2 * lost:
            return notation
    return point


def _are_dots_between_thousands(strings: np.ndarray) -> bool:
    """Whether numbers with several points say that points are between thousands."""
    several = _mask(_SEVERAL_DOTS.search, strings)
    if not several.any():
        return False
    dotted = several | np.array(["." in s for s in strings], dtype=bool)
    dotted &= several | ~np.isnan(as_numbers(strings, "decimal point"))
    return not np.isnan(as_numbers(strings[dotted], "decimal comma")).any()


_MEASURE = re.compile(
    rf"\s*[~<>\u2248\u2264\u2265]?\s*{_SIGN}\s?(?:{_CURRENCY}\s?)?[0-9][0-9.,]*\s*"
    "([^\\W\\d_][^\\s\\d.,:]{0,9}[23\u00b2\u00b3]?(?:\\s[^\\W\\d_]{1,9})?"
    "|[%\u00b0+\"'\u2032\u2033][^\\s\\d]{0,3})\\s*"
)


def units_of(strings: np.ndarray) -> np.ndarray:
    """What is beside the number of each string; None where it holds no one number."""
    found = [_MEASURE.fullmatch(s) for s in strings]
    return np.array([match and match[1] for match in found] + [None], dtype=object)[:-1]


def key_of(value: Any) -> Hashable:
    """What is the same of values that differ in dtype alone.

    That of 1, 1.0, "1" and "1.0" is one, as that of True and "True", or of an interval
    and what is written of it in a file. Numbers of few bits are what is written of
    them: that of float32(0.1) is that of 0.1.
    """
    text = str(value)
    number = isinstance(value, Real | Decimal) and not _is_bool(value)
    if number or (isinstance(value, str) and _PLAIN.fullmatch(value)):
        try:
            return Decimal(text.strip())
        except InvalidOperation:  # a fraction
            pass
    return text.removesuffix(" 00:00:00")  # of a day


def other_keys_of(value: Any) -> list[Hashable]:
    """What else a value may be matched by, where its own key is that of none.

    Booleans and days as other programs write them, and numbers of few bits to the last
    of these.
    """
    if _is_bool(value):
        return [Decimal(int(value))]
    if isinstance(value, np.floating) and not isinstance(value, float):
        return [key_of(float(value))]
    if not isinstance(value, str):
        return []
    text = value.strip()
    if text.lower() in ("true", "false"):
        return [text.capitalize()]
    time = _ISO_TIME.fullmatch(text)
    return [key_of(f"{time[1]} {time[2]}")] if time else []


def _is_bool(value: Any) -> bool:
    """Whether a value is a boolean of Python or numpy."""
    return isinstance(value, bool | np.bool_)


def as_booleans(strings: np.ndarray) -> np.ndarray:
    """Return 1 and 0 for the words that stand for true and false, else NaN."""
    words = {"true": 1.0, "false": 0.0}
    return np.array([words.get(s.strip().lower(), np.nan) for s in strings], float)


# Dates and times.

_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = (
    "(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|"
    r"fri(?:day)?|sat(?:urday)?|sun(?:day)?)[.,]*\s+"
)
_YEAR = "(?:1[5-9]|2[0-9])[0-9]{2}"
_M, _D = "(?:0?[1-9]|1[0-2])", "(?:0?[1-9]|[12][0-9]|3[01])"
_DTH, _SEP = rf"{_D}(?:st|nd|rd|th)?", r"[\s,./-]+"
_CLOCK = (
    r"(?:[01]?[0-9]|2[0-4]):[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]+)?)?"
    r"(?:\s?[ap]\.?m\.?)?"
)
_ZONE = r"(?:\s?(?:z|utc|gmt|[-+][0-9]{2}:?(?:[0-9]{2})?))"
_DAYS = [
    rf"{_YEAR}-{_M}(?:-{_D})?",
    rf"{_YEAR}([/.]){_M}\1{_D}",
    rf"{_YEAR}-w[0-5][0-9](?:-?[1-7])?",
    # Day or month first, by the same mark twice.
    rf"(?:{_D}([/.-]){_M}\2|{_M}([/.-]){_D}\3){_YEAR}",
    rf"(?:{_D}/{_M}|{_M}/{_D})/[0-9]{{2}}",
    r"(?:0[1-9]|[12][0-9]|3[01])\.(?:0[1-9]|1[0-2])\.[0-9]{2}",  # (no version: 1.2.3)
    rf"{_YEAR}\u5e74{_M}\u6708(?:{_D}\u65e5)?",
    rf"{_M}/{_YEAR}",
    rf"{_DTH}{_SEP}{_MONTH}(?:{_SEP}(?:{_YEAR}|'?[0-9]{{2}}))?",
    rf"{_D}{_MONTH}(?:{_YEAR}|[0-9]{{2}})",
    rf"{_MONTH}{_SEP}{_DTH}(?:{_SEP}{_YEAR})?",
    rf"{_MONTH}{_SEP}(?:{_YEAR}|'?[0-9]{{2}})",
    rf"{_YEAR}{_SEP}{_MONTH}(?:{_SEP}{_D})?",
    rf"{_MONTH}\s+{_D}\s+{_CLOCK}\s+{_YEAR}",
]
_TOGETHER = (
    rf"{_YEAR}(?:0[1-9]|1[0-2])[0-3][0-9]t[0-2][0-9](?:[0-5][0-9]){{1,2}}"
    r"(?:[.,][0-9]+)?"
)
_SPAN = r"-?[0-9]+ days?,? [-+]?[0-9]{1,2}:[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
_DATE = re.compile(
    rf"(?:{_WEEKDAY})?(?:{'|'.join(_DAYS)})(?:(?:[\st,]|,\s){_CLOCK}{_ZONE}?)?"
    rf"|{_CLOCK}{_ZONE}?|{_TOGETHER}{_ZONE}?|{_SPAN}",
    re.IGNORECASE,
)
_NO_DAY = re.compile(
    r"(?:0000([-/.]?)00\1[0-9]{2}|00([-/.])00\2[0-9]{4}|9999([-/.]?)[0-9]{2}\3[0-9]{2})"
    r"(?:[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)?"
)


def are_dates(strings: np.ndarray) -> np.ndarray:
    """Mask of the strings that are dates or times of day."""
    return _mask(_DATE.fullmatch, map(str.strip, strings))


def are_no_days(strings: np.ndarray) -> np.ndarray:
    """Mask of the strings that stand for a missing day, or for one without an end."""
    return _mask(_NO_DAY.fullmatch, map(str.strip, strings))


def are_days_of_digits(strings: np.ndarray) -> bool:
    """Whether strings are days of eight digits, such as 20200131, or stand for none."""
    if not all(len(s) == 8 and s.isascii() and s.isdigit() for s in strings):
        return False
    days = pd.Series(strings, dtype=object)[~are_no_days(strings)]
    days = pd.to_datetime(days, format="%Y%m%d", errors="coerce")
    most = 2 * len(days) >= len(strings)
    return bool(most and days.dt.year.between(1900, 2100).all())
