"""Five dimensions as four: rows and columns that stay side by side are one dimension.

Group normalization and channel shuffle reshape an image to [1, rows, columns, groups, channels]; only the 3 innermost
dimensions may exceed 1 on the Edge TPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.converters.edgetpu.rewriting.graph import GraphEditor

__all__ = ["merge_rows_and_columns"]

_ELEMENTWISE = frozenset(
    {"ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM", "NEG", "SQUARE", "RSQRT", "SQRT"}
    | {"LOGISTIC", "TANH", "RELU", "RELU6"}
)
_RANK = 5


def merge_rows_and_columns(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """[1, rows, columns, a, b] as [1, rows * columns, a, b], from the RESHAPE that makes it to those that end it."""
    source, result = operator.inputs[0], operator.outputs[0]
    if len(graph.shape(result)) != _RANK or len(graph.shape(source)) == _RANK:
        return None
    image = graph.shape(result)[1:3]
    region = _region(graph, result)
    if not all(_can_merge(graph, inner, image) for inner in region):
        return None
    for inner in region:
        _merge_constants(graph, inner)
    for tensor in {tensor for inner in region for tensor in _wide(graph, inner)}:
        one, rows, columns, *rest = graph.shape(tensor)
        graph.graph.tensors[tensor].shape = [one, rows * columns, *rest]
        graph.graph.tensors[tensor].shapeSignature = None
    for inner in region:
        if graph.name_of(inner) == "RESHAPE" and inner is not operator:
            graph.replace([inner], [graph.reshape(inner.inputs[0], inner.outputs[0])])
    return [graph.reshape(source, result)]


def _wide(graph: GraphEditor, operator: Any) -> list[int]:
    """The computed tensors of five dimensions that an operator reads or writes."""
    tensors = [*operator.inputs, *operator.outputs]
    return [t for t in tensors if t >= 0 and len(graph.shape(t)) == _RANK and not graph.is_constant(t)]


def _region(graph: GraphEditor, start: int) -> list[Any]:
    """The operators that are connected by tensors of five dimensions, in the order of execution."""
    seen, queue, found = {start}, [start], set()
    while queue:
        tensor = queue.pop()
        for operator in graph.operators:
            if id(operator) in found or tensor not in [*operator.inputs, *operator.outputs]:
                continue
            found.add(id(operator))
            fresh = set(_wide(graph, operator)) - seen
            seen |= fresh
            queue += fresh
    return [operator for operator in graph.operators if id(operator) in found]


def _can_merge(graph: GraphEditor, operator: Any, image: tuple[int, ...]) -> bool:
    name = graph.name_of(operator)
    shapes = [graph.shape(tensor) for tensor in [*operator.inputs, *operator.outputs] if tensor >= 0]
    sides = {shape[1:3] for shape in shapes if len(shape) == _RANK}
    if not sides <= {image, (1, 1)} or any(graph.is_output(tensor) for tensor in _wide(graph, operator)):
        return False
    if name == "RESHAPE":
        return len(graph.shape(operator.inputs[0])) != _RANK or len(graph.shape(operator.outputs[0])) != _RANK
    if name == "MEAN":
        axes = graph.constant(operator.inputs[1], "int32")
        return axes is not None and operator.builtinOptions.keepDims and len({1, 2} & _positive(axes)) != 1
    if name == "TRANSPOSE":
        order = graph.constant(operator.inputs[1], "int32")
        return order is not None and order.ravel().tolist()[:3] == [0, 1, 2]
    return name in _ELEMENTWISE


def _positive(axes: np.ndarray) -> set[int]:
    return {int(axis) % _RANK for axis in axes.ravel()}


def _merge_constants(graph: GraphEditor, operator: Any) -> None:
    """Axes, orders and operands of four dimensions in place of those of five."""
    name, result = graph.name_of(operator), operator.outputs[0]
    if name in ("MEAN", "TRANSPOSE"):
        values = graph.constant(operator.inputs[1], "int32")
        assert values is not None
        kept = [int(axis) % _RANK for axis in values.ravel() if int(axis) % _RANK != 2]
        moved = np.array([axis - (axis > 2) for axis in kept], np.int32)
        operator.inputs = [operator.inputs[0], graph.add_constant(moved, result, "axes")]
    elif name in _ELEMENTWISE:
        operator.inputs = [_merged_operand(graph, tensor, result) for tensor in operator.inputs]


def _merged_operand(graph: GraphEditor, tensor: int, near: int) -> int:
    value = graph.constant(tensor)
    if value is None or value.ndim != _RANK:
        return tensor
    one, rows, columns, *rest = value.shape
    return graph.add_constant(value.reshape([one, rows * columns, *rest]), near, "operand")
