"""Any skorch net trains, whatever it overrides, on real tables."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sample_nets import (
    Layers,
    binary_net,
    full_batch_net,
    logits_net,
    number_net,
    softmax_net,
)
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler, scale
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    InputShapeSetter,
    LRScheduler,
    ProgressBar,
    TrainEndCheckpoint,
)
from skorch.dataset import Dataset, ValidSplit, unpack_data
from skorch.helper import predefined_split
from skorch.hf import AccelerateMixin
from torch import nn
from torch.utils.data import DataLoader, Subset, default_collate

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix._mixing.sampler import MixupSampler
from skmix._training.loader import Batches, in_memory_batches
from skmix._training.patch import mixed_training
from skmix._training.skorch_compat import as_module_dtype
from skmix.mixing import OwnMajor
from skmix.networks import TabularNet


def numbers(X):
    """Any raw table as finite numbers, categories one-hot (sparse or dense)."""
    words = make_column_selector(dtype_exclude="number")
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), words), remainder=scaled
    )
    return encoder.fit_transform(X)


class Focal(nn.Module):
    """A criterion of one's own, that knows no reduction."""

    def forward(self, logits, y):
        log_proba = logits.log_softmax(-1)[torch.arange(len(y)), y]
        return -((1 - log_proba.exp()) ** 2 * log_proba).mean()


class OwnStep(NeuralNetClassifier):
    """Overrides the step, as for gradient noise or mixed precision."""

    def train_step_single(self, batch, **fit_params):
        self.module_.train()
        Xi, yi = unpack_data(batch)
        y_pred = self.infer(Xi + 0.01 * torch.randn_like(Xi), **fit_params)
        loss = self.get_loss(y_pred, yi, X=Xi, training=True)
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


class OwnLoss(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        penalty = sum(p.abs().sum() for p in self.module_.parameters())
        return loss + 1e-5 * penalty if training else loss


class AcceleratedNet(AccelerateMixin, NeuralNetClassifier):
    pass


def accelerated_net(**params):
    from accelerate import Accelerator

    shared = logits_net().get_params(deep=False)
    names = ("optimizer", "lr", "max_epochs", "batch_size", "criterion")
    return AcceleratedNet(
        Layers,
        accelerator=Accelerator(cpu=True, mixed_precision="bf16"),
        train_split=None,
        **{name: shared[name] for name in names} | params,
    )


def noisy_collate(rows):
    X, y = default_collate(rows)
    return X + 0.01 * torch.randn_like(X), y


class OwnLoader:
    """An iterator of one's own, that loads tuples in reverse order."""

    def __init__(self, dataset, batch_size):
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self):
        for start in range(0, len(self.dataset), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(self.dataset)))
            yield tuple(default_collate([self.dataset[i] for i in reversed(rows)]))


class OwnDataset(Dataset):
    def transform(self, X, y):
        X, y = super().transform(X, y)
        return X * 0.9, y


