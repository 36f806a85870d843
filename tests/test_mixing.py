"""Each mixing is the formula of its paper, and what is one's own is checked."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import references
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import Linear, Parts, logits_net, number_net
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_selection import mutual_info_classif
from torch import nn

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix._mixing.mixup import bound, is_interpolating, mix_step
from skmix._mixing.sampler import Draw, MixupSampler
from skmix._mixing.variants import mutual_information
from skmix._tables.columns import TrainingSet
from skmix.mixing import (
    CutMix,
    FeatMix,
    NoisyFeatures,
    OwnMajor,
    Prob,
    Remix,
    Warped,
    mixup,
)
from skmix.preprocessing import TableEncoder

N, D = 12, 6
OWNER = np.array([0, 1, 2, 2, 2, 1])  # a number, one with an indicator, a category
IMPORTANCES = np.array([0.2, 1.5, 0.0, 0.4, 0.1, 3.0])


def given_rows(seed=0, numbers=False):
    rng = np.random.default_rng(seed)
    x, partner = rng.normal(size=(2, N, D))
    y = rng.normal(size=N) if numbers else np.array([0] * 8 + [1] * 3 + [2])
    j = rng.permutation(N)
    return x, partner, y, y[j]


COUNTS = [8, 3, 1]
CASES = {
    "mixup": ("mixup", "mixup", {}),
    "cutmix": ("cutmix", "cutmix", {}),
    "feat_mix": (FeatMix(IMPORTANCES), "feat_mix", {"importances": IMPORTANCES}),
    "remix": (Remix(2.5, 0.7), "remix", {"counts": COUNTS, "kappa": 2.5, "tau": 0.7}),
    "own_major": (OwnMajor(), "own_major", {}),
    "prob": (Prob(0.6), "prob", {"p": 0.6}),
    "warped": (
        Warped(0.8, 0.6),
        "warped",
        {"tau_max": 0.8, "tau_std": 0.6, "of_targets": False},
    ),
    "warped by targets": (
        Warped(distance="targets"),
        "warped",
        {"tau_max": 1.0, "tau_std": 0.5, "of_targets": True},
    ),
    "noisy": (
        NoisyFeatures(0.4, 0.3),
        "noisy",
        {"additive": 0.4, "multiplicative": 0.3},
    ),
}
cases = pytest.mark.parametrize("name", CASES)


def lams(per_row, seed=1):
    return np.random.default_rng(seed).uniform(size=N if per_row else 1)


def ours(mixing, x, partner, y, y_partner, lam, seed, layer=None, **about):
    table = TrainingSet(x, y, np.arange(N), **about)
    draw = Draw(np.arange(N), lam, np.array([seed]))
    tensors = (torch.from_numpy(part) for part in (x, partner, y, y_partner))
    mixed, share = mix_step(bound(mixing, table, layer), *tensors, draw)
    share = np.broadcast_to(np.asarray(share, dtype=float), N)
    return mixed.numpy(), share


def theirs(name, x, partner, y, y_partner, lam, seed, per_row):
    _, reference, options = CASES[name]
    lam = np.broadcast_to(lam, N)
    rng = np.random.default_rng(seed)
    function = getattr(references, reference)
    return function(x, partner, lam, y, y_partner, rng, per_row, **options)


@cases
@pytest.mark.parametrize("per_row", [False, True])
def test_each_mixing_is_the_formula_of_its_paper(name, per_row):
    for seed in range(20):
        rows, lam = given_rows(seed), lams(per_row, seed)
        mixed, share = ours(CASES[name][0], *rows, lam, seed)
        expected, expected_share = theirs(name, *rows, lam, seed, per_row)
        assert_allclose(mixed, expected, rtol=0, atol=1e-6)
        assert_allclose(share, expected_share, rtol=0, atol=1e-6)


def differs(a, b):
    return max(abs(one - other).max() for one, other in zip(a, b, strict=True)) > 1e-3


@cases
def test_lam_partner_and_mask_flipped_are_noticed(name):
    rows, lam = given_rows(), lams(True)
    x, partner, y, y_partner = rows
    got = ours(CASES[name][0], *rows, lam, 0)
    assert not differs(got, theirs(name, *rows, lam, 0, True))
    if name != "own_major":  # whose weights do not change
        assert differs(got, theirs(name, *rows, 1 - lam, 0, True))
    assert differs(got, theirs(name, partner, x, y_partner, y, lam, 0, True))
    if name not in ("mixup", "own_major", "remix", "warped", "warped by targets"):
        assert differs(got, theirs(name, *rows, lam, 1, True))  # another mask or noise


@pytest.mark.parametrize("per_row", [False, True])
def test_columns_of_the_table_are_swapped_whole(per_row):
    rows, lam = given_rows(), lams(per_row)
    importances = IMPORTANCES[:3]
    for seed in range(20):
        for mixing, reference, options in [
            ("cutmix", references.cutmix, {}),
            (FeatMix(importances), references.feat_mix, {"importances": importances}),
        ]:
            got = ours(mixing, *rows, lam, seed, columns=OWNER)
            x, partner, y, y_partner = rows
            expected = reference(
                x,
                partner,
                np.broadcast_to(lam, N),
                y,
                y_partner,
                np.random.default_rng(seed),
                per_row,
                owner=OWNER,
                **options,
            )
            for one, other in zip(got, expected, strict=True):
                assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("per_row", [False, True])
def test_units_of_the_last_axis_are_swapped_in_a_layer(per_row):
    """Hidden-Mix: the same dimensions of the embedding of every column."""
    rng, lam = np.random.default_rng(0), lams(per_row)
    x, partner = rng.normal(size=(2, N, 3, D))
    y = np.zeros(N)
    got, share = ours("cutmix", x, partner, y, y, lam, 5, layer="embedding")
    for column in range(3):
        expected, expected_share = references.cutmix(
            x[:, column],
            partner[:, column],
            np.broadcast_to(lam, N),
            y,
            y,
            np.random.default_rng(5),
            per_row,
        )
        assert_allclose(got[:, column], expected, rtol=0, atol=1e-6)
        assert_allclose(share, expected_share, rtol=0, atol=1e-6)


# Through a whole training step: the draw, the pairs, the loss.


class Curved(nn.Module):
    """Not linear, in float64: a symmetric loss would not tell lam from 1 - lam."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.hidden = nn.Linear(d_in, 8)
        self.output = nn.Linear(8, d_out)
        self.double()

    def forward(self, X):
        return self.output(torch.tanh(self.hidden(X)))


