"""Files of fitted estimators: what they keep, refuse, and never do."""

import copy
import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from decimal import Decimal
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from mutated_files import at, packed_again, places
from sample_nets import (
    InDouble,
    Layers,
    Parts,
    binary_net,
    logits_net,
    number_net,
    softmax_net,
    tiny_default_net,
)
from sample_tables import mixed_frame
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    StandardScaler,
)
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn

import skmix
from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    _one_net,
    _search,
    mixing,
    pairing,
    preprocessing,
    schedules,
)
from skmix._files import container, nets, records, values
from skmix._files.names import known
from skmix._training.skorch_compat import has_default_split
from skmix.networks import TabularNet

N = 60


def labels(n=N):
    return np.random.default_rng(1).choice(["no", "yes"], n)


def numbers(n=N):
    return np.random.default_rng(2).normal(size=n)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skmix"


def there_and_back(estimator, path, **options):
    skmix.save(estimator, path)
    return skmix.load(path, **options)


def assert_same(loaded, estimator, X, y=None):
    """Equal predictions, to the bit, and of one dtype."""
    for name in ("predict", "predict_proba"):
        if hasattr(estimator, name):
            found, expected = getattr(loaded, name)(X), getattr(estimator, name)(X)
            np.testing.assert_array_equal(found, expected, strict=True)
    if y is not None:
        assert loaded.score(X, y) == estimator.score(X, y)


