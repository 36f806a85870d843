"""Intervals of differences: known answers, and how often they cover."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmix._intervals import clearly_higher, joint_intervals

NAN = np.nan


@pytest.fixture
def differences():
    """Of three candidates in two repeats of five folds, two of them alike."""
    drawn = np.random.default_rng(0).normal(0.1, 0.3, (3, 10))
    drawn[1] = drawn[0] + 0.02 * drawn[1]
    return drawn


def half_widths(intervals):
    mean, low, high = intervals
    assert_allclose(high - mean, mean - low)
    return high - mean


# Known answers.


@pytest.mark.parametrize(("n_repeats", "test_per_train"), [(1, 0.25), (2, 0.5), (5, 0)])
def test_one_candidate_has_students_interval_of_a_wider_variance(
    differences, n_repeats, test_per_train
):
    told = joint_intervals(differences[:1], n_repeats, test_per_train)
    error = differences[0].std(ddof=1) * np.sqrt(1 / 10 + 0.4 * test_per_train)
    assert_allclose(told.mean, differences[0].mean())
    assert_allclose(half_widths(told), stats.t.ppf(0.975, 10 - n_repeats) * error)


def test_joint_intervals_are_wider_than_single_ones_and_no_wider_than_bonferronis(
    differences,
):
    joint = half_widths(joint_intervals(differences, 2))
    single = [half_widths(joint_intervals(own[None], 2))[0] for own in differences]
    most = stats.t.isf(0.025 / 3, 8) / stats.t.isf(0.025, 8)
    ratio = joint / single
    assert_allclose(ratio, ratio[0])
    assert 1.05 < ratio[0] < most


def test_candidates_that_are_alike_need_less_width(differences):
    others = np.random.default_rng(1).normal(size=(1, 10))
    alike = joint_intervals(differences[:2], 2)
    apart = joint_intervals(np.vstack([differences[:1], others]), 2)
    assert half_widths(alike)[0] < 0.97 * half_widths(apart)[0]


def test_the_quantile_of_independent_candidates_is_dunnetts_bound():
    """The largest of four uncorrelated t values of 9 degrees of freedom."""
    wave = np.arange(10)[None] * np.arange(1, 5)[:, None] * 2 * np.pi / 10
    told = joint_intervals(np.cos(wave), 1, 0)  # four waves, uncorrelated
    quantile = half_widths(told) / np.cos(wave).std(axis=1, ddof=1) * np.sqrt(10)
    assert_allclose(quantile, 3.05, rtol=0.02)  # studentised maximum modulus, tables


def test_identical_candidates_have_no_interval():
    told = joint_intervals(np.zeros((2, 5)))
    assert_array_equal(told.mean, [0, 0])
    assert np.isnan(told.low).all()
    assert np.isnan(told.high).all()


@pytest.mark.parametrize("offset", [0.1, -3e5])
def test_a_constant_offset_tells_nothing_of_chance(offset):
    scores = np.random.default_rng(0).normal(size=(1, 10)) * abs(offset)
    told = joint_intervals(scores + offset - scores, 2, scale=np.abs(scores).max())
    assert_allclose(told.mean, [offset])
    assert np.isnan(told.low).all()
    assert np.isnan(told.high).all()


def test_a_candidate_without_an_interval_widens_no_other(differences):
    alone = joint_intervals(differences[:2], 2)
    more = joint_intervals(np.vstack([differences[:2], np.zeros((3, 10))]), 2)
    assert_array_equal(more.low[:2], alone.low)
    assert np.isnan(more.low[2:]).all()


def test_one_fold_gives_a_mean_alone():
    told = joint_intervals(np.array([[0.5], [-1]]))
    assert_array_equal(told.mean, [0.5, -1])
    assert np.isnan(told.low).all()


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_no_candidate_or_no_fold_gives_nothing(shape):
    for told in joint_intervals(np.empty(shape)):
        assert told.shape == shape[:1]
        assert np.isnan(told).all()


# What must not matter, and what must.


def test_the_order_of_folds_in_a_repeat_changes_nothing(differences):
    expected = joint_intervals(differences, 2)
    for order in [*permutations(range(5))][1::40]:
        folds = np.r_[order, 5 + np.array(order[::-1])]
        told = joint_intervals(differences[:, folds], 2)
        assert_allclose(told, expected, rtol=1e-12)


def test_the_same_differences_have_the_same_interval(differences):
    once, again = (joint_intervals(differences, 2) for _ in range(2))
    assert_array_equal(once, again)


@pytest.mark.parametrize("factor", [1e-9, -2, 1e9])
def test_intervals_have_the_unit_of_the_score(differences, factor):
    expected = factor * np.array(joint_intervals(differences, 2))
    mean, low, high = joint_intervals(factor * differences, 2)
    low, high = (low, high) if factor > 0 else (high, low)
    assert_allclose([mean, low, high], expected, rtol=1e-9)


def test_a_gain_that_all_candidates_have_more_moves_the_interval(differences):
    expected = joint_intervals(differences, 2)
    told = joint_intervals(differences + 5, 2, scale=1.0)
    assert_allclose(told, np.array(expected) + 5)


def test_a_fold_that_is_undefined_for_a_candidate_is_left_out_for_it(differences):
    lacking = differences.copy()
    lacking[1, 3] = NAN
    lacking[2] = NAN
    told = joint_intervals(lacking, 1)
    assert_allclose(told.mean[0], differences[0].mean())
    assert_allclose(told.mean[1], np.delete(differences[1], 3).mean())
    assert np.isnan([told.mean[2], told.low[2], told.high[2]]).all()
    single = joint_intervals(np.delete(differences[1:2], 3, axis=1), 1)
    assert_allclose(joint_intervals(lacking[1:2], 1), single)


def test_a_fold_that_is_undefined_for_all_is_as_if_it_were_not_there(differences):
    lacking = np.insert(differences, 4, NAN, axis=1)
    assert_allclose(joint_intervals(lacking), joint_intervals(differences))


def test_folds_too_few_for_the_repeats_leave_one_degree_of_freedom():
    lacking = np.array([[0.1, NAN, NAN, 0.3]])
    told = joint_intervals(lacking, 2, 0)
    assert_allclose(half_widths(told), stats.t.ppf(0.975, 1) * 0.1)


# Coverage: folds of one repeat have nothing in common, and two have their test rows.


def fold_differences(rng, n_repeats):
    """Return differences of three candidates, of which the truth is 0, (3, F)."""
    root = np.linalg.cholesky(0.1 * np.eye(3) + 0.9)
    rows = np.sqrt(0.5 * 40) * root @ rng.standard_t(5, (3, 200)) * 0.6**0.5
    tests = [rng.permutation(200).reshape(5, 40) for _ in range(n_repeats)]
    shared = np.hstack([rows[:, test].mean(axis=-1) for test in tests])
    own = root @ rng.standard_normal((3, 5 * n_repeats))
    return np.exp(0.5 * rng.normal()) * (shared + np.sqrt(0.5) * own)


@pytest.mark.parametrize("n_repeats", [1, 2])
def test_intervals_cover_jointly_and_find_large_gains(n_repeats):
    rng = np.random.default_rng(0)
    tables = [fold_differences(rng, n_repeats) for _ in range(300)]
    told = np.array([joint_intervals(table, n_repeats) for table in tables])
    mean, low, high = told.swapaxes(0, 1)
    covered = (low < 0) & (high > 0)
    assert 0.94 <= covered.all(axis=1).mean() < 1
    assert covered.mean() > 0.96
    deviation = np.array(tables).std(axis=-1, ddof=1)
    found = [(mean + k * deviation > high - mean).mean() for k in (2, 4)]
    assert found[0] > (0.6 if n_repeats == 2 else 0.4)
    assert found[1] > 0.95


@pytest.mark.parametrize(
    ("shift", "n_errors", "higher"),
    [
        (0.0, 2, False),
        (0.15, 2, False),
        (0.15, 1, True),
        (0.3, 2, True),
        (0.05, 1, False),
        (-0.3, 1, False),
    ],
)
def test_clearly_higher_losses_are_so_by_standard_errors(shift, n_errors, higher):
    rng = np.random.default_rng(0)
    difference = rng.normal(size=100)
    difference += shift - difference.mean()  # of standard errors near 0.1
    others = rng.exponential(size=100)
    told = partial(clearly_higher, n_errors=n_errors)
    assert told(others + difference, others) is higher
    order = rng.permutation(100)
    assert told((others + difference)[order], others[order]) is higher


def test_weights_of_losses_have_no_unit():
    rng = np.random.default_rng(0)
    others, weight = rng.exponential(size=50), rng.exponential(size=50)
    is_higher = partial(clearly_higher, n_errors=2)
    for shift in np.linspace(0, 1, 21):
        losses = others + rng.normal(shift, 1, 50)
        told = [is_higher(losses, others, c * weight) for c in (1, 10, 0.1)]
        assert len(set(told)) == 1
        even = is_higher(losses, others, np.full(50, 7.0))
        assert even is is_higher(losses, others)
        first = np.arange(50) < 20
        part = is_higher(losses[first], others[first])
        assert is_higher(losses, others, first.astype(float)) is part


def test_losses_that_are_equal_are_not_higher():
    losses = np.arange(5.0)
    assert not clearly_higher(losses, losses, n_errors=1)
    assert clearly_higher(losses + 1, losses, n_errors=2)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 50])
def test_chance_is_rarely_clear_however_few_the_rows(n):
    rng = np.random.default_rng(0)
    told = partial(clearly_higher, others=np.zeros(n), n_errors=2)
    clear = np.mean([told(rng.normal(size=n)) for _ in range(4_000)])
    assert clear <= 0.023 + 3 * np.sqrt(0.023 / 4_000)
    assert clear > 0.015 or n == 1


def test_the_weight_of_one_row_cannot_tell():
    weight = np.array([0.0, 1.0, 0.0])
    assert not clearly_higher(np.ones(3), np.zeros(3), weight, n_errors=1)
