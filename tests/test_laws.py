"""The laws of docs/design.md, by number."""

import pickle
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import (
    Layers,
    Linear,
    binary_net,
    full_batch_net,
    logits_net,
    number_net,
    short_default_net,
    softmax_net,
)
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from skorch import NeuralNetClassifier
from skorch.callbacks import BatchScoring, Callback, Checkpoint, EpochScoring
from skorch.dataset import ValidSplit, unpack_data
from torch import nn
from torch.nn import functional as F

import skmix
from skmix import MixupClassifier, MixupRegressor
from skmix._mixing.mixup import mix_step, mixup
from skmix._mixing.sampler import Draw, MixupSampler
from skmix._tables.columns import TrainingSet
from skmix._training.loss import Targets, losses_of_steps
from skmix._training.patch import mixed_training
from skmix.pairing import bound
from skmix.preprocessing import TableEncoder


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X, scale(y)


def assert_same_net(a, b):
    ours, theirs = a.module_.state_dict(), b.module_.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


# Law 1: alpha = 0 is the bare net.

SIZES = {"module__d_in": 30, "module__dropout": 0.3, "iterator_train__shuffle": True}


@pytest.mark.parametrize("train_split", [None, ValidSplit(4)], ids=["all", "split"])
@pytest.mark.parametrize("batch_size", [32, 100, -1])
@pytest.mark.parametrize(
    ("make_net", "y_dtype"),
    [(softmax_net, np.int64), (logits_net, np.int64), (binary_net, np.float32)],
)
def test_law_1_alpha_0_is_the_bare_classifier(
    cancer, make_net, y_dtype, batch_size, train_split
):
    X, y = cancer
    d_out = 1 if make_net is binary_net else 2
    net = make_net(
        max_epochs=3,
        batch_size=batch_size,
        train_split=train_split,
        module__d_out=d_out,
        **SIZES,
    )
    ours = MixupClassifier(net, alpha=0, random_state=7).fit(X, y).estimator_
    bare = clone(net)
    torch.manual_seed(7)
    bare.fit(X.astype(np.float32), y.astype(y_dtype))
    assert_same_net(ours, bare)
    if train_split is not None:
        assert ours.history[:, "valid_loss"] == bare.history[:, "valid_loss"]
    assert ours.history[:, "train_loss"] == bare.history[:, "train_loss"]


@pytest.mark.parametrize("train_split", [None, ValidSplit(4)], ids=["all", "split"])
def test_law_1_alpha_0_is_the_bare_regressor(diabetes, train_split):
    X, y = diabetes
    sizes = SIZES | {"module__d_in": 10, "module__d_out": 1}
    net = number_net(max_epochs=3, train_split=train_split, **sizes)
    ours = MixupRegressor(net, alpha=0, random_state=7).fit(X, y).estimator_
    bare = clone(net)
    torch.manual_seed(7)
    bare.fit(X.astype(np.float32), y.astype(np.float32)[:, None])
    assert_same_net(ours, bare)
    assert ours.history[:, "train_loss"] == bare.history[:, "train_loss"]
    if train_split is not None:
        assert ours.history[:, "valid_loss"] == bare.history[:, "valid_loss"]