def alike(a, b):
    """Whether two values of an attribute are the same, arrays among them."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, np.ndarray):
        same = a.dtype == b.dtype and a.shape == b.shape
        return same and bool(np.all((a == b) | ((a != a) & (b != b))))
    return type(a) is type(b) and a == b


# What comes back.


def fitted_of_all_kinds():
    """Pairs of a name and a function that fits; each is called once a session."""
    X, y, z = mixed_frame(), labels(), numbers()
    array = np.random.default_rng(3).normal(size=(N, 5))
    tiny, regressor = tiny_default_net(), tiny_default_net("regressor")
    two = {"max_epochs": 2}
    few = {"cv": 2, "alphas": (0, 0.5), "random_state": 0}
    return {
        "classifier": lambda: (MixupClassifier(tiny, random_state=0), X, y),
        "regressor": lambda: (MixupRegressor(regressor, random_state=0), X, z),
        "classifier search": lambda: (MixupClassifierCV(tiny, **few), X, y),
        "regressor search": lambda: (MixupRegressorCV(regressor, **few), X, z),
        "array": lambda: (MixupClassifier(tiny, random_state=0), array, y),
        "refitted search": lambda: (
            MixupRegressorCV(regressor, ensemble=False, **few),
            array,
            z,
        ),
        "kept results": lambda: (
            MixupClassifierCV(tiny, store_cv_results=True, **few),
            X,
            y,
        ),
        "own net": lambda: (
            MixupClassifier(logits_net(**two), random_state=0),
            array,
            y,
        ),
        "own net of frames": lambda: (MixupRegressor(number_net(**two)), X, z),
        "own net in a search": lambda: (
            MixupRegressorCV(number_net(**two), **few),
            X,
            z,
        ),
        "single output": lambda: (
            MixupClassifier(binary_net(module__d_out=1, **two)),
            array,
            y,
        ),
        "probabilities": lambda: (MixupClassifier(softmax_net(**two)), array, y),
        "double": lambda: (MixupRegressor(number_net(module=InDouble, **two)), X, z),
        "codes": lambda: (MixupClassifier(logits_net(module=Parts, **two)), X, y),
        "sparse": lambda: (
            MixupClassifier(tiny),
            sparse.csr_matrix(np.abs(array) * (array > 0.5)),
            y,
        ),
        "sparse, scaled by none": lambda: (
            MixupRegressor(number_net(**two)),
            sparse.csr_array(np.abs(array) * (array > 0.5)),
            z,
        ),
        "dict": lambda: (
            MixupClassifier(logits_net(**two)),
            {"X": array.astype(np.float32)},
            y,
        ),
    }


KINDS = fitted_of_all_kinds()
OWN = [Layers, InDouble, Parts]


@pytest.fixture(scope="module")
def fitted():
    """Return a fitted estimator of a kind, with its table and targets."""
    known_ones = {}

    def of_kind(name):
        if name not in known_ones:
            estimator, X, y = KINDS[name]()
            known_ones[name] = estimator.fit(X, y), X, y
        return known_ones[name]

    return of_kind


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_equal_to_the_bit(kind, fitted, path):
    estimator, X, y = fitted(kind)
    loaded = there_and_back(estimator, path, trusted=OWN)
    assert type(loaded) is type(estimator)
    assert_same(loaded, estimator, X, y)
    assert repr(loaded) == repr(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_what_fit_has_set_comes_back(kind, fitted, path):
    estimator, _, _ = fitted(kind)
    loaded = there_and_back(estimator, path, trusted=OWN)
    for name in vars(estimator):
        if name.endswith("_") and name not in ("estimator_", "estimators_", "history_"):
            assert alike(getattr(loaded, name), getattr(estimator, name)), name
    members = getattr(estimator, "estimators_", [estimator])
    for other, one in zip(
        getattr(loaded, "estimators_", [loaded]), members, strict=True
    ):
        assert one.history_[:, "train_loss"] == other.history_[:, "train_loss"]
        assert one.history_[-1].keys() == other.history_[-1].keys()
        assert one.alpha_ == other.alpha_
        assert one.n_iter_ == other.n_iter_
    if hasattr(estimator, "classes_"):
        assert alike(loaded.classes_, estimator.classes_)
        assert alike(loaded.class_prior_, estimator.class_prior_)


@pytest.mark.parametrize("kind", ["classifier", "regressor search", "own net"])
def test_a_loaded_estimator_can_be_trained_anew(kind, fitted, path):
    estimator, X, y = fitted(kind)
    loaded = there_and_back(estimator, path, trusted=OWN)
    again = clone(estimator).set_params(random_state=5).fit(X, y)
    assert_same(clone(loaded).set_params(random_state=5).fit(X, y), again, X)


def test_a_loaded_estimator_is_saved_and_pickled_like_any_other(fitted, path, tmp_path):
    estimator, X, y = fitted("classifier search")
    loaded = there_and_back(estimator, path)
    assert_same(there_and_back(loaded, path), estimator, X, y)
    assert_same(pickle.loads(pickle.dumps(loaded)), estimator, X, y)
    assert_same(copy.deepcopy(loaded), estimator, X, y)
    joblib.dump(loaded, tmp_path / "model.joblib")
    assert_same(joblib.load(tmp_path / "model.joblib"), estimator, X, y)


def test_the_same_estimator_gives_the_same_bytes(fitted, path, tmp_path):
    estimator, _, _ = fitted("regressor")
    skmix.save(estimator, path)
    skmix.save(estimator, tmp_path / "other.skmix")
    assert path.read_bytes() == (tmp_path / "other.skmix").read_bytes()


def test_names_of_columns_are_checked_as_before(fitted, path):
    estimator, X, _ = fitted("classifier")
    loaded = there_and_back(estimator, path)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(X.rename(columns={"size": "width"}))
    with pytest.raises(ValueError, match="price"):
        loaded.predict(X.assign(price="many"))
    summary = estimator.encoder_.feature_summary()
    pd.testing.assert_frame_equal(loaded.encoder_.feature_summary(), summary)


def test_a_file_of_mixed_columns_decodes_rows(fitted, path):
    estimator, X, _ = fitted("regressor")
    loaded = there_and_back(estimator, path)
    Z = estimator.encoder_.transform(X)
    expected = estimator.encoder_.inverse_transform(Z)
    pd.testing.assert_frame_equal(loaded.encoder_.inverse_transform(Z), expected)


LABELS = {
    "strings": np.array(["no", "yes"]),
    "words": np.array(["no", "of course"], dtype=object),
    "integers": np.array([-3, 7]),
    "bytes": np.array([0, 255], dtype=np.uint8),
    "long": np.array([0, 2**64 - 1], dtype=np.uint64),
    "booleans": np.array([False, True]),
    "floats": np.array([0.0, 1.0]),
    "halves": np.array([0, 1], dtype=np.float32),
    "category": pd.Categorical(["no", "yes"]),
    "pandas strings": pd.array(["no", "yes"], dtype="str"),
    "nullable": pd.array([False, True], dtype="boolean"),
    "surrogates": np.array(["a\ud800", "\N{PILE OF POO}\n\0x"], dtype=object),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_dtype(kind, path):
    X = np.random.default_rng(0).normal(size=(N, 2))
    y = LABELS[kind][np.arange(N) % 2]
    estimator = MixupClassifier(tiny_default_net(), random_state=0).fit(X, y)
    loaded = there_and_back(estimator, path)
    assert_same(loaded, estimator, X, y)
    assert alike(loaded.classes_, estimator.classes_)


CATEGORIES = {
    "integers": np.array([3, 5, 9]),
    "booleans": np.array([True, False, True]),
    "intervals": pd.cut([0.1, 0.5, 0.9], [0, 0.3, 0.6, 1.0]),
    "days": pd.Categorical(pd.to_datetime(["2024-01-01", "2024-01-02", "2024-03-01"])),
    "spans": pd.Categorical(pd.to_timedelta(["1D", "2D", "3h"])),
    "halves": pd.Categorical(np.array([0.1, 0.2, 0.3], dtype=np.float32)),
    "decimals": np.array([*map(Decimal, ["1.10", "2", "3"])], dtype=object),
    "tuples": pd.Categorical([("a", 1), ("b", 2), ("c", 3)]),
    "infinite": pd.Categorical([np.inf, -np.inf, 1.0]),
}


@pytest.mark.parametrize("kind", CATEGORIES)
def test_categories_of_any_type(kind, path):
    column = pd.Series(CATEGORIES[kind]).take(np.arange(N) % 3).reset_index(drop=True)
    X = pd.DataFrame({"c": column, "x": np.arange(N)})
    net = tiny_default_net("regressor")
    estimator = MixupRegressor(net, categorical_features=["c"], random_state=0)
    estimator.fit(X, numbers())
    loaded = there_and_back(estimator, path)
    assert_same(loaded, estimator, X)
    assert_same(loaded, estimator, X.astype({"c": object}))
    found = loaded.encoder_.reader_.categories[0]
    assert alike([*found], [*estimator.encoder_.reader_.categories[0]])


SETTINGS = {
    "priors": {"priors": [0.3, 0.7]},
    "uniform": {"priors": "uniform"},
    "weights": {"class_weight": {"no": 1, "yes": np.float64(2.5)}},
    "schedule": {"alpha": schedules.Schedule(0.4, warm_up=2)},
    "remix": {"mixing": mixing.Remix(kappa=2), "lam_per": "row"},
    "rules in rules": {"mixing": mixing.Prob(0.25, mixing.NoisyFeatures(0.1))},
    "nearest": {"pairing": pairing.Nearest(k=3)},
    "columns": {"categorical_features": np.array([1, 2])},
    "columns by mask": {"categorical_features": [False, True, True, False]},
    "layers": {"layers": ["input", "embedding"]},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_parameters_come_back(kind, path):
    X, y = mixed_frame().drop(columns="price").assign(x=1.0), labels()
    estimator = MixupClassifier(tiny_default_net(), random_state=0, **SETTINGS[kind])
    estimator.fit(X, y)
    loaded = there_and_back(estimator, path)
    assert_same(loaded, estimator, X)
    own, other = (e.get_params(deep=False) for e in (loaded, estimator))
    assert all(alike(own[name], other[name]) for name in own if name != "estimator")
    if kind in ("schedule", "rules in rules", "nearest"):
        assert_same(clone(loaded).fit(X, y), estimator, X)


def test_parameters_of_nets_come_back(path):
    X, y = np.random.default_rng(0).normal(size=(N, 5)), labels()
    net = logits_net(
        criterion__weight=torch.tensor([1.0, 2.0]),
        optimizer=partial(torch.optim.AdamW, betas=(0.8, 0.9)),
        optimizer__weight_decay=1e-3,
        callbacks=[
            EarlyStopping(patience=3),
            ("score", EpochScoring("accuracy", lower_is_better=False)),
            LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=2),
        ],
        train_split=ValidSplit(0.3, random_state=1),
        iterator_valid__batch_size=7,
        max_epochs=3,
    )
    estimator = MixupClassifier(net, random_state=0).fit(X, y)
    loaded = there_and_back(estimator, path, trusted=OWN)
    assert_same(loaded, estimator, X)
    assert_same(clone(loaded).fit(X, y), estimator, X)
    assert loaded.estimator.callbacks[2].kwargs == {"step_size": 2}
    assert loaded.estimator_.lr == net.lr
    by_net = [e.estimator_.predict(X.astype(np.float32)) for e in (loaded, estimator)]
    np.testing.assert_array_equal(*by_net)


def test_the_default_split_of_skorch_stays_what_it_is(path):
    X, y = np.random.default_rng(0).normal(size=(1200, 5)), labels(1200)
    net = NeuralNetClassifier(Layers, criterion=nn.CrossEntropyLoss, max_epochs=1)
    loaded = there_and_back(MixupClassifier(net).fit(X, y), path, trusted=[Layers])
    assert has_default_split(loaded.estimator)


def test_splitters_come_back(path):
    splits = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    for cv in (KFold(2, shuffle=True, random_state=3), splits):
        net = tiny_default_net("regressor", max_epochs=1)
        search = MixupRegressorCV(net, cv=cv, alphas=[0], random_state=0)
        X, y = mixed_frame(), numbers()
        search.fit(X, y)
        loaded = there_and_back(search, path)
        assert_same(clone(loaded).fit(X, y), search, X)


def test_other_defaults_of_torch_change_no_prediction(fitted, path):
    estimator, X, _ = fitted("classifier")
    expected = estimator.predict_proba(X)
    skmix.save(estimator, path)
    torch.set_default_dtype(torch.float64)
    try:
        loaded = skmix.load(path)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)


def test_generators_stay_as_they_are(fitted, path):
    estimator, _, _ = fitted("classifier search")
    skmix.save(estimator, path)
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    skmix.load(path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps", "xpu:0"])
def test_a_device_that_is_not_there_is_the_cpu(device, path, monkeypatch):
    X, y = np.random.default_rng(0).normal(size=(N, 5)), labels()
    estimator = MixupClassifier(tiny_default_net(), random_state=0).fit(X, y)
    expected = estimator.predict_proba(X)
    estimator.estimator_.device = device
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    loaded = there_and_back(estimator, path)
    assert loaded.estimator_.device == "cpu"
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)


# The law of the lists.


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_fit_sets_is_stored_or_left_out_on_purpose(kind, fitted):
    estimator, _, _ = fitted(kind)
    learnt = vars(estimator).keys() - estimator.get_params(deep=False).keys()
    stored = set(records.names_of_fitted(type(estimator)))
    assert learnt - stored <= set(_one_net.OF_REPLAY)
    for member in [estimator, *getattr(estimator, "estimators_", [])]:
        encoder = member._preparation.encoder
        if encoder is not None:
            of_encoder = vars(encoder).keys() - encoder.get_params().keys()
            assert of_encoder - {"_sklearn_output_config"} <= set(preprocessing.FITTED)
    for member in getattr(estimator, "estimators_", [estimator]):
        net = member.estimator_
        assert {
            name
            for name in vars(net).keys() - net.get_params(deep=False).keys()
            if not name.startswith("_") and name not in nets.FITTED
        } <= {
            *("module_", "criterion_", "optimizer_", "history_", "callbacks_"),
            *("initialized_", "virtual_params_", "init_context_", "prefixes_"),
            *("cuda_dependent_attributes_", "validation_history_", "label_smoothing_"),
        }


def test_lists_name_nothing_that_there_is_not(fitted):
    seen = set()
    for kind in KINDS:
        estimator, _, _ = fitted(kind)
        members = [estimator, *getattr(estimator, "estimators_", [])]
        seen = seen.union(*map(vars, members))
        seen |= set(vars(getattr(estimator._preparation, "encoder", None) or estimator))
    names = {
        *_one_net.FITTED,
        *_search.FITTED,
        *preprocessing.FITTED,
        *_one_net.OF_REPLAY,
    }
    assert not names - seen


def test_public_names_of_the_method_are_known():
    for room in (mixing, pairing, schedules):
        for name, kind in vars(room).items():
            rule = isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")
            if rule and not name.startswith("_") and name != "TrainingSet":
                assert known()[f"{room.__name__}.{name}"] is kind


# Trust.


class Wide(Layers):
    """Another module of the tests."""


def other_layers():
    """Return another class of the same name."""
    return type("Layers", (nn.Module,), {"__module__": Layers.__module__})


def own_mixing(x, x_partner, lam, y, y_partner, rng):
    return lam * x + (1 - lam) * x_partner, lam


class OwnLoss(nn.CrossEntropyLoss):
    """A criterion of the tests."""


class OwnNet(NeuralNetClassifier):
    """A net of the tests."""

    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


class OwnSplit:
    """A splitter that is no parameter of anything."""

    def __init__(self, n):
        self.n = n

    def split(self, X, y=None, groups=None):
        return KFold(self.n).split(X)

    def get_n_splits(self, X=None, y=None, groups=None):
        return self.n


def array_and_labels():
    return np.random.default_rng(0).normal(size=(N, 5)), labels()


def test_a_module_of_ones_own_must_be_trusted(fitted, path):
    estimator, X, _ = fitted("own net")
    skmix.save(estimator, path)
    with pytest.raises(ValueError, match=r"sample_nets:Layers, which is not trusted"):
        skmix.load(path)
    with pytest.raises(ValueError, match="not trusted"):
        skmix.load(path, trusted=[Wide, nn.Linear, print])
    with pytest.raises(TypeError, match="classes and functions themselves"):
        skmix.load(path, trusted=["sample_nets:Layers"])
    with pytest.raises(TypeError, match="classes and functions themselves"):
        skmix.load(path, trusted="sample_nets:Layers")
    assert_same(skmix.load(path, trusted=[Wide, Layers]), estimator, X)
    assert_same(skmix.load(path, trusted=Layers), estimator, X)


def test_it_is_the_object_that_is_trusted_and_not_its_name(fitted, path):
    estimator, _, _ = fitted("own net")
    skmix.save(estimator, path)
    with pytest.raises(ValueError, match="refused"):  # built, of other parameters
        skmix.load(path, trusted=[other_layers()])
    with pytest.raises(ValueError, match="two objects of the name"):
        skmix.load(path, trusted=[Layers, other_layers()])


def test_what_a_script_defines_may_be_imported_later(path):
    X, y = array_and_labels()
    made = type("Here", (Layers,), {"__module__": "__main__", "__qualname__": "Here"})
    estimator = MixupClassifier(logits_net(module=made)).fit(X, y)
    later = type("Here", (Layers,), {"__module__": "nets", "__qualname__": "Here"})
    loaded = there_and_back(estimator, path, trusted=[later])
    assert isinstance(loaded.estimator_.module_, later)
    assert_same(loaded, estimator, X)


def test_a_module_of_torch_is_built_only_if_it_is_trusted(path):
    X, y = array_and_labels()
    params = {"module__in_features": 5, "module__out_features": 2}
    estimator = MixupClassifier(logits_net(module=nn.Linear, **params)).fit(X, y)
    skmix.save(estimator, path)
    with pytest.raises(ValueError, match=r"torch\.nn\.Linear, which is not trusted"):
        skmix.load(path)
    assert_same(skmix.load(path, trusted=[nn.Linear]), estimator, X)


def test_functions_and_partials_make_modules(path):
    X, y = array_and_labels()

    def mlp(d_in, d_out, width=8):
        return nn.Sequential(nn.Linear(d_in, width), nn.ReLU(), nn.Linear(width, d_out))

    for module in (mlp, partial(mlp, width=5), partial(TabularNet, k=2)):
        estimator = MixupClassifier(logits_net(module=module, max_epochs=2))
        estimator.fit(X, y)
        assert_same(there_and_back(estimator, path, trusted=[mlp]), estimator, X)


def test_a_net_of_ones_own_must_be_trusted(path):
    X, y = array_and_labels()
    net = OwnNet(Layers, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=2)
    estimator = MixupClassifier(net, random_state=0).fit(X, y)
    skmix.save(estimator, path)
    with pytest.raises(ValueError, match="OwnNet, which is not trusted"):
        skmix.load(path, trusted=[Layers])
    assert_same(skmix.load(path, trusted=[OwnNet, Layers]), estimator, X)


OF_TRAINING = {
    "mixing": ({"mixing": own_mixing}, {}, [own_mixing]),
    "alpha": ({"alpha": lambda epoch: 0.1}, {}, []),
    "random_state": ({"random_state": np.random.RandomState(0)}, {}, None),
    "estimator__criterion": ({}, {"criterion": OwnLoss}, [OwnLoss]),
    "estimator__callbacks": ({}, {"callbacks": [Checkpoint()]}, [Checkpoint]),
}


@pytest.mark.parametrize("name", OF_TRAINING)
def test_training_is_refused_by_the_name_of_what_it_lacks(
    name, path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    own, of_net, trusted = OF_TRAINING[name]
    X, y = array_and_labels()
    split = ValidSplit(0.2, stratified=True)
    net = logits_net(**({"max_epochs": 2, "train_split": split} | of_net))
    estimator = MixupClassifier(net, **({"random_state": 0} | own)).fit(X, y)
    loaded = there_and_back(estimator, path, trusted=[Layers])
    assert_same(loaded, estimator, X, y)
    assert "NotLoaded" in repr(loaded)
    assert loaded._repr_html_()
    for training in (loaded, clone(loaded)):
        with pytest.raises(ValueError, match=rf"loaded without {name} \("):
            training.fit(X, y)
    assert_same(loaded, estimator, X, y)
    if trusted:
        whole = skmix.load(path, trusted=[Layers, *trusted])
        assert_same(whole.fit(X, y), estimator, X)
    given = net if name.startswith("estimator") else own[name]
    parameter = "estimator" if name.startswith("estimator") else name
    loaded.set_params(**{parameter: given}).fit(X, y)


def test_a_search_without_its_splitter_and_score_predicts(path):
    X, z = mixed_frame(), numbers()
    search = MixupRegressorCV(
        tiny_default_net("regressor"),
        alphas=[0],
        cv=OwnSplit(2),
        scoring=lambda estimator, X, y: 0.0,
    ).fit(X, z)
    loaded = there_and_back(search, path)
    assert_same(loaded, search, X)
    with pytest.raises(
        ValueError, match=r"without cv \(test_files:OwnSplit\), scoring"
    ):
        loaded.fit(X, z)


@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_of_a_search_is_left_out(kind, path, tmp_path):
    X, z = mixed_frame(), numbers()
    net, folder = tiny_default_net("regressor"), kind(tmp_path / "run")
    options = {"alphas": [0], "cv": 2, "random_state": 0, "checkpoint": folder}
    search = MixupRegressorCV(net, **options).fit(X, z)
    loaded = there_and_back(search, path)
    assert loaded.checkpoint is None
    assert_same(loaded.fit(X, z), search, X)


def test_a_loaded_net_is_not_trained_further(fitted, path):
    estimator, X, y = fitted("classifier")
    loaded = there_and_back(estimator, path)
    with pytest.raises(ValueError, match="no state of the optimizer"):
        loaded.partial_fit(X, y)
    with pytest.raises(ValueError, match="loaded from a file"):
        loaded.repeat_training(X, y)


# What is not saved.


def test_unfitted_and_other_estimators_are_refused(path):
    for kind in (MixupClassifier, MixupRegressorCV):
        with pytest.raises(NotFittedError):
            skmix.save(kind(), path)
    with pytest.raises(TypeError, match="Got StandardScaler"):
        skmix.save(StandardScaler(), path)
    subclass = type("Mine", (MixupRegressor,), {})
    with pytest.raises(TypeError, match="Got Mine, but expected MixupClassifier"):
        skmix.save(subclass(), path)
    with pytest.raises(TypeError, match="Got StandardScaler"):
        skmix.save(make_pipeline(StandardScaler()), path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"module": Layers()}, "an instance of Layers"),
        ({"predict_nonlinearity": nn.Softmax(1)}, "predict_nonlinearity"),
        ({"torch_load_kwargs": {"weights_only": False}}, "torch_load_kwargs"),
    ],
)
def test_what_predictions_need_and_no_file_holds(params, message, path):
    X, y = array_and_labels()
    estimator = MixupClassifier(logits_net(max_epochs=1, **params)).fit(X, y)
    with pytest.raises(ValueError, match=message):
        skmix.save(estimator, path)
    assert not path.exists()


def test_categories_that_no_file_holds(path):
    zones = pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize("Europe/Berlin")
    X = pd.DataFrame({"c": pd.Categorical(zones.take(np.arange(N) % 2))})
    estimator = MixupRegressor(tiny_default_net("regressor")).fit(X, numbers())
    with pytest.raises(ValueError, match="categories with a time with a zone"):
        skmix.save(estimator, path)


def test_a_file_is_written_at_once(fitted, path, monkeypatch):
    estimator, X, _ = fitted("regressor")
    path.write_bytes(b"what was there")

    def fails(*_):
        raise OSError("no space left on the device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no space left"):
        skmix.save(estimator, path)
    monkeypatch.undo()
    assert path.read_bytes() == b"what was there"
    assert [*path.parent.iterdir()] == [path]
    assert_same(there_and_back(estimator, str(path)), estimator, X)
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_links_and_modes_stay(fitted, path, tmp_path):
    estimator, X, _ = fitted("regressor")
    aside = tmp_path / "aside"
    aside.mkdir()
    target = aside / ("long" * 60 + ".skmix")
    target.write_bytes(b"what was there")
    target.chmod(0o640)
    path.symlink_to(target)
    assert_same(there_and_back(estimator, path), estimator, X)
    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert [*aside.iterdir()] == [target]


# Pipelines.


class OwnTransformer(StandardScaler):
    """A transformer that is not scikit-learn's."""


