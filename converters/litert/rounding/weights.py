"""Rounding weights with regard to what they are multiplied with, and biases that make up for the mean error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress.converters.litert.rounding.layers import WeightedLayer
from tfcompress.converters.litert.rounding.moments import Moments
from tfcompress.graphs.tflite.editor import GraphEditor
from tfcompress.graphs.tflite.quantization import fake_quantize

__all__ = ["adapt_rounding", "correct_biases", "round_rows", "round_to_nearest"]

LARGEST = 127  # int8 weights are symmetric (LiteRT quantization specification)
DAMPING = 0.01  # of the mean diagonal, as in GPTQ


def adapt_rounding(
    graph: GraphEditor,
    layers: Sequence[WeightedLayer],
    moments: Mapping[int, Moments],
    *,
    dense_per_channel: bool = True,
) -> None:
    """Replace each layer's weights by the integers that keep its output closest, and its bias to match.

    The objective is AdaRound's (Nagel et al. 2020, equation 13): the expected squared change of the layer's output on
    unlabelled data, E[(dw x)^2] = dw H dw^T.  It is minimised without gradients, one column after the other, each time
    spreading the rounding error over the columns that are still free (Frantar et al. 2023, "GPTQ", algorithm 1).
    """
    for layer in layers:
        rows = layer.as_rows()
        layer_moments = moments[layer.weight_tensor]
        rounded = _round_layer(layer, rows, layer_moments, _scales(layer, rows, dense_per_channel))
        _store(graph, layer, rounded, layer.bias + _mean_error(layer, rows - rounded, layer_moments))


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


def round_to_nearest(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """float64 [out, patch]: the weights as the plain quantizer would represent them with scales [out, 1]."""
    return fake_quantize(rows, scales)


def round_rows(rows: np.ndarray, second: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Weights rounded such that the output changes least.

    Args:
        rows: float64 [out, patch].
        second: float64 [patch, patch], second moments (or the covariance) of the input, positive semi-definite.
        scales: float64 [out, 1], at least max|row| / 127.

    Returns:
        float64 [out, patch], each a whole multiple of its row's scale; weights at the end of the range keep theirs,
        so that the plain quantizer finds the same scale again, and zeros stay zero, as pruning left them.
    """
    diagonal = np.diag(second)
    order = np.argsort(-diagonal, kind="stable")
    factor = _factor_of_inverse(second[np.ix_(order, order)])
    original, left = rows[:, order], rows[:, order].copy()
    fixed = (np.abs(original) >= scales * (LARGEST - 1e-9)) | (original == 0)
    result = np.empty_like(left)
    for column in range(left.shape[1]):
        rounded = fake_quantize(left[:, column], scales[:, 0], limits=(-LARGEST, LARGEST))
        result[:, column] = np.where(fixed[:, column], original[:, column], rounded)
        error = (left[:, column] - result[:, column]) / factor[column, column]
        left[:, column + 1 :] -= error[:, None] * factor[column, column + 1 :]
    return result[:, np.argsort(order, kind="stable")]


def _factor_of_inverse(second: np.ndarray) -> np.ndarray:
    """The upper Cholesky factor of the inverse, damped as much as it takes.

    The moments are sums of float32 products: of inputs that hardly vary, nothing is left but their rounding errors.
    """
    strength = max(DAMPING * float(np.diag(second).mean()), 1e-12)
    while True:
        try:
            return np.linalg.cholesky(np.linalg.inv(second + strength * np.eye(len(second)))).T
        except np.linalg.LinAlgError:
            strength *= 10


def _scales(layer: WeightedLayer, rows: np.ndarray, dense_per_channel: bool) -> np.ndarray:
    """float64 [out, 1]; 1 where all weights are zero."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if layer.kind == "FULLY_CONNECTED" and not dense_per_channel:
        largest = np.full_like(largest, largest.max())
    return np.where(largest > 0, largest / LARGEST, 1.0)


def _round_layer(layer: WeightedLayer, rows: np.ndarray, moments: Moments, scales: np.ndarray) -> np.ndarray:
    covariance = moments.covariance
    if covariance is None or layer.clustered or not np.isfinite(covariance).all():
        return round_to_nearest(rows, scales)
    if layer.kind != "DEPTHWISE_CONV_2D":
        return round_rows(rows, covariance, scales)
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
