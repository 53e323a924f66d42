"""Arithmetic and data movement as operators that the Edge TPU compiler maps; see `activations` for the form."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.edgetpu.rewriting.graph import GraphEditor, options

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


def reshape_instead(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """SQUEEZE and EXPAND_DIMS as RESHAPE, which maps for every position of the dimension."""
    source, result = operator.inputs[0], operator.outputs[0]
    return [graph.reshape(source, result)] if graph.shape(result) else None


def divide_by_constant(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """x / c = x (1 / c)."""
    (source, divisor), (result,) = operator.inputs, operator.outputs
    value = graph.constant(divisor)
    if value is None or not np.all(value) or not graph.is_float(source):
        return None
    reciprocal = graph.add_constant(1 / value.astype(np.float64), result, "reciprocal")
    made = options("MulOptions", fusedActivationFunction=operator.builtinOptions.fusedActivationFunction)
    return [graph.operator("MUL", [source, reciprocal], [result], made)]


def negate(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """-x = x (-1)."""
    (source,), (result,) = operator.inputs, operator.outputs
    if not graph.is_float(source):
        return None
    minus = graph.add_constant(-1.0, result, "minus_one")
    return [graph.multiply(source, minus, result)]


def square(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """SQUARE(x) = x x, and POW(x, 2)."""
    source, result = operator.inputs[0], operator.outputs[0]
    if len(operator.inputs) > 1:
        exponent = graph.constant(operator.inputs[1])
        if exponent is None or not np.all(exponent == 2):
            return None
    return [graph.multiply(source, source, result)]


def pad_with_zeros(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """PADV2 with the value 0 is PAD."""
    value = graph.constant(operator.inputs[2])
    if value is None or np.any(value):
        return None
    return [graph.operator("PAD", list(operator.inputs[:2]), list(operator.outputs), options("PadOptions"))]


def _slice(graph: GraphEditor, source: int, begin: list[int], result: int, sizes: list[int]) -> Any:
    """STRIDED_SLICE with strides 1."""
    parts = [
        graph.add_constant(np.array(values, np.int32), result, name)
        for name, values in (
            ("begin", begin),
            ("end", [b + s for b, s in zip(begin, sizes, strict=True)]),
            ("strides", [1] * len(begin)),
        )
    ]
    return graph.operator("STRIDED_SLICE", [source, *parts], [result], options("StridedSliceOptions"))


def split_sizes(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """SPLIT_V as one slice a part."""
    source = operator.inputs[0]
    axes = graph.constant(operator.inputs[2], "int32")
    shape = graph.shape(source)
    if axes is None or not graph.is_float(source):
        return None
    axis, position, made = int(axes.ravel()[0]) % len(shape), 0, []
    for part in operator.outputs:
        begin = [position if dimension == axis else 0 for dimension in range(len(shape))]
        made.append(_slice(graph, source, begin, part, list(graph.shape(part))))
        position += graph.shape(part)[axis]
    return made


def unstack(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """UNPACK as one slice and one RESHAPE a part."""
    source = operator.inputs[0]
    shape = list(graph.shape(source))
    if not graph.is_float(source) or len(shape) < 2:
        return None
    axis, made = operator.builtinOptions.axis % len(shape), []
    for position, part in enumerate(operator.outputs):
        begin = [position if dimension == axis else 0 for dimension in range(len(shape))]
        sizes = [1 if dimension == axis else size for dimension, size in enumerate(shape)]
        piece = graph.add_tensor(sizes, part, "slice")
        made += [_slice(graph, source, begin, piece, sizes), graph.reshape(piece, part)]
    return made


def strided_slice_as_pooling(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """Every s-th row and column of a whole image is a 1x1 MAX_POOL_2D of stride s."""
    source, result = operator.inputs[0], operator.outputs[0]
    begin, strides = (graph.constant(operator.inputs[position], "int32") for position in (1, 3))
    shape, made = graph.shape(source), operator.builtinOptions
    masks = made.ellipsisMask or made.newAxisMask or made.shrinkAxisMask
    if begin is None or strides is None or masks or len(shape) != 4 or not graph.is_float(source):
        return None
    starts = [0 if made.beginMask >> axis & 1 else int(value) for axis, value in enumerate(begin)]
    step = [int(value) for value in strides]
    expected = (shape[0], -(-shape[1] // step[1]), -(-shape[2] // step[2]), shape[3])
    if any(starts) or step[0] != 1 or step[3] != 1 or step[1:3] == [1, 1] or graph.shape(result) != expected:
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


def depth_to_space(graph: GraphEditor, operator: Any) -> list[Any] | None:
    """DEPTH_TO_SPACE of block b as TRANSPOSE_CONV of stride b with a kernel of zeros and ones."""
    source, result = operator.inputs[0], operator.outputs[0]
    block, channels = operator.builtinOptions.blockSize, graph.shape(result)[3]
    if not graph.is_float(source):
        return None
    # Input channel (row * b + column) * channels + c goes to output channel c (tf.nn.depth_to_space, NHWC).
    ones = np.eye(block * block * channels, dtype=np.float32).reshape(block, block, channels, -1)
    weights = graph.add_constant(ones.transpose(2, 0, 1, 3), result, "kernel")
    size = graph.add_constant(np.array(graph.shape(result), np.int32), result, "size")
    made = options("TransposeConvOptions", padding=schema.Padding.VALID, strideH=block, strideW=block)
    return [graph.operator("TRANSPOSE_CONV", [size, weights, source], [result], made)]
