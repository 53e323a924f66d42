"""Linear functions along one axis as FULLY_CONNECTED with a constant matrix; see `activations` for the form."""

from __future__ import annotations

import math

import numpy as np

from tfcompress.converters.rewriting.movement import transposed
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["bilinear_resize", "cumulative_sum"]

_MOST_SUMMED = 256  # places of a running sum; the triangle has their square of weights


def bilinear_resize(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """RESIZE_BILINEAR as the interpolation of rows and the interpolation of columns, each a matrix."""
    source, result = operator.source, operator.result
    if source.dtype != "float32" or len(source.shape) != 4:
        return None
    batch, _, columns, channels = source.shape
    rows_after, columns_after = result.shape[1:3]
    middle = graph.new_tensor((batch, rows_after, columns, channels), result, "rows")
    down = _interpolation(operator, source.shape[1], rows_after)
    across = _interpolation(operator, columns, columns_after)
    return _along(graph, source, 1, down, middle) + _along(graph, middle, 2, across, result)


def _interpolation(operator: OperatorNode, before: int, after: int) -> np.ndarray:
    """[after, before]: tensorflow/lite/kernels/internal/reference/resize_bilinear.h."""
    corners, half = operator.options.alignCorners, operator.options.halfPixelCenters
    scale = (before - 1) / (after - 1) if corners and after > 1 else before / after
    where = (np.arange(after) + 0.5) * scale - 0.5 if half else np.arange(after) * scale
    low = np.floor(where)
    matrix = np.zeros((after, before), np.float32)
    for row, (position, floor) in enumerate(zip(where, low, strict=True)):
        first, last = (int(np.clip(each, 0, before - 1)) for each in (floor, floor + 1))
        matrix[row, last] += position - floor
        matrix[row, first] += 1 - (position - floor)
    return matrix


def cumulative_sum(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """CUMSUM as a product with a triangle of ones, which 8 bits hold exactly."""
    source, result, axis = operator.source, operator.result, operator.constant(1)
    if source.dtype != "float32" or axis is None or not source.shape:
        return None
    along = int(axis.ravel()[0]) % len(source.shape)
    size = source.shape[along]
    if not 1 <= size <= _MOST_SUMMED:
        return None
    triangle = np.tri(size, k=-1 if operator.options.exclusive else 0, dtype=np.float32)
    matrix = triangle.T if operator.options.reverse else triangle
    if along < len(source.shape) - 1 or along == 0:
        return _along(graph, source, along, matrix, result)
    weights = graph.new_constant(matrix, result, "triangle")
    product = options("FullyConnectedOptions", keepNumDims=True)
    return [graph.operator("FULLY_CONNECTED", [source, weights], [result], product, version=5)]


def _along(
    graph: GraphEditor, source: TensorNode, axis: int, matrix: np.ndarray, result: TensorNode
) -> list[OperatorNode]:
    """`matrix`, [after, before], times the tensor along an axis."""
    outputs, inputs = matrix.shape
    before, after = math.prod(source.shape[:axis]), math.prod(source.shape[axis + 1 :])
    flat = graph.new_tensor((before, inputs, after), source, "flat")
    last = graph.new_tensor((before, after, inputs), source, "last")
    rows = graph.new_tensor((before * after, inputs), source, "matrix_rows")
    product = graph.new_tensor((before * after, outputs), result, "product")
    apart = graph.new_tensor((before, after, outputs), result, "apart")
    back = graph.new_tensor((before, outputs, after), result, "back")
    weights = graph.new_constant(matrix, result, "matrix")
    return [
        graph.reshape(source, flat),
        transposed(graph, flat, (0, 2, 1), last),
        graph.reshape(last, rows),
        graph.operator("FULLY_CONNECTED", [rows, weights, None], [product], options("FullyConnectedOptions")),
        graph.reshape(product, apart),
        transposed(graph, apart, (0, 2, 1), back),
        graph.reshape(back, result),
    ]
