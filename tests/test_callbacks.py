"""Callbacks of scikit-learn: what they are told, and that they change nothing."""

import pickle
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sample_nets import logits_net, number_net, tiny_default_net
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import check_random_state
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from skorch.dataset import ValidSplit

import skmix
import skmix._default_net
from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
)

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has it")

X, Y = load_wine(return_X_y=True)
X = scale(X)
X_NUMBERS, NUMBERS = (part[:150] for part in load_diabetes(return_X_y=True))


def own(**params):
    return logits_net(module__d_in=13, module__d_out=3, **({"max_epochs": 4} | params))


def stopped_early(**params):
    """A net that stops by itself, and has the weights of its best epoch."""
    early = EarlyStopping(patience=3, load_best=True)
    split = ValidSplit(0.2, stratified=True)
    return own(train_split=split, callbacks=[early], max_epochs=30, lr=0.3)


def scheduled():
    return own(callbacks=[LRScheduler("StepLR", step_size=2, gamma=0.1)], lr=0.3)


def numbers():
    return number_net(module__d_in=10, module__d_out=1, max_epochs=4)


def default(task="classifier", max_epochs=5):
    return tiny_default_net(task, max_epochs=max_epochs)


ESTIMATORS = {
    "own": MixupClassifier(own(), alpha=0.5),
    "stopped early": MixupClassifier(stopped_early()),
    "scheduled": MixupClassifier(scheduled(), alpha=0.5),
    "numbers": MixupRegressor(numbers()),
    "default": MixupClassifier(default()),
    "default at 0.2": MixupClassifier(default(), alpha=0.2),
    "default of numbers": MixupRegressor(default("regressor")),
    "search": MixupClassifierCV(default(), cv=2),
    "search of numbers": MixupRegressorCV(numbers(), cv=2, ensemble=False),
    "one by one": MixupClassifierCV(own(), cv=2, alphas=(0.2,), clean_weight=1.0),
}


def new(name, *callbacks):
    estimator = clone(ESTIMATORS[name]).set_params(random_state=0)
    return estimator.set_callbacks(*callbacks)


def data_of(estimator):
    classify = "Classifier" in type(estimator).__name__
    return (X, Y) if classify else (X_NUMBERS, NUMBERS)


def fit(estimator, **params):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Members are trained one by one")
        return estimator.fit(*data_of(estimator), **params)


def predicted(estimator):
    name = "predict_proba" if hasattr(estimator, "classes_") else "predict"
    return getattr(estimator, name)(data_of(estimator)[0])


def path_of(context):
    """Names and numbers of the tasks from the root to this one."""
    above = () if context.parent is None else path_of(context.parent)
    return (*above, f"{context.task_name} {context.task_id}")


def epochs(n, *above, name="epoch"):
    return [("fit 0", *above, f"{name} {k}") for k in range(n)]


class Told:
    """Notes what it is told, and asks for nothing."""

    def __init__(self):
        self.log, self.most = [], {}

    def _note(self, event, context):
        self.log.append((event, path_of(context)))
        self.most[path_of(context)] = context.max_subtasks

    def setup(self, estimator, context):
        self._note("setup", context)

    def on_fit_task_begin(self, estimator, context):
        self._note("begin", context)

    def on_fit_task_end(self, estimator, context):
        self._note("end", context)

    def teardown(self, estimator, context):
        self._note("teardown", context)

    def paths(self, event):
        return [path for name, path in self.log if name == event]


class Seen(Told):
    """Notes estimators and what fit was given, and draws from global generators."""

    def __init__(self):
        super().__init__()
        self.fitted, self.given = {}, []

    def setup(self, estimator, context):
        super().setup(estimator, context)
        self._draw()

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata):
        super().on_fit_task_begin(estimator, context)
        self._draw(X, y, metadata)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        super().on_fit_task_end(estimator, context)
        self._draw(X, y, metadata)
        self.fitted[path_of(context)] = fitted_estimator

    def teardown(self, estimator, context):
        super().teardown(estimator, context)
        self._draw()

    def _draw(self, *given):
        self.given += [given] if given else []
        check_random_state(None).rand()
        torch.rand(1)


class Pickles(Told):
    """Pickles what is fitted so far."""

    def __init__(self):
        super().__init__()
        self.made = {}

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        fitted_estimator.set_callbacks()
        self.made[path_of(context)] = pickle.dumps(fitted_estimator)


