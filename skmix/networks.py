"""The default net: a plain multilayer perceptron and the recipe that trains it."""

from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping
from torch import nn
from torch.utils.data import Subset


class MLP(nn.Module):
    """Multilayer perceptron: `n_blocks` of linear layer, ReLU and dropout.

    Parameters
    ----------
    d_in : int
        Number of columns.
    d_out : int
        Number of outputs: classes, as logits, or 1 for a number.
    n_blocks : int, default=2
    d_block : int, default=128
        Units in each block.
    dropout : float, default=0.1
        Probability of a unit to be left out in training.

    Notes
    -----
    **Shape**: ``(B, d_in)`` to ``(B, d_out)``.

    Examples
    --------
    >>> import torch
    >>> from skmix.networks import MLP
    >>> MLP(d_in=5, d_out=3)(torch.zeros(8, 5)).shape
    torch.Size([8, 3])
    """

    def __init__(self, d_in, d_out, n_blocks=2, d_block=128, dropout=0.1):
        super().__init__()
        widths = [d_in] + [d_block] * n_blocks
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout))
                for a, b in pairwise(widths)
            )
        )
        self.output = nn.Linear(widths[-1], d_out)

    def forward(self, X):
        return self.output(self.blocks(X))


def default_net(task: Literal["classifier", "regressor"]) -> NeuralNet:
    """Return the unfitted skorch net that ``estimator=None`` stands for.

    A `skmix.networks.MLP` of 2 blocks of 128 units with dropout 0.1, trained by AdamW
    (fused, ``lr=2e-3``, weight decay 0.01) for up to 200 epochs, with early stopping:
    one row in five is held out, training ends after 20 epochs that are no better on
    these, and the weights of the best one are kept. All of it can be set, as
    ``module__n_blocks``, ``module__d_block``, ``module__dropout``, ``lr`` ... The skmix
    estimators fill in ``module__d_in`` and ``module__d_out``, replace
    ``batch_size="auto"`` by a size between 16 rows on small tables and 256 on large
    ones, and scale the columns (and the targets of a regressor) of a net whose
    module is the class `MLP`, a subclass or an instance of it.

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
        MLP,
        criterion=nn.CrossEntropyLoss if classify else nn.MSELoss,
        optimizer=partial(torch.optim.AdamW, fused=True),
        optimizer__weight_decay=1e-2,
        lr=2e-3,
        batch_size="auto",
        max_epochs=200,
        iterator_train__shuffle=True,
        train_split=hold_out,
        callbacks=[
            ("early_stopping", EarlyStopping(patience=20, load_best=True)),
        ],
        verbose=0,
    )


def wants_scaled(net):
    """Whether the net is one of the default kind, made for scaled columns."""
    return isinstance(net.module, MLP) or (
        isinstance(net.module, type) and issubclass(net.module, MLP)
    )


def set_batch_size(net, n_rows):
    """Replace ``batch_size="auto"`` by a size that suits `n_rows` rows."""
    if net.batch_size == "auto":
        size = 2 ** np.floor(np.log2(n_rows / 16))
        net.set_params(batch_size=int(np.clip(size, 16, 256)))


def stop_stopping(net):
    """Let a net of the default kind train on all rows, and not stop by itself."""
    if net.train_split is not hold_out:
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
        if not isinstance(
            callback[1] if isinstance(callback, tuple) else callback, EarlyStopping
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
