"""Channels that quantize badly beside the others of their tensor: outliers, and those that never change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tfcompress.graphs.tflite import Subgraph
from tfcompress.graphs.tflite.operators import traits

__all__ = ["ChannelRanges", "channel_warnings", "outlier_tensors"]

# A tensor has one scale: beside a channel 16 times larger, an ordinary one is left with 16 of the 256 levels.
OUTLIER = 16.0
DEAD_SHARE = 0.5  # of a layer; healthy ReLU networks have some
LEAST_CHANNELS = 4


class ChannelRanges:
    """Smallest and largest value of each channel (the last axis) of one tensor.

    A tensor whose last axis is as long as the batch, as a vector's, has no channels.

    Args:
        limits: not used; every observer is made with the limits of its tensor.

    Attributes:
        low: float32 [channels], the smallest value of each; None before the first batch, empty without channels.
        high: the same of the largest values.
    """

    def __init__(self, limits: tuple[float, float] = (0.0, 0.0)) -> None:
        del limits
        self.low: np.ndarray | None = None
        self.high: np.ndarray | None = None

    def update(self, values: np.ndarray) -> None:
        """Take in one batch: float32, of any shape with the channels last."""
        rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        low, high = rows.min(axis=0), rows.max(axis=0)
        if self.low is not None and self.low.shape != low.shape:
            self.low = self.high = low[:0]
            return
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    @property
    def magnitudes(self) -> np.ndarray:
        """float32 [channels]: the largest magnitude of each; empty when nothing was seen."""
        if self.low is None or self.high is None:
            return np.zeros(0, np.float32)
        return np.maximum(-self.low, self.high)

    @property
    def dead(self) -> int:
        """Number of channels that had the same value every time."""
        return 0 if self.low is None or self.high is None else int(np.count_nonzero(self.low == self.high))


def outlier_tensors(seen: Mapping[str, ChannelRanges], graph: Subgraph) -> dict[str, float]:
    """{tensor name: how many times its largest channel exceeds its median channel} where that is `OUTLIER` or more.

    Args:
        seen: {tensor name: what its channels held}.
        graph: the main graph of the float .tflite; outputs of convolutions and dense layers are looked at.
    """
    outliers = {}
    for name in _layer_outputs(graph):
        sizes = seen[name].magnitudes if name in seen else np.zeros(0)
        median = float(np.median(sizes[sizes > 0])) if (sizes > 0).sum() >= LEAST_CHANNELS else 0.0
        if median > 0 and sizes.max() >= OUTLIER * median:
            outliers[name] = float(sizes.max()) / median
    return outliers


def channel_warnings(seen: Mapping[str, ChannelRanges], graph: Subgraph) -> tuple[str, ...]:
    """One line for outlier channels and one for dead ones; empty when all looks well.

    Args:
        seen: as for `outlier_tensors`.
        graph: as for `outlier_tensors`.
    """
    warnings = []
    outliers = outlier_tensors(seen, graph)
    if outliers:
        shown = _shown(f"{_short(name)} ({ratio:.0f} times the median channel)" for name, ratio in outliers.items())
        warnings.append(
            f"outlier channels leave few levels to the others of {shown}: try --quality=best, or name the layers in "
            "--keep_int16"
        )
    dead = {
        name: seen[name].dead
        for name in _layer_outputs(graph)
        if name in seen and len(seen[name].magnitudes) > seen[name].dead >= DEAD_SHARE * len(seen[name].magnitudes)
    }
    dead = {name: count for name, count in dead.items() if count}
    if dead:
        shown = _shown(f"{count} of {len(seen[name].magnitudes)} of {_short(name)}" for name, count in dead.items())
        warnings.append(
            f"dead channels give the same value for all samples ({shown}): are the inputs scaled as in training, and "
            "do the samples show every class? If so, prune them"
        )
    return tuple(warnings)


def _layer_outputs(graph: Subgraph) -> list[str]:
    outputs = [op.outputs[0] for op in graph.operators if traits(op.name).multiplies and op.outputs]
    return [graph.tensors[index].name for index in outputs if index not in graph.outputs]


def _short(name: str) -> str:
    return name.split(";")[0]


def _shown(items: Iterable[str]) -> str:
    every = list(items)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
