"""The numbers that a loop computes with: float32, or 16-bit integers with weights of 8 bits.

The integer kernels are LiteRT's for 16-bit activations: symmetric int16 values, int8 weights with a scale for each
output, int64 biases, results of LOGISTIC and TANH at a scale of 2^-15 (LiteRT quantization specification and
tensorflow/lite/kernels: fully_connected.cc, activations.cc, add.cc, mul.cc).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.litert.recurrent.cell import HARD_SIGMOIDS
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["GATE_BOUND", "Matrix", "Numbers", "constant", "quantized_weights", "tensor"]

# A sigmoid or hyperbolic tangent is flat beyond: LiteRT's integer LSTM has its gates in Q3.12, up to 8, as well.
GATE_BOUND = 8.0
_WIDE = 32767
_UNIT_SCALE = 2.0**-15
# Inputs of a product whose weights stay float32: they are few bytes, and the errors of few do not cancel one another.
FEW = 16
# Of FULLY_CONNECTED: the first that keeps dimensions, and that has float activations and a weight scale an output.
_KEPT_DIMENSIONS_VERSION, _INT8_WEIGHTS_VERSION = 5, 12
_NONE = schema.ActivationFunctionType.NONE


def tensor(graph: GraphEditor, name: str, shape: Sequence[int], dtype: str, scale: float = 0.0) -> TensorNode:
    """A computed tensor; a scale of 0 leaves it without one."""
    record: Any = schema.TensorT()
    record.name, record.shape = name.encode(), [int(size) for size in shape]
    node = TensorNode(record, graph.codes.empty_buffer)
    node.dtype = dtype
    if scale:
        node.quantize(scale, 0)
    return node


def constant(graph: GraphEditor, name: str, value: np.ndarray, scale: float | np.ndarray = 0.0) -> TensorNode:
    """A constant of the array's own dtype; several scales are those of the first axis."""
    node = tensor(graph, name, value.shape, value.dtype.name)
    node.set_array(value)
    scales = np.atleast_1d(np.asarray(scale, np.float64))
    if scales.any():
        node.quantize(0.0, 0)
        node.record.quantization.scale = [float(each) for each in scales]
        node.record.quantization.zeroPoint = [0] * len(scales)
        node.record.quantization.quantizedDimension = 0
    return node


