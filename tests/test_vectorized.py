"""Law 8: members trained vectorized are those trained one by one."""

import warnings
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import Layers, binary_net, logits_net, number_net, softmax_net
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GroupKFold, KFold
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn, optim
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

import skmix._search
from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    default_net,
)
from skmix._default_net import best_epoch
from skmix._one_net import fitted_member
from skmix._training.muon import Muon
from skmix._vectorized.candidates import train_members
from skmix._vectorized.module import VectorizedModule
from skmix._vectorized.trainer import VectorizedFit
from skmix.mixing import CutMix
from skmix.networks import ByteDropout

ALPHAS = (0, 0.3, 1.0)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


@pytest.fixture
def trained(monkeypatch):
    """What `train_members` returned last, with the estimators made of its nets."""
    last = []

    def spy(candidates, splits, **options):
        found, grid = train_members(candidates, splits, **options), []
        last[:] = [SimpleNamespace(**found._asdict(), members=grid)]

        def make(*args):
            if not grid or len(grid[-1]) == len(splits):
                grid.append([])
            grid[-1].append(fitted_member(*args))
            return grid[-1][-1]

        monkeypatch.setattr(skmix._search, "fitted_member", make)
        return found

    monkeypatch.setattr(skmix._search, "train_members", spy)
    return last


def perceptron(d_in, d_out, d=16, dropout=0.0):
    """Linear layers alone, which need no vmap."""
    layers = [nn.Linear(d_in, d), nn.ReLU(), nn.Dropout(dropout), nn.Linear(d, d_out)]
    return nn.Sequential(*layers).double()


def single(d_in, d_out):
    return perceptron(d_in, d_out).float()


class Residual(nn.Module):
    """Code that minds its axes, so that it needs vmap."""

    def __init__(self, d_in, d_out, d=16):
        super().__init__()
        self.first = nn.Linear(d_in, d)
        self.last = nn.Linear(d + d_in, d_out)
        self.double()

    def forward(self, X):
        return self.last(torch.cat([X, F.relu(self.first(X))], dim=1))


class WithBatchNorm(Layers):
    """Without a bias before the BatchNorm.

    Its gradient is 0, of which Adam makes steps whose sign is that of rounding errors.
    """

    def __init__(self, d_in=5, d_out=2, softmax=False):
        super().__init__(d_in, d_out, softmax=softmax, double=True)
        self.hidden[0].register_parameter("bias", None)


SHORT = {"max_epochs": 4}
perceptrons = partial(logits_net, module=perceptron, **SHORT)


def members_alone(cv, X, y, folds, sample_weight=None, **fit_params):
    """Fit the members of a search one by one, by the single estimator."""
    kind = MixupClassifier if isinstance(cv, MixupClassifierCV) else MixupRegressor
    own = kind().get_params(deep=False)
    params = {k: v for k, v in cv.get_params(deep=False).items() if k in own}
    alphas = sorted({0.0, *cv.alphas})
    grid = []
    for alpha in alphas:
        grid.append([])
        for train, test in folds:
            rows = {k: v[train] for k, v in fit_params.items()}
            if sample_weight is not None:
                rows["sample_weight"] = sample_weight[train]
            X_train, X_val = (_rows(X, part) for part in (train, test))
            member = kind(**(params | {"alpha": alpha}))
            member.fit(X_train, y[train], X_val=X_val, y_val=y[test], **rows)
            grid[-1].append(member)
    return grid


def _rows(X, rows):
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def assert_vectorized_is_separate(trained, cv, X, y, *, atol=1e-10, **fit_params):
    """Fit vectorized and one by one; compare weights, losses and what is recorded."""
    cv.fit(X, y, **fit_params)
    assert cv.vectorized_
    splitter = cv.cv
    groups = fit_params.get("groups")
    folds = list(splitter.split(X, y, groups))
    expected = members_alone(cv, X, y, folds, **fit_params)
    for ours, theirs in zip(trained[0].members, expected, strict=True):
        for member, alone in zip(ours, theirs, strict=True):
            assert_same_member(member, alone, atol)
    return cv