def one_step(mixing, lam_per, numbers, monkeypatch, **knobs):
    """Loss of one step at fixed weights, the draw of it, and the module's function."""
    x, _, y, _ = given_rows(numbers=numbers)
    drawn, draw = [], MixupSampler.draw

    def recorded(self, *args, **kwargs):
        drawn.append(draw(self, *args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(MixupSampler, "draw", recorded)
    options = {"lr": 0.0, "batch_size": -1, "max_epochs": 1}
    make, kind = (
        (number_net, MixupRegressor) if numbers else (logits_net, MixupClassifier)
    )
    net = make(module=Curved, **options)
    net.set_params(iterator_train__shuffle=False)
    model = kind(net, alpha=1, mixing=mixing, lam_per=lam_per, random_state=0, **knobs)
    model.fit(x, y)
    module = model.estimator_.module_

    def forward(row):
        return module(torch.from_numpy(row)[None]).detach().numpy()[0]

    return model.history_[-1, "train_loss"], drawn[0], forward


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("clean_weight", [0.0, 0.7])
@cases
def test_a_training_step_is_the_formula_of_the_paper(
    name, clean_weight, lam_per, numbers, monkeypatch
):
    if numbers and name == "remix":
        pytest.skip("for classes")
    x, _, y, _ = given_rows(numbers=numbers)
    loss, draw, forward = one_step(
        CASES[name][0], lam_per, numbers, monkeypatch, clean_weight=clean_weight
    )
    lam = np.broadcast_to(draw.lam, N)
    of_row = references.squared_error if numbers else references.cross_entropy

    def expected(lam, partner):
        mixed, share = theirs(
            name,
            x,
            x[partner],
            y,
            y[partner],
            lam,
            int(draw.seed[0]),
            lam_per == "row",
        )
        total = 0.0
        for i, j in enumerate(partner):
            output = forward(mixed[i])
            total += share[i] * of_row(output, y[i]) / N
            total += (1 - share[i]) * of_row(output, y[j]) / N
            total += clean_weight * of_row(forward(x[i]), y[i]) / N  # RegMixup
        return total

    assert_allclose(loss, expected(lam, draw.partner), rtol=0, atol=1e-6)
    if name == "prob" and lam_per == "batch":
        return  # this batch is left as it is
    if name != "own_major":
        assert abs(loss - expected(1 - lam, draw.partner)) > 1e-4
    assert abs(loss - expected(lam, np.roll(draw.partner, 1))) > 1e-4


# Columns of a real encoder.


def frame():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"size": rng.normal(size=40), "hue": list("abca") * 10})
    X["price"] = np.where(rng.random(40) < 0.3, np.nan, rng.normal(size=40))
    X["grade"] = rng.integers(1, 6, size=40)
    return X


