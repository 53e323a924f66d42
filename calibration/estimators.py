"""Range estimators: what part of the values seen should an integer tensor be able to represent?

Each sees one tensor's values batch by batch and keeps a state of fixed size.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from tfcompress.calibration.result import Range

__all__ = ["MinMax", "RangeEstimator"]


class RangeEstimator(Protocol):
    """Estimates one tensor's range from a stream of its values."""

    def update(self, values: np.ndarray) -> None:
        """Take in one batch: float32, any shape, at least one element; not kept."""
        ...

    def range(self) -> Range:
        """The estimate after what was seen so far; at least one batch."""
        ...


class MinMax:
    """Smallest and largest value ever seen (Jacob et al. 2018, section 3.1, without the averaging).

    Args:
        limits: what no value can leave.  An end of the range that has reached its limit is not looked at any more:
            nothing can move it, and reading large activations is most of the work.
    """

    def __init__(self, limits: tuple[float, float] = (-math.inf, math.inf)) -> None:
        self._limits = limits
        self._low = math.inf
        self._high = -math.inf

    def update(self, values: np.ndarray) -> None:
        """Take in one batch."""
        if self._low > self._limits[0]:
            self._low = min(self._low, float(values.min()))
        if self._high < self._limits[1]:
            self._high = max(self._high, float(values.max()))

    def range(self) -> Range:
        """From the smallest to the largest value."""
        return Range(self._low, self._high)