class StopsAt(Told):
    """Asks to stop at the end of a task."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return path_of(context) == self.path


class Fails(Told):
    """Raises an error at its nth event."""

    def __init__(self, n, error):
        super().__init__()
        self.n, self.error = n, error

    def _note(self, event, context):
        super()._note(event, context)
        if len(self.log) == self.n:
            raise self.error("as the test wants")


class Spread(Told):
    """Goes from a meta-estimator to its parts."""

    max_propagation_depth = None


# Results stay as they are.


@pytest.mark.parametrize("name", ESTIMATORS)
def test_callbacks_change_no_result(name):
    seen = Seen()
    without, heard = fit(new(name)), fit(new(name, seen))
    assert seen.paths("end")
    assert np.array_equal(predicted(without), predicted(heard))
    assert vars(heard).keys() - vars(without).keys() == {"_skl_callbacks"}
    if not hasattr(without, "history_"):
        return
    assert without.alpha_ == heard.alpha_
    for one, other in zip(without.history_, heard.history_, strict=True):
        assert one["train_loss"] == other["train_loss"]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_progress_bar_changes_no_result_and_ends(name, capsys):
    pytest.importorskip("rich")
    bar = callback.ProgressBar()
    assert np.array_equal(predicted(fit(new(name, bar))), predicted(fit(new(name))))
    shown = capsys.readouterr().out
    assert f"{type(ESTIMATORS[name]).__name__} - fit" in shown
    assert "100%" in shown


def test_generators_are_left_as_they_were():
    check_random_state(None).seed(1)
    torch.manual_seed(1)
    expected = check_random_state(None).rand(), torch.rand(1)
    check_random_state(None).seed(1)
    torch.manual_seed(1)
    fit(new("own", Seen()))
    assert (check_random_state(None).rand(), torch.rand(1)) == expected


WITHOUT = """
import sys
import sklearn.callback, sklearn.metrics, sklearn.model_selection, sklearn.pipeline
import sklearn.utils.estimator_checks
if sys.argv[1] == "absent":
    sys.modules["sklearn.callback"] = None  # to import it raises ImportError
elif sys.argv[1] == "renamed":
    del sklearn.callback.CallbackSupportMixin
import joblib
import numpy as np
import skmix
X = np.random.RandomState(0).randn(60, 4)
print(hasattr(skmix.MixupClassifier, "set_callbacks"))
found = []
for task, y in {"classifier": X[:, 0] > 0, "regressor": X[:, 0]}.items():
    net = skmix.default_net(task).set_params(max_epochs=2, module__k=1)
    name = f"Mixup{task.title()}"
    one = getattr(skmix, name)(net, random_state=0).fit(X, y)
    many = getattr(skmix, f"{name}CV")(net, cv=2, random_state=0).fit(X, y)
    found += [one.predict(X), many.predict(X)]
    one.__setstate__(one.__getstate__())
