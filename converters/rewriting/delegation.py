"""Operators of an int8 file in forms that XNNPACK's kernels take; see `activations` for the form of the functions.

XNNPACK has int8 kernels for sums, products and a few table lookups, and leaves the rest to LiteRT's own, many times
slower ones (`tfcompress.converters.litert.xnnpack` has the rules).  A chain of its kernels, each as fast as the memory
that it reads, is quicker than one operator that it does not take.
"""

from __future__ import annotations

import copy
import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = [
    "MOST_TAPS",
    "average_pool",
    "clamp",
    "hard_swish",
    "open_slice",
    "prelu",
    "squared_difference",
    "unseen_addend",
    "wide_depthwise",
]

_LOWEST, _LARGEST, _STEPS = -128, 127, 255
# Of a depthwise window: XNNPACK's kernels are for 3, 4, 9 and 25 (src/configs/dwconv-config.c, primary_tile); a larger
# one is computed as a convolution with a group for each channel, one channel at a time.
MOST_TAPS = 25
# XNNPACK wants a sum's operands to have scales within these of the result's (delegate, CheckTensorsInputOutputScale).
_LEAST_OF_SUM, _MOST_OF_SUM = 2.0**-10, 2.0**8
_UNSEEN_STEPS = 0.25  # an operand that never moves the result further than this


