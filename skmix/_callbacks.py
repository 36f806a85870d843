"""Callbacks of scikit-learn, where it has them (1.9): which tasks they are told of.

This is the only module that imports `sklearn.callback`, which is experimental. Without
it estimators have no `set_callbacks`, and nobody is told of anything.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

from skorch import NeuralNet

from skmix._default_net import is_exploring
from skmix._training.random import seeded
from skmix._training.skorch_compat import is_skorchs_own

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9, or it has other names by now
    CallbackSupportMixin = with_callbacks = None

Support: Any = object if CallbackSupportMixin is None else CallbackSupportMixin
# What scikit-learn sets on an estimator while its `fit` runs, and a meta-estimator
# while the `fit` of a part of it does.
OF_FIT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx")


def take_down(estimator: Any) -> None:
    """Take down what callbacks have set up for the `fit` of an estimator, if any."""
    if with_callbacks is None or OF_FIT[0] not in vars(estimator):
        return
    with seeded(device=estimator.net_to_fit().device):
        with_callbacks(lambda _: None)(estimator)  # which does so when a method ends


def without_contexts(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an estimator without the tasks of a `fit` that runs."""
    return {name: value for name, value in state.items() if name not in OF_FIT}


class Task:
    """A part of a fit; callbacks are told when it begins and when it ends.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext or None
        None if nobody is to be told.
    told : dict
        What they are told of every task: the estimator, and what `fit` was given.
    device : str or torch.device
        Whose generators they leave as they were: they do not change a training.
    """

    def __init__(self, context: Any, told: dict[str, Any], device: Any = "cpu") -> None:
        self.context, self.told, self.device = context, told, device

    def begin(self) -> Self:
        """Tell of the beginning."""
        if self.context is not None:
            with seeded(device=self.device):
                self.context.call_on_fit_task_begin(**self.told)
        return self

    def end(self, fitted: Callable[[], dict[str, Any]] | None = None) -> bool:
        """Tell of the end, and return whether a callback asks to stop.

        `fitted` returns attributes that make the estimator predict as of now. It is
        called only if a callback wants to see such an estimator.
        """
        if self.context is None:
            return False
        told = self.told | {"reconstruction_attributes": fitted}
        with seeded(device=self.device):
            return bool(self.context.call_on_fit_task_end(**told))

    def begin_subtask(self, name: str, max_subtasks: int | None = 0) -> "Task":
        """Begin a part of this task, which has at most so many parts itself."""
        if self.context is None:
            return self
        of_task = {"task_name": name, "max_subtasks": max_subtasks}
        return Task(self.context.subcontext(**of_task), self.told, self.device).begin()

    @contextmanager
    def subtask(self, name: str, max_subtasks: int | None = 0) -> Iterator["Task"]:
        """Begin a part of this task, and end it with the block, but for an error."""
        task = self.begin_subtask(name, max_subtasks)
        yield task
        task.end()


UNHEARD = Task(None, {})
# For `Task.end`: nothing is to be set, since the estimator predicts as it is.
AS_IT_IS = dict


class TakesCallbacks(Support):
    """An estimator whose `fit` tells callbacks of its tasks."""

    def _begin_fit(
        self, X: Any, y: Any, weight: Any, max_subtasks: int | None, device: Any
    ) -> Task:
        """Set up callbacks, if there are any, and begin the task that is all of fit."""
        if not vars(self).get("_skl_callbacks"):
            return UNHEARD
        metadata = {} if weight is None else {"sample_weight": weight}
        told = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        with seeded(device=device):
            context = self._init_callback_context(max_subtasks=max_subtasks)
        return Task(context, told, device).begin()


class Trainings:
    """Tells callbacks of the trainings of a fit and of their epochs.

    Parameters
    ----------
    task : Task
        All of fit.
    several : bool
        Whether trainings are parts of the task, and epochs are parts of these. Else
        epochs are parts of the task.

    Attributes
    ----------
    stopped : bool
        Whether a callback has asked to stop at the end of an epoch.
    """

    def __init__(self, task: Task, *, several: bool) -> None:
        self.task, self.several, self.stopped = task, several, False
        self._training, self._epoch = task, UNHEARD
        self._fitted: Callable[[NeuralNet], dict[str, Any]] = lambda net: {}

    def of(self, fitted: Callable[[NeuralNet], dict[str, Any]]) -> Self | None:
        """Return what is told of the next trainings; None if nobody listens.

        `fitted` returns the attributes of an estimator that predicts by a net as if its
        training stopped now.
        """
        self._fitted = fitted
        return None if self.task.context is None else self

    def begin(self, net: NeuralNet) -> None:
        """Tell of the beginning of a training."""
        n_epochs = max_epochs_of(net)  # which callbacks of the net may have changed
        if self.several:
            name = "explore" if is_exploring(net) else "train"
            self._training = self.task.begin_subtask(name, n_epochs)
        elif self.task.context is not None:
            self.task.context.max_subtasks = n_epochs

    def begin_epoch(self) -> None:
        """Tell of the beginning of an epoch."""
        self._epoch = self._training.begin_subtask("epoch")

    def end_epoch(self, net: NeuralNet) -> bool:
        """Tell of its end, and return whether the training is to stop."""
        stop = self._epoch.end(partial(self._fitted, net))
        self._epoch = UNHEARD
        self.stopped |= stop
        return stop

    def break_off(self) -> None:
        """Tell of the end of a training that diverged, unless it has ended before."""
        self._epoch.end()
        self._epoch = UNHEARD
        if self.several:
            self._training.end()
            self._training = UNHEARD

    def end(self, net: NeuralNet) -> None:
        """Tell of the end of a training."""
        self._epoch.end()  # of an epoch that was broken off
        if self.several:
            self._training.end(partial(self._fitted, net))
            self._training = UNHEARD  # what diverged in its last step is broken off


def max_epochs_of(net: NeuralNet) -> int | None:
    """Return how many epochs a training has at most; None if that is not known."""
    known = is_skorchs_own(net, "fit", "partial_fit", "fit_loop")
    return int(net.max_epochs) if known else None
