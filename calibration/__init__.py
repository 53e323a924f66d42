"""Calibration: representative data and range estimators."""

if __name__ != "tfcompress.calibration":
    raise ImportError("import tfcompress.calibration, not calibration: a second name makes a second set of classes")
