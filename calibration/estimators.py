"""Range estimators: what part of the values seen should an integer tensor be able to represent?

Each sees one tensor's values batch by batch and keeps a state of fixed size.  An estimator is made with the limits
that the tensor's operator cannot leave (RELU6: 0 to 6).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from tfcompress.calibration.histogram import Histogram
from tfcompress.calibration.result import Range
from tfcompress.graphs.tflite.quantization import fake_quantize

__all__ = [
    "ANYTHING",
    "EntropyEstimator",
    "EstimatorFactory",
    "EstimatorName",
    "MeanSquaredErrorEstimator",
    "MinMaxEstimator",
    "MovingAverageEstimator",
    "PercentileEstimator",
    "RangeEstimator",
    "estimator_factory",
    "quantization_error",
]

EstimatorName = Literal["min_max", "moving_average", "percentile", "entropy", "mse"]
LEVELS = 256  # of 8 bits
ANYTHING = (-math.inf, math.inf)


class RangeEstimator(Protocol):
    """Estimates one tensor's range from a stream of its values."""

    def update(self, values: np.ndarray) -> None:
        """Take in one batch: float32, samples along the first axis, at least one element; not kept."""
        ...

    def range(self) -> Range:
        """The estimate after what was seen so far; at least one batch."""
        ...


EstimatorFactory = Callable[[tuple[float, float]], RangeEstimator]


class MinMaxEstimator:
    """Smallest and largest value ever seen (Jacob et al. 2018, section 3.1, without the averaging).

    An end of the range that has reached its limit is not looked at any more: nothing can move it, and reading large
    activations is most of the work.
    """

    def __init__(self, limits: tuple[float, float] = ANYTHING) -> None:
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


class MovingAverageEstimator:
    """Exponential moving averages of each sample's smallest and largest value (Jacob et al. 2018, section 3.1).

    The average is taken sample by sample, so that the result does not depend on the batch size.
    """

    DECAY = 0.99

    def __init__(self, limits: tuple[float, float] = ANYTHING) -> None:
        del limits
        self._low: float | None = None
        self._high: float | None = None

    def update(self, values: np.ndarray) -> None:
        """Take in one batch."""
        rows = values.reshape(len(values) if values.ndim else 1, -1)
        for low, high in zip(rows.min(axis=1).tolist(), rows.max(axis=1).tolist(), strict=True):
            self._low = low if self._low is None else self.DECAY * self._low + (1 - self.DECAY) * low
            self._high = high if self._high is None else self.DECAY * self._high + (1 - self.DECAY) * high

    def range(self) -> Range:
        """The two averages.

        Raises:
            ValueError: nothing was seen.
        """
        if self._low is None or self._high is None:
            raise ValueError("moving average: no values were seen")
        return Range(self._low, self._high)


class _HistogramEstimator:
    def __init__(self, limits: tuple[float, float] = ANYTHING) -> None:
        del limits
        self.histogram = Histogram()

    def update(self, values: np.ndarray) -> None:
        """Take in one batch."""
        self.histogram.update(values)

    @property
    def _full(self) -> Range:
        return Range(self.histogram.low, self.histogram.high)


class PercentileEstimator(_HistogramEstimator):
    """The range that holds a share of all values (Wu et al. 2020, arXiv:2004.09602, section 3.2).

    What is left out is shared between both ends, unless all values have one sign: then it is cut at the far end only,
    since zero has to be representable anyway.
    """

    def __init__(self, limits: tuple[float, float] = ANYTHING, *, percentile: float = 99.99) -> None:
        super().__init__(limits)
        self._outside = 1 - percentile / 100

    def range(self) -> Range:
        """The two quantiles."""
        data = self.histogram
        if data.low >= 0:
            return Range(data.low, max(data.low, data.quantile(1 - self._outside)))
        if data.high <= 0:
            return Range(min(data.high, data.quantile(self._outside)), data.high)
        return Range(data.quantile(self._outside / 2), data.quantile(1 - self._outside / 2))