print(joblib.hash(found))
"""


@pytest.mark.slow
def test_where_scikit_learn_has_none_all_else_works(tmp_path):
    script = tmp_path / "without.py"
    script.write_text(WITHOUT, encoding="utf-8")
    root = str(Path(skmix.__file__).parents[1])
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", script, how],
            check=True,
            capture_output=True,
            text=True,
            cwd=root,
        ).stdout.split()
        for how in ("absent", "renamed", "present")
    ]
    assert [have for have, _ in said] == ["False", "False", "True"]
    assert len({found for _, found in said}) == 1


# Which tasks there are.


def test_a_net_that_is_trained_once_has_its_epochs():
    told = Told()
    fit(new("own", told))
    assert told.paths("begin") == [("fit 0",), *epochs(4)]
    assert told.paths("end") == [*epochs(4), ("fit 0",)]
    assert told.most == {("fit 0",): 4} | dict.fromkeys(epochs(4), 0)


def test_setup_comes_first_and_teardown_last():
    told = Told()
    fit(new("own", told))
    events = [event for event, _ in told.log]
    assert events == ["setup", "begin", *["begin", "end"] * 4, "end", "teardown"]
    assert {path for _, path in (told.log[0], told.log[-1])} == {("fit 0",)}


def test_an_epoch_in_which_early_stopping_stops_has_an_end():
    told = Told()
    n_epochs = len(fit(new("stopped early", told)).history_)
    assert n_epochs < 30
    assert told.paths("begin") == [("fit 0",), *epochs(n_epochs)]
    assert told.paths("end") == [*epochs(n_epochs), ("fit 0",)]


def test_the_default_net_explores_and_trains():
    told = Told()
    n_epochs = fit(new("default", told)).n_iter_
    parts = ["explore 0", "explore 1", "train 2"]
    assert [path for path in told.paths("end") if len(path) == 2] == [
        ("fit 0", part) for part in parts
    ]
    assert told.most["fit 0",] == 3
    assert told.most["fit 0", "explore 0"] == 5
    assert told.most["fit 0", "train 2"] == n_epochs
    assert set(epochs(n_epochs, "train 2")) < set(told.paths("end"))


def test_at_one_alpha_it_explores_once():
    told = Told()
    fit(new("default at 0.2", told))
    parts = [path[1] for path in told.paths("begin") if len(path) == 2]
    assert parts == ["explore 0", "train 1"]
    assert told.most["fit 0",] == 2


def test_with_rows_to_validate_on_it_is_trained_once():
    told = Told()
    fit(new("default at 0.2", told), X_val=X, y_val=Y)
    assert told.paths("begin") == [("fit 0",), *epochs(5)]


def test_a_net_with_a_fit_of_its_own_says_no_number():
    class Again(type(own())):
        def fit(self, X, y=None, **fit_params):
            super().fit(X, y, **fit_params)
            return self.partial_fit(X, y, **fit_params)

    told = Told()
    net = Again(**own(max_epochs=2).get_params(deep=False))
    clf = MixupClassifier(net, alpha=0, random_state=0)
    clf.set_callbacks(told).fit(X, Y)
    assert told.paths("end") == [*epochs(4), ("fit 0",)]
    assert told.most["fit 0",] is None


def test_the_net_may_change_its_number_of_epochs_when_training_begins():
    class Longer(Callback):
        def on_train_begin(self, net, **kwargs):
            net.max_epochs += 2

    told, net = Told(), own(callbacks=[Longer()])
    MixupClassifier(net, alpha=0).set_callbacks(told).fit(X, Y)
    assert told.paths("end") == [*epochs(6), ("fit 0",)]


@pytest.fixture
def diverging(monkeypatch):
    """Return a function that lets one training of those that explore diverge."""
    n_trained, explore = [], skmix._default_net.TabularNeuralNet.explore

    def let(which, lr):
        def diverges(net, *args, **kwargs):
            n_trained.append(net)
            if len(n_trained) == which + 1:
                net.set_params(lr=lr)
            return explore(net, *args, **kwargs)

        monkeypatch.setattr(skmix._default_net.TabularNeuralNet, "explore", diverges)
        return n_trained

    return let


@pytest.mark.parametrize("which", [0, 1])
def test_a_training_that_diverged_has_an_end(which, diverging):
    n_trained = diverging(which, lr=1e30)
    told, seen = Told(), Seen()
    new("default", told, seen).fit(X, Y)
    assert len(n_trained) == 2
    assert sorted(told.paths("begin")) == sorted(told.paths("end"))
    assert seen.fitted["fit 0", f"explore {which}"] is None


@pytest.mark.parametrize("which", [0, 1])
def test_a_training_that_diverged_in_its_last_step_has_one_end(which, diverging):
    n_trained = diverging(which, lr=1e38)
    told, net = Told(), default(max_epochs=1).set_params(batch_size=-1)
    MixupClassifier(net, random_state=0).set_callbacks(told).fit(X, Y)
    assert len(n_trained) == 2
    assert sorted(told.paths("begin")) == sorted(told.paths("end"))


def test_an_epoch_that_is_broken_off_has_an_end():
    class Breaks(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    told, net = Told(), own(callbacks=[Breaks()])
    MixupClassifier(net, alpha=0).set_callbacks(told).fit(X, Y)
    assert told.paths("end") == [*epochs(1), ("fit 0",)]


@pytest.mark.parametrize(
    ("name", "params", "leaves", "parts"),
    [
        ("search", {}, epochs(5, "members 0"), 2),
        ("search", {"ensemble": True}, epochs(5, "members 0"), 1),
        ("search of numbers", {}, epochs(4, "members 0"), 2),
        ("one by one", {}, epochs(4, "members 0", name="member"), 1),
        pytest.param(
            *("one by one", {"n_jobs": 2}, epochs(2, "members 0", name="group"), 1),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_search_tells_what_it_trains_at_once(name, params, leaves, parts):
    told = Told()
    fit(new(name, told).set_params(**params))
    last = [("fit 0", "all rows 1")] if parts == 2 else []
    expected = [*leaves, ("fit 0", "members 0"), *last, ("fit 0",)]
    assert told.paths("end") == expected
    assert sorted(told.paths("begin")) == sorted(expected)
    assert told.most["fit 0",] == parts
    assert told.most["fit 0", "members 0"] == len(leaves)


def test_a_search_that_goes_on_from_a_file_tells_the_same(tmp_path):
    first, again, without = Told(), Told(), []
    fits = [
        fit(new("search", *told).set_params(checkpoint=str(tmp_path)))
        for told in ([first], [again], without)
    ]
    n_files = len(list(tmp_path.iterdir()))
    assert n_files == 2  # of members and of all rows, which callbacks do not change
    assert len({predicted(search).tobytes() for search in fits}) == 1
    assert first.paths("end")[-1] == again.paths("end")[-1] == ("fit 0",)


# What callbacks see.


@pytest.mark.parametrize("name", ["own", "default", "search"])
def test_they_see_what_fit_was_given(name):
    seen, weight = Seen(), np.arange(len(Y)) % 3
    table = X.tolist()
    new(name, seen).fit(table, Y, sample_weight=weight)
    for given_X, given_y, metadata in seen.given:
        assert given_X is table
        assert given_y is Y
        assert metadata.keys() == {"sample_weight"}
        assert metadata["sample_weight"] is weight
    fit(new("own", seen))
    assert seen.given[-1][2] == {}


STOPS = [
    ("own", epochs(4)[1]),
    ("stopped early", epochs(5)[4]),
    ("stopped early", epochs(2)[1]),
    ("numbers", epochs(4)[0]),
    ("default", epochs(5, "explore 0")[2]),
    ("default", epochs(5, "train 2")[1]),
    ("default at 0.2", epochs(5, "explore 0")[3]),
    ("default at 0.2", epochs(5, "explore 0")[4]),
    ("default at 0.2", epochs(5, "train 1")[0]),
    ("default of numbers", epochs(5, "explore 0")[1]),
]


@pytest.mark.parametrize(("name", "path"), STOPS)
def test_a_fitted_estimator_predicts_as_if_fit_had_stopped_there(name, path):
    seen, stops = Seen(), StopsAt(path)
    fit(new(name, seen))
    stopped, then = fit(new(name, stops)), seen.fitted[path]
    assert stops.paths("begin")[-1] == path  # nothing begins any more
    assert np.array_equal(predicted(stopped), predicted(then))
    assert stopped.n_iter_ == then.n_iter_ == int(path[-1].split()[1]) + 1
    assert stopped.alpha_ == then.alpha_
    last = [history[-1]["train_loss"] for history in (stopped.history_, then.history_)]
    assert last[0] == last[1]


def test_it_has_the_weights_that_a_checkpoint_would_load(tmp_path):
    best = Checkpoint(dirname=tmp_path, load_best=True)
    split = ValidSplit(0.2, stratified=True)
    net = own(train_split=split, callbacks=[best], max_epochs=12, lr=1.0)
    clf, path = MixupClassifier(net, random_state=0), epochs(12)[8]
    seen, stops = Seen(), StopsAt(path)
    fit(clf.set_callbacks(seen))
    stopped = fit(clf.set_callbacks(stops))
    assert stopped.n_iter_ < 9  # of the best epoch
    assert np.array_equal(predicted(stopped), predicted(seen.fitted[path]))


def test_a_checkpoint_that_has_written_nothing_so_far_loads_nothing(tmp_path):
    def late(net):
        return len(net.history) > 2

    best = Checkpoint(monitor=late, dirname=tmp_path, load_best=True)
    seen, path = Seen(), epochs(4)[0]
    net = own(callbacks=[best], max_epochs=4)
    fit(MixupClassifier(net, random_state=0).set_callbacks(seen))
    once = fit(MixupClassifier(own(max_epochs=1), random_state=0))
    assert np.array_equal(predicted(once), predicted(seen.fitted[path]))


def test_with_rows_to_validate_on_it_has_the_best_weights():
    path, seen = epochs(5)[2], Seen()
    validation = {"X_val": X[::3], "y_val": Y[::3]}
    fit(new("default at 0.2", seen), **validation)
    stopped = fit(new("default at 0.2", StopsAt(path)), **validation)
    assert np.array_equal(predicted(stopped), predicted(seen.fitted[path]))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_in_the_end_it_is_the_estimator(name):
    seen = Seen()
    estimator = fit(new(name, seen))
    assert np.array_equal(predicted(seen.fitted["fit 0",]), predicted(estimator))


def test_it_belongs_to_itself():
    seen, pickles = Seen(), Pickles()
    path = epochs(5, "explore 0")[1]
    fit(new("default", pickles, seen))
    then, again = seen.fitted[path], pickle.loads(pickles.made[path])
    assert np.array_equal(predicted(then), predicted(again))
    for estimator in (then, again):
        assert not [name for name in vars(estimator) if "ctx" in name]
        before = predicted(estimator)
        assert (estimator.partial_fit(X, Y).predict_proba(X) != before).any()
    assert not {"split_", "found_"} & vars(then.estimator_).keys()


class Trains(Told):
    """Trains what is fitted so far further."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch":
            fitted_estimator.partial_fit(X, Y).partial_fit(X, Y)


