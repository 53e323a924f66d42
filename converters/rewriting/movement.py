"""Data movement as slices, copies and transpositions, which every Ethos-U maps; bit for bit the same.

See `activations` for the form of the functions.  A tensor is seen here as [before, along, after]: the dimensions before
an axis as one, the axis, and those behind it as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = [
    "cut",
    "depth_to_space",
    "interleaved",
    "nearest_resize",
    "same_grid",
    "slices_for_gather",
    "slices_for_reverse",
    "space_to_depth",
    "stacked",
    "transposed",
]

_MOST_PIECES = 64  # slices that one operator may become


def slices_for_gather(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """GATHER of constant positions as a slice for each run of positions that follow each other, and CONCATENATION."""
    source, result, positions = operator.source, operator.result, operator.constant(1)
    if positions is None or operator.options.batchDims or not same_grid(source, result):
        return None
    axis = operator.options.axis % len(source.shape)
    return _picked(graph, source, axis, positions.ravel().tolist(), result)


def slices_for_reverse(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """REVERSE_V2 along one axis as slices of one position, and CONCATENATION.

    TFLiteConverter gives the result a scale of its own where a CONCATENATION follows, and LiteRT's kernel copies the
    integers all the same: behind a bidirectional LSTM numbers were 6 steps off.
    """
    source, result, axes = operator.source, operator.result, operator.constant(1)
    if axes is None or axes.size != 1 or source.dtype != "float32":
        return None
    axis = int(axes.ravel()[0]) % len(source.shape)
    return _picked(graph, source, axis, list(range(source.shape[axis]))[::-1], result)


def nearest_resize(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """RESIZE_NEAREST_NEIGHBOR as copies of whole rows and of whole columns."""
    source, result = operator.source, operator.result
    if len(source.shape) != 4 or not same_grid(source, result):
        return None
    batch, _, columns, channels = source.shape
    rows_after, columns_after = result.shape[1:3]
    if columns == columns_after:
        return _picked(graph, source, 1, _nearest(operator, source.shape[1], rows_after), result)
    middle = graph.new_tensor((batch, rows_after, columns, channels), result, "rows")
    rows = _picked(graph, source, 1, _nearest(operator, source.shape[1], rows_after), middle)
    across = _picked(graph, middle, 2, _nearest(operator, columns, columns_after), result)
    return None if rows is None or across is None else [*rows, *across]


def _nearest(operator: OperatorNode, before: int, after: int) -> list[int]:
    """Which position each new one takes: tensorflow/lite/kernels/internal/reference/resize_nearest_neighbor.h."""
    corners, half = operator.options.alignCorners, operator.options.halfPixelCenters
    scale = np.float32(before - 1) / np.float32(after - 1) if corners and after > 1 else np.float32(before / after)
    where = (np.arange(after, dtype=np.float32) + np.float32(0.5 if half else 0)) * scale
    picked = np.floor(where + np.float32(0.5)) if corners else np.floor(where)
    return [int(position) for position in np.clip(picked, 0, before - 1)]


def depth_to_space(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """DEPTH_TO_SPACE as RESHAPE, TRANSPOSE, RESHAPE."""
    if operator.source.shape[0] != 1 or not same_grid(operator.source, operator.result):
        return None
    block = operator.options.blockSize
    return interleaved(graph, operator.source, (block, block), operator.result)


def interleaved(
    graph: GraphEditor, source: TensorNode, block: tuple[int, int], result: TensorNode
) -> list[OperatorNode]:
    """[1, rows, columns, a * b * channels] as [1, rows * a, columns * b, channels], where `block` is (a, b)."""
    _, rows, columns, depth = source.shape
    inner = depth // block[0]
    apart = graph.new_tensor((rows, columns, block[0], inner), result, "apart")
    woven = graph.new_tensor((rows, block[0], columns, inner), result, "woven")
    return [
        graph.reshape(source, apart),
        transposed(graph, apart, (0, 2, 1, 3), woven),
        graph.reshape(woven, result),
    ]


def space_to_depth(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """SPACE_TO_DEPTH as RESHAPE, TRANSPOSE, RESHAPE."""
    if operator.source.shape[0] != 1 or not same_grid(operator.source, operator.result):
        return None
    block = operator.options.blockSize
    return stacked(graph, operator.source, (block, block), operator.result)


def stacked(graph: GraphEditor, source: TensorNode, block: tuple[int, int], result: TensorNode) -> list[OperatorNode]:
    """The inverse of `interleaved`."""
    _, rows, columns, depth = result.shape
    inner = depth // block[0]
    woven = graph.new_tensor((rows, block[0], columns, inner), result, "woven")
    apart = graph.new_tensor((rows, columns, block[0], inner), result, "apart")
    return [
        graph.reshape(source, woven),
        transposed(graph, woven, (0, 2, 1, 3), apart),
        graph.reshape(apart, result),
    ]


def transposed(graph: GraphEditor, source: TensorNode, order: Sequence[int], result: TensorNode) -> OperatorNode:
    """A TRANSPOSE, not yet in the graph."""
    axes = graph.new_constant(np.array(order, np.int32), result, "order")
    return graph.operator("TRANSPOSE", [source, axes], [result], options("TransposeOptions"), version=2)


def same_grid(first: TensorNode, second: TensorNode) -> bool:
    """Whether both are int8 whose integers stand for the same numbers."""
    kinds = {(tensor.dtype, tensor.scales, tensor.zero_points) for tensor in (first, second)}
    return len(kinds) == 1 and first.dtype == "int8"


def _picked(
    graph: GraphEditor, source: TensorNode, axis: int, positions: Sequence[int], result: TensorNode
) -> list[OperatorNode] | None:
    """The positions of an axis, in the order given; None where that takes too many slices, or one is outside."""
    size = source.shape[axis]
    if not positions or min(positions) < 0 or max(positions) >= size:
        return None
    times = len(positions) // size
    if times > 1 and list(positions) == [position for position in range(size) for _ in range(times)]:
        return _repeated(graph, source, axis, times, result)
    runs = _runs(positions)
    if len(runs) > _MOST_PIECES:
        return None
    before, after = math.prod(source.shape[:axis]), math.prod(source.shape[axis + 1 :])
    flat = graph.new_tensor((before, size, after), result, "flat")
    pieces = [
        graph.new_tensor((before, stop - start, after), result, f"slice{number}")
        for number, (start, stop) in enumerate(runs)
    ]
    joined = graph.new_tensor((before, len(positions), after), result, "joined")
    return [
        graph.reshape(source, flat),
        *(cut(graph, flat, (0, start, 0), piece) for (start, _), piece in zip(runs, pieces, strict=True)),
        _joined(graph, pieces, joined),
        graph.reshape(joined, result),
    ]


def _repeated(graph: GraphEditor, source: TensorNode, axis: int, times: int, result: TensorNode) -> list[OperatorNode]:
    """Each position of an axis as many times."""
    before, after = math.prod(source.shape[: axis + 1]), math.prod(source.shape[axis + 1 :])
    flat = graph.new_tensor((before, 1, after), result, "flat")
    joined = graph.new_tensor((before, times, after), result, "joined")
    return [graph.reshape(source, flat), _joined(graph, [flat] * times, joined), graph.reshape(joined, result)]


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """(first, behind the last) of each run of positions that follow each other."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs


def cut(
    graph: GraphEditor,
    source: TensorNode,
    begin: Sequence[int],
    result: TensorNode,
    steps: Sequence[int] | None = None,
) -> OperatorNode:
    """A STRIDED_SLICE of the result's sizes, not yet in the graph; `steps` is 1 along each axis where it is None."""
    each = steps or [1] * len(begin)
    end = [first + (size - 1) * step + 1 for first, size, step in zip(begin, result.shape, each, strict=True)]
    parts = [
        graph.new_constant(np.array(value, np.int32), result, name)
        for name, value in (("begin", begin), ("end", end), ("strides", each))
    ]
    return graph.operator("STRIDED_SLICE", [source, *parts], [result], options("StridedSliceOptions"), version=2)


def _joined(graph: GraphEditor, pieces: Sequence[TensorNode], result: TensorNode) -> OperatorNode:
    return graph.operator("CONCATENATION", pieces, [result], options("ConcatenationOptions", axis=1), version=2)
