"""Piecewise linear activations as operators that the Edge TPU compiler maps.

Each function takes the graph and the operator and returns the operators that replace it, or None when the rewrite
does not fit.  Fusing them again is what TFLiteConverter would do with the same forms in a Keras graph (its "optimize"
pass turns ``maximum(x, a * x)`` into LEAKY_RELU), so they are written into the converted float graph.
"""

from __future__ import annotations

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, options

__all__ = ["absolute", "clip_to_unit", "hard_swish", "leaky_relu", "prelu"]


def leaky_relu(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """LeakyReLU(x) = maximum(x, a x) for a slope in (0, 1]."""
    (source,), (result,) = operator.operands, operator.outputs
    if not 0 < operator.options.alpha <= 1:
        return None
    scaled = graph.like(result, "scaled")
    return [
        graph.multiply(source, graph.new_constant(operator.options.alpha, result, "alpha"), scaled),
        graph.operator("MAXIMUM", [source, scaled], [result], options("MaximumMinimumOptions")),
    ]


def prelu(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """PReLU(x) = relu(x) - a relu(-x), where the slopes differ along rows or columns.

    minimum(x, 0) would do for relu(-x), but int8 MINIMUM must have the scale of its input, which would cut the other
    half.
    """
    (source, alpha), (result,) = operator.operands, operator.outputs
    slopes = alpha.array()
    if slopes is None or all(size == 1 for size in slopes.shape[:-1]):
        return None
    positive, minus, negative, scaled = (
        graph.like(result, part) for part in ("positive", "minus", "negative", "scaled")
    )
    return [
        graph.operator("RELU", [source], [positive]),
        graph.multiply(source, graph.new_constant(-1.0, result, "minus_one"), minus),
        graph.operator("RELU", [minus], [negative]),
        graph.multiply(negative, alpha, scaled),
        graph.operator("SUB", [positive, scaled], [result], options("SubOptions")),
    ]


def absolute(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """|x| = relu(x) + relu(-x)."""
    (source,), (result,) = operator.operands, operator.outputs
    if source.dtype != "float32":
        return None
    positive, minus, negative = (graph.like(result, part) for part in ("positive", "minus", "negative"))
    return [
        graph.operator("RELU", [source], [positive]),
        graph.multiply(source, graph.new_constant(-1.0, result, "minus_one"), minus),
        graph.operator("RELU", [minus], [negative]),
        graph.plus(positive, negative, result),
    ]


def hard_swish(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
    """hard_swish(x) = x (relu6(x + 3) / 6) (Howard et al. 2019, "Searching for MobileNetV3", section 5.2)."""
    (source,), (result,) = operator.operands, operator.outputs
    shifted, gate = graph.like(result, "shifted"), graph.like(result, "gate")
    return [
        graph.plus(source, graph.new_constant(3.0, result, "three"), shifted, relu6=True),
        graph.multiply(shifted, graph.new_constant(1 / 6, result, "sixth"), gate),
        graph.multiply(source, gate, result),
    ]


def clip_to_unit(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
    """RELU_0_TO_1(x) = minimum(relu(x), 1)."""
    (source,), (result,) = operator.operands, operator.outputs
    positive = graph.like(result, "positive")
    unit = graph.new_constant(1.0, result, "one")
    return [
        graph.operator("RELU", [source], [positive]),
        graph.operator("MINIMUM", [positive, unit], [result], options("MaximumMinimumOptions")),
    ]
