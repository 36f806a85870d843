"""Mixing behind a submodule instead of at the input (Manifold Mixup)."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import (
    Layers,
    full_batch_net,
    logits_net,
    number_net,
    short_default_net,
)
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Checkpoint
from torch import nn

from skmix import MixupClassifier, MixupRegressor
from skmix._mixing.mixup import mix_step
from skmix._mixing.sampler import Draw
from skmix._training.steps import mixed_inside, stacked
from skmix.mixing import mixup


def weights_of(model):
    return list(model.estimator_.module_.state_dict().values())


def assert_same_weights(ours, theirs, **tolerance):
    for one, other in zip(weights_of(ours), weights_of(theirs), strict=True):
        torch.testing.assert_close(one, other, **tolerance)


class Deep(nn.Module):
    """Linear, then not linear; in float64."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.first = nn.Linear(d_in, 6, dtype=torch.float64)
        self.second = nn.Sequential(nn.Tanh(), nn.Linear(6, d_out, dtype=torch.float64))
        self.unused = nn.Linear(1, 1)

    def forward(self, X):
        return self.second(self.first(X))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_behind_a_linear_layer_as_at_the_input(cancer, lam_per, weighted):
    X, y = cancer
    weight = 1.0 + np.arange(len(y)) % 3 if weighted else None
    net = logits_net(module=Deep, max_epochs=3)
    at = {}
    for layers in ("input", "first", "second.0"):
        clf = MixupClassifier(
            net, alpha=1, layers=layers, lam_per=lam_per, random_state=0
        )
        at[layers] = clf.fit(X, y, sample_weight=weight)
    assert_same_weights(at["first"], at["input"], rtol=1e-10, atol=1e-10)
    assert at["first"].history_[:, "lam_mean"] == at["input"].history_[:, "lam_mean"]
    proba = at["second.0"].predict_proba(X)
    assert abs(proba - at["input"].predict_proba(X)).max() > 1e-6


def test_a_step_by_hand():
    X, y = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    module = Deep(3, 2)
    draw = Draw(np.array([1, 2, 3, 4, 0]), np.array([0.3]))
    partner = X[torch.from_numpy(draw.partner)]

    def mix(own, other):
        return mix_step(mixup, own, other, None, None, draw)[0]

    with mixed_inside(module, "second.0", mix, len(X)):
        got = module(stacked(X, partner))
    for i, j in enumerate(draw.partner):
        hidden = 0.3 * module.second[0](module.first(X[i]))
        hidden += 0.7 * module.second[0](module.first(X[j]))
        torch.testing.assert_close(got[i], module.second[1](hidden))
    assert len(got) == len(y)
    assert torch.equal(module(X), module.second(module.first(X)))  # the hook is gone


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("make", [logits_net, number_net])
def test_both_ways_mix_alike(cancer, make, lam_per, weighted):
    X, y = cancer
    y = y if make is logits_net else y.astype(float)
    weight = 1.0 + np.arange(len(y)) % 3 if weighted else None
    kind = NeuralNetClassifier if make is logits_net else NeuralNetRegressor

    class Overrides(kind):  # goes skorch's way
        def run_single_epoch(self, *args, **kwargs):
            return super().run_single_epoch(*args, **kwargs)

    net = make(max_epochs=2, module__dropout=0.2)
    long_way = Overrides(**net.get_params(deep=False))
    mixup = MixupClassifier if make is logits_net else MixupRegressor
    fitted = [
        mixup(each, alpha=1, layers="hidden", lam_per=lam_per, random_state=0).fit(
            X, y, sample_weight=weight
        )
        for each in (net, long_way)
    ]
    assert_same_weights(*fitted, rtol=0, atol=0)


def test_alpha_0_is_the_bare_net(cancer):
    X, y = cancer
    net = logits_net(max_epochs=2)
    with pytest.raises(ValueError, match="layers='hiden'"):
        MixupClassifier(net, alpha=0, layers="hiden").fit(X, y)
    ours = MixupClassifier(net, alpha=0, layers="hidden", random_state=0).fit(X, y)
    plain = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    assert_same_weights(ours, plain, rtol=0, atol=0)