def table_of_both_kinds(y):
    """A table of two numbers and two categories."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(size=len(y)) + y,
            "hue": rng.choice(["red", "blue", "green"], len(y)),
            "age": rng.normal(size=len(y)),
            "shape": rng.choice(["round", "flat"], len(y)),
        }
    )


def as_pipeline(task, X, y, seed):
    net = short_default_net(task)
    pipeline = make_pipeline(TableEncoder(), net)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    return pipeline.fit(X, y)


@pytest.mark.parametrize("seed", [0, 7])
def test_law_1_alpha_0_is_the_default_classifier_behind_an_encoder(seed):
    y = np.arange(120) % 3
    X = table_of_both_kinds(y)
    clf = MixupClassifier(short_default_net(), alpha=0, random_state=seed).fit(X, y)
    pipeline = as_pipeline("classifier", X, y, seed)
    assert_same_net(clf.estimator_, pipeline[-1])
    assert_allclose(pipeline.predict_proba(X), clf.predict_proba(X), rtol=1e-5)


def test_law_1_alpha_0_is_the_default_regressor_behind_an_encoder():
    y = np.random.default_rng(1).normal(size=120)
    X, standard = table_of_both_kinds(y), (y - y.mean()) / y.std()
    net = short_default_net("regressor")
    reg = MixupRegressor(net, alpha=0, random_state=7).fit(X, y)
    pipeline = as_pipeline("regressor", X, standard, 7)
    assert_same_net(reg.estimator_, pipeline[-1])
    found = np.ravel(pipeline.predict(X)) * y.std() + y.mean()
    assert_allclose(found, reg.predict(X), rtol=1e-5, atol=1e-6)


def test_law_1_notices_mixing(cancer):
    X, y = cancer
    net = logits_net(max_epochs=1, module__d_out=2, **SIZES)
    ours = MixupClassifier(net, alpha=0.5, random_state=7).fit(X, y).estimator_
    bare = MixupClassifier(net, alpha=0, random_state=7).fit(X, y).estimator_
    with pytest.raises(AssertionError):
        assert_same_net(ours, bare)


# Law 2: seeds.


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_law_2_same_seed_same_bits(wine, lam_per):
    X, y = wine
    clf = MixupClassifier(
        logits_net(max_epochs=2, module__dropout=0.2), lam_per=lam_per, random_state=3
    )
    first = clone(clf).fit(X, y).predict_proba(X)
    assert_array_equal(first, clone(clf).fit(X, y).predict_proba(X))
    other = clone(clf).set_params(random_state=4).fit(X, y).predict_proba(X)
    assert not np.array_equal(first, other)


def fit_and_predict(clf, X, y):
    return clone(clf).fit(X, y).predict_proba(X)


@pytest.mark.parametrize(
    "backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"]
)
def test_law_2_same_bits_in_processes_and_threads(wine, backend):
    X, y = wine
    net = logits_net(max_epochs=2, module__dropout=0.2)
    clfs = [MixupClassifier(net, random_state=seed) for seed in range(6)]
    alone = [fit_and_predict(clf, X, y) for clf in clfs]
    with joblib.parallel_config(backend=backend, n_jobs=2):
        together = joblib.Parallel()(
            joblib.delayed(fit_and_predict)(clf, X, y) for clf in clfs
        )
    for one, other in zip(alone, together, strict=True):
        assert_array_equal(one, other)


def global_states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), kind, keys.tolist(), rest


@pytest.mark.parametrize("random_state", [0, np.int64(5), np.random.RandomState(0)])
def test_law_2_global_generators_are_as_found(wine, random_state):
    X, y = wine
    net = logits_net(max_epochs=1, train_split=ValidSplit(0.2))
    before = global_states()
    clf = MixupClassifier(net, random_state=random_state).fit(X, y)
    clf.partial_fit(X, y)
    clf.predict_proba(X)
    assert global_states() == before


def test_law_2_none_draws_once_from_numpys_generator(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=1))
    np.random.seed(11)  # noqa: NPY002
    first = clf.fit(X, y).predict_proba(X)
    after = np.random.get_state()[2]  # noqa: NPY002
    np.random.seed(11)  # noqa: NPY002
    seed = np.random.randint(np.iinfo(np.int32).max)  # noqa: NPY002
    assert np.random.get_state()[2] == after  # noqa: NPY002
    second = clf.set_params(random_state=seed).fit(X, y).predict_proba(X)
    assert_array_equal(first, second)


@pytest.mark.parametrize("module", [pickle, cloudpickle], ids=lambda m: m.__name__)
def test_law_2_pickles_predict_the_same(wine, module):
    X, y = wine
    clf = MixupClassifier(softmax_net(max_epochs=2), random_state=0).fit(X, y)
    loaded = module.loads(module.dumps(clf))
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


@pytest.mark.slow
def test_law_2_joblib_file_predicts_the_same_in_a_fresh_process(wine, tmp_path):
    X, y = wine
    clf = MixupClassifier(short_default_net(), random_state=0).fit(X, y)
    joblib.dump((clf, X, clf.predict_proba(X)), tmp_path / "clf.joblib")
    code = (
        "import joblib, numpy, sys; clf, X, p = joblib.load(sys.argv[1]); "
        "numpy.testing.assert_array_equal(clf.predict_proba(X), p)"
    )
    command = [sys.executable, "-c", code, tmp_path / "clf.joblib"]
    subprocess.run(command, check=True)


class CopyInMidTraining(Callback):
    """Copies the net in every way there is, before and after a batch was mixed."""

    copies = ()

    def on_batch_end(self, net, training=False, **kwargs):
        if training and not CopyInMidTraining.copies:
            CopyInMidTraining.copies = (
                pickle.dumps(net),
                cloudpickle.dumps(net),
                pickle.dumps(clone(net)),
            )


def test_law_2_a_checkpoint_of_mid_training_is_a_plain_net(wine, tmp_path):
    X, y = wine
    CopyInMidTraining.copies = ()
    file = tmp_path / "net.pkl"
    checkpoint = Checkpoint(
        monitor=None,
        f_pickle=str(file),
        f_params=None,
        f_optimizer=None,
        f_criterion=None,
        f_history=None,
    )
    net = logits_net(max_epochs=2, callbacks=[checkpoint, CopyInMidTraining()])
    clf = MixupClassifier(net, alpha=1, random_state=0).fit(X, y)
    for data in (file.read_bytes(), *CopyInMidTraining.copies):
        assert b"skmix" not in data
        loaded = pickle.loads(data)
        assert vars(loaded).keys() <= vars(clf.estimator_).keys()
        clone(loaded)
    same = pickle.loads(file.read_bytes())
    X32 = X.astype(np.float32)
    assert_array_equal(same.predict_proba(X32), clf.estimator_.predict_proba(X32))


def test_law_2_the_fitted_net_is_plain(wine):
    X, y = wine
    net = logits_net(max_epochs=1, callbacks=[EpochScoring("accuracy", on_train=True)])
    fitted = MixupClassifier(net, alpha=1).fit(X, y).estimator_
    assert type(fitted) is NeuralNetClassifier
    bare = clone(net).fit(X.astype(np.float32)[:, :5], y % 2)
    added = {"iterator_train__shuffle", "module__d_in", "module__d_out"}
    assert vars(fitted).keys() - added == vars(bare).keys()
    assert b"skmix" not in pickle.dumps(fitted)
    assert dict(fitted.callbacks_)["EpochScoring"].use_caching is True
    assert net.initialized_ is False


def test_law_2_generators_of_other_devices_are_left_alone(wine, monkeypatch):
    X, y = wine
    calls = []
    for name in ("manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, lambda seed: calls.append(seed))
    MixupClassifier(logits_net(max_epochs=1), random_state=0).fit(X, y)
    assert calls == []


class PredictsOutside(Callback):
    """Asks the estimator that is being fitted again."""

    def on_epoch_end(self, net, **kwargs):
        clf, X, expected = PredictsOutside.asks
        assert_array_equal(clf.predict_proba(X), expected)
        assert_array_equal(clf.classes_, [0, 1, 2])


def test_law_2_a_fit_is_seen_only_when_it_is_done(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=2), random_state=0).fit(X, y)
    PredictsOutside.asks = clf, X, clf.predict_proba(X)
    clf.set_params(estimator__callbacks=[PredictsOutside()])
    assert_array_equal(clf.fit(2 * X + 1, y + 5).classes_, [5, 6, 7])


# Law 3: both forms of the loss agree.


class FixedSampler(MixupSampler):
    """A sampler that has drawn already."""

    from_table = False

    def __init__(self, partner, lam):
        super().__init__(alpha=1, lam_per="batch", seed=0)
        self.drawn = Draw(np.asarray(partner), np.atleast_1d(lam))

    def draw(self, n_rows, n_steps=1, **kwargs):
        return self.drawn


def step_loss(net, X, y, sampler, weight=None):
    """Loss of one training step on the whole table, by the seams."""
    net = net.set_params(lr=0.0, batch_size=-1, max_epochs=1).initialize()
    with mixed_training(net, sampler=sampler, weight=weight):
        net.fit_loop(X, y, epochs=1)
    return net, net.history[-1, "batches", 0, "train_loss"]


def random_batch(n_classes, n_rows=24, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 5))
    y = np.r_[np.arange(n_classes), rng.integers(n_classes, size=n_rows - n_classes)]
    lams = {"batch": rng.beta(1, 1, 1), "row": rng.beta(1, 1, n_rows)}
    return X, y, rng.permutation(n_rows), lams


@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("class_weight", [None, [1.0, 5.0, 0.2]])
def test_law_3_cross_entropy(lam_per, smoothing, class_weight):
    X, y, partner, lams = random_batch(3)
    lam = lams[lam_per]
    weight = None if class_weight is None else torch.tensor(class_weight).double()
    net = NeuralNetClassifier(
        Linear,
        criterion=nn.CrossEntropyLoss,
        criterion__weight=weight,
        criterion__label_smoothing=smoothing,
        module__d_out=3,
        train_split=None,
        verbose=0,
    )
    net, ours = step_loss(net, X, y, FixedSampler(partner, lam))
    mixed = lam[:, None] * X + (1 - lam[:, None]) * X[partner]
    onehot = np.eye(3)[y] * lam[:, None] + np.eye(3)[y[partner]] * (1 - lam[:, None])
    logits = net.module_(torch.tensor(mixed))
    kwargs = {"weight": weight, "label_smoothing": smoothing}
    # torch divides by B where the target is a distribution.
    total = F.cross_entropy(logits, torch.tensor(onehot), reduction="sum", **kwargs)
    share = onehot if class_weight is None else onehot * class_weight
    assert_allclose(ours, total.item() / share.sum(), rtol=1e-6)


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_law_3_nll_on_probabilities(lam_per):
    X, y, partner, lams = random_batch(3)
    lam = lams[lam_per]
    params = {"module__softmax": True, "module__double": True, "module__d_out": 3}
    net = NeuralNetClassifier(Layers, train_split=None, verbose=0, **params)
    net, ours = step_loss(net, X, y, FixedSampler(partner, lam))
    mixed = lam[:, None] * X + (1 - lam[:, None]) * X[partner]
    onehot = np.eye(3)[y] * lam[:, None] + np.eye(3)[y[partner]] * (1 - lam[:, None])
    net.module_.train()
    log_proba = net.module_(torch.tensor(mixed)).log()
    theirs = -(torch.tensor(onehot) * log_proba).sum() / len(X)
    assert_allclose(ours, theirs.item(), rtol=1e-6)


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_law_3_binary_with_logits(lam_per):
    X, y, partner, lams = random_batch(2)
    lam = lams[lam_per]
    net = binary_net(
        module__double=True,
        module__d_out=1,
        criterion__pos_weight=torch.tensor(3.0).double(),
    )
    net, ours = step_loss(net, X, y.astype(float), FixedSampler(partner, lam))
    mixed = lam[:, None] * X + (1 - lam[:, None]) * X[partner]
    target = lam * y + (1 - lam) * y[partner]
    net.module_.train()
    logits = net.module_(torch.tensor(mixed))[:, 0]
    theirs = F.binary_cross_entropy_with_logits(
        logits, torch.tensor(target), pos_weight=torch.tensor(3.0)
    )
    assert_allclose(ours, theirs.item(), rtol=1e-6)


def test_law_3_squared_error_has_the_gradient_of_the_mixed_target():
    X, _, partner, lams = random_batch(2)
    y = X @ np.arange(5.0)
    lam = lams["row"]
    net = full_batch_net(skmix.default_net("regressor").__class__, module__d_out=1)
    net, _ = step_loss(net, X, y, FixedSampler(partner, lam))
    ours = net.module_.output.weight.grad.clone()
    mixed = lam[:, None] * X + (1 - lam[:, None]) * X[partner]
    target = torch.tensor(lam * y + (1 - lam) * y[partner])[:, None]
    net.module_.zero_grad()
    F.mse_loss(net.module_(torch.tensor(mixed)), target).backward()
    assert_allclose(ours, net.module_.output.weight.grad, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_law_3_class_weights_at_lam_1_are_torchs_own(weighted):
    X, y, partner, _ = random_batch(3)
    c = torch.tensor([1.0, 5.0, 0.2]).double()
    net = full_batch_net(module__d_out=3, criterion__weight=c)
    weight = np.full(len(y), 2.0) if weighted else None
    net, ours = step_loss(net, X, y, FixedSampler(partner, np.ones(len(y))), weight)
    logits = net.module_(torch.tensor(X))
    assert_allclose(ours, F.cross_entropy(logits, torch.tensor(y), c).item())


@given(st.data())
def test_law_3_one_hot_labels_and_losses_agree(data):
    """For any shares, weights and class weights, whichever form is taken."""
    n, n_classes = data.draw(st.integers(1, 8)), data.draw(st.integers(2, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    logits = torch.from_numpy(rng.normal(scale=3, size=(n, n_classes)))
    y, other = (torch.from_numpy(rng.integers(n_classes, size=n)) for _ in range(2))
    share = rng.uniform(size=data.draw(st.sampled_from([1, n])))
    weight = rng.uniform(0.1, 3, size=n) if data.draw(st.booleans()) else None
    c = torch.from_numpy(rng.uniform(0.1, 3, size=n_classes))
    c = c if data.draw(st.booleans()) else None
    net = full_batch_net(criterion__weight=c).initialize()
    (loss,) = losses_of_steps(net, Targets(y, other, share, weight), 1, permuted=False)

    soft = torch.from_numpy(share).expand(n)[:, None]
    soft = soft * F.one_hot(y, n_classes) + (1 - soft) * F.one_hot(other, n_classes)
    sizes = (soft * (1 if c is None else c)).sum(dim=1)
    rows = -(soft * (1 if c is None else c) * logits.log_softmax(1)).sum(dim=1)
    w = torch.ones(n) if weight is None else torch.from_numpy(weight)
    # Without class weights it is a mean over rows, not over their weights (law 6).
    expected = (w * rows).sum() / (n if c is None else (w * sizes).sum())
    assert_allclose(loss(logits), expected, rtol=1e-6)


# Law 4: mixed rows lie between their parents.

FLOATS = st.floats(-1e6, 1e6, width=32)


@st.composite
def pairs(draw_):
    n, d = draw_(st.integers(1, 6)), draw_(st.integers(1, 4))
    cells = st.lists(FLOATS, min_size=n * d, max_size=n * d)
    x, partner = (torch.tensor(draw_(cells)).reshape(n, d) for _ in range(2))
    size = draw_(st.sampled_from([1, n]))
    lam = draw_(st.lists(st.floats(0, 1), min_size=size, max_size=size))
    seed = np.array([draw_(st.integers(0, 2**32))])
    return x, partner, Draw(np.arange(n), np.array(lam), seed)


def mixed_by(x, partner, draw):
    return mix_step(mixup, x, partner, None, None, draw)[0]


@given(pairs())
def test_law_4_mixed_rows_lie_in_the_box_of_their_parents(pair):
    x, partner, draw = pair
    mixed = mixed_by(x, partner, draw)
    assert mixed.shape == x.shape
    assert mixed.dtype == x.dtype
    assert (mixed >= torch.minimum(x, partner)).all()
    assert (mixed <= torch.maximum(x, partner)).all()
    assert torch.equal(mixed_by(x, x, draw), x)  # what both share stays


@given(pairs())
def test_law_4_lam_1_is_the_identity_and_weights_sum_to_1(pair):
    x, partner, draw = pair
    assert torch.equal(mixed_by(x, partner, draw._replace(lam=np.ones(1))), x)
    assert torch.equal(mixed_by(x, partner, draw._replace(lam=np.zeros(1))), partner)
    ones = torch.ones_like(x).double()
    assert_allclose(mixed_by(ones, 0 * ones, draw) + mixed_by(0 * ones, ones, draw), 1)


@given(pairs())
def test_law_4_codes_come_from_one_parent(pair):
    x, partner, draw = pair
    codes, others = x.long(), partner.long()
    mixed = mixed_by(codes, others, draw)
    assert ((mixed == codes) | (mixed == others)).all()
    assert torch.equal(mixed_by({"c": codes}, {"c": others}, draw)["c"], mixed)


@given(st.integers(1, 40), st.integers(0, 2**32), st.floats(0.01, 20))
def test_law_4_a_plan_pairs_each_row_with_another_one(n_rows, seed, alpha):
    sampler = MixupSampler(alpha=alpha, lam_per="row", seed=seed)
    draw = sampler.draw(n_rows)
    assert sorted(draw.partner) == list(range(n_rows))
    if n_rows > 1:
        assert (draw.partner != np.arange(n_rows)).all()
    assert ((draw.lam >= 0) & (draw.lam <= 1)).all()
    assert draw.lam.shape == (n_rows,)


def test_law_4_alphas_meet_the_same_draws():
    weak, strong = (
        MixupSampler(alpha=a, lam_per="row", seed=0).draw(100) for a in (0.1, 1.0)
    )
    assert_array_equal(weak.partner, strong.partner)
    assert weak.seed == strong.seed
    assert_array_equal(np.argsort(weak.lam), np.argsort(strong.lam))


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_law_4_lam_is_beta(alpha):
    lam = MixupSampler(alpha=alpha, lam_per="row", seed=0).draw(200_000).lam
    # Moments of Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert_allclose(lam.mean(), 0.5, atol=0.005)
    assert_allclose(lam.var(), 0.25 / (2 * alpha + 1), rtol=0.01)


# Law 5: a mixed category holds no level that neither parent has.


@given(st.data())
def test_law_5_a_mixed_category_is_of_the_levels_of_its_parents(data):
    n = data.draw(st.integers(2, 8))
    levels = st.lists(st.sampled_from([*"abcd", None]), min_size=n, max_size=n)
    X = pd.DataFrame({"one": data.draw(levels), "two": data.draw(levels)}, dtype=object)
    lam = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    partner = np.array(data.draw(st.permutations(range(n))))
    draw = Draw(partner, np.array(lam))
    encoder = TableEncoder(["one", "two"], dtype=np.float64).fit(X)
    table = encoder.reader_.transform(X)
    hot = torch.from_numpy(encoder.transform(X))
    mixed = mixed_by(hot, hot[torch.from_numpy(partner)], draw).numpy()
    start = 0
    for j, cardinality in enumerate(encoder.cat_cardinalities_):
        group = mixed[:, start : start + cardinality - 1]
        seen = np.unique(table[:, j])
        expected = np.zeros_like(group)
        for i in range(n):
            expected[i, np.searchsorted(seen, table[i, j])] += lam[i]
            expected[i, np.searchsorted(seen, table[partner[i], j])] += 1 - lam[i]
        assert_allclose(group, expected, atol=1e-12)
        assert_allclose(group.sum(axis=1), 1)
        start += cardinality - 1


# Law 6: weights.


class Fixed(nn.Module):
    """Logistic regression that starts where it is told, in float64."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(3, 2).double()
        with torch.no_grad():
            self.output.weight.copy_(torch.linspace(-1, 1, 6).reshape(2, 3))
            self.output.bias.copy_(torch.tensor([0.3, -0.2]))

    def forward(self, X):
        return self.output(X)


