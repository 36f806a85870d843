"""mixed_rows shows what the net saw, and manifold_intrusion where mixed rows landed."""

import pickle
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.dataset import Dataset, ValidSplit
from torch import nn

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    default_net,
)
from skmix._training.random import generator_states, same_states
from skmix.inspection import manifold_intrusion, mixed_rows, training_losses
from skmix.mixing import OwnMajor, Remix
from skmix.networks import TabularNet
from skmix.schedules import Schedule
from tests.sample_nets import (
    Layers,
    Parts,
    binary_net,
    full_batch_net,
    logits_net,
    number_net,
    tiny_default_net,
)

ABOUT = ["batch", "row", "partner", "lam", "share", "weight", "label", "layer"]


# Modules that keep what they are given in training.


class Watching(Layers):
    def __init__(self, d_in=5, d_out=2):
        super().__init__(d_in, d_out)
        self.seen = []

    def forward(self, X):
        if self.training:
            self.seen.append(X.detach().clone())
        return super().forward(X)


class WatchingNet(TabularNet):
    def __init__(self, d_in, d_out, bins=(), **params):
        super().__init__(d_in, d_out, bins, **params)
        self.seen = []

    def forward(self, X):
        if self.training:
            self.seen.append(X.detach().clone())
        return super().forward(X)


class WatchingParts(Parts):
    def __init__(self, n_num_features, cat_cardinalities, d_out):
        super().__init__(n_num_features, cat_cardinalities, d_out)
        self.seen = []

    def forward(self, x_num, x_cat):
        if self.training:
            self.seen.append((x_num.clone(), x_cat.clone()))
        return super().forward(x_num, x_cat)


class Listener(Callback):
    """Gets batches, so that epochs are skorch's own."""

    def on_batch_end(self, net, **kwargs):
        pass


def seen(clf, epoch):
    """What the module of a fitted estimator was given in an epoch, batch by batch."""
    inputs, n_epochs = clf.estimator_.module_.seen, len(clf.estimator_.history)
    n_steps = len(inputs) // n_epochs
    return inputs[n_steps * (epoch - 1) : n_steps * epoch]


def watching_net(**params):
    return logits_net(module=Watching, max_epochs=3, **params)


def watching_default(task="classifier", **params):
    return default_net(task).set_params(module=WatchingNet, max_epochs=6, **params)


def encoded(encoder, rows):
    """Rows of `mixed_rows` as the net gets them, by hand for shared categories."""
    names = [name for name in encoder.reader_.columns if name in rows]
    held = {"hue": "red", "mood": "glad"}
    pure = rows[names].assign(**{name: held[name] for name in held if name in names})
    Z = pd.DataFrame(encoder.transform(pure), columns=encoder.get_feature_names_out())
    for name in held.keys() & set(names):
        for column in (c for c in Z.columns if c.startswith(f"{name}_")):
            value = column.removeprefix(f"{name}_")
            Z[column] = [
                share_of(value, cell) for cell in rows[name].astype(object).tolist()
            ]
    return Z.to_numpy()


def share_of(value, cell):
    shares = cell if isinstance(cell, dict) else {cell: 1.0}
    return sum(share for key, share in shares.items() if str(key) == value)


@pytest.fixture(scope="module")
def numbers():
    X, y = make_classification(90, 5, random_state=0)
    return X.astype(np.float32), np.array(["no", "yes"])[y]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "size": rng.normal(50, 10, 80),
            "hue": rng.choice(["red", "green", "blue"], 80),
            "weight": rng.gamma(2, size=80),
            "mood": rng.choice(["glad", "sad"], 80),
        },
        index=[f"row {k}" for k in rng.permutation(80)],
    )
    y = pd.Series(np.where(X["size"] + rng.normal(0, 5, 80) > 50, "big", "small"))
    return X, y.set_axis(X.index)


# The rows that the net saw.


