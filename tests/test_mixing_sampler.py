"""What is drawn, beyond the laws."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import betaincinv

from skmix._mixing.mixup import lerp_steps, mix_step
from skmix._mixing.sampler import Draw, MixupSampler, lam_table
from skmix._tables.columns import TrainingSet
from skmix.mixing import mixup
from skmix.pairing import shuffle, weighted_choice
from skmix.schedules import Schedule


def bound_sampler(weighted=False, **knobs):
    knobs = {"alpha": 0.3, "lam_per": "batch", "seed": 5} | knobs
    weight = np.arange(1.0, 11) if weighted else None
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 3
    sampler = MixupSampler(**knobs)
    sampler.bind(TrainingSet(X, y, np.arange(10), weight))
    return sampler


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


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_plan_is_replayed_by_its_seed(weighted):
    samplers = [bound_sampler(weighted) for _ in range(2)]
    first, second = ([sampler.draw(8) for _ in range(3)] for sampler in samplers)
    for a, b in zip(first, second, strict=True):
        assert_same(a, b)
        assert a.lam.shape == (1,)
    assert first[0].lam != first[1].lam
    assert first[0].seed != first[1].seed


PAIRINGS = ["shuffle", "same_class", "nearest", lambda rows, X, y, w, rng: rows]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_steps_drawn_together_are_those_drawn_one_by_one(lam_per, pairing, weighted):
    knobs = {"lam_per": lam_per, "pairing": pairing, "layers": [None, "a", "b"]}
    samplers = [bound_sampler(weighted, **knobs) for _ in range(2)]
    rows = np.random.default_rng(0).integers(10, size=21)
    together = samplers[0].draw(7, 3, rows=rows)
    for k in range(3):
        step = samplers[1].draw(7, rows=rows[7 * k : 7 * k + 7])
        expected = together.of_step(k, 3)
        if not samplers[0].from_table:  # positions in the chunk
            expected = expected._replace(partner=expected.partner - 7 * k)
        assert_same(step, expected)
    assert_same(samplers[0].draw(4, rows=rows[:4]), samplers[1].draw(4, rows=rows[:4]))


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_steps_mixed_together_are_those_mixed_one_by_one(lam_per):
    draw = MixupSampler(alpha=1, lam_per=lam_per, seed=0).draw(6, 4)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(24, 3)))
    partners = x[torch.from_numpy(draw.partner)]
    steps = [
        mix_step(
            mixup,
            x[6 * k : 6 * k + 6],
            partners[6 * k : 6 * k + 6],
            None,
            None,
            draw.of_step(k, 4),
        )
        for k in range(4)
    ]
    mixed = lerp_steps(x, partners, draw.lam)
    assert torch.equal(mixed, torch.cat([step for step, _ in steps]))
    assert mixed.data_ptr() == partners.data_ptr()
    assert_array_equal(np.concatenate([share for _, share in steps]), draw.lam)


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


def test_an_alpha_of_the_epoch():
    sampler = bound_sampler(alpha=lambda epoch: 0.0 if epoch % 2 else 1.0)
    assert sampler.draw(8, epoch=1) is None
    same = bound_sampler(alpha=1.0)
    assert_same(sampler.draw(8, epoch=2), same.draw(8))  # off-epochs draw nothing
    assert not sampler.is_off
    assert MixupSampler(alpha=0, lam_per="row", seed=0).is_off


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "a", None])
def test_an_alpha_of_the_epoch_that_is_no_strength(value):
    with pytest.raises(ValueError, match=r"Got alpha\(3\) = .* at least 0 for each"):
        bound_sampler(alpha=lambda epoch: value).draw(8, epoch=3)


def test_schedule():
    alpha = Schedule(1.0, warm_up=4, off_after=6)
    assert [alpha(k) for k in range(1, 9)] == [0.25, 0.5, 0.75, 1, 1, 1, 0, 0]
    assert {Schedule(0.3)(k) for k in (1, 10, 1000)} == {0.3}


@pytest.mark.parametrize(
    "given",
    [{"alpha": "a"}, {"alpha": 1, "warm_up": -1}, {"alpha": 1, "off_after": -2}],
)
def test_schedules_that_are_none(given):
    with pytest.raises((TypeError, ValueError), match="finite number of at least 0"):
        Schedule(**given)(1)


def test_a_table_shows_the_rows_that_are_trained_on():
    X, y, groups = np.arange(12.0).reshape(6, 2), np.arange(6), np.array(list("abcabc"))
    table = TrainingSet(X, y, np.array([4, 1, 2]), all_groups=groups)
    assert_array_equal(table.X, X[[4, 1, 2]])
    assert_array_equal(table.y, [4, 1, 2])
    assert_array_equal(table.groups, ["b", "b", "c"])
    assert_array_equal(table.positions(np.array([2, 4])), [2, 0])
    whole = TrainingSet(X, y, np.arange(6)).X
    assert np.shares_memory(whole, X)  # all of it is not copied
    assert not whole.flags.writeable
    with pytest.raises(ValueError, match="does not tell which rows are trained on"):
        _ = TrainingSet(X, y, None).y


def test_a_draw_of_one_step():
    draw = Draw(np.arange(6), np.arange(3.0), np.arange(3), np.array([0, 1, 0]))
    step = draw.of_step(1, 3)
    assert_array_equal(step.partner, [2, 3])
    assert (step.lam, step.seed, step.place) == (1.0, 1, 1)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sampler_that_is_bound_again_draws_the_same_again(weighted):
    sampler = bound_sampler(weighted, layers=[None, "hidden"], lam_per="row")
    first = [sampler.draw(8) for _ in range(3)]
    sampler.bind(sampler.table)
    for before in first:
        assert_same(sampler.draw(8), before)
