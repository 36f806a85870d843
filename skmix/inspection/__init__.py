"""See what mixing did: which rows entered, what changed, and whether it helped."""

from skmix.inspection._changes import calibration_effect, row_effects
from skmix.inspection._curves import AlphaDisplay, HistoryDisplay
from skmix.inspection._displays import (
    ConfidenceDisplay,
    ReliabilityDisplay,
    SegmentDisplay,
)
from skmix.inspection._effect import MixupEffect, mixup_effect
from skmix.inspection._replay import training_losses
from skmix.inspection._report import MixupReport, mixup_report
from skmix.inspection._rows import manifold_intrusion, mixed_rows

__all__ = [
    "AlphaDisplay",
    "ConfidenceDisplay",
    "HistoryDisplay",
    "MixupEffect",
    "MixupReport",
    "ReliabilityDisplay",
    "SegmentDisplay",
    "calibration_effect",
    "manifold_intrusion",
    "mixed_rows",
    "mixup_effect",
    "mixup_report",
    "row_effects",
    "training_losses",
]