SETTINGS = [
    {},
    {"lam_per": "row"},
    {"mixing": "cutmix"},
    {"mixing": "cutmix", "lam_per": "row"},
    {"mixing": OwnMajor()},
    {"mixing": Remix()},
    {"pairing": "other_class"},
    {"pairing": "nearest", "lam_per": "row"},
    {"clean_weight": 0.5},
    {"alpha": Schedule(1.0, warm_up=2, off_after=2)},
]


@pytest.mark.parametrize("params", SETTINGS, ids=str)
@pytest.mark.parametrize("callbacks", [None, [Listener()]], ids=["fast", "skorch's"])
def test_rows_are_those_that_a_users_net_saw(params, callbacks, numbers):
    X, y = numbers
    weight = np.arange(90) % 4.0
    net = watching_net(callbacks=callbacks)
    clf = MixupClassifier(net, **({"alpha": 1.0, "random_state": 3} | params))
    clf.fit(X, y, sample_weight=weight)
    for epoch in (1, 3):
        rows = mixed_rows(clf, X, y, epoch=epoch, sample_weight=weight)
        assert rows.columns.tolist() == [*ABOUT, *(f"x{j}" for j in range(5))]
        batches = seen(clf, epoch)
        assert_array_equal(rows.iloc[:, 8:], torch.cat(batches))
        sizes = [len(batch) for batch in batches]
        assert rows["batch"].tolist() == np.repeat(range(len(sizes)), sizes).tolist()
        # Row and partner, mixed by lam, are the row; rows of weight 0 are never seen.
        assert (weight[rows["row"]] > 0).all()
        if rows["partner"].notna().all() and "mixing" not in params:
            lam = rows["lam"].to_numpy()[:, None]
            mixed = lam * X[rows["row"]] + (1 - lam) * X[rows["partner"]]
            assert_allclose(rows.iloc[:, 8:], mixed, atol=1e-5)
        own = weight / weight[weight > 0].mean()
        clean = np.where(rows["partner"].isna(), params.get("clean_weight", 1), 1)
        assert_allclose(rows["weight"], own[rows["row"]] * clean)
        lam_mean = rows.loc[rows["partner"].notna()].groupby("batch")["lam"].mean()
        if len(lam_mean):
            assert_allclose(lam_mean.mean(), clf.history_[epoch - 1, "lam_mean"])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.4, "auto", 0])
def test_rows_are_those_that_the_default_net_saw(alpha, weighted, frame):
    X, y = frame
    X = X.assign(size=X["size"].where(np.arange(80) % 7 > 0))  # missing ones
    weight = np.arange(80) % 3.0 if weighted else None
    clf = MixupClassifier(watching_default(), alpha=alpha, random_state=0)
    clf.fit(X, y, weight)
    rows = mixed_rows(clf, X, y, epoch=clf.n_iter_, sample_weight=weight)
    inputs = torch.cat(seen(clf, clf.n_iter_)).numpy()
    assert rows.columns.tolist() == [*ABOUT, "size", "hue", "x_weight", "mood"]
    features = rows.iloc[:, 8:].rename(columns={"x_weight": "weight"})
    missing = inputs[:, clf.encoder_.get_feature_names_out() == "missingindicator_size"]
    assert_array_equal(rows["size"].isna(), missing[:, 0] > 1 - 1e-6)
    partly = (missing[:, 0] > 0) & rows["size"].notna()
    expected = encoded(clf.encoder_, features)
    expected[partly, 2] = missing[partly, 0]
    assert_allclose(expected, inputs, atol=1e-5)
    assert set(rows["row"]) <= set(X.index)
    if not clf.alpha_:
        assert rows["partner"].isna().all()
        assert (rows["lam"] == 1).all()
        assert rows["label"].tolist() == y[rows["row"]].tolist()