class OneStep(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def one_step_net(batch_size):
    """Update by one step of gradient descent of rate 1: the step's gradient."""
    return NeuralNetClassifier(
        Fixed,
        criterion=nn.CrossEntropyLoss,
        lr=1.0,
        batch_size=batch_size,
        max_epochs=1,
        train_split=None,
        callbacks=[OneStep()],
        verbose=0,
    )


def parameters(module):
    return np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])


def gradient(loss):
    """Gradient of ``loss(module)`` at the fixed parameters, flat."""
    module = Fixed()
    loss(module).backward()
    return np.concatenate([p.grad.numpy().ravel() for p in module.parameters()])


def weighted_table(n_rows=12):
    """Two tight classes, one six times as heavy: what is biased shows."""
    y = np.arange(n_rows) % 2
    X = 0.1 * np.random.default_rng(0).normal(size=(n_rows, 3))
    X[:, 0] += 6 * y - 3
    return X, y, np.where(y == 1, 6, 1)


def mixed_losses(module, X, y, own, partner, lam):
    """Cross-entropy of rows mixed with partners, of the shape of `lam`."""
    X, y, lam = torch.tensor(X), torch.tensor(y), torch.tensor(lam)
    logits = module(lam[:, None] * X[own] + (1 - lam[:, None]) * X[partner])
    a, b = (F.cross_entropy(logits, y[r], reduction="none") for r in (own, partner))
    return a, b, lam