@pytest.mark.slow
def test_pipelines_of_scikit_learns_transformers(path):
    pytest.importorskip("skops")
    X, y = array_and_labels()
    model = make_pipeline(
        StandardScaler(), "passthrough", MixupClassifier(tiny_default_net())
    )
    model.fit(X, y)
    loaded = there_and_back(model, path)
    assert_same(loaded, model, X, y)
    assert [*loaded.named_steps] == [*model.named_steps]
    alone = make_pipeline(MixupClassifier(tiny_default_net())).fit(X, y)
    assert_same(there_and_back(alone, path), alone, X, y)


@pytest.mark.slow
def test_pipelines_of_frames_and_objects(path):
    """skops writes an object in full wherever it occurs, under one number."""
    pytest.importorskip("skops")
    X, y = mixed_frame(), labels()
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["size"]),
            ("bins", KBinsDiscretizer(3, encode="ordinal"), ["price"]),
            ("words", OneHotEncoder(sparse_output=False), ["hue", "old"]),
        ]
    )
    model = make_pipeline(columns, MixupClassifier(tiny_default_net()))
    model.fit(X.astype({"price": float}), y)
    assert_same(there_and_back(model, path), model, X.astype({"price": float}))


def upper_half(X):
    return X[:, :2]


@pytest.mark.parametrize("step", [OwnTransformer(), FunctionTransformer(upper_half)])
def test_other_transformers_are_refused(step, path):
    pytest.importorskip("skops")
    X, y = array_and_labels()
    model = make_pipeline(step, MixupClassifier(tiny_default_net())).fit(X, y)
    with pytest.raises(ValueError, match=r"(?s)Got a Pipeline .*Save its last step"):
        skmix.save(model, path)


