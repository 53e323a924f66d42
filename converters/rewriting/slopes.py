"""Functions with one slope above zero and another below, as the one operator that they are.

LeakyReLU and PReLU are also written as maxima, as sums of ReLUs, with absolute values or as a choice by sign.  What is
made of one tensor by scaling, adding, taking maxima and choosing by sign alone, with no constant added, satisfies
f(c x) = c f(x) for every c > 0, so that its values at 1 and -1 are the whole of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options
from tfcompress.graphs.tflite.float64 import LacksFloat64Error, evaluate

__all__ = ["SLOPED", "before_own_range", "own_range", "two_slopes"]

SLOPED = ("MAXIMUM", "MINIMUM", "ADD", "SUB", "SELECT", "SELECT_V2")  # the last operator of such a function
_LONGEST = 16  # operators
_EQUAL = 1e-6  # relative; constants are float32
_CHOOSING = frozenset({"SELECT", "SELECT_V2", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
# Of operators, where not 1: the Edge TPU does not choose, takes two more for ABS, and ReLU has no scale to keep.
_COSTS = {**dict.fromkeys(_CHOOSING, 9.0), "ABS": 3.0, "RELU": 0.9}
_OF_ONE = frozenset({"ABS", "LEAKY_RELU", "NEG", "RELU"})
_FUSED = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)


class _Slopes(NamedTuple):
    """For each channel: what a value above zero is multiplied by, and one below."""

    above: np.ndarray
    below: np.ndarray


def two_slopes(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """LeakyReLU, PReLU or ReLU for a longer form, or for one with a choice; `operator` is the last of it."""
    form = _form(graph, operator)
    if form is None:
        return None
    source, old = form
    result = operator.result
    slopes = _slopes(graph, source, result)
    if slopes is None or np.allclose(slopes.above, slopes.below, rtol=_EQUAL, atol=0):
        return None
    new = _written(graph, source, result, slopes)
    return new if new is not None and _cost(new) < _cost(old) else None


def _cost(steps: Sequence[OperatorNode]) -> float:
    return sum(_COSTS.get(step.name, 1) for step in steps)


def _form(graph: GraphEditor, operator: OperatorNode) -> tuple[TensorNode, list[OperatorNode]] | None:
    """The one tensor that all of it is made of, the nearest that there is, and the operators between."""
    places = {step: place for place, step in enumerate(graph.operators)}
    steps = [operator]
    edge = set(operator.computed_inputs) if _keeps_scale(operator) else set()
    while len(edge) > 1 and len(steps) < _LONGEST:
        made_by = {tensor: graph.producer(tensor) for tensor in edge}
        last = max(edge, key=lambda tensor: places.get(step, -1) if (step := made_by[tensor]) is not None else -1)
        step = made_by[last]
        if step is None or not _keeps_scale(step):
            return None
        steps.append(step)
        edge = {tensor for tensor in (*edge, *step.computed_inputs) if tensor not in step.outputs}
    if len(edge) != 1:
        return None
    source = edge.pop()
    fits = source.dtype == "float32" and source.shape and source.shape == operator.result.shape
    return (source, steps) if fits else None


def _keeps_scale(operator: OperatorNode) -> bool:
    """Whether what a positive number multiplies before the operator, it multiplies after it."""
    name, constants = operator.name, [tensor.array() for tensor in operator.operands if tensor.is_constant]
    if getattr(operator.options, "fusedActivationFunction", _FUSED[0]) not in _FUSED:
        return False
    if name in _OF_ONE:
        return not constants
    if name == "MUL":
        return len(constants) == 1
    if name in ("DIV", "PRELU"):
        return len(constants) == 1 and operator.operands[1].is_constant
    return name in (*SLOPED, *_CHOOSING) and all(value is not None and not value.any() for value in constants)


def _slopes(graph: GraphEditor, source: TensorNode, result: TensorNode) -> _Slopes | None:
    """None where they differ along anything but the channels."""
    shape = (*(1 for _ in source.shape[:-1]), source.shape[-1])
    try:
        above, below = (evaluate(graph, result, {source: np.full(shape, sign)}) for sign in (1.0, -1.0))
    except (LacksFloat64Error, ValueError):
        return None
    if above.shape != shape or below.shape != shape or not np.isfinite([above, below]).all():
        return None
    return _Slopes(above.ravel(), -below.ravel())


def _written(graph: GraphEditor, source: TensorNode, result: TensorNode, slopes: _Slopes) -> list[OperatorNode] | None:
    """The function in the fewest operators; None where none is known."""
    above, below = (_single(values) for values in slopes)
    if above is None or below is None:
        return _prelu(graph, source, result, slopes.below) if above == 1 else None
    steps: list[OperatorNode] = []

    def times(factor: float, name: str) -> TensorNode:
        """The source times a factor."""
        if factor == 1:
            return source
        if factor == 0:
            return graph.new_constant(0.0, result, name)
        product = graph.like(result, name)
        steps.append(graph.multiply(source, graph.new_constant(factor, result, f"{name}_slope"), product))
        return product

    if below == 0 < above or above == 0 > below:
        scaled = times(above or below, "scaled")
        return [*steps, graph.operator("RELU", [scaled], [result])]
    if 0 < below < above:
        scaled, relu_options = times(above, "scaled"), options("LeakyReluOptions", alpha=below / above)
        return [*steps, graph.operator("LEAKY_RELU", [scaled], [result], relu_options)]
    both = [times(above, "above"), times(below, "below")]
    name = "MAXIMUM" if above > below else "MINIMUM"
    return [*steps, graph.operator(name, both, [result], options("MaximumMinimumOptions"))]


def _single(values: np.ndarray) -> float | None:
    """The one value of all channels; None where they differ."""
    value = float(values[0])
    nearest = float(round(value)) if abs(value - round(value)) <= _EQUAL else value
    return nearest if np.allclose(values, value, rtol=_EQUAL, atol=_EQUAL) else None


def _prelu(graph: GraphEditor, source: TensorNode, result: TensorNode, below: np.ndarray) -> list[OperatorNode]:
    alpha = graph.new_constant(below.reshape((*(1 for _ in source.shape[1:-1]), -1)), result, "alpha")
    return [graph.operator("PRELU", [source, alpha], [result])]


def own_range(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A tensor that others read too, times 1 before MAXIMUM or MINIMUM.

    In int8 these have one scale for operands and result, which cuts the operand off where the result ends: right for
    the maximum, and wrong for everybody else who reads it.
    """
    copies: dict[TensorNode, TensorNode] = {}
    steps = []
    for operand in dict.fromkeys(operator.computed_inputs):
        shared = any(reader is not operator for reader in graph.consumers(operand)) or operand in graph.outputs
        if operand.dtype == "float32" and (shared or operand in graph.inputs):
            copies[operand] = graph.like(operand, "own_range")
            steps.append(graph.multiply(operand, graph.new_constant(1.0, operand, "one"), copies[operand]))
    if not copies:
        return None
    inputs = [copies.get(operand, operand) for operand in operator.operands]
    return [*steps, operator.replaced(inputs, operator.outputs)]


def before_own_range(graph: GraphEditor, tensor: TensorNode) -> TensorNode:
    """The tensor that `own_range` multiplied by 1; the tensor itself where it did not."""
    product = graph.producer(tensor)
    factor = None if product is None or product.name != "MUL" else product.constant(1)
    return tensor if product is None or factor is None or factor.size != 1 or factor.item() != 1 else product.source