def quantized_weights(values: np.ndarray, *, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8 weights [outputs, inputs], and their scales: one for each output, or one."""
    largest = np.abs(values).max(axis=1) if per_channel else np.abs(values).max(keepdims=True).reshape(1)
    scales = np.maximum(largest.astype(np.float64), 1e-5 * max(float(largest.max(initial=0.0)), 1e-6)) / 127
    return np.clip(np.round(values / scales[:, None]), -127, 127).astype(np.int8), scales


@dataclass(frozen=True)
class Matrix:
    """Constants of a matrix product: weights [outputs, inputs], and a bias [outputs] where there is one."""

    weights: TensorNode
    bias: TensorNode | None


class Numbers:
    """Writes the operators of one subgraph, in float32 or with 16-bit integers.

    Args:
        model: whose operator codes are used.
        name: of the subgraph.
        integer: 16-bit integers; else float32.
        integer_weights: in float32, store the weights of products as int8, which LiteRT multiplies with activations
            that it quantizes while running (LiteRT, "dynamic range quantization"), but of at most `FEW` inputs.
    """

    def __init__(self, model: ModelEditor, name: str, *, integer: bool, integer_weights: bool = False) -> None:
        record: Any = schema.SubGraphT()
        record.name = name.encode()
        self.integer, self.integer_weights = integer, integer_weights
        self.graph = GraphEditor(record, model.codes, [], [], [], [])

    def value(self, name: str, shape: Sequence[int], bound: float) -> TensorNode:
        """A computed tensor whose magnitude is at most `bound`."""
        if not self.integer:
            return tensor(self.graph, name, shape, "float32")
        return tensor(self.graph, name, shape, "int16", bound / _WIDE)

    def write(
        self,
        operator: str,
        inputs: Sequence[TensorNode | None],
        result: TensorNode,
        settings: Any = None,
        version: int = 1,
    ) -> TensorNode:
        """Append an operator with one result."""
        self.graph.operators.append(self.graph.operator(operator, inputs, [result], settings, version=version))
        return result

    def dense(self, name: str, x: TensorNode, kernel: np.ndarray, bias: np.ndarray, bound: float) -> TensorNode:
        """``x @ kernel + bias``; kernel [inputs, outputs]."""
        rows = np.ascontiguousarray(kernel.T.astype(np.float32))
        if self.integer:
            integers, scales = quantized_weights(rows, per_channel=True)
            steps = scales * x.scales[0]
            weights = constant(self.graph, f"{name}/weights", integers, scales)
            shift = constant(self.graph, f"{name}/bias", np.round(bias / steps).astype(np.int64), steps)
            result = self.value(name, (1, rows.shape[0]), bound)
            return self.write("FULLY_CONNECTED", [x, weights, shift], result, options("FullyConnectedOptions"))
        return self.product(name, x, self.matrix(name, kernel, bias))

    def matrix(self, name: str, kernel: np.ndarray, bias: np.ndarray | None) -> Matrix:
        """The constants of ``x @ kernel + bias`` in float; kernel [inputs, outputs]."""
        rows = np.ascontiguousarray(kernel.T.astype(np.float32))
        shift = None if bias is None else constant(self.graph, f"{name}/bias", bias.astype(np.float32))
        if not self.integer_weights or kernel.shape[0] <= FEW:
            return Matrix(constant(self.graph, f"{name}/weights", rows), shift)
        integers, scales = quantized_weights(rows, per_channel=True)
        return Matrix(constant(self.graph, f"{name}/weights", integers, scales), shift)

    def product(self, name: str, x: TensorNode, matrix: Matrix) -> TensorNode:
        """A product in float, of the leading dimensions of `x` [..., inputs]."""
        dynamic = matrix.weights.dtype == "int8"
        settings = options("FullyConnectedOptions", keepNumDims=True, asymmetricQuantizeInputs=dynamic)
        result = self.value(name, (*x.shape[:-1], matrix.weights.shape[0]), 0.0)
        version = _INT8_WEIGHTS_VERSION if dynamic else _KEPT_DIMENSIONS_VERSION
        return self.write("FULLY_CONNECTED", [x, matrix.weights, matrix.bias], result, settings, version)

    def add(self, name: str, a: TensorNode, b: TensorNode, bound: float) -> TensorNode:
        """``a + b``."""
        settings = options("AddOptions", fusedActivationFunction=_NONE, potScaleInt16=False)
        return self.write("ADD", [a, b], self.value(name, a.shape, bound), settings)

    def subtract(self, name: str, a: TensorNode, b: TensorNode, bound: float) -> TensorNode:
        """``a - b``."""
        settings = options("SubOptions", fusedActivationFunction=_NONE, potScaleInt16=False)
        return self.write("SUB", [a, b], self.value(name, a.shape, bound), settings)

    def multiply(self, name: str, a: TensorNode, b: TensorNode, bound: float) -> TensorNode:
        """``a * b``, of the shape of `a`."""
        return self.write("MUL", [a, b], self.value(name, a.shape, bound), options("MulOptions"))

    def activation(self, name: str, function: str, x: TensorNode, bound: float) -> TensorNode:
        """`function` of `x`; `bound` is for those that have no bound of their own."""
        if function == "linear":
            return x
        if function in HARD_SIGMOIDS:
            return self._hard_sigmoid(name, x, HARD_SIGMOIDS[function], bound)
        result = self.value(name, x.shape, bound)
        if function == "relu":
            return self.write("RELU", [x], result)
        if self.integer:
            result.quantize(_UNIT_SCALE, 0)
        return self.write("LOGISTIC" if function == "sigmoid" else "TANH", [x], result)

    def _hard_sigmoid(self, name: str, x: TensorNode, slope: float, bound: float) -> TensorNode:
        """``clip(slope * x + 0.5, 0, 1)``; at a scale of 2^-15 integers end at 1 by themselves."""
        slopes, half = (self._filled(f"{name}/{part}", x, value) for part, value in (("slope", slope), ("half", 0.5)))
        raised = self.add(f"{name}/raised", self.multiply(f"{name}/scaled", x, slopes, slope * bound), half, 1.0)
        if self.integer:
            raised.quantize(_UNIT_SCALE, 0)
        else:
            low = self.value(f"{name}/low", x.shape, 1.0)
            ones = self._filled(f"{name}/one", x, 1.0)
            raised = self.write("MINIMUM", [raised, ones], low, options("MaximumMinimumOptions"))
        result = raised.copy(name)
        result.buffer = self.graph.codes.empty_buffer
        return self.write("RELU", [raised], result)

    def _filled(self, name: str, near: TensorNode, value: float) -> TensorNode:
        """A constant of one value in another tensor's shape."""
        if not self.integer:
            return constant(self.graph, name, np.full(near.shape, value, np.float32))
        return constant(self.graph, name, np.full(near.shape, _WIDE, np.int16), value / _WIDE)

    def part(self, name: str, x: TensorNode, begin: int, size: int) -> TensorNode:
        """Columns of a row [1, ...]."""
        result = x.copy(name)
        result.shape, result.buffer = (1, size), self.graph.codes.empty_buffer
        ends = [
            constant(self.graph, f"{name}/{k}", np.array(v, np.int32)) for k, v in (("b", [0, begin]), ("n", [1, size]))
        ]
        return self.write("SLICE", [x, *ends], result, options("SliceOptions"))

    def where(self, name: str, mask: TensorNode, a: TensorNode, b: TensorNode) -> TensorNode:
        """`a` where the mask holds, else `b`; both on one scale."""
        result = a.copy(name)
        result.buffer = self.graph.codes.empty_buffer
        return self.write("SELECT_V2", [mask, a, b], result, options("SelectV2Options"))

    def rescaled(self, name: str, x: TensorNode, near: TensorNode) -> TensorNode:
        """`x` in the type and on the scale of another tensor; `x` itself where it is there already."""
        if (x.dtype, x.scales, x.zero_points) == (near.dtype, near.scales, near.zero_points):
            return x
        result = near.copy(name)
        result.shape, result.buffer = x.shape, self.graph.codes.empty_buffer
        return self.write("QUANTIZE", [x], result, options("QuantizeOptions"), version=2)


def appended(model: ModelEditor, numbers: Numbers) -> int:
    """Add the subgraph to the file; its position."""
    model.graphs.append(numbers.graph)
    model.record.subgraphs.append(numbers.graph.record)
    return len(model.graphs) - 1


def conversion(graph: GraphEditor, source: TensorNode, target: TensorNode) -> OperatorNode:
    """A QUANTIZE or DEQUANTIZE, whichever the types want, not yet in the graph."""
    if target.dtype == "float32":
        return graph.operator("DEQUANTIZE", [source], [target], options("DequantizeOptions"), version=2)
    return graph.operator("QUANTIZE", [source], [target], options("QuantizeOptions"), version=2)
