"""LiteRT's fused integer LSTM, UNIDIRECTIONAL_SEQUENCE_LSTM.

int8 input and output, int8 weights with one scale a gate, an int16 cell whose scale is a power of two, and gates in
Q3.12 (tensorflow/lite/kernels/unidirectional_sequence_lstm.cc, `PopulateQuantizedLstmParams8x8_16`).

The operator keeps its states from one run of the file to the next, in variable tensors.  Here two sums of constants
write zeros into them before it runs, so that a file answers each call afresh, as Keras does, and nobody need reset it.
"""

from __future__ import annotations

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.litert.recurrent.cell import Cell, Weights
from tfcompress.converters.litert.recurrent.loop import Ports
from tfcompress.converters.litert.recurrent.numbers import constant, conversion, quantized_weights, tensor
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["fits", "fused"]

_OPTIONAL = None
_GATE_SCALE = 2.0**-12
_TANH = schema.ActivationFunctionType.TANH


def fits(cell: Cell) -> bool:
    """Whether the operator computes this cell."""
    plain = (cell.kind, cell.activation, cell.recurrent_activation) == ("lstm", "tanh", "sigmoid")
    return plain and not (cell.given_state or cell.return_state or cell.masked or cell.go_backwards)


def fused(model: ModelEditor, cell: Cell, weights: Weights, ports: Ports) -> list[OperatorNode]:
    """The operators that take the layer's place in the main graph.

    Args:
        model: the file.
        cell: one that `fits`, with its peaks.
        weights: of the layer, float32.
        ports: int8 input and output.
    """
    graph, name = model.main, cell.name
    everything = ports.y
    after: list[OperatorNode] = []
    if not cell.return_sequences:
        everything, after = _last_of(graph, cell, ports.y)
    output, state = _states(graph, cell, everything)
    gates = [weights.gate(index) for index in range(4)]
    kernels, biases = zip(
        *(_kernel(graph, f"{name}/{g}", w, ports.x) for g, w in zip("ifco", gates, strict=True)), strict=True
    )
    recurrent = [_matrix(graph, f"{name}/{g}/recurrent", w.recurrent)[0] for g, w in zip("ifco", gates, strict=True)]
    no = [_OPTIONAL]
    inputs = [ports.x, *kernels, *recurrent, *no * 3, *biases, *no * 2, output, state, *no * 4]
    settings = options("UnidirectionalSequenceLSTMOptions", fusedActivationFunction=_TANH, timeMajor=False)
    operator = graph.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [everything], settings)
    operator.intermediates = _intermediates(graph, name, everything)
    return [_cleared(graph, output), _cleared(graph, state), operator, *after]


def _last_of(graph: GraphEditor, cell: Cell, y: TensorNode) -> tuple[TensorNode, list[OperatorNode]]:
    """The whole sequence on a scale that holds it all, and the operators that take its last step out."""
    scale = min(cell.peak("output"), 1.0) / 127
    everything = tensor(graph, f"{cell.name}/sequence", (1, cell.steps, cell.units), "int8", scale)
    row = tensor(graph, f"{cell.name}/row", (1, 1, cell.units), "int8", scale)
    last = tensor(graph, f"{cell.name}/last", (1, cell.units), "int8", scale)
    begin = constant(graph, f"{cell.name}/begin", np.array([0, cell.steps - 1, 0], np.int32))
    size = constant(graph, f"{cell.name}/size", np.array(row.shape, np.int32))
    cut = graph.operator("SLICE", [everything, begin, size], [row], options("SliceOptions"), version=2)
    return everything, [cut, graph.reshape(row, last), conversion(graph, last, y)]


def _states(graph: GraphEditor, cell: Cell, output: TensorNode) -> tuple[TensorNode, TensorNode]:
    """The variable tensors: the output, quantized as the sequence is, and the cell."""
    shown = output.copy(f"{cell.name}/output_state")
    shown.shape, shown.buffer = (1, cell.units), graph.codes.empty_buffer
    scale = 2.0 ** (math.ceil(math.log2(cell.peak("cell"))) - 15)
    kept = tensor(graph, f"{cell.name}/cell_state", (1, cell.units), "int16", scale)
    for node in (shown, kept):
        node.record.isVariable = True
    return shown, kept


def _cleared(graph: GraphEditor, state: TensorNode) -> OperatorNode:
    """Zeros into a state: a sum of constants, which no runtime computes beforehand."""
    zero = np.full(state.shape, state.zero_points[0], state.dtype)
    parts = []
    for name, value in (("zeros", zero), ("zero", zero[:, :1])):
        part = constant(graph, f"{state.name}/{name}", value)
        part.quantize(state.scales[0], state.zero_points[0])
        parts.append(part)
    return graph.operator("ADD", parts, [state], options("AddOptions", potScaleInt16=False))


def _matrix(graph: GraphEditor, name: str, kernel: np.ndarray) -> tuple[TensorNode, float]:
    integers, scales = quantized_weights(np.ascontiguousarray(kernel.T), per_channel=False)
    return constant(graph, name, integers, scales), float(scales[0])


def _kernel(graph: GraphEditor, name: str, gate: Weights, x: TensorNode) -> tuple[TensorNode, TensorNode]:
    """Input weights and bias of one gate."""
    kernel, scale = _matrix(graph, f"{name}/kernel", gate.kernel)
    step = scale * x.scales[0]
    whole = gate.bias + gate.recurrent_bias
    bound = 2**31 - 1
    bias = np.clip(np.round(whole.astype(np.float64) / step), -bound, bound).astype(np.int32)
    return kernel, constant(graph, f"{name}/bias", bias, step)


def _intermediates(graph: GraphEditor, name: str, output: TensorNode) -> list[TensorNode]:
    """Scales of the four gates, which only layer normalization reads, and of the output before a projection."""
    gates = [tensor(graph, f"{name}/gate_{g}", (0,), "int16", _GATE_SCALE) for g in "ifco"]
    hidden = output.copy(f"{name}/hidden")
    hidden.shape, hidden.buffer = (0,), graph.codes.empty_buffer
    return [*gates, hidden]
