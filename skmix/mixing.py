"""How two rows become one, and which share of the loss is the own row's.

`mixing` of the skmix estimators is a name, a function of one's own, or an object of
this module. Whichever it is, `bound` makes of it, once a fit, a function
``f(x, x_partner, lam, y, y_partner, rng) -> (x_mixed, weight_of_own_row)`` for the
place where rows are mixed: the columns of a table at the input, units inside a layer.
An object that is to learn something from the training rows before has a method
``bind(table, layer)``, which is called once a fit with a `skmix.mixing.TrainingSet` and
returns that function; `layer` is None at the input. It may have two attributes:
``task``, "classifier" or "regressor" if it is for one of these alone, and
``interpolates = True`` if the default regressor is to mix by it behind its embedding,
as by mixup.

What these functions are given and give back, for a batch of B rows:

x, x_partner : torch.Tensor of shape (B, ...), or a mapping, list or tuple of such
    Rows and their partners, as the net gets them.
lam : torch.Tensor of shape (1, 1, ...) or (B, 1, ...)
    Of as many dimensions as `x` (2 for several tensors), so that ``lam * x`` is right
    whether it was drawn once for the batch or once for each row.
y, y_partner : torch.Tensor of shape (B,)
    Targets as the net gets them: class indices, int64 (0.0 and 1.0 for a net with a
    single output), or numbers.
rng : numpy.random.Generator
    Seeded for each step.
x_mixed
    Like `x`.
weight_of_own_row : float, or array or tensor of 1 or of B entries
    From 0 to 1: the loss is ``weight * loss(y) + (1 - weight) * loss(y_partner)``.
"""

from skmix._columns import TrainingSet
from skmix._mixup import CutMix, Mixup, mixup
from skmix._variants import FeatMix, NoisyFeatures, OwnMajor, Prob, Remix, Warped

__all__ = [
    "CutMix",
    "FeatMix",
    "Mixup",
    "NoisyFeatures",
    "OwnMajor",
    "Prob",
    "Remix",
    "TrainingSet",
    "Warped",
    "mixup",
]
