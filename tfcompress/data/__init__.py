"""Calibration, evaluation and training data in all the forms that users have, always streamed."""

from tfcompress.data.arrays import samples_from_arrays
from tfcompress.data.samples import Batch, Sample, Samples, Source

__all__ = ["Batch", "Sample", "Samples", "Source", "samples_from_arrays"]
