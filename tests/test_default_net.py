"""The default nets as skorch nets: their recipe, in skorch alone and in estimators."""

from fnmatch import fnmatch
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold
from skorch import NeuralNetRegressor
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LRScheduler,
)
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressor, default_net
from skmix._default_net import (
    HIDDEN,
    TabularNetClassifier,
    TabularNeuralNet,
    bins_of,
    hold_out,
    train_once,
    trains_twice,
    wants_scaled,
)
from skmix._one_net import MANY_ROWS
from skmix._training import loss
from skmix._training.epoch import Diverged
from skmix._training.muon import Muon
from skmix._training.skorch_compat import METHODS, is_skorchs_own, patience_of
from skmix.networks import TabularNet
from skmix.schedules import Schedule

QUICK = {"max_epochs": 4, "module__d_block": 8, "module__k": 2}


def fitted_by_skorch(task, X, y, seed=0, **params):
    """Fit a default net without the estimators, from the state that they start from."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    return default_net(task).set_params(**params).fit(X, y)


def encoded(estimator, X):
    return estimator.encoder_.transform(X).astype(np.float32)


def assert_same(bare, estimator):
    """Compare weights, averaged weights and temperatures to the bit."""
    ours, theirs = (net.module_.state_dict() for net in (bare, estimator.estimator_))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


# The law of the default net: in skorch alone it does what it does in the estimators.


@pytest.mark.parametrize("seed", [0, 7])
def test_law_the_bare_classifier_predicts_as_the_unmixed_estimator(wine, seed):
    X, y = wine
    net = default_net("classifier").set_params(**QUICK)
    clf = MixupClassifier(net, alpha=0, random_state=seed).fit(X, y)
    bare = fitted_by_skorch("classifier", encoded(clf, X), y, seed, **QUICK)
    assert_same(bare, clf)
    proba = bare.predict_proba(encoded(clf, X))
    assert_allclose(proba, clf.predict_proba(X), rtol=3e-6)  # float32 and float64


@pytest.mark.slow
def test_law_the_whole_fit(wine):
    X, y = wine
    clf = MixupClassifier(alpha=0, random_state=0).fit(X, y)
    bare = fitted_by_skorch("classifier", encoded(clf, X), y)
    assert_same(bare, clf)
    assert len(bare.history) == clf.n_iter_
    losses = bare.validation_history_[:, "valid_loss"]
    assert losses == clf.history_[:, "valid_loss"]


def test_law_the_bare_regressor_predicts_as_the_unmixed_estimator():
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    net = default_net("regressor").set_params(**QUICK)
    reg = MixupRegressor(net, alpha=0, random_state=0).fit(X, y)
    target = reg._preparation.target.encode(y)
    for shape in (-1, (-1, 1)):
        given = target.reshape(shape)
        bare = fitted_by_skorch("regressor", encoded(reg, X), given, **QUICK)
        predicted = reg._preparation.target.decode(bare.predict(encoded(reg, X)))
        assert_same(bare, reg)
        assert_allclose(np.ravel(predicted), reg.predict(X), rtol=1e-6)


# The recipe, in skorch alone.


@pytest.fixture
def numbers():
    """Two classes or a number, in two columns of noise and one that tells."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    return X, (X[:, 0] > 0).astype(int)


def quick(task="classifier", **params):
    return default_net(task).set_params(**(QUICK | params))


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_the_recipe_is_in_the_parameters(task, numbers):
    net = quick(task)
    params = net.get_params()
    assert params["refit"] is True
    assert params["train_split"] is hold_out
    assert params["batch_size"] == "auto"
    assert params.get("calibrate") is (True if task == "classifier" else None)
    net.fit(*numbers)
    copy = clone(net)
    for shown in (net.get_params(deep=False), copy.get_params(deep=False)):
        assert shown["batch_size"] == "auto"
        assert shown["train_split"] is hold_out
        assert shown["max_epochs"] == 4
        assert [name for name, _ in shown["callbacks"]] == ["early_stopping"]
        assert "module__d_in" not in shown
    assert not copy.initialized_


def test_sizes_are_found_in_the_samples_unless_they_are_given(numbers):
    X, y = numbers
    X = np.c_[X, np.eye(2)[y]]
    net = quick().fit(X, 2 * y)
    assert net.module_.members[-1].out_features == 3  # 0, 1 and 2
    assert net.module_.embedding.n_numbers == 3
    assert quick(module__bins=[]).fit(X, y).module_.embedding.n_numbers == 0
    with pytest.raises(ValueError, match="last input dimension"):
        quick(module__d_in=4).fit(X, y)
    again = net.fit(X[:, 1:], y).module_
    assert again.members[-1].out_features == 2
    assert again.embedding.n_numbers == 2


