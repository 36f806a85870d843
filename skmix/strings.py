"""What strings stand for: numbers, in one of three notations, missing values, dates.

Functions are given distinct strings, as an array of objects.
"""

import re
from decimal import Decimal, InvalidOperation
from numbers import Real

import numpy as np
import pandas as pd

MISSING = frozenset(
    ["", "?", "-", "--", ".", "na", "n/a", "nan", "null", "none", "missing", "unknown"]
)

# What a comma, and a point, are in a column of numbers.
NOTATIONS = ("decimal point", "comma for thousands", "decimal comma")

_SPACE = " \u00a0\u2009\u202f"
_CURRENCY = "[$\u00a2-\u00a5\u20a0-\u20bf]"
_SIGN = "[-+\u2212]?"


def _number(thousands, decimal):
    """The pattern of numbers whose thousands and decimals are marked like this."""
    whole = rf"[0-9]+|[1-9][0-9]{{0,2}}(?:{thousands}[0-9]{{3}})+"
    digits = rf"(?:(?:{whole})(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:[eE][-+]?[0-9]+)?"
    before = rf"{_SIGN}[{_SPACE}]?(?:{_CURRENCY}[{_SPACE}]?)?|{_CURRENCY}[-\u2212]"
    return re.compile(rf"(?:{before}){digits}(?:[{_SPACE}]?(?:{_CURRENCY}|%))?")


_PATTERNS = {
    "decimal point": _number(rf"[{_SPACE}'\u2019]", r"\."),
    "comma for thousands": _number(rf"[,{_SPACE}'\u2019]", r"\."),
    "decimal comma": _number(rf"[.{_SPACE}'\u2019]", ","),
}
_PLAIN = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*")
_NO_DIGIT = re.compile("[^-0-9eE.]")


def are_missing(strings):
    """Mask of the strings that stand for a missing value."""
    return np.array([s.strip().lower() in MISSING for s in strings], dtype=bool)


def are_plain(strings):
    """Mask of the strings that are numbers as Python and most programs write them."""
    return np.array([bool(_PLAIN.fullmatch(s)) for s in strings], dtype=bool)


def are_codes(strings):
    """Whether strings, all of them numbers, are integers some of which begin with 0."""
    digits = [s.strip().lstrip("+-") for s in strings]
    padded = any(len(s) > 1 and s[0] == "0" for s in digits)
    return padded and all(s.isascii() and s.isdigit() for s in digits)


def as_numbers(strings, notation):
    """Return what numbers strings stand for, float64, NaN where they are none."""
    values = np.full(len(strings), np.nan)
    if notation != "decimal comma":
        read = pd.to_numeric(pd.Series(strings, dtype=object), errors="coerce")
        values = read.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        values[np.isinf(values)] = np.nan  # "inf" is a word, "1e400" is read below
    for i in np.flatnonzero(np.isnan(values)):
        values[i] = _as_number(strings[i], notation)
    return values


def _as_number(string, notation):
    string = string.strip()
    if not _PATTERNS[notation].fullmatch(string):
        return np.nan
    string = string.replace("\u2212", "-")
    if notation == "decimal comma":
        string = string.replace(".", "").replace(",", ".")
    return float(_NO_DIGIT.sub("", string.removeprefix("+")))


def notation_of(strings, counts):
    """In which notation the numbers among strings are written.

    Parameters
    ----------
    strings : ndarray of shape (n,), dtype object
    counts : ndarray of shape (n,), int
        How often each occurs.

    Returns
    -------
    notation : str
        One of `NOTATIONS`: the decimal point, unless more than twice as many values are
        numbers with commas alone as are lost, or another number, with these. A comma
        stands for thousands if it can in every number that has one.
    """
    point, thousands, comma = NOTATIONS
    with_comma = np.array(["," in s for s in strings], dtype=bool)
    if not with_comma.any():
        return point
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


def key_of(value):
    """What is the same of values that differ in dtype alone.

    That of 1, 1.0, "1" and "1.0" is one, as that of True and "True", or of an interval
    and what is written of it in a file.
    """
    text = str(value)
    number = isinstance(value, Real | Decimal) and not isinstance(
        value, bool | np.bool_
    )
    if number or (isinstance(value, str) and _PLAIN.fullmatch(value)):
        try:
            return Decimal(text.strip())
        except InvalidOperation:  # a fraction
            pass
    return text.removesuffix(" 00:00:00")  # of a day


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
    rf"{_M}/{_YEAR}",
    rf"{_DTH}{_SEP}{_MONTH}(?:{_SEP}(?:{_YEAR}|'?[0-9]{{2}}))?",
    rf"{_D}{_MONTH}(?:{_YEAR}|[0-9]{{2}})",
    rf"{_MONTH}{_SEP}{_DTH}(?:{_SEP}{_YEAR})?",
    rf"{_MONTH}{_SEP}(?:{_YEAR}|'?[0-9]{{2}})",
    rf"{_YEAR}{_SEP}{_MONTH}(?:{_SEP}{_D})?",
    rf"{_MONTH}\s+{_D}\s+{_CLOCK}\s+{_YEAR}",
]
_DATE = re.compile(
    rf"(?:{_WEEKDAY})?(?:{'|'.join(_DAYS)})(?:(?:[\st,]|,\s){_CLOCK}{_ZONE}?)?"
    rf"|{_CLOCK}{_ZONE}?",
    re.IGNORECASE,
)


def are_dates(strings):
    """Mask of the strings that are dates or times of day."""
    return np.array([bool(_DATE.fullmatch(s.strip())) for s in strings], dtype=bool)
