"""Tables and parameters of all kinds: what is valid works, what is not is explained.

The profile of hypothesis says how many: `HYPOTHESIS_PROFILE=thorough` tries the most.
docs/guide/trust.md says what is checked, and how many cases have been tried.
"""

import fuzz_tables as tables
import numpy as np
import pandas as pd
import pytest
from fuzz_cases import (
    DOUBTFUL_LABELS,
    DOUBTFUL_TARGETS,
    KINDS,
    ODD_LABELS,
    ODD_TARGETS,
    ODD_WEIGHTS,
    REFUSED_GROUPS,
    REFUSED_LABELS,
    REFUSED_TARGETS,
    REFUSED_WEIGHTS,
    Case,
    cases,
)
from fuzz_oracle import Fault, assert_helps, assert_same, check
from hypothesis import HealthCheck, example, given, settings

fuzz = settings(derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@fuzz
@given(cases())
@example(Case("MixupRegressorCV", ("offset", "normal"), net="mlp", y="small"))
@example(Case("MixupRegressorCV", ("offset",), net="numbers and codes", y="numbers"))
@example(Case(columns=("normal", "levels"), container="list of rows"))
@example(Case("MixupRegressor", ("normal", "ids"), y="numbers", params=(2,)))
@example(Case("MixupRegressor", ("offset",), y="numbers", of_net=(0,)))
def test_a_case_is_fitted_and_predicts_or_is_refused_with_a_reason(case):
    check(case)


# Each odd thing once, where all else is usual.


def one_of_each():
    kinds = list(KINDS)
    for i, column in enumerate([*tables.ODD_NUMBERS, *tables.OTHER_NUMBERS]):
        yield Case(kinds[i % 4], ("normal", column), y=usual(kinds[i % 4]))
    for i, column in enumerate([*tables.ODD_CATEGORIES, *tables.DOUBTFUL]):
        yield Case(kinds[i % 4], ("normal", column), y=usual(kinds[i % 4]))
    for i, container in enumerate(
        [*tables.ARRAYS, *tables.SPARSE, *tables.FRAMES, *tables.NO_TABLES]
    ):
        kind = kinds[i % 4]
        yield Case(kind, ("normal", "int"), container, y=usual(kind))
    for i, names in enumerate(tables.NAMES):
        yield Case(kinds[i % 4], ("normal", "int"), names=names, y=usual(kinds[i % 4]))
    for i, index in enumerate(tables.INDEXES):
        yield Case(kinds[i % 4], index=index, y=usual(kinds[i % 4]))
    for i, y in enumerate([*ODD_LABELS, *DOUBTFUL_LABELS, *REFUSED_LABELS]):
        yield Case(["MixupClassifier", "MixupClassifierCV"][i % 2], y=y)
    for i, y in enumerate([*ODD_TARGETS, *DOUBTFUL_TARGETS, *REFUSED_TARGETS]):
        yield Case(["MixupRegressor", "MixupRegressorCV"][i % 2], y=y)
    for i, weight in enumerate([*ODD_WEIGHTS, *REFUSED_WEIGHTS]):
        yield Case(kinds[i % 4], weight=weight, y=usual(kinds[i % 4]), net="mlp")
    for i, groups in enumerate(REFUSED_GROUPS):
        yield Case(kinds[i % 4], groups=groups, y=usual(kinds[i % 4]), net="mlp")


def usual(kind):
    return "words" if "Classifier" in kind else "numbers"


@pytest.mark.slow
@pytest.mark.parametrize("case", list(one_of_each()), ids=repr)
def test_each_odd_thing_among_usual_ones(case):
    check(case)


# The judge notices what it is to notice.


def test_a_changed_input_is_noticed():
    for given_ in (np.ones(3), pd.DataFrame({"a": [1.0, 2.0]}), pd.Series([1, 2])):
        before = given_.copy()
        assert_same(given_, before, "input")
        values = given_ if isinstance(given_, np.ndarray) else given_.iloc
        values[0] = 7
        with pytest.raises(Fault, match="input has changed"):
            assert_same(given_, before, "input")


def test_errors_that_do_not_help_are_noticed():
    def of(make):
        try:
            make()
        except Exception as error:
            return error

    with pytest.raises(Fault, match="IndexError"):
        assert_helps(of(lambda: [][1]), ["list"], "fit")
    with pytest.raises(Fault, match="from tests"):
        assert_helps(of(lambda: int("a")), ["int"], "fit")
    refused = of(lambda: KINDS["MixupClassifier"](alpha=-1).fit([[1], [2]], [0, 1]))
    assert_helps(refused, ["alpha"], "fit")
    with pytest.raises(Fault, match="not by"):
        assert_helps(refused, ["pairing"], "fit")