def all_pairs(n_rows, lams):
    """Every row with every row at every lam: three flat arrays."""
    grid = np.meshgrid(np.arange(n_rows), np.arange(n_rows), lams, indexing="ij")
    return [axis.ravel() for axis in grid]


def repeated_gradient(X, y, weight, lams):
    """Expected step gradient of the table of repeated rows, all pairs enumerated.

    A row and a partner are drawn from the repeated table alike, lam from `lams`.
    """
    X, y = np.repeat(X, weight, axis=0), np.repeat(y, weight)

    def loss(module):
        a, b, lam = mixed_losses(module, X, y, *all_pairs(len(y), lams))
        return (lam * a + (1 - lam) * b).mean()

    return gradient(loss)


class Grid:
    """A generator whose uniform numbers are an even grid: each outcome in its share."""

    def __init__(self, size):
        self.size = size

    def random(self, size):
        assert size == self.size
        return (np.arange(size) + 0.5) / size


def test_law_6_partners_are_drawn_in_proportion_to_their_weights():
    _, _, weight = weighted_table()
    rows = np.arange(100, 100 + len(weight))
    sampler = MixupSampler(alpha=1, lam_per="row", seed=0)
    sampler.bind(TrainingSet(None, np.zeros(200), rows, weight))
    sampler._partner = Grid(weight.sum())
    partners = sampler.draw(weight.sum()).partner
    assert_array_equal(np.bincount(partners - 100), weight)