def assert_same_member(member, alone, atol):
    ours = member.estimator_.module_.state_dict()
    theirs = alone.estimator_.module_.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert_allclose(value, theirs[name], rtol=0, atol=atol, err_msg=name)
    assert member.n_iter_ == alone.n_iter_
    names = {"train_loss", "valid_loss", "lam_mean", "train_loss_best"}
    names &= set(alone.history_[-1])
    for name in names:
        values = member.history_[:, name], alone.history_[:, name]
        assert_allclose(*values, rtol=0, atol=10 * atol, err_msg=name)
    state = member.estimator_.optimizer_.state_dict()["state"]
    expected = alone.estimator_.optimizer_.state_dict()["state"]
    assert state.keys() == expected.keys()
    for number, values in expected.items():
        for name, value in values.items():
            if value is not None:
                ours = torch.as_tensor(state[number][name], dtype=torch.float64)
                assert_allclose(ours, value, rtol=1e-6, atol=10 * atol, err_msg=name)


EQUAL = KFold(4)  # 178 rows: folds of unequal size, and so are their last batches

NETS = {
    "perceptron": perceptrons(),
    "vmap": logits_net(module=Residual, **SHORT),
    "nll": softmax_net(module=WithBatchNorm, **SHORT),
    "batchnorm": logits_net(module=WithBatchNorm, **SHORT),
    "smoothing": perceptrons(criterion__label_smoothing=0.1),
    "class-weights": perceptrons(
        criterion__weight=torch.tensor([1.0, 2, 0.5]).double()
    ),
    "sum": perceptrons(criterion__reduction="sum", lr=1e-3),
    "full-batch": perceptrons(batch_size=-1),
    "small-batches": perceptrons(batch_size=7, max_epochs=2),
    "drop-last": perceptrons(iterator_train__drop_last=True),
    "in-order": perceptrons(iterator_train__shuffle=False),
}


@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("name", NETS)
def test_law_8_classifiers(wine, trained, name, lam_per):
    cv = MixupClassifierCV(
        NETS[name], alphas=ALPHAS, cv=EQUAL, lam_per=lam_per, random_state=5
    )
    X, y = wine
    rows = np.random.default_rng(0).permutation(len(y))
    assert_vectorized_is_separate(trained, cv, X[rows], y[rows])


@pytest.mark.parametrize(
    "net",
    [
        number_net(module=WithBatchNorm, **SHORT),
        number_net(module=perceptron, **SHORT),
        number_net(module=perceptron, criterion=nn.HuberLoss, **SHORT),
    ],
    ids=["batchnorm", "mse", "huber"],
)
def test_law_8_regressors(diabetes, trained, net):
    cv = MixupRegressorCV(net, alphas=ALPHAS, cv=KFold(3), random_state=1)
    assert_vectorized_is_separate(trained, cv, *diabetes)


def test_law_8_binary_nets(cancer, trained):
    net = binary_net(module=WithBatchNorm, **SHORT)
    cv = MixupClassifierCV(net, alphas=ALPHAS, cv=KFold(3), random_state=1)
    assert_vectorized_is_separate(trained, cv, *cancer)
    assert set(cv.predict(cancer[0])) == {0, 1}


MUON = {
    "optimizer": Muon,
    "optimizer__param_groups": [("0.weight", {"lr": 0.05, "orthogonal": True})],
}


@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": optim.SGD, "optimizer__momentum": 0.9, "lr": 0.05},
        {"optimizer": optim.AdamW, "optimizer__weight_decay": 0.1},
        {"optimizer": partial(optim.AdamW, fused=True)},
        {"optimizer": optim.Adam, "optimizer__foreach": True},
        {"optimizer": optim.NAdam},
        {"optimizer": optim.RMSprop, "lr": 1e-3},
        {"optimizer__param_groups": [("0.*", {"lr": 0.002})]},
        MUON,
        MUON | {"optimizer__fused": True},
    ],
    ids=lambda o: str(next(iter(o.values()))).replace(" ", "")[:30],
)
def test_law_8_optimizers(wine, trained, optimizer):
    net = perceptrons(**optimizer)
    cv = MixupClassifierCV(
        net, alphas=ALPHAS, cv=KFold(3, shuffle=True, random_state=0)
    )
    assert_vectorized_is_separate(trained, cv.set_params(random_state=2), *wine)