def test_bins_are_of_numbers_only():
    hot = np.eye(2)[np.arange(40) % 2]
    X = np.c_[hot[:, 0], np.arange(40.0), np.zeros(40), hot]
    assert [len(edges) for edges in bins_of(X)] == [3, 17, 3]
    assert bins_of(hot) == bins_of(sparse.csr_matrix(X)) == []


@pytest.mark.parametrize(
    ("n_rows", "share"), [(20, 0.1), (100, 0.1), (200, 0.05), (900, 0.01), (3_000, 0.0)]
)
def test_labels_are_smoothed_the_less_the_more_rows(n_rows, share):
    X, y = np.random.default_rng(0).normal(size=(n_rows, 2)), np.arange(n_rows) % 2
    net = default_net("classifier").set_params(max_epochs=1, module__k=1)
    assert net.criterion__label_smoothing == "auto"
    for smoothing, expected in (("auto", share), (0.3, 0.3), (0.0, 0.0)):
        net.set_params(criterion__label_smoothing=smoothing).fit(X, y)
        assert net.criterion_.label_smoothing == expected


@pytest.mark.filterwarnings("ignore:One fold cannot tell")
def test_members_of_a_search_smooth_as_nets_alone_do():
    X, y = load_wine(return_X_y=True)
    X, y = X[:158], y[:158]
    net = quick(max_epochs=2)
    folds = list(StratifiedKFold(3).split(X, y))
    search = MixupClassifierCV(net, alphas=(0, 1), cv=folds, random_state=0).fit(X, y)
    assert search.vectorized_
    shares = [round(10 / len(train), 2) for train, _ in folds]
    assert set(shares) == {0.1, 0.09}
    for k, (fold, share) in enumerate(zip(folds, shares, strict=True)):
        assert search.estimators_[k].estimator_.criterion_.label_smoothing == share
        fixed = clone(net).set_params(criterion__label_smoothing=share)
        alone = MixupClassifierCV(fixed, alphas=(0, 1), cv=[fold], random_state=0)
        curves = alone.fit(X, y).curves_[:, 0]
        assert_allclose(search.curves_[:, k], curves, rtol=1e-4)


def test_a_stream_is_not_smoothed_and_a_fit_goes_on_as_it_began():
    X, y = load_wine(return_X_y=True)
    net = quick(max_epochs=1)
    clf = MixupClassifier(net, alpha=0, random_state=0)
    for rows in np.array_split(np.random.default_rng(0).permutation(len(y)), 3):
        clf.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        assert clf.estimator_.criterion_.label_smoothing == 0
    clf.fit(X, y)
    assert clf.estimator_.criterion_.label_smoothing == 0.06
    clf.partial_fit(X[:20], y[:20])
    assert clf.estimator_.criterion_.label_smoothing == 0.06


@pytest.mark.parametrize("smoothing", ["Auto", 1.5])
def test_smoothing_that_cannot_be_is_refused(smoothing):
    X, y = load_wine(return_X_y=True)
    net = quick(max_epochs=1, criterion__label_smoothing=smoothing)
    with pytest.raises((ValueError, RuntimeError), match=r"0(\.0)? (to|and) 1"):
        MixupClassifier(net, alpha=0.2).fit(X, y)


class Focal(torch.nn.CrossEntropyLoss):
    def __init__(self):
        super().__init__()

    def forward(self, output, y):
        loss = torch.nn.functional.cross_entropy(output, y, reduction="none")
        return ((1 - torch.exp(-loss)) * loss).mean()


def test_criteria_of_ones_own_are_left_alone():
    X, y = load_wine(return_X_y=True)
    for criterion in (Focal, partial(torch.nn.CrossEntropyLoss)):
        net = quick(max_epochs=1, criterion=criterion)
        clf = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
        assert not getattr(clf.estimator_.criterion_, "label_smoothing", 0)


def test_batch_size_grows_with_the_table():
    sizes = []
    for n_rows in (1, 100, 10**4, 10**6):
        net = quick(module__d_in=1, module__d_out=2).initialize()
        assert net.get_params_for("iterator_valid")["batch_size"] == 256
        net.check_data(np.zeros((n_rows, 1)), np.zeros(n_rows))
        sizes.append(net.get_params_for("iterator_train")["batch_size"])
    assert sizes == [16, 16, 256, 256]
    net = quick(batch_size=7, iterator_valid__batch_size=9)
    assert "batch_size" not in net.get_params_for("iterator_train")
    assert net.get_params_for("iterator_valid") == {"batch_size": 9}