def test_law_6_expected_gradient_is_that_of_repeated_rows():
    X, y, weight = weighted_table()
    n, total = len(y), weight.sum()
    lams = np.array([0.1, 0.7])
    relative = weight * (n / total)
    expected = 0
    for lam in lams:
        # The batch is the table; its partners run through the repeated table, each
        # row meeting each copy once.
        copies = np.repeat(np.arange(n), weight)
        for partner in copies:
            sampler = FixedSampler(np.full(n, partner), lam)
            sampler.from_table = True
            net = one_step_net(-1).set_params(callbacks=None)
            net, _ = step_loss(net, X, y, sampler, weight=relative)
            step = [p.grad.numpy().ravel() for p in net.module_.parameters()]
            expected += np.concatenate(step) / (len(lams) * total)
    assert_allclose(expected, repeated_gradient(X, y, weight, lams), rtol=0, atol=1e-10)


class EvenGrid:
    """A generator whose numbers are an even grid of as many as are asked for."""

    def random(self, size):
        return (np.arange(size) + 0.5) / size


@given(st.data())
def test_law_6_partners_are_as_of_repeated_rows_whatever_the_rule(data):
    n = data.draw(st.integers(1, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    y, copies = rng.integers(3, size=n), rng.integers(1, 3, size=n)
    name = data.draw(st.sampled_from(["same_class", "other_class"]))
    total = 27_720  # of which every number up to 12 is a divisor
    ours = bound(name, TrainingSet(None, y, np.arange(n), copies.astype(float)))
    for i in range(n):
        partner = ours(np.full(total, i), EvenGrid())
        like = (y == y[i]) == (name == "same_class")
        chance = copies * like if like.any() else np.arange(n) == i
        expected = chance / chance.sum()
        assert_allclose(np.bincount(partner, minlength=n) / total, expected, atol=1e-12)


ALPHA = 1.0


def seeds_z(updates, expected):
    updates = np.array(updates)
    error = updates.std(axis=0, ddof=1) / np.sqrt(len(updates))
    return np.abs((updates.mean(axis=0) - expected) / error).max()


def quantiles(n):
    from scipy.special import betaincinv

    return betaincinv(ALPHA, ALPHA, (np.arange(n) + 0.5) / n)


@pytest.mark.slow
def test_law_6_weighted_fits_agree_with_repeated_rows_over_400_seeds():
    X, y, weight = weighted_table(40)
    start = parameters(Fixed())
    updates = []
    for seed in range(400):
        clf = MixupClassifier(
            one_step_net(8), alpha=ALPHA, lam_per="batch", random_state=seed
        ).fit(X, y, sample_weight=weight)
        updates.append(start - parameters(clf.estimator_.module_))
    assert seeds_z(updates, repeated_gradient(X, y, weight, quantiles(20))) < 4


def naive(form, a, b, lam, own_weight, partner_weight):
    """Weigh the losses of both labels as others do."""
    if form == "two-term":
        return lam * own_weight * a + (1 - lam) * partner_weight * b
    return own_weight * partner_weight * (lam * a + (1 - lam) * b)


@pytest.mark.parametrize("form", ["two-term", "product"])
def test_law_6_rejects_the_naive_forms_enumerated(form):
    X, y, weight = weighted_table()
    relative, lams = torch.tensor(weight / weight.mean()), np.array([0.1, 0.7])
    own, partner, lam = all_pairs(len(y), lams)
    # Partners by a permutation of a batch of 8: itself once in 8 times.
    alone = own == partner
    share = torch.tensor(np.where(alone, 1 / 8, 7 / 8 / (len(y) - 1)))

    def loss(module):
        a, b, lam_ = mixed_losses(module, X, y, own, partner, lam)
        losses = naive(form, a, b, lam_, relative[own], relative[partner])
        return (share * losses).sum() / (len(y) * len(lams))

    bias = gradient(loss) - repeated_gradient(X, y, weight, lams)
    assert np.abs(bias).max() > 1e-3  # the law holds to 1e-10


@pytest.mark.parametrize("form", ["two-term", "product"])
def test_law_6_rejects_the_naive_forms_over_400_seeds(form):
    X, y, weight = weighted_table(40)
    relative = torch.tensor(weight / weight.mean())
    updates = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(y))[:8]
        if form == "two-term":
            partner = rng.permutation(rows)
        else:
            partner = rng.choice(len(y), size=8, p=weight / weight.sum())
        lam = np.full(8, rng.beta(ALPHA, ALPHA))

        def loss(module, rows=rows, partner=partner, lam=lam):
            a, b, lam = mixed_losses(module, X, y, rows, partner, lam)
            return naive(form, a, b, lam, relative[rows], relative[partner]).mean()

        updates.append(gradient(loss))
    assert seeds_z(updates, repeated_gradient(X, y, weight, quantiles(20))) > 5


@pytest.mark.parametrize("alpha", [0, 0.4])
def test_law_6_equal_weights_are_no_weights(wine, alpha):
    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=2), alpha=alpha, random_state=0)
    bare = clone(clf).fit(X, y).estimator_
    for value in (1.0, 3.0):
        weighted = clone(clf).fit(X, y, sample_weight=np.full(len(y), value))
        assert_same_net(weighted.estimator_, bare)


