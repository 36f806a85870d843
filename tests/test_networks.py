"""The module of the default net, and temperature scaling."""

from copy import deepcopy
from math import sqrt

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import softmax
from torch.nn.utils import prune

from skmix.networks import (
    ByteDropout,
    NumberEmbedding,
    TabularNet,
    apply_temperature,
    fit_temperature,
)

BINS = [[-1.0, 0.0, 1.0], [-2.0, -1.0, 0.5, 2.0]]


@pytest.mark.parametrize(
    ("name", "value"),
    [("k", 0), ("d_block", -3), ("d_embedding", 0), ("n_blocks", -1), ("dropout", 2)],
)
def test_sizes_that_are_none(name, value):
    with pytest.raises(ValueError, match=f"Got {name}={value}, but expected"):
        TabularNet(4, 2, **{name: value})


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


def test_temperature_keeps_the_order_of_classes():
    net, X = TabularNet(4, 3, BINS).eval(), torch.randn(6, 4)
    proba = net(X).softmax(dim=1)
    net.temperature.fill_(2.0)
    hotter = net(X).softmax(dim=1)
    torch.testing.assert_close(hotter, (proba.log() / 2).softmax(dim=1))
    assert torch.equal(hotter.argmax(dim=1), proba.argmax(dim=1))


