"""The layers of a float .tflite that have weights, each as a matrix product over patches of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from tfcompress.graphs.tflite import Operator, Subgraph, Tensor

__all__ = ["WeightedLayer", "are_clustered", "weighted_layers"]

Kind = Literal["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
MOST_CLUSTERS = 256  # as many as the recipe allows
WEIGHTS_A_CLUSTER = 4
_SAME_PADDING = 0  # schema.Padding.SAME


@dataclass(frozen=True)
class WeightedLayer:
    """One operator with constant weights that no other operator shares.

    Attributes:
        kind: operator name.
        operator: its place in the graph.
        weights: float32 as stored: [out, height, width, in], [1, height, width, out] (depthwise) or [out, in].
        bias: float32 [out].
        weight_tensor: index.
        bias_tensor: index.
        input_tensor: index.
        output_tensor: index.
    """

    kind: Kind
    operator: Operator
    weights: np.ndarray
    bias: np.ndarray
    weight_tensor: int
    bias_tensor: int
    input_tensor: int
    output_tensor: int

    @property
    def clustered(self) -> bool:
        """Whether the weights share so few values that clustering must have made them so."""
        return are_clustered(self.weights)

    def as_rows(self) -> np.ndarray:
        """float64 [out, patch]: each output channel's weights."""
        if self.kind == "DEPTHWISE_CONV_2D":
            return self.weights[0].reshape(-1, self.weights.shape[-1]).T.astype(np.float64)
        return self.weights.reshape(len(self.weights), -1).astype(np.float64)

    def from_rows(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `as_rows`, float32 in the stored shape."""
        if self.kind == "DEPTHWISE_CONV_2D":
            rows = rows.T
        return np.ascontiguousarray(rows.reshape(self.weights.shape), np.float32)

    def patches(self, value: np.ndarray, random: np.random.Generator, most: int) -> np.ndarray:
        """What the weights are multiplied with.

        Args:
            value: the layer's input, batch first.
            random: picks positions when there are more than `most`.
            most: patches to return at most.

        Returns:
            float32 [patches, patch], for a depthwise layer [patches, in, height * width].
        """
        if self.kind == "FULLY_CONNECTED":
            rows = value.reshape(-1, self.weights.shape[1])
            return rows[_some(len(rows), most, random)]
        windows = self._windows(value)  # [batch, rows, columns, in, height, width], a view
        count = int(np.prod(windows.shape[:3]))
        where = np.unravel_index(_some(count, most, random), windows.shape[:3])
        picked = windows[where]
        if self.kind == "DEPTHWISE_CONV_2D":
            return picked.reshape(*picked.shape[:2], -1)
        return picked.transpose(0, 2, 3, 1).reshape(len(picked), -1)

    def _windows(self, value: np.ndarray) -> np.ndarray:
        options = self.operator.options
        strides = (options.StrideH(), options.StrideW())
        dilation = (options.DilationHFactor(), options.DilationWFactor())
        reach = [(size - 1) * step + 1 for size, step in zip(self.weights.shape[1:3], dilation, strict=True)]
        if options.Padding() == _SAME_PADDING:
            value = np.pad(value, ((0, 0), *map(_same, value.shape[1:3], reach, strides), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(value, reach, axis=(1, 2))
        return windows[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]


def _some(count: int, most: int, random: np.random.Generator) -> np.ndarray:
    """All of `count` positions, or `most` of them at random (with replacement: fast, and as good for a mean)."""
    return np.arange(count) if count <= most else np.sort(random.integers(0, count, most))


def _same(size: int, reach: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one axis (TensorFlow, `tf.nn.convolution`, SAME)."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def are_clustered(weights: np.ndarray) -> bool:
    """Whether weights share so few values that clustering must have made them so."""
    distinct = len(np.unique(weights))
    return distinct <= MOST_CLUSTERS and distinct * WEIGHTS_A_CLUSTER <= weights.size


def weighted_layers(graph: Subgraph) -> list[WeightedLayer]:
    """The layers whose weights may be changed, in order of execution.

    Args:
        graph: the main graph of a float .tflite.
    """
    used: dict[int, int] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            used[index] = used.get(index, 0) + 1
    layers = (_layer(graph, operator, used) for operator in graph.operators if operator.name in get_args(Kind))
    return [layer for layer in layers if layer is not None]


def _layer(graph: Subgraph, operator: Operator, used: dict[int, int]) -> WeightedLayer | None:
    if len(operator.inputs) < 3 or min(operator.inputs[:3]) < 0 or used[operator.inputs[1]] > 1:
        return None
    source, weight_index, bias_index = operator.inputs[:3]  # as `operators.TRAITS` has them for all three kinds
    weights = _float_constant(graph.tensors[weight_index])
    bias = _float_constant(graph.tensors[bias_index])
    grouped = operator.name == "CONV_2D" and weights is not None and weights.shape[3] != graph.tensors[source].shape[-1]
    if weights is None or bias is None or grouped or used[bias_index] > 1:
        return None
    kind: Any = operator.name
    return WeightedLayer(kind, operator, weights, bias, weight_index, bias_index, source, operator.outputs[0])


def _float_constant(tensor: Tensor) -> np.ndarray | None:
    return tensor.array() if tensor.dtype == "float32" else None
