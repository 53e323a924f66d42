"""Integer comparisons in scales that LiteRT's kernels tell apart.

The int8 kernels multiply each operand by its scale and round to 1/256 (`kernels/comparisons.cc`, `ComparisonQuantized`;
the multiplier has to be below 1).  With a scale of 1, as pixels from 0 to 255 have it, the process ends; above 1 the
shift runs the wrong way and half of the answers are wrong; where the steps are well below 1/256, different values come
out as equal.  Both operands times one power of two compare alike, and integers keep their values by it.
"""

from __future__ import annotations

import math

from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["with_comparable_scales"]

COMPARISONS = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
LEAST_STEP, MOST_STEP = 1 / 64, 1.0  # of the operand with the larger one; the kernels round to a quarter of the least
AIM = 2  # binary places of the larger step afterwards: from 1/4 to 1/2
HIGHEST = 127  # of int8: the factor is this many of its own steps, so that products are exact


def with_comparable_scales(content: bytes) -> bytes:
    """A quantized .tflite whose comparisons have operands that LiteRT's kernels tell apart.

    Args:
        content: the quantized .tflite.

    Returns:
        The same bytes where every comparison has such operands.
    """
    if all(operator.name not in COMPARISONS for operator in read_tflite(content).main.operators):
        return content
    model = ModelEditor.read(content)
    factors = {
        operator: factor
        for operator in model.main.operators
        if operator.name in COMPARISONS and (factor := _factor(operator)) is not None
    }
    for operator, factor in factors.items():
        _rescale(model.main, operator, factor)
    return model.to_bytes() if factors else content


def _factor(comparison: OperatorNode) -> float | None:
    """The power of two that brings the larger step to where the kernel is exact; None where it is there."""
    operands = comparison.operands
    if any(tensor.dtype != "int8" or len(tensor.scales) != 1 for tensor in operands):
        return None
    step = max(tensor.scales[0] for tensor in operands)
    if step <= 0 or LEAST_STEP <= step < MOST_STEP:
        return None
    return math.ldexp(1.0, 1 - AIM - math.frexp(step)[1])


def _rescale(graph: GraphEditor, comparison: OperatorNode, factor: float) -> None:
    products = []
    for position, (tensor, side) in enumerate(zip(comparison.operands, ("left", "right"), strict=True)):
        name = f"{comparison.result.name}/{side}"  # a tensor may be compared several times
        scaled = tensor.copy(name) if tensor.is_constant else graph.like(tensor, side)
        scaled.name = name
        scaled.quantize(tensor.scales[0] * factor, tensor.zero_points[0])
        if not tensor.is_constant:
            products.append(_product(graph, tensor, factor, scaled))
        comparison.inputs[position] = scaled
    graph.replace([comparison], [*products, comparison])


def _product(graph: GraphEditor, tensor: TensorNode, factor: float, scaled: TensorNode) -> OperatorNode:
    number = graph.new_number(factor / HIGHEST, HIGHEST, scaled, "factor")
    return graph.operator("MUL", [tensor, number], [scaled], options("MulOptions"), version=2)
