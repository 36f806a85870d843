"""See what mixing did: which rows entered, what changed, and whether it helped."""

from skmix.inspection._changes import calibration_effect, row_effects
from skmix.inspection._displays import (
    AlphaDisplay,
    ConfidenceDisplay,
    HistoryDisplay,
    ReliabilityDisplay,
    SegmentDisplay,
)
from skmix.inspection._effect import MixupEffect, mixup_effect

__all__ = [
    "AlphaDisplay",
    "ConfidenceDisplay",
    "HistoryDisplay",
    "MixupEffect",
    "ReliabilityDisplay",
    "SegmentDisplay",
    "calibration_effect",
    "mixup_effect",
    "row_effects",
]
