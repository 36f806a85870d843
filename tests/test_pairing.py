"""Partners are those of the papers' rules, of training rows, by weight."""

import numpy as np
import pytest
import references
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import logits_net, number_net
from scipy import sparse
from scipy.stats import chisquare
from sklearn.datasets import make_blobs
from skorch.dataset import ValidSplit

from skmix import MixupClassifier, MixupRegressor, pairing
from skmix._mixing.sampler import MixupSampler
from skmix._tables.columns import TrainingSet
from skmix.pairing import (
    Lisa,
    Nearest,
    OtherClass,
    SameClass,
    SimilarTarget,
    _Similar,
    bound,
)

N = 30
Y = np.random.default_rng(1).choice(3, size=N, p=[0.6, 0.3, 0.1])
GROUPS = np.random.default_rng(2).integers(4, size=N)
X = np.random.default_rng(3).normal(size=(N, 3))
WEIGHT = np.random.default_rng(4).uniform(0.2, 3, size=N)
weighted = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])


def table(weight=None, **about):
    about = {"all_groups": GROUPS} | about
    return TrainingSet(X, Y, np.arange(N), weight, **about)


class Fixed:
    """A generator that gives what it is told."""

    def __init__(self, numbers):
        self.numbers = numbers

    def random(self, size):
        assert self.numbers.shape == (size if isinstance(size, tuple) else (size,))
        return self.numbers


ROWS = np.random.default_rng(5).integers(N, size=500)
U = np.random.default_rng(6).random(500)


@weighted
@pytest.mark.parametrize("name", ["same_class", "other_class"])
def test_classes(name, weight):
    got = bound(name, table(weight))(ROWS, Fixed(U))
    rule = getattr(references, name)
    expected = [rule(i, u, Y, weight) for i, u in zip(ROWS, U, strict=True)]
    assert_array_equal(got, expected)
    assert (got != expected[::-1]).any()
    same = Y[got] == Y[ROWS]
    assert same.all() if name == "same_class" else not same.any()
    if weight is None and name == "same_class":
        assert (got != ROWS).all()


@weighted
def test_lisa(weight):
    coins = np.random.default_rng(7).random(500)
    numbers = np.column_stack([coins, U])
    got = bound(Lisa(p=0.3), table(weight))(ROWS, Fixed(numbers))
    expected = [
        references.lisa(i, coin, u, Y, GROUPS, weight, p=0.3)
        for i, coin, u in zip(ROWS, coins, U, strict=True)
    ]
    assert_array_equal(got, expected)
    label, group = Y[got] == Y[ROWS], GROUPS[got] == GROUPS[ROWS]
    assert ((label ^ group) | (got == ROWS)).all()
    assert 0.2 < label.mean() < 0.45


@weighted
def test_nearest(weight):
    scaled = X / X.std(axis=0)
    got = bound(Nearest(k=4), table(weight))(ROWS, Fixed(U))
    expected = [
        references.nearest(i, u, scaled, 4, weight)
        for i, u in zip(ROWS, U, strict=True)
    ]
    assert_array_equal(got, expected)
    assert (got != ROWS).all()


def chances(y, weight, i):
    """The probability of each row to be the partner of row i, enumerated.

    A cell is proposed by its mass times its bound, a row of it by its weight, and it is
    accepted by kernel / bound.
    """
    similar = _Similar(y, weight)
    near, bound_ = similar._near(y[[i]])
    weight = np.ones(len(y)) if weight is None else weight
    chance = np.zeros(len(y))
    for cell, most in zip(near[0], bound_[0], strict=True):
        if most == 0:
            continue
        members = similar.order[similar.start[cell] : similar.stop[cell]]
        kernel = np.exp(-((y[i] - y[members]) ** 2) / 2)
        assert (kernel <= most * (1 + 1e-12)).all()
        assert_allclose(similar.mass[cell], weight[members].sum())
        proposed = most * similar.mass[cell] * weight[members] / weight[members].sum()
        chance[members] += proposed * (kernel / most)
    return chance / chance.sum()


@weighted
@pytest.mark.parametrize("bandwidth", [0.05, 0.5, 3.0])
def test_similar_targets_are_drawn_by_the_kernel(bandwidth, weight):
    """Bounds are such, and each row of any chance is in just one of the cells."""
    y = np.random.default_rng(0).standard_t(3, size=400)
    w = None if weight is None else np.resize(weight, 400)
    for i in range(0, 400, 3):
        expected = references.similar_target(i, y, w, bandwidth)
        assert_allclose(chances(y / bandwidth, w, i), expected, rtol=0, atol=1e-6)