def test_unknown_layers_and_those_that_there_are(cancer):
    X, y = cancer
    for make in (lambda: logits_net(module__d_out=2), lambda: full_batch_net()):
        clf = MixupClassifier(make(), layers="middle")
        with pytest.raises(ValueError, match=r"layers=.middle.*submodule of L.*output"):
            clf.fit(X, y)
    for layers in (3, None, [3], "", {"hidden"}):
        with pytest.raises(TypeError, match="'auto', 'input', the name"):
            MixupClassifier(logits_net(), layers=layers).fit(X, y)


class Uncalled(Layers):
    def forward(self, X):
        return self.output(torch.zeros(len(X), 32) + X[:, :1])


class Summary(Layers):
    """A layer of which nobody can tell rows and partners apart."""

    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        self.pool = nn.Flatten(0)

    def forward(self, X):
        return super().forward(X) + 0 * self.pool(X).sum()


@pytest.mark.parametrize(
    ("module", "layer", "match"),
    [
        (Uncalled, "hidden", "'hidden' was not called in a training step"),
        (Summary, "pool", "from the layer 'pool', but expected a tensor of one row"),
    ],
)
def test_a_hook_that_cannot_mix_is_an_error(cancer, module, layer, match):
    X, y = cancer
    net = logits_net(module=module, max_epochs=1)
    for kind in (ValueError, RuntimeError):  # it is both
        with pytest.raises(kind, match=match):
            MixupClassifier(net, layers=layer, random_state=0).fit(X, y)


def test_checkpoints_hold_no_hook(cancer, tmp_path):
    X, y = cancer
    path = tmp_path / "net.pkl"
    net = logits_net(
        max_epochs=2,
        callbacks=[
            Checkpoint(
                monitor=None,
                f_pickle=path,
                f_params=None,
                f_optimizer=None,
                f_criterion=None,
                f_history=None,
            )
        ],
    )
    clf = MixupClassifier(net, layers="hidden", random_state=0).fit(X, y)
    saved = pickle.loads(path.read_bytes())
    assert_array_equal(
        saved.predict_proba(X.astype(np.float32)),
        clf.estimator_.predict_proba(X.astype(np.float32)),
    )
    for module in (*saved.module_.modules(), *clf.estimator_.module_.modules()):
        assert not module._forward_hooks


def test_regressors_of_the_default_kind_mix_behind_the_embedding(cancer):
    X, y = cancer[0][:120], cancer[0][:120, 0]
    net = short_default_net("regressor")
    auto = MixupRegressor(net, alpha=0.2, random_state=0).fit(X, y)
    embedding = MixupRegressor(net, layers="embedding", alpha=0.2, random_state=0).fit(
        X, y
    )
    at_input = MixupRegressor(net, layers="input", alpha=0.2, random_state=0).fit(X, y)
    assert_array_equal(auto.predict(X), embedding.predict(X))
    assert not np.array_equal(auto.predict(X), at_input.predict(X))
    net = number_net(max_epochs=1)  # without an embedding, and so at the input
    assert_allclose(
        MixupRegressor(net, alpha=0.2, random_state=0).fit(X, y).predict(X),
        MixupRegressor(net, layers="input", alpha=0.2, random_state=0)
        .fit(X, y)
        .predict(X),
    )


class OwnFault(Layers):
    def forward(self, X):
        hidden = self.hidden(X)
        return self.output(hidden) + torch.zeros(len(hidden), 7)


def test_a_fault_of_the_module_behind_a_layer_is_not_said_to_be_of_layers(cancer):
    net = logits_net(module=OwnFault, batch_size=8, max_epochs=1)
    with pytest.raises(RuntimeError, match="must match the size") as caught:
        MixupClassifier(net, layers="hidden").fit(cancer[0][:64], cancer[1][:64])
    assert "layers" not in str(caught.value)
