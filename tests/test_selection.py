"""What rows held out tell: blends that cannot be empty, gains, scores by fold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from skmix._selection import (
    Evidence,
    Scoring,
    gains,
    shares_of_least_squares,
    shares_of_likelihood,
)


def noisy(spreads, n=200, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=n)
    return target + rng.normal(size=(len(spreads), n)) * np.c_[spreads], target


def test_shares_of_least_squares_are_the_best_on_the_simplex():
    predicted, target = noisy([0.3, 0.4, 0.5, 1, 2])
    shares = shares_of_least_squares(predicted, target)

    def loss(s):
        fit = np.mean((s @ predicted - target) ** 2)
        return fit + 0.03**2 * target.var() * s @ s

    bounds, total = [(0, 1)] * 5, {"type": "eq", "fun": lambda s: s.sum() - 1}
    options = {"bounds": bounds, "constraints": total, "tol": 1e-12}
    best = minimize(loss, np.full(5, 0.2), **options)
    assert_allclose(shares, best.x, atol=1e-4)


@pytest.mark.parametrize("unit", [1e-300, 1e-20, 1e6, 1e150, 1e300])
def test_shares_do_not_depend_on_the_unit_of_the_target(unit):
    predicted, target = noisy([0.3, 0.4, 2])
    expected = shares_of_least_squares(predicted, target)
    shares = shares_of_least_squares(predicted * unit, target * unit)
    assert_allclose(shares, expected, rtol=1e-6)


@given(
    st.integers(1, 6),
    st.integers(1, 12),
    st.sampled_from([0, 1e-300, 1e-9, 1, 1e9, 1e300]),
    st.sampled_from([0, 1e-300, 1e-9, 1, 1e9, 1e300]),
    st.sampled_from([0, 1, 1e12]),
    st.integers(0, 9),
)
def test_shares_are_never_empty(n_candidates, n, scale, spread, offset, seed):
    rng = np.random.default_rng(seed)
    target = offset + spread * rng.normal(size=n)
    predicted = scale * rng.normal(size=(n_candidates, n))
    for shares in (
        shares_of_least_squares(predicted, target, rng.random(n) + 0.1),
        shares_of_likelihood(rng.random((n_candidates, n)) * min(scale, 1)),
    ):
        assert (shares >= 0).all()
        assert_allclose(shares.sum(), 1)


def test_a_weight_of_two_counts_as_two_rows_in_a_blend():
    predicted, target = noisy([0.5, 1, 1], n=30)
    weight = np.where(np.arange(30) < 10, 2.0, 1.0)
    twice = np.repeat(np.arange(30), weight.astype(int))
    by_weight = shares_of_least_squares(predicted, target, weight / weight.mean())
    by_copies = shares_of_least_squares(predicted[:, twice], target[twice])
    assert_allclose(by_weight, by_copies, atol=0.01)


def test_shares_that_are_not_found_are_those_of_the_best_alone(monkeypatch):
    def fails(*args):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr("skmix._selection.nnls", fails)
    for seed in range(20):
        shares = shares_of_least_squares(*noisy([0.7, 0.3, 2], seed=seed))
        assert_array_equal(shares, [0, 1, 0])


def test_a_perfect_candidate_predicts_alone():
    predicted, target = noisy([0, 1])
    assert_array_equal(shares_of_least_squares(predicted, target), [1, 0])


# Gains.

ALPHAS, EVERY = np.array([0.0, 0.5, 1.0]), np.ones(3, dtype=bool)


def test_gains_are_over_alpha_0_and_paired():
    scores = np.array([[0.1, 0.2, 0.3], [0.2, 0.3, 0.5], [0, 0.1, 0.1]])
    told = gains(ALPHAS, scores, EVERY, 0.5)
    assert_allclose(told["mean"], [0, 0.4 / 3, -0.4 / 3])
    # Between the quantile of one candidate and Bonferroni's of two.
    error = np.std([0.1, 0.1, 0.2], ddof=1) * (1 / 3 + 0.4 * 0.5) ** 0.5
    half = told["high"] - told["mean"]
    assert half[0] == 0
    assert_allclose(half[1], half[2])
    assert 4.302653 * error < half[1] < 6.205347 * error
    assert_allclose(told["mean"] - told["low"], half)
    told = gains(ALPHAS[:2], scores[:2], EVERY, 0.5)
    assert_allclose(told["high"] - told["mean"], [0, 4.302653 * error], rtol=1e-6)
    assert_allclose(told["mean"] - told["low"], [0, 4.302653 * error], rtol=1e-6)


@pytest.mark.parametrize("gain", [0, 0.05, -0.05])
def test_folds_that_agree_to_the_last_digit_give_no_interval(gain):
    scores = np.array([[0.7, 0.8, 0.9], [0.7 + gain, 0.8 + gain, 0.9 + gain]])
    told = gains(ALPHAS[:2], scores, EVERY, 0.5)
    assert_allclose(told["mean"], [0, gain], atol=1e-12)
    assert_array_equal(told["low"], [0, np.nan])
    assert_array_equal(told["high"], [0, np.nan])


def test_one_fold_gives_no_interval():
    told = gains(ALPHAS[:2], np.array([[1.0], [3.0]]), EVERY[:1], 0.5)
    assert_array_equal(told["mean"], [0, 2])
    assert_array_equal(told["high"], [0, np.nan])


def test_a_fold_without_a_score_is_left_out_and_one_that_diverged_is_not():
    nan = np.nan
    scores = np.array([[nan, 0.2, 0.4], [nan, 0.6, nan], [nan, 0.3, 0.5]])
    diverged = np.zeros((3, 3), dtype=bool)
    diverged[1, 2] = True
    evidence = Evidence(None, [], scores, diverged, {}, 0)
    assert_array_equal(evidence.defined, [False, True, True])
    assert_allclose(evidence.mean_scores, [0.3, nan, 0.4])
    told = gains(ALPHAS, scores, evidence.defined, 0.5)
    assert_allclose(told["mean"], [0, nan, 0.1])
    diverged[:, 1] = True
    evidence = Evidence(None, [], np.where(diverged, nan, scores), diverged, {}, 0)
    assert np.isnan(evidence.mean_scores).all()


# Scores.


@pytest.mark.parametrize("score", [np.ones(3), "0.5", None, [1.0]])
def test_a_score_that_is_no_number_is_refused(score):
    X, y = np.zeros((4, 2)), np.arange(4)
    scoring = Scoring("mine", lambda *args: score, X, y, {})
    with pytest.raises(ValueError, match="expected a number"):
        scoring.of_rows(None, [0, 1])
    with pytest.raises(ValueError, match="nothing was trained"):
        scoring.check(None, [[0, 1], [2, 3]])


def test_a_score_that_works_in_some_fold_passes():
    def score(member, X, y, price):
        if y[0] == 0:
            raise ValueError("not here")
        return float(price.sum())

    metadata = {"price": np.arange(4)}
    scoring = Scoring("mine", score, np.zeros((4, 2)), np.arange(4), metadata)
    scoring.check(None, [[0, 1], [2, 3]])
    assert scoring.of_rows(None, [2, 3]) == 5