@weighted
def test_similar_targets_are_drawn_as_often_as_the_kernel_says(weight):
    y = np.r_[np.random.default_rng(0).normal(size=N - 1), 9.0]
    about = TrainingSet(X, y, np.arange(N), weight, task="regressor")
    mean = np.average(y, weights=weight)
    scale = np.sqrt(np.average((y - mean) ** 2, weights=weight))
    draw = bound(SimilarTarget(bandwidth=0.4), about)
    rng = np.random.default_rng(1)
    for i in (0, 7, N - 1):
        counts = np.bincount(draw(np.full(40_000, i), rng), minlength=N)
        expected = references.similar_target(i, y / scale, weight, 0.4)
        expected = 40_000 * np.array(expected)
        often = expected > 5
        assert counts[~often].sum() <= expected[~often].sum() + 20
        if often.sum() == 1:  # one without its like is its own partner
            assert i == N - 1
            continue
        f_exp = expected[often] * counts[often].sum() / expected[often].sum()
        assert chisquare(counts[often], f_exp).pvalue > 1e-4
        assert chisquare(counts[often], f_exp[::-1]).pvalue < 1e-6


@given(st.data())
def test_every_rule_gives_rows_of_the_table(data):
    n = data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    name = data.draw(st.sampled_from(sorted(pairing.NAMED)))
    y = rng.integers(data.draw(st.integers(1, 4)), size=n)
    x = rng.integers(3, size=(n, 2)).astype(float)
    weight = rng.uniform(0.01, 5, size=n) if data.draw(st.booleans()) else None
    about = TrainingSet(x, y, np.arange(n), weight, all_groups=rng.integers(3, size=n))
    rows = rng.integers(n, size=data.draw(st.integers(1, 50)))
    partner = bound(name, about)(rows, rng)
    assert partner.shape == rows.shape
    assert ((partner >= 0) & (partner < n)).all()
    if name == "same_class":
        assert (y[partner] == y[rows]).all()
    if name == "other_class" and len(set(y)) > 1:
        assert (y[partner] != y[rows]).all()
    if name == "nearest" and n > 1:
        assert (partner != rows).all()


# Law 6: what is drawn by weight is drawn as from a table of repeated rows.


class Even:
    """A generator whose numbers are an even grid: each outcome in its share."""

    def random(self, size):
        return (np.arange(size) + 0.5) / size


def frequencies(draw, i, n, of):
    """How often the rows `of` are drawn as partners of row i, of an even grid."""
    partner = draw(np.full(40_000, i), Even())
    return np.bincount(of[partner], minlength=n) / 40_000


@pytest.mark.parametrize("name", ["same_class", "other_class"])
def test_law_6_a_weight_is_so_many_copies_as_a_partner(name):
    copies = np.random.default_rng(0).integers(1, 5, size=N)
    rows = np.repeat(np.arange(N), copies)
    first = np.searchsorted(rows, np.arange(N))
    # (Weights that differ by rounding, so that copies may meet each other.)
    ones = np.ones(len(rows)) + 1e-9 * np.arange(len(rows))
    repeated = bound(name, TrainingSet(X[rows], Y[rows], np.arange(len(rows)), ones))
    ours = bound(name, table(copies.astype(float)))
    for i in range(N):
        got = frequencies(ours, i, N, np.arange(N))
        assert_allclose(got, frequencies(repeated, first[i], N, rows), atol=2e-4)


def test_law_6_of_similar_targets_enumerated():
    copies = np.random.default_rng(0).integers(1, 5, size=N)
    rows = np.repeat(np.arange(N), copies)
    y = np.random.default_rng(1).normal(size=N)
    for i in range(N):
        repeated = chances(y[rows], None, int(np.searchsorted(rows, i)))
        ours = chances(y, copies.astype(float), i)
        assert_allclose(np.bincount(rows, repeated), ours, atol=1e-12)


def test_law_6_of_lisa():
    """Rows that differ in group or label are drawn by weight, in both ways."""
    copies = np.random.default_rng(0).integers(1, 5, size=N).astype(float)
    u = (np.arange(20_000) + 0.5) / 20_000
    for coin, same_label in ((0.0, True), (0.99, False)):
        draw = bound(Lisa(p=0.5), table(copies))
        for i in range(N):
            like = (Y[i] == Y) & (GROUPS[i] != GROUPS)
            other = (Y[i] != Y) & (GROUPS[i] == GROUPS)
            mask = like if (same_label and like.any()) or not other.any() else other
            if not mask.any():
                continue
            numbers = np.column_stack([np.full(20_000, coin), u])
            partner = draw(np.full(20_000, i), Fixed(numbers))
            got = np.bincount(partner, minlength=N) / 20_000
            assert_allclose(got, copies * mask / (copies * mask).sum(), atol=2e-4)


# Large tables.


