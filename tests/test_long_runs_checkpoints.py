"""Long runs that are killed and started again end as if they had not been."""

import json
import os
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sample_nets import Layers, logits_net, tiny_default_net
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping, EpochScoring, LRScheduler
from torch import nn

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressorCV
from skmix._long_runs import checkpoints
from skmix._long_runs.checkpoints import Checkpoint, Folder, NotKept
from skmix._long_runs.digests import digest_of
from skmix._vectorized import candidates
from skmix.inspection import mixup_effect
from skmix.mixing import OwnMajor

ROOT = Path(__file__).parents[1]


class Killed(BaseException):
    """What no code catches, as nothing catches SIGKILL."""


@pytest.fixture
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)


@pytest.fixture
def small(wine):
    X, y = wine
    return X[::2], y[::2]


def bits(fitted, X):
    """All that a fit leaves but the time it took, to be compared to the last bit."""
    histories = [member.history_.to_list() for member in fitted.estimators_]
    for row in chain.from_iterable(histories):
        row.pop("dur", None)
    names = ("curves_", "epochs_", "alpha_weights_", "best_score_", "temperature_")
    names += ("oof_proba_", "oof_prediction_", "gains_", "vectorized_")
    found = {name: getattr(fitted, name, None) for name in names}
    found["cv"] = {k: v for k, v in fitted.cv_results_.items() if "time" not in k}
    predict = getattr(fitted, "predict_proba", fitted.predict)
    return repr_of([found, histories, predict(X)])


def repr_of(value):
    """The value as text, in which equal bits and no others are equal."""
    if isinstance(value, dict):
        return str([(k, repr_of(v)) for k, v in value.items()])
    if isinstance(value, list | tuple):
        return str([repr_of(v) for v in value])
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str((value.dtype, value.shape, value.tobytes()))
    return repr(value)


def dying(function, k, *, before):
    """Let the k-th call of a function be the last thing that a process does."""
    calls = []

    def call(*args, **kwargs):
        calls.append(args)
        if before and len(calls) == k:
            raise Killed
        result = function(*args, **kwargs)
        if len(calls) == k:
            raise Killed
        return result

    return call


def killed_at(monkeypatch, where, run, *, k=1, before=False):
    """Run until it ends; each process dies at its k-th call. Return how many died."""
    module, name = where
    n_killed = 0
    while True:
        with monkeypatch.context() as patch:
            function = getattr(module, name)
            patch.setattr(module, name, dying(function, k, before=before))
            try:
                return run(), n_killed
            except Killed:
                n_killed += 1
        assert n_killed < 100


@contextmanager
def filtered(message):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message)
        yield


WRITE = checkpoints, "replace_file"
WIDE = {"cv": 3, "random_state": 0}
SCHEDULE = {"policy": torch.optim.lr_scheduler.OneCycleLR, "step_every": "batch"}
SCHEDULE |= {"max_lr": 0.03, "total_steps": 100}
STOP = EarlyStopping(patience=2, load_best=True, threshold=0.05)
PLATEAU = {"policy": torch.optim.lr_scheduler.ReduceLROnPlateau, "patience": 0}
CASES = {
    "default": (tiny_default_net(max_epochs=5), {}),
    "patience": (
        tiny_default_net(max_epochs=9, lr=0.1, callbacks__early_stopping__patience=2),
        {},
    ),
    "on all rows": (tiny_default_net(max_epochs=4), {"ensemble": False}),
    "dropout, stopped": (
        logits_net(max_epochs=7, module__dropout=0.3, callbacks=[STOP]),
        {"lam_per": "row"},
    ),
    "schedule": (
        logits_net(max_epochs=4, callbacks=[LRScheduler(**SCHEDULE)]),
        {"mixing": "cutmix", "pairing": "nearest"},
    ),
    "plateau": (
        logits_net(
            max_epochs=6,
            optimizer=torch.optim.SGD,
            optimizer__momentum=0.9,
            callbacks=[LRScheduler(monitor="valid_loss", **PLATEAU)],
        ),
        {"mixing": OwnMajor(), "class_weight": "balanced"},
    ),
    "folds of two sizes": (
        logits_net(max_epochs=4, callbacks=[STOP]),
        {"cv": [(np.arange(0, 89, 2), [1, 43, 87]), (np.arange(1, 80), [0, 81, 88])]},
    ),
}


