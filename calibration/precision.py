"""Signal-to-quantization-noise ratios to expect of a number of bits, before anything is converted."""

from __future__ import annotations

import math

import numpy as np

from tfcompress.calibration.estimators import quantization_error
from tfcompress.calibration.histogram import Histogram
from tfcompress.graphs.tflite.quantization import fake_quantize

__all__ = ["activation_sqnr_db", "weight_sqnr_db"]

FINE = 2.0  # bins of a histogram that a step must span for the error to be read off it


def weight_sqnr_db(rows: np.ndarray, bits: int) -> float | None:
    """Decibels between weights and the error of rounding them.

    LiteRT quantization specification: symmetric, one scale for each output channel, -(2^(bits-1) - 1) and up.

    Args:
        rows: float [channels, weights of one].
        bits: of an integer.

    Returns:
        None where there is no error, or no signal.
    """
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scales = np.where(largest > 0, largest, 1.0) / (2 ** (bits - 1) - 1)
    rows = rows.astype(np.float64)
    error = fake_quantize(rows, scales) - rows
    return _decibels(float(np.mean(rows**2)), float(np.mean(error**2)))


def activation_sqnr_db(seen: Histogram, bits: int) -> float | None:
    """Decibels between a tensor's values and the error of quantizing them to the range they were seen in.

    Up to 8 bits the range is affine, above symmetric, as in LiteRT's quantization specification.  Steps as fine as the
    histogram are given the error of evenly spread values, step^2 / 12 (Bennett 1948, "Spectra of Quantized Signals").

    Args:
        seen: of all the tensor's values, at least one.
        bits: of an integer.

    Returns:
        None where there is no error, or no signal.
    """
    if seen.width == 0.0:
        return None
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if bits > 8:
        low, high = -max(-low, high), max(-low, high)
    step = (high - low) / (2**bits - 1)
    signal = float(np.dot(seen.centers**2, seen.counts) / seen.total)
    if step < FINE * seen.width:
        exact = float(seen.counts[-seen.first]) / seen.total if seen.first <= 0 else 0.0  # zeros, as a ReLU leaves
        return _decibels(signal, (1 - exact) * step**2 / 12)
    return _decibels(signal, quantization_error(seen.centers, seen.counts, low, high, 2**bits))


def _decibels(signal: float, noise: float) -> float | None:
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None