def test_neighbours_of_large_tables_are_near(monkeypatch):
    monkeypatch.setattr(pairing, "EXACT_ROWS", 500)
    monkeypatch.setattr(pairing, "CELL_ROWS", 100)
    points, _ = make_blobs(3000, centers=40, n_features=4, random_state=0)
    points = points.astype(np.float32)
    near = pairing._neighbours(points, 5)
    assert near.shape == (3000, 5)
    assert (near != np.arange(3000)[:, None]).all()
    apart = np.linalg.norm(points[near] - points[:, None], axis=2).mean()
    anyone = np.linalg.norm(points[:1000] - points[1000:2000], axis=1).mean()
    assert apart < 0.15 * anyone
    cells = pairing._cells(points, np.random.default_rng(0))
    assert sorted(np.concatenate(cells)) == list(range(3000))
    assert {len(cell) for cell in cells} <= set(range(40, 101))


def test_points_of_sparse_tables_with_large_means():
    rng = np.random.default_rng(0)
    dense = np.column_stack([1000 + 0.1 * rng.normal(size=200), np.full(200, 0.1)])
    dense = dense.astype(np.float32)
    csr = pairing._points(sparse.csr_matrix(dense)).toarray()
    assert_allclose(csr.std(axis=0), [1, 0], atol=0.01)


def test_points_of_tables_with_outliers_are_finite():
    X = np.random.default_rng(0).normal(size=(50, 2))
    X[0, 0] = 1e200
    for of_format in (np.asarray, sparse.csr_array, sparse.coo_array):
        near = pairing._neighbours(pairing._points(of_format(X)), 5)
        assert (near != np.arange(50)[:, None]).all()


def test_codes_without_end_take_little_memory():
    ids = np.arange(5000)[:, None]
    assert pairing._points({"id": ids, "none": ids[:, :0]}).shape == (5000, 50)


def test_points_of_every_kind_of_table():
    dense = np.random.default_rng(0).normal(size=(50, 3)) * [1, 10, 0]
    assert_allclose(pairing._points(dense).std(axis=0), [1, 1, 0], rtol=1e-5)
    csr = sparse.csr_matrix(dense)
    assert_allclose(pairing._points(csr).toarray(), pairing._points(dense), rtol=1e-5)
    near = pairing._neighbours(pairing._points(csr), 3)
    assert_array_equal(near, pairing._neighbours(pairing._points(dense), 3))
    codes = np.random.default_rng(0).integers(4, size=(50, 2))
    both = pairing._points({"x_num": dense, "x_cat": codes})
    assert both.shape == (50, 3 + 8)
    assert set(np.unique(both[:, 3:])) == {0, 1}
    flags = np.column_stack([dense[:, 0], np.arange(50) % 2])
    assert set(np.unique(pairing._points(flags)[:, 1])) == {0, 1}


# In a fit.


def test_partners_are_of_the_rows_that_are_trained_on(cancer):
    """Law 7, for every rule: held-out rows are no partners."""
    X, y = cancer
    held_out = np.arange(len(y)) % 4 == 0
    seen = []

    class Notes:
        def __init__(self, rule):
            self.rule = rule

        def bind(self, table):
            draw = bound(self.rule, table)
            rows = {tuple(row) for row in table.X}

            def partners(numbers, rng):
                partner = draw(numbers, rng)
                seen.append(rows.issuperset(map(tuple, table.X[partner])))
                assert len(table.X) == (~held_out).sum()
                return partner

            return partners

    def split(dataset, y=None, **kwargs):
        from torch.utils.data import Subset

        train = np.flatnonzero(~held_out)[::-1].copy()
        valid = np.flatnonzero(held_out)
        return Subset(dataset, train), Subset(dataset, valid)

    net = logits_net(max_epochs=2, train_split=split)
    groups = np.arange(len(y)) % 3
    for name in ("same_class", "other_class", "nearest", "lisa"):
        clf = MixupClassifier(net, pairing=Notes(name), random_state=0)
        clf.fit(X, y, groups=groups)
        plain = MixupClassifier(net, pairing=name, random_state=0)
        plain.fit(X, y, groups=groups)
        assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    assert seen
    assert all(seen)


def test_rows_are_positions_among_those_that_are_trained_on(cancer):
    X, y = cancer
    found = []

    def own(rows, X, y, weight, rng):
        found.append(X[rows])
        assert weight.shape == y.shape
        assert len(X) == len(y) < 569
        return rows

    net = logits_net(max_epochs=1, train_split=ValidSplit(4, stratified=True))
    clf = MixupClassifier(net, alpha=1, pairing=own, random_state=0).fit(X, y)
    # Each row is paired with itself, so that nothing is mixed.
    bare = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    assert_allclose(clf.predict_proba(X), bare.predict_proba(X), atol=1e-3)
    dealt = np.concatenate(found)  # each row once
    assert len(np.unique(dealt, axis=0)) == len(dealt)