def test_without_skops_it_says_what_to_install(path, monkeypatch):
    X, y = array_and_labels()
    model = make_pipeline(StandardScaler(), MixupClassifier(tiny_default_net()))
    model.fit(X, y)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(ImportError, match=r"pip install 'skmix\[files\]'"):
        skmix.save(model, path)
    assert_same(there_and_back(model[-1], path), model[-1], X)


def forged_steps(change):
    """Return a function that changes the parts of an archive by skops."""

    def forge(data):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        method, packed = change(parts), io.BytesIO()
        with zipfile.ZipFile(packed, "w", method or zipfile.ZIP_STORED) as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
        return packed.getvalue()

    return forge


def in_schema(old, new):
    def change(parts):
        assert old in parts["schema.json"]
        parts["schema.json"] = parts["schema.json"].replace(old, new)

    return change


def with_bomb(parts):
    parts["bomb.npy"] = bytes(10**7)
    return zipfile.ZIP_DEFLATED


def with_long_array(parts):
    name = next(name for name in parts if name.endswith(".npy"))
    header = io.BytesIO()
    long = {"descr": "<f8", "fortran_order": False, "shape": (10**10,)}
    np.lib.format.write_array_header_1_0(header, long)
    parts[name] = header.getvalue() + bytes(100)