@pytest.mark.parametrize("as_dict", [False, True])
def test_what_is_made_of_a_column_goes_with_it(as_dict):
    X = frame()
    encoder = TableEncoder(as_dict=as_dict, dtype=np.float64).fit(X)
    table = encoder.transform(X)
    if as_dict:
        assert_array_equal(encoder.columns_["x_num"], [0, 2, 3, 2])
        assert_array_equal(encoder.columns_["x_cat"], [1])
        assert_array_equal(encoder.numeric_["x_num"], [True, True, True, False])
    else:
        names = encoder.get_feature_names_out()
        assert_array_equal(encoder.columns_, [0, 2, 3, 2, 1, 1, 1])
        assert names[3] == "missingindicator_price"
        assert_array_equal(encoder.numeric_, [True] * 3 + [False] * 4)
    tensors = _tensors(table)
    half = Draw(np.arange(40), np.full(40, 0.5), np.array([3]))
    partner = _tensors(table, np.roll(np.arange(40), 1))
    y = torch.zeros(40)
    about = TrainingSet(table, y.numpy(), np.arange(40), columns=encoder.columns_)
    mixed, share = mix_step(bound("cutmix", about), tensors, partner, y, y, half)
    assert_allclose(share, 0.5)  # two of the four columns, whatever is made of them
    if as_dict:
        from_own = mixed["x_num"] == tensors["x_num"]
        assert mixed["x_cat"].dtype == torch.int64
    else:
        from_own = mixed == tensors
        hot = mixed[:, 4:]
        assert (hot.sum(dim=1) == 1).all()
        assert ((hot == tensors[:, 4:]).all(1) | (hot == partner[:, 4:]).all(1)).all()
    # A missing number stays missing, or takes the partner's, indicator and all.
    price, missing = mixed["x_num"] if as_dict else mixed, 3
    other = partner["x_num"] if as_dict else partner
    own = tensors["x_num"] if as_dict else tensors
    pair = price[:, [1, missing]]
    assert (
        (pair == own[:, [1, missing]]).all(1) | (pair == other[:, [1, missing]]).all(1)
    ).all()
    assert from_own.any()


def _tensors(table, rows=slice(None)):
    if isinstance(table, dict):
        return {name: torch.from_numpy(part[rows]) for name, part in table.items()}
    return torch.from_numpy(table[rows])