CLASSIFIERS = {
    "softmax": softmax_net,
    "logits": logits_net,
    "class weights": lambda: logits_net(criterion__weight=torch.tensor([1.0, 1.5])),
    "label smoothing": lambda: logits_net(criterion__label_smoothing=0.1),
    "binary": binary_net,
    "sum": lambda: logits_net(criterion__reduction="sum", lr=1e-3),
    "focal": lambda: logits_net(
        criterion=Focal, predict_nonlinearity=nn.Softmax(dim=-1)
    ),
    "NeuralNet": lambda: NeuralNet(
        Layers, nn.CrossEntropyLoss, max_epochs=30, train_split=None, lr=0.1
    ),
    "own step": lambda: softmax_net(kind=OwnStep),
    "own loss": lambda: softmax_net(kind=OwnLoss),
    "accelerate": accelerated_net,
    "LBFGS": lambda: logits_net(
        optimizer=torch.optim.LBFGS, lr=0.5, batch_size=-1, max_epochs=3
    ),
    "compiled": lambda: logits_net(compile=True, compile__backend="eager"),
    "double": lambda: logits_net(module__double=True),
    "train_split": lambda: logits_net(train_split=ValidSplit(0.2, stratified=True)),
    "own iterator": lambda: logits_net(iterator_train=OwnLoader),
    "collate": lambda: logits_net(iterator_train__collate_fn=noisy_collate),
    "workers": lambda: logits_net(iterator_train__num_workers=1, max_epochs=10),
    "own dataset": lambda: logits_net(dataset=OwnDataset),
    "module instance": lambda: logits_net(module=Layers(d_in=5)),
}
NO_ROW_LOSSES = ("focal",)
ROWS_UNKNOWN = (
    "accelerate", "own iterator", "collate", "workers", "own dataset", "focal"
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of torch.compile's own
@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_train_on_a_real_table(name, lam_per):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)[:, [0, 1, 4, 8, 11]]  # some of the weaker columns
    clf = MixupClassifier(
        CLASSIFIERS[name](), alpha=0.4, lam_per=lam_per, random_state=0
    )
    if lam_per == "row" and name in NO_ROW_LOSSES:
        with pytest.raises(ValueError, match="lam_per='batch'"):
            clf.fit(X, y)
        return
    clf.fit(X, y)
    assert clf.score(X, y) > 0.85  # the majority has 0.63
    assert 0.2 < np.mean(clf.history_[:, "lam_mean"]) < 0.8
    short = clone(clf).set_params(estimator__max_epochs=3)
    expected = short.fit(X, y).predict_proba(X)
    assert_array_equal(clone(short).fit(X, y).predict_proba(X), expected)
    weight = 1.0 + np.arange(len(y)) % 2
    if name in ROWS_UNKNOWN:
        with pytest.raises(ValueError, match=r"lam_per='batch'|which rows a batch"):
            clf.fit(X, y, sample_weight=weight)
    else:
        assert clf.fit(X, y, sample_weight=weight).score(X, y) > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize(
    "criterion", [nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss]
)
def test_regressors_train_on_a_real_table(criterion, lam_per):
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    net = number_net(criterion=criterion, lr=0.03)
    reg = MixupRegressor(net, alpha=0.4, lam_per=lam_per, random_state=0).fit(X, y)
    assert reg.score(X, y) > 0.4
    assert reg.fit(X, y, sample_weight=1.0 + np.arange(len(y)) % 2).score(X, y) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["credit-g", "colic", "soybean", "sonar", "splice"])
def test_default_net_trains_on_real_tables_one_hot(table, name):
    X, y = table(name)
    X = numbers(X)  # a CSR matrix where categories are many
    clf = MixupClassifier(random_state=0).fit(X, y)
    proba = clf.predict_proba(X)
    majority = y.value_counts(normalize=True).max()
    assert clf.score(X, y) > majority + 0.05
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert_array_equal(clf.classes_, np.unique(y))


class Codes(nn.Module):
    """Takes numbers and category codes by name."""

    def __init__(self, n_num, cardinalities, d_out=2):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(c, 4) for c in cardinalities)
        self.output = nn.Linear(n_num + 4 * len(cardinalities), d_out)

    def forward(self, x_num, x_cat):
        codes = [e(x_cat[:, i]) for i, e in enumerate(self.embeddings)]
        return self.output(torch.cat([x_num, *codes], dim=1))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_dict_input_of_a_real_table(lam_per, weighted):
    X, y = load_breast_cancer(return_X_y=True)
    x_num = scale(X[:, :3])
    bins = KBinsDiscretizer(
        5, encode="ordinal", quantile_method="averaged_inverted_cdf"
    )
    x_cat = bins.fit_transform(X[:, 3:10]).astype(np.int64)
    net = logits_net(
        module=Codes,
        module__n_num=x_num.shape[1],
        module__cardinalities=x_cat.max(0) + 1,
    )
    X = {"x_num": x_num, "x_cat": x_cat}
    X_val = {name: column[:100] for name, column in X.items()}
    weight = 1.0 + np.arange(len(y)) % 3 if weighted else None
    clf = MixupClassifier(net, alpha=1, lam_per=lam_per, random_state=0)
    clf.fit(X, y, sample_weight=weight, X_val=X_val, y_val=y[:100])
    assert clf.score(X, y) > 0.85  # the majority has 0.63
    assert not hasattr(clf, "n_features_in_")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(X, y[:-1])