class MeanSquaredErrorEstimator(_HistogramEstimator):
    """The range with the least mean squared quantization error (Banner et al. 2019, arXiv:1810.05723).

    The error is computed from the histogram; both ends are searched in turn, from the full range inwards.
    """

    STEPS = 100
    ROUNDS = 3

    def range(self) -> Range:
        """The best range found."""
        data = self.histogram
        if data.width == 0.0:
            return self._full
        low, high = min(data.low, 0.0), max(data.high, 0.0)
        shares = np.arange(1, self.STEPS + 1) / self.STEPS
        for _ in range(self.ROUNDS):
            low = min(shares * min(data.low, 0.0), key=lambda end: self._error(float(end), high))
            high = min(shares * max(data.high, 0.0), key=lambda end: self._error(low, float(end)))
        return Range(float(low), float(high))

    def _error(self, low: float, high: float) -> float:
        if high <= low:
            return math.inf
        return quantization_error(self.histogram.centers, self.histogram.counts, low, high)


def quantization_error(values: np.ndarray, weights: np.ndarray, low: float, high: float, levels: int = LEVELS) -> float:
    """Weighted mean squared error of affine quantization to a range that includes zero.

    LiteRT quantization specification: real = scale * (q - zero_point), zero exactly representable.

    Args:
        values: float [n].
        weights: how often each value occurs, [n].
        low: smallest representable value, <= 0.
        high: largest representable value, >= 0, above `low`.
        levels: number of integers, 256 for 8 bits.
    """
    scale = (high - low) / (levels - 1)
    zero_point = round(-low / scale)
    errors = fake_quantize(values, scale, zero_point=zero_point, limits=(0, levels - 1)) - values
    return float(np.dot(errors * errors, weights) / weights.sum())


class EntropyEstimator(_HistogramEstimator):
    """The threshold whose quantized distribution diverges least from the original.

    Migacz 2017, "8-bit Inference with TensorRT" (GTC), slides 38 to 40: a histogram of magnitudes with 2048 bins; for
    each threshold the reference is the clipped histogram with the outliers in its last bin, the candidate the same bins
    merged into 128 levels and spread back over the bins that are not empty; the smallest Kullback-Leibler divergence
    wins.  A range with one sign uses all 256 levels.  As in NVIDIA's own implementation (pytorch-quantization,
    `calib/histogram.py`), the first bin counts as its neighbour: it holds the zeros of a ReLU, which are always exact.
    """

    BINS = 2048

    def range(self) -> Range:
        """The full range, cut at plus and minus the threshold."""
        if self.histogram.width == 0.0:
            return self._full
        threshold = self.threshold()
        data = self.histogram
        return Range(max(data.low, -threshold), min(data.high, threshold))

    def threshold(self) -> float:
        """The magnitude with the least divergence."""
        data = self.histogram
        one_sign = data.low >= 0 or data.high <= 0
        largest = max(-data.low, data.high)
        magnitudes, _ = np.histogram(np.abs(data.centers), self.BINS, (0.0, largest), weights=data.counts)
        magnitudes[0] = magnitudes[1]
        levels = LEVELS if one_sign else LEVELS // 2
        candidates = range(levels, self.BINS + 1)
        best = min(candidates, key=lambda bins: _divergence(magnitudes, bins, levels))
        return best / self.BINS * largest


def _divergence(magnitudes: np.ndarray, bins: int, levels: int) -> float:
    """KL divergence of the first `bins` bins merged into `levels` from the same bins with all outliers in the last."""
    kept = magnitudes[:bins]
    reference = kept.copy()
    reference[-1] += magnitudes[bins:].sum()
    starts = np.arange(levels) * bins // levels
    filled = kept > 0
    sums = np.add.reduceat(kept, starts)
    counts = np.add.reduceat(filled.astype(np.float64), starts)
    sizes = np.diff(starts, append=bins)
    candidate = np.repeat(sums / np.maximum(counts, 1), sizes) * filled
    total = candidate.sum()
    if total == 0 or (reference[~filled] > 0).any():
        return math.inf  # the reference has mass where the candidate has none
    p, q = reference[filled] / reference.sum(), candidate[filled] / total
    return float(np.sum(p * np.log(p / q)))


def estimator_factory(name: EstimatorName, *, percentile: float = 99.99) -> EstimatorFactory:
    """What makes an estimator from a tensor's limits.

    Args:
        name: which one.
        percentile: share of values inside the range in percent, for `percentile`.
    """
    factories: dict[str, EstimatorFactory] = {
        "min_max": MinMaxEstimator,
        "moving_average": MovingAverageEstimator,
        "percentile": functools.partial(PercentileEstimator, percentile=percentile),
        "entropy": EntropyEstimator,
        "mse": MeanSquaredErrorEstimator,
    }
    return factories[name]
