"""Resizing, means and dilated convolutions as operators that the compiler maps; see `activations` for the form."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.edgetpu.operators import LARGEST_SOFTMAX
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["dilated_convolution", "drop_softmax", "large_mean", "resize_identity", "resize_one_pixel"]

_LARGE_MEAN = 32_768  # positions that were refused; a quarter of them maps (google-coral/edgetpu issue 461)


def resize_one_pixel(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """Resizing a single pixel repeats it: RESIZE from 1x1 is TILE."""
    source, result = operator.source, operator.result
    if source.shape[1:3] != (1, 1) or result.shape[1:3] == (1, 1):
        return None
    _, rows, columns, _ = result.shape
    times = graph.new_constant(np.array([1, rows, columns, 1], np.int32), result, "times")
    return [graph.operator("TILE", [source, times], [result], options("TileOptions"))]


def resize_identity(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """Resizing to the same size does nothing."""
    source, result = operator.source, operator.result
    if source.shape != result.shape or result in graph.outputs:
        return None
    graph.redirect(result, source)
    return []


def large_mean(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A mean over many positions: of equal bands of rows first, then of their means."""
    source, result = operator.source, operator.result
    shape, axes = source.shape, operator.constant(1)
    if axes is None or len(shape) != 4 or sorted(axis % 4 for axis in axes.ravel().tolist()) != [1, 2]:
        return None
    rows, columns = shape[1:3]
    if rows * columns < _LARGE_MEAN:
        return None
    parts = next((n for n in range(2, rows + 1) if rows % n == 0 and rows // n * columns <= _LARGE_MEAN // 4), None)
    return None if parts is None else _mean_of_bands(graph, source, result, operator.operands[1], parts)


def _mean_of_bands(
    graph: GraphEditor, source: TensorNode, result: TensorNode, axes: TensorNode, parts: int
) -> list[OperatorNode]:
    batch, rows, columns, channels = source.shape
    bands = [graph.new_tensor((batch, rows // parts, columns, channels), result, f"band{n}") for n in range(parts)]
    means = [graph.new_tensor((batch, 1, 1, channels), result, f"mean{n}") for n in range(parts)]
    joined = graph.new_tensor((batch, parts, 1, channels), result, "means")
    axis = graph.new_constant(np.array(1, np.int32), result, "axis")
    keep = options("ReducerOptions", keepDims=True)
    final = options("ReducerOptions", keepDims=len(result.shape) == 4)
    return [
        graph.operator("SPLIT", [axis, source], bands, options("SplitOptions", numSplits=parts)),
        *(graph.operator("MEAN", [band, axes], [mean], keep) for band, mean in zip(bands, means, strict=True)),
        graph.operator("CONCATENATION", means, [joined], options("ConcatenationOptions", axis=1)),
        graph.operator("MEAN", [joined, axes], [result], final),
    ]


def dilated_convolution(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """SPACE_TO_BATCH_ND, convolution, BATCH_TO_SPACE_ND is one dilated convolution; `operator` is the last of them.

    TFLiteConverter does this where it sees the pattern; what it leaves has a batch above 1, which does not map.
    """
    inner = graph.producer(operator.source)
    outer = None if inner is None else graph.producer(inner.source)
    if inner is None or outer is None or outer.name != "SPACE_TO_BATCH_ND":
        return None
    if inner.name not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return None
    block, pads = (outer.constant(position) for position in (1, 2))
    crops = operator.constant(2)
    fields = inner.options
    strided = (fields.strideH, fields.strideW) != (1, 1) or fields.padding != schema.Padding.VALID
    if block is None or pads is None or crops is None or strided or len(graph.consumers(inner.result)) > 1:
        return None
    # Rows and columns that are padded to fill the last block and cropped again are not part of the convolution.
    margins = [[int(before), int(after) - int(crop[1])] for (before, after), crop in zip(pads, crops, strict=True)]
    if any(crop[0] for crop in crops.tolist()) or min(min(margin) for margin in margins) < 0:
        return None
    return _one_convolution(graph, outer.source, inner, operator.result, (block.tolist(), margins))


def _one_convolution(
    graph: GraphEditor,
    source: TensorNode,
    inner: OperatorNode,
    result: TensorNode,
    form: tuple[list[int], list[list[int]]],
) -> list[OperatorNode]:
    """`form` is the dilation and, for rows and columns, the zeros before and after."""
    block, margins = form
    batch, rows, columns, channels = source.shape
    shape = (batch, rows + sum(margins[0]), columns + sum(margins[1]), channels)
    padded = graph.new_tensor(shape, result, "padded") if any(map(any, margins)) else source
    convolution = inner.replaced([padded, *inner.inputs[1:]], [result])
    convolution.options.dilationHFactor, convolution.options.dilationWFactor = block
    if padded is source:
        return [convolution]
    amounts = graph.new_constant(np.array([[0, 0], *margins, [0, 0]], np.int32), result, "pads")
    return [graph.operator("PAD", [source, amounts], [padded], options("PadOptions")), convolution]


def drop_softmax(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A large softmax at the end of the model is left out, to be done by the caller: the outputs are logits then."""
    source, result = operator.source, operator.result
    if int(np.prod(result.shape)) <= LARGEST_SOFTMAX or result not in graph.outputs or graph.consumers(result):
        return None
    producer = graph.producer(source)
    if producer is None or len(graph.consumers(source)) > 1:
        return None
    outputs = [result if tensor is source else tensor for tensor in producer.outputs]
    graph.replace([producer], [producer.replaced(producer.inputs, outputs)])
    return []
