"""Pairings and draws, beyond the laws."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import betaincinv

from skmix.mixing import (
    Draw,
    Plan,
    lam_table,
    mixed_loss,
    mixed_nll,
    mixup,
    shuffle,
    weighted_choice,
)


def test_every_other_row_is_as_likely_a_partner():
    rng = np.random.default_rng(0)
    counts = np.zeros((5, 5))
    for _ in range(8000):
        counts[np.arange(5), shuffle(5, rng)] += 1
    expected = 8000 / 4
    off_diagonal = counts[~np.eye(5, dtype=bool)]
    # Chi-squared with 19 or so degrees of freedom: beyond 45 once in a thousand.
    assert ((off_diagonal - expected) ** 2 / expected).sum() < 45
    assert (np.diag(counts) == 0).all()


def test_weighted_choice_reaches_both_ends():
    class Ends:
        def random(self, size):
            return np.array([0.0, np.nextafter(1, 0)])

    cdf = np.cumsum([0.1] * 9) / 0.9  # ends a rounding error off 1
    assert_array_equal(weighted_choice(cdf, 2, Ends()), [0, 8])


@pytest.mark.parametrize("weighted", [False, True])
def test_a_plan_is_replayed_by_its_seed(weighted):
    plans = [Plan(alpha=0.3, lam_per="batch", seed=5) for _ in range(2)]
    if weighted:
        for plan in plans:
            plan.weigh(np.arange(10), np.arange(1.0, 11))
    first, second = ([plan.draw(8) for _ in range(3)] for plan in plans)
    for a, b in zip(first, second, strict=True):
        assert_array_equal(a.partner, b.partner)
        assert a.lam == b.lam
        assert a.lam.shape == (1,)
    assert first[0].lam != first[1].lam


def test_lam_per_row_reaches_every_shape():
    draw = Draw(np.arange(3), np.array([1.0, 0.5, 0.0]), 0)
    for shape in [(3,), (3, 2), (3, 2, 4)]:
        x, partner = torch.ones(shape), torch.zeros(shape)
        mixed = mixup(x, partner, draw)
        assert mixed.shape == shape
        assert_allclose(mixed.reshape(3, -1)[:, 0], draw.lam)


def test_nests_of_tensors_keep_their_structure():
    draw = Draw(np.arange(2), np.array([0.25]), 0)
    x = {"a": torch.ones(2, 1), "b": (torch.ones(2, 3), [torch.ones(2, 2)])}
    zeros = {"a": torch.zeros(2, 1), "b": (torch.zeros(2, 3), [torch.zeros(2, 2)])}
    mixed = mixup(x, zeros, draw)
    assert mixed.keys() == x.keys()
    assert isinstance(mixed["b"], tuple)
    assert_allclose(mixed["b"][1][0], 0.25)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
def test_codes_are_taken_from_the_own_row_in_the_share_lam(dtype):
    draw = Draw(np.arange(50_000), np.array([0.3]), 1)
    x = torch.ones(50_000, 2, dtype=dtype)
    mixed = mixup(x, torch.zeros_like(x), draw)
    assert mixed.dtype == dtype
    assert_allclose(mixed.double().mean(), 0.3, atol=0.01)


def test_mixed_loss_per_batch_and_per_row():
    own, partner = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])
    assert_allclose(mixed_loss(own, partner, np.array([0.5])), [2, 4])
    assert_allclose(mixed_loss(own, partner, np.array([0.0, 1.0])), [3, 2])
    assert mixed_loss(own.sum(), partner.sum(), np.array([1.0])) == own.sum()
    assert mixed_loss(own.sum(), partner.sum(), np.array([1.0])).ndim == 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_steps_drawn_together_are_those_drawn_one_by_one(lam_per, weighted):
    plans = [Plan(alpha=0.3, lam_per=lam_per, seed=5) for _ in range(2)]
    if weighted:
        for plan in plans:
            plan.weigh(np.arange(10), np.arange(1.0, 11))
    together = plans[0].draw(7, 3)
    steps = [plans[1].draw(7) for _ in range(3)]
    offset = 0 if weighted else 7  # numbers in the table, or positions in the chunk
    partners = [step.partner + k * offset for k, step in enumerate(steps)]
    assert_array_equal(together.partner, np.concatenate(partners))
    assert_array_equal(together.lam, np.concatenate([step.lam for step in steps]))
    assert_array_equal(plans[0].draw(4).partner, plans[1].draw(4).partner)


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_steps_mixed_together_are_those_mixed_one_by_one(lam_per):
    draw = Plan(alpha=1, lam_per=lam_per, seed=0).draw(6, 4)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(24, 3)))
    partner = torch.from_numpy(draw.partner)
    mixed = mixup({"a": x, "b": x[:, 0]}, {"a": x[partner], "b": x[partner, 0]}, draw)
    partners = {"a": x[partner], "b": x[partner, 0]}
    in_place = mixup({"a": x, "b": x[:, 0]}, partners, draw, in_place=True)
    assert torch.equal(in_place["a"], mixed["a"])
    assert in_place["a"].data_ptr() == partners["a"].data_ptr()
    lams = draw.lam.reshape(4, -1)
    for k in range(4):
        rows = slice(6 * k, 6 * k + 6)
        step = Draw(draw.partner[rows], lams[k], 0)
        expected = mixup(x[rows], x[partner[rows]], step)
        assert_allclose(mixed["a"][rows], expected, rtol=1e-12)
        assert_allclose(mixed["b"][rows], expected[:, 0], rtol=1e-12)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.05, 0.2, 1.0, 7.0, 100.0, 1e3])
def test_tabulated_quantiles(alpha):
    rng = np.random.default_rng(0)
    u = np.r_[rng.random(10_000), 0.5]
    lam = lam_table(alpha)(u)
    assert_allclose(lam, betaincinv(alpha, alpha, u), rtol=0, atol=3e-6)
    u = np.r_[u, 10.0 ** -np.arange(1, 16), 0, np.nextafter(1, 0)]
    lam = lam_table(alpha)(u)
    assert ((lam >= 0) & (lam <= 1)).all()
    assert (np.diff(lam[np.argsort(u)]) >= 0).all()


def test_mixed_nll():
    log_proba = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
    labels = torch.tensor([[0, 1], [1, 1]])
    loss = mixed_nll(log_proba, labels, torch.tensor([[0.3, 0.2], [0.3, 0.2]]))
    expected = -(0.3 * np.log(0.8) + 0.2 * np.log(0.2) + 0.5 * np.log(0.5))
    assert_allclose(loss, expected, rtol=1e-6)
