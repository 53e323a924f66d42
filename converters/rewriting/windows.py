"""Convolutions and means of an int8 file in forms that the compilers of NPUs take; see `activations` for the form.

Integers are summed up in another order or place, so that results are the same, bit for bit; a mean may round one step
otherwise.
"""

from __future__ import annotations

import copy
import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.rewriting.movement import cut, interleaved, stacked, transposed
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["mean_of_blocks", "padding_as_cut", "transposed_convolution", "wide_stride"]

_LARGEST_STRIDE = 3
_VALID = schema.Padding.VALID
_MOST_AVERAGED = 2  # axes apart from each other: they become rows and columns


def mean_of_blocks(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A mean over channels, or of more than four dimensions, as one over rows and columns or over one row's channels.

    Neighbouring axes that are all averaged, or all kept, are one axis.  Where what is averaged then stands first or
    last a RESHAPE is enough; else a TRANSPOSE brings it to the front.
    """
    source, axes = operator.source, operator.constant(1)
    if axes is None or {source.dtype, operator.result.dtype} != {"int8"} or source.shape[0] != 1:
        return None
    averaged = {int(axis) % len(source.shape) for axis in axes.ravel()}
    over_channels = len(source.shape) == 4 and 3 in averaged and min(source.shape[1:]) > 1
    if len(source.shape) <= 4 and not over_channels:
        return None
    blocks = _blocks(source.shape, averaged)
    sizes = [size for _, size in blocks]
    means = [index for index, (mean, _) in enumerate(blocks) if mean]
    if not 0 < len(means) <= _MOST_AVERAGED:
        return None
    if means == [len(blocks) - 1]:
        return _mean(graph, operator, source, (1, 1, sizes[0] if len(sizes) > 1 else 1, sizes[-1]), over=(3,))
    order = [*means, *(index for index in range(len(blocks)) if index not in means)]
    before: list[OperatorNode] = []
    if order != sorted(order):
        apart = graph.new_tensor(sizes, source, "blocks")
        front = graph.new_tensor([sizes[index] for index in order], source, "front")
        before, source = [graph.reshape(source, apart), transposed(graph, apart, order, front)], front
    rows, columns = (*(sizes[index] for index in means), 1)[:2]
    form = (1, rows, columns, math.prod(sizes) // (rows * columns))
    return [*before, *_mean(graph, operator, source, form, over=(1, 2))]


def _blocks(shape: tuple[int, ...], averaged: set[int]) -> list[tuple[bool, int]]:
    """(averaged or not, size) of neighbouring axes taken together; axes of one position are in none."""
    blocks: list[tuple[bool, int]] = []
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        mean = axis in averaged
        if blocks and blocks[-1][0] == mean:
            blocks[-1] = (mean, blocks[-1][1] * size)
        else:
            blocks.append((mean, size))
    return blocks


def _mean(
    graph: GraphEditor, operator: OperatorNode, source: TensorNode, form: tuple[int, ...], *, over: tuple[int, ...]
) -> list[OperatorNode]:
    """RESHAPE to `form`, MEAN over some of its axes, RESHAPE to the operator's result."""
    result = operator.result
    seen = graph.new_tensor(form, source, "form")
    means = graph.new_tensor([1 if axis in over else size for axis, size in enumerate(form)], result, "means")
    axes = graph.new_constant(np.array(over, np.int32), result, "axes")
    mean = graph.operator("MEAN", [seen, axes], [means], options("ReducerOptions", keepDims=True), version=2)
    return [graph.reshape(source, seen), mean, graph.reshape(means, result)]


def wide_stride(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A convolution of a stride above 3 as one of stride 1 over the blocks of the picture, each stacked to channels.

    A depthwise one is computed everywhere, and every s-th place is taken.
    """
    fields, source = operator.options, operator.source
    stride = (fields.strideH, fields.strideW)
    undilated = max(fields.dilationHFactor, fields.dilationWFactor) == 1
    if max(stride) <= _LARGEST_STRIDE or source.dtype != "int8" or source.shape[0] != 1 or not undilated:
        return None
    if operator.operands[1].array() is None:
        return None
    if operator.name == "DEPTHWISE_CONV_2D":
        return _every_place(graph, operator, stride)
    grouped = operator.operands[1].shape[3] != source.shape[3]
    return None if grouped else _over_blocks(graph, operator, stride)


def _over_blocks(graph: GraphEditor, operator: OperatorNode, stride: tuple[int, int]) -> list[OperatorNode]:
    source, weights, *more = operator.operands
    channels, *window, inputs = weights.shape
    steps = [-(-width // step) for width, step in zip(window, stride, strict=True)]
    blocks = [after - 1 + j for after, j in zip(operator.result.shape[1:3], steps, strict=True)]
    sizes = [count * step for count, step in zip(blocks, stride, strict=True)]
    before, fitted = _fitted(graph, source, _tops(operator, stride), sizes)
    stack = graph.new_tensor((1, *blocks, math.prod(stride) * inputs), source, "stack")
    (high, wide), (down, across) = steps, stride
    full = np.zeros((channels, high * down, wide * across, inputs), np.int8)
    full[:, : window[0], : window[1]] = _values(weights)
    split = full.reshape(channels, high, down, wide, across, inputs).transpose(0, 1, 3, 2, 4, 5)
    kernel = _like(weights, split.reshape(channels, high, wide, -1), 0)
    convolution = graph.operator("CONV_2D", [stack, kernel, *more], [operator.result], _plain(operator), version=3)
    return [*before, *stacked(graph, fitted, stride, stack), convolution]


def _every_place(graph: GraphEditor, operator: OperatorNode, stride: tuple[int, int]) -> list[OperatorNode]:
    source, weights, *_ = operator.operands
    places = [(after - 1) * step + 1 for after, step in zip(operator.result.shape[1:3], stride, strict=True)]
    sizes = [count - 1 + width for count, width in zip(places, weights.shape[1:3], strict=True)]
    before, fitted = _fitted(graph, source, _tops(operator, stride), sizes)
    everywhere = graph.new_tensor((1, *places, operator.result.shape[3]), operator.result, "everywhere")
    convolution = operator.replaced([fitted, *operator.inputs[1:]], [everywhere])
    convolution.options.strideH = convolution.options.strideW = 1
    convolution.options.padding = _VALID
    return [*before, convolution, cut(graph, everywhere, (0, 0, 0, 0), operator.result, (1, *stride, 1))]


def _tops(operator: OperatorNode, stride: tuple[int, int]) -> list[int]:
    """Zeros above and to the left."""
    if operator.options.padding == _VALID:
        return [0, 0]
    ends = zip(
        operator.source.shape[1:3], operator.result.shape[1:3], operator.operands[1].shape[1:3], stride, strict=True
    )
    return [_margins(*sizes)[0] for sizes in ends]


def _fitted(
    graph: GraphEditor, source: TensorNode, tops: list[int], sizes: list[int]
) -> tuple[list[OperatorNode], TensorNode]:
    """The picture with zeros above and to the left, and zeros added or rows and columns cut off behind."""
    batch, rows, columns, channels = source.shape
    wanted = [size - top for size, top in zip(sizes, tops, strict=True)]
    kept = [min(before, size) for before, size in zip((rows, columns), wanted, strict=True)]
    before: list[OperatorNode] = []
    if kept != [rows, columns]:
        part = graph.new_tensor((batch, *kept, channels), source, "part")
        before, source = [cut(graph, source, (0, 0, 0, 0), part)], part
    margins = [(top, size - count) for top, size, count in zip(tops, wanted, kept, strict=True)]
    padding, padded = _padded(graph, source, margins)
    return [*before, *padding], padded


def _plain(operator: OperatorNode) -> object:
    """Options of a convolution of stride 1 without padding, with the operator's activation."""
    form = options("Conv2DOptions", padding=_VALID, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    form.fusedActivationFunction = operator.options.fusedActivationFunction
    return form


def _margins(before: int, after: int, window: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind with padding SAME (tf.nn, "Notes on padding")."""
    total = max((after - 1) * stride + window - before, 0)
    return total // 2, total - total // 2


def _padded(
    graph: GraphEditor, source: TensorNode, margins: list[tuple[int, int]]
) -> tuple[list[OperatorNode], TensorNode]:
    """A PAD of rows and columns, and what it gives; no operator where there is nothing to add."""
    if not any(map(any, margins)):
        return [], source
    batch, rows, columns, channels = source.shape
    padded = graph.new_tensor((batch, rows + sum(margins[0]), columns + sum(margins[1]), channels), source, "padded")
    amounts = graph.new_constant(np.array([(0, 0), *margins, (0, 0)], np.int32), source, "pads")
    return [graph.operator("PAD", [source, amounts], [padded], options("PadOptions"), version=2)], padded


def transposed_convolution(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """TRANSPOSE_CONV of a stride above 2 as a convolution that computes each place between two inputs as a channel.

    With stride s, result q s + p is the sum over j of input q - j times weight j s + p: a plain convolution over j for
    each p; the channels p are then moved to rows and columns.
    """
    _, weights, source, *more = operator.operands
    result, stride = operator.result, (operator.options.strideH, operator.options.strideW)
    if max(stride) < _LARGEST_STRIDE or source.dtype != "int8" or weights.array() is None or source.shape[0] != 1:
        return None
    channels, *window, _ = weights.shape
    steps = [-(-width // step) for width, step in zip(window, stride, strict=True)]
    places = [size + j - 1 for size, j in zip(source.shape[1:3], steps, strict=True)]
    whole = [count * step for count, step in zip(places, stride, strict=True)]
    ends = zip(result.shape[1:3], source.shape[1:3], window, stride, strict=True)
    tops = [0 if operator.options.padding == _VALID else _margins(*sizes)[0] for sizes in ends]
    if any(top + after > full for top, after, full in zip(tops, result.shape[1:3], whole, strict=True)):
        return None
    before, padded = _padded(graph, source, [(j - 1, j - 1) for j in steps])
    times = math.prod(stride)
    phases = graph.new_tensor((1, *places, times * channels), result, "phases")
    constants = [_like(weights, _phase_weights(_values(weights), stride, steps), 0, times=times)]
    bias = more[0] if more else _no_bias(graph, source, weights)
    constants.append(_like(bias, np.tile(_values(bias), times), 0, times=times))
    computed = [*before, graph.operator("CONV_2D", [padded, *constants], [phases], _plain(operator), version=3)]
    if tuple(whole) == result.shape[1:3]:
        return [*computed, *interleaved(graph, phases, stride, result)]
    woven = graph.new_tensor((1, *whole, channels), result, "woven")
    return [*computed, *interleaved(graph, phases, stride, woven), cut(graph, woven, (0, *tops, 0), result)]


def padding_as_cut(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """TRANSPOSE_CONV with SAME padding as one without, whose margins are cut off."""
    _, weights, source, *more = operator.operands
    result, stride = operator.result, (operator.options.strideH, operator.options.strideW)
    if operator.options.padding == _VALID or len(source.shape) != 4:
        return None
    sizes = list(zip(result.shape[1:3], source.shape[1:3], weights.shape[1:3], stride, strict=True))
    whole = [(before - 1) * step + width for _, before, width, step in sizes]
    tops = [_margins(*each)[0] for each in sizes]
    if any(top + after > full for top, after, full in zip(tops, result.shape[1:3], whole, strict=True)):
        return None  # a window below the stride: there is nothing to cut
    uncut = graph.new_tensor((result.shape[0], *whole, result.shape[3]), result, "uncut")
    size = graph.new_constant(np.array(uncut.shape, np.int32), result, "size")
    form = copy.copy(operator.options)
    form.padding = _VALID
    convolution = graph.operator("TRANSPOSE_CONV", [size, weights, source, *more], [uncut], form, version=3)
    return [convolution, cut(graph, uncut, (0, *tops, 0), result)]


def _phase_weights(weights: np.ndarray, stride: tuple[int, int], steps: list[int]) -> np.ndarray:
    """[channels, rows, columns, inputs] as [places * channels, j, j, inputs], the last j first."""
    channels, rows, columns, inputs = weights.shape
    (down, across), (high, wide) = stride, steps
    full = np.zeros((channels, high * down, wide * across, inputs), weights.dtype)
    full[:, :rows, :columns] = weights
    split = full.reshape(channels, high, down, wide, across, inputs).transpose(2, 4, 0, 1, 3, 5)
    return split.reshape(down * across * channels, high, wide, inputs)[:, ::-1, ::-1]


def _no_bias(graph: GraphEditor, source: TensorNode, weights: TensorNode) -> TensorNode:
    """A bias of zeros, which an int8 CONV_2D must have."""
    bias = graph.new_constant(np.zeros(weights.shape[0], np.int32), weights, "no_bias")
    bias.record.quantization = copy.deepcopy(weights.record.quantization)
    bias.record.quantization.scale = [scale * source.scales[0] for scale in weights.scales]
    bias.record.quantization.zeroPoint = [0] * len(weights.scales)
    bias.record.quantization.quantizedDimension = 0
    return bias


def _values(tensor: TensorNode) -> np.ndarray:
    value = tensor.array()
    assert value is not None, tensor.name
    return value


def _like(tensor: TensorNode, value: np.ndarray, axis: int, *, times: int = 1) -> TensorNode:
    """Another constant with the scales of `tensor`, which now stand along `axis`, over and over `times` times."""
    twin = tensor.copy(f"{tensor.name}/grouped")
    twin.set_array(np.ascontiguousarray(value))
    twin.record.quantization = copy.deepcopy(tensor.record.quantization)
    parameters = twin.record.quantization
    if parameters is not None and len(tensor.scales) > 1:
        parameters.scale = list(tensor.scales) * times
        parameters.zeroPoint = list(tensor.zero_points) * times
        parameters.quantizedDimension = axis
    return twin
