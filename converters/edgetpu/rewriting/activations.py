"""Activations as operators that the Edge TPU compiler maps.

Each function takes the graph and the operator and returns the operators that replace it, or None when the rewrite
does not fit.  Fusing them again is what TFLiteConverter would do with the same forms in a Keras graph (its "optimize"
pass turns ``maximum(x, a * x)`` into LEAKY_RELU), so they are written into the converted float graph.
"""

from __future__ import annotations

import math
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.edgetpu.rewriting.graph import GraphEditor, options

__all__ = [
    "clip_to_unit",
    "elu_to_relu",
    "gelu_tanh",
    "gelu_to_sigmoid",
    "hard_swish",
    "prelu",
    "silu_to_relu6",
]

_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_GELU_SIGMOID_SLOPE = 1.702  # Hendrycks & Gimpel 2016, "Gaussian Error Linear Units", section 2


def _mul(graph: GraphEditor, left: int, right: int, result: int) -> Any:
    return graph.operator("MUL", [left, right], [result], options("MulOptions"))


def _add(graph: GraphEditor, left: int, right: int, result: int, *, relu6: bool = False) -> Any:
    kinds = schema.ActivationFunctionType
    made = options("AddOptions", fusedActivationFunction=kinds.RELU6 if relu6 else kinds.NONE)
    return graph.operator("ADD", [left, right], [result], made)


def _like(graph: GraphEditor, tensor: int, suffix: str) -> int:
    return graph.add_tensor(graph.shape(tensor), tensor, suffix)


def prelu(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """PReLU(x) = relu(x) - a relu(-x), where the slopes differ along rows or columns.

    minimum(x, 0) would do for relu(-x), but int8 MINIMUM must have the scale of its input, which would cut the other
    half.
    """
    (source, alpha), (result,) = operator.inputs, operator.outputs
    slopes = graph.constant(alpha)
    if slopes is None or all(size == 1 for size in slopes.shape[:-1]):
        return None
    positive, minus, negative, scaled = (
        _like(graph, result, part) for part in ("positive", "minus", "negative", "scaled")
    )
    minus_one = graph.add_constant(-1.0, result, "minus_one")
    return [
        graph.operator("RELU", [source], [positive]),
        _mul(graph, source, minus_one, minus),
        graph.operator("RELU", [minus], [negative]),
        _mul(graph, negative, alpha, scaled),
        graph.operator("SUB", [positive, scaled], [result], options("SubOptions")),
    ]


def hard_swish(graph: GraphEditor, operator: Any) -> list[Any]:
    """hard_swish(x) = x (relu6(x + 3) / 6) (Howard et al. 2019, "Searching for MobileNetV3", section 5.2)."""
    (source,), (result,) = operator.inputs, operator.outputs
    shifted, gate = _like(graph, result, "shifted"), _like(graph, result, "gate")
    three = graph.add_constant(3.0, result, "three")
    sixth = graph.add_constant(1 / 6, result, "sixth")
    return [
        _add(graph, source, three, shifted, relu6=True),
        _mul(graph, shifted, sixth, gate),
        _mul(graph, source, gate, result),
    ]


def clip_to_unit(graph: GraphEditor, operator: Any) -> list[Any]:
    """RELU_0_TO_1(x) = minimum(relu(x), 1)."""
    (source,), (result,) = operator.inputs, operator.outputs
    positive = _like(graph, result, "positive")
    one = graph.add_constant(1.0, result, "one")
    return [
        graph.operator("RELU", [source], [positive]),
        graph.operator("MINIMUM", [positive, one], [result], options("MaximumMinimumOptions")),
    ]


def gelu_tanh(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """GELU in its tanh form, as a sigmoid: 0.5 x (1 + tanh u) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3).

    The exact form, with erf, has no equal among the mapped operators.
    """
    if not operator.builtinOptions.approximate:
        return None
    (source,), (result,) = operator.inputs, operator.outputs
    square, slope, sum_, argument, gate = (
        _like(graph, result, part) for part in ("square", "slope", "sum", "argument", "gate")
    )
    cubic = graph.add_constant(2 * _SQRT_2_OVER_PI * 0.044715, result, "cubic")
    linear = graph.add_constant(2 * _SQRT_2_OVER_PI, result, "linear")
    return [
        _mul(graph, source, source, square),
        _mul(graph, square, cubic, slope),
        _add(graph, slope, linear, sum_),
        _mul(graph, sum_, source, argument),
        graph.operator("LOGISTIC", [argument], [gate]),
        _mul(graph, source, gate, result),
    ]


def gelu_to_sigmoid(graph: GraphEditor, operator: Any) -> list[Any]:
    """GELU(x) ~ x sigmoid(1.702 x): a different function, off by up to 0.02."""
    (source,), (result,) = operator.inputs, operator.outputs
    argument, gate = _like(graph, result, "argument"), _like(graph, result, "gate")
    slope = graph.add_constant(_GELU_SIGMOID_SLOPE, result, "slope")
    return [
        _mul(graph, source, slope, argument),
        graph.operator("LOGISTIC", [argument], [gate]),
        _mul(graph, source, gate, result),
    ]


def silu_to_relu6(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """ReLU6 in place of SiLU, x sigmoid(x): a different function, for fine-tuning.  `operator` is the MUL."""
    left, right = operator.inputs
    for source, gate in ((left, right), (right, left)):
        sigmoid = graph.producer(gate)
        if sigmoid is not None and graph.name_of(sigmoid) == "LOGISTIC" and list(sigmoid.inputs) == [source]:
            return [graph.operator("RELU6", [source], list(operator.outputs))]
    return None


def elu_to_relu(graph: GraphEditor, operator: Any) -> list[Any]:
    """ReLU in place of ELU: a different function, for fine-tuning."""
    return [graph.operator("RELU", list(operator.inputs), list(operator.outputs))]