def test_law_6_equal_weights_are_no_weights_for_the_scaling_of_targets(diabetes):
    X, y = diabetes
    y = 1e-3 * y + 1e6
    reg = MixupRegressor(short_default_net("regressor"), random_state=0)
    weighted = clone(reg).fit(X, y, sample_weight=np.full(len(y), 3.0))
    assert_same_net(weighted.estimator_, clone(reg).fit(X, y).estimator_)


@pytest.mark.parametrize("alpha", [0, 1])
def test_law_6_class_weights_of_the_criterion_in_a_full_batch(wine, alpha):
    X, y = wine
    weight = np.where(y == 2, 5, 1)
    c = torch.tensor([1.0, 1.0, 20.0]).double()
    net = full_batch_net(lr=0.0, max_epochs=1, criterion__weight=c)
    if alpha:
        net.set_params(lr=0.0, max_epochs=300)
    clf = MixupClassifier(net, alpha=alpha, random_state=0)
    weighted = clone(clf).fit(X, y, sample_weight=weight)
    X_, y_ = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    repeated = clone(clf).fit(X_, y_)
    losses = [np.mean(m.history_[:, "train_loss"]) for m in (weighted, repeated)]
    assert_allclose(*losses, rtol=0.02 if alpha else 1e-10)


def test_law_6_rows_of_weight_0_leave_first(wine):
    X, y = wine
    keep = np.arange(len(y)) % 3 > 0
    # With an encoder and a split.
    clf = MixupClassifier(short_default_net(), random_state=0)
    weighted = clone(clf).fit(X, y, sample_weight=keep.astype(float))
    assert_same_net(weighted.estimator_, clone(clf).fit(X[keep], y[keep]).estimator_)
    gone = clone(clf).fit(X, y, sample_weight=(y != 1).astype(float))
    assert_array_equal(gone.classes_, [0, 2])


@pytest.mark.parametrize("alpha", [0, 0.4])
def test_law_6_class_weight_multiplies_into_sample_weight(wine, alpha):
    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=2), alpha=alpha, random_state=0)
    by_class = clone(clf).set_params(class_weight={0: 1, 1: 2, 2: 4})
    weights = np.array([1, 2, 4])[y]
    assert_same_net(
        by_class.fit(X, y).estimator_,
        clone(clf).fit(X, y, sample_weight=weights).estimator_,
    )
    by_class.fit(X, y, sample_weight=4 / weights)
    assert_same_net(by_class.estimator_, clone(clf).fit(X, y).estimator_)


def test_law_6_validation_is_weighted_alike():
    X, y, _ = weighted_table(40)
    net = full_batch_net(lr=0.1, max_epochs=3, optimizer=torch.optim.SGD)
    clf = MixupClassifier(net, alpha=0, class_weight={0: 1, 1: 5}, random_state=0)
    clf.fit(X, y, X_val=X, y_val=y)
    repeat = np.where(y == 1, 5, 1)
    X_, y_ = np.repeat(X, repeat, axis=0), np.repeat(y, repeat)
    repeated = clone(clf).set_params(class_weight=None).fit(X_, y_, X_val=X_, y_val=y_)
    assert_allclose(
        clf.history_[:, "valid_loss"], repeated.history_[:, "valid_loss"], rtol=1e-10
    )


# Law 7: held out means held out.


class Witness(Layers):
    """Remembers every row it is trained on."""

    seen = ()

    def forward(self, X):
        if self.training:
            Witness.seen += (X.detach().clone(),)
        return super().forward(X)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("given_rows", [False, True], ids=["train_split", "X_val"])
def test_law_7_held_out_rows_are_no_partners(cancer, weighted, given_rows):
    X, y = cancer
    X = X[:, :5].copy()
    held_out = np.zeros(len(y), dtype=bool)
    held_out[::4] = True
    # Training rows are 0 in the first column, so that a mixed row is, too.
    X[:, 0] = held_out
    Witness.seen = ()
    split = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    net = logits_net(max_epochs=2, train_split=ValidSplit(iter([split])))
    net.set_params(module=Witness)
    weight = 1.0 + np.arange(len(y)) % 3 if weighted else None
    clf = MixupClassifier(net, alpha=1, random_state=0)
    if given_rows:
        net.set_params(train_split=None)
        weight = weight[~held_out] if weighted else None
        rows = {"X_val": X[held_out], "y_val": y[held_out]}
        clf.fit(X[~held_out], y[~held_out], sample_weight=weight, **rows)
    else:
        clf.fit(X, y, sample_weight=weight)
    seen = torch.cat(Witness.seen)
    assert len(seen) == 2 * (~held_out).sum()
    assert (seen[:, 0] == 0).all()
    assert len(clf.history_[:, "valid_loss"]) == 2


def test_law_7_no_partners_from_an_earlier_split(cancer):
    X, y = cancer
    X = X[:, :5].copy()
    seen = []

    class Loop(NeuralNetClassifier):
        def fit_loop(self, X, y=None, epochs=None, **fit_params):
            for fold in range(3):
                held_out = np.arange(len(y)) % 3 == fold
                split = np.flatnonzero(~held_out), np.flatnonzero(held_out)
                self.train_split = ValidSplit(iter([split]))
                X[:, 0] = held_out
                Witness.seen = ()
                super().fit_loop(X, y, epochs=1, **fit_params)
                seen.append(torch.cat(Witness.seen)[:, 0].max().item())
            return self

    net = Loop(Witness, module__softmax=True, verbose=0, train_split=None)
    MixupClassifier(net, alpha=1, random_state=0).fit(X, y, sample_weight=1.0 + y)
    assert seen == [0, 0, 0]


