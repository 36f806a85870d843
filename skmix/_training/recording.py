"""What a recorder is told while a net trains: the rows of each step, and each epoch."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np


class SeenStep(NamedTuple):
    """The B rows of one training step, as the net saw them.

    Attributes
    ----------
    rows : ndarray of shape (B,), int64
        Their numbers in the table that the net is fitted on.
    partner : ndarray of shape (B,), int64, or None
        Numbers of their partners; None where nothing is mixed.
    lam : ndarray of shape (B,), float64
        As drawn; 1 where nothing is mixed.
    share : ndarray of shape (B,), float64
        The own label's share in the loss, which some mixings choose themselves.
    weight : ndarray of shape (B,), float64, or None
        None if all are 1.
    clean_weight : float
        Weight of the loss of the same rows unmixed, which the net saw before the mixed
        ones; 0 if it did not see them.
    layer : str or None
        The submodule behind which they were mixed; None for the input.
    x : tensor or mapping of tensors of B rows, or None
        A copy of the mixed input. None where rows were mixed behind a layer, or where
        nothing is mixed and the net's own step does without ``self.infer``.
    """

    rows: np.ndarray
    partner: np.ndarray | None
    lam: np.ndarray
    share: np.ndarray
    weight: np.ndarray | None
    clean_weight: float
    layer: str | None
    x: Any


class Recorder(Protocol):
    """What `mixed_training` tells of a training, in its order."""

    def begin(self) -> None:
        """Begin a training, and forget one before."""

    def wants(self, epoch: int) -> bool:
        """Whether to see the steps of an epoch, 1 for the first one."""

    def see(self, step: SeenStep) -> None:
        """Note a training step of an epoch that it wants."""

    def end_epoch(self, clean_loss: Callable[[], float]) -> None:
        """Note the end of an epoch.

        `clean_loss` returns the loss of the training rows by now, unmixed and in
        evaluation mode.
        """