def test_codes_of_categories_are_one_of_the_parents(frame):
    X, y = frame
    net = logits_net(module=WatchingParts, max_epochs=2)
    clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
    rows, inputs = mixed_rows(clf, X, y, epoch=2), zip(*seen(clf, 2), strict=True)
    x_num, x_cat = (torch.cat(parts).numpy() for parts in inputs)
    decoded = clf.encoder_.transform(
        rows.iloc[:, 8:].rename(columns={"x_weight": "weight"})
    )
    assert_allclose(decoded["x_num"], x_num, rtol=1e-6)
    assert_array_equal(decoded["x_cat"], x_cat)
    parents = X.loc[rows["row"], "hue"], X.loc[rows["partner"], "hue"]
    either = [rows["hue"].to_numpy() == parent.to_numpy() for parent in parents]
    assert np.logical_or(*either).all()


def test_labels_are_mixed_by_the_share_of_the_loss(numbers):
    X, y = numbers
    net = watching_net()
    clf = MixupClassifier(net, alpha=1.0, mixing="cutmix", random_state=0).fit(X, y)
    rows = mixed_rows(clf, X, y)
    assert set(rows["share"].mul(5).round(6)) <= set(range(6))  # columns kept
    pairs = rows["row"], rows["partner"], rows["share"], rows["label"]
    for own, other, share, label in zip(*pairs, strict=True):
        same = y[own] == y[other] or share in (0, 1)
        single = y[own] if share > 0 else y[other]
        shares = {y[own]: share, y[other]: 1 - share}
        assert label == (single if same else pytest.approx(shares))
    kept = np.isclose(rows.iloc[:, 8:], X[rows["row"]])
    assert (kept.mean(axis=1) >= rows["share"] - 1e-9).all()


def test_targets_of_a_regression_are_in_the_users_unit():
    X, y = make_regression(60, 4, random_state=0)
    y = 1000 + y
    net = tiny_default_net("regressor")
    reg = MixupRegressor(net, alpha=1.0, layers="input", random_state=0).fit(X, y)
    rows = mixed_rows(reg, X, y, epoch=2)
    mixed = rows["lam"] * y[rows["row"]] + (1 - rows["lam"]) * y[rows["partner"]]
    assert_allclose(rows["label"], mixed)
    low = np.minimum(X[rows["row"]], X[rows["partner"]])
    high = np.maximum(X[rows["row"]], X[rows["partner"]])
    values = rows.iloc[:, 8:].to_numpy()
    assert (values >= low - 1e-4).all()
    assert (values <= high + 1e-4).all()


def test_rows_mixed_behind_a_layer_have_no_columns(numbers):
    X, y = numbers
    inside = MixupRegressor(tiny_default_net("regressor"), alpha=1.0, random_state=0)
    inside.fit(X, np.arange(90.0))
    rows = mixed_rows(inside, X, np.arange(90.0))
    assert rows.columns.tolist() == ABOUT
    assert set(rows["layer"]) == {"embedding"}
    clf = MixupClassifier(
        watching_net(), alpha=1.0, layers=["input", "hidden"], random_state=0
    ).fit(X, y)
    rows = mixed_rows(clf, X, y)
    assert set(rows["layer"]) == {"input", "hidden"}
    assert_array_equal(rows["x0"].isna(), rows["layer"] == "hidden")
    batches = seen(clf, 1)
    for number, batch in rows.groupby("batch"):
        x = batches[number].numpy()
        if batch["layer"].iloc[0] == "input":
            assert_array_equal(batch.iloc[:, 8:], x)
        else:  # rows and partners, which are mixed later
            parents = np.r_[batch["row"], batch["partner"]]
            assert_array_equal(x, X[parents])


def test_clean_rows_beside_a_layer_are_shown(numbers):
    X, y = numbers
    net = watching_net()
    params = {"layers": "hidden", "clean_weight": 0.5, "random_state": 0}
    clf = MixupClassifier(net, alpha=1.0, **params).fit(X, y)
    rows = mixed_rows(clf, X, y)
    clean = rows[rows["layer"].isna()]
    assert len(clean) == len(rows) / 2 == 90
    assert_array_equal(clean.iloc[:, 8:], X[clean["row"].to_numpy(int)])
    assert (clean["weight"] == 0.5).all()