@pytest.mark.parametrize(
    "weights",
    [{"sample_weight": True}, {"class_weight": "balanced"}],
    ids=["rows", "classes"],
)
def test_law_8_weights(wine, trained, weights):
    X, y = wine
    params, fit_params = {}, {}
    if "class_weight" in weights:
        params = weights
    else:
        weight = np.random.default_rng(0).uniform(0.2, 3, len(y))
        fit_params = {"sample_weight": weight}
    cv = MixupClassifierCV(perceptrons(), alphas=ALPHAS, random_state=0, **params)
    cv.set_params(cv=KFold(3, shuffle=True, random_state=0)).fit(X, y, **fit_params)
    folds = list(cv.cv.split(X, y))
    expected = members_alone(cv, X, y, folds, **fit_params)
    for ours, theirs in zip(trained[0].members, expected, strict=True):
        for member, alone in zip(ours, theirs, strict=True):
            for name, value in member.estimator_.module_.state_dict().items():
                other = alone.estimator_.module_.state_dict()[name]
                assert_allclose(value, other, rtol=0, atol=1e-10)
    assert cv.vectorized_


@pytest.mark.parametrize(
    "knobs",
    [
        {"pairing": "same_class"},
        {"pairing": "nearest"},
        {"mixing": "cutmix"},
        {"mixing": CutMix(), "lam_per": "row"},
        {"layers": "0"},
        {"layers": "1", "lam_per": "row"},
    ],
    ids=str,
)
def test_law_8_ways_of_mixing(wine, trained, knobs):
    cv = MixupClassifierCV(perceptrons(), alphas=ALPHAS, random_state=0, **knobs)
    cv.set_params(cv=KFold(3, shuffle=True, random_state=0))
    assert_vectorized_is_separate(trained, cv, *wine)


@pytest.mark.parametrize(
    "callbacks",
    [
        [EarlyStopping(patience=2, load_best=True)],
        [EarlyStopping(monitor="valid_acc", lower_is_better=False, patience=2)],
        [LRScheduler(StepLR, step_size=2, gamma=0.3)],
        [LRScheduler(ReduceLROnPlateau, monitor="valid_loss", patience=0, factor=0.1)],
        [LRScheduler(OneCycleLR, max_lr=0.1, total_steps=60, step_every="batch")],
        [GradientNormClipping(0.05)],
        [GradientNormClipping(0.05, gradient_clip_norm_type=float("inf"))],
    ],
    ids=["best", "accuracy", "step", "plateau", "one-cycle", "clip", "clip-inf"],
)
def test_law_8_callbacks(wine, trained, callbacks):
    net = perceptrons(max_epochs=12, lr=0.05)
    net.set_params(callbacks=[(f"own{k}", cb) for k, cb in enumerate(callbacks)])
    cv = MixupClassifierCV(net, alphas=ALPHAS, random_state=0)
    cv.set_params(cv=KFold(3, shuffle=True, random_state=0))
    assert_vectorized_is_separate(trained, cv, *wine)
    members = [member for of_alpha in trained[0].members for member in of_alpha]
    if isinstance(callbacks[0], EarlyStopping):
        assert len({member.n_iter_ for member in members}) > 1
    if callbacks[0].__dict__.get("policy") is ReduceLROnPlateau:
        rates = {m.estimator_.optimizer_.param_groups[0]["lr"] for m in members}
        assert len(rates) > 1