def hard_swish(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """hard_swish(x) = (x / 6) relu6(x + 3) (Howard et al. 2019, section 5.2).

    x / 6 has the integers of x and a sixth of its scale.  relu6(x + 3) has all 256 steps for [0, 6], so that where it
    is 0 or 6, which is wherever x is beyond 3, the result is as good as HARD_SWISH's own.
    """
    source, result = operator.source, operator.result
    if (source.dtype, result.dtype) != ("int8", "int8") or len(source.scales) != 1:
        return None
    shorter = _scaled_hard_swish(graph, operator)
    if shorter is not None:
        return shorter
    gate, sixth = graph.like(result, "gate"), graph.like(source, "sixth")
    gate.quantize(6 / _STEPS, _LOWEST)
    sixth.quantize(source.scales[0] / 6, source.zero_points[0])
    three = graph.new_number(3 / _LARGEST, _LARGEST, result, "three")
    a_sixth = graph.new_number(1 / 6 / _LARGEST, _LARGEST, result, "a_sixth")
    return [
        _sum(graph, source, three, gate),
        _product(graph, source, a_sixth, sixth),
        _product(graph, sixth, gate, result),
    ]


def _scaled_hard_swish(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """With k = 1 / sqrt(6) and u = k x, hard_swish(x) = u clip(u + 3 k, 0, 6 k): two operators, where x is a layer's.

    A layer gives u instead of x by other scales of its weights, biases and result; its integers stay as they are.  The
    clip is what the 256 steps of the sum can hold.
    """
    source, result, k = operator.source, operator.result, 6**-0.5
    layer = graph.producer(source)
    weighted = layer is not None and layer.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    if layer is None or not weighted or source in graph.outputs or graph.consumers(source) != [operator]:
        return None
    if layer.options.fusedActivationFunction != schema.ActivationFunctionType.NONE:
        return None
    scaled, gate = graph.like(source, "scaled"), graph.like(result, "gate")
    scaled.quantize(source.scales[0] * k, source.zero_points[0])
    gate.quantize(6 * k / _STEPS, _LOWEST)
    height = graph.new_number(3 * k / _LARGEST, _LARGEST, result, "height")
    constants = [None if tensor is None else _times(tensor, k) for tensor in layer.inputs[1:]]
    changed = layer.replaced([layer.source, *constants], [scaled])
    graph.remove([layer])
    return [changed, _sum(graph, scaled, height, gate, clipped=False), _product(graph, scaled, gate, result)]


def _times(tensor: TensorNode, factor: float) -> TensorNode:
    """A constant whose integers stand for values `factor` times as large."""
    twin = tensor.copy(f"{tensor.name}/scaled")
    twin.record.quantization = copy.deepcopy(tensor.record.quantization)
    twin.record.quantization.scale = [scale * factor for scale in tensor.scales]
    return twin


def clamp(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """ReLU, ReLU6 and the like as QUANTIZE, where what the result's integers can hold is what they let through."""
    source, result = operator.source, operator.result
    if (source.dtype, result.dtype) != ("int8", "int8") or len(result.scales) != 1:
        return None
    scale, zero = result.scales[0], result.zero_points[0]
    ends = [
        integer if end is None else round(end / scale) + zero
        for end, integer in zip(*_bounds(operator.name), strict=True)
    ]
    if ends[0] > _LOWEST or ends[1] < _LARGEST:
        return None
    return [graph.operator("QUANTIZE", [source], [result], options("QuantizeOptions"), version=2)]


def _bounds(name: str) -> tuple[tuple[float | None, float | None], tuple[int, int]]:
    """(least and largest value that an operator lets through, None without limit), and those of 8 bits."""
    ends: dict[str, tuple[float | None, float | None]] = {
        "RELU": (0.0, None),
        "RELU6": (0.0, 6.0),
        "RELU_0_TO_1": (0.0, 1.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }
    return ends[name], (_LOWEST, _LARGEST)


def prelu(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """PReLU(x) = max(x, 0) + a min(x, 0) (He et al. 2015, equation 1).

    The two halves keep the step of x, so that they are exact: QUANTIZE saturates beyond the zero point at either end.
    The product has the result's step, so that a negative value is rounded once, as by PRELU itself.  Slopes next to
    zero are none, as far as the result can tell: it is ReLU then.
    """
    source, slopes, result = operator.source, operator.operands[1], operator.result
    if {source.dtype, slopes.dtype, result.dtype} != {"int8"} or len(result.scales) != 1:
        return None
    if not slopes.is_constant or len(slopes.scales) != 1 or len(source.scales) != 1:
        return None
    faint = _reach(slopes) * _reach(source) <= _UNSEEN_STEPS * result.scales[0]
    if faint and result.zero_points[0] == _LOWEST:
        return [graph.operator("QUANTIZE", [source], [result], options("QuantizeOptions"), version=2)]
    above, below, sloped = (graph.like(source, name) for name in ("above", "below", "sloped"))
    above.quantize(source.scales[0], _LOWEST)
    below.quantize(source.scales[0], _LARGEST)
    sloped.quantize(result.scales[0], result.zero_points[0])
    return [
        graph.operator("QUANTIZE", [source], [above], options("QuantizeOptions"), version=2),
        graph.operator("QUANTIZE", [source], [below], options("QuantizeOptions"), version=2),
        _product(graph, below, slopes, sloped),
        _sum(graph, above, sloped, result, clipped=False),
    ]


def open_slice(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A SLICE with a size of -1, which is all that follows, as a STRIDED_SLICE with the end left open there."""
    begin, sizes = operator.constant(1), operator.constant(2)
    if begin is None or sizes is None or np.all(sizes >= 0):
        return None
    ends = np.where(sizes < 0, 0, begin + sizes)
    parts = [
        graph.new_constant(np.asarray(value, np.int32), operator.result, name)
        for name, value in (("begin", begin), ("end", ends), ("strides", np.ones_like(begin)))
    ]
    mask = sum(1 << axis for axis, size in enumerate(sizes.ravel()) if size < 0)
    form = options("StridedSliceOptions", endMask=mask)
    return [graph.operator("STRIDED_SLICE", [operator.source, *parts], [operator.result], form, version=2)]


def squared_difference(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """(a - b)^2 as SUB and MUL; the difference has as large a range as the result has a root for."""
    result = operator.result
    if {tensor.dtype for tensor in (*operator.operands, result)} != {"int8"} or len(result.scales) != 1:
        return None
    largest = result.scales[0] * (_LARGEST - result.zero_points[0])
    scale = largest**0.5 / _LARGEST
    if not all(_LEAST_OF_SUM <= tensor.scales[0] / scale < _MOST_OF_SUM for tensor in operator.operands):
        return None
    difference = graph.like(result, "difference")
    difference.quantize(scale, 0)
    return [
        graph.operator("SUB", operator.operands, [difference], options("SubOptions"), version=2),
        _product(graph, difference, difference, result),
    ]


def average_pool(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A mean over a window as a depthwise convolution with equal weights, where no window reaches beyond the map.

    At an edge AVERAGE_POOL_2D divides by what is inside, which no weights can do.
    """
    source, result, fields = operator.source, operator.result, operator.options
    window = (fields.filterHeight, fields.filterWidth)
    plain = fields.fusedActivationFunction == schema.ActivationFunctionType.NONE and math.prod(window) <= MOST_TAPS
    if (source.dtype, result.dtype) != ("int8", "int8") or not plain or not _stays_inside(operator):
        return None
    weights = graph.new_tensor((1, *window, source.shape[3]), source, "weights")
    scale = 1 / (_LARGEST * window[0] * window[1])
    weights.set_array(np.full(weights.shape, _LARGEST, np.int8))
    weights.quantize(scale, 0)
    bias = graph.new_constant(np.zeros(source.shape[3], np.int32), source, "bias")
    bias.quantize(scale * source.scales[0], 0)
    form = options(
        "DepthwiseConv2DOptions",
        padding=schema.Padding.VALID,
        strideH=fields.strideH,
        strideW=fields.strideW,
        depthMultiplier=1,
        dilationHFactor=1,
        dilationWFactor=1,
    )
    return [graph.operator("DEPTHWISE_CONV_2D", [source, weights, bias], [result], form, version=3)]


def wide_depthwise(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A depthwise convolution of more taps than XNNPACK has a kernel for, left to LiteRT's own, several times quicker.

    Its biases lose the scale that is written beside them, without which XNNPACK refuses it (delegate,
    CheckTensorFloat32OrFloat16OrQCInt32Type); LiteRT computes that scale from those of input and weights.
    """
    source, weights, bias = operator.source, operator.input(1), operator.input(2)
    if weights is None or bias is None or source.dtype != "int8" or math.prod(weights.shape[1:3]) <= MOST_TAPS:
        return None
    if not bias.is_constant or bias.dtype != "int32" or not bias.scales:
        return None
    plain = graph.like(bias, "plain")
    plain.record.quantization, plain.buffer = None, bias.buffer
    return [operator.replaced([source, weights, plain], operator.outputs)]


def unseen_addend(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A sum or difference whose one operand never moves the result by a quarter of a step, as a change of scale.

    An epsilon in a normalization, a residual branch whose layer scale is still next to nothing: XNNPACK refuses such
    ratios of scales, and LiteRT's own kernel for them gives the other operand, to the step.
    """
    result, fused = operator.result, operator.options.fusedActivationFunction
    if {tensor.dtype for tensor in (*operator.operands, result)} != {"int8"} or len(result.scales) != 1:
        return None
    if fused != schema.ActivationFunctionType.NONE:
        return None
    kept, small = operator.operands
    if operator.name == "ADD" and _reach(kept) < _reach(small):
        kept, small = small, kept
    refused = small.scales[0] / result.scales[0] < _LEAST_OF_SUM
    if not refused or _reach(small) > _UNSEEN_STEPS * result.scales[0] or kept.shape != result.shape:
        return None
    return [graph.operator("QUANTIZE", [kept], [result], options("QuantizeOptions"), version=2)]


def _reach(tensor: TensorNode) -> float:
    """The largest absolute value that a tensor has or can hold."""
    scale, zero, values = tensor.scales[0], tensor.zero_points[0], tensor.array()
    ends = np.array([_LOWEST, _LARGEST]) if values is None else values
    return float(scale * np.abs(ends.astype(np.int64) - zero).max(initial=0))


def _stays_inside(operator: OperatorNode) -> bool:
    """Whether every window of a pooling lies on the map."""
    source, fields = operator.source, operator.options
    if fields.padding == schema.Padding.VALID:
        return True
    sizes = zip(
        source.shape[1:3],
        (fields.filterHeight, fields.filterWidth),
        (fields.strideH, fields.strideW),
        strict=True,
    )
    return all((-(-size // stride) - 1) * stride + window <= size for size, window, stride in sizes)


def _sum(
    graph: GraphEditor, left: TensorNode, right: TensorNode, result: TensorNode, *, clipped: bool = True
) -> OperatorNode:
    kinds = schema.ActivationFunctionType
    form = options("AddOptions", fusedActivationFunction=kinds.RELU6 if clipped else kinds.NONE)
    return graph.operator("ADD", [left, right], [result], form, version=2)


def _product(graph: GraphEditor, left: TensorNode, right: TensorNode, result: TensorNode) -> OperatorNode:
    return graph.operator("MUL", [left, right], [result], options("MulOptions"), version=2)