def test_it_is_trained_on_all_rows_for_as_long_as_was_best(numbers):
    net = quick().fit(*numbers)
    found = net.validation_history_
    best = [row["epoch"] for row in found if row["valid_loss_best"]][-1]
    assert len(net.history) == best
    sizes = [sum(_sizes(history)) for history in (found, net.history)]
    assert sizes == [48, 60]
    assert "split_" not in vars(net)


def _sizes(history):
    return [batch.get("train_batch_size", 0) for batch in history[-1]["batches"]]


@pytest.mark.parametrize(
    "params", [{"refit": False}, {"callbacks": None}, {"train_split": None}]
)
def test_it_is_trained_once_where_the_parameters_say_so(numbers, params):
    if params == {"train_split": None}:
        params |= {"callbacks": None}
    net = quick(**params).fit(*numbers)
    assert net.validation_history_ is net.history
    assert len(net.history) == 4


def test_it_is_trained_once_where_rows_from_outside_are_validated_on(numbers):
    X, y = numbers
    split = predefined_split(Dataset(X.astype(np.float32), y))
    net = quick(train_split=split).fit(X, y)
    assert net.validation_history_ is net.history
    assert net.module_.temperature != 1
    other = quick(train_split=ValidSplit(3)).fit(X, y)
    assert other.validation_history_ is not other.history