def test_columns_are_named_in_the_users_terms():
    X = frame()
    y = (X["size"] > 0).astype(int)
    X["hue"] = X["hue"].astype("category")
    net = default_net("classifier").set_params(max_epochs=2)
    importances = {"size": 1, "hue": 2, "price": 0, "grade": 0}
    fits = [
        MixupClassifier(net, mixing=FeatMix(given), random_state=0).fit(X, y)
        for given in (importances, list(importances.values()))
    ]
    assert_array_equal(*(clf.predict_proba(X) for clf in fits))
    with pytest.raises(
        ValueError, match="one for each column: size, hue, price, grade"
    ):
        MixupClassifier(mixing=FeatMix({"size": 1})).fit(X, y)
    for wrong in ([1, 2], [1, 1, 1, -1], [], [1, 1, 1, np.inf], [1, 1, 1, np.nan]):
        with pytest.raises(ValueError, match=r"expected \(4,\): one of at least 0"):
            MixupClassifier(mixing=FeatMix(wrong)).fit(X, y)


def test_importances_are_the_mutual_information():
    X = frame()[["size", "hue"]]
    y = (X["size"] > 0).to_numpy().astype(int)
    encoder = TableEncoder(scale=False, dtype=np.float64).fit(X)
    table = TrainingSet(
        encoder.transform(X),
        y,
        np.arange(40),
        columns=encoder.columns_,
        names=["a", "b"],
    )
    codes = pd.factorize(X["hue"], sort=True)[0]
    expected = mutual_info_classif(
        np.column_stack([X["size"], codes]), y, discrete_features=[1], random_state=0
    )
    assert_allclose(FeatMix()._importances(table), expected / expected.sum())


@pytest.mark.parametrize("unit", [2.0**-700, 2.0**700])
def test_importances_do_not_depend_on_units_whose_squares_are_no_numbers(unit):
    y = np.arange(30) % 2
    X = np.random.default_rng(0).normal(size=(30, 2)) + np.c_[y, 0 * y]
    expected = FeatMix()._importances(TrainingSet(X, y, np.arange(30)))
    in_units = TrainingSet(X * [unit, 1], y, np.arange(30))
    assert_allclose(FeatMix()._importances(in_units), expected)


def test_importances_for_targets_near_the_largest_of_their_dtype():
    x = np.random.default_rng(0).normal(size=(30, 2))
    y = np.where(x[:, 0] > 0, 3e38, 1e38).astype(np.float32)
    tables = [
        TrainingSet(x, y_, np.arange(30), task="regressor")
        for y_ in (y, y.astype(np.float64) / 1e38)
    ]
    huge, small = map(FeatMix()._importances, tables)
    assert_allclose(huge, small)


# What tells nothing of other rows.


@pytest.mark.parametrize("kind", ["default", "one array", "parts", "csr"])
def test_a_category_that_is_another_in_each_row_has_no_importance(kind):
    rng = np.random.default_rng(0)
    y = rng.normal(size=15)
    X = pd.DataFrame({"x": y + rng.normal(size=15) / 10, "one": 1.0})
    X["id"] = pd.Categorical([f"u{i}" for i in range(15)])
    table = sparse.csr_array(X[["x", "one"]].to_numpy()) if kind == "csr" else X
    net = {
        "one array": number_net(module__d_out=1, max_epochs=1),
        "parts": number_net(module=Parts, max_epochs=1),
    }.get(kind, default_net("regressor").set_params(max_epochs=1))
    reg = MixupRegressor(net, mixing=FeatMix(), random_state=0).fit(table, y)
    assert np.isfinite(reg.predict(table)).all()


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_importances_of_codes_that_hardly_repeat(task):
    y = np.arange(30) % 2 if task == "classifier" else np.linspace(0, 1, 30) ** 2
    x = y + np.random.default_rng(0).normal(size=30) / 10
    one_hot, table = (
        np.eye(30),
        partial(TrainingSet, all_y=y, rows=np.arange(30), task=task),
    )
    columns = np.r_[0, np.ones(30, dtype=int)]
    both = table(np.c_[x, one_hot], columns=columns)
    assert_allclose(FeatMix()._importances(both), [1, 0])
    alone = table(one_hot, columns=columns[1:] - 1)
    assert_allclose(FeatMix()._importances(alone), [1])  # of columns that tell nothing
    # Integers of a table that is not encoded are numbers, if they hardly repeat.
    order = np.argsort(np.argsort(x))[:, None]
    as_numbers = mutual_information(table(order.astype(float)), 1)
    assert_allclose(mutual_information(table(order), 1), as_numbers)
    few = table(np.ones((30, 2)))
    assert_allclose(FeatMix()._importances(few), [0.5, 0.5])