def test_law_7_validation_rows_are_in_no_statistic_of_the_encoder(wine):
    X, y = wine
    clf = MixupClassifier(short_default_net(), random_state=0)
    without = clone(clf).fit(X, y)
    clf.fit(X, y, X_val=X + 100, y_val=y)
    assert_same_encoder(clf.encoder_, without.encoder_)


def assert_same_encoder(ours, theirs):
    assert_array_equal(ours.center_, theirs.center_)
    assert_array_equal(ours.scale_, theirs.scale_)
    for ours_of_one, theirs_of_one in zip(ours.bins_, theirs.bins_, strict=True):
        assert_array_equal(ours_of_one, theirs_of_one)
    assert ours.cat_cardinalities_ == theirs.cat_cardinalities_


def test_law_7_default_net_holds_out_rows_of_its_own(wine):
    X, y = wine
    clf = MixupClassifier(short_default_net(), random_state=0).fit(X, y)
    batches = clf.history_[-1]["batches"]
    n_train = sum(batch.get("train_batch_size", 0) for batch in batches)
    n_valid = sum(batch.get("valid_batch_size", 0) for batch in batches)
    assert n_train + n_valid == len(y)
    assert n_valid > 0
    medians = np.quantile(X, 0.5, axis=0, method="inverted_cdf")
    assert_array_equal(clf.encoder_.center_, medians)  # of all of them


# Law 9: any batch works.


