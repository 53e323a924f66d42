"""Calibration: representative data and range estimators."""

if __name__ != "tfcompress.calibration":
    raise ImportError(
        "import tfcompress.calibration, not calibration: a second import name makes a second set of classes"
    )

from tfcompress.calibration.calibrator import calibrate, observe
from tfcompress.calibration.channels import ChannelRanges, channel_warnings, outlier_tensors
from tfcompress.calibration.diagnostics import diagnose
from tfcompress.calibration.representative import select_representative
from tfcompress.calibration.result import Calibration, Range

__all__ = [
    "Calibration",
    "ChannelRanges",
    "Range",
    "calibrate",
    "channel_warnings",
    "diagnose",
    "observe",
    "outlier_tensors",
    "select_representative",
]