# What holds for all.


@st.composite
def batches(draw):
    n, d = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    cells = st.lists(st.floats(-1e3, 1e3, width=32), min_size=n * d, max_size=n * d)
    x, partner = (np.reshape(draw(cells), (n, d)) for _ in range(2))
    size = draw(st.sampled_from([1, n]))
    lam = draw(st.lists(st.floats(0, 1), min_size=size, max_size=size))
    owner = np.sort(draw(st.lists(st.integers(0, d - 1), min_size=d, max_size=d)))
    owner = np.unique(owner, return_inverse=True)[1]
    return x, partner, np.array(lam), owner, draw(st.integers(0, 2**32))


BETWEEN = {
    name: mixing
    for name, (mixing, *_) in CASES.items()
    if name not in ("noisy", "feat_mix")
} | {"feat_mix": FeatMix()}


@given(batches(), st.sampled_from(sorted(BETWEEN)))
def test_law_4_holds_for_every_mixing_without_noise(batch, name):
    x, partner, lam, owner, seed = batch
    y, n = np.random.default_rng(seed).integers(3, size=len(x)), len(x)
    other = np.random.default_rng(seed + 1).permutation(y)
    mixing = (
        FeatMix(np.arange(owner.max() + 1)) if name == "feat_mix" else BETWEEN[name]
    )
    table = TrainingSet(x, y, np.arange(n), columns=owner)
    tensors = [torch.from_numpy(part) for part in (x, partner, y, other)]

    def mixed_by(lam, x=tensors[0]):
        draw = Draw(np.arange(n), lam, np.array([seed]))
        return mix_step(bound(mixing, table), x, *tensors[1:], draw)

    mixed, share = mixed_by(lam)
    low, high = np.minimum(x, partner), np.maximum(x, partner)
    slack = 1e-12 * np.abs(x).max(initial=1)
    assert ((mixed.numpy() >= low - slack) & (mixed.numpy() <= high + slack)).all()
    share = np.asarray(share)
    assert share.size in (1, n)
    assert ((share >= 0) & (share <= 1 + 1e-12)).all()
    same, _ = mixed_by(lam, tensors[1])
    assert_allclose(same, partner, rtol=0, atol=slack)  # what both share stays
    own, share = mixed_by(np.ones(1))
    assert_array_equal(own, x)
    assert_allclose(share, 1)