@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [2, 3, 33, 65])
def test_law_9_odd_last_and_single_batches(cancer, n_rows, weighted, lam_per):
    X, y = cancer
    rows = np.r_[np.flatnonzero(y == 0)[: n_rows // 2], np.flatnonzero(y == 1)][:n_rows]
    weight = np.arange(1.0, n_rows + 1) if weighted else None
    clf = MixupClassifier(logits_net(max_epochs=2), lam_per=lam_per, random_state=0)
    clf.fit(X[rows], y[rows], sample_weight=weight)  # BatchNorm refuses single rows
    assert np.isfinite(clf.predict_proba(X)).all()


def test_law_9_batches_of_one_row_are_unmixed(wine):
    X, y = wine
    net = full_batch_net(batch_size=1, max_epochs=1)
    mixed = MixupClassifier(net, alpha=1, random_state=0).fit(X, y)
    bare = MixupClassifier(net, alpha=0, random_state=0).fit(X, y)
    assert_allclose(mixed.predict_proba(X), bare.predict_proba(X), rtol=1e-9)


def test_law_9_batches_of_one_class(wine):
    X, y = wine  # sorted by class
    net = logits_net(max_epochs=2, iterator_train__shuffle=False)
    clf = MixupClassifier(net, alpha=1, random_state=0).fit(X, y)
    assert clf.score(X, y) > 0.3
    assert np.isfinite(clf.history_[:, "train_loss"]).all()


# Law 10: evaluation never mixes.


def test_law_10_validation_loss_is_of_clean_rows(cancer):
    X, y = cancer
    net = full_batch_net(max_epochs=3)
    clf = MixupClassifier(net, alpha=1, random_state=0)
    clf.fit(X, y, X_val=X, y_val=y)
    proba = clf.predict_proba(X)
    clean = -np.log(proba[np.arange(len(y)), y]).mean()
    assert_allclose(clf.history_[-1, "valid_loss"], clean, rtol=1e-10)


class TrainsTwice(NeuralNetClassifier):
    def fit(self, X, y, **fit_params):
        return super().fit(X, y, **fit_params).partial_fit(X, y)


def test_law_10_scorings_get_their_cache_back_after_every_training(cancer):
    X, y = cancer
    on_train = EpochScoring("accuracy", on_train=True, name="on_train")
    net = softmax_net(kind=TrainsTwice, max_epochs=1, callbacks=[on_train])
    clf = MixupClassifier(net, alpha=1, random_state=0).fit(X, y)
    assert clf.n_iter_ == 2
    assert dict(clf.estimator_.callbacks_)["EpochScoring"].use_caching is True


class Losses(Callback):
    def on_train_begin(self, net, **kwargs):
        self.losses = []

    def on_batch_end(self, net, training=False, loss=None, **kwargs):
        if training:
            self.losses.append(loss.item())


def test_law_10_train_loss_is_what_the_step_minimised(cancer):
    X, y = cancer
    net = full_batch_net(max_epochs=2, callbacks=[Losses()])
    clf = MixupClassifier(net, alpha=1, random_state=0).fit(X, y)
    losses = dict(clf.estimator_.callbacks_)["Losses"].losses
    assert_allclose(clf.history_[:, "train_loss"], losses, rtol=1e-12)


@pytest.mark.parametrize("use_caching", ["auto", True])
@pytest.mark.parametrize("scoring", [EpochScoring, BatchScoring])
def test_law_10_scores_on_training_rows_are_of_clean_rows(cancer, scoring, use_caching):
    X, y = cancer
    on_train = scoring(
        "accuracy", on_train=True, name="on_train", lower_is_better=False
    )
    net = logits_net(
        max_epochs=2, batch_size=-1, callbacks=[on_train], use_caching=use_caching
    )
    clf = MixupClassifier(net, alpha=1, random_state=0).fit(X, y)
    if scoring is EpochScoring:
        assert_allclose(clf.history_[-1, "on_train"], clf.score(X, y))
    # The first batch was scored by the net after one step.
    after_one = clone(clf).set_params(estimator__max_epochs=1).fit(X, y)
    assert_allclose(clf.history_[0, "on_train"], after_one.score(X, y))
    assert clf.estimator_.use_caching == use_caching


class Rows(torch.utils.data.Dataset):
    """A dataset that skorch knows nothing of."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, row):
        return self.X[row], self.y[row]


def test_law_10_scores_that_cannot_be_of_clean_rows_are_warned_of(cancer):
    X, y = cancer
    on_train = EpochScoring("accuracy", on_train=True, name="train_acc")
    net = logits_net(max_epochs=1, callbacks=[on_train], dataset=Rows)
    with pytest.warns(UserWarning, match=r"\(train_acc\) are of mixed rows"):
        MixupClassifier(net, alpha=1).fit(X, y)


class PredictsInMidStep(Callback):
    steps = 0

    def __init__(self, X):
        self.X = X

    def on_grad_computed(self, net, **kwargs):
        net.module_.eval()
        clean = net.module_(torch.as_tensor(self.X)).softmax(-1).detach().numpy()
        assert_allclose(net.predict_proba(self.X), clean, rtol=1e-5)
        net.module_.train()
        PredictsInMidStep.steps += 1


def test_law_10_callbacks_may_predict_in_mid_step(wine):
    X, y = wine
    callback = PredictsInMidStep(X.astype(np.float32))
    net = logits_net(max_epochs=1, callbacks=[callback])
    MixupClassifier(net, alpha=1, random_state=0).fit(X, y)
    assert PredictsInMidStep.steps == 6


@pytest.mark.parametrize(("alpha", "low", "high"), [(0, 1, 1), (1, 0.3, 0.7)])
def test_law_10_each_epoch_records_lam_mean(cancer, alpha, low, high):
    X, y = cancer
    clf = MixupClassifier(
        logits_net(max_epochs=3), alpha=alpha, lam_per="row", random_state=0
    ).fit(X, y)
    lams = clf.history_[:, "lam_mean"]
    assert len(lams) == 3
    assert all(low <= lam <= high for lam in lams)


# Law 11: a mix that does not reach both the rows and the loss is an error.


class NoInfer(NeuralNetClassifier):
    def train_step_single(self, batch, **fit_params):
        Xi, yi = unpack_data(batch)
        y_pred = self.module_(Xi)
        loss = self.get_loss(y_pred, yi, X=Xi, training=True)
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


class NoGetLoss(NeuralNetClassifier):
    def train_step_single(self, batch, **fit_params):
        Xi, yi = unpack_data(batch)
        y_pred = self.infer(Xi)
        loss = self.criterion_(y_pred.log(), yi)
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


class NoSingleStep(NeuralNetClassifier):
    def train_step(self, batch, **fit_params):
        self.optimizer_.zero_grad()
        Xi, yi = unpack_data(batch)
        y_pred = self.infer(Xi)
        loss = self.get_loss(y_pred, yi, X=Xi, training=True)
        loss.backward()
        self.optimizer_.step()
        return {"loss": loss, "y_pred": y_pred}


class NoTrainStep(NeuralNetClassifier):
    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        step_fn = self.train_step_single if training else step_fn
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)


class MicroBatches(NeuralNetClassifier):
    def train_step(self, batch, **fit_params):
        X, y = batch
        half = len(y) // 2
        self.train_step_single((X[:half], y[:half]))
        return self.train_step_single((X[half:], y[half:]))


@pytest.mark.parametrize(
    "kind", [NoInfer, NoGetLoss, NoSingleStep, NoTrainStep, MicroBatches]
)
def test_law_11_a_step_that_is_not_mixed_is_an_error(cancer, kind):
    X, y = cancer
    net = kind(Layers, module__softmax=True, max_epochs=1, train_split=None)
    with pytest.raises(RuntimeError, match=f"step of {kind.__name__} that"):
        MixupClassifier(net, alpha=0.2).fit(X, y)
    MixupClassifier(net, alpha=0).fit(X, y)
    if kind in (NoSingleStep, NoTrainStep):
        with pytest.raises(RuntimeError, match="were not mixed or weighted"):
            MixupClassifier(net, alpha=0).fit(X, y, sample_weight=1.0 + y)


# Law 12: scikit-learn's tools work.


@pytest.mark.slow
def test_law_12_grid_search_is_the_same_in_parallel(wine):
    X, y = wine
    grid = {"alpha": [0, 0.2, 1], "estimator__lr": [0.01, 0.001]}
    clf = MixupClassifier(logits_net(max_epochs=3), random_state=0)
    scores = [
        GridSearchCV(clf, grid, cv=3, n_jobs=n_jobs, scoring="neg_log_loss")
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    assert_array_equal(*scores)
    assert len(set(scores[0])) == 6


@pytest.mark.parametrize(
    "wrap",
    [
        lambda clf: make_pipeline(StandardScaler(), clf),
        lambda clf: CalibratedClassifierCV(clf, cv=2),
        lambda clf: BaggingClassifier(clf, n_estimators=2, random_state=0),
        lambda clf: StackingClassifier(
            [("mixup", clf), ("linear", LogisticRegression())], cv=2
        ),
    ],
    ids=["pipeline", "calibrated", "bagging", "stacking"],
)
def test_law_12_inside_other_estimators(wine, wrap):
    X, y = wine
    labels = np.array(["red", "rosé", "white"])[y]
    clf = wrap(MixupClassifier(logits_net(max_epochs=10), random_state=0))
    assert clf.fit(X, labels).score(X, labels) > 0.9


def test_law_12_cross_val_predict(wine):
    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=10), random_state=0)
    proba = cross_val_predict(clf, X, y, cv=3, method="predict_proba")
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert (proba.argmax(axis=1) == y).mean() > 0.9


def test_law_12_metadata_routing(wine):
    from sklearn import config_context

    X, y = wine
    weight = 1.0 + np.arange(len(y)) % 3
    clf = MixupClassifier(logits_net(max_epochs=2), random_state=0)
    with config_context(enable_metadata_routing=True):
        clf.set_fit_request(sample_weight=True)
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        routed = cross_validate(
            clf,
            X,
            y,
            cv=2,
            scoring=scorer,
            params={"sample_weight": weight},
            return_estimator=True,
            return_indices=True,
        )
    train = routed["indices"]["train"][0]
    direct = clone(clf).fit(X[train], y[train], sample_weight=weight[train])
    assert_same_net(routed["estimator"][0].estimator_, direct.estimator_)


def test_law_12_validation_rows_pass_a_pipeline(wine):
    from sklearn import config_context
    from sklearn.pipeline import Pipeline

    X, y = wine
    clf = MixupClassifier(logits_net(max_epochs=2), random_state=0)
    with config_context(enable_metadata_routing=True):
        clf.set_fit_request(X_val=True, y_val=True)
        steps = [("scale", StandardScaler()), ("clf", clf)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        pipeline.fit(10 * X + 5, y, X_val=10 * X + 5, y_val=y)
    direct = clone(clf).fit(X, y, X_val=X, y_val=y)
    assert_allclose(
        pipeline[-1].history_[:, "valid_loss"],
        direct.history_[:, "valid_loss"],
        rtol=1e-3,
    )
