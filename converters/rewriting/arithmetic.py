"""Arithmetic and data movement as operators that the Edge TPU compiler maps; see `activations` for the form."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = [
    "depth_to_space",
    "divide_by_constant",
    "negate",
    "pad_with_zeros",
    "reshape_instead",
    "split_sizes",
    "square",
    "strided_slice_as_pooling",
    "unstack",
]

_NONE = schema.ActivationFunctionType.NONE


def reshape_instead(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """SQUEEZE and EXPAND_DIMS as RESHAPE, which maps for every position of the dimension."""
    source, result = operator.source, operator.result
    return [graph.reshape(source, result)] if result.shape else None


def divide_by_constant(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """x / c = x (1 / c)."""
    (source, divisor), (result,) = operator.operands, operator.outputs
    value = divisor.array()
    if value is None or not np.all(value) or source.dtype != "float32":
        return None
    reciprocal = graph.new_constant(1 / value.astype(np.float64), result, "reciprocal")
    mul_options = options("MulOptions", fusedActivationFunction=operator.options.fusedActivationFunction)
    return [graph.operator("MUL", [source, reciprocal], [result], mul_options)]


def negate(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """-x = x (-1)."""
    (source,), (result,) = operator.operands, operator.outputs
    if source.dtype != "float32":
        return None
    minus = graph.new_constant(-1.0, result, "minus_one")
    return [graph.multiply(source, minus, result)]


def square(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """SQUARE(x) = x x, and POW(x, 2)."""
    source, result = operator.source, operator.result
    if len(operator.inputs) > 1:
        exponent = operator.constant(1)
        if exponent is None or not np.all(exponent == 2):
            return None
    return [graph.multiply(source, source, result)]


def pad_with_zeros(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """PADV2 with the value 0 is PAD."""
    value = operator.constant(2)
    if value is None or np.any(value):
        return None
    return [graph.operator("PAD", list(operator.inputs[:2]), list(operator.outputs), options("PadOptions"))]


def _slice(
    graph: GraphEditor, source: TensorNode, begin: list[int], result: TensorNode, sizes: list[int]
) -> OperatorNode:
    """STRIDED_SLICE with strides 1."""
    parts = [
        graph.new_constant(np.array(values, np.int32), result, name)
        for name, values in (
            ("begin", begin),
            ("end", [b + s for b, s in zip(begin, sizes, strict=True)]),
            ("strides", [1] * len(begin)),
        )
    ]
    return graph.operator("STRIDED_SLICE", [source, *parts], [result], options("StridedSliceOptions"))


def split_sizes(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """SPLIT_V as one slice a part."""
    source = operator.source
    axes = operator.constant(2)
    shape = source.shape
    if axes is None or source.dtype != "float32":
        return None
    axis, position = int(axes.ravel()[0]) % len(shape), 0
    operators: list[OperatorNode] = []
    for part in operator.outputs:
        begin = [position if dimension == axis else 0 for dimension in range(len(shape))]
        operators.append(_slice(graph, source, begin, part, list(part.shape)))
        position += part.shape[axis]
    return operators


def unstack(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """UNPACK as one slice and one RESHAPE a part."""
    source = operator.source
    shape = list(source.shape)
    if source.dtype != "float32" or len(shape) < 2:
        return None
    axis = operator.options.axis % len(shape)
    operators: list[OperatorNode] = []
    for position, part in enumerate(operator.outputs):
        begin = [position if dimension == axis else 0 for dimension in range(len(shape))]
        sizes = [1 if dimension == axis else size for dimension, size in enumerate(shape)]
        piece = graph.new_tensor(sizes, part, "slice")
        operators += [_slice(graph, source, begin, piece, sizes), graph.reshape(piece, part)]
    return operators


def strided_slice_as_pooling(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """Every s-th row and column of a whole image is a 1x1 MAX_POOL_2D of stride s."""
    source, result = operator.source, operator.result
    begin, strides = (operator.constant(position) for position in (1, 3))
    shape, fields = source.shape, operator.options
    masks = fields.ellipsisMask or fields.newAxisMask or fields.shrinkAxisMask
    if begin is None or strides is None or masks or len(shape) != 4 or source.dtype != "float32":
        return None
    starts = [0 if fields.beginMask >> axis & 1 else int(value) for axis, value in enumerate(begin)]
    step = [int(value) for value in strides]
    expected = (shape[0], -(-shape[1] // step[1]), -(-shape[2] // step[2]), shape[3])
    if any(starts) or step[0] != 1 or step[3] != 1 or step[1:3] == [1, 1] or result.shape != expected:
        return None
    pooling = options(
        "Pool2DOptions",
        padding=schema.Padding.VALID,
        strideH=step[1],
        strideW=step[2],
        filterHeight=1,
        filterWidth=1,
        fusedActivationFunction=_NONE,
    )
    return [graph.operator("MAX_POOL_2D", [source], [result], pooling)]


def depth_to_space(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """DEPTH_TO_SPACE of block b as TRANSPOSE_CONV of stride b with a kernel of zeros and ones."""
    source, result = operator.source, operator.result
    block, channels = operator.options.blockSize, result.shape[3]
    if source.dtype != "float32":
        return None
    # Input channel (row * b + column) * channels + c goes to output channel c (tf.nn.depth_to_space, NHWC).
    ones = np.eye(block * block * channels, dtype=np.float32).reshape(block, block, channels, -1)
    weights = graph.new_constant(ones.transpose(2, 0, 1, 3), result, "kernel")
    size = graph.new_constant(np.array(result.shape, np.int32), result, "size")
    conv_options = options("TransposeConvOptions", padding=schema.Padding.VALID, strideH=block, strideW=block)
    return [graph.operator("TRANSPOSE_CONV", [size, weights, source], [result], conv_options)]
