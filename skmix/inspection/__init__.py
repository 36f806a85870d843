"""See what mixing did: which rows entered, what changed, and whether it helped."""

from skmix.inspection._effect import MixupEffect, mixup_effect

__all__ = ["MixupEffect", "mixup_effect"]