def drawn(n, factor):
    """Probabilities, too sure by a factor, and labels."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(n, 3))
    proba = softmax(logits, axis=1)
    y = (proba.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(factor * logits, axis=1), y


@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_temperature_is_found_in_many_rows(factor):
    assert_allclose(fit_temperature(*drawn(4000, factor)), factor, rtol=0.05)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_temperature_hardly_moves_for_few_rows(factor):
    few, more, many = (
        abs(np.log(fit_temperature(*drawn(n, factor)))) for n in (4, 40, 4000)
    )
    assert 0 < few < 0.4 * many
    assert few < more < many


def test_a_few_rows_that_are_all_right_do_not_make_sure():
    proba = np.full((10, 3), 0.01)
    proba[:, 0] = 0.98
    assert fit_temperature(proba, np.zeros(10, dtype=int)) > 0.9


def test_weights_count_as_copies_in_the_temperature():
    proba, y = drawn(300, 2)
    weight = np.arange(300) % 3
    copies = np.repeat(proba, weight, axis=0), np.repeat(y, weight)
    assert_allclose(
        fit_temperature(proba, y, weight), fit_temperature(*copies), rtol=1e-4
    )


def test_temperature_of_probabilities_of_zero():
    proba = np.array([[0.0, 1, 0], [1, 0, 0], [0.5, 0.5, 0]] * 30)
    assert 2 < fit_temperature(proba, np.array([0, 0, 1] * 30)) < 8


def test_a_temperature_divides_the_logarithms():
    proba, _ = drawn(5, 1)
    hotter = apply_temperature(proba, 2.0)
    assert_allclose(hotter, softmax(np.log(proba) / 2, axis=1))
    assert_allclose(apply_temperature(hotter, 0.5), proba)


def test_averaged_weights_follow_layers_that_were_replaced():
    torch.manual_seed(0)
    net = TabularNet(3, 2, k=2, d_block=4)
    net.members, net.embedding = deepcopy(net.members), deepcopy(net.embedding)
    net(torch.zeros(5, 3))
    with torch.no_grad():
        for parameter in net.members.parameters():
            parameter.fill_(7)
    net.n_averaged.zero_()  # (so that the next mean is of one step)
    net(torch.zeros(5, 3))
    assert all((mean == 7).all() for mean in net.averaged[1].parameters())


# Dropout.


@pytest.mark.parametrize("p", [1 / 256, 0.1, 0.3, 0.5, 0.9, 255 / 256])
def test_dropout_drops_the_stated_share_and_scales_the_rest(p):
    torch.manual_seed(0)
    X = torch.rand(300, 1_001) + 1  # (no multiple of eight)
    out = ByteDropout(p)(X)
    share = round(p * 256) / 256
    assert abs(share - p) <= 1 / 512
    dropped = out == 0
    error = sqrt(share * (1 - share) / X.numel())
    assert abs(dropped.double().mean() - share) < 5 * error
    torch.testing.assert_close(out, (X / (1 - share)).masked_fill(dropped, 0))


def test_each_byte_of_a_word_drops_by_itself():
    torch.manual_seed(0)
    kept = (ByteDropout(0.5)(torch.ones(50_000, 8)) > 0).double()
    correlation = np.corrcoef(kept.numpy(), rowvar=False)
    assert_allclose(correlation, np.eye(8), atol=5 / sqrt(50_000))
    assert_allclose(kept.mean(dim=0), np.full(8, 0.5), atol=5 * 0.5 / sqrt(50_000))


@pytest.mark.parametrize("p", [0.0, 1e-4, 1.0])
def test_next_to_0_and_1_dropout_is_torchs_own(p):
    X = torch.randn(50, 20)
    torch.manual_seed(0)
    expected = torch.nn.Dropout(p)(X)
    torch.manual_seed(0)
    torch.testing.assert_close(ByteDropout(p)(X), expected, rtol=0, atol=0)


def test_dropout_drops_gradients_as_numbers_and_nothing_in_evaluation():
    X = torch.rand(40, 30, requires_grad=True)
    out = ByteDropout(0.4)(X)
    out.sum().backward()
    torch.testing.assert_close(X.grad * X, out)
    assert ByteDropout(0.4).eval()(X) is X


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dropout_keeps_the_dtype_and_shape(dtype):
    X = torch.ones(3, 5, 7, dtype=dtype)
    out = ByteDropout(0.5)(X)
    assert out.dtype is dtype
    assert set(out.unique().tolist()) <= {0.0, 2.0}
    assert ByteDropout(0.5)(X[:0]).shape == (0, 5, 7)


def test_a_mask_is_a_function_of_seed_and_pass_alone():
    X = torch.ones(100)
    torch.manual_seed(0)
    layer, other = ByteDropout(0.5), ByteDropout(0.5)
    torch.manual_seed(0)
    alike = ByteDropout(0.5)
    once, again = layer(X), layer(X)
    assert not torch.equal(once, again)
    assert not torch.equal(other(X), once)
    torch.manual_seed(1)
    assert torch.equal(alike(X), once)
    later = ByteDropout(0.5)
    later.load_state_dict(alike.state_dict())
    assert torch.equal(later(X), again)


def test_passes_and_seeds_have_masks_that_do_not_resemble_each_other():
    torch.manual_seed(0)
    X, layers = torch.ones(20_000), [ByteDropout(0.5) for _ in range(6)]
    layers[1].seed.copy_(layers[0].seed + 1)
    masks = [(layer(X) > 0).double() for layer in layers for _ in range(6)]
    correlation = np.corrcoef(torch.stack(masks).numpy())
    assert_allclose(correlation, np.eye(36), atol=5 / sqrt(20_000))


def test_a_mask_of_fewer_rows_is_the_beginning_of_one_of_more():
    torch.manual_seed(0)
    layer = ByteDropout(0.5)
    other = deepcopy(layer)
    assert torch.equal(layer(torch.ones(7, 5)), other(torch.ones(11, 5))[:7])


def freeze(layer):
    weight = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", weight)


EDITS = {
    "pruned weights": lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    "pruned biases": lambda layer: prune.random_unstructured(layer, "bias", 0.5),
    "a buffer in place of weights": freeze,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_averages_are_of_the_weights_that_layers_use(edit):
    net = TabularNet(5, 3, bins=[[-1, 0, 1], [-1, 0, 1]])
    edit(net.members[1])
    net(torch.randn(8, 5))
    for name in ("weight", "bias"):
        used = getattr(net.members[1], name)
        assert torch.equal(getattr(net.averaged[1][1], name), used)