def test_an_epoch_of_a_schedule_without_mixing(numbers):
    X, y = numbers
    net = watching_net()
    clf = MixupClassifier(net, alpha=lambda epoch: epoch - 1.0, random_state=0)
    clf.fit(X, y)
    rows = mixed_rows(clf, X, y, epoch=1)
    assert rows["partner"].isna().all()
    assert (rows["lam"] == 1).all()
    assert rows["layer"].isna().all()
    assert mixed_rows(clf, X, y, epoch=2)["partner"].notna().all()


def test_rows_in_training_only_are_shown(numbers):
    X, y = numbers
    net = watching_net(train_split=ValidSplit(3, stratified=True))
    clf = MixupClassifier(net, alpha=1.0, pairing="nearest", random_state=0).fit(X, y)
    rows = mixed_rows(clf, X, y)
    assert len(rows) == 60
    assert len({*rows["row"], *rows["partner"]}) == 60
    assert_array_equal(rows.iloc[:, 8:], torch.cat(seen(clf, 1)))


@pytest.mark.parametrize("order", [pd.RangeIndex(0, 270, 3), "dates", "pairs"])
def test_parents_are_named_by_the_index(order, numbers):
    X, y = numbers
    if isinstance(order, str):
        dates = pd.date_range("2024-01-01", periods=90)
        pairs = pd.MultiIndex.from_arrays([np.arange(90) // 9, np.arange(90) % 9])
        order = {"dates": dates, "pairs": pairs}[order]
    X = pd.DataFrame(X, columns=list("abcde"), index=order)
    clf = MixupClassifier(watching_net(), alpha=1.0, random_state=0).fit(X, y)
    rows = mixed_rows(clf, X, y)
    for k in (0, 17, 89):
        lam = rows["lam"][k]
        own, partner = (X.loc[rows[name][k]] for name in ("row", "partner"))
        mixed = lam * own + (1 - lam) * partner
        assert_allclose(rows.loc[k, list("abcde")].astype(float), mixed, atol=1e-5)


def test_other_frames_and_sparse_tables(numbers):
    polars = pytest.importorskip("polars")
    X, y = numbers
    clf = MixupClassifier(watching_net(), alpha=1.0, random_state=0)
    expected = mixed_rows(clf.fit(X, y), X, y)
    table = polars.DataFrame(X, schema=list("abcde"))
    rows = mixed_rows(clf.fit(table, y), table, y)
    assert_array_equal(rows["row"], expected["row"])
    assert_allclose(rows["a"], expected["x0"])
    X = sparse.csr_matrix(np.where(X > 0, X, 0))
    rows = mixed_rows(clf.fit(X, y), X, y)
    assert_array_equal(rows.iloc[:, 8:], torch.cat(seen(clf, 1)))
    assert manifold_intrusion(clf, X, y)["n_rows"].sum() > 40
    net = tiny_default_net()
    clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
    rows, dense = mixed_rows(clf, X, y), X.toarray()
    lam = rows["lam"].to_numpy()[:, None]
    mixed = lam * dense[rows["row"]] + (1 - lam) * dense[rows["partner"]]
    assert_allclose(rows.iloc[:, 8:], mixed, atol=1e-5)
    assert manifold_intrusion(clf, X, y)["n_rows"].sum() > 40


# Which net is trained again.


@pytest.mark.parametrize(
    "net",
    [
        binary_net(max_epochs=3),
        full_batch_net(optimizer=torch.optim.LBFGS, max_epochs=3),
        logits_net(callbacks=[LRScheduler("StepLR", step_size=1)], max_epochs=3),
        logits_net(
            train_split=ValidSplit(3, stratified=True),
            callbacks=[EarlyStopping(patience=2, load_best=True)],
        ),
        tiny_default_net(refit=False),
        tiny_default_net(calibrate=False),
        tiny_default_net(train_split=None, callbacks=[]),
        tiny_default_net(module__dropout=0.3, max_epochs=6),
    ],
    ids=lambda net: type(net).__name__,
)
@pytest.mark.parametrize("alpha", [1.0, "auto"])
def test_nets_of_all_kinds_are_repeated(net, alpha, numbers):
    X, y = numbers
    clf = MixupClassifier(net, alpha=alpha).fit(X, y)
    assert mixed_rows(clf, X, y, epoch=clf.n_iter_)["row"].is_unique
    losses = training_losses(clf, X, y)
    history = clf.estimator_.history
    assert losses["mixed_train_loss"].tolist() == history[:, "train_loss"]
    assert losses.index.tolist() == list(range(1, clf.n_iter_ + 1))


def test_an_estimator_from_a_pickle_is_repeated(numbers):
    X, y = numbers
    clf = MixupClassifier(tiny_default_net(), random_state=np.random.RandomState(0))
    clf.fit(X, y)
    restored = pickle.loads(pickle.dumps(clf))
    pd.testing.assert_frame_equal(mixed_rows(restored, X, y), mixed_rows(clf, X, y))


@pytest.mark.parametrize("before", [StandardScaler(), PCA(3, random_state=0)])
def test_a_pipeline_is_shown_as_its_steps_put_it_out(before, numbers):
    X, y = numbers
    last = MixupClassifier(tiny_default_net(), alpha=1.0, random_state=0)
    model = make_pipeline(before, last).fit(X, y)
    rows = mixed_rows(model, X, y)
    Z, lam = before.transform(X), rows["lam"].to_numpy()[:, None]
    assert rows.shape[1] == 8 + Z.shape[1]
    copy = rows["lam"] > 0.999
    assert_allclose(rows.iloc[:, 8:][copy], Z[rows["row"]][copy], atol=0.02)
    assert ((lam >= 0) & (lam <= 1)).all()


class Otherwise(TransformerMixin, BaseEstimator):
    """Transforms training rows otherwise, as target encoders do; perhaps by chance."""

    def __init__(self, by_chance=False):
        self.by_chance = by_chance

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X

    def fit_transform(self, X, y=None):
        return X + np.random.default_rng().normal() if self.by_chance else 2 * X

    def __sklearn_is_fitted__(self):
        return True


def test_a_step_that_transforms_training_rows_otherwise_is_repeated(numbers):
    X, y = numbers
    last = MixupClassifier(watching_net(), alpha=1.0, random_state=0)
    model = make_pipeline(Otherwise(), last).fit(X, y)
    rows = mixed_rows(model, X, y)
    assert_array_equal(rows.iloc[:, 8:], torch.cat(seen(model[-1], 1)))
    model = make_pipeline(Otherwise(by_chance=True), last).fit(X, y)
    with pytest.raises(ValueError, match="nothing random outside of the seed"):
        mixed_rows(model, X, y)


def test_nothing_is_changed(numbers):
    X, y = numbers
    clf = MixupClassifier(tiny_default_net(), alpha=1.0).fit(X, y)
    before = pickle.dumps(clf), X.copy(), y.copy()
    states = generator_states()
    mixed_rows(clf, X, y)
    training_losses(clf, X, y)
    manifold_intrusion(clf, X, y)
    assert same_states(states, generator_states())
    assert pickle.dumps(clf) == before[0]
    assert_array_equal(X, before[1])
    assert_array_equal(y, before[2])


# Refused.


@pytest.fixture(scope="module")
def fitted(numbers):
    return MixupClassifier(tiny_default_net(), alpha=1.0, random_state=0).fit(*numbers)


WAYS = [mixed_rows, manifold_intrusion, training_losses]


@pytest.mark.parametrize("inspect", WAYS)
def test_other_data_are_refused(inspect, fitted, numbers):
    X, y = numbers
    other = X.copy()
    other[5, 0] += 0.1
    for given in [(other, y), (X[::-1], y[::-1]), (X[1:], y[1:]), (X, y[::-1])]:
        with pytest.raises(ValueError, match="X, y are not what the estimator was"):
            inspect(fitted, *given)
    with pytest.raises(ValueError, match="X, y are not what the estimator was"):
        inspect(fitted, X, y, sample_weight=np.arange(1, 91))
    with pytest.raises(ValueError, match="features"):
        inspect(fitted, X[:, 1:], y)


@pytest.mark.parametrize("inspect", WAYS)
def test_what_cannot_be_repeated_is_refused(inspect, fitted, numbers):
    X, y = numbers
    clf = clone(fitted)
    with pytest.raises(NotFittedError):
        inspect(clf, X, y)
    clf.fit(X, y, X_val=X[:20], y_val=y[:20])
    with pytest.raises(ValueError, match="fitted with X_val"):
        inspect(clf, X, y)
    clf = clone(fitted).partial_fit(X, y, classes=["no", "yes"])
    with pytest.raises(ValueError, match="partial_fit or a search"):
        inspect(clf, X, y)
    clf = deepcopy(fitted).partial_fit(X, y)
    with pytest.raises(ValueError, match="partial_fit or a search"):
        inspect(clf, X, y)
    with pytest.raises(TypeError, match="Got LogisticRegression"):
        inspect(LogisticRegression(), X, y)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"alpha": 0.5}, "another alpha"),
        ({"mixing": "cutmix", "lam_per": "row"}, "another lam_per and another mixing"),
        ({"estimator__lr": 0.1}, "another estimator__lr"),
        ({"estimator__max_epochs": 9}, "another estimator__max_epochs"),
        ({"estimator": logits_net()}, "another estimator "),
        ({"class_weight": "balanced"}, "another class_weight"),
    ],
)
def test_parameters_set_since_are_refused(params, named, fitted, numbers):
    clf = deepcopy(fitted).set_params(**params)
    with pytest.raises(ValueError, match=named):
        mixed_rows(clf, *numbers)
    # These change nothing in a training.
    others = {"random_state": 5, "verbose": 1, "priors": "uniform"}
    assert len(mixed_rows(deepcopy(fitted).set_params(**others), *numbers)) == 90