class Scaled(nn.Module):
    """With a parameter of no dimension."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out)
        self.scale = nn.Parameter(torch.ones(()))
        self.double()

    def forward(self, X):
        return self.scale * self.layer(X)


class NumCat(nn.Module):
    """Takes numbers and categories apart."""

    def __init__(self, n_num_features, cat_cardinalities, d_out):
        super().__init__()
        levels = [nn.Embedding(n, 3) for n in cat_cardinalities]
        self.levels = nn.ModuleList(levels)
        self.output = nn.Linear(n_num_features + 3 * len(levels), d_out)
        self.double()

    def forward(self, x_num, x_cat):
        levels = [level(x_cat[:, k]) for k, level in enumerate(self.levels)]
        return self.output(torch.cat([x_num, *levels], dim=1))


def test_law_8_numbers_and_codes(trained):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=90), "b": rng.choice(list("xyz"), 90)})
    y = rng.integers(2, size=90)
    net = logits_net(module=NumCat, **SHORT)
    cv = MixupClassifierCV(net, alphas=ALPHAS, cv=KFold(3), random_state=0)
    assert_vectorized_is_separate(trained, cv, X, y)


@pytest.mark.parametrize("clip", [0.02, None])
def test_law_8_a_parameter_of_no_dimension(wine, trained, clip):
    callbacks = [("clip", GradientNormClipping(clip))]
    net = logits_net(module=Scaled, callbacks=callbacks, **SHORT)
    cv = MixupClassifierCV(net, alphas=ALPHAS, random_state=0)
    cv.set_params(cv=KFold(3, shuffle=True, random_state=0))
    assert_vectorized_is_separate(trained, cv, *wine)


@pytest.mark.parametrize("cells", [1, 3000])
def test_law_8_in_chunks_of_any_size(wine, trained, cells, monkeypatch):
    monkeypatch.setattr("skmix._vectorized.loader.CHUNK_CELLS", cells)
    monkeypatch.setattr("skmix._vectorized.trainer.CHUNK_CELLS", cells)
    cv = MixupClassifierCV(perceptrons(batch_size=20), alphas=ALPHAS, cv=EQUAL)
    X, y = wine
    rows = np.random.default_rng(0).permutation(len(y))
    assert_vectorized_is_separate(
        trained, cv.set_params(random_state=1), X[rows], y[rows]
    )


def test_law_8_sparse_rows(wine, trained):
    X, y = wine
    X = sparse.csr_matrix(np.where(X > 0.5, X, 0))
    cv = MixupClassifierCV(perceptrons(), alphas=ALPHAS, random_state=0)
    cv.set_params(cv=KFold(3, shuffle=True, random_state=0))
    assert_vectorized_is_separate(trained, cv, X, y)


def test_law_8_alpha_0_sees_no_partners_in_a_layer(wine, trained):
    net = logits_net(module=WithBatchNorm, optimizer=optim.SGD, lr=0.5, **SHORT)
    cv = MixupClassifierCV(net, alphas=(0, 0.5), layers="hidden.2", random_state=0)
    cv.set_params(pairing="same_class", cv=KFold(3, shuffle=True, random_state=0))
    assert_vectorized_is_separate(trained, cv, *wine)


def test_fused_is_taken_as_it_is_given(wine):
    net = perceptrons(optimizer__fused=False, max_epochs=1)
    cv = MixupClassifierCV(net, alphas=(0,), cv=2, random_state=0).fit(*wine)
    assert cv.vectorized_


def test_law_8_folds_of_very_different_sizes(wine, trained):
    X, y = wine
    groups = np.repeat([0, 1, 2], [20, 60, 98])
    rows = np.random.default_rng(0).permutation(len(y))
    cv = MixupClassifierCV(perceptrons(), alphas=ALPHAS, cv=GroupKFold(3))
    cv.set_params(random_state=0)
    assert_vectorized_is_separate(trained, cv, X[rows], y[rows], groups=groups)


def test_law_8_frames_whose_folds_have_other_columns(trained):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=90), "b": rng.choice(list("xyz"), 90)})
    X.loc[:2, "b"] = "rare"  # in one fold's rows held out alone
    X.loc[60:, "a"] = np.where(rng.random(30) < 0.2, np.nan, X["a"][60:])
    y = (X["a"].fillna(0) > 0).to_numpy().astype(int)
    cv = MixupClassifierCV(perceptrons(), alphas=ALPHAS, cv=KFold(3), random_state=0)
    cv.fit(X, y)
    assert cv.vectorized_
    alone = members_alone(cv, X, y, list(KFold(3).split(X, y)))
    for ours, theirs in zip(trained[0].members, alone, strict=True):
        for member, one in zip(ours, theirs, strict=True):
            assert_same_member(member, one, 1e-10)
    widths = {m.estimator_.module_[0].in_features for m in trained[0].members[0]}
    assert len(widths) > 1


def test_law_8_single_precision(wine, trained):
    X, y = wine
    net = logits_net(module=single, max_epochs=10)
    cv = MixupClassifierCV(
        net, alphas=ALPHAS, cv=KFold(2, shuffle=True, random_state=0)
    )
    cv.set_params(random_state=0).fit(X, y)
    assert cv.vectorized_
    for ours, theirs in zip(
        trained[0].members,
        members_alone(cv, X, y, list(cv.cv.split(X, y))),
        strict=True,
    ):
        for member, alone in zip(ours, theirs, strict=True):
            pair = member.predict_proba(X), alone.predict_proba(X)
            assert_allclose(*pair, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [{}, {"optimizer": optim.AdamW, "optimizer__param_groups": []}],
    ids=["muon", "adamw"],
)
def test_law_8_default_net_with_dropout(cancer, trained, monkeypatch, optimizer):
    """Groups of one member, in step, are what they are all together."""
    X, y = cancer
    net = default_net("classifier").set_params(
        module__dropout=0.3, module__d_block=16, max_epochs=6, **optimizer
    )
    cv = MixupClassifierCV(net, alphas=(0, 0.3), cv=KFold(3), random_state=0)
    cv.fit(X[:90], y[:90])
    assert cv.vectorized_
    vectorized, epochs, curves = trained[0].members, cv.epochs_, cv.curves_
    monkeypatch.setattr("skmix._vectorized.support.LARGE_STEP", 0)
    cv.fit(X[:90], y[:90])
    assert not cv.vectorized_
    assert_allclose(curves, cv.curves_, atol=1e-4)
    assert (cv.epochs_ == epochs).all()
    for ours, theirs in zip(vectorized, trained[0].members, strict=True):
        for member, alone in zip(ours, theirs, strict=True):
            pair = member.predict_proba(X), alone.predict_proba(X)
            assert_allclose(*pair, rtol=0, atol=1e-4)


@pytest.mark.parametrize("direct", [True, False])
def test_torchs_dropout_is_each_members_own(direct):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(50, 50), nn.Dropout(0.5))
    together = VectorizedModule([module, module], direct=direct).train()
    one, other = together(torch.ones(2, 3, 50)).unflatten(0, (2, 3))
    assert not torch.equal(one == 0, other == 0)


@pytest.mark.parametrize("probabilities", [(0.5, 0.5, 0.5), (0.3, 0.7, 0.1)])
def test_members_draw_the_masks_of_byte_dropout_that_they_draw_alone(probabilities):
    torch.manual_seed(0)
    modules = [nn.Sequential(nn.Linear(9, 7), ByteDropout(p)) for p in probabilities]
    together, X = VectorizedModule(modules).train(), torch.randn(3, 5, 9)
    for _ in range(3):
        alone = torch.cat([module(x) for module, x in zip(modules, X, strict=True)])
        assert_allclose(together(X).detach(), alone.detach(), atol=1e-6)
    before = deepcopy(modules[2].state_dict())
    modules[2].load_state_dict(modules[0].state_dict())
    together.show(2, modules[2])
    for name, tensor in modules[2].state_dict().items():
        torch.testing.assert_close(tensor, before[name])


# Members that differ in more than alpha and rows.

HALF = np.arange(178) % 2 == 0
ONE_FOLD = [(np.flatnonzero(HALF), np.flatnonzero(~HALF))]
ADAMW = {"optimizer": optim.AdamW}
MOMENTUM = {"optimizer": optim.SGD, "optimizer__momentum": 0.9}
DECAYS = [{"optimizer__weight_decay": decay} for decay in (0.0, 0.3, 1.0)]
PLATEAU = LRScheduler(ReduceLROnPlateau, monitor="valid_loss", patience=0, factor=0.1)
BEHIND = {"layers": "0"}


def _both_rates(lr, of_hidden):
    hidden = ("0.weight", {"lr": of_hidden, "orthogonal": True})
    return {"lr": lr, "optimizer__param_groups": [hidden]}


def _both_decays(decay, of_hidden):
    hidden = ("0.weight", {"weight_decay": of_hidden, "orthogonal": True})
    return {"optimizer__weight_decay": decay, "optimizer__param_groups": [hidden]}


def set_up(net, settings):
    """Give an initialised net other settings, and the weights that it has."""
    if "optimizer__param_groups" in vars(net):  # (skorch would set those of all groups)
        vars(net).update(settings)
        net.initialize_optimizer()
        return
    for name, value in settings.items():
        if name == "module__dropout":
            for part in net.module_.modules():
                if isinstance(part, nn.Dropout):
                    part.p = value
        elif name != "layers":
            net.set_params(**{name: value})


@pytest.mark.parametrize(
    ("net", "params", "settings"),
    [
        ({}, {}, [{"lr": 0.02}, {"lr": 0.0}, {"lr": 0.003}]),
        (MOMENTUM, {}, [{"lr": 0.01}, {"lr": 0.1}, {"lr": 0.03}]),
        ({}, {}, DECAYS),
        (MOMENTUM, {}, DECAYS),
        (ADAMW, {}, DECAYS),
        (ADAMW, {}, [{"lr": 0.1 / n, **own} for n, own in enumerate(DECAYS, start=1)]),
        (ADAMW | {"lr": 0.1, "callbacks": [("own", PLATEAU)]}, {}, DECAYS),
        (MUON, {}, [{"lr": 0.02}, {"lr": 0.0}, {"lr": 0.003}]),
        (MUON, {}, DECAYS),
        (MUON, {}, [_both_rates(lr, lr / 2) for lr in (0.1, 0.0, 0.01)]),
        (MUON, {}, [_both_decays(*pair) for pair in ((0, 1), (0.3, 0), (0.5, 0.5))]),
        ({"callbacks": [("clip", GradientNormClipping(0.02))]}, {}, DECAYS),
        ({}, {}, [{"criterion__label_smoothing": s} for s in (0.3, 0.0, 0.1)]),
        (
            {},
            {"lam_per": "row"},
            [{"criterion__label_smoothing": s} for s in (0, 1, 0.2)],
        ),
        ({}, BEHIND, [{}, {"layers": "input"}, {}]),
        ({}, BEHIND | {"lam_per": "row"}, [{"layers": "input"}, {}, {}]),
        ({}, BEHIND | {"pairing": "same_class"}, [{}, {}, {"layers": "input"}]),
    ],
)
@pytest.mark.filterwarnings("ignore:One fold cannot tell")
def test_law_8_members_of_other_settings(
    wine, trained, monkeypatch, net, params, settings
):
    X, y = wine
    net = perceptrons(**net)
    places = [own.get("layers", params.get("layers")) for own in settings]

    left = list(zip(settings, places, strict=True))

    def fit_of(nets, *args, **options):
        taken = [left.pop(0) for _ in nets]  # (alpha 0 may be by itself)
        for member, (own, _) in zip(nets, taken, strict=True):
            set_up(member, own)
        if "input" in places:
            options["inside"] = [place != "input" for _, place in taken]
        return VectorizedFit(nets, *args, **options)

    monkeypatch.setattr("skmix._vectorized.candidates.VectorizedFit", fit_of)
    cv = MixupClassifierCV(net, alphas=ALPHAS, cv=ONE_FOLD, random_state=3, **params)
    cv.fit(X, y)
    assert cv.vectorized_
    train, test = ONE_FOLD[0]
    members = [member for (member,) in trained[0].members]
    each_own = zip(ALPHAS, settings, places, members, strict=True)
    for alpha, own, place, member in each_own:
        alone = MixupClassifier(clone(net), alpha=alpha, random_state=3, **params)
        nested = {k: v for k, v in own.items() if k != "layers"}
        alone.estimator.set_params(**nested)
        alone.set_params(layers=place or "auto")
        alone.fit(X[train], y[train], X_val=X[test], y_val=y[test])
        assert_same_member(member, alone, 1e-10)


@pytest.mark.parametrize(
    ("direct", "dropout"),
    [(True, nn.Dropout), (False, nn.Dropout), (False, ByteDropout)],
)
def test_members_may_have_dropouts_of_their_own(direct, dropout):
    torch.manual_seed(0)
    probabilities = (0.0, 0.25, 1.0, 0.75)
    modules = [nn.Sequential(nn.Linear(5, 400), dropout(p)) for p in probabilities]
    together, X = VectorizedModule(modules, direct=direct), torch.randn(4, 200, 5)
    clean = torch.cat([module.eval()(x) for module, x in zip(modules, X, strict=True)])
    assert_allclose(together.eval()(X).detach(), clean.detach(), atol=1e-6)
    outputs = together.train()(X).unflatten(0, (4, 200))
    for p, output, one in zip(probabilities, outputs, clean.split(200), strict=True):
        dropped = output == 0
        assert_allclose(dropped.double().mean(), p, atol=0.01)
        if p < 1:
            kept = (1 - p) * output[~dropped]
            assert_allclose(kept.detach(), one[~dropped].detach(), atol=1e-6)
    assert_allclose(outputs[0].detach(), clean[:200].detach(), atol=1e-6)
    together.keep(torch.tensor([1, 0]))
    few = together(X[[1, 0]]).unflatten(0, (2, 200))
    assert_allclose((few == 0).double().mean(dim=(1, 2)), [0.25, 0.0], atol=0.01)


def test_dropouts_of_other_kinds_must_be_alike():
    modules = [nn.Sequential(nn.Linear(5, 4), nn.AlphaDropout(p)) for p in (0.1, 0.2)]
    with pytest.raises(ValueError, match="AlphaDropout"):
        VectorizedModule(modules)


# Those that are trained one by one: with one warning, and the same results.


class OwnStep(NeuralNetClassifier):
    def train_step_single(self, batch, **fit_params):
        return super().train_step_single(batch, **fit_params)


class Focal(nn.CrossEntropyLoss):
    def forward(self, input, target):
        losses = F.cross_entropy(input, target, reduction="none")
        return ((1 - torch.exp(-losses)) * losses).mean()


class Centred(nn.Module):
    """Whose rows see each other in evaluation."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out, dtype=torch.float64)

    def forward(self, X):
        return self.layer(X - X.mean(dim=0))


