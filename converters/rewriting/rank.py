"""Five dimensions as four: rows and columns that stay side by side are one dimension.

Group normalization and channel shuffle reshape an image to [1, rows, columns, groups, channels]; only the 3 innermost
dimensions may exceed 1 on the Edge TPU.
"""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode

__all__ = ["merge_rows_and_columns"]

_ELEMENTWISE = frozenset(
    {"ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM", "NEG", "SQUARE", "RSQRT", "SQRT"}
    | {"LOGISTIC", "TANH", "RELU", "RELU6"}
)
_RANK = 5


def merge_rows_and_columns(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """[1, rows, columns, a, b] as [1, rows * columns, a, b], from the RESHAPE that makes it to those that end it."""
    source, result = operator.source, operator.result
    if len(result.shape) != _RANK or len(source.shape) == _RANK:
        return None
    image = result.shape[1:3]
    region = _region(graph, result)
    if not all(_can_merge(graph, inner, image) for inner in region):
        return None
    merged = {tensor: _merged(graph, tensor) for inner in region for tensor in _wide(inner)}
    for inner in region:
        if inner is not operator:
            graph.replace([inner], [_on_rank_four(graph, inner, merged)])
    return [graph.reshape(source, merged[result])]


def _merged(graph: GraphEditor, tensor: TensorNode) -> TensorNode:
    batch, rows, columns, *rest = tensor.shape
    return graph.new_tensor([batch, rows * columns, *rest], tensor, "merged")


def _wide(operator: OperatorNode) -> list[TensorNode]:
    """The computed tensors of five dimensions that an operator reads or writes."""
    return [t for t in (*operator.operands, *operator.outputs) if len(t.shape) == _RANK and not t.is_constant]


def _region(graph: GraphEditor, start: TensorNode) -> list[OperatorNode]:
    """The operators that are connected by tensors of five dimensions, in the order of execution."""
    seen, queue, region = {start}, [start], set()
    while queue:
        tensor = queue.pop()
        for operator in graph.operators:
            if operator in region or tensor not in (*operator.inputs, *operator.outputs):
                continue
            region.add(operator)
            fresh = set(_wide(operator)) - seen
            seen |= fresh
            queue += fresh
    return [operator for operator in graph.operators if operator in region]


def _can_merge(graph: GraphEditor, operator: OperatorNode, image: tuple[int, ...]) -> bool:
    name = operator.name
    sides = {t.shape[1:3] for t in (*operator.operands, *operator.outputs) if len(t.shape) == _RANK}
    if not sides <= {image, (1, 1)} or any(tensor in graph.outputs for tensor in _wide(operator)):
        return False
    if name == "RESHAPE":
        return len(operator.source.shape) != _RANK or len(operator.result.shape) != _RANK
    if name == "MEAN":
        axes = operator.constant(1)
        return axes is not None and operator.options.keepDims and len({1, 2} & _positive(axes)) != 1
    if name == "TRANSPOSE":
        order = operator.constant(1)
        return order is not None and order.ravel().tolist()[:3] == [0, 1, 2]
    return name in _ELEMENTWISE


def _positive(axes: np.ndarray) -> set[int]:
    return {int(axis) % _RANK for axis in axes.ravel()}


def _on_rank_four(graph: GraphEditor, operator: OperatorNode, merged: dict[TensorNode, TensorNode]) -> OperatorNode:
    """The operator with axes, orders and operands of four dimensions in place of those of five."""
    name, source, result = operator.name, operator.source, merged.get(operator.result, operator.result)
    if name == "RESHAPE":
        return graph.reshape(merged.get(source, source), result)
    inputs = [None if tensor is None else merged.get(tensor, tensor) for tensor in operator.inputs]
    if name in ("MEAN", "TRANSPOSE"):
        values = operator.constant(1)
        assert values is not None
        kept = [int(axis) % _RANK for axis in values.ravel() if int(axis) % _RANK != 2]
        moved = np.array([axis - (axis > 2) for axis in kept], np.int32)
        inputs = [inputs[0], graph.new_constant(moved, result, "axes")]
    elif name in _ELEMENTWISE:
        inputs = [_merged_operand(graph, tensor, result) for tensor in inputs]
    return operator.replaced(inputs, [result])


def _merged_operand(graph: GraphEditor, tensor: TensorNode | None, near: TensorNode) -> TensorNode | None:
    value = None if tensor is None else tensor.array()
    if value is None or value.ndim != _RANK:
        return tensor
    batch, rows, columns, *rest = value.shape
    return graph.new_constant(value.reshape([batch, rows * columns, *rest]), near, "operand")
