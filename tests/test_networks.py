"""The default net: members, embeddings, averaged weights, hold-out and epochs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from skorch import NeuralNetRegressor
from skorch.callbacks import Checkpoint, EarlyStopping, Freezer, LRScheduler
from skorch.dataset import Dataset, ValidSplit

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix._default_net import (
    MembersCrossEntropyLoss,
    MembersMSELoss,
    calibrate,
    epochs_found,
    hold_out,
    holds_out,
    set_batch_size,
    stop_stopping,
    trains_twice,
    wants_scaled,
)
from skmix._training.skorch_compat import patience_of
from skmix.networks import NumberEmbedding, TabularNet


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


def test_batch_size_grows_with_the_table():
    sizes = []
    for n_rows in (1, 100, 10**4, 10**7):
        net = default_net("classifier")
        set_batch_size(net, n_rows)
        sizes.append(net.batch_size)
    assert sizes == [16, 16, 256, 256]
    given = default_net("classifier").set_params(batch_size=7)
    set_batch_size(given, 10**7)
    assert given.batch_size == 7


def test_nets_of_the_default_kind():
    class Deeper(TabularNet):
        pass

    for module in (TabularNet, Deeper, TabularNet(3, 1)):
        assert wants_scaled(NeuralNetRegressor(module))
    for module in (torch.nn.Linear, torch.nn.Linear(3, 1), lambda: TabularNet(3, 1)):
        assert not wants_scaled(NeuralNetRegressor(module))


def test_stopping_is_taken_from_the_default_net_alone():
    net = default_net("classifier").set_params(
        callbacks=[("stop", EarlyStopping()), EarlyStopping(), Freezer("x")]
    )
    stop_stopping(net)
    assert net.train_split is None
    assert [type(callback) for callback in net.callbacks] == [Freezer]
    stop_stopping(default_net("classifier").set_params(callbacks="disable"))
    own = default_net("classifier").set_params(train_split=ValidSplit(0.2))
    stop_stopping(own)
    assert own.train_split is not None


def test_unknown_task():
    with pytest.raises(
        ValueError, match="task='cluster', but expected 'classifier' or"
    ):
        default_net("cluster")


BINS = [[-1.0, 0.0, 1.0], [-2.0, -1.0, 0.5, 2.0]]


@pytest.mark.parametrize("d_out", [1, 3])
def test_shapes(d_out):
    net = TabularNet(4, d_out, BINS, k=5, n_blocks=3, d_block=7)
    X = torch.randn(6, 4)
    assert net(X).shape == (6, d_out, 5)
    assert net.eval()(X).shape == (6, d_out)


def test_members_are_independent():
    net = TabularNet(4, 3, BINS, k=2, dropout=0.0)
    X = torch.randn(6, 4)
    loss = torch.nn.functional.cross_entropy(net(X)[:, :, 0], torch.arange(6) % 3)
    loss.backward()
    for name, parameter in net.members.named_parameters():
        assert parameter.grad[0].abs().sum() > 0, name
        assert parameter.grad[1].abs().sum() == 0, name


def test_evaluation_is_the_mean_of_probabilities_or_numbers():
    X = torch.randn(6, 4)
    for d_out in (3, 1):
        net = TabularNet(4, d_out, BINS, dropout=0.0, average_decay=0.0)
        members = net(X)
        out = net.eval()(X)
        if d_out == 1:
            torch.testing.assert_close(out, members.mean(dim=2))
        else:
            mean = members.softmax(dim=1).mean(dim=2)
            torch.testing.assert_close(out.softmax(dim=1), mean)
            torch.testing.assert_close(out.exp(), mean)


def test_averaged_weights_follow_those_in_training():
    net = TabularNet(3, 1, k=2, n_blocks=1, d_block=2, average_decay=0.75)
    weight, averaged = net.members[-1].bias, net.averaged[-1][-1].bias
    assert not any(p.requires_grad for p in net.averaged.parameters())
    seen = []
    for step in range(8):
        with torch.no_grad():
            weight.fill_(step)
        net(torch.zeros(2, 3))
        seen.append(averaged[0, 0].item())
    # A plain mean at first, then a share of 1 / 4 for the newest.
    expected = [0, 0.5, 1, 1.5]
    for step in range(4, 8):
        expected.append(0.75 * expected[-1] + 0.25 * step)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    before = averaged.clone()
    net.eval()(torch.zeros(2, 3))
    assert torch.equal(averaged, before)


def test_averaged_weights_are_those_of_a_checkpoint():
    net = TabularNet(3, 2, BINS)
    for _ in range(3):
        net(torch.randn(4, 3))
        with torch.no_grad():
            net.members[-1].weight.add_(0.1)
    other = TabularNet(3, 2, BINS)
    other.load_state_dict(net.state_dict())
    X = torch.randn(4, 3)
    assert torch.equal(other.eval()(X), net.eval()(X))


def test_embedding_keeps_columns_and_is_piecewise_linear():
    embedding = NumberEmbedding(BINS, 4)
    X = torch.randn(6, 5)
    out = embedding(X)
    assert out.shape == (6, 5 + 2 * 3)
    assert torch.equal(out[:, :5], X)
    between = torch.tensor([[0.1, -0.5], [0.5, 0.1], [0.9, 0.4]])  # within one piece
    ends = torch.lerp(embedding(between[:1]), embedding(between[2:]), 0.5)
    inside = embedding(torch.lerp(between[:1], between[2:], 0.5))
    torch.testing.assert_close(inside, ends)
    across = embedding(torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.0]]))
    assert not torch.allclose(across[:2].mean(dim=0), across[2])


def test_embedding_mixes_other_columns_linearly():
    embedding = NumberEmbedding(BINS, 4)
    X = torch.zeros(2, 5)
    X[0, 2] = X[1, 4] = 1  # levels, one-hot
    torch.testing.assert_close(
        embedding(0.3 * X[:1] + 0.7 * X[1:]),
        0.3 * embedding(X[:1]) + 0.7 * embedding(X[1:]),
    )


def test_no_embedding_without_numbers():
    X = torch.randn(6, 5)
    assert torch.equal(NumberEmbedding((), 4)(X), X)
    assert torch.equal(NumberEmbedding(BINS, 1)(X), X)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 3.0])])
def test_loss_of_members_is_the_mean_of_their_losses(reduction, weight):
    output, y = torch.randn(6, 3, 4), torch.arange(6) % 3
    options = {"weight": weight, "reduction": reduction}
    ours = MembersCrossEntropyLoss(**options)
    theirs = torch.nn.CrossEntropyLoss(**options)
    each = torch.stack([theirs(output[..., m], y) for m in range(4)], dim=-1)
    expected = each.sum() if reduction == "sum" else each
    if reduction == "mean":
        expected = each.mean()
    torch.testing.assert_close(ours(output, y), expected)
    torch.testing.assert_close(ours(output[..., 0], y), theirs(output[..., 0], y))


@pytest.mark.parametrize("column", [False, True])
def test_squared_error_of_members(column):
    output, y = torch.randn(6, 1, 4), torch.randn(6)
    target = y[:, None] if column else y
    expected = ((output[:, 0] - y[:, None]) ** 2).mean()
    torch.testing.assert_close(MembersMSELoss()(output, target), expected)
    torch.testing.assert_close(
        MembersMSELoss()(output.mean(dim=2), target),
        ((output.mean(dim=2)[:, 0] - y) ** 2).mean(),
    )


def test_epochs_found_by_the_default_recipe_alone():
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    net = default_net("classifier").set_params(
        module__d_in=3, module__d_out=2, batch_size=16, max_epochs=4
    )
    torch.manual_seed(0)
    net.fit(X, y)
    best = [row["epoch"] for row in net.history if row["valid_loss_best"]][-1]
    assert holds_out(net)
    assert epochs_found(net) == best
    stop_stopping(net)
    assert not holds_out(net)
    assert epochs_found(net) is None
    watching = default_net("classifier").set_params(
        module__d_in=3, module__d_out=2, batch_size=16, max_epochs=1, callbacks=None
    )
    assert epochs_found(watching.fit(X, y)) is None


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_the_default_optimizer_is_fused(task):
    net = default_net(task).set_params(module__d_in=3, module__d_out=2).initialize()
    assert isinstance(net.optimizer_, torch.optim.AdamW)
    assert net.optimizer_.defaults["fused"]
    assert net.optimizer_.defaults["weight_decay"] == 1e-2


def test_another_optimizer_takes_its_place():
    net = default_net("classifier").set_params(
        module__d_in=3, module__d_out=2, optimizer=torch.optim.RMSprop
    )
    assert isinstance(net.initialize().optimizer_, torch.optim.RMSprop)


def drawn(n, factor):
    """Probabilities, too sure by a factor, and labels."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(n, 3))
    proba = softmax(logits, axis=1)
    y = (proba.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(factor * logits, axis=1), y


def temperature(*judged):
    net = default_net("classifier").set_params(module__d_in=1, module__d_out=3)
    calibrate(net.initialize(), *judged)
    return float(net.module_.temperature)


@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_temperature_is_found_in_many_rows(factor):
    assert_allclose(temperature(*drawn(4000, factor)), factor, rtol=0.05)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_temperature_hardly_moves_for_few_rows(factor):
    few, more, many = (
        abs(np.log(temperature(*drawn(n, factor)))) for n in (4, 40, 4000)
    )
    assert 0 < few < 0.4 * many
    assert few < more < many


def test_a_few_rows_that_are_all_right_do_not_make_sure():
    proba = np.full((10, 3), 0.01)
    proba[:, 0] = 0.98
    assert temperature(proba, np.zeros(10, dtype=int)) > 0.9


def test_weights_count_as_copies_in_the_temperature():
    proba, y = drawn(300, 2)
    weight = np.arange(300) % 3
    copies = np.repeat(proba, weight, axis=0), np.repeat(y, weight)
    assert_allclose(temperature(proba, y, weight), temperature(*copies), rtol=1e-4)


def test_temperature_of_probabilities_of_zero():
    proba = np.array([[0.0, 1, 0], [1, 0, 0], [0.5, 0.5, 0]] * 30)
    assert 2 < temperature(proba, np.array([0, 0, 1] * 30)) < 8


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_members_by_any_criterion_of_torch(lam_per, weighted, reduction):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    y, weight = (X[:, 0] > 0).astype(int), 1.0 + np.arange(60) % 3
    small = {"max_epochs": 2, "module__d_block": 4, "module__k": 2}
    small |= {"batch_size": 20, "criterion__reduction": reduction}
    fitted = [
        MixupClassifier(
            default_net("classifier").set_params(criterion=criterion, **small),
            lam_per=lam_per,
            random_state=0,
        ).fit(X, y, sample_weight=weight if weighted else None)
        for criterion in (MembersCrossEntropyLoss, torch.nn.CrossEntropyLoss)
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
    assert (
        MixupRegressor(net, random_state=0).fit(X, 3 * X[:, 0]).score(X, X[:, 0] * 3)
        > 0.9
    )


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


def test_temperature_keeps_the_order_of_classes():
    net, X = TabularNet(4, 3, BINS).eval(), torch.randn(6, 4)
    proba = net(X).softmax(dim=1)
    net.temperature.fill_(2.0)
    hotter = net(X).softmax(dim=1)
    torch.testing.assert_close(hotter, (proba.log() / 2).softmax(dim=1))
    assert torch.equal(hotter.argmax(dim=1), proba.argmax(dim=1))


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
    stop_stopping(net)
    assert net.callbacks == []
    assert patience_of(net) is None