@pytest.mark.parametrize(
    "name",
    ["stopped early", "scheduled", pytest.param("default", marks=pytest.mark.slow)],
)
def test_to_train_it_further_changes_no_result(name):
    one, other = fit(new(name)), fit(new(name, Trains()))
    assert one.n_iter_ == other.n_iter_
    assert np.array_equal(predicted(one), predicted(other))


def test_in_a_pipeline_it_does_not_hold_the_tasks_either():
    pickles, seen = Pickles(), Seen()
    make_pipeline(StandardScaler(), new("own", pickles, seen)).fit(X, Y)
    path = pickles.paths("begin")[-1]
    for estimator in (seen.fitted[path], pickle.loads(pickles.made[path])):
        assert not [name for name in vars(estimator) if "ctx" in name]


def test_it_is_made_only_for_those_who_ask(monkeypatch):
    monkeypatch.setattr("skmix._one_net._copied", None)
    fit(new("default", Told()))
    with pytest.raises(TypeError):
        fit(new("default", Seen()))


def test_a_monitor_scores_each_epoch():
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    clf = fit(new("own", monitor), sample_weight=np.arange(len(Y)) % 3)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit", *["epoch"] * 4]
    weighted = np.log(clf.predict_proba(X)[np.arange(len(Y)), Y])
    last = np.average(weighted, weights=np.arange(len(Y)) % 3)
    assert rows[0]["neg_log_loss"] == rows[-1]["neg_log_loss"] == pytest.approx(last)