class Interrupts(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_an_interrupted_training_is_not_followed_by_another(numbers):
    stop = EarlyStopping(load_best=True)
    net = quick(callbacks=[stop, Interrupts()]).fit(*numbers)
    assert net.validation_history_ is net.history
    assert len(net.history) == 2


def test_both_trainings_start_alike_from_a_module_that_is_given(numbers):
    X, y = numbers
    torch.manual_seed(0)
    module = TabularNet(3, 2, k=2, d_block=8)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    params = quick(max_epochs=2, lr=0.0, optimizer__weight_decay=0).get_params(
        deep=False
    )
    params = {k: v for k, v in params.items() if not k.startswith("module")}
    net = type(quick())(module, **params).fit(X, y)
    assert net.module_ is not module
    for name, parameter in net.module_.named_parameters():
        assert torch.equal(parameter, start[name]), name


@pytest.mark.parametrize("alpha", [None, 0, 0.2])
def test_scores_of_training_rows_are_of_predictions(numbers, alpha):
    X, y = numbers
    score = EpochScoring("accuracy", on_train=True, name="train_acc")
    callbacks = [("train_acc", score)]
    net = quick(refit=False, callbacks=callbacks, train_split=None, lr=0.05)
    if alpha is not None:
        clf = MixupClassifier(net, alpha=alpha, random_state=0).fit(X, y)
        net, X = clf.estimator_, encoded(clf, X)
    else:
        X = X.astype(np.float32)
        net.fit(X, y)
    assert net.history[-1, "train_acc"] == net.score(X, y)
    assert dict(net.callbacks_)["train_acc"].use_caching
    before = net.history[-1, "train_acc"]
    net.partial_fit(X, y)
    assert len(net.history[:, "train_acc"]) == 8
    assert net.history[3, "train_acc"] == before


def test_what_is_explored_is_trained_again_as_by_fit(numbers):
    whole = fitted_by_skorch("classifier", *numbers, **QUICK)
    net = quick()
    for method in (net.explore, net.train_again):
        torch.manual_seed(0)
        method(*numbers)
    assert len(net.history) == len(whole.history)
    theirs = whole.module_.state_dict()
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert "found_" not in vars(net)


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_losses_of_rows_held_out_are_found(task, numbers):
    X, y = numbers
    torch.manual_seed(0)
    net = quick(task, refit=False).explore(X, y)
    found = net.found_
    assert found.n_epochs is None
    assert len(found.losses) == 12
    net.train_again(X, y)
    torch.manual_seed(0)
    other = quick(task, refit=False)
    held_out = None

    def split(dataset, y):
        nonlocal held_out
        parts = hold_out(dataset, y)
        held_out = parts[1].indices
        return parts

    other.set_params(train_split=split).fit(X, y)
    X, y = X[held_out], y[held_out]
    if task == "classifier":
        losses = -np.log(other.predict_proba(X)[np.arange(12), y])
    else:
        losses = (other.predict(X).ravel() - y) ** 2
    assert_allclose(found.losses, losses, rtol=1e-4)


def test_without_rows_held_out_there_are_no_losses(numbers):
    net = quick(train_split=None, callbacks=None).explore(*numbers)
    assert net.found_.losses is None


class Lazy(torch.utils.data.Dataset):
    """A dataset of which no table can be taken."""

    def __init__(self, X, y):
        self.rows = list(zip(X.astype(np.float32), y, strict=True))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def test_rows_of_a_lazy_dataset_are_validated_on_all_the_same(numbers):
    net = quick(train_split=predefined_split(Lazy(*numbers)))
    assert net.explore(*numbers).found_.losses is None
    assert "valid_loss" in net.history[-1]


def test_nothing_is_trained_again_that_was_not_explored(numbers):
    net = quick()
    with pytest.raises(NotFittedError):
        net.train_again(*numbers)
    net.explore(*numbers).partial_fit(*numbers)
    with pytest.raises(NotFittedError):
        net.train_again(*numbers)


def test_a_fit_moves_the_generators_on(numbers):
    X, y = numbers
    nets = [quick().fit(X, y), quick(refit=False).fit(X, y)]
    nets += [quick().fit(X, y)]
    first, _, third = (net.module_.members[-1].weight for net in nets)
    assert not torch.equal(first, third)


def test_the_temperature_is_of_the_rows_held_out(numbers):
    X, y = numbers
    assert quick(calibrate=False).fit(X, y).module_.temperature == 1
    net = quick(refit=False, module__dropout=0.0)
    clf = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    weighted = clone(clf).fit(X, y, sample_weight=1.0 + y)
    found = [float(fit.estimator_.module_.temperature) for fit in (clf, weighted)]
    assert found[0] != 1
    assert found[0] != found[1]


def test_partial_fit_is_on_all_rows_and_does_not_stop(numbers):
    X, y = numbers
    stop = EarlyStopping(patience=1, threshold=10.0)  # stops at once
    net = quick(callbacks=[stop]).partial_fit(X, y)
    assert len(net.history) == 4
    assert sum(_sizes(net.history)) == 60
    assert net.partial_fit(X, y).history[-1]["epoch"] == 8
    assert net.callbacks == [stop]
    assert net.train_split is hold_out


def test_arrays_of_any_float_and_integer_dtype(numbers):
    X, y = numbers
    fits = [
        fitted_by_skorch("classifier", X.astype(kind), y, **QUICK).predict_proba(X)
        for kind in (np.float32, np.float64)
    ]
    assert_array_equal(*fits)
    target = np.arange(60)  # integers, each of them once
    net = quick("regressor").fit(X, target)
    assert sum(_sizes(net.validation_history_)) == 48
    with pytest.raises(ValueError, match="Input X contains NaN"):
        quick().fit(np.where(X > 2, np.nan, X), y)


# In the estimators.


def test_the_default_nets_keep_the_fast_ways():
    class Own(type(default_net("classifier"))):
        def get_loss(self, *args, **kwargs):
            return super().get_loss(*args, **kwargs)

    for task in ("classifier", "regressor"):
        assert is_skorchs_own(default_net(task), *METHODS, "fit")
    assert not is_skorchs_own(Own(TabularNet), *METHODS)
    assert is_skorchs_own(Own(TabularNet), "fit")


def test_the_default_classifier_takes_the_loss_of_one_pass(numbers, monkeypatch):
    passes = []
    nll = loss._nll

    def counted(*args):
        passes.append(len(args[-1]))
        return nll(*args)

    monkeypatch.setattr(loss, "_nll", counted)
    clf = MixupClassifier(quick(), random_state=0).fit(*numbers)
    steps = [row["train_batch_count"] for row in [*clf.history_, *_history(clf)]]
    assert len(passes) == sum(steps)


def _history(estimator):
    return estimator.estimator_.history


def test_rows_given_to_validate_on_make_it_one_training(numbers):
    X, y = numbers
    clf = MixupClassifier(quick(), random_state=0).fit(X, y, X_val=X, y_val=y)
    assert clf.history_ is clf.estimator_.history
    assert clf.estimator_.refit is False
    assert clf.estimator.refit is True
    assert clf.estimator_.module_.temperature != 1


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_members_by_one_pass_and_by_two(lam_per, weighted, reduction):
    class TwoPasses(torch.nn.CrossEntropyLoss):
        pass

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    y, weight = (X[:, 0] > 0).astype(int), 1.0 + np.arange(60) % 3
    small = {"max_epochs": 2, "batch_size": 20, "criterion__reduction": reduction}
    small["criterion__label_smoothing"] = 0.1
    fitted = [
        MixupClassifier(
            quick(criterion=criterion, **small), lam_per=lam_per, random_state=0
        ).fit(X, y, sample_weight=weight if weighted else None)
        for criterion in (TwoPasses, torch.nn.CrossEntropyLoss)
    ]
    if reduction == "mean":  # torch sums over members, too
        assert_allclose(*(clf.predict_proba(X) for clf in fitted), rtol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 16])
