"""All knobs together: every setting trains, is reproduced, and differs from others."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import Layers, logits_net, number_net
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix.mixing import FeatMix, NoisyFeatures, OwnMajor, Prob, Remix, Warped
from skmix.pairing import Lisa, SimilarTarget
from skmix.schedules import Schedule


def mixing_of_ones_own(x, x_partner, lam, y, y_partner, rng):
    return lam * x + (1 - lam) * x_partner, lam**2


def pairing_of_ones_own(rows, X, y, weight, rng):
    return rng.permutation(rows)


SHARED = {
    "mixup": {},
    "per row": {"lam_per": "row"},
    "alpha 1": {"alpha": 1.0},
    "cutmix": {"mixing": "cutmix"},
    "cutmix per row": {"mixing": "cutmix", "lam_per": "row"},
    "feat-mix": {"mixing": FeatMix(), "lam_per": "row"},
    "hidden-mix": {"mixing": "cutmix", "layers": "embedding", "lam_per": "row"},
    "own major": {"mixing": OwnMajor(), "lam_per": "row"},
    "prob": {"mixing": Prob(0.5)},
    "warped": {"mixing": Warped(), "lam_per": "row"},
    "noisy": {"mixing": NoisyFeatures(0.1, 0.1), "layers": ["input", "members.3"]},
    "own mixing": {"mixing": mixing_of_ones_own},
    "nearest": {"pairing": "nearest"},
    "own pairing": {"pairing": pairing_of_ones_own},
    "manifold": {"layers": ["input", "embedding", "members.3"]},
    "regmixup": {"clean_weight": 1.0},
    "regmixup inside": {"clean_weight": 1.0, "layers": "members.3"},
    "schedule": {"alpha": Schedule(0.2, warm_up=5, off_after=15)},
}
CLASSES = SHARED | {
    "remix": {"mixing": Remix(kappa=1.2), "lam_per": "row"},
    "same class": {"pairing": "same_class"},
    "other class": {"pairing": "other_class"},
    "lisa": {"pairing": Lisa()},
}
NUMBERS = SHARED | {
    "at the input": {"layers": "input"},
    "c-mixup": {"pairing": "similar_target"},
    "c-mixup, narrow": {"pairing": SimilarTarget(0.3)},
}
TABLES = {  # by what they are of
    "numeric": ("magic-telescope", CLASSES),
    "categorical": ("splice", CLASSES),
    "mixed": ("credit-g", CLASSES),
    "missing": ("colic", CLASSES),
    "imbalanced": ("jm1", CLASSES),
    "regression": ("ames-housing", NUMBERS),
}


def sample(table, kind):
    """Rows to train on, and the function that fits a setting to them."""
    name, settings = TABLES[kind]
    X, y = table(name)
    rows = np.random.default_rng(0).permutation(len(y))[:160]
    X, y = X.iloc[rows].reset_index(drop=True), y.iloc[rows].to_numpy()
    X = X.loc[:, X.nunique() > 1]
    numbers = kind == "regression"
    net = default_net("regressor" if numbers else "classifier")
    net.set_params(max_epochs=4, module__k=2, module__d_block=16)

    def fitted(name):
        kind = MixupRegressor if numbers else MixupClassifier
        model = kind(net, random_state=0, **({"alpha": 0.2} | settings[name]))
        return model.fit(X, y if numbers else y.astype(str), groups=rows % 3)

    return X, fitted


def predicted(model, X):
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TABLES)
def test_every_setting_trains_is_reproduced_and_differs_from_others(table, kind):
    X, fitted = sample(table, kind)
    of_setting = {}
    for name in TABLES[kind][1]:
        of_setting[name] = predicted(fitted(name), X)
    for name in ("feat-mix", "nearest", "manifold", "regmixup inside", "prob"):
        assert_array_equal(predicted(fitted(name), X), of_setting[name])
    names = list(of_setting)
    same = [
        (a, b)
        for i, a in enumerate(names)
        for b in names[:i]
        if np.array_equal(of_setting[a], of_setting[b])
    ]
    assert not same


# On nets of one's own: every knob, both ways through an epoch.


class Embedded(Layers):
    """Has the names of the default net's layers."""

    def __init__(self, d_in, d_out, d=16):
        super().__init__(d_in, d_out, d)
        self.embedding = nn.Identity()
        self.members = nn.ModuleDict({"3": nn.Identity()})

    def forward(self, X):
        return self.output(self.members["3"](self.hidden(self.embedding(X))))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_both_ways_through_an_epoch_give_the_same_bits(cancer, name, weighted):
    X, y = cancer
    weight = 1.0 + np.arange(len(y)) % 3 if weighted else None

    class Overrides(NeuralNetClassifier):  # goes skorch's way
        def run_single_epoch(self, *args, **kwargs):
            return super().run_single_epoch(*args, **kwargs)

    net = logits_net(module=Embedded, max_epochs=2, batch_size=100)
    fits = [
        MixupClassifier(each, random_state=0, **CLASSES[name]).fit(
            X, y, sample_weight=weight, groups=np.arange(len(y)) % 3
        )
        for each in (net, Overrides(**net.get_params(deep=False)))
    ]
    states = [fit.estimator_.module_.state_dict() for fit in fits]
    for key in states[0]:
        assert torch.equal(states[0][key], states[1][key]), key
    assert fits[0].history_[:, "train_loss"] == fits[1].history_[:, "train_loss"]
    assert fits[0].history_[:, "lam_mean"] == fits[1].history_[:, "lam_mean"]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_both_ways(cancer, name):
    X, y = cancer[0], cancer[0][:, 0] ** 2
    net = number_net(module=Embedded, max_epochs=2, batch_size=100)

    class Overrides(type(net)):
        def run_single_epoch(self, *args, **kwargs):
            return super().run_single_epoch(*args, **kwargs)

    fits = [
        MixupRegressor(each, random_state=0, **NUMBERS[name]).fit(X, y)
        for each in (net, Overrides(**net.get_params(deep=False)))
    ]
    assert_array_equal(fits[0].predict(X), fits[1].predict(X))