@pytest.mark.filterwarnings("ignore:The training loss of members")
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_search_that_is_killed_after_each_write(
    name, small, every_epoch, monkeypatch, tmp_path
):
    X, y = small
    net, params = CASES[name]
    search = MixupClassifierCV(net, **(WIDE | params))
    expected = bits(search.fit(X, y), X)
    search.set_params(checkpoint=tmp_path)
    found, n_killed = killed_at(monkeypatch, WRITE, lambda: search.fit(X, y))
    assert n_killed >= 3
    assert bits(found, X) == expected
    assert bits(search.fit(X, y), X) == expected  # all of it from the folder


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["auto", "input"])
def test_a_search_for_numbers_with_weights(layers, every_epoch, monkeypatch, tmp_path):
    X, y = (part[:90] for part in load_diabetes(return_X_y=True))
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    net = tiny_default_net("regressor", max_epochs=4)
    search = MixupRegressorCV(net, layers=layers, **WIDE)
    expected = bits(search.fit(X, y, weight), X)
    search.set_params(checkpoint=tmp_path)
    run = partial(search.fit, X, y, weight)
    found, n_killed = killed_at(monkeypatch, WRITE, run)
    assert n_killed >= 4
    assert bits(found, X) == expected


@pytest.mark.slow
@pytest.mark.parametrize("way", ["alone", "singly"])
def test_members_that_are_not_vectorized(
    way, small, every_epoch, monkeypatch, tmp_path
):
    X, y = small
    net, params = logits_net(max_epochs=3), {"clean_weight": 1.0}
    if way == "singly":
        net, params = tiny_default_net(max_epochs=3), {}
        monkeypatch.setattr("skmix._vectorized.support.LARGE_STEP", 0)
    search = MixupClassifierCV(net, alphas=(0, 1), **WIDE, **params)
    with filtered("Members are trained one by one"):
        expected = bits(search.fit(X, y), X)
        search.set_params(checkpoint=tmp_path)
        found, n_killed = killed_at(monkeypatch, WRITE, lambda: search.fit(X, y))
    assert n_killed == {"alone": 6, "singly": 8 + 1}[way]  # and the net on all rows
    assert bits(found, X) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "k", "before"),
    [
        ((os, "replace"), 1, True),  # in a write, which leaves the last state
        ((os, "fsync"), 2, False),
        ((candidates.VectorizedFit, "_record"), 20, True),  # in an epoch
        ((candidates.VectorizedFit, "_steps"), 4, True),
        ((candidates._JointTraining, "trained"), 1, True),  # all are trained
    ],
)
def test_a_search_that_is_killed_in_between(
    where, k, before, small, every_epoch, monkeypatch, tmp_path
):
    X, y = small
    search = MixupClassifierCV(logits_net(max_epochs=4), **WIDE)
    expected = bits(search.fit(X, y), X)
    search.set_params(checkpoint=tmp_path)
    with monkeypatch.context() as patch:
        module, name = where
        patch.setattr(module, name, dying(getattr(module, name), k, before=before))
        with pytest.raises(Killed):
            search.fit(X, y)
    assert not hasattr(search, "estimators_") or bits(search, X) == expected
    for path in tmp_path.iterdir():
        Checkpoint(path).read()  # whole, whenever it was
    assert bits(search.fit(X, y), X) == expected