CALLBACKS = {
    "EpochScoring": lambda: EpochScoring("roc_auc", on_train=True),
    "BatchScoring": lambda: BatchScoring("accuracy", on_train=True),
    "Checkpoint": lambda: Checkpoint(dirname="checkpoint"),
    "TrainEndCheckpoint": lambda: TrainEndCheckpoint(dirname="checkpoint"),
    "EarlyStopping": lambda: EarlyStopping(patience=2, load_best=True),
    "LRScheduler": lambda: LRScheduler("StepLR", step_size=2),
    "Plateau": lambda: LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
    "OneCycle": lambda: LRScheduler(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=0.02,
        total_steps=200,
        step_every="batch",
    ),
    "GradientNormClipping": lambda: GradientNormClipping(1.0),
    "Freezer": lambda: Freezer("hidden.0*"),
    "InputShapeSetter": lambda: InputShapeSetter(param_name="d_in"),
    "ProgressBar": lambda: ProgressBar(),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_work(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = load_breast_cancer(return_X_y=True)
    callbacks = [CALLBACKS[name]()]
    split = ValidSplit(0.2, stratified=True)
    net = logits_net(max_epochs=4, callbacks=callbacks, train_split=split)
    if name == "InputShapeSetter":
        net.set_params(module__d_in=1)
    clf = MixupClassifier(net, alpha=0.4, random_state=0).fit(scale(X), y)
    assert clf.score(scale(X), y) > 0.85


def test_callbacks_may_be_disabled():
    X, y = load_breast_cancer(return_X_y=True)
    net = logits_net(max_epochs=4, callbacks="disable")
    assert (
        MixupClassifier(net, random_state=0).fit(scale(X), y).score(scale(X), y) > 0.8
    )


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X).astype(np.float32), y


# One draw a step, however many passes it takes.


class CountingSampler(MixupSampler):
    draws = 0

    def draw(self, n_rows, n_steps=1, **kwargs):
        self.draws += 1
        return super().draw(n_rows, n_steps, **kwargs)


class Inputs(Layers):
    seen = ()

    def forward(self, X):
        if self.training:
            Inputs.seen += (X.detach().clone(),)
        return super().forward(X)


def test_the_closure_calls_of_LBFGS_share_one_draw(cancer):
    X, y = cancer
    Inputs.seen = ()
    sampler = CountingSampler(alpha=1, lam_per="row", seed=0)
    net = full_batch_net(module=Inputs, optimizer=torch.optim.LBFGS, max_epochs=1)
    net.set_params(module__d_in=30)
    with mixed_training(net, sampler=sampler):
        net.fit(X, y)
    assert sampler.draws == 1
    assert len(Inputs.seen) > 5
    assert all(torch.equal(seen, Inputs.seen[0]) for seen in Inputs.seen)


# The net is as it was, whatever happens in the block.


def test_seams_are_taken_back_after_an_error(cancer):
    class Fails(NeuralNetClassifier):
        def check_data(self, X, y):
            assert "infer" in vars(self)
            raise RuntimeError("boom")

    net = Fails(Layers, module__d_in=30).initialize()
    before = vars(net).copy()
    with pytest.raises(RuntimeError, match="boom"), mixed_training(net):
        net.partial_fit(*cancer)
    assert vars(net) == before


# What a user's class does besides: iterate, split, predict, reconstruct.


class Peek(Callback):
    """Looks at a batch of its own in the middle of an epoch."""

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        next(iter(net.get_iterator(dataset_train, training=True)))

    def on_batch_end(self, net, **kwargs):
        next(iter(net.get_iterator(self.rows, training=False)))

    def on_train_begin(self, net, X, y, **kwargs):
        self.rows = Dataset(X[:7], y[:7])


@pytest.mark.parametrize("weighted", [False, True])
def test_other_iterators_change_no_draw_and_no_weight(cancer, weighted):
    X, y = cancer
    weight = 1.0 + y if weighted else None
    net = full_batch_net(iterator_train__shuffle=False, batch_size=100, max_epochs=3)
    clf = MixupClassifier(net, alpha=1, random_state=0)
    alone = clone(clf).fit(X, y, sample_weight=weight)
    clf.set_params(estimator__callbacks=[Peek()]).fit(X, y, sample_weight=weight)
    for name in ("lam_mean", "train_loss"):
        assert clf.history_[:, name] == alone.history_[:, name]


class OwnLoop(NeuralNetClassifier):
    """Draws a subset of the rows for each epoch."""

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        train, _ = self.get_split_datasets(X, y)
        for _ in range(epochs or self.max_epochs):
            self.notify("on_epoch_begin", dataset_train=train, dataset_valid=None)
            rows = torch.randperm(len(train))[:100]
            batches = self.get_iterator(Subset(train, rows), training=True)
            self.run_single_epoch(
                batches, training=True, prefix="train", step_fn=self.train_step
            )
            self.notify("on_epoch_end", dataset_train=train, dataset_valid=None)
        return self


def test_a_loop_of_ones_own_is_mixed_and_weighted(cancer):
    X, y = cancer
    net = softmax_net(kind=OwnLoop, max_epochs=3)
    clf = MixupClassifier(net, alpha=1, random_state=0)
    lams = clone(clf).fit(X, y).history_[:, "lam_mean"]
    assert len(set(lams)) == 3
    first, second = (
        clone(clf).fit(X, y, sample_weight=w).history_[-1, "train_loss"]
        for w in (1.0 + y, 2.0 - y)
    )
    assert first != second


class OwnRows(NeuralNetClassifier):
    def get_split_datasets(self, X, y=None, **fit_params):
        return Dataset(X[::-2].copy(), y[::-2].copy()), None


def test_weights_are_never_those_of_other_rows(cancer):
    X, y = cancer
    net = softmax_net(kind=OwnRows, max_epochs=1)
    MixupClassifier(net).fit(X, y)
    with pytest.raises(ValueError, match="which rows a batch holds"):
        MixupClassifier(net).fit(X, y, sample_weight=1.0 + y)
    # Validation rows of another table have no weights.
    split = predefined_split(Dataset(X[:50], y[:50]))
    clf = MixupClassifier(logits_net(train_split=split), random_state=0)
    clf.fit(X[50:], y[50:], sample_weight=1.0 + y[50:])
    beside = MixupClassifier(logits_net(), random_state=0)
    beside.fit(X[50:], y[50:], sample_weight=1.0 + y[50:], X_val=X[:50], y_val=y[:50])
    # (Rows that are given do not draw, so that later epochs are in another order.)
    assert clf.history_[0, "valid_loss"] == beside.history_[0, "valid_loss"]


def test_to_validate_on_rows_that_are_given_does_not_change_the_training(cancer):
    X, y = cancer
    clf = MixupClassifier(logits_net(max_epochs=3), random_state=0)
    alone = clone(clf).fit(X[50:], y[50:])
    beside = clone(clf).fit(X[50:], y[50:], X_val=X[:50], y_val=y[:50])
    for name, value in alone.estimator_.module_.state_dict().items():
        assert torch.equal(value, beside.estimator_.module_.state_dict()[name])


class Augmented(Subset):
    def __getitem__(self, row):
        X, y = super().__getitem__(row)
        return X + 1, y

    def __getitems__(self, rows):
        return [self[row] for row in rows]


def augmenting_split(dataset, y):
    return Augmented(dataset, np.arange(len(dataset))), None


def test_subsets_of_ones_own_are_respected(cancer):
    X, y = cancer
    net = logits_net(train_split=augmenting_split, max_epochs=1)
    augmented = MixupClassifier(net, random_state=0).fit(X, y)
    shifted = MixupClassifier(net.set_params(train_split=None), random_state=0)
    shifted.fit(X + 1, y)
    assert_array_equal(augmented.predict_proba(X), shifted.predict_proba(X))


class Teacher(NeuralNetClassifier):
    """Predicts in the middle of its step."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        if training:
            clean = Teacher.rows
            self.module_.eval()
            expected = self.module_(torch.as_tensor(clean)).detach().numpy()
            np.testing.assert_allclose(self.predict_proba(clean), expected, rtol=1e-5)
            self.module_.train()
            Teacher.lessons += 1
        return super().get_loss(y_pred, y_true, X=X, training=training)


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_predictions_in_the_middle_of_a_step_are_of_clean_rows(cancer, lam_per):
    X, y = cancer
    Teacher.rows, Teacher.lessons = X[:7], 0
    net = softmax_net(kind=Teacher, max_epochs=1)
    MixupClassifier(net, alpha=1, lam_per=lam_per, random_state=0).fit(X, y)
    assert Teacher.lessons == 2 * 18  # the loss of both labels, in each of 18 steps


class Autoencoder(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.output = nn.Linear(d_in, d_out)

    def forward(self, X):
        return self.output(X).softmax(-1), X.clone()


class Reconstructs(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        proba, decoded = y_pred
        assert torch.equal(decoded, X)
        return super().get_loss(proba, y_true, X=X, training=training)


def test_reconstruction_losses_see_the_mixed_rows(cancer):
    X, y = cancer
    net = Reconstructs(Autoencoder, max_epochs=1, train_split=None)
    clf = MixupClassifier(net, alpha=1, random_state=0)
    assert clf.fit(X, y, X_val=X, y_val=y).predict_proba(X).shape == (len(y), 2)


class Quantiles(NeuralNetRegressor):
    """Two outputs for one number, with a loss and a prediction of its own."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        error = y_true.reshape(-1, 1) - y_pred
        levels = torch.tensor([0.25, 0.75])
        return torch.maximum(levels * error, (levels - 1) * error).mean()

    def predict(self, X):
        return super().predict(X).mean(axis=1)


def test_regressors_with_outputs_of_their_own(cancer):
    X, y = cancer
    net = number_net(kind=Quantiles, module__d_out=2)
    assert MixupRegressor(net, random_state=0).fit(X, y).score(X, y) > 0.5


@pytest.mark.parametrize("lam_per", ["batch", "row"])
def test_criteria_made_by_a_partial(cancer, lam_per):
    X, y = cancer
    weight = torch.tensor([1.0, 20.0])
    partly = partial(nn.CrossEntropyLoss, weight=weight)
    losses = [
        MixupClassifier(logits_net(**params), lam_per=lam_per, random_state=0)
        .fit(X, y)
        .history_[:, "train_loss"]
        for params in ({"criterion": partly}, {"criterion__weight": weight})
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 3.0]).double()])
def test_rows_of_an_ignored_class_add_nothing(cancer, weight):
    X, y = cancer
    net = full_batch_net(
        lr=0.0, max_epochs=1, criterion__ignore_index=0, criterion__weight=weight
    )
    clf = MixupClassifier(net, alpha=0, random_state=0)
    bare, by_row = (
        clone(clf).fit(X, y, sample_weight=w).history_[-1, "train_loss"]
        for w in (None, 1 + 1e-12 * y)
    )
    np.testing.assert_allclose(bare, by_row, rtol=1e-9)


