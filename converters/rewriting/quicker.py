"""Operators that XNNPACK takes, in forms that its kernels are quicker at; see `activations` for the form.

The integers stay as they are, bit for bit; whether a form pays on a model is measured there.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.rewriting.movement import transposed
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["few_channels", "few_depthwise", "turned_operand"]

# Input channels that a dot product of int8 reads at once, and outputs of a tile: 4 and 16 with ARM's dot products, 8
# and 16 with its matrix products and on x86 (XNNPACK, src/configs/gemm-config.c, qs8_qc8w).
_DEPTHS, _OUTPUTS = (4, 8), 16
# Of the products of a layer, at the depth that gains most: less does not pay for the copies of what enters and leaves.
# At no depth may there be more of them.
_GAIN = 0.8
_BLOCKS = range(2, 17)


def turned_operand(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A product of matrices whose second operand is transposed before, as one that reads its rows as columns.

    XNNPACK packs the second operand so; where it does not lie so already, that costs as much as the product itself.
    """
    first, second = operator.operands
    turn = graph.producer(second)
    if operator.options.adjY or turn is None or turn.name != "TRANSPOSE" or second.dtype != "int8":
        return None
    order = turn.constant(1)
    if order is None or len(order) < 2:
        return None
    axes = [int(axis) for axis in order.ravel()]
    axes[-2:] = axes[:-3:-1]
    form = options("BatchMatMulOptions", adjX=operator.options.adjX, adjY=True)
    before: list[OperatorNode] = []
    rows = turn.source
    if axes != sorted(axes):
        rows = graph.new_tensor([turn.source.shape[axis] for axis in axes], second, "rows")
        before = [transposed(graph, turn.source, axes, rows)]
    return [*before, graph.operator("BATCH_MATMUL", [first, rows], list(operator.outputs), form, version=2)]


