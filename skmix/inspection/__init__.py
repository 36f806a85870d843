"""See what mixing did: which rows entered, what changed, and whether it helped."""

from skmix.inspection._changes import calibration_effect, row_effects
from skmix.inspection._displays import (
    AlphaDisplay,
    ConfidenceDisplay,
    HistoryDisplay,
    ReliabilityDisplay,
    SegmentDisplay,
)

__all__ = [
    "AlphaDisplay",
    "ConfidenceDisplay",
    "HistoryDisplay",
    "ReliabilityDisplay",
    "SegmentDisplay",
    "calibration_effect",
    "row_effects",
]