@pytest.mark.parametrize("criterion", [torch.nn.L1Loss, torch.nn.MSELoss])
def test_members_by_any_criterion_of_numbers(criterion, k):
    X = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)
    net = default_net("regressor").set_params(
        criterion=criterion, module__k=k, batch_size=16, module__d_block=32
    )
    net.set_params(max_epochs=40)
    reg = MixupRegressor(net, random_state=0).fit(X, 3 * X[:, 0])
    assert reg.score(X, 3 * X[:, 0]) > 0.9


def test_callbacks_that_watch_the_rows_held_out_keep_it_to_one_training(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    stop = ("early_stopping", EarlyStopping(patience=3, load_best=True))
    for other in (
        Checkpoint(dirname=tmp_path, load_best=True),
        LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
    ):
        net = default_net("classifier").set_params(
            callbacks=[stop, ("other", other)], max_epochs=3, module__d_block=4
        )
        clf = MixupClassifier(net, random_state=0).fit(X, y)
        assert clf.history_ is clf.estimator_.history
        assert clf.estimator_.train_split is hold_out


def test_train_once_is_seen_in_the_parameters():
    others = [("stop", EarlyStopping()), EarlyStopping(), Freezer("x")]
    net = train_once(quick(callbacks=others), stopping=False)
    assert (net.refit, net.calibrate, net.train_split) == (False, False, None)
    assert [type(callback) for callback in net.callbacks] == [Freezer]
    net = train_once(quick(callbacks=others))
    assert (net.refit, net.calibrate, net.train_split) == (False, False, hold_out)
    assert net.callbacks is others
    train_once(quick(callbacks="disable"), stopping=False)
    own = train_once(NeuralNetRegressor(TabularNet), stopping=False)
    assert own.train_split is not None


@pytest.mark.parametrize(
    "item",
    [
        EarlyStopping,
        EarlyStopping(),
        ("es", EarlyStopping),
        ("es", EarlyStopping()),
        ["es", EarlyStopping()],
    ],
)
def test_early_stopping_is_known_however_it_is_given(item):
    net = default_net("classifier").set_params(callbacks=[item])
    assert patience_of(net) == 5
    assert trains_twice(net)
    train_once(net, stopping=False)
    assert net.callbacks == []
    assert patience_of(net) is None


# What the recipe is made of.


def split(y):
    y = np.asarray(y)
    train, valid = hold_out(Dataset(np.zeros((len(y), 1)), y), y)
    return [getattr(part, "indices", None) for part in (train, valid)]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=120))
def test_hold_out_leaves_every_class_in_training(labels):
    y = np.array(labels)
    train, valid = split(y)
    if train is None:
        assert valid is None
        return
    assert_array_equal(np.sort(np.r_[train, valid]), np.arange(len(y)))
    assert set(y[train]) == set(y)
    for label, count in zip(*np.unique(y, return_counts=True), strict=True):
        assert (y[valid] == label).sum() == (count + 2) // 5


def test_hold_out_spreads_over_the_values_of_numbers():
    y = np.random.default_rng(0).normal(size=100)
    _, valid = split(y)
    assert_array_equal(np.sort(np.argsort(np.argsort(y))[valid]), np.arange(2, 100, 5))


def test_hold_out_is_drawn_from_torchs_generator():
    y = np.arange(60) % 3
    torch.manual_seed(0)
    first, second = split(y)[1], split(y)[1]
    torch.manual_seed(0)
    assert_array_equal(split(y)[1], first)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_default_net_is_fresh_each_time(task):
    assert default_net(task) is not default_net(task)
    assert default_net(task).initialized_ is False


def test_unknown_task():
    with pytest.raises(
        ValueError, match="task='cluster', but expected 'classifier' or"
    ):
        default_net("cluster")