class NoNorm(nn.Module):
    """Takes batches of one row, too, and has the names of the default net's layers."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.embedding = nn.Linear(d_in, 4)
        self.members = nn.ModuleDict({"3": nn.Identity()})
        self.output = nn.Linear(4, d_out)

    def forward(self, X):
        return self.output(self.members["3"](torch.tanh(self.embedding(X))))


@given(st.data())
def test_law_9_any_batch_works_with_any_setting(data):
    name = data.draw(st.sampled_from(sorted(CLASSES)))
    n, size = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    X, y = rng.normal(size=(n, 2)), np.r_[0, 1, rng.integers(2, size=n - 2)]
    weight = rng.integers(1, 4, size=n) if data.draw(st.booleans()) else None
    net = logits_net(module=NoNorm, max_epochs=1, batch_size=size)
    clf = MixupClassifier(net, random_state=0, **CLASSES[name])
    clf.fit(X, y, sample_weight=weight, groups=rng.integers(2, size=n))
    assert np.isfinite(clf.history_[-1, "train_loss"])
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.slow
def test_settings_are_searched_like_any_parameter(cancer):
    X, y = cancer
    clf = MixupClassifier(logits_net(max_epochs=2), random_state=0)
    grid = {"mixing": ["cutmix", FeatMix()], "pairing": ["shuffle", "nearest"]}
    searches = [
        GridSearchCV(clf, grid, scoring="neg_log_loss", cv=2, n_jobs=n).fit(X, y)
        for n in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert_array_equal(*scores)
    assert len(set(scores[0])) == 4
    fitted = pickle.loads(pickle.dumps(searches[0].best_estimator_))
    assert_array_equal(fitted.predict(X), searches[0].best_estimator_.predict(X))


# Where rows are mixed.


def test_one_layer_is_drawn_for_each_batch(cancer):
    X, y = cancer
    seen = []

    class Watched(Embedded):
        """Notes how many rows there are before and behind each place."""

        def forward(self, X):
            embedded = self.embedding(X)
            last = self.members["3"](self.hidden(embedded))
            if self.training:
                seen.append((len(X), len(embedded), len(last)))
            return self.output(last)

    net = logits_net(module=Watched, max_epochs=30, batch_size=len(y))
    layers = ["input", "embedding", "members.3"]
    MixupClassifier(net, layers=layers, random_state=0).fit(X, y)
    # Up to the layer there are rows and partners, behind it mixed rows.
    n = len(y)
    places = [(n, n, n), (2 * n, n, n), (2 * n, 2 * n, n)]
    counts = [seen.count(place) for place in places]
    assert sum(counts) == len(seen) == 30
    assert min(counts) >= 4


def test_a_layer_of_several_that_does_not_exist(cancer):
    X, y = cancer
    net = logits_net(module=Embedded, max_epochs=1)
    with pytest.raises(ValueError, match=r"layers='hiden'.*submodule of Embedded: hid"):
        MixupClassifier(net, layers=["input", "hiden"]).fit(X, y)
    for wrong in ([], ["input", "input"], ["auto", "input"]):
        with pytest.raises(ValueError, match="each of them once"):
            MixupClassifier(net, layers=wrong).fit(X, y)


class Twice(Embedded):
    def forward(self, X):
        return super().forward(self.embedding(X))


def test_a_layer_that_is_called_twice_is_an_error(cancer):
    X, y = cancer
    net = logits_net(module=Twice, max_epochs=1)
    for clean_weight in (0, 1.0):
        clf = MixupClassifier(net, layers="embedding", clean_weight=clean_weight)
        with pytest.raises(RuntimeError, match="was called more than once in a pass"):
            clf.fit(X, y)


class Alias(Embedded):
    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        self.other_name = self.embedding


def test_a_layer_of_two_names(cancer):
    X, y = cancer
    net = logits_net(module=Alias, max_epochs=1)
    fits = [
        MixupClassifier(net, layers=layer, random_state=0).fit(X, y)
        for layer in ("embedding", "other_name")
    ]
    assert_array_equal(*(fit.predict_proba(X) for fit in fits))


# Clean rows beside mixed ones.


@pytest.mark.parametrize("layers", ["input", "hidden"])
def test_clean_rows_weigh_what_is_said(cancer, layers):
    """In the limit of a large weight the net is trained on clean rows alone."""
    X, y = cancer
    clf = partial(MixupClassifier, alpha=1.0, layers=layers, random_state=0)
    sgd = {"optimizer": torch.optim.SGD, "max_epochs": 3, "module__dropout": 0.0}
    net = logits_net(lr=1e-6, **sgd)
    heavy = clf(net, clean_weight=1e4).fit(X, y)
    bare = MixupClassifier(net.set_params(lr=1e-2), alpha=0, random_state=0).fit(X, y)
    for a, b in zip(
        heavy.estimator_.module_.parameters(),
        bare.estimator_.module_.parameters(),
        strict=True,
    ):
        assert_allclose(a.detach(), b.detach(), atol=0.01)
    none = clf(net, clean_weight=0).fit(X, y)
    some = clf(net, clean_weight=0.5).fit(X, y)
    assert none.history_[0, "train_loss"] < some.history_[0, "train_loss"]


class TwoOutputs(Layers):
    def forward(self, X):
        hidden = self.hidden(X)
        return self.output(hidden), hidden


def test_clean_rows_of_a_module_with_several_outputs(cancer):
    X, y = cancer

    class FirstCounts(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            logits, hidden = y_pred
            assert len(logits) == len(hidden) == len(y_true)
            return super().get_loss(logits, y_true, *args, **kwargs)

    params = logits_net(module=TwoOutputs, max_epochs=2).get_params(deep=False)
    net = FirstCounts(**params)
    clf = MixupClassifier(net, clean_weight=1.0, random_state=0).fit(X, y)
    assert clf.score(X, y) > 0.8


class Summed(Layers):
    def forward(self, X):
        return super().forward(X)[:-1]


def test_clean_rows_that_cannot_be_told_apart(cancer):
    X, y = cancer
    net = logits_net(module=Summed, max_epochs=1)
    with pytest.raises(ValueError, match="rows, clean and mixed ones, but expected"):
        MixupClassifier(net, clean_weight=1.0, random_state=0).fit(X, y)


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (np.inf, ValueError), ("1", TypeError)]
)
def test_weights_of_clean_rows_that_are_none(value, error, cancer):
    with pytest.raises(error, match=r"clean_weight=.* a finite number of at least 0"):
        MixupClassifier(logits_net(), clean_weight=value).fit(*cancer)


# alpha by the epoch.


def test_epochs_without_mixing(cancer):
    X, y = cancer
    net = logits_net(max_epochs=6)
    clf = MixupClassifier(net, alpha=Schedule(1.0, off_after=3), random_state=0)
    lam = clf.fit(X, y).history_[:, "lam_mean"]
    assert all(0.2 < each < 0.8 for each in lam[:3])
    assert lam[3:] == [1.0] * 3
    clf.partial_fit(X, y)  # the seventh epoch
    assert clf.history_[-1, "lam_mean"] == 1.0
    never = MixupClassifier(net, alpha=lambda epoch: 0, random_state=0).fit(X, y)
    bare = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    assert_array_equal(never.predict_proba(X), bare.predict_proba(X))


@pytest.mark.parametrize(
    ("alpha", "match"),
    [
        (lambda: 0.2, r"alpha=<lambda>\(\), but expected a function f\(epoch\)"),
        (
            "0.2",
            "Got alpha='0.2', but expected a finite number of at least 0, 'auto' or a",
        ),
        (Schedule, "Got alpha=<class"),
    ],
)
def test_alphas_that_are_none(cancer, alpha, match):
    with pytest.raises(TypeError, match=match):
        MixupClassifier(logits_net(), alpha=alpha).fit(*cancer)


def test_groups_with_lisa_in_a_pipeline(cancer):
    X, y = cancer
    groups = np.arange(len(y)) % 4
    with config_context(enable_metadata_routing=True):
        net = logits_net(max_epochs=2)
        clf = MixupClassifier(net, pairing="lisa", random_state=0)
        pipeline = make_pipeline(StandardScaler(), clf.set_fit_request(groups=True))
        result = cross_validate(pipeline, X, y, cv=3, params={"groups": groups})
    assert result["test_score"].mean() > 0.7
