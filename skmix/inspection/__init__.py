"""See what mixing did: which rows entered, what changed, and whether it helped."""

from skmix.inspection._replay import training_losses
from skmix.inspection._rows import manifold_intrusion, mixed_rows

__all__ = ["manifold_intrusion", "mixed_rows", "training_losses"]