# Stops.


def test_a_stop_while_another_alpha_is_tried_ends_the_fit():
    path = epochs(5, "explore 1")[0]
    stops = StopsAt(path)
    clf = fit(new("default", stops))
    assert stops.paths("begin")[-1] == path
    assert clf.predict_proba(X).shape == (len(Y), 3)
    assert clf.explored_alphas_ == ()


def test_a_fit_that_was_stopped_is_not_replayed():
    clf = fit(new("own", StopsAt(epochs(4)[1])))
    with pytest.raises(ValueError, match="callback has stopped its fit"):
        clf.repeat_training(X, Y)


@pytest.mark.parametrize("name", ["search", "search of numbers", "one by one"])
def test_a_search_does_not_stop(name):
    class Stops(Told):
        def on_fit_task_end(self, estimator, context):
            return True

    assert np.array_equal(predicted(fit(new(name, Stops()))), predicted(fit(new(name))))


# Errors, Ctrl-C, copies.


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 11, 12])
def test_after_an_error_the_estimator_is_as_it_was(n, error):
    clf = fit(new("own"))
    before, proba = dict(vars(clf)), predicted(clf)
    told, fails = Told(), Fails(n, error)
    clf.set_callbacks(told, fails)
    with pytest.raises(error):
        fit(clf)
    assert told.log[-1] == fails.log[-1] == ("teardown", ("fit 0",))
    assert vars(clf.set_callbacks()) == before
    assert np.array_equal(predicted(clf), proba)