def few_channels(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A convolution of few channels as one over blocks of neighbouring columns, stacked to channels, which lie so.

    A kernel reads 4 or 8 channels at once, however few there are.  A block's channels are its columns' one after the
    other, its outputs those of its columns; weights of columns outside of the window are zeros.
    """
    source, weights, result, fields = operator.source, operator.input(1), operator.result, operator.options
    if weights is None or not _can_be_blocks(operator, weights):
        return None
    is_same = fields.padding == schema.Padding.SAME
    block = _best_block(source.shape, weights.shape, result.shape, stride=fields.strideW, is_same=is_same)
    if block is None:
        return None
    size, offset, taps = block
    outputs = size // fields.strideW
    batch, rows, columns, channels = source.shape
    blocks = graph.new_tensor((batch, rows, columns // size, size * channels), source, "blocks")
    after = (batch, result.shape[1], result.shape[2] // outputs, outputs * result.shape[3])
    stacked = graph.new_tensor(after, result, "stacked")
    kernel = _spread(graph, weights, [offset + place * fields.strideW for place in range(outputs)], size, taps)
    bias = operator.input(2)
    layer = operator.replaced([blocks, kernel, None if bias is None else _repeated(graph, bias, outputs)], [stacked])
    layer.options.strideW = 1
    return [graph.reshape(source, blocks), layer, graph.reshape(stacked, result)]


def few_depthwise(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A depthwise convolution of few channels as a plain one over blocks of columns, whose other weights are zeros.

    A depthwise kernel computes 16 channels at once, however few there are, and one tap at a time; a plain one reads 4
    or 8 channels at once.
    """
    source, weights, result, fields = operator.source, operator.input(1), operator.result, operator.options
    if weights is None or not _can_be_blocks(operator, weights) or fields.strideW != 1:
        return None
    batch, rows, columns, channels = source.shape
    is_same, after = fields.padding == schema.Padding.SAME, result.shape
    placed = {
        size: place
        for size in _BLOCKS
        if size * channels <= _OUTPUTS
        and (place := _placed(columns, weights.shape[2], after[2], stride=1, is_same=is_same, size=size))
    }
    if not placed:
        return None
    size = max(placed)
    offset, taps = placed[size]
    blocks = graph.new_tensor((batch, rows, columns // size, size * channels), source, "blocks")
    stacked = graph.new_tensor((batch, after[1], after[2] // size, size * channels), result, "stacked")
    kernel = _spread(graph, _diagonal(graph, weights), [offset + place for place in range(size)], size, taps)
    bias = operator.input(2)
    operands = [blocks, kernel, None if bias is None else _repeated(graph, bias, size)]
    form = options("Conv2DOptions", padding=fields.padding, strideH=fields.strideH, strideW=1)
    form.fusedActivationFunction = fields.fusedActivationFunction
    form.dilationHFactor = form.dilationWFactor = 1
    layer = graph.operator("CONV_2D", operands, [stacked], form, version=3)
    return [graph.reshape(source, blocks), layer, graph.reshape(stacked, result)]


def _can_be_blocks(operator: OperatorNode, weights: TensorNode) -> bool:
    """Whether a convolution is in int8 with constant weights, and neither grouped nor dilated."""
    source, fields = operator.source, operator.options
    is_int8 = {source.dtype, weights.dtype, operator.result.dtype} == {"int8"}
    fits = weights.is_constant and len(source.shape) == 4 and source.shape[3] == weights.shape[3]
    return is_int8 and fits and fields.dilationHFactor == fields.dilationWFactor == 1


def _diagonal(graph: GraphEditor, weights: TensorNode) -> TensorNode:
    """[channels, rows, columns, channels] of depthwise weights [1, rows, columns, channels]."""
    values = weights.array()
    assert values is not None
    _, rows, width, channels = values.shape
    spread = np.zeros((channels, rows, width, channels), np.int8)
    for channel in range(channels):
        spread[channel, :, :, channel] = values[0, :, :, channel]
    twin = graph.new_tensor(spread.shape, weights, "diagonal")
    twin.set_array(spread)
    twin.record.quantization.quantizedDimension = 0
    return twin


def _best_block(
    before: tuple[int, ...], kernel: tuple[int, ...], after: tuple[int, ...], *, stride: int, is_same: bool
) -> tuple[int, int, int] | None:
    """(columns of a block, where the first window begins in the blocks it reads, how many these are), or None."""
    channels, width = before[3], kernel[2]
    candidates: list[tuple[float, float, tuple[int, int, int]]] = []
    for size in _BLOCKS:
        place = _placed(before[2], width, after[2], stride=stride, is_same=is_same, size=size)
        if place is None:
            continue
        outputs, (offset, taps) = size // stride, place
        plain = [outputs * width * _up(channels, depth) * _up(kernel[0], _OUTPUTS) for depth in _DEPTHS]
        stacked = [taps * _up(size * channels, depth) * _up(outputs * kernel[0], _OUTPUTS) for depth in _DEPTHS]
        shares = [new / old for new, old in zip(stacked, plain, strict=True)]
        if max(shares) <= 1 and min(shares) < _GAIN:
            candidates.append((max(shares), min(shares), (size, offset, taps)))
    return min(candidates)[-1] if candidates else None


def _placed(columns: int, width: int, results: int, *, stride: int, is_same: bool, size: int) -> tuple[int, int] | None:
    """Where the first window begins in the blocks it reads, and how many these are; None where blocks do not fit."""
    if columns % size or size % stride or results % (size // stride):
        return None
    left = max((results - 1) * stride + width - columns, 0) // 2 if is_same else 0
    outputs = size // stride
    first, last = -left // size, ((outputs - 1) * stride + width - 1 - left) // size
    taps = last - first + 1
    padded = (taps - 1) // 2 if is_same else 0
    if padded != -first or (not is_same and columns // size - taps + 1 != results // outputs):
        return None
    return -left - first * size, taps


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _spread(graph: GraphEditor, weights: TensorNode, begins: list[int], size: int, taps: int) -> TensorNode:
    """[outputs of a block, rows, blocks, channels of a block], from [outputs, rows, columns, channels]."""
    values = weights.array()
    assert values is not None
    outputs, rows, width, channels = values.shape
    spread = np.zeros((len(begins), outputs, rows, taps * size, channels), np.int8)
    for place, begin in enumerate(begins):
        spread[place, :, :, begin : begin + width] = values
    twin = graph.new_tensor((len(begins) * outputs, rows, taps, size * channels), weights, "blocks")
    twin.set_array(spread.reshape(twin.shape))
    _repeat_scales(twin, weights, len(begins))
    return twin


def _repeated(graph: GraphEditor, bias: TensorNode, times: int) -> TensorNode:
    """The biases of a block's outputs."""
    values = bias.array()
    assert values is not None
    twin = graph.new_tensor((times * values.size,), bias, "blocks")
    twin.set_array(np.tile(values, times))
    _repeat_scales(twin, bias, times)
    return twin


def _repeat_scales(twin: TensorNode, tensor: TensorNode, times: int) -> None:
    """Those of `tensor`, one for each output, over and over."""
    if len(tensor.scales) > 1:
        twin.record.quantization.scale = list(tensor.scales) * times
        twin.record.quantization.zeroPoint = list(tensor.zero_points) * times