def with_node(make):
    """Return a function that puts a node beside the transformers."""

    def change(parts):
        schema = json.loads(parts["schema.json"])
        schema["content"].append(make(schema))
        parts["schema.json"] = json.dumps(schema).encode()

    return change


def node(loader, content, number, kind="list", **more):
    """Return what skops writes of an object."""
    named = {"__class__": kind, "__module__": "builtins", "__loader__": loader}
    return named | {"content": content, "__id__": number} | more


ONE = node("JsonNode", "1", 1, "int")


def doubled(_):
    """Return a list of twice a list of twice a list, by its number the second time."""
    made = node("ListNode", [ONE], 100)
    for k in range(101, 112):
        again = node("CachedNode" if k % 2 else "ListNode", [], k - 1)
        made = node("ListNode", [made, again], k)
    return made


def shaped(shape, items):
    named = {"__class__": "ndarray", "__module__": "numpy", "type": "json"}
    return node("NdArrayNode", items, 99, shape=shape) | named


def of_two_dimensions(_):
    shape = node("TupleNode", [ONE, ONE], 98, "tuple")
    return shaped(shape, [node("ListNode", [ONE], 97)])


def of_a_shape_by_text(_):
    return shaped(node("JsonNode", "[1, 1]", 98, "str"), [])