# In-memory batches are used where nothing is the user's own, and only there.


def dataset(X, y):
    return Dataset(X, y)


@pytest.mark.parametrize(
    ("params", "in_memory"),
    [
        ({}, True),
        ({"iterator_train__shuffle": True, "iterator_train__drop_last": True}, True),
        ({"iterator_train__collate_fn": noisy_collate}, False),
        ({"iterator_train__num_workers": 1}, False),
        ({"iterator_train": OwnLoader}, False),
    ],
)
def test_in_memory_batches(cancer, params, in_memory):
    batches = in_memory_batches(logits_net(**params), Dataset(*cancer), training=True)
    assert isinstance(batches, Batches) == in_memory


def test_in_memory_batches_respect_datasets_and_overrides(cancer):
    class OwnIterator(NeuralNetClassifier):
        def get_iterator(self, dataset, training=False):
            return super().get_iterator(dataset, training=training)

    net = OwnIterator(Layers)
    assert in_memory_batches(net, Dataset(*cancer), training=True) is None
    own = OwnDataset(*cancer)
    assert in_memory_batches(logits_net(), own, training=True) is None
    no_targets = Dataset(cancer[0])
    assert in_memory_batches(logits_net(), no_targets, training=False) is None


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "expected"),
    [
        (65, 32, 33),
        (64, 32, 32),
        (33, 32, 33),
        (3, 2, 3),
        (7, 2, 4),
        (5, 1, 1),
        (1, 8, 8),
    ],
)
def test_no_last_batch_of_one_row(n_rows, batch_size, expected):
    X, y = np.zeros((n_rows, 5), np.float32), np.zeros(n_rows, int)
    net = logits_net(batch_size=batch_size)
    batches = in_memory_batches(net, Dataset(X, y), training=True)
    assert batches.batch_size == expected
    assert (
        in_memory_batches(net, Dataset(X, y), training=False).batch_size == batch_size
    )


