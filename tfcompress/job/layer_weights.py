"""The kernel of each layer before and after compression, for the picture of widths and zeros in the report."""

from __future__ import annotations

import numpy as np

from tfcompress.compression import Compressed
from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.layer_names import all_layers
from tfcompress.report.schema import LayerWeights

__all__ = ["layer_weights"]


def layer_weights(original: KerasModel, compressed: Compressed) -> tuple[LayerWeights, ...]:
    """Every layer with a kernel that is left, by the user's names.

    Args:
        original: the model before anything was done to it.
        compressed: the model now, and where its layers come from.
    """
    before = {layer.name: layer for layer in all_layers(original)}
    rows = []
    for layer in all_layers(compressed.stripped):
        kernel = _kernel(layer)
        if kernel is None:
            continue
        name = layer.name if compressed.lineage is None else compressed.lineage.old_name(layer.name)
        old = _kernel(before[name]) if name in before else None
        rows.append(
            LayerWeights(
                layer=name,
                type=type(layer).__name__,
                before=None if old is None else _channels(before[name], old),
                after=_channels(layer, kernel),
                zeros_before=None if old is None else _zeros(old),
                zeros_after=_zeros(kernel),
                values_after=len(np.unique(kernel)),
            )
        )
    return tuple(rows)


def _kernel(layer: Layer) -> np.ndarray | None:
    """The largest weight that is no vector; None where there is none."""
    kernels = [np.asarray(weight) for weight in layer.weights if len(weight.shape) > 1]
    return max(kernels, key=lambda kernel: kernel.size, default=None)


def _channels(layer: Layer, kernel: np.ndarray) -> int:
    """A depthwise kernel has its channels on the last two axes, a transposed one on the last but one."""
    name = type(layer).__name__
    if name.startswith("Depthwise"):
        return int(kernel.shape[-2] * kernel.shape[-1])
    return int(kernel.shape[-2] if name.endswith("Transpose") else kernel.shape[-1])


def _zeros(kernel: np.ndarray) -> float:
    return 1 - np.count_nonzero(kernel) / max(kernel.size, 1)