def first_array(schema):
    parts = (at(schema, path) for path in places(schema))
    return next(p for p in parts if isinstance(p, dict) and p.get("type") == "numpy")


def masked_list(schema):
    array = first_array(schema)
    content = {"data": node("ListNode", [array] * 9, 97), "mask": array}
    named = {"__class__": "MaskedArray", "__module__": "numpy.ma"}
    return node("MaskedArrayNode", content, 96) | named


# What would grow in memory; skops writes nothing of the kind.
NODES = {
    "lists twice": with_node(doubled),
    "an array of two dimensions": with_node(of_two_dimensions),
    "a shape by text": with_node(of_a_shape_by_text),
    "a masked list of arrays": with_node(masked_list),
    "an array read twice": with_node(lambda s: first_array(s) | {"__id__": 95}),
    "an array without a number": with_node(lambda s: first_array(s) | {"__id__": 0}),
}

STEPS = {
    "compressed": with_bomb,
    "a long array": with_long_array,
    "an import": in_schema(b"sklearn.preprocessing._data", b"os"),
    "a tree": in_schema(b"sklearn.preprocessing._data", b"sklearn.tree._tree"),
    "an estimator": in_schema(b"sklearn.preprocessing._data", b"sklearn.ensemble"),
    "a forged dtype": in_schema(b'"DTypeNode"', b'"ObjectNode"'),
    "another file": lambda parts: parts.update({"x.npz": b"PK"}),
    "no schema": lambda parts: parts.pop("schema.json") and None,
}


@pytest.mark.slow
def test_a_forged_pipeline_is_refused(path):
    pytest.importorskip("skops")
    X, y = array_and_labels()
    steps = StandardScaler(), SimpleImputer()
    model = make_pipeline(*steps, MixupClassifier(tiny_default_net())).fit(X, y)
    assert_same(there_and_back(model, path), model, X)
    data = path.read_bytes()
    for attack in STEPS.values():
        path.write_bytes(packed_again(data, steps=forged_steps(attack)))
        with pytest.raises(ValueError, match=r"cannot be loaded: its Pipeline "):
            skmix.load(path)
    for attack in NODES.values():
        path.write_bytes(packed_again(data, steps=forged_steps(attack)))
        with pytest.raises(ValueError, match="that skops writes otherwise"):
            skmix.load(path)


# Damage.


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.skmix"
    skmix.save(fitted("classifier")[0], path)
    return path.read_bytes()


def test_flipped_bits_are_found(saved, path):
    rng = np.random.default_rng(0)
    of_header = 8 * np.arange(container.HEADER) + rng.integers(8)
    bits = [*of_header, *rng.integers(8 * len(saved), size=100)]
    for bit in bits:
        data = bytearray(saved)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"model\.skmix, which cannot be loaded: "):
            skmix.load(path)