class Mute(Centred):
    """Whose last layer is zero at first, so that outputs tell nothing of the rest."""

    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)


class Remembers(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer, self.n = nn.Linear(d_in, d_out, dtype=torch.float64), 0

    def forward(self, X):
        self.n += self.training
        return self.layer(X) * min(1.0, 0.1 + self.n / 20)


class SparseLevels(nn.Module):
    """Whose gradients vmap does not take."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Embedding(2, d_out, sparse=True, dtype=torch.float64)

    def forward(self, X):
        return self.layer((X[:, 0] > 0).long())


class Penalised(nn.CrossEntropyLoss):
    def forward(self, input, target):
        return super().forward(input, target) + 0.1 * input.pow(2).mean()


class Counts(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("n", len(net.history))


class Moody(nn.Module):
    """Looks at the values of its rows to decide what to do."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out, dtype=torch.float64)

    def forward(self, X):
        return self.layer(X) if X.sum().item() > 0 else 2 * self.layer(X)


class Rebinds(nn.Module):
    """Puts another tensor in the place of a buffer, which vmap does not see."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out, dtype=torch.float64)
        self.register_buffer("n", torch.zeros((), dtype=torch.float64))

    def forward(self, X):
        if self.training:
            self.n = self.n + 1
        return self.layer(X)


def tied(d_in, d_out):
    layer = nn.Linear(d_in, d_in)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(d_in, d_out)).double()


@pytest.mark.parametrize(
    ("net", "knobs", "why"),
    [
        (OwnStep(perceptron, criterion=nn.CrossEntropyLoss), {}, "methods of its own"),
        pytest.param(
            perceptrons(optimizer=optim.LBFGS, lr=0.1),
            {},
            "LBFGS",
            marks=pytest.mark.slow,
        ),
        (perceptrons(callbacks=[("counts", Counts())]), {}, "callback counts"),
        (perceptrons(callbacks=[EpochScoring("f1_macro")]), {}, "EpochScoring"),
        (logits_net(module=Moody, **SHORT), {}, "vmap does not take its module"),
        (logits_net(module=Rebinds, **SHORT), {}, "changes its buffer n"),
        (logits_net(module=tied, **SHORT), {}, "tied"),
        (logits_net(module=Centred, **SHORT), {}, "in evaluation too"),
        (logits_net(module=Mute, **SHORT), {}, "in evaluation too"),
        (logits_net(module=Remembers, **SHORT), {}, "numbers of its own"),
        (logits_net(module=SparseLevels, optimizer=optim.SGD), {}, "vmap"),
        (perceptrons(criterion=Penalised), {}, "is not the mean"),
        (perceptrons(criterion=Focal), {}, "cannot tell members apart"),
        (perceptrons(callbacks__valid_acc__scoring="f1_macro"), {}, "score of its own"),
        (perceptrons(), {"clean_weight": 0.5}, "clean_weight"),
        (perceptrons(), {"layers": ["input", "0"]}, "several layers"),
        (perceptrons(), {"layers": "0", "mixing": "cutmix"}, "mixed inside"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_vectorized_is_trained_one_by_one(
    wine, trained, net, knobs, why
):
    X, y = wine
    net.set_params(max_epochs=2, train_split=None, verbose=0)
    cv = MixupClassifierCV(net, alphas=(0, 0.5), random_state=0, **knobs)
    cv.set_params(cv=KFold(2, shuffle=True, random_state=0))
    with pytest.warns(UserWarning, match="one by one") as caught:
        cv.fit(X, y)
    assert len(caught) == 1
    assert why in str(caught[0].message)
    assert not cv.vectorized_
    expected = members_alone(cv, X, y, list(cv.cv.split(X, y)))
    for ours, theirs in zip(trained[0].members, expected, strict=True):
        for member, alone in zip(ours, theirs, strict=True):
            for name, value in member.estimator_.module_.state_dict().items():
                assert torch.equal(value, alone.estimator_.module_.state_dict()[name])


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")  # of old torch
def test_members_with_lazy_layers_are_trained_one_by_one(wine):
    def lazy(d_out):
        return nn.LazyLinear(d_out, dtype=torch.float64)

    cv = MixupClassifierCV(logits_net(module=lazy, **SHORT), alphas=(0.5,), cv=2)
    with pytest.warns(UserWarning, match="one by one.*lazy layers"):
        cv.fit(*wine)
    assert not cv.vectorized_


@pytest.mark.filterwarnings("ignore:Members are trained one by one")
def test_a_default_net_that_cannot_be_vectorized_is_trained_by_itself(wine, trained):
    X, y = wine
    net = default_net("classifier").set_params(module__d_block=4, max_epochs=4)
    cv = MixupClassifierCV(net, alphas=(0, 0.5), layers="input", random_state=0)
    cv.set_params(clean_weight=0.5, cv=KFold(2, shuffle=True, random_state=0))
    cv.set_params(ensemble=True).fit(X, y)
    expected = members_alone(cv, X, y, list(cv.cv.split(X, y)))
    for ours, theirs in zip(trained[0].members, expected, strict=True):
        for member, alone in zip(ours, theirs, strict=True):
            assert member.n_iter_ == alone.n_iter_
            values = dict(alone.estimator_.module_.named_parameters())
            for name, value in member.estimator_.module_.named_parameters():
                assert torch.equal(value, values[name])
    found = [[best_epoch(m.estimator_) for m in row] for row in expected]
    assert_array_equal(cv.epochs_, np.round(np.mean(found, axis=1)))
    assert not cv.vectorized_


def test_large_steps_are_taken_one_by_one_without_a_warning(wine, monkeypatch):
    X, y = wine
    cv = MixupClassifierCV(perceptrons(), cv=KFold(2, shuffle=True, random_state=0))
    vectorized = cv.set_params(random_state=0).fit(X, y).cv_results_["mean_test_score"]
    monkeypatch.setattr("skmix._vectorized.support.LARGE_STEP", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cv.fit(X, y)
    assert not cv.vectorized_
    assert_allclose(cv.cv_results_["mean_test_score"], vectorized, atol=1e-10)


def test_members_are_trained_in_groups_that_fit_into_memory(wine, monkeypatch):
    X, y = wine
    cv = MixupClassifierCV(perceptrons(), alphas=ALPHAS, random_state=0)
    cv.set_params(cv=KFold(2, shuffle=True, random_state=0))
    at_once = cv.fit(X, y).cv_results_["mean_test_score"]
    sizes = []

    def counted(modules, **options):
        sizes.append(len(modules))
        return VectorizedModule(modules, **options)

    monkeypatch.setattr("skmix._vectorized.trainer.VectorizedModule", counted)
    monkeypatch.setattr("skmix._vectorized.support.MEMORY", 1)
    one_by_one = cv.fit(X, y).cv_results_["mean_test_score"]
    assert max(sizes) == 2  # the folds of one alpha
    assert_allclose(one_by_one, at_once, atol=1e-12)
