"""Fits of nets one by one, an epoch at a time, where they cannot be one stack."""

from contextlib import ExitStack

import numpy as np

from skmix.convergence import Diverged, batch_losses, record_divergence
from skmix.interruption import Stopped


class LoneFits:
    """Fits of several nets, an epoch of each at a time.

    Parameters
    ----------
    nets : list of skorch.NeuralNet
        M nets, not initialised, whose `fit` is skorch's own.
    loans : list of context manager
        In which each is trained, as of `skmix.training.mixed_training`.
    rows : list of skmix.base.Rows
        What each net is trained on.
    streams : list of skmix.seeding.Stream
        What each draws from.

    Attributes
    ----------
    running : ndarray of shape (m,), int
        Numbers of the nets that are still trained.

    Notes
    -----
    Each net draws what it would draw if it were fitted by itself.
    """

    def __init__(self, nets, loans, rows, streams):
        self.nets, self.streams = nets, streams
        self.running = np.arange(len(nets))
        self.loans = [ExitStack() for _ in nets]
        self.data = []
        for k, net in enumerate(nets):
            with streams[k].resumed():
                self.loans[k].enter_context(loans[k])
                net.initialize()
                X, y = rows[k].X, rows[k].y
                net.notify("on_train_begin", X=X, y=y)
                net.check_data(X, y)  # tells a classifier its classes
                train, valid = net.get_split_datasets(X, y)
                iterators = (
                    net.get_iterator(train, training=True),
                    net.get_iterator(valid, training=False),
                )
            datasets = {"dataset_train": train, "dataset_valid": valid}
            self.data.append((iterators, datasets))

    def epoch(self):
        """Train and validate each net for an epoch, as `skorch.NeuralNet.fit` does."""
        stopped = []
        for m in self.running:
            try:
                self._epoch_of(m)
            except Stopped:  # by a callback
                stopped.append(m)
            except Diverged:
                record_divergence(self.nets[m])
                stopped.append(m)
        self.stop(stopped)

    def _epoch_of(self, m):
        net, ((train, valid), datasets) = self.nets[m], self.data[m]
        with self.streams[m].resumed():
            net.notify("on_epoch_begin", **datasets)
            step = {"prefix": "train", "step_fn": net.train_step}
            net.run_single_epoch(train, training=True, **step)
            step = {"prefix": "valid", "step_fn": net.validation_step}
            net.run_single_epoch(valid, training=False, **step)
            net.notify("on_epoch_end", **datasets)

    def batch_losses(self, m):
        """Training losses of a net's batches in its last epoch, of shape (n_steps,)."""
        return batch_losses(self.nets[m].history[-1])

    def stop(self, numbers):
        """Train the nets of these numbers no further."""
        for m in np.intersect1d(self.running, numbers):
            self.nets[m].notify("on_train_end", X=None, y=None)
            self.loans[m].close()
        self.running = np.setdiff1d(self.running, numbers)

    def finish(self):
        """Train no net any further."""
        self.stop(self.running)