@pytest.mark.parametrize(
    ("task", "optimizer"), [("classifier", Muon), ("regressor", torch.optim.AdamW)]
)
def test_the_default_optimizer_is_fused(task, optimizer):
    net = default_net(task).set_params(module__d_in=3, module__d_out=2).initialize()
    assert type(net.optimizer_) is optimizer
    assert net.optimizer_.defaults["fused"]
    assert net.optimizer_.defaults["weight_decay"] == 1e-2


def test_hidden_matrices_are_known_in_a_compiled_module():
    names = ["_orig_mod.members.1.weight", "members.4.weight"]
    others = ["averaged.1.1.weight", "members.output.weight", "members.1.bias"]
    assert [fnmatch(name, HIDDEN) for name in names + others] == [True] * 2 + [
        False
    ] * 3


@pytest.mark.parametrize("optimizer", [torch.optim.RMSprop, torch.optim.SGD])
def test_another_optimizer_takes_its_place(numbers, optimizer):
    net = quick(optimizer=optimizer).fit(*numbers)
    assert type(net.optimizer_) is optimizer


def test_one_rate_is_that_of_all_parameters(numbers):
    net = quick(lr=0.123).fit(*numbers)
    assert [group["lr"] for group in net.optimizer_.param_groups] == [0.123] * 2
    assert all(len(group["params"]) > 1 for group in net.optimizer_.param_groups)


def test_nets_of_the_default_kind():
    class Deeper(TabularNet):
        pass

    for module in (TabularNet, Deeper, TabularNet(3, 1)):
        assert wants_scaled(NeuralNetRegressor(module))
    for module in (torch.nn.Linear, torch.nn.Linear(3, 1), lambda: TabularNet(3, 1)):
        assert not wants_scaled(NeuralNetRegressor(module))


@pytest.mark.parametrize("labels", [list("ab") * 20, [0.0, 1.0] * 20, [None, 1] * 20])
def test_labels_that_are_no_class_indices_are_refused_with_the_way_out(labels):
    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(ValueError, match="expected class indices 0, 1, 2"):
        default_net("classifier").fit(X, np.array(labels))


@pytest.mark.parametrize(
    "table",
    [
        *(pd.DataFrame, np.ndarray.tolist, torch.tensor),
        *(lambda X: X.astype(object), lambda X: X[:, :0], lambda X: X[:, 0]),
    ],
)
@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_tables_that_are_no_array_are_refused_with_the_way_out(task, table):
    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(ValueError, match=r"Got X as .*TableEncoder"):
        default_net(task).fit(table(X), np.arange(40) % 2)


# An alpha that rows held out choose.


def checkerboard(n=600):
    """Labels without noise, of which mixed rows tell wrong things."""
    X = np.random.default_rng(0).uniform(0, 3, (n, 2))
    return X, np.floor(X).sum(axis=1).astype(int) % 2


