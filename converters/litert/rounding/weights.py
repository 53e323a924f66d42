"""Rounding weights with regard to what they are multiplied with, and biases that make up for the mean error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress.converters.litert.rounding.compact import round_compactly
from tfcompress.converters.litert.rounding.layers import WeightedLayer
from tfcompress.converters.litert.rounding.moments import PATCHES, Moments
from tfcompress.converters.litert.rounding.rows import LARGEST, round_rows, round_to_nearest
from tfcompress.graphs.tflite.editor import GraphEditor

__all__ = ["adapt_rounding", "correct_biases", "rounding_work"]


def adapt_rounding(
    graph: GraphEditor,
    layers: Sequence[WeightedLayer],
    moments: Mapping[int, Moments],
    *,
    dense_per_channel: bool = True,
    compact: bool = False,
) -> None:
    """Replace each layer's weights by the integers that keep its output closest, and its bias to match.

    The objective is AdaRound's (Nagel et al. 2020, equation 13): the expected squared change of the layer's output on
    unlabelled data, E[(dw x)^2] = dw H dw^T.  It is minimised without gradients, one column after the other, each time
    spreading the rounding error over the columns that are still free (Frantar et al. 2023, "GPTQ", algorithm 1).
    With `compact` what that gains is spent on a smaller packed file, see `round_compactly`; depthwise layers, which
    are small, are rounded as without.
    """
    for layer in layers:
        rows = layer.as_rows()
        layer_moments = moments[layer.weight_tensor]
        scales = _scales(layer, rows, dense_per_channel)
        rounded = _round_layer(layer, rows, layer_moments, scales, compact=compact)
        _store(graph, layer, rounded, layer.bias + _mean_error(layer, rows - rounded, layer_moments))


def rounding_work(layers: Sequence[WeightedLayer]) -> float:
    """Multiplications that `adapt_rounding` and the second moments for it take; depthwise layers are next to none."""
    sizes = [layer.as_rows().shape for layer in layers if layer.kind != "DEPTHWISE_CONV_2D"]
    return float(sum((PATCHES + channels + patch) * patch**2 for channels, patch in sizes))


def correct_biases(
    graph: GraphEditor,
    layers: Sequence[WeightedLayer],
    moments: Mapping[int, Moments],
    *,
    dense_per_channel: bool = True,
) -> None:
    """Shift each bias by the mean error that rounding to nearest causes (Nagel et al. 2019, section 4.2)."""
    for layer in layers:
        rows = layer.as_rows()
        error = rows - round_to_nearest(rows, _scales(layer, rows, dense_per_channel))
        _store(graph, layer, rows, layer.bias + _mean_error(layer, error, moments[layer.weight_tensor]))


def _scales(layer: WeightedLayer, rows: np.ndarray, dense_per_channel: bool) -> np.ndarray:
    """float64 [out, 1]; 1 where all weights are zero."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if layer.kind == "FULLY_CONNECTED" and not dense_per_channel:
        largest = np.full_like(largest, largest.max())
    return np.where(largest > 0, largest / LARGEST, 1.0)


def _round_layer(
    layer: WeightedLayer, rows: np.ndarray, moments: Moments, scales: np.ndarray, *, compact: bool
) -> np.ndarray:
    covariance = moments.covariance
    if covariance is None or layer.clustered or not np.isfinite(covariance).all():
        return round_to_nearest(rows, scales)
    if layer.kind != "DEPTHWISE_CONV_2D":
        return (round_compactly if compact else round_rows)(rows, covariance, scales)
    multiplier = len(rows) // len(covariance)
    each = [slice(i, i + 1) for i in range(len(rows))]
    return np.concatenate([round_rows(rows[i], covariance[i.start // multiplier], scales[i]) for i in each])


def _mean_error(layer: WeightedLayer, error: np.ndarray, moments: Moments) -> np.ndarray:
    """float64 [out]: E[error x]."""
    if layer.kind != "DEPTHWISE_CONV_2D":
        return error @ moments.mean
    return np.sum(error * np.repeat(moments.mean, len(error) // len(moments.mean), axis=0), axis=1)


def _store(graph: GraphEditor, layer: WeightedLayer, rows: np.ndarray, bias: np.ndarray) -> None:
    for index, value in [(layer.weight_tensor, layer.from_rows(rows)), (layer.bias_tensor, bias.astype(np.float32))]:
        graph.tensors[index].set_array(value)
