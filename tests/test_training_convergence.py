"""A training that led nowhere is said in `fit`: losses that are no numbers, or grow."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sample_nets import Layers, Linear, logits_net, number_net
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix._training.convergence import Diverged, ends_above_start


class Perceptron(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(d_in, 16), nn.ReLU(), nn.Linear(16, d_out)
        )

    def forward(self, X):
        return self.layers(X)


def own(task, **params):
    params = {
        "module": Perceptron,
        "train_split": None,
        "max_epochs": 3,
        "verbose": 0,
    } | params
    if task == "classifier":
        criterion = nn.CrossEntropyLoss
        return NeuralNetClassifier(criterion=criterion, **params)
    return NeuralNetRegressor(**params)


def mixup(task, net, **params):
    kind = MixupClassifier if task == "classifier" else MixupRegressor
    return kind(net, random_state=0, **params)


@pytest.mark.parametrize("alpha", [0, 1])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_a_learning_rate_far_too_large_is_told(task, optimizer, alpha):
    X, y = load_wine(return_X_y=True)  # unscaled
    estimator = mixup(task, own(task, lr=1e6, optimizer=optimizer), alpha=alpha)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(X, y)
        except Diverged as error:
            told = [str(error)]
        else:
            told = [
                str(warning.message)
                for warning in caught
                if issubclass(warning.category, ConvergenceWarning)
            ]
    assert len(told) == 1
    assert "lower `lr`, scale the columns" in told[0]


def test_a_loss_that_is_no_number_ends_the_training_at_once(wine):
    X, y = wine
    clf = mixup("classifier", own("classifier")).fit(X, y)
    before, attributes = clf.predict_proba(X), vars(clf).copy()
    epochs = []

    class Counts(Callback):
        def on_epoch_begin(self, net, **kwargs):
            epochs.append(net)

    clf.estimator = own("classifier", lr=float("inf"), callbacks=[Counts()])
    clf.estimator.set_params(max_epochs=50)
    with pytest.raises(
        ValueError, match=r"a training loss of nan in epoch 1.*diverged"
    ):
        clf.fit(X, y)
    assert len(epochs) == 1
    assert all(
        vars(clf)[name] is value
        for name, value in attributes.items()
        if name != "estimator"
    )
    assert_array_equal(clf.predict_proba(X), before)
    with pytest.raises(Diverged):
        clf.partial_fit(X, y)
    assert_array_equal(clf.predict_proba(X), before)


class OwnEpoch(NeuralNetClassifier):
    """Goes skorch's own way through an epoch."""

    def run_single_epoch(self, *args, **kwargs):
        return super().run_single_epoch(*args, **kwargs)


def test_skorchs_own_epoch_is_watched_too(wine):
    net = OwnEpoch(Perceptron, criterion=nn.CrossEntropyLoss, train_split=None)
    net.set_params(lr=float("inf"), verbose=0)
    with pytest.raises(Diverged, match="epoch 1"):
        MixupClassifier(net).fit(*wine)


class NanInEvaluation(Layers):
    def forward(self, X):
        return super().forward(X) * (1 if self.training else torch.nan)


def test_a_validation_loss_that_is_no_number_is_refused(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(module=NanInEvaluation, max_epochs=2))
    with pytest.raises(Diverged, match="a validation loss of nan in epoch 1"):
        clf.fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_divergence_in_the_very_last_update_is_found_in_the_parameters(wine, task):
    X, y = wine
    net = own(task, lr=float("inf"), max_epochs=1, batch_size=-1)
    with pytest.raises(Diverged, match="no finite numbers in the parameter layers"):
        mixup(task, net).fit(X, y)


def test_weights_that_are_not_trained_may_be_infinite(wine):
    class Masked(Layers):
        def __init__(self, d_in, d_out):
            super().__init__(d_in, d_out)
            mask = torch.tensor([0.0, -torch.inf])
            self.mask = nn.Parameter(mask, requires_grad=False)

        def forward(self, X):
            return super().forward(X) + self.mask.clamp(min=-1)

    net = logits_net(module=Masked, max_epochs=1)
    clf = MixupClassifier(net).fit(wine[0], wine[1] > 0)
    assert np.isfinite(clf.predict_proba(wine[0])).all()


def test_clipped_gradients_are_a_way_out(wine):
    X, y = wine
    net = own("regressor", lr=1.0, max_epochs=30, batch_size=-1)
    with pytest.raises(Diverged, match="GradientNormClipping"):
        mixup("regressor", net).fit(100 * X, y)
    net.set_params(callbacks=[GradientNormClipping(1e-3)])
    mixup("regressor", net).fit(100 * X, y)


def test_diverged_is_a_value_error_that_pickles():
    error = pickle.loads(pickle.dumps(Diverged("why")))
    assert isinstance(error, ValueError)
    assert str(error) == "why"


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_the_default_net_may_be_given_too_much(wine, task):
    X, y = wine
    net = default_net(task).set_params(lr=1e6, max_epochs=3)
    with pytest.raises(Diverged, match="lower `lr`"):
        mixup(task, net).fit(X, y)