def test_fitted_net_deals_with_its_own_iterators(cancer):
    X, y = cancer
    fitted = MixupClassifier(logits_net(max_epochs=1)).fit(X, y).estimator_
    assert isinstance(fitted.get_iterator(Dataset(X, y)), DataLoader)


# dtypes


def test_as_module_dtype():
    net = logits_net().initialize()
    X32, X64 = np.zeros((3, 5), np.float32), np.zeros((3, 5))
    assert as_module_dtype(net, X32) is X32
    assert as_module_dtype(net, X64).dtype == np.float32
    codes = np.zeros((3, 5), np.int64)
    assert as_module_dtype(net, {"x": X64, "codes": codes})["codes"] is codes
    double = logits_net(module__double=True).initialize()
    assert as_module_dtype(double, X32).dtype == np.float64
    X32.flags.writeable = False
    for odd in (X32, X64[::-1].astype("f4"), np.zeros((5, 3), "f4").T[::-1]):
        torch.from_numpy(as_module_dtype(net, odd))  # warns and raises otherwise
    for odd in (codes[::-1], codes.astype(">i8"), codes[:, ::-1]):
        assert_array_equal(torch.from_numpy(as_module_dtype(net, odd)), odd)
    half = logits_net(module=nn.Linear, module__in_features=5, module__out_features=2)
    half.set_params(module__dtype=torch.float16).initialize()
    assert as_module_dtype(half, X64).dtype == np.float16
    with pytest.raises(ValueError, match="too large for float32"):
        as_module_dtype(net, np.full((3, 5), 1e300))


