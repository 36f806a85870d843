"""How `alpha` changes from epoch to epoch."""

from dataclasses import dataclass

from skmix._validation import check_at_least_0

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """An `alpha` that grows in the first epochs, and is 0 in the last ones.

    Parameters
    ----------
    alpha : float
        Value between the first and the last epochs.
    warm_up : int, default=0
        Number of epochs in which it grows, in equal steps, from 0 to `alpha`.
    off_after : int, default=None
        Last epoch in which rows are mixed. By default all epochs mix.

    Notes
    -----
    Long training on mixed rows can hurt, which training on rows as they are repairs (Z.
    Liu et al., "Over-Training with Mixup May Hurt Generalization", ICLR 2023,
    https://arxiv.org/abs/2303.01475).

    Examples
    --------
    >>> from skmix.schedules import Schedule
    >>> alpha = Schedule(0.4, warm_up=4, off_after=60)
    >>> alpha(1), alpha(4), alpha(60), alpha(61)
    (0.1, 0.4, 0.4, 0.0)
    """

    alpha: float
    warm_up: int = 0
    off_after: int | None = None

    def __call__(self, epoch: int) -> float:
        check_at_least_0("alpha", self.alpha)
        check_at_least_0("warm_up", self.warm_up)
        check_at_least_0("off_after", self.off_after or 0)
        if self.off_after is not None and epoch > self.off_after:
            return 0.0
        grown = min(1.0, epoch / self.warm_up) if self.warm_up else 1.0
        return self.alpha * grown