@pytest.mark.parametrize(
    ("rule", "error", "match"),
    [
        ("other", ValueError, "'shuffle' or 'same_class' or 'other_class'"),
        (3, TypeError, "Got pairing=3"),
        (
            Nearest,
            TypeError,
            r"a class, but expected an object of it: pairing=Nearest\(",
        ),
        (lambda rows: rows, TypeError, r"f\(rows, X, y, weight, rng\) -> partner"),
        (Nearest(k=0), ValueError, "k=0"),
        (Nearest(k=2.5), ValueError, "k=2.5"),
        (Lisa(p=2), ValueError, "p=2"),
        ("lisa", ValueError, r"no groups, .*fit\(X, y, groups=...\)"),
        ("similar_target", ValueError, "for a classifier, but it is one for a regress"),
        (lambda rows, *a: rows[:3], ValueError, r"shape \(3,\) and dtype int64"),
        (lambda rows, *a: rows / 1, ValueError, "dtype float64"),
        (lambda rows, *a: rows + 1000, ValueError, "from 0 to 568"),
    ],
)
def test_what_is_no_pairing_is_refused(cancer, rule, error, match):
    X, y = cancer
    with pytest.raises(error, match=match):
        MixupClassifier(logits_net(max_epochs=1), pairing=rule).fit(X, y)


@pytest.mark.parametrize("rule", ["same_class", "other_class", "lisa", SameClass()])
def test_classes_are_not_for_numbers(cancer, rule):
    X, y = cancer
    with pytest.raises(ValueError, match="for a regressor, but it is one for a class"):
        MixupRegressor(number_net(max_epochs=1), pairing=rule).fit(X, y)


def test_a_pairing_cannot_write_to_the_table(cancer):
    X, y = cancer
    X = X.astype(np.float32)

    def writes(rows, X, y, weight, rng):
        X[:] = 0
        return rows

    def weighs(rows, X, y, weight, rng):
        weight[:] = 0
        return rows

    def writes_sparse(rows, X, y, weight, rng):
        X.data[:] = 0
        return rows

    for table, pairing_ in (
        (X, writes),
        (X, weighs),
        (sparse.csr_matrix(X), writes_sparse),
    ):
        clf = MixupClassifier(logits_net(max_epochs=1), pairing=pairing_)
        with pytest.raises(ValueError, match="read-only"):
            clf.fit(table, y)
        with pytest.raises(ValueError, match="read-only"):
            clf.fit(table, y, sample_weight=1 + np.arange(len(y)) % 2)


def test_bandwidths_too_small_to_be_true(cancer):
    X, y = cancer
    for bandwidth, match in [(0, "above 0"), ("a", "above 0"), (1e-310, "so small")]:
        rule = SimilarTarget(bandwidth)
        with pytest.raises(ValueError, match=match):
            MixupRegressor(number_net(max_epochs=1), pairing=rule).fit(X, y)


def test_groups_are_one_for_each_row(cancer):
    X, y = cancer
    clf = MixupClassifier(logits_net(max_epochs=1), pairing=Lisa(), random_state=0)
    for wrong in ([1, 2, 3], np.ones((len(y), 2)), 3):
        with pytest.raises(ValueError, match=r"Got groups.*(569|for each row)"):
            clf.fit(X, y, groups=wrong)
    with pytest.raises(ValueError, match="missing for 1 rows"):
        clf.fit(X, y, groups=[None, *range(568)])
    names = np.array(["east", "west"])[np.arange(len(y)) % 2]
    clf.fit(X, y, groups=[*names[:-1], 3])  # of several types
    clf.fit(X, y, groups=names, sample_weight=np.arange(len(y)) % 3)
    clf.partial_fit(X, y, groups=names)


def test_pairings_need_to_know_the_rows_of_a_batch(cancer):
    X, y = cancer
    from torch.utils.data import DataLoader

    class Own(DataLoader):
        pass

    net = logits_net(max_epochs=1, iterator_train=Own)
    MixupClassifier(net, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="does not tell which rows a batch holds"):
        MixupClassifier(net, pairing=OtherClass(), random_state=0).fit(X, y)


def test_plans_that_differ_in_alpha_meet_the_same_partners():
    samplers = [
        MixupSampler(alpha=a, lam_per="row", seed=0, pairing="same_class")
        for a in (0.1, 2)
    ]
    for sampler in samplers:
        sampler.bind(table())
    one, other = (sampler.draw(N, rows=np.arange(N)) for sampler in samplers)
    assert_array_equal(one.partner, other.partner)
