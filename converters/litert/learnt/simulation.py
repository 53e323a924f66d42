"""A quantized .tflite as a function of real values whose scales, zero points, weights and biases are variables.

Rounding passes gradients on as if it were not there (the straight-through estimator of Bengio et al. 2013), and scales
and zero points get theirs through what rounding and clipping leave of them (Esser et al. 2020, "Learned Step Size
Quantization", equation 3; Bhalgat et al. 2020, "LSQ+", section 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfcompress.converters.litert.learnt.forms import FORMS, WEIGHTED, clipped
from tfcompress.converters.litert.learnt.scales import shared_scales, unchangeable
from tfcompress.converters.litert.rounding.layers import are_clustered
from tfcompress.graphs.keras.protocols import Tensor, Variable
from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.runtime import tf

__all__ = ["Simulation", "Weights", "lacks"]

LARGEST_WEIGHT = 127.0
PRUNED = 0.1  # share of a layer's float weights that are zero: without pruning there is next to none
ZERO_POINT_STEPS = 8.0  # of a zero point, for a step of its variable: Adam moves all variables alike
BIAS_STEPS = 4.0  # of the output's integers, for a step of a bias's variable


def lacks(graph: Subgraph) -> str | None:
    """What of a file has no form here; None where everything has."""
    for operator in graph.operators:
        if operator.name not in FORMS:
            return operator.name
        fused = getattr(operator.options, "FusedActivationFunction", lambda: 0)()
        if fused not in (0, 1, 2, 3):
            return f"{operator.name} with activation {fused}"
        if operator.name == "CONV_2D" and _is_grouped(operator, graph):
            return "a convolution in groups"
        if operator.name in WEIGHTED and graph.tensors[operator.inputs[1]].array() is None:
            return f"{operator.name} with computed weights, or of less than 8 bits"
    constants = [index for operator in graph.operators for index in operator.inputs[1:] if operator.name in WEIGHTED]
    counts = Counter(index for index in constants if index >= 0)
    return "a constant of several layers" if counts and max(counts.values()) > 1 else None


def _is_grouped(operator: Operator, graph: Subgraph) -> bool:
    return graph.tensors[operator.inputs[0]].shape[-1] != graph.tensors[operator.inputs[1]].shape[-1]


@dataclass
class Weights:
    """The variables of one layer.

    Attributes:
        integers: float32, as stored; rounded before they are used.
        free: bool, which of them may move: not the zeros of a pruned layer, and none of a clustered one.
        scales: float32, broadcast over the kernel.
        bias: float32 [out], real values; None for a layer without.
        moved: float32 [out], how far the bias has moved, in `BIAS_STEPS` of the output's integers.
    """

    integers: Variable
    free: np.ndarray
    scales: np.ndarray
    bias: np.ndarray | None
    moved: Variable


@dataclass
class Simulation:
    """A quantized file in TensorFlow.

    Attributes:
        content: the .tflite.
        graph: what `read_tflite` reads of it.
        float_weights: {name of a tensor of weights: its values in the float file}, which tell what pruning and
            clustering made of it; weights of other names are free.
    """

    content: bytes
    graph: Subgraph
    float_weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    layers: dict[int, Weights] = field(init=False)

    def __post_init__(self) -> None:
        self._shared = shared_scales(self.graph)
        fixed = unchangeable(self.graph, self._shared)
        roots = sorted(set(self._shared.values()))
        self._free = [root for root in roots if root not in fixed]
        self._scale: dict[int, Variable] = {root: tf.Variable(0.0) for root in roots}
        self._zero: dict[int, Variable] = {root: tf.Variable(0.0) for root in roots}
        operators = [operator for operator in self.graph.operators if self._is_layer(operator)]
        self.layers = {operator.index: self._layer(operator) for operator in operators}

    def _is_layer(self, operator: Operator) -> bool:
        is_integer = operator.inputs[0] in self._shared and operator.outputs[0] in self._shared
        return operator.name in WEIGHTED and is_integer and self.graph.tensors[operator.inputs[1]].dtype == "int8"

    def _has_zero(self, root: int) -> bool:
        """Whether a zero point may move: not at the end of the range, where a ReLU has put it, and not of 16 bits."""
        tensor = self.graph.tensors[root]
        assert tensor.quantization is not None, "it shares a scale"
        return tensor.dtype == "int8" and abs(int(tensor.quantization.zero_points[0])) < 127

    def _layer(self, operator: Operator) -> Weights:
        tensor = self.graph.tensors[operator.inputs[1]]
        values, quantization = tensor.array(), tensor.quantization
        assert values is not None, "it is a constant"
        assert quantization is not None, "it has scales"
        shape = [1] * values.ndim
        shape[quantization.dimension if len(quantization.scales) > 1 else 0] = len(quantization.scales)
        bias = self._bias(operator)
        channels = 1 if bias is None else len(bias)
        return Weights(
            tf.Variable(values.astype(np.float32)),
            self._free_weights(tensor.name, values),
            quantization.scales.reshape(shape).astype(np.float32),
            bias,
            tf.Variable(np.zeros(channels, np.float32)),
        )

    def _free_weights(self, name: str, values: np.ndarray) -> np.ndarray:
        weights = self.float_weights.get(name)
        if weights is None or weights.shape != values.shape:
            return np.ones(values.shape, bool)
        if are_clustered(weights):
            return np.zeros(values.shape, bool)
        zeros = weights == 0
        return ~zeros if zeros.mean() >= PRUNED else np.ones(values.shape, bool)

    def _bias(self, operator: Operator) -> np.ndarray | None:
        if len(operator.inputs) < 3 or operator.inputs[2] < 0:
            return None
        return self._constant(operator.inputs[2])

    def _constant(self, index: int) -> np.ndarray:
        tensor = self.graph.tensors[index]
        values = tensor.array()
        assert values is not None, "it is a constant of at least 8 bits"
        if tensor.quantization is None or not len(tensor.quantization.scales):
            return values
        shape = [1] * values.ndim
        if len(tensor.quantization.scales) > 1:
            shape[tensor.quantization.dimension] = len(tensor.quantization.scales)
        scales, zeros = (
            part.reshape(shape) if len(part) > 1 else part
            for part in (tensor.quantization.scales, tensor.quantization.zero_points)
        )
        return np.asarray((values.astype(np.float64) - zeros) * scales, np.float32)

    def variables(self) -> dict[str, list[Variable]]:
        """{kind: trainable variables}."""
        layers = self.layers.values()
        return {
            "scale": [self._scale[root] for root in self._free],
            "zero point": [self._zero[root] for root in self._free if self._has_zero(root)],
            "weights": [layer.integers for layer in layers],
            "bias": [layer.moved for layer in layers if layer.bias is not None],
        }

    def scale(self, index: int) -> tuple[Tensor, Tensor]:
        """(scale, zero point) of a tensor that `shared_scales` has."""
        root = self._shared[index]
        quantization = self.graph.tensors[root].quantization
        assert quantization is not None, "it shares a scale"
        zero = rounded(float(quantization.zero_points[0]) + ZERO_POINT_STEPS * self._zero[root])
        limits = np.iinfo(self.graph.tensors[root].dtype)
        zero = tf.clip_by_value(zero, float(limits.min), float(limits.max))
        return float(quantization.scales[0]) * tf.exp(self._scale[root]), zero

    def bias(self, operator: Operator) -> Tensor | None:
        """Real biases of a layer; None for one without."""
        layer = self.layers[operator.index]
        step = self.scale(operator.outputs[0])[0]
        return None if layer.bias is None else layer.bias + BIAS_STEPS * tf.stop_gradient(step) * layer.moved

    def __call__(self, inputs: Sequence[Tensor]) -> dict[int, Tensor]:
        """{tensor: real values} of every computed tensor, from the real values of the inputs."""
        values = {
            index: self._as_integers(tf.cast(value, tf.float32), index) if index in self._shared else value
            for index, value in zip(self.graph.inputs, inputs, strict=True)
        }
        for operator in self.graph.operators:
            given = [None if index < 0 else self._value(values, index) for index in operator.inputs]
            if operator.index in self.layers:
                layer = self.layers[operator.index]
                fixed = tf.stop_gradient(layer.integers)
                integers = rounded(tf.where(layer.free, layer.integers, fixed))
                integers = tf.clip_by_value(integers, -LARGEST_WEIGHT, LARGEST_WEIGHT)
                given[1:] = [integers * layer.scales, self.bias(operator)]
            elif operator.name in WEIGHTED:
                given += [None] * (3 - len(given))
            result = clipped(operator, FORMS[operator.name](operator, self.graph, given))
            index = operator.outputs[0]
            values[index] = self._as_integers(result, index) if index in self._shared else result
        return values

    def _value(self, values: Mapping[int, Tensor], index: int) -> object:
        return values[index] if index in values else self._constant(index)

    def _as_integers(self, value: Tensor, index: int) -> Tensor:
        """What a tensor's integers make of real values."""
        scale, zero = self.scale(index)
        limits = np.iinfo(self.graph.tensors[index].dtype)
        integers = tf.clip_by_value(rounded(value / scale) + zero, float(limits.min), float(limits.max))
        return (integers - zero) * scale

    def tensors(self) -> Iterator[tuple[int, float, int]]:
        """(tensor, scale, zero point) of each that holds integers."""
        for index in self._shared:
            scale, zero = self.scale(index)
            yield index, float(scale), int(float(zero))


@tf.custom_gradient
def rounded(value: Tensor) -> Any:
    """Halves to even; the gradient passes as if nothing were rounded."""
    return tf.round(value), lambda gradient: gradient
