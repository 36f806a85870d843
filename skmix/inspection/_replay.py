"""The last training of a fit, repeated from its seed and recorded.

What was seen in training is not kept: `replay` trains the net again on the same data,
and checks that it becomes the net there is.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from skmix._one_net import MixupEstimator, Repeated
from skmix._training.random import seeded
from skmix._training.recording import SeenStep
from skmix.inspection._models import is_search, mixup_of, steps_before


def training_losses(
    estimator: Any, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None
) -> pd.DataFrame:
    """Return the losses of mixed, clean and validation rows after each epoch.

    The loss of mixed rows, which a training minimises, does not tell how well the net
    fits the rows themselves. Here is both: a net under-fits if the clean loss is high
    and still falls, and mixing keeps it from learning rows by heart if the clean loss
    stays above 0 while the validation loss does not rise.

    Parameters
    ----------
    estimator : MixupClassifier or MixupRegressor, or a Pipeline that ends in one
        Fitted. Its last training is repeated on a copy, and callbacks of its net are
        called again.
    X, y : array-like of shape (n_samples, n_features) and (n_samples,)
        What it was fitted on.
    sample_weight, groups : array-like of shape (n_samples,), default=None
        As in its `fit`.

    Returns
    -------
    losses : pandas.DataFrame of shape (``n_iter_``, 2 or 3), float64
        By ``epoch``, which begins with 1:

        mixed_train_loss
            The mean over the training steps of the epoch, as in the history of
            ``estimator_``, of mixed rows and with dropout. (NaN if a net does not
            record it.)
        clean_train_loss
            The loss of the same training rows, unmixed and in evaluation mode, by the
            net at the end of the epoch. Row weights count.
        valid_loss
            Of rows held out, if there are any. A default net that is trained twice has
            it from the first training, on four rows in five (``history_``); the other
            losses are of the last one, on all rows. All losses are of smoothed labels
            where the criterion smooths them.

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        For a search over alphas, which holds several nets.
    ValueError
        If X and y are not what the estimator was fitted on, if it was fitted with
        `X_val` or by `partial_fit`, or if parameters have changed since.

    See Also
    --------
    mixed_rows : The rows that the net saw in an epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import training_losses
    >>> X, y = load_iris(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=5)
    >>> clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
    >>> training_losses(clf, X, y).columns.tolist()
    ['mixed_train_loss', 'clean_train_loss', 'valid_loss']
    """
    data = {"sample_weight": sample_weight, "groups": groups}
    return losses_seen(estimator, replay(estimator, X, y, with_losses=True, **data))


def losses_seen(model: Any, seen: "Seen") -> pd.DataFrame:
    """Return what `training_losses` does, from a training that was seen."""
    history = seen.training.net.history.to_list()
    losses = {
        "mixed_train_loss": [epoch.get("train_loss", np.nan) for epoch in history],
        "clean_train_loss": seen.clean_losses,
    }
    shown = mixup_of(model).history_.to_list()[: len(history)]
    if any("valid_loss" in epoch for epoch in shown):
        losses["valid_loss"] = [epoch.get("valid_loss", np.nan) for epoch in shown]
    epochs = pd.RangeIndex(1, len(history) + 1, name="epoch")
    columns = {name: pd.Series(loss, dtype=float) for name, loss in losses.items()}
    return pd.DataFrame(columns).set_axis(epochs)


class Seen(NamedTuple):
    """What was seen of a training that was repeated."""

    training: Repeated
    steps: list[SeenStep]  # of one epoch
    clean_losses: list[float]  # of the training rows, unmixed, after each epoch


class _Recording:
    """Records the steps of one epoch, and, if asked, the loss of unmixed rows."""

    def __init__(self, epoch: int | None, with_losses: bool) -> None:
        self.epoch, self.with_losses = epoch, with_losses
        self.begin()

    def begin(self) -> None:
        self.steps: list[SeenStep] = []
        self.losses: list[float] = []

    def wants(self, epoch: int) -> bool:
        return epoch == self.epoch

    def see(self, step: SeenStep) -> None:
        self.steps.append(step)

    def end_epoch(self, clean_loss: Callable[[], float]) -> None:
        if self.with_losses:
            self.losses.append(clean_loss())


def replay(
    model: Any,
    X: Any,
    y: Any,
    *,
    epoch: int | None = None,
    with_losses: bool = False,
    sample_weight: Any = None,
    groups: Any = None,
) -> Seen:
    """Repeat the last training of a fit, and check that it makes the same net.

    Seen are the steps of an epoch, and with `with_losses` the loss of unmixed rows.

    The model is not touched. In a Pipeline the steps before transform X, as they are,
    or else as they do where they are fitted (which may differ, as for a target encoder
    or by rounding).
    """
    estimator, recording = fitted_on_its_own(model), _Recording(epoch, with_losses)
    for table in _tables(model, X, y):
        again = estimator.repeat_training(
            table, y, sample_weight, groups=groups, recorder=recording
        )
        if _same_net(again.net, estimator.estimator_):
            return Seen(again, recording.steps, recording.losses)
    raise ValueError(
        f"X, y are not what the estimator was fitted on: the last training of this "
        f"{type(estimator).__name__}, repeated on them from its seed, makes another "
        "net. Pass the same X, y, sample_weight and groups, the same rows in the same "
        "order, or fit a clone on these. (The same bits also need the same machine and "
        "number of threads, and nothing random outside of the seed.)"
    )


def fitted_on_its_own(model: Any) -> MixupEstimator:
    """Return the fitted estimator of a model, which must not be a search."""
    estimator: Any = mixup_of(model)
    if is_search(estimator):
        kind = type(estimator).__name__
        single = kind.removesuffix("CV")
        raise TypeError(
            f"Got a {kind}, which holds several nets, but expected a {single}. Fit "
            f"one with the alpha of the search: {single}(alpha=search.alpha_)."
        )
    check_is_fitted(estimator)
    return estimator  # type: ignore[no-any-return]


def _tables(model: Any, X: Any, y: Any) -> Iterator[Any]:
    """Yield what the estimator of a model may have been fitted on."""
    steps = steps_before(model)
    if steps is None:
        yield X
        return
    with seeded():  # steps may draw from the global generators
        table = steps.transform(X)
    yield table
    with seeded():
        table = clone(steps).fit_transform(X, y)
    yield table


def _same_net(one: NeuralNet, other: NeuralNet) -> bool:
    """Whether all that two nets have learnt is equal, bit for bit."""
    return _same_tensors(_learnt(one), _learnt(other))


def _learnt(net: NeuralNet) -> dict[str, torch.Tensor]:
    return {**dict(net.get_all_learnable_params()), **net.module_.state_dict()}


def _same_tensors(one: dict[str, Any], other: dict[str, Any]) -> bool:
    def same(a: Any, b: Any) -> bool:
        if not isinstance(a, torch.Tensor):  # what a module adds to its state
            return True
        return a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())

    return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