@pytest.mark.parametrize("name", ["default", "search", "one by one"])
def test_ctrl_c_takes_callbacks_down(name):
    class Interrupts(Told):
        def on_fit_task_end(self, estimator, context):
            raise KeyboardInterrupt

    told, estimator = Interrupts(), new(name)
    before = dict(vars(estimator))
    with pytest.raises(KeyboardInterrupt):
        fit(estimator.set_callbacks(told))
    assert told.paths("teardown") == [("fit 0",)]
    assert vars(estimator.set_callbacks()) == before


def test_an_error_of_the_training_takes_callbacks_down():
    told = Told()
    clf = MixupClassifier(own(lr=1e30, optimizer=torch.optim.SGD), alpha=0)
    with pytest.raises(ValueError, match="diverged"):
        clf.set_callbacks(told).fit(X, Y)
    assert told.log[-1] == ("teardown", ("fit 0",))
    assert not hasattr(clf, "estimator_")


def test_what_is_wrong_with_data_is_said_before_setup():
    told = Told()
    with pytest.raises(ValueError, match="inconsistent"):
        new("own", told).fit(X, Y[1:])
    assert not told.log


@pytest.mark.parametrize("estimator", [*ESTIMATORS.values(), StandardScaler()])
def test_a_clone_keeps_callbacks_as_those_of_scikit_learn_do(estimator):
    told = Told()
    estimator = clone(estimator).set_callbacks(told)
    assert clone(estimator)._skl_callbacks == [told]
    assert "_skl_callbacks" not in vars(estimator.set_callbacks())
    with pytest.raises(TypeError, match="FitCallback"):
        estimator.set_callbacks(Told)


@pytest.mark.parametrize("name", ["own", "default", "search"])
def test_what_is_saved_has_no_tasks(name, tmp_path):
    estimator = fit(new(name, callback.ScoringMonitor(scoring="accuracy")))
    again = pickle.loads(pickle.dumps(estimator))
    assert vars(again).keys() == vars(estimator).keys()
    skmix.save(estimator, tmp_path / "file")
    loaded = skmix.load(tmp_path / "file", trusted=(own().module,))
    assert "_skl_callbacks" not in vars(loaded)
    for other in (again, loaded):
        assert np.array_equal(predicted(other), predicted(estimator))


def test_partial_fit_tells_nothing():
    told = Told()
    fit(new("own", told).partial_fit(X, Y, classes=np.unique(Y)))
    assert told.paths("setup") == [("fit 0",)]  # of the fit after it


# Inside of scikit-learn's.


def test_in_a_pipeline():
    told = Spread()
    pipe = make_pipeline(StandardScaler(), new("own"))
    pipe.set_callbacks(told).fit(X, Y)
    assert told.paths("setup") == told.paths("teardown") == [("fit 0",)]
    ends = [path[1:] for path in told.paths("end") if path[1:2] == ("fit 1",)]
    assert ends == [*(("fit 1", f"epoch {k}") for k in range(4)), ("fit 1",)]
    assert not [name for name in vars(pipe[-1]) if "ctx" in name or "_skl" in name]


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("name", ["own", "search"])
def test_in_a_grid_search(name, n_jobs):
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    grid = partial(GridSearchCV, param_grid={"lam_per": ["batch", "row"]}, cv=2)
    without = grid(new(name), n_jobs=n_jobs).fit(X, Y)
    heard = grid(new(name, monitor), n_jobs=n_jobs).set_callbacks(Spread()).fit(X, Y)
    scores = [search.cv_results_["mean_test_score"] for search in (without, heard)]
    assert np.array_equal(*scores)
    best = heard.best_estimator_
    assert np.array_equal(predicted(without.best_estimator_), predicted(best))
    assert vars(best)["_skl_callbacks"] == [monitor]  # not that of the search
    assert not [part for part in vars(best) if "ctx" in part]
    rows = monitor.get_logs().data
    assert len([row for row in rows if row["task_name"] == "fit"]) == 2 * 2 + 1
    n_epochs = len([row for row in rows if row["task_name"] == "epoch"])
    assert n_epochs == (5 * 4 if name == "own" else 0)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_progress_bar_of_a_grid_search_shows_fits(n_jobs, capsys):
    pytest.importorskip("rich")
    pipe = make_pipeline(StandardScaler(), new("default"))
    grid = {"mixupclassifier__alpha": [0, 0.5]}
    bar = callback.ProgressBar(max_propagation_depth=None)
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=n_jobs).set_callbacks(bar)
    search.fit(X, Y)
    shown = capsys.readouterr().out
    assert shown.count("MixupClassifier - train") == 2 * 2 + 1
