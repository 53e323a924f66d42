"""Calibration, evaluation and training data in all the forms that users have, always streamed."""

from tfcompress.data.arrays import samples_from_arrays
from tfcompress.data.opening import Data, open_data
from tfcompress.data.samples import Batch, Sample, Samples, Source

__all__ = ["Batch", "Data", "Sample", "Samples", "Source", "open_data", "samples_from_arrays"]
