"""Divisions that 8 bits would make divisions by zero."""

from __future__ import annotations

import numpy as np

from tfcompress.calibration import Calibration, Range
from tfcompress.graphs.tflite import Operator, Subgraph, read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["small_divisors", "with_guarded_divisors"]

LEAST_STEPS = 4.0  # of 8 bits: a divisor with fewer is too coarse, and below half of one it is zero
MOST_OPERATORS = 16  # of one division and what it is made of
_VERSIONS = {"int8": 2, "int16": 3}  # of MAXIMUM and MINIMUM: tensorflow/lite/tools/versioning/op_version.cc
_MADE_OF = frozenset(
    {"ABS", "ADD", "EXP", "MAXIMUM", "MINIMUM", "MUL", "REDUCE_MAX", "RELU", "SELECT", "SELECT_V2", "SOFTMAX", "SQUARE"}
    | {"SQUARED_DIFFERENCE", "SUB", "SUM"}
)
_COUNTED_BY = frozenset(
    {"ADD", "CAST", "DEQUANTIZE", "MEAN", "MUL", "QUANTIZE", "RESHAPE", "SQUEEZE", "SUM", "TRANSPOSE"}
)


def small_divisors(graph: Subgraph, calibration: Calibration) -> tuple[str, ...]:
    """Output tensors of the divisions whose divisor may come so close to zero that 8 bits do not tell it from zero.

    LiteRT's integer kernel refuses to divide by the zero point (`kernels/div.cc`), so that the whole file fails at the
    first such sample.  What both operands are summed and selected of is listed too: in 8 bits a share of next to
    nothing would be 0 / 0.

    Args:
        graph: the main graph of the float .tflite.
        calibration: ranges of its tensors.
    """
    names: dict[str, None] = {}
    for operator in graph.operators:
        if operator.name == "DIV" and _is_small(graph, operator.inputs[1], calibration):
            names.update(dict.fromkeys(_numerator_and_divisor(graph, operator)))
    return tuple(names)


def _is_small(graph: Subgraph, divisor: int, calibration: Calibration) -> bool:
    limits = calibration.ranges.get(graph.tensors[divisor].name)
    if limits is None or graph.tensors[divisor].data is not None:
        return False
    least = max(limits.low, -limits.high)  # not above zero where the range holds zero
    return least < LEAST_STEPS * (max(limits.high, 0.0) - min(limits.low, 0.0)) / 255


def _numerator_and_divisor(graph: Subgraph, division: Operator) -> list[str]:
    names, waiting = list[str](), [division]
    while waiting and len(names) < MOST_OPERATORS:
        operator = waiting.pop(0)
        name = graph.tensors[operator.outputs[0]].name
        if name not in names:
            names.append(name)
            producers = (graph.producer(index) for index in operator.inputs if index >= 0)
            waiting += [producer for producer in producers if producer is not None and producer.name in _MADE_OF]
    return names


def with_guarded_divisors(content: bytes, calibration: Calibration) -> bytes:
    """A quantized file in which no divisor of one sign comes out as zero.

    A divisor that float keeps away from zero may be zero in integers all the same, and LiteRT ends the run then.  The
    closest to zero that is let through is one step of the integers; of a count of comparisons, of which rounding may
    make all false, it is the least that calibration saw, as nothing lies between that and zero.

    Args:
        content: the quantized .tflite.
        calibration: ranges of the float file's tensors.

    Returns:
        The same bytes where there is no such divisor.
    """
    if all(operator.name != "DIV" for operator in read_tflite(content).main.operators):
        return content
    model = ModelEditor.read(content)
    divisions = [operator for operator in model.main.operators if operator.name == "DIV"]
    guards = [_guard(model.main, division, calibration) for division in divisions]
    return model.to_bytes() if any(guards) else content


def _guard(graph: GraphEditor, division: OperatorNode, calibration: Calibration) -> bool:
    """Whether the division has a divisor of one sign, which is then kept from zero."""
    numerator, divisor = division.operands
    limits = _range_of(graph, divisor, calibration)
    if limits is None or divisor.dtype not in _VERSIONS or len(divisor.zero_points) != 1 or divisor.is_constant:
        return False
    if limits.low <= 0 <= limits.high:
        return False
    kind, sign = ("MAXIMUM", 1) if limits.low > 0 else ("MINIMUM", -1)
    steps = max(1, int(max(limits.low, -limits.high) / divisor.scales[0])) if _is_count(graph, divisor) else 1
    ends = np.iinfo(divisor.dtype)
    closest = np.clip(divisor.zero_points[0] + sign * steps, ends.min, ends.max)
    least, guarded = graph.new_tensor((), divisor, "least"), graph.like(divisor, "guarded")
    least.set_array(np.array(closest, divisor.dtype))
    version = _VERSIONS[divisor.dtype]
    guard = graph.operator(kind, [divisor, least], [guarded], options("MaximumMinimumOptions"), version=version)
    graph.replace([division], [guard, division])
    division.inputs = [numerator, guarded]
    return True


def _is_count(graph: GraphEditor, tensor: TensorNode) -> bool:
    """Whether a tensor is summed of truth values and constants alone."""
    waiting, seen, counts = [tensor], 0, False
    while waiting:
        producer, seen = graph.producer(waiting.pop(0)), seen + 1
        if producer is None or seen > MOST_OPERATORS:
            return False
        if any(item.dtype == "bool" for item in producer.operands):
            if any(item.dtype != "bool" and not item.is_constant for item in producer.operands):
                return False  # a choice between values that are not counted
            counts = True
        elif producer.name in _COUNTED_BY:
            waiting += producer.computed_inputs
        else:
            return False
    return counts


def _range_of(graph: GraphEditor, tensor: TensorNode, calibration: Calibration) -> Range | None:
    """Of a tensor, or of the one that it is a copy of in another type or scale."""
    producer = graph.producer(tensor)
    while tensor.name not in calibration.ranges and producer is not None and producer.name == "QUANTIZE":
        tensor = producer.source
        producer = graph.producer(tensor)
    return calibration.ranges.get(tensor.name)