@given(batches(), st.sampled_from(["cutmix", "feat_mix"]))
def test_law_5_columns_are_swapped_whole(batch, name):
    x, partner, lam, owner, seed = batch
    y, n, f = np.zeros(len(x)), len(x), owner.max() + 1
    mixing = "cutmix" if name == "cutmix" else FeatMix(np.ones(f))
    table = TrainingSet(x, y, np.arange(n), columns=owner)
    draw = Draw(np.arange(n), lam, np.array([seed]))
    tensors = [torch.from_numpy(part) for part in (x, partner, y, y)]
    mixed, share = mix_step(bound(mixing, table), *tensors, draw)
    share = np.broadcast_to(np.asarray(share), n)
    for i in range(n):
        kept = 0
        for column in range(f):
            of = owner == column
            own = (mixed[i].numpy()[of] == x[i, of]).all()
            assert own or (mixed[i].numpy()[of] == partner[i, of]).all()
            kept += own
        # Each column counts once, however many are made of it.
        different = all(
            (x[i, owner == c] != partner[i, owner == c]).any() for c in range(f)
        )
        assert not different or np.isclose(share[i], kept / f)


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_cutmix_keeps_the_share_lam_on_average(lam_per):
    x, partner, y = np.ones((2000, 3)), np.zeros((2000, 3)), np.zeros(2000)
    shares = []
    for seed in range(400 if lam_per == "batch" else 1):
        lam = np.full(2000 if lam_per == "row" else 1, 0.4)
        draw = Draw(np.arange(2000), lam, np.array([seed]))
        table = TrainingSet(x, y, np.arange(2000))
        tensors = [torch.from_numpy(part) for part in (x, partner, y, y)]
        mixed, share = mix_step(bound("cutmix", table), *tensors, draw)
        assert_allclose(mixed.mean(dim=1), np.broadcast_to(share, 2000))
        shares.append(np.mean(share))
    assert_allclose(np.mean(shares), 0.4, atol=0.04)


# Rules as parameters.


@cases
def test_rules_are_parameters_like_others(name):
    mixing = CASES[name][0]
    clf = MixupClassifier(mixing=mixing)
    assert repr(clone(clf)) == repr(clf)
    assert repr(pickle.loads(pickle.dumps(clf))) == repr(clf)


def test_a_mixing_may_write_to_what_it_is_given(cancer):
    X, y = cancer

    def in_place(x, x_partner, lam, y, y_partner, rng):
        weight = lam.clone()
        y.zero_(), y_partner.zero_()
        return x.mul_(lam).add_((1 - lam) * x_partner), weight

    def plain(x, x_partner, lam, y, y_partner, rng):
        return x * lam + (1 - lam) * x_partner, lam

    fits = [
        MixupClassifier(
            logits_net(max_epochs=2), mixing=m, clean_weight=1.0, random_state=0
        ).fit(X, y)
        for m in (in_place, plain)
    ]
    assert_allclose(*(fit.predict_proba(X) for fit in fits), rtol=1e-4)


def test_prob_adds_no_noise_to_rows_that_are_not_mixed():
    rows = given_rows()
    mixed, share = ours(Prob(0.0, NoisyFeatures()), *rows, lams(True), 0)
    assert_array_equal(mixed, rows[0])
    assert_array_equal(share, 1)


def test_weights_of_ones_own_keep_their_digits():
    def third(x, x_partner, lam, y, y_partner, rng):
        return x, 1 / 3

    assert_array_equal(ours(third, *given_rows(), lams(True), 0)[1], 1 / 3)


class Split(nn.Module):
    def __init__(self, n_num_features, cat_cardinalities, d_out):
        super().__init__()
        self.output = nn.Linear(n_num_features + len(cat_cardinalities), d_out)

    def forward(self, x_num, x_cat):
        return self.output(torch.cat([x_num, x_cat.to(x_num)], dim=1))


@pytest.mark.parametrize("columns", [["size", "price"], ["hue"], ["size", "hue"]])
@pytest.mark.parametrize("knob", [{"mixing": FeatMix()}, {"pairing": "nearest"}])
def test_modules_that_take_numbers_and_codes_apart(columns, knob):
    X, y = frame()[columns], np.arange(40) % 2
    net = logits_net(module=Split, max_epochs=2)
    clf = MixupClassifier(net, random_state=0, **knob).fit(X, y)
    assert clf.predict(X).shape == (40,)


def test_importances_of_few_rows_are_equal():
    X, y = np.random.default_rng(0).normal(size=(6, 2)), [0, 1, 0, 1, 0, 1]
    assert_array_equal(
        FeatMix()._importances(TrainingSet(X, y, np.arange(6))), [0.5, 0.5]
    )
    net = logits_net(module=Linear, max_epochs=1)
    clf = MixupClassifier(net, mixing=FeatMix(), random_state=0)
    clf.partial_fit(X[:3], y[:3], classes=[0, 1]).partial_fit(X[:1], y[:1])
    assert len(clf.history_) == 2