def noise(n=220):
    """Labels of which nothing can be learnt."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)), rng.integers(0, 2, n)


@pytest.mark.parametrize(
    ("data", "alpha"),
    [
        pytest.param(checkerboard(1_500), 0, marks=pytest.mark.slow, id="board"),
        pytest.param(noise(), 0.2, id="noise"),
    ],
)
@pytest.mark.parametrize("validated", ["held out", "given"])
def test_auto_mixes_unless_it_clearly_hurts(data, alpha, validated):
    X, y = data
    net = default_net("classifier").set_params(max_epochs=30, module__k=2)
    options = {}
    if validated == "given":
        options, X, y = {"X_val": X[::4], "y_val": y[::4]}, X[1::2], y[1::2]
    auto = MixupClassifier(net, random_state=0).fit(X, y, **options)
    assert auto.alpha == "auto"
    assert auto.alpha_ == alpha
    told = MixupClassifier(net, alpha=alpha, random_state=0).fit(X, y, **options)
    assert told.alpha_ == alpha
    assert_same(told.estimator_, auto)
    assert auto.history_.to_list()[-1].keys() == told.history_.to_list()[-1].keys()
    for name in ("train_loss", "valid_loss", "lam_mean"):
        assert auto.history_[:, name] == told.history_[:, name]
    assert auto.n_iter_ == told.n_iter_


BOTH = [("classifier", MixupClassifier, 0.2), ("regressor", MixupRegressor, 0)]


@pytest.mark.parametrize(("task", "one", "alpha"), BOTH)
def test_where_no_row_is_held_out_classifiers_mix_and_regressors_do_not(
    numbers, task, one, alpha
):
    X, y = numbers
    net = quick(task, train_split=None, callbacks=None)
    auto = one(net, random_state=0).fit(X, y)
    assert auto.alpha_ == alpha
    assert_same(one(net, alpha=alpha, random_state=0).fit(X, y).estimator_, auto)
    classes = {"classes": [0, 1]} if task == "classifier" else {}
    assert one(quick(task)).partial_fit(X, y, **classes).alpha_ == alpha


@pytest.mark.parametrize("n_errors", [0.5, 1.5, 2.5])
@pytest.mark.parametrize(("task", "one", "first"), BOTH)
def test_one_standard_error_ends_mixing_and_two_begin_it(
    monkeypatch, task, one, first, n_errors
):
    """The first of both trainings gets losses that are higher by so many errors."""
    difference = np.random.default_rng(0).normal(size=400)
    difference = (difference - difference.mean()) / difference.std(ddof=1)
    losses = [5 + difference + n_errors / 20, np.full(400, 5.0)]
    explore = TabularNeuralNet.explore

    def explored(net, *args, **kwargs):
        explore(net, *args, **kwargs)
        net.found_ = net.found_._replace(losses=losses.pop(0), weight=None)
        return net

    monkeypatch.setattr(TabularNeuralNet, "explore", explored)
    auto = one(quick(task), random_state=0).fit(*noise(20))
    assert auto.explored_alphas_ == (0, 0.2)  # however few rows are held out
    other = n_errors > (1 if task == "classifier" else 2)
    assert auto.alpha_ == (0.2 - first if other else first)


@pytest.mark.parametrize(
    ("task", "one", "n_classes"),
    [("classifier", MixupClassifier, 3), ("regressor", MixupRegressor, 1)],
)
def test_auto_does_not_mix_many_rows_nor_try_it(task, one, n_classes):
    n = MANY_ROWS * n_classes + 1
    X = np.random.default_rng(0).normal(size=(n, 2))
    y = np.arange(n) % 3
    net = quick(task, max_epochs=1, batch_size=512)
    many = one(net, random_state=0).fit(X, y)
    assert (many.alpha_, many.explored_alphas_) == (0, ())
    assert_same(one(net, alpha=0, random_state=0).fit(X, y).estimator_, many)
    few = one(net, random_state=0).fit(X, y, sample_weight=np.arange(n) > 0)
    assert few.explored_alphas_ == (0, 0.2)  # a row of no weight does not count
    net = quick(task, max_epochs=1, train_split=None, callbacks=None)
    assert one(net).fit(X, y).alpha_ == 0


@pytest.mark.parametrize("validated", [True, False])
def test_files_of_callbacks_are_those_of_the_net_that_is_kept(tmp_path, validated):
    X, y = noise()
    keeper = Checkpoint(dirname=tmp_path, monitor="valid_loss_best")
    net = quick(callbacks=[keeper])
    options = {"X_val": X, "y_val": y} if validated else {}
    clf = MixupClassifier(net, random_state=0).fit(X, y, **options)
    assert clf.alpha_ == 0.2
    kept = torch.load(tmp_path / "params.pt")
    told = MixupClassifier(net, alpha=0.2, random_state=0).fit(X, y, **options)
    again = torch.load(tmp_path / "params.pt")
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert_same(told.estimator_, clf)


class OwnFit(TabularNetClassifier):
    calls = 0

    def fit(self, X, y, **fit_params):
        type(self).calls += 1
        return super().fit(X, y, **fit_params)


def test_a_net_with_a_fit_of_its_own_is_trained_by_it(numbers):
    params = quick().get_params(deep=False)
    params = {k: v for k, v in params.items() if k != "module"}
    clf = MixupClassifier(OwnFit(TabularNet, **params), random_state=0).fit(*numbers)
    assert OwnFit.calls == 1
    assert clf.alpha_ == 0.2


class DivergesWhere(Callback):
    """A loss that is no number if rows are mixed, or if they are not, or always."""

    def __init__(self, mixed):
        self.mixed = mixed

    def on_epoch_end(self, net, **kwargs):
        if (net.history[-1, "lam_mean"] < 1) in self.mixed:
            net.history.record("train_loss", np.nan)
            raise Diverged("diverged on purpose")


@pytest.mark.parametrize(("task", "one", "alpha"), BOTH)
def test_a_training_that_diverges_leaves_the_other_one(task, one, alpha):
    X, y = noise()
    for mixed, left in (({True}, 0), ({False}, 0.2)):
        net = quick(task)
        net.callbacks = [*net.callbacks, ("diverges", DivergesWhere(mixed))]
        fitted = one(net, random_state=0).fit(X, y)
        assert (fitted.alpha_, fitted.explored_alphas_) == (left, (left,))
    net.set_params(callbacks__diverges__mixed={True, False})
    with pytest.raises(Diverged, match="on purpose"):
        one(net, random_state=0).fit(X, y)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(checkerboard(), marks=pytest.mark.slow, id="board"),
        pytest.param(noise(), id="noise"),
    ],
)
@pytest.mark.parametrize("alpha", [0, 0.2])
def test_a_fit_at_another_alpha_that_auto_tried_needs_no_exploration(data, alpha):
    X, y = data
    weight = np.arange(len(y)) % 3
    model = MixupClassifier(quick(max_epochs=30), random_state=0)
    auto = model.fit(X, y, weight)
    before = auto.alpha_, auto.predict_proba(X)
    assert auto.explored_alphas_ == (0, 0.2)
    again = auto.refit_at(alpha, X, y, weight)
    told = clone(model).set_params(alpha=alpha).fit(X, y, weight)
    assert_array_equal(again.predict_proba(X), told.predict_proba(X))
    assert repr(again) == repr(told)
    assert (again.alpha_, again.n_iter_) == (alpha, told.n_iter_)
    assert again.history_[:, "valid_loss"] == told.history_[:, "valid_loss"]
    assert again.explored_alphas_ == ()
    assert_same(again.repeat_training(X, y, weight).net, again)
    again.set_params(estimator__max_epochs=7)  # which is its own
    again.partial_fit(X, y)
    assert auto.estimator.max_epochs == 30
    assert auto.alpha_ == before[0]
    assert_array_equal(auto.predict_proba(X), before[1])


def test_an_alpha_that_was_not_tried_is_not_refitted():
    X, y = noise()
    clf = MixupClassifier(quick(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"alpha=0.5, but .* one of \(0.0, 0.2\)"):
        clf.refit_at(0.5, X, y)
    once = clone(clf).set_params(estimator__refit=False).fit(X, y)
    told = clone(clf).set_params(alpha=0.2).fit(X, y)
    for other in (once, told):
        assert other.explored_alphas_ == ()
        with pytest.raises(ValueError, match=r"tried no alpha .* fit of a clone"):
            other.refit_at(0.2, X, y)
    with pytest.raises(ValueError, match="cannot be replayed"):
        clf.set_params(lam_per="row").refit_at(0, X, y)


@pytest.mark.parametrize("alpha", [0, 0.2])
def test_a_fit_at_another_alpha_takes_the_rows_of_fit_and_no_others(alpha):
    X, y = noise()
    weight = 1.0 + np.arange(len(y)) % 3
    clf = MixupClassifier(quick(), random_state=0).fit(X, y, weight)
    proba = clf.predict_proba(X)
    missing = np.where(np.arange(len(y))[:, None] % 9, X, np.nan)
    others = [(X, y), (X, 1 - y, weight), (X[:50], y[:50], weight[:50])]
    others += [(missing, y, weight), (X, np.arange(len(y)) % 3, weight)]
    for other in others:
        with pytest.raises(ValueError, match="not those of fit"):
            clf.refit_at(alpha, *other)
    assert_array_equal(clf.predict_proba(X), proba)
    names = np.array(["no", "yes"])[y]  # another coding of the same table is fine
    again = clf.refit_at(alpha, X, names, weight)
    assert_array_equal(again.classes_, ["no", "yes"])


def test_a_net_that_was_trained_further_is_not_refitted():
    X, y = noise()
    clf = MixupClassifier(quick(), random_state=0).fit(X, y).partial_fit(X, y)
    with pytest.raises(ValueError, match="partial_fit"):
        clf.refit_at(0, X, y)


@pytest.mark.slow
def test_auto_goes_on_as_it_began():
    X, y = checkerboard(1_500)
    net = default_net("classifier").set_params(max_epochs=30, module__k=2)
    fits = [MixupClassifier(net, alpha=a, random_state=0) for a in ("auto", 0)]
    for fit in fits:
        fit.fit(X, y).partial_fit(X, y)
    assert fits[0].alpha_ == 0
    assert_same(fits[1].estimator_, fits[0])
    first = MixupClassifier(net, random_state=0).partial_fit(X, y, classes=[0, 1])
    assert first.alpha_ == 0.2


def test_a_function_of_the_epoch_is_told_as_it_is(numbers):
    alpha = Schedule(0.3, warm_up=2)
    clf = MixupClassifier(quick(), alpha=alpha, random_state=0).fit(*numbers)
    assert clf.alpha_ is clf.alpha
