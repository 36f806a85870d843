"""The default net, an ensemble of small nets in one, and the recipe that trains it."""

from functools import partial
from typing import Literal

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping
from torch import nn
from torch.utils.data import Subset

from skmix._training.skorch_compat import (
    named_callbacks,
    stops_early,
    watches_validation,
)
from skmix.networks import TabularNet, best_temperature


class MembersCrossEntropyLoss(nn.CrossEntropyLoss):
    """Cross-entropy of each member of an ensemble with the same labels, their mean.

    Notes
    -----
    **Shape**: outputs ``(B, n_classes, k)`` or ``(B, n_classes)``, labels ``(B,)``.
    """

    def forward(self, input, target):
        if input.ndim == 3 and target.ndim == 1:
            target = target[:, None].expand(-1, input.shape[2])
        return super().forward(input, target)


class MembersMSELoss(nn.MSELoss):
    """Squared error of each member of an ensemble with the same targets, their mean.

    Notes
    -----
    **Shape**: outputs ``(B, 1, k)`` or ``(B, 1)``, targets ``(B,)`` or ``(B, 1)``.
    """

    def forward(self, input, target):
        if target.ndim < input.ndim:
            target = target.reshape(-1, *[1] * (input.ndim - 1)).expand_as(input)
        return super().forward(input, target)


def default_net(task: Literal["classifier", "regressor"]) -> NeuralNet:
    """Return the unfitted skorch net that ``estimator=None`` stands for.

    A `skmix.networks.TabularNet`, trained by AdamW (fused, constant ``lr``) for as many
    epochs as early stopping finds: one row in five is held out and never mixed,
    training ends after 20 epochs that are no better on these, and then a net is trained
    on all rows for as long as was best (see `skmix.MixupClassifier.fit`). With rows to
    validate on (``X_val``) that is not needed, and the weights of the best epoch are
    kept; so they are where other callbacks watch validation scores, and without early
    stopping the net stays as it is after the first training. All of it can be set, as
    ``module__k``, ``module__d_block``, ``lr``, ``max_epochs`` ... The skmix estimators
    fill in the
    sizes of the module, replace ``batch_size="auto"`` by one that suits the number of
    rows, and encode and scale the columns (and scale the targets of a regressor) of a
    net whose module is the class `TabularNet`, a subclass or an instance of it.

    Parameters
    ----------
    task : {"classifier", "regressor"}

    Returns
    -------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor

    Raises
    ------
    ValueError
        If `task` is neither 'classifier' nor 'regressor'.

    Examples
    --------
    >>> from skmix import MixupClassifier, default_net
    >>> net = default_net("classifier").set_params(lr=3e-3, module__d_block=64)
    >>> MixupClassifier(net).estimator.lr
    0.003
    """
    if task not in ("classifier", "regressor"):
        raise ValueError(
            f"Got task={task!r}, but expected 'classifier' or 'regressor'."
        )
    classify = task == "classifier"
    kind = NeuralNetClassifier if classify else NeuralNetRegressor
    return kind(
        TabularNet,
        criterion=MembersCrossEntropyLoss if classify else MembersMSELoss,
        optimizer=partial(torch.optim.AdamW, betas=(0.9, 0.95), fused=True),
        optimizer__weight_decay=1e-2,
        lr=1.2e-2,
        batch_size="auto",
        max_epochs=150,
        iterator_train__shuffle=True,
        train_split=hold_out,
        callbacks=[
            ("early_stopping", EarlyStopping(patience=20, load_best=True)),
        ],
        verbose=0,
    )


def wants_scaled(net):
    """Whether the net is one of the default kind, made for scaled columns."""
    module = net.module.func if isinstance(net.module, partial) else net.module
    return isinstance(module, TabularNet) or (
        isinstance(module, type) and issubclass(module, TabularNet)
    )


def set_batch_size(net, n_rows):
    """Replace ``batch_size="auto"`` by a size that suits `n_rows` rows."""
    if net.batch_size == "auto":
        size = 2 ** np.floor(np.log2(n_rows / 6))
        net.set_params(batch_size=int(np.clip(size, 16, 256)))


def holds_out(net):
    """Whether a net holds out rows by the default recipe."""
    return net.train_split is hold_out


def trains_twice(net):
    """Whether a net is to be trained on all rows once its number of epochs is known.

    Not if callbacks other than early stopping watch the rows held out: they may change
    the net (a schedule) or keep one (a checkpoint), and have nothing to watch later.
    """
    others = (
        callback for _, callback in named_callbacks(net) if not stops_early(callback)
    )
    return holds_out(net) and not any(map(watches_validation, others))


def epochs_found(net):
    """Epochs after which a fitted net was best; None where nothing stopped it."""
    for _, callback in net.callbacks_ if len(net.history) else ():
        if stops_early(callback):
            return max(1, callback.best_epoch_)
    return None


def calibrate(net, proba, y, weight=None):
    """Set the temperature of a fitted classifier of the default kind.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier
    proba, y, weight
        As in `best_temperature`, of rows that were not trained on, at temperature 1,
        by this net or by one trained alike.
    """
    net.module_.temperature.fill_(best_temperature(proba, y, weight))


def stop_stopping(net):
    """Let a net of the default kind train on all rows, and not stop by itself."""
    if not holds_out(net):
        return
    net.set_params(train_split=None)
    if isinstance(net.callbacks, list):
        net.set_params(callbacks=_without_early_stopping(net.callbacks))
    if net.initialized_:
        # set_params has initialised these from the callbacks that were there before.
        net.callbacks_ = _without_early_stopping(net.callbacks_)


def _without_early_stopping(callbacks):
    return [
        callback
        for callback in callbacks
        if not stops_early(
            callback[1] if isinstance(callback, tuple | list) else callback
        )
    ]


def hold_out(dataset, y):
    """Hold out one row in five, of every class, or spread evenly over the values.

    Classes of fewer than three rows stay with the training rows as a whole.
    Where nothing can be held out (fewer than ten rows, or small classes only) the
    training rows are validated on.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
    y : ndarray of shape (n_samples,), integers for classes or floats

    Returns
    -------
    train, valid : torch.utils.data.Dataset

    Notes
    -----
    Draws from torch's global generator, as the initialisation does.
    """
    shuffled = torch.randperm(len(dataset)).numpy()
    # Neighbours in this order are alike in y and random otherwise.
    order = shuffled[np.argsort(y[shuffled], kind="stable")]
    rank = np.arange(len(order))
    if y.dtype.kind in "iu":
        rank -= np.searchsorted(y[order], y[order])  # rank within the class
    held_out = np.zeros(len(order), dtype=bool)
    held_out[order[rank % 5 == 2]] = True
    if len(order) < 10 or not held_out.any():
        return dataset, dataset
    return tuple(
        Subset(dataset, np.flatnonzero(part)) for part in (~held_out, held_out)
    )
