"""Muon for matrices, and AdamW for all else."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import StepLR

import skmix
from skmix import MixupClassifier, default_net
from skmix._training.muon import Muon, orthogonal

HIDDEN = ("members.[0-9]*.weight", {"orthogonal": True})
SHAPES = [(8, 64), (64, 8), (8, 10), (10, 8), (12, 12), (3, 6, 40), (2, 3, 40, 6)]


def muon_net(task="classifier", **params):
    net = default_net(task).set_params(module__k=3, module__d_block=16, max_epochs=4)
    net.set_params(optimizer=Muon, optimizer__param_groups=[HIDDEN])
    return net.set_params(**params)


def parameter(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.nn.Parameter(values)


def give_gradient(parameter, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    parameter.grad = noise.to(parameter)


def train(optimizer, parameters, n_steps, start=0):
    for step in range(start, start + n_steps):
        for k, p in enumerate(parameters):
            give_gradient(p, 100 * step + k)
        optimizer.step()


def both_groups(**options):
    matrices, vector = parameter(3, 8, 5), parameter(5, seed=1)
    groups = [{"params": [matrices], "orthogonal": True}, {"params": [vector]}]
    return Muon(groups, lr=0.1, **options), [matrices, vector]


@pytest.mark.parametrize("scale", [1e-30, 1, 1e10])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_singular_values_are_near_1(shape, scale):
    """With the singular vectors of the matrix, of any size."""
    U, _, V = torch.linalg.svd(parameter(*shape).detach(), full_matrices=False)
    spread = torch.linspace(0.5, 1, U.shape[-1], dtype=torch.float64)
    result = orthogonal(scale * (U * spread) @ V)
    assert result.shape == shape
    values = U.mT @ result @ V.mT
    singular = values.diagonal(dim1=-2, dim2=-1)
    assert singular.min() > 0.6
    assert singular.max() < 1.25
    assert_allclose(values - torch.diag_embed(singular), 0, atol=1e-12)
    assert_allclose(U @ values @ V, result, atol=1e-12)


def test_both_ways_to_iterate_are_one():
    """Wide matrices are multiplied by a polynomial of their Gram matrices."""
    wide = torch.zeros(8, 40, dtype=torch.float64)
    wide[:, :8] = parameter(8, 8).detach()
    assert_allclose(orthogonal(wide)[:, :8], orthogonal(wide[:, :8]), atol=1e-12)


@pytest.mark.parametrize(("d_in", "d_out"), [(6, 24), (24, 6), (9, 9)])
def test_a_step_by_hand(d_in, d_out):
    matrix = parameter(d_in, d_out)
    before = matrix.detach().clone()
    options = {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.9, "orthogonal": True}
    optimizer = Muon([matrix], **options)
    momentum = torch.zeros_like(before)
    for step in range(3):
        give_gradient(matrix, step)
        momentum = 0.9 * momentum + 0.1 * matrix.grad
        update = orthogonal(0.9 * momentum + 0.1 * matrix.grad)
        update *= 0.2 * np.sqrt(max(d_in, d_out))
        before -= 0.1 * (0.3 * before + update)
        optimizer.step()
        assert_allclose(matrix.detach(), before, atol=1e-12)


def test_each_matrix_is_by_itself():
    """Steps of a stack are those of its slices, as law 8 needs them."""
    stack = parameter(2, 3, 8, 5)
    parts = [torch.nn.Parameter(m.detach().clone()) for m in stack.flatten(0, 1)]
    together = Muon([stack], orthogonal=True)
    alone = Muon(parts, orthogonal=True)
    for step in range(4):
        give_gradient(stack, step)
        with torch.no_grad():
            stack.grad[0, 1] *= 1e6
        for part, grad in zip(parts, stack.grad.flatten(0, 1), strict=True):
            part.grad = grad.clone()
        together.step()
        alone.step()
    for part, matrix in zip(parts, stack.flatten(0, 1), strict=True):
        assert_allclose(part.detach(), matrix.detach(), atol=1e-12)


@pytest.mark.parametrize("fused", [None, True, False])
def test_other_groups_are_adamws(fused):
    """Bit for bit, whatever the matrices do beside them."""
    options = {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.2, "fused": fused}
    optimizer, (matrices, vector) = both_groups(**options)
    same = torch.nn.Parameter(vector.detach().clone())
    reference = torch.optim.AdamW([same], lr=0.1, **options)
    for step in range(5):
        train(optimizer, [matrices, vector], 1, step)
        same.grad = vector.grad.clone()
        reference.step()
        assert torch.equal(vector, same)
    state, expected = optimizer.state[vector], reference.state[same]
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_no_gradient_is_no_step_but_the_decay():
    optimizer, parameters = both_groups(weight_decay=0.5)
    before = [p.detach().clone() for p in parameters]
    optimizer.step()  # without any
    assert all(map(torch.equal, parameters, before))
    for p in parameters:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for p, old in zip(parameters, before, strict=True):
        assert_allclose(p.detach(), 0.95 * old, atol=1e-12)


def test_one_matrix_without_gradient_beside_another():
    stack = parameter(2, 8, 5)
    before = stack.detach().clone()
    give_gradient(stack, 0)
    stack.grad[1] = 0
    Muon([stack], orthogonal=True, weight_decay=0).step()
    assert torch.equal(stack[1], before[1])
    assert not torch.isclose(stack[0], before[0]).any()


@pytest.mark.parametrize("shape", [(), (5,)])
def test_vectors_are_no_matrices(shape):
    with pytest.raises(ValueError, match="expected matrices"):
        Muon([parameter(*shape)], orthogonal=True)


def test_step_returns_the_loss_of_a_closure():
    matrix = parameter(4, 6)
    optimizer = Muon([matrix], lr=0.1, orthogonal=True)

    def closure():
        optimizer.zero_grad()
        loss = (matrix**2).sum()
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(10)]
    assert (np.diff(losses) < 0).all()


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_training_goes_on_from_a_stored_state(way):
    optimizer, parameters = both_groups()
    train(optimizer, parameters, 3)
    if way == "state_dict":
        resumed, copies = both_groups()
        with torch.no_grad():
            for new, old in zip(copies, parameters, strict=True):
                new.copy_(old)
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    else:
        stored = pickle.dumps((optimizer, parameters))
        pair = optimizer, parameters
        resumed, copies = (
            pickle.loads(stored) if way == "pickle" else copy.deepcopy(pair)
        )
    train(optimizer, parameters, 3, start=3)
    train(resumed, copies, 3, start=3)
    assert all(map(torch.equal, parameters, copies))


def test_schedules_scale_all_groups():
    optimizer, parameters = both_groups(weight_decay=0)
    optimizer.param_groups[0]["lr"] = 0.2
    schedule = StepLR(optimizer, step_size=1, gamma=0.0)
    train(optimizer, parameters, 1)
    schedule.step()
    before = [p.detach().clone() for p in parameters]
    train(optimizer, parameters, 1, start=1)
    assert all(map(torch.equal, parameters, before))


# In nets.


def test_hidden_layers_are_chosen_by_name():
    """At any depth, and not the layer of the outputs."""
    for n_blocks in (1, 2, 5):
        net = muon_net(module__n_blocks=n_blocks, module__d_in=3, module__d_out=2)
        net.initialize()
        names = {id(p): name for name, p in net.module_.named_parameters()}
        hidden, others = net.optimizer_.param_groups
        weights = sorted(names[id(p)] for p in hidden["params"])
        assert weights == sorted(f"members.{3 * k + 1}.weight" for k in range(n_blocks))
        assert "members.output.weight" in {names[id(p)] for p in others["params"]}
        assert (hidden["orthogonal"], others["orthogonal"]) == (True, False)
        assert hidden["lr"] == others["lr"] == net.lr


def test_the_choice_is_a_parameter_of_the_net(wine):
    net = muon_net()
    assert net.get_params()["optimizer__param_groups"] == [HIDDEN]
    model = MixupClassifier(net, random_state=0).fit(*wine)
    same = clone(model).fit(*wine)
    assert (model.predict_proba(wine[0]) == same.predict_proba(wine[0])).all()
    loaded = pickle.loads(pickle.dumps(model))
    for one in (model, loaded):
        one.partial_fit(*wine)
    assert (model.predict_proba(wine[0]) == loaded.predict_proba(wine[0])).all()


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_the_default_net_learns_by_it(task, wine):
    X, y = wine
    net = muon_net(task, max_epochs=30)
    y = y.astype(np.int64 if task == "classifier" else np.float32)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    torch.manual_seed(0)
    assert net.fit(X, y).score(X, y) > 0.95


def test_schedules_of_nets_scale_all_groups(wine):
    schedule = LRScheduler(StepLR, step_size=1, gamma=0.5)
    net = muon_net(lr=0.004, callbacks=[("schedule", schedule)], train_split=None)
    model = MixupClassifier(net, random_state=0).fit(*wine)
    rates = [group["lr"] for group in model.estimator_.optimizer_.param_groups]
    assert_allclose(rates, [0.004 / 16] * 2)


FIRST_FITS = """
import sys
from sklearn.datasets import load_wine
from skmix import MixupClassifier, MixupClassifierCV, default_net

X, y = load_wine(return_X_y=True)
net = default_net("classifier").set_params(max_epochs=1)
for model in (MixupClassifier(net), MixupClassifierCV(net)):
    model.fit(X, y).predict_proba(X)
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_the_first_fit_of_a_process_does_not_import_torchs_compiler():
    command = [sys.executable, "-W", "ignore", "-c", FIRST_FITS]
    root = Path(skmix.__file__).parents[1]
    found = subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert found.stdout.split() == [b"False"]