def test_targets_take_the_shape_of_the_output():
    class Flat(Layers):
        def forward(self, X):
            return super().forward(X)[:, 0]

    X = np.random.default_rng(0).normal(size=(60, 5))
    y = X[:, 0]
    column, flat = (
        MixupRegressor(
            NeuralNetRegressor(module, lr=0.1, train_split=None, verbose=0),
            random_state=0,
        ).fit(X, y)
        for module in (Layers, Flat)
    )
    assert column.history_[-1, "train_loss"] < 0.5
    assert_array_equal(column.predict(X), flat.predict(X))


# bfloat16, which numpy has not.


class Brain(nn.Module):
    """A module in bfloat16, or one that computes in it under autocast."""

    def __init__(self, d_in, d_out, autocast=False, dtype=torch.bfloat16, dropout=0.0):
        super().__init__()
        self.hidden = nn.Linear(d_in, 32)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(32, d_out)
        self.autocast = autocast
        if not autocast:
            self.to(dtype)

    def forward(self, X):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return self.output(self.dropout(torch.relu(self.hidden(X))))


class OwnEpoch(NeuralNetClassifier):
    def run_single_epoch(self, *args, **kwargs):
        return super().run_single_epoch(*args, **kwargs)

    def infer(self, x, **fit_params):
        return super().infer(x, **fit_params)


class NumberEpoch(NeuralNetRegressor):
    def run_single_epoch(self, *args, **kwargs):
        return super().run_single_epoch(*args, **kwargs)

    def infer(self, x, **fit_params):
        return super().infer(x, **fit_params)