def test_every_kind_of_cut_is_found(saved, path):
    for n in [*range(container.HEADER + 2), len(saved) // 2, len(saved) - 1]:
        path.write_bytes(saved[:n])
        with pytest.raises(ValueError, match=r"not written by|cut off"):
            skmix.load(path)
    path.write_bytes(saved + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        skmix.load(path)


def test_other_files_are_refused(path, tmp_path):
    for data in (pickle.dumps(MixupRegressor()), b"PK\3\4" + bytes(100), b"", b"{}"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"it was not written by skmix\.save"):
            skmix.load(path)
    with pytest.raises(ValueError, match="no regular file"):
        skmix.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        skmix.load(tmp_path / "nothing.skmix")


def test_a_newer_format_is_named(saved, path, monkeypatch):
    content = container.unpacked(saved)
    monkeypatch.setattr(container, "FORMAT", 2)
    newer = container.packed(content)
    monkeypatch.undo()
    path.write_bytes(newer)
    with pytest.raises(ValueError, match="format 2, and this skmix reads format 1"):
        skmix.load(path)


def net_of(record):
    return record["model"]["fitted"]["estimator"]["net"]


ATTACKS = {
    "an import": lambda r: net_of(r)["params"].update(
        module={"type": "name", "name": "os:system"}
    ),
    "another class": lambda r: net_of(r).update({"class": "subprocess:Popen"}),
    "a class of torch": lambda r: net_of(r)["params"].update(
        module={"type": "name", "name": "torch.nn.LSTM"}
    ),
    "a module for a net": lambda r: net_of(r).update({"class": "torch.nn.Linear"}),
    "a huge net": lambda r: net_of(r)["params"].update(module__d_block=10**7),
    "a wide net": lambda r: net_of(r)["params"].update(module__d_in=10**9),
    "many members": lambda r: net_of(r)["params"].update(module__k=10**9),
    "many blocks": lambda r: net_of(r)["params"].update(module__n_blocks=10**12),
    "fine embeddings": lambda r: net_of(r)["params"].update(module__d_embedding=10**9),
    "a long history": lambda r: r["model"]["fitted"]["estimator"]["history"].update(
        n=10**12
    ),
    "an attribute": lambda r: r["model"]["fitted"].update({"__class__": 1}),
    "a method": lambda r: r["model"]["fitted"].update(predict=1),
    "a private parameter": lambda r: net_of(r)["params"].update(_modules=["x"]),
    "a learnt parameter": lambda r: net_of(r)["params"].update(initialized_=True),
    "a method of the net": lambda r: net_of(r)["params"].update(predict_proba=1),
    "compilation": lambda r: net_of(r)["params"].update(compile=True),
    "pickles": lambda r: net_of(r)["params"].update(
        torch_load_kwargs={"type": "dict", "items": [["weights_only", False]]}
    ),
    "workers": lambda r: net_of(r)["params"].update(iterator_valid__num_workers=999),
    "a circle": lambda r: next(
        record for record in r["shared"] if "target" in record
    ).update(encoder=r["model"]["fitted"]["preparation"]),
    "itself": lambda r: r["model"]["fitted"].update(preparation=len(r["shared"])),
    "wide strings": lambda r: r["shared"][r["model"]["fitted"]["preparation"]][
        "target"
    ]["classes"].update(width=10**9),
    "a checkpoint": lambda r: net_of(r)["params"].update(
        iterator_valid={
            "type": "object",
            "class": "skorch.callbacks.Checkpoint",
            "params": {"dirname": "/tmp"},
        }
    ),
    "a call": lambda r: net_of(r)["params"].update(
        module={
            "type": "partial",
            "func": {"type": "name", "name": "builtins:exec"},
            "args": ["raise SystemExit"],
            "keywords": {"type": "dict", "items": []},
        }
    ),
    "a print": lambda r: net_of(r)["params"].update(
        criterion={"type": "name", "name": "print"}, criterion__sep="!"
    ),
    "a tensor twice": lambda r: r["model"]["fitted"]["estimator"]["modules"].update(
        other_=r["model"]["fitted"]["estimator"]["modules"]["module_"]
    ),
    "a criterion that is no loss": lambda r: net_of(r)["params"].update(
        criterion={"type": "name", "name": "torch.nn.Identity"}
    ),
    "a stored criterion that is no loss": lambda r: (
        net_of(r)["params"].update(criterion={"type": "missing", "name": "mine"}),
        r["model"]["fitted"]["estimator"].update(criterion="torch.nn.Identity"),
    ),
    "many wide strings": lambda r: r["model"]["params"].update(
        mixing=[{"type": "strings", "items": ["a"], "width": 10**7}] * 2
    ),
    "many lists": lambda r: r["model"]["params"].update(mixing=[[]] * 2**20),
    "no tensors": lambda r: r["model"]["fitted"]["estimator"].update(modules={}),
    "a dtype that numpy parses": lambda r: next(
        record for record in r["shared"] if "as_dict" in record.get("params", ())
    )["params"].update(dtype="(" * 100),
    "a column that is not there": lambda r: next(
        record for record in r["shared"] if "as_dict" in record.get("params", ())
    )["fitted"].update(empty=[False] * 99),
    "codes that are not there": lambda r: next(
        record for record in r["shared"] if "has_missing" in record
    )["categories"][1].update(items=["red"]),
    "a deep list": lambda r: r["model"]["params"].update(alpha=nested(5000)),
}


def copies(d_in, d_out, how="layers"):
    """Make a module of few weights by many copies of a tensor."""
    large = torch.zeros(2**22)
    if how == "layers":
        layer = nn.TransformerEncoderLayer(128, 1, 512)
        nn.TransformerEncoder(layer, 10**3, enable_nested_tensor=False)
    for _ in range(10**3):
        {
            "buffers": lambda: copy.deepcopy(large),
            "clones": large.clone,
            "repeat": lambda: large.repeat(2),
            "likes": lambda: torch.ones_like(large, device="cpu"),
            "new": lambda: large.new_zeros(2**22),
        }[how]()
    return Layers(d_in, d_out)


@pytest.mark.parametrize(
    "how", ["layers", "buffers", "clones", "repeat", "likes", "new"]
)
def test_copies_count_as_memory(how, path):
    X, y = array_and_labels()
    estimator = MixupClassifier(logits_net(max_epochs=1)).fit(X, y)
    skmix.save(estimator, path)
    by_copies = {"type": "name", "name": "test_files:copies"}
    change = {"module": by_copies, "module__how": how}
    data = packed_again(
        path.read_bytes(), edit=lambda r: net_of(r)["params"].update(change)
    )
    path.write_bytes(data)
    with pytest.raises(ValueError, match="much larger than its weights"):
        skmix.load(path, trusted=[copies, Layers])


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_forged_file_is_refused(attack, saved, path, capsys):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # to write what is nested
    try:
        path.write_bytes(packed_again(saved, edit=ATTACKS[attack]))
    finally:
        sys.setrecursionlimit(before)
    with pytest.raises(ValueError, match=r"model\.skmix, which cannot be loaded: "):
        skmix.load(path)
    assert capsys.readouterr().out == ""


def test_long_json_is_neither_read_nor_written(saved, fitted, path, monkeypatch):
    path.write_bytes(saved)
    monkeypatch.setattr(container, "MAX_JSON", 1000)
    with pytest.raises(ValueError, match="bytes is longer than 1,000"):
        skmix.load(path)
    with pytest.raises(ValueError, match="but expected at most 1,000"):
        skmix.save(fitted("classifier")[0], path)


def test_too_many_brackets_are_neither_read_nor_written(
    saved, fitted, path, monkeypatch
):
    path.write_bytes(saved)
    monkeypatch.setattr(container, "MAX_BRACKETS", 10)
    with pytest.raises(ValueError, match="opening brackets, over 10"):
        skmix.load(path)
    with pytest.raises(ValueError, match="at most 16,777,216 and 10"):
        skmix.save(fitted("classifier")[0], path)


def test_too_many_strings_are_not_written(fitted, path, monkeypatch):
    estimator, _, _ = fitted("classifier")
    assert estimator.classes_.nbytes == 24
    monkeypatch.setattr(values, "MAX_STRINGS", 23)
    with pytest.raises(ValueError, match="array of dtype <U3"):
        skmix.save(estimator, path)


def test_long_headers_of_tensors_are_refused(saved, path):
    forged = packed_again(saved, tensors=lambda data: b"\xff" * 8 + data[8:])
    path.write_bytes(forged)
    with pytest.raises(ValueError, match="its tensors have no header of at most"):
        skmix.load(path)


def replaced(old, new, text):
    return text.replace(old, new)


def test_json_is_parsed_strictly(saved, path):
    for old, new in [
        (b'"draws":false', b'"draws":false,"draws":true'),
        (b'"clean_weight":0.0', b'"clean_weight":NaN'),
        (b'"clean_weight":0.0', b'"clean_weight":' + b"9" * 5000),
        (b'"clean_weight":0.0', b'"clean_weight":"\xff"'),
    ]:
        path.write_bytes(packed_again(saved, text=partial(replaced, old, new)))
        with pytest.raises(ValueError, match="its JSON cannot be read"):
            skmix.load(path)


@pytest.mark.slow
def test_loading_runs_nothing_and_reads_no_pickle(saved, path):
    """An audit hook sees each import, pickle, compilation and process."""
    path.write_bytes(saved)
    code = f"""
import sys, skmix
skmix.load({str(path)!r})  # imports what is imported late
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)))
skmix.load({str(path)!r})
forbidden = ("import", "pickle.", "exec", "compile", "os.", "subprocess.", "socket.")
found = [event for event in seen if event[0].startswith(forbidden)]
print([event for event in found if event[0] != "os.fstat"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_mutated_files_do_no_harm(tmp_path):
    """2,000 of them in a process of its own, whose memory is limited."""
    script = Path(__file__).with_name("mutated_files.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, "2000"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout)
    assert counts["files"] == 2000
    assert counts["refused"] > 1200
    assert not counts["harm"]


# Cards and the page.


@pytest.mark.parametrize("kind", KINDS)
def test_cards_describe_estimators(kind, fitted, path):
    estimator, _, _ = fitted(kind)
    card = skmix.model_card(estimator)
    loaded = skmix.model_card(there_and_back(estimator, path, trusted=OWN))
    for line, other in zip(card.splitlines(), loaded.splitlines(), strict=True):
        # (Samples may be counted by batches, which are not stored.)
        assert line == other or line.startswith("| samples |")
    assert card.startswith(f"# {type(estimator).__name__}\n")
    for part in ("Trained on", "Mixing", "Scores", "Versions", "Limits"):
        assert f"\n## {part}\n" in card
    assert f"| samples | {N}" in card
    assert "at 0x" not in card
    if hasattr(estimator, "n_features_in_"):
        assert f"| columns | {estimator.n_features_in_} |" in card


def test_cards_escape_names_of_columns():
    X = pd.DataFrame({"a|b": np.arange(N), "<script>": np.arange(N) % 3, "c\nd": 1.0})
    reg = MixupRegressor(tiny_default_net("regressor")).fit(X, numbers())
    card = skmix.model_card(reg)
    assert "| names | a\\|b, &lt;script>, c d |" in card


def test_cards_name_transformers():
    X, y = array_and_labels()
    model = make_pipeline(StandardScaler(), MixupClassifier(tiny_default_net()))
    card = skmix.model_card(model.fit(X, y))
    assert "| transformers before | `StandardScaler` |" in card


def test_cards_of_what_is_not_fitted():
    with pytest.raises(NotFittedError):
        skmix.model_card(MixupRegressor())
    with pytest.raises(TypeError, match="Got StandardScaler"):
        skmix.model_card(StandardScaler())


def test_the_page_lists_all_types_of_values():
    page = (Path(__file__).parents[1] / "docs/guide/files.md").read_text("utf-8")
    written = Path(values.__file__).read_text("utf-8")
    types = set(re.findall(r'"type": "(\w+)"', written))
    assert len(types) > 15
    table = page[page.index("| type | other names |") :].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert types == set(re.findall(r"`(\w+)`", "".join(cells)))