def test_importances_of_very_wide_tables_are_to_be_given():
    X = np.zeros((20, 5001))
    with pytest.raises(ValueError, match=r"at most 5000 .* Pass importances"):
        FeatMix()._importances(TrainingSet(X, np.arange(20) % 2, np.arange(20)))


class NoBind:
    def bind(self, table):
        return half


class BindsNothing:
    def bind(self, table, layer):
        pass


class Counts:
    """Has attributes of its own that happen to be called like ours."""

    mixing = 3

    def bind(self, table, layer):
        return half


def test_objects_of_ones_own(cancer):
    X, y = cancer
    net = logits_net(max_epochs=1)
    MixupClassifier(net, mixing=Counts(), random_state=0).fit(X, y)
    for mixing, match in [
        (
            NoBind(),
            r"mixing with bind=bind\(table\).* expected a function f\(table, la",
        ),
        (BindsNothing(), "Got None from the bind of mixing=<.*expected a function"),
    ]:
        with pytest.raises(TypeError, match=match):
            MixupClassifier(net, mixing=mixing).fit(X, y)


def test_what_interpolates_is_mixed_where_numbers_are_in_pieces():
    assert is_interpolating("mixup")
    assert is_interpolating(mixup)
    assert is_interpolating(OwnMajor(mixup))
    assert is_interpolating(OwnMajor(Warped()))
    for mixing in (
        "cutmix",
        CutMix(),
        Prob(0.5, "cutmix"),
        lambda *args: None,
    ):
        assert not is_interpolating(mixing)


def half(x, x_partner, lam, y, y_partner, rng):
    return 0.5 * (x + x_partner), 0.5


@pytest.mark.parametrize(
    ("mixing", "error", "match"),
    [
        (
            "mixpu",
            ValueError,
            r"'mixup' or 'cutmix', or a function f\(x, x_partner, lam",
        ),
        (3, TypeError, r"Got mixing=3, but expected"),
        (Remix, TypeError, r"a class, but expected an object of it: mixing=Remix\("),
        (
            lambda x, lam: x,
            TypeError,
            r"<lambda>\(x, lam\), but expected a function f\(x",
        ),
        (Prob(0.5, "cutmx"), ValueError, r"Got mixing='cutmx'"),
        (Prob(1.5), ValueError, r"p=1.5, but expected a number from 0 to 1"),
        (Remix(0.5), ValueError, "kappa=0.5"),
        (Remix(tau=-1), ValueError, "tau=-1"),
        (Warped(tau_std=0), ValueError, "tau_std=0"),
        (Warped(distance="y"), ValueError, "distance='y'"),
        (NoisyFeatures(-1), ValueError, "additive=-1"),
        (lambda *a: a[0], ValueError, "Got Tensor from the mixing.* tuple of two"),
        (lambda *a: (a[0][:1], 1), ValueError, "Got mixed rows .*as `x` has"),
        (lambda *a: (a[0].double(), 1), ValueError, "float64 from the mixing"),
        (lambda *a: (a[0], [1, 2]), ValueError, r"shape \(2,\) from the mixing"),
        (lambda *a: (a[0], -0.1), ValueError, "Got weights from -0.1"),
        (lambda *a: (a[0], float("nan")), ValueError, "Got weights from nan"),
        (lambda *a: (a[0], "a"), ValueError, "Got the weight 'a'"),
        (lambda *a: (a[0], None), ValueError, "Got weights from nan"),
        (Remix("a"), ValueError, "kappa='a'"),
        (NoisyFeatures("a"), TypeError, "additive='a'"),
        (FeatMix(["a"] * 30), ValueError, "but expected numbers"),
    ],
)
def test_what_is_no_mixing_is_refused(cancer, mixing, error, match):
    X, y = cancer
    with pytest.raises(error, match=match):
        MixupClassifier(logits_net(max_epochs=1), mixing=mixing).fit(X, y)