SMALL = {"max_epochs": 8, "lr": 0.01, "optimizer": torch.optim.Adam, "verbose": 0}
BRAINS = {"bfloat16": {}, "autocast": {"module__autocast": True}}
MIXES = {
    "input": {},
    "none": {"alpha": 0},
    "layer": {"layers": "hidden"},
    "rows": {"lam_per": "row"},
    "both": {"clean_weight": 0.5},
    "layer of rows": {"layers": "hidden", "lam_per": "row", "clean_weight": 0.5},
    "cutmix": {"mixing": "cutmix"},
    "cutmix in a layer": {"mixing": "cutmix", "layers": "hidden"},
    "own major": {"mixing": OwnMajor()},
    "nearest": {"pairing": "nearest", "lam_per": "row"},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("way", ["short", "long"])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("brain", BRAINS)
def test_classifiers_in_bfloat16(cancer, brain, mix, way, weighted):
    X, y = cancer
    kind = NeuralNetClassifier if way == "short" else OwnEpoch
    net = kind(Brain, criterion=nn.CrossEntropyLoss, train_split=None, **SMALL)
    net.set_params(**BRAINS[brain], callbacks=[EpochScoring("roc_auc", name="auc")])
    net.set_params(criterion__weight=torch.tensor([1.0, 1.5]))
    clf = MixupClassifier(net, random_state=0, **({"alpha": 0.4} | MIXES[mix]))
    weight = 1.0 + np.arange(len(y)) % 2 if weighted else None
    clf.fit(X, y, sample_weight=weight, X_val=X[:99], y_val=y[:99])
    proba = clf.predict_proba(X)
    assert proba.dtype == np.float64
    assert clf.score(X, y) > 0.9
    assert clf.history_[-1, "auc"] > 0.9


@pytest.mark.parametrize("way", ["short", "long"])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("brain", BRAINS)
def test_regressors_in_bfloat16(cancer, brain, mix, way):
    X, y = cancer
    net = number_net(kind=NumberEpoch if way == "long" else NeuralNetRegressor)
    net.set_params(module=Brain, max_epochs=8, **BRAINS[brain])
    reg = MixupRegressor(net, random_state=0, **({"alpha": 0.4} | MIXES[mix]))
    reg.fit(X, y, X_val=X[:99], y_val=y[:99])
    assert reg.predict(X).dtype == np.float64
    assert reg.score(X, y) > 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_outputs_of_other_dtypes_are_left_as_they_are(cancer, dtype):
    X, y = cancer
    seen = set()

    class Loss(nn.CrossEntropyLoss):
        def forward(self, output, y):
            seen.add(output.dtype)
            return super().forward(output, y)

    net = logits_net(module=Brain, module__dtype=dtype, criterion=Loss, max_epochs=1)
    net.set_params(optimizer=torch.optim.SGD)  # (Adam fails in float16)
    clf = MixupClassifier(net, random_state=0).fit(X, y, X_val=X, y_val=y)
    assert seen == {dtype}
    assert clf.predict_proba(X).dtype == np.float64


class Named(Brain):
    def forward(self, numbers, codes):
        return super().forward(numbers) + codes.sum(dim=1, keepdim=True) * 0


@pytest.mark.parametrize("brain", BRAINS)
def test_dicts_and_partial_fit_in_bfloat16(cancer, brain):
    X, y = cancer
    net = logits_net(module=Named, module__d_in=30, module__d_out=2)
    net.set_params(**BRAINS[brain])
    table = {"numbers": X, "codes": np.ones((len(X), 2), dtype=np.int64)}
    clf = MixupClassifier(net, random_state=0).fit(table, y).partial_fit(table, y)
    assert clf.score(table, y) > 0.9


def test_the_members_of_the_default_kind_in_bfloat16(cancer):
    class InBfloat16(TabularNet):
        def __init__(self, d_in, d_out, bins=()):
            super().__init__(d_in, d_out, bins=bins)
            self.to(torch.bfloat16)

    net = default_net("classifier").set_params(module=InBfloat16, max_epochs=5)
    assert MixupClassifier(net, random_state=0).fit(*cancer).score(*cancer) > 0.9


# A layer that the module goes by.


class Residual(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.first = nn.Linear(d_in, 8)
        self.inner = nn.Linear(8, 8)
        self.beside = nn.Linear(d_in, 8)
        self.output = nn.Linear(16, d_out)

    def forward(self, X):
        h = self.first(X)
        h = h + self.inner(h)
        return self.output(torch.cat([h, self.beside(X)], dim=1))


@pytest.mark.parametrize("n_rows", [100, 2, 1])
@pytest.mark.parametrize("clean_weight", [0, 0.5])
@pytest.mark.parametrize("layer", ["first", "inner", "beside"])
@pytest.mark.parametrize("way", ["short", "long"])
def test_a_layer_that_the_module_goes_by_is_named(
    cancer, layer, way, n_rows, clean_weight
):
    X, y = (part[:100] for part in cancer)
    if n_rows == 1 and clean_weight:
        return
    kind = NeuralNetClassifier if way == "short" else OwnEpoch
    net = kind(Residual, criterion=nn.CrossEntropyLoss, train_split=None)
    net.set_params(module__d_in=30, module__d_out=2, verbose=0, batch_size=n_rows)
    net.set_params(iterator_train__drop_last=True, max_epochs=1)
    clf = MixupClassifier(net, layers=layer, clean_weight=clean_weight)
    match = f"layers='{layer}'.*the module goes by that layer.*layers='input'"
    with pytest.raises(RuntimeError, match=match):
        clf.fit(X, y)
    clf.set_params(layers="output").fit(X, y)


def test_a_layer_that_numbers_go_by_is_named(cancer):
    net = number_net(module=Residual)
    with pytest.raises(RuntimeError, match="the module goes by that layer"):
        MixupRegressor(net, layers="inner").fit(*cancer)


class Fails(Layers):
    def forward(self, X):
        logits = super().forward(X)
        raise RuntimeError("no luck today")
        return logits


def test_other_errors_of_modules_are_theirs(cancer):
    net = logits_net(module=Fails)
    with pytest.raises(RuntimeError, match=r"^no luck today$"):
        MixupClassifier(net, layers="hidden").fit(*cancer)