def test_a_search_is_refused_with_a_way_out(numbers):
    X, y = numbers
    net = tiny_default_net(max_epochs=1)
    search = MixupClassifierCV(net, alphas=[0, 0.5], cv=2, random_state=0).fit(X, y)
    for inspect in WAYS:
        with pytest.raises(TypeError, match=r"MixupClassifier\(alpha=search.alpha_\)"):
            inspect(search, X, y)


@pytest.mark.parametrize(
    ("epoch", "error", "message"),
    [
        (0, ValueError, "at least 1"),
        (4, ValueError, "Got epoch=4, but expected 1 to 3"),
        (1.0, TypeError, "an integer"),
    ],
)
def test_an_epoch_that_was_not_is_refused(epoch, error, message, numbers):
    X, y = numbers
    clf = MixupClassifier(watching_net(), random_state=0).fit(X, y)
    for inspect in WAYS[:2]:
        with pytest.raises(error, match=message):
            inspect(clf, X, y, epoch=epoch)


class ByName(Layers):
    def forward(self, a):
        return super().forward(a)


class OwnDataset(Dataset):
    pass


def test_dicts_and_rows_that_cannot_be_traced_are_refused(numbers):
    X, y = numbers
    net = logits_net(module=ByName, max_epochs=2)
    clf = MixupClassifier(net, alpha=1.0, random_state=0).fit({"a": X}, y)
    with pytest.raises(TypeError, match="a dict of arrays"):
        mixed_rows(clf, {"a": X}, y)
    assert len(training_losses(clf, {"a": X}, y)) == 2
    net = logits_net(dataset=OwnDataset, max_epochs=2)
    clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="cannot be traced"):
        mixed_rows(clf, X, y)
    assert training_losses(clf, X, y).notna().all(axis=None)