MODELS = {
    "one by one": MixupClassifier(tiny_default_net(max_epochs=2), alpha="auto"),
    "side by side": MixupClassifierCV(logits_net(max_epochs=3), alphas=(0, 1)),
    "pipeline": make_pipeline(
        StandardScaler(), MixupClassifier(logits_net(max_epochs=3), alpha=0.5)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_an_effect_that_is_killed(name, small, every_epoch, monkeypatch, tmp_path):
    X, y = small
    X = pd.DataFrame(X).assign(c=np.where(X[:, 0] > 0, "high", "low"))
    if name == "pipeline":
        X = X.drop(columns="c")
        X.columns = X.columns.astype(str)
    X.columns = X.columns.astype(str)
    options = {"cv": 3, "n_repeats": 2, "random_state": 0}
    expected = mixup_effect(MODELS[name], X, y, **options)

    def run(**more):
        own = options | more
        return mixup_effect(MODELS[name], X, y, checkpoint=tmp_path, **own)

    found, n_killed = killed_at(monkeypatch, WRITE, run)
    assert n_killed >= 6
    for effect in (found, run(), run(n_jobs=2)):
        pd.testing.assert_frame_equal(effect.table, expected.table, check_exact=True)
        pd.testing.assert_frame_equal(effect.scores, expected.scores, check_exact=True)
        pd.testing.assert_frame_equal(effect.chosen, expected.chosen)


# One file for each piece of work.


def files_of(tmp_path, fit):
    """Names of the files that a fit writes, and those that it reads."""
    read, own = set(), Checkpoint.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "read", lambda self: read.add(self.path) or own(self))
        fit(tmp_path)
    return read


def test_other_work_has_other_files(small, tmp_path):
    X, y = small
    net, weight = logits_net(max_epochs=1), np.linspace(1, 2, len(y))
    moved, groups = X.copy(), np.arange(len(y))
    moved[0, 0] += 1e-9
    variants = [
        ({}, (X, y), {}),
        ({}, (moved, y), {}),
        ({}, (X, np.r_[y[:-1], 0]), {}),
        ({}, (X, y, weight), {}),
        ({"pairing": "lisa"}, (X, y), {"groups": groups // 5}),
        ({"pairing": "lisa"}, (X, y), {"groups": groups // 4}),
        ({"alphas": (0, 1)}, (X, y), {}),
        ({"random_state": 1, "cv": KFold(2)}, (X, y), {}),
        ({"random_state": 2, "cv": KFold(2)}, (X, y), {}),
        ({"cv": KFold(2)}, (X, y), {}),
        ({"cv": KFold(3)}, (X, y), {}),
        ({"lam_per": "row"}, (X, y), {}),
        ({"estimator__lr": 0.02}, (X, y), {}),
        ({"estimator__module__d": 16}, (X, y), {}),
        ({"estimator__module": lambda d_in, d_out: nn.Linear(d_in, d_out)}, (X, y), {}),
    ]
    seen = []
    for params, data, more in variants:
        search = MixupClassifierCV(clone(net), cv=2, random_state=0)
        search.set_params(**params)
        expected = bits(search.fit(*data, **more), X)
        search.set_params(checkpoint=tmp_path)
        files = files_of(tmp_path, lambda _, s=search, d=data, m=more: s.fit(*d, **m))
        assert bits(search, X) == expected
        seen.append(files)
    assert len(set.union(*seen)) == sum(map(len, seen))


def test_what_does_not_change_the_training_has_the_same_files(small, tmp_path):
    X, y = small
    search = MixupClassifierCV(
        logits_net(max_epochs=2), cv=2, random_state=0, checkpoint=tmp_path
    )
    search.fit(X, y)
    names = set(tmp_path.iterdir())
    for params in ({"scoring": "accuracy"}, {"ensemble": True}, {"n_jobs": 2}):
        search.set_params(**params).fit(pd.DataFrame(X).to_numpy(), y)
    assert set(tmp_path.iterdir()) == names


def test_clones_in_a_search_of_searches(small, tmp_path, monkeypatch):
    X, y = small
    own = {"cv": 2, "alphas": (0, 1), "random_state": 0}
    search = MixupClassifierCV(logits_net(max_epochs=2), **own)
    grid = {"lam_per": ["batch", "row"]}
    expected = GridSearchCV(search, grid, cv=2).fit(X, y)
    search.set_params(checkpoint=tmp_path)
    GridSearchCV(search, grid, cv=2).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 5
    # Whatever was trained is not trained again.
    monkeypatch.setattr(candidates, "_JointTraining", None)
    again = GridSearchCV(search, grid, cv=2).fit(X, y)
    key = "mean_test_score"
    np.testing.assert_array_equal(again.cv_results_[key], expected.cv_results_[key])
    assert bits(again.best_estimator_, X) == bits(expected.best_estimator_, X)


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["input", ["input", "hidden"]])
def test_processes_leave_and_find_the_same_files(layers, small, tmp_path):
    X, y = small
    net, own = logits_net(max_epochs=3), {"cv": 2, "alphas": (0, 1), "layers": layers}
    with filtered("Members are trained one by one"):
        search = MixupClassifierCV(net, random_state=0, **own)
        expected = bits(search.fit(X, y), X)
        search.set_params(checkpoint=tmp_path, n_jobs=2)
        assert bits(search.fit(X, y), X) == expected
        names = sorted(tmp_path.iterdir())
        assert bits(search.set_params(n_jobs=1).fit(X, y), X) == expected
    assert sorted(tmp_path.iterdir()) == names


def test_digests_of_functions_and_objects():
    def scaled(factor):
        return lambda x: factor * x

    alike = [digest_of(scaled(2)), digest_of(scaled(2))]
    assert alike[0] == alike[1]
    values = [scaled(2), scaled(3), lambda x: x, lambda x: x + 1, Layers, nn.Linear]
    values += [Layers(), partial(Layers, d=3), partial(Layers, d=4), np.zeros((2, 3))]
    values += [np.zeros((3, 2)), np.zeros(6), torch.zeros(6), [0.0] * 6, (0.0,) * 6]
    values += [torch.zeros(6, dtype=torch.bfloat16), "0", 0, 0.0, -0.0, False, None]
    values += [{1: 2}, {2: 1}, {1, 2}, np.array(["a", None]), pd.DataFrame({"a": [1]})]
    values += [pd.DataFrame({"b": [1]}), ["ab", "c"], ["a", "bc"], KFold(3), KFold(4)]
    assert len({digest_of(value) for value in values}) == len(values)
    around = []
    around.append(around)
    assert digest_of(around) != digest_of([[]])


# Files.


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda content: content[:-1], "damaged"),
        (lambda content: content[: len(content) // 2], "damaged"),
        (
            lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],
            "damaged",
        ),
        (lambda content: content + b"\n", "damaged"),
        (lambda content: b"", "does not begin"),
        (lambda content: b"PK" + content, "does not begin"),
    ],
)
def test_a_damaged_file_is_refused_by_name(damage, why, small, tmp_path):
    X, y = small
    search = MixupClassifierCV(
        logits_net(max_epochs=1), cv=2, random_state=0, checkpoint=tmp_path
    )
    search.fit(X, y)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    with pytest.raises(ValueError, match=f"(?s){path.name}.*{why}.*Delete this file"):
        search.fit(X, y)
    path.unlink()
    search.fit(X, y)


def test_a_file_under_the_name_of_another_is_refused(tmp_path):
    one, other = (Folder(tmp_path).checkpoint(work) for work in (1, 2))
    one.write("what one has done")
    one.path.rename(other.path)
    with pytest.raises(ValueError, match="damaged"):
        other.read()
    assert one.read() is None


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    checkpoint = Folder(tmp_path / "new" / "folder").checkpoint("work")
    checkpoint.write([1, np.float32(2)])
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, dying(None, 1, before=True))
            with pytest.raises(Killed):
                checkpoint.write([3])
        assert checkpoint.read() == [1, np.float32(2)]
    assert list(checkpoint.path.parent.iterdir()) == [checkpoint.path]


def test_a_full_disk_does_not_end_a_training(tmp_path, monkeypatch):
    checkpoint = Folder(tmp_path).checkpoint("work")
    full = partial(dying_of, OSError(28, "No space left on device"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        checkpoint.write([1])
    assert list(tmp_path.iterdir()) == []


def dying_of(error, *args):
    raise error


def test_values_come_back_as_they_were(tmp_path):
    generator = np.random.default_rng(0).bit_generator.state
    value = {
        ("a", 1): [None, True, 2**100, 1.5, "ä", b"b", 1j, {3}, (np.float64(4),)],
        "arrays": [np.zeros((0, 3), dtype="f4"), np.array(["x"]), np.array(True)],
        "states": [generator, np.random.RandomState(0).get_state(legacy=False)],
    }
    checkpoint = Folder(tmp_path).checkpoint("work")
    checkpoint.write(value | {"tensor": torch.arange(1000.0)[3]})
    assert checkpoint.path.stat().st_size < 30_000  # no more than the view
    found = checkpoint.read()
    assert found.pop("tensor") == 3
    assert repr_of(found) == repr_of(value)
    for held in (object(), [KFold(2)], np.array([None])):
        with pytest.raises(NotKept):
            checkpoint.write(held)


def test_states_are_kept_from_time_to_time(small, tmp_path, monkeypatch):
    X, y = small
    written = []
    monkeypatch.setattr(Checkpoint, "write", lambda self, value: written.append(value))
    own = {"cv": 2, "random_state": 0, "checkpoint": tmp_path}
    MixupClassifierCV(logits_net(max_epochs=3), **own).fit(X, y)
    assert [list(value) for value in written] == [["trained"]]
    monkeypatch.setattr(checkpoints, "INTERVAL", -1.0)
    MixupClassifierCV(logits_net(max_epochs=3), **own).fit(X, y)
    states = ["state", "state", "state", "trained"]
    assert [next(iter(value)) for value in written[1:]] == states


# What cannot be continued.


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_a_seed_is_needed(random_state, small, tmp_path):
    own = {"random_state": random_state, "checkpoint": tmp_path}
    search = MixupClassifierCV(logits_net(), **own)
    with pytest.raises(ValueError, match=r"random_state.*expected an int"):
        search.fit(*small)
    with pytest.raises(ValueError, match=r"random_state.*expected an int"):
        mixup_effect(MixupClassifier(logits_net(), alpha=1), *small, **own)


def test_what_is_no_folder_is_refused(small, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    search = MixupClassifierCV(logits_net(), random_state=0, checkpoint=path)
    with pytest.raises(ValueError, match="a folder, and no file"):
        search.fit(*small)
    with pytest.raises(TypeError, match="path of a folder"):
        search.set_params(checkpoint=True).fit(*small)


class Remembering:
    """A mixing that does something else each time, which no file knows."""

    n_calls = 0

    def bind(self, table, layer=None):
        return self.mix

    def mix(self, x, x_partner, lam, y, y_partner, rng):
        Remembering.n_calls += 1
        return x, 1.0


class Hooked(Layers):
    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        self.output.register_forward_hook(lambda *args: None)


class Secretive(nn.Module):
    """Its outputs depend on what neither parameters nor buffers hold."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.output, self.seen = nn.Linear(d_in, d_out), KFold(2)

    def forward(self, X):
        if self.training:
            self.seen.n_splits += 1
        return self.output(X) * self.seen.n_splits


def test_what_may_remember_more_is_kept_at_the_end_alone(small, tmp_path, every_epoch):
    X, y = small
    own = {"cv": 2, "alphas": (1,), "random_state": 0, "checkpoint": tmp_path}
    search = MixupClassifierCV(logits_net(max_epochs=2), mixing=Remembering(), **own)
    with pytest.warns(UserWarning, match=r"Remembering.* may remember"):
        expected = bits(search.fit(X, y), X)
    (path,) = tmp_path.iterdir()
    assert list(Checkpoint(path).read()) == ["trained"]
    assert bits(search.fit(X, y), X) == expected
    search = MixupClassifierCV(logits_net(module=Hooked, max_epochs=2), **own)
    with pytest.warns(UserWarning, match="in output, hooks"):
        search.fit(X, y)


def test_a_net_that_would_not_predict_the_same_is_not_kept(small, tmp_path):
    X, y = small
    net = logits_net(module=Secretive, max_epochs=2)
    own = {"cv": 2, "alphas": (1,), "random_state": 0, "clean_weight": 1.0}
    search = MixupClassifierCV(net, checkpoint=tmp_path, **own)
    with (
        filtered("Members are trained one by one"),
        pytest.warns(UserWarning, match="more than its tensors and plain values"),
    ):
        search.fit(X, y)
    assert list(tmp_path.iterdir()) == []


def test_callbacks_of_the_user_are_no_hindrance(small, tmp_path, monkeypatch):
    X, y = small
    callbacks = [EpochScoring("f1_macro", lower_is_better=False)]
    net = logits_net(max_epochs=2, callbacks=callbacks)
    search = MixupClassifierCV(net, cv=2, alphas=(0, 1), random_state=0)
    with filtered("Members are trained one by one"):
        expected = bits(search.fit(X, y), X)
        search.set_params(checkpoint=tmp_path)
        found, n_killed = killed_at(monkeypatch, WRITE, lambda: search.fit(X, y))
    assert n_killed == 4
    assert bits(found, X) == expected


def test_ctrl_c_leaves_the_estimator_and_the_last_state(
    small, every_epoch, tmp_path, monkeypatch
):
    X, y = small
    net = logits_net(max_epochs=4)
    search = MixupClassifierCV(net, **WIDE)
    expected = bits(search.fit(X, y), X)
    search = MixupClassifierCV(net, checkpoint=tmp_path, **WIDE)
    with monkeypatch.context() as patch:
        epoch = candidates.VectorizedFit.epoch

        def interrupted(self):
            if len(self.nets[0].history) == 2:
                signal.raise_signal(signal.SIGINT)
            epoch(self)

        patch.setattr(candidates.VectorizedFit, "epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search.fit(X, y)
    assert not hasattr(search, "estimators_")
    (path,) = tmp_path.iterdir()
    assert Checkpoint(path).read()["state"]["n_epochs"] == 2
    assert bits(search.fit(X, y), X) == expected


LONG = (pytest.mark.slow, pytest.mark.long)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(
    ("n", "runs"),
    [
        pytest.param(2, ["--runs", "2"], marks=pytest.mark.slow),
        pytest.param(30, [], marks=LONG),
    ],
)
def test_real_kills_at_random_moments(n, runs, tmp_path):
    out = tmp_path / "kills.json"
    command = [sys.executable, "kills.py", "--kills", str(n), "--out", str(out), *runs]
    folder = ROOT / "benchmarks"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = os.environ | {"PYTHONPATH": path}
    subprocess.run(command, cwd=folder, env=environ, check=True, timeout=800)
    rows = json.loads(out.read_text("utf-8"))["summary"]
    assert sum(row["kills"] for row in rows) >= n
    assert all(row["ends"] == row["equal"] > 0 for row in rows)
