"""First and second moments of what each layer's weights are multiplied with, from one pass over the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.calibration.activations import ActivationRunner
from tfcompress.console import progress
from tfcompress.converters.litert.rounding.layers import WeightedLayer
from tfcompress.data import Samples

__all__ = ["Moments", "collect_moments"]

SAMPLES = 500
PATCHES = 40_000  # of each layer in all
LONGEST_PATCH = 4608  # 3 x 3 x 512: its second moments take 170 MB and, to invert, seconds


@dataclass
class Moments:
    """Means over patches x of a layer's input.

    Attributes:
        mean: E[x], float64 [patch], for a depthwise layer [in, patch].
        second: E[x x^T], float64 [patch, patch], for a depthwise layer [in, patch, patch]; None where it was not asked
            for, or where a patch is longer than `LONGEST_PATCH`.
    """

    mean: np.ndarray
    second: np.ndarray | None

    @property
    def covariance(self) -> np.ndarray | None:
        """E[x x^T] - E[x] E[x]^T: what is left when the bias makes up for the mean; None without `second`."""
        if self.second is None:
            return None
        return self.second - self.mean[..., :, None] * self.mean[..., None, :]


def collect_moments(
    content: bytes, layers: Sequence[WeightedLayer], samples: Samples, *, second: bool
) -> dict[int, Moments]:
    """{weight tensor index: moments} over the first `SAMPLES` samples; the same call gives the same result.

    Args:
        content: the float .tflite that `layers` were read from.
        layers: whose inputs to look at.
        samples: representative inputs; no labels are used.
        second: collect second moments too, which is most of the work.
    """
    runner = ActivationRunner(content)
    samples = samples.take(SAMPLES)
    each = max(1, PATCHES // (samples.count or SAMPLES))
    random = np.random.default_rng(0)
    sums: dict[int, list[np.ndarray]] = {}
    counts = dict.fromkeys((layer.weight_tensor for layer in layers), 0)
    with progress("statistics for rounding", samples.count) as advance:
        for size in runner.over(samples):
            for layer in layers:
                patches = layer.patches(runner.value(layer.input_tensor), random, each * size)
                counts[layer.weight_tensor] += len(patches)
                _add(sums, layer.weight_tensor, patches, second and patches.shape[-1] <= LONGEST_PATCH)
            advance(size)
    return {key: _mean(parts, counts[key]) for key, parts in sums.items()}


def _mean(parts: list[np.ndarray], count: int) -> Moments:
    return Moments(parts[0] / count, parts[1] / count if len(parts) > 1 else None)


def _add(sums: dict[int, list[np.ndarray]], key: int, patches: np.ndarray, second: bool) -> None:
    new = [patches.sum(axis=0, dtype=np.float64)]
    if second and patches.ndim == 3:  # depthwise: [patches, in, patch]
        by_channel = np.ascontiguousarray(patches.transpose(1, 0, 2))
        new.append((by_channel.transpose(0, 2, 1) @ by_channel).astype(np.float64))
    elif second:
        new.append((patches.T @ patches).astype(np.float64))
    sums[key] = [old + more for old, more in zip(sums[key], new, strict=True)] if key in sums else new