# Intrusion.


def on_a_line(n=40):
    """Rows of class a, then of b, then of a: mixed ones of the ends land among b."""
    x = np.r_[np.linspace(0, 1, n), np.linspace(10, 11, n), np.linspace(20, 21, n)]
    return x[:, None], np.repeat(["a", "b", "a"], n)


def rings(n=100):
    """A ring of class a around one of class b: half-way between rows of a lies b."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    return np.r_[ring, 0.05 * ring], np.repeat(["a", "b"], n)


class Paired:
    """Pairs each row with one that is given."""

    def __init__(self, partner):
        self.partner = partner

    def bind(self, table):
        return lambda rows, rng: self.partner[rows]


def of_all_rows():
    """A default net that holds out nothing, so that each row has its partner."""
    return tiny_default_net(train_split=None, callbacks=[])


def half_way(net, X, y, **params):
    """Shares of intrusions by pair, of rows half-way between parents."""
    clf = MixupClassifier(net, alpha=1e6, random_state=0, **params).fit(X, y)
    found = manifold_intrusion(clf, X, y)
    return found.set_index(["class_1", "class_2"])


@pytest.mark.parametrize("module", [None, Layers])
def test_intrusion_is_certain_between_both_ends_of_a_line(module):
    X, y = on_a_line()
    net = of_all_rows()
    if module is not None:
        net = logits_net(module__d_in=1, max_epochs=2)
    found = half_way(net, X, y, pairing=Paired(np.arange(120)[::-1]))
    assert found.index.tolist() == [("a", "a"), ("b", "b")]
    assert found.loc[("a", "a")].tolist() == [80, 80, 1.0]
    assert found.loc[("b", "b"), "n_intrusions"] == 0


def test_intrusion_is_certain_across_rings():
    X, y = rings()
    opposite = (np.arange(200) // 100) * 100 + (np.arange(200) + 50) % 100
    found = half_way(of_all_rows(), X, y, pairing=Paired(opposite))
    assert found.loc[("a", "a")].tolist() == [100, 100, 1.0]
    assert found.loc[("b", "b"), "share"] == 0
    # Between any two rows of the ring it is as likely as to pass the middle.
    found = half_way(of_all_rows(), X, y)
    assert found.index[0] == ("a", "a")
    assert 0.2 < found["share"].iloc[0] < 0.5
    assert found.loc[("a", "b"), "share"] == 0  # there are no other classes


def test_intrusion_is_impossible_within_two_far_clusters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) + 100 * (np.arange(80) % 2)[:, None]
    y = np.arange(80) % 2
    clf = MixupClassifier(tiny_default_net(), alpha=1.0, random_state=0).fit(X, y)
    found = manifold_intrusion(clf, X, y)
    assert found["n_rows"].sum() > 40
    assert (found["n_intrusions"] == 0).all()


def test_near_copies_do_not_count():
    X, y = on_a_line()
    clf = MixupClassifier(tiny_default_net(), alpha=1.0, random_state=0).fit(X, y)
    rows = mixed_rows(clf, X, y)
    counted = manifold_intrusion(clf, X, y)["n_rows"].sum()
    assert counted == ((rows["lam"] - 0.5).abs() < 0.45).sum()


def test_numbers_are_scaled_for_a_net_that_gets_them_as_they_are():
    X, y = on_a_line()
    # A column in another unit would hide where the rows are.
    X = np.column_stack([X, 1e6 * np.random.default_rng(0).uniform(size=120)])
    as_they_are = full_batch_net(module__d_in=2, lr=1e-14, max_epochs=2)
    for net in (of_all_rows(), as_they_are):
        found = half_way(net, X, y, pairing=Paired(np.arange(120)[::-1]))
        assert found.loc[("a", "a"), "share"] > 0.9


def test_categories_and_codes_count_in_distances(frame):
    X, y = frame
    for net in (tiny_default_net(), logits_net(module=Parts, max_epochs=2)):
        clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
        found = manifold_intrusion(clf, X, y)
        assert 0 < found["n_rows"].sum() <= 80
        assert_allclose(found["share"], found["n_intrusions"] / found["n_rows"])
        assert found["share"].is_monotonic_decreasing


def test_intrusion_that_says_nothing_is_refused(numbers):
    X, y = numbers
    reg = MixupRegressor(tiny_default_net("regressor"), random_state=0)
    with pytest.raises(TypeError, match="only classes"):
        manifold_intrusion(reg.fit(X, np.arange(90.0)), X, np.arange(90.0))
    clf = MixupClassifier(watching_net(), alpha=1.0, layers="hidden", random_state=0)
    with pytest.raises(ValueError, match="behind the layer hidden"):
        manifold_intrusion(clf.fit(X, y), X, y)
    with pytest.raises(ValueError, match="no row was mixed"):
        manifold_intrusion(clf.set_params(alpha=0).fit(X, y), X, y)


# Losses.


def test_clean_loss_is_that_of_the_training_rows(numbers):
    X, y = numbers
    weight = 1.0 + np.arange(90) % 3
    for callbacks in (None, [Listener()]):
        clf = MixupClassifier(
            logits_net(max_epochs=4, callbacks=callbacks), alpha=1.0, random_state=0
        ).fit(X, y, weight)
        losses = training_losses(clf, X, y, sample_weight=weight)
        p = clf.predict_proba(X)[np.arange(90), (y == "yes").astype(int)]
        expected = np.average(-np.log(p), weights=weight)
        assert_allclose(losses["clean_train_loss"].iloc[-1], expected, rtol=1e-5)
        assert losses.columns.tolist() == ["mixed_train_loss", "clean_train_loss"]
        assert losses["mixed_train_loss"].tolist() == clf.history_[:, "train_loss"]


def test_clean_loss_is_the_mixed_one_where_nothing_is_mixed():
    """Without mixing or noise, and at a rate of 0, both losses are one."""
    X, y = np.eye(6, 5), np.arange(6) % 2
    net = full_batch_net(lr=0.0, max_epochs=2)
    clf = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    losses = training_losses(clf, X, y)
    assert_allclose(losses["mixed_train_loss"], losses["clean_train_loss"])


def test_validation_losses_are_beside_them(numbers):
    X, y = numbers
    net = logits_net(train_split=ValidSplit(3, stratified=True), max_epochs=3)
    clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
    losses = training_losses(clf, X, y)
    assert losses["valid_loss"].tolist() == clf.history_[:, "valid_loss"]
    reg = MixupRegressor(number_net(max_epochs=2, module__d_out=1), random_state=0)
    assert len(training_losses(reg.fit(X, X[:, 0]), X, X[:, 0])) == 2
    reg = MixupRegressor(tiny_default_net("regressor"), alpha=0.5, random_state=0)
    weight = 1.0 + np.arange(90) % 2
    reg.fit(X, X[:, 0], weight)
    losses = training_losses(reg, X, X[:, 0], sample_weight=weight)
    scaled = np.average((reg.predict(X) - X[:, 0]) ** 2, weights=weight)
    scaled /= np.average(
        (X[:, 0] - np.average(X[:, 0], weights=weight)) ** 2, weights=weight
    )
    assert_allclose(losses["clean_train_loss"].iloc[-1], scaled, rtol=1e-4)
    assert losses["valid_loss"].tolist() == reg.history_[: reg.n_iter_, "valid_loss"]


def test_a_net_with_a_step_of_its_own(numbers):
    class OwnStep(NeuralNetClassifier):
        def train_step_single(self, batch, **fit_params):
            return super().train_step_single(batch, **fit_params)

    X, y = numbers
    net = OwnStep(
        Watching,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        max_epochs=2,
        verbose=0,
    )
    clf = MixupClassifier(net, alpha=1.0, clean_weight=1.0, random_state=0).fit(X, y)
    rows = mixed_rows(clf, X, y, epoch=2)
    assert_array_equal(rows.iloc[:, 8:], torch.cat(seen(clf, 2)))
    assert training_losses(clf, X, y).notna().all(axis=None)