def test_mixings_in_the_wrong_place_are_refused(cancer):
    X, y = cancer
    net = logits_net(max_epochs=1)
    with pytest.raises(ValueError, match=r"behind the layer 'hidden'.*'input'"):
        MixupClassifier(net, mixing=FeatMix(), layers="hidden").fit(X, y)
    with pytest.raises(ValueError, match="for a regressor, but it is one for a class"):
        MixupRegressor(mixing=Remix()).fit(X, y)
    with pytest.raises(ValueError, match="for a regressor, but it is one for a class"):
        MixupRegressor(mixing=Prob(0.5, Remix())).fit(X, y)


@pytest.mark.parametrize("numbers", [False, True])
def test_a_mixing_of_ones_own_may_do_what_mixup_does(cancer, numbers):
    X, y = cancer

    def own(x, x_partner, lam, y, y_partner, rng):
        assert isinstance(rng, np.random.Generator)
        return x_partner.lerp(x, lam), lam

    make, kind = (
        (number_net, MixupRegressor) if numbers else (logits_net, MixupClassifier)
    )
    net = make(max_epochs=2)
    y = y.astype(float) if numbers else y
    for lam_per in ("batch", "row"):
        options = {"lam_per": lam_per, "random_state": 0}
        fits = [kind(net, mixing=m, **options).fit(X, y) for m in ("mixup", mixup, own)]
        for other in fits[1:]:
            for a, b in zip(
                fits[0].estimator_.module_.state_dict().values(),
                other.estimator_.module_.state_dict().values(),
                strict=True,
            ):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_mixing_is_bound_once_to_the_rows_that_are_trained_on(cancer):
    X, y = cancer
    tables = []

    class Centred:
        def bind(self, table, layer=None):
            tables.append((table.X, table.y, layer))
            return half

    clf = MixupClassifier(
        logits_net(max_epochs=2),
        mixing=Centred(),
        layers=["input", "hidden"],
        random_state=0,
    ).fit(X, y)
    assert [layer for *_, layer in tables] == [None, "hidden"]
    assert_allclose(tables[0][0], X, rtol=1e-6)
    assert clf.history_[-1, "train_loss"] > 0


class Codes(nn.Module):
    def __init__(self, d_out=2):
        super().__init__()
        self.hues = nn.Embedding(3, 4)
        self.output = nn.Linear(6, d_out)

    def forward(self, numbers, hue):
        return self.output(torch.cat([numbers, self.hues(hue)], dim=1))


@pytest.mark.parametrize("clean_weight", [0, 1.0])
@pytest.mark.parametrize(
    "mixing", ["cutmix", OwnMajor(), Warped(), NoisyFeatures(), Prob(), FeatMix()]
)
def test_dicts_are_mixed_tensor_by_tensor(mixing, clean_weight):
    rng = np.random.default_rng(0)
    X = {"numbers": rng.normal(size=(60, 2)), "hue": rng.integers(3, size=60)}
    y = (X["hue"] == 1).astype(int)
    clf = MixupClassifier(
        logits_net(module=Codes, max_epochs=30),
        mixing=mixing,
        alpha=1.0,
        clean_weight=clean_weight,
        random_state=0,
    ).fit(X, y)
    assert clf.score(X, y) > 0.8


def test_distances_of_large_numbers_are_finite():
    for large, dtype in ((3e38, torch.float32), (1.7e308, torch.float64)):
        x, partner = torch.full((4, 2), large, dtype=dtype), torch.zeros(4, 2)
        partner = partner.to(dtype)
        partner[0] = -large
        mix = Warped().bind(TrainingSet(x, x[:, 0], np.arange(4)))
        _, lam = mix(x, partner, torch.full((4, 1), 0.3), x[:, 0], x[:, 0], None)
        assert torch.isfinite(lam).all()