# The rule.

GROWING = [
    ([1, 1.1, 0.9, 1], [3, 3.1, 2.9, 3], "by epoch"),
    ([1, 200, 190, 210], [180, 170, 190, 200], "exploded in the first epoch"),
    ([1, 400], [300, 300], "exploded, two batches"),
    ([-5, -5.1, -4.9], [-2, -2.1, -1.9], "negative"),
    ([58, 9e6, 3e5, 8e3], [226, 317, 280, 250, 260], "exploded, and came back halfway"),
    ([58, 4e6, 9e5, 9e3], [50, 90, 230, 290, 310, 250, 260, 270], "swings to and fro"),
]
WITHIN_AN_EPOCH = [
    ([58, 226, 317, 280, 250, 260], "above the start"),
    ([58, 50, 90, 230, 290, 310, 250, 260, 270], "swings to and fro"),
]
FINE = [
    ([1, 1.1, 0.9, 1], [0.5, 0.6, 0.4, 0.5], "falls"),
    ([1, 1.1, 0.9, 1], [1, 1.05, 1.1, 0.95], "stays"),
    ([1, 90, 0.1, 3], [3, 0.2, 95, 1.1], "heavy tails"),
    ([1], [1], "one batch that stays"),
    ([1, 90, 4, 0.3, 8, 7], [4, 8, 0.3, 90, 7, 1], "heavy tails, a low first batch"),
    ([0.0, 0.0], [0.0, 0.0], "nothing to learn"),
    ([0.0], [0.0], "nothing to learn, one batch"),
]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("first", "last", "what"), GROWING)
def test_a_loss_that_grows_is_found(first, last, what, mixed):
    assert ends_above_start(first, last, mixed=mixed)


@pytest.mark.parametrize(("losses", "what"), WITHIN_AN_EPOCH)
def test_a_loss_that_grows_within_the_only_epoch_is_found(losses, what):
    assert ends_above_start(losses, losses, mixed=True, comparable=False)
    assert not ends_above_start(losses[::-1], losses[::-1], mixed=True)


@pytest.mark.parametrize("n_epochs", [1, 10])
@pytest.mark.parametrize(
    ("task", "optimizer", "lr"),
    [("classifier", torch.optim.SGD, 1e3), ("regressor", torch.optim.Adam, 10.0)],
)
def test_a_linear_net_far_from_its_start_is_told(task, optimizer, lr, n_epochs):
    rng = np.random.default_rng(0)
    X = rng.normal([50, 1000, 0], [20, 300, 1], size=(150, 3))
    y = X[:, 2] > 0 if task == "classifier" else X[:, 0] + X[:, 1]
    net = own(task, module=Linear, lr=lr, optimizer=optimizer, batch_size=16)
    net.set_params(max_epochs=n_epochs if task == "classifier" else 1)
    with pytest.warns(ConvergenceWarning, match="may have diverged") as caught:
        mixup(task, net).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_single_batch_that_is_mixed_differs_each_time():
    assert ends_above_start([1], [2], mixed=False)
    assert not ends_above_start([1], [2], mixed=True)
    assert ends_above_start([1], [2000], mixed=True)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("first", "last", "what"), FINE)
def test_a_loss_that_does_not_grow_is_fine(first, last, what, mixed):
    assert not ends_above_start(first, last, mixed=mixed)


def test_epochs_that_cannot_be_compared_tell_of_explosions_only():
    assert not ends_above_start([1, 1.1, 1], [3, 3.1, 3], mixed=True, comparable=False)
    assert ends_above_start([1, 99, 99], [99, 99, 99], mixed=True, comparable=False)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_to_learn_is_no_divergence(seed):
    # (A warning is an error in tests.)
    rng = np.random.default_rng(seed)
    n = int(rng.choice([20, 60, 150]))
    X = rng.normal(size=(n, 5))
    settings = {"optimizer": torch.optim.Adam, "lr": 1e-3, "max_epochs": 5}
    settings["batch_size"] = int(rng.choice([8, 32, -1]))
    alpha = float(rng.choice([0, 0.2, 1]))
    labels = np.arange(n) % 2
    clf = mixup("classifier", own("classifier", **settings), alpha=alpha)
    assert clf.fit(X, labels).n_iter_ == 5
    heavy = rng.standard_cauchy(size=n)
    reg = mixup("regressor", own("regressor", **settings), alpha=alpha)
    assert reg.fit(X, heavy).n_iter_ == 5


def test_partial_fit_does_not_warn_of_losses_that_grow(wine):
    X, y = wine
    clf = mixup("classifier", logits_net(module=Linear, lr=1e3))
    with pytest.warns(ConvergenceWarning):
        clf.fit(X, y)
    clf.partial_fit(X, y)
    net = number_net(module=Linear, lr=1e2)
    reg = mixup("regressor", net)
    for _ in range(3):
        reg.partial_fit(X, y)
