"""A histogram of a stream of values: fixed memory, exact counts, no second pass.

Bins have a width that is a power of two and an edge at zero.  When a value falls outside, the width doubles and
neighbouring bins are added, which is exact because every coarse bin is two fine ones.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["Histogram"]

MAX_BINS = 4096  # about 16 bins for each of the 256 levels of 8 bits
_PIECE = 1 << 22  # values that are copied at once
_LARGEST_FACTOR = float(np.finfo(np.float32).max)


class Histogram:
    """Counts of values seen so far.

    Attributes:
        width: of a bin, a power of two; 0 before the first value other than zero.
        first: index of the first bin; bin `i` holds values in [i * width, (i + 1) * width).
        counts: int64 [bins].
        low: the smallest value seen.
        high: the largest value seen.
    """

    def __init__(self) -> None:
        self.width = 0.0
        self.first = 0
        self.counts = np.zeros(0, np.int64)
        self.low = math.inf
        self.high = -math.inf
        self._zeros = 0  # seen before there was a width

    def update(self, values: np.ndarray) -> None:
        """Count finite float32 values of any shape."""
        flat = values.reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(-self.low, self.high)
        if largest <= 0:
            self._zeros += flat.size
            return
        self._make_room(low, high)
        for start in range(0, flat.size, _PIECE):
            self._count(flat[start : start + _PIECE], negative=low < 0)

    def _count(self, values: np.ndarray, *, negative: bool) -> None:
        scale = 1.0 / self.width
        # In float64 only where a float32 cannot hold the factor, of values near the least normal ones.
        scaled = values * np.float32(scale) if scale < _LARGEST_FACTOR else values.astype(np.float64) * scale
        scaled = np.floor(scaled) if negative else scaled
        indices = scaled.astype(np.int64)  # truncation is floor for what is not negative
        indices -= self.first
        self.counts += np.bincount(indices, minlength=len(self.counts))

    def _make_room(self, low: float, high: float) -> None:
        if self.width == 0.0:
            span = max(self.high, 0.0) - min(self.low, 0.0)
            self.width = 2.0 ** math.ceil(math.log2(span / MAX_BINS) + 1e-9)
            self._set_bins(0, np.array([self._zeros], np.int64))
        while True:
            first = min(self.first, math.floor(low / self.width))
            last = max(self.first + len(self.counts) - 1, math.floor(high / self.width))
            if last - first + 1 <= MAX_BINS:
                break
            self._double()
        grown = np.zeros(last - first + 1, np.int64)
        grown[self.first - first :][: len(self.counts)] = self.counts
        self._set_bins(first, grown)

    def _double(self) -> None:
        first = self.first // 2
        last = (self.first + len(self.counts) - 1) // 2
        coarse = np.zeros(last - first + 1, np.int64)
        np.add.at(coarse, (self.first + np.arange(len(self.counts))) // 2 - first, self.counts)
        self._set_bins(first, coarse)
        self.width *= 2

    def _set_bins(self, first: int, counts: np.ndarray) -> None:
        self.first, self.counts = first, counts

    @property
    def total(self) -> int:
        """Number of values counted."""
        return self._zeros if self.width == 0.0 else int(self.counts.sum())

    @property
    def centers(self) -> np.ndarray:
        """float64 [bins]: the middle of each bin, but never outside of what was seen."""
        middle = (self.first + np.arange(len(self.counts)) + 0.5) * self.width
        return np.clip(middle, self.low, self.high)

    def quantile(self, share: float) -> float:
        """The value below which `share` of all values lie; linear within a bin, exact at 0 and 1."""
        if self.width == 0.0 or share <= 0:
            return self.low
        if share >= 1:
            return self.high
        cumulative = np.cumsum(self.counts)
        wanted = share * cumulative[-1]
        bin_index = int(np.searchsorted(cumulative, wanted))
        inside = (wanted - (cumulative[bin_index] - self.counts[bin_index])) / max(1, self.counts[bin_index])
        return float(np.clip((self.first + bin_index + inside) * self.width, self.low, self.high))
