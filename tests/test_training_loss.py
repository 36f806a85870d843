"""The one pass of cross-entropy is the criterion's own loss of both labels."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sample_nets import logits_net, softmax_net
from skorch import NeuralNetClassifier
from torch import nn

from skmix._mixing.mixup import mixed_loss, mixed_nll
from skmix._mixing.sampler import Draw
from skmix._training.loss import Targets, losses_of_steps


class OwnGetLoss(NeuralNetClassifier):
    """Has the criterion asked for the losses of both labels."""

    def get_loss(self, *args, **kwargs):
        return super().get_loss(*args, **kwargs)


N_STEPS, N_ROWS, N_CLASSES = 3, 8, 4


def chunk(lam_per, seed=0):
    rng = np.random.default_rng(seed)
    n = N_STEPS * N_ROWS
    y = torch.from_numpy(rng.integers(N_CLASSES, size=n))
    order = np.concatenate([rng.permutation(N_ROWS) + k for k in range(0, n, N_ROWS)])
    lam = rng.uniform(size=N_STEPS if lam_per == "batch" else n)
    outputs = torch.from_numpy(rng.normal(size=(n, N_CLASSES)).astype(np.float32))
    return y, Draw(order, lam), outputs, rng.uniform(0.5, 2, size=n)


def losses(net, y, draw, outputs, weight):
    """Losses of the steps and their gradients."""
    net.initialize()
    outputs = outputs.clone().requires_grad_()
    y_partner = None if draw is None else y[torch.from_numpy(draw.partner)]
    share = None if draw is None else draw.lam
    steps = losses_of_steps(net, Targets(y, y_partner, share, weight), N_STEPS)
    parts = zip(steps, outputs.split(N_ROWS), strict=True)
    values = torch.stack([loss(output) for loss, output in parts])
    values.sum().backward()
    return values.detach(), outputs.grad


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row", None])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("class_weight", [None, torch.tensor([1.0, 0.2, 3.0, 1.0])])
@pytest.mark.parametrize("ignore_index", [-100, 2])
@pytest.mark.parametrize(
    ("make", "smoothing"), [(logits_net, 0.0), (logits_net, 0.3), (softmax_net, None)]
)
def test_one_pass_is_two(
    make, smoothing, ignore_index, class_weight, reduction, lam_per, weighted
):
    y, draw, outputs, weight = chunk(lam_per)
    params = {
        "criterion__weight": class_weight,
        "criterion__reduction": reduction,
        "criterion__ignore_index": ignore_index,
    }
    if smoothing is not None:
        params["criterion__label_smoothing"] = smoothing
    if make is softmax_net:
        outputs = outputs.softmax(-1)
    given = (y, draw if lam_per else None, outputs, weight if weighted else None)
    kind = OwnGetLoss(**make(**params).get_params(deep=False))
    two, one = losses(kind, *given), losses(make(**params), *given)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "make",
    [logits_net, softmax_net, partial(logits_net, criterion__label_smoothing=0.1)],
)
def test_cross_entropy_is_one_pass(make):
    """Its criterion is not asked; that of a net with its own get_loss is, twice."""
    y, draw, outputs, _ = chunk("batch")
    calls = []
    outputs = outputs.softmax(-1)
    for net in (make(), OwnGetLoss(**make().get_params(deep=False))):
        net.initialize().criterion_.register_forward_hook(lambda *args: calls.append(1))
        steps = losses_of_steps(net, Targets(y, y, draw.lam), N_STEPS)
        steps[0](outputs[:N_ROWS])
        calls.append(0)
    assert calls == [0, 1, 1, 0]


def test_an_output_of_too_many_rows_is_refused():
    y, draw, outputs, _ = chunk("batch")
    net, targets = logits_net().initialize(), Targets(y, y, draw.lam)
    loss, *_ = losses_of_steps(net, targets, N_STEPS)
    with pytest.raises(ValueError, match="16 rows for a batch of 8"):
        loss(outputs[:16])


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_unlabelled_rows_of_a_dataset_add_nothing(lam_per):
    """torch's own mark for these, -100, is no index into the outputs."""
    y, draw, outputs, weight = chunk(lam_per)
    y[::5] = -100
    net = logits_net(criterion__weight=torch.tensor([1.0, 0.2, 3.0, 1.0]))
    two = losses(OwnGetLoss(**net.get_params(deep=False)), y, draw, outputs, weight)
    one = losses(net, y, draw, outputs, weight)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)


def test_classes_ruled_out_by_the_module_cost_nothing():
    """Minus infinity, as the logit of a class that is no label of the row."""
    y, draw, outputs, _ = chunk("batch")
    y = y % 3
    outputs[:, 3] = -torch.inf
    values, gradients = losses(logits_net(), y, draw, outputs, None)
    assert values.isfinite().all()
    assert gradients.isfinite().all()


class Custom(nn.CrossEntropyLoss):
    def forward(self, logits, y):
        return 2 * super().forward(logits, y)


def test_a_criterion_of_ones_own_is_asked():
    y, draw, outputs, _ = chunk("batch")
    once, _ = losses(logits_net(), y, draw, outputs, None)
    twice, _ = losses(logits_net(criterion=Custom), y, draw, outputs, None)
    torch.testing.assert_close(twice, 2 * once)


def test_losses_that_are_not_reduced_are_not_summed():
    y, draw, outputs, _ = chunk("batch")
    net = logits_net(criterion__reduction="none").initialize()
    loss, *_ = losses_of_steps(net, Targets(y, y, draw.lam), N_STEPS)
    assert loss(outputs[:N_ROWS]).shape == (N_ROWS,)


def test_mixed_loss_per_batch_and_per_row():
    own, partner = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])
    assert_allclose(mixed_loss(own, partner, np.array([0.5])), [2, 4])
    assert_allclose(mixed_loss(own, partner, np.array([0.0, 1.0])), [3, 2])
    assert mixed_loss(own.sum(), partner.sum(), np.array([1.0])) == own.sum()
    assert mixed_loss(own.sum(), partner.sum(), np.array([1.0])).ndim == 0


def test_mixed_nll():
    log_proba = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
    labels = torch.tensor([[0, 1], [1, 1]])
    loss = mixed_nll(log_proba, labels, torch.tensor([[0.3, 0.2], [0.3, 0.2]]))
    expected = -(0.3 * np.log(0.8) + 0.2 * np.log(0.2) + 0.5 * np.log(0.5))
    assert_allclose(loss, expected, rtol=1e-6)
