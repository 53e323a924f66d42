"""Repeated rows and columns: what Keras 3 makes of nearest-neighbour upsampling; see `activations` for the form."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options
from tfcompress.graphs.tflite.float64 import LacksFloat64Error, evaluate

__all__ = ["resize_for_repetition"]

_MOVING = frozenset({"RESHAPE", "TILE", "BROADCAST_TO", "EXPAND_DIMS", "SQUEEZE", "CONCATENATION", "TRANSPOSE", "PACK"})
_REPEATING = frozenset({"TILE", "BROADCAST_TO", "CONCATENATION", "PACK"})


def resize_for_repetition(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """Reshapes and tiles in five dimensions that repeat every row and column as RESIZE_NEAREST_NEIGHBOR.

    `operator` is the last of them.  Whether the chain does that, and no more, is found out by sending the numbers of
    the elements through it.
    """
    result = operator.result
    if len(result.shape) != 4 or result.dtype != "float32" or not _is_last(graph, operator):
        return None
    source = _source_of(graph, operator)
    if source is None or len(source.shape) != 4:
        return None
    factors = _factors(source.shape, result.shape)
    if factors is None or not _repeats(graph, source, result, factors):
        return None
    size = graph.new_constant(np.array(result.shape[1:3], np.int32), result, "size")
    # With centres at half a pixel, no rounding of the quotient can move a sample to its neighbour.
    made = options("ResizeNearestNeighborOptions", halfPixelCenters=True)
    return [graph.operator("RESIZE_NEAREST_NEIGHBOR", [source, size], [result], made, version=3)]


def _is_last(graph: GraphEditor, operator: OperatorNode) -> bool:
    """Whether no operator of the kind goes on from here alone."""
    readers = graph.consumers(operator.result)
    return not (len(readers) == 1 and readers[0].name in _MOVING and len(readers[0].result.shape) != 4)


def _source_of(graph: GraphEditor, operator: OperatorNode) -> TensorNode | None:
    """The four-dimensional tensor from which a chain of at least one repetition computes; None where there is none."""
    repeats, now = False, operator
    while True:
        inputs = set(now.computed_inputs)
        if now.name not in _MOVING or len(inputs) != 1:
            return None
        repeats |= now.name in _REPEATING
        (tensor,) = inputs
        before = graph.producer(tensor)
        if len(tensor.shape) == 4 and repeats and (before is None or before.name not in _MOVING):
            return tensor
        if before is None:
            return None
        now = before


def _factors(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, int] | None:
    """How often each row and each column is there; None where the sizes are no multiples."""
    same = before[0] == after[0] and before[3] == after[3]
    if not same or after[1] % before[1] or after[2] % before[2] or before == after:
        return None
    return after[1] // before[1], after[2] // before[2]


def _repeats(graph: GraphEditor, source: TensorNode, result: TensorNode, factors: tuple[int, int]) -> bool:
    numbers = np.arange(source.elements, dtype=np.int64).reshape(source.shape)
    wanted = numbers.repeat(factors[0], axis=1).repeat(factors[1], axis=2)
    try:
        return np.array_equal(evaluate(graph, result, {source: numbers}), wanted)
    except (LacksFloat64Error, ValueError):
        return False
