"""Rounding for small files: of the integers near a weight, the one that codes shorter.

Adaptive rounding leaves a layer's output closer than rounding each weight to the nearest integer does.  Here what it
gains is spent on bits, by the rule of rate and distortion (Wiedemann et al. 2020, "DeepCABAC", equation 11): each
choice minimises error + price * bits, with the error that adaptive rounding has in mind, and the price is as high as
the error of rounding to the nearest allows.
"""

from __future__ import annotations

import numpy as np

from tfcompress.converters.litert.rounding.rows import LARGEST, round_rows, round_to_nearest

__all__ = ["entropy_bits", "output_error", "round_compactly"]

_ROUNDS = 8
_PRICES = (-6.0, 6.0)  # log2 of the price of a bit, in mean squared errors of a weight
_HALF = 0.5  # how often an integer counts as seen that was not


def round_compactly(rows: np.ndarray, second: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Weights rounded such that they pack small while the output changes at most as with the nearest integers.

    Args:
        rows: float64 [out, patch].
        second: float64 [patch, patch], second moments (or the covariance) of the input, positive semi-definite.
        scales: float64 [out, 1], at least max|row| / 127.

    Returns:
        float64 [out, patch], as `round_rows` returns it.
    """
    allowed = output_error(rows - round_to_nearest(rows, scales), second)
    best = round_rows(rows, second, scales)
    least = entropy_bits(best, scales)
    low, high = _PRICES
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        price = 2.0**middle * allowed / rows.size
        tried = round_rows(rows, second, scales, costs=price * _code_lengths(best, scales))
        if output_error(rows - tried, second) > allowed:
            high = middle
            continue
        low = middle
        bits = entropy_bits(tried, scales)
        if bits < least:
            best, least = tried, bits
    return best


def output_error(error: np.ndarray, second: np.ndarray) -> float:
    """The mean squared change of a layer's outputs, summed over them, by the change of its weights, [out, patch]."""
    return float(np.sum(error @ second * error))


def entropy_bits(rounded: np.ndarray, scales: np.ndarray) -> float:
    """Bits that the integers of a layer take when each costs what its share of all says."""
    counts = _counts(rounded, scales)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum() * rounded.size)


def _code_lengths(rounded: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """float64 [255]: bits of the integers -127..127."""
    counts = _counts(rounded, scales) + _HALF
    return np.asarray(-np.log2(counts / counts.sum()))


def _counts(rounded: np.ndarray, scales: np.ndarray) -> np.ndarray:
    integers = np.clip(np.rint(rounded / scales), -LARGEST, LARGEST).astype(np.int64)
    return np.bincount(integers.ravel() + LARGEST, minlength=2 * LARGEST + 1)
