"""See what mixing did: which rows entered, what changed, and whether it helped."""

from skmix.inspection._changes import calibration_effect, row_effects

__all__ = [
    "calibration_effect",
    "row_effects",
]
