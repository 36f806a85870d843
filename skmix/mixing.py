"""How two rows are mixed, and how much the label of each counts in the loss.

`mixing` of the skmix estimators is a name, a function or an object of this module, or a
user-supplied function or object:

- a function ``f(x, x_partner, lam, y, y_partner, rng) -> (x_mixed,
  weight_of_own_row)`` is called once for each training step;
- an object that learns from the training rows first has a method ``bind(table,
  layer)``, which is called once for each fit with a `TrainingSet` and returns such a
  function. `layer` is the name of the submodule whose output is mixed, or None where
  rows are mixed at the input of the module.

An object may have two attributes: ``task``, "classifier" or "regressor", if it is for
one of these alone; and ``interpolates = True``, if the default regressor is to mix by
it behind its embedding, as by mixup.

Arguments and results of the function, for a batch of B rows:

x, x_partner : torch.Tensor of shape (B, ...), or a mapping of such
    Rows and their partners, as the net gets them.
lam : torch.Tensor of shape (1, 1, ...) or (B, 1, ...)
    Of as many dimensions as `x` (2 for mappings), so that ``lam * x`` is right whether
    it was drawn once for the batch or once for each row.
y, y_partner : torch.Tensor of shape (B,)
    Targets as the net gets them: class indices, int64 (0.0 and 1.0 for a net with a
    single output), or numbers.
rng : numpy.random.Generator
    Seeded anew for each step.
x_mixed
    Like `x`.
weight_of_own_row : float, or array or tensor of 1 or of B entries
    From 0 to 1: the loss is ``weight * loss(y) + (1 - weight) * loss(y_partner)``.
"""

from skmix._mixing.mixup import CutMix, mixup
from skmix._mixing.variants import FeatMix, NoisyFeatures, OwnMajor, Prob, Remix, Warped
from skmix._tables.columns import TrainingSet

__all__ = [
    "CutMix",
    "FeatMix",
    "NoisyFeatures",
    "OwnMajor",
    "Prob",
    "Remix",
    "TrainingSet",
    "Warped",
    "mixup",
]
