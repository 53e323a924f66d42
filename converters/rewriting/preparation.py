"""Rewrites of every float .tflite that make it better to quantize; see `activations` for the form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, options
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.graphs.tflite.interpreter import new_interpreter, run

__all__ = [
    "depthwise",
    "fold_constants",
    "mean_for_whole_map_pool",
    "open_batch_of_reshape",
    "same_padding",
    "slices_for_split",
]

_SAME, _VALID = schema.Padding.SAME, schema.Padding.VALID


def mean_for_whole_map_pool(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """AVERAGE_POOL_2D over the whole map becomes MEAN over height and width, which has a scale of its own."""
    source, result, fields = operator.source, operator.result, operator.options
    whole = (fields.filterHeight, fields.filterWidth) == source.shape[1:3]
    plain = fields.fusedActivationFunction == schema.ActivationFunctionType.NONE
    if not (whole and plain and result.shape[1:3] == (1, 1)):
        return None
    axes = graph.new_constant(np.array([1, 2], np.int32), result, "axes")
    reducer = options("ReducerOptions", keepDims=True)
    return [graph.operator("MEAN", [source, axes], [result], reducer, version=2)]


def same_padding(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A convolution behind a PAD by as much as SAME would pad itself (tf.nn, "Notes on padding") does so.

    Keras's mobile networks pad that way before every convolution of stride 2; the padded copy of the tensor is saved.
    """
    before, fields, weights = graph.producer(operator.source), operator.options, operator.operands[1]
    if before is None or before.name != "PAD" or fields.padding != _VALID or before.constant(1) is None:
        return None
    source = before.source
    open_sizes = source.record.shapeSignature is not None and min(source.record.shapeSignature[1:]) < 0
    if open_sizes or len(source.shape) != 4 or len(weights.shape) != 4:
        return None
    sides = (
        _same_sides(source.shape[1], weights.shape[1], fields.strideH, fields.dilationHFactor),
        _same_sides(source.shape[2], weights.shape[2], fields.strideW, fields.dilationWFactor),
    )
    if np.asarray(before.constant(1)).tolist() != [[0, 0], *sides, [0, 0]]:
        return None
    replacement = operator.replaced([source, *operator.inputs[1:]], operator.outputs)
    replacement.options.padding = _SAME
    return [replacement]


def _same_sides(size: int, kernel: int, stride: int, dilation: int) -> list[int]:
    """What SAME pads before and after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return [total // 2, total - total // 2]


def depthwise(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A convolution with as many groups as channels is a depthwise one, weights [out, h, w, 1] as [1, h, w, out].

    Keras 3 writes its own depthwise layers so; XNNPACK has quick kernels for DEPTHWISE_CONV_2D alone, and other
    runtimes no groups at all.
    """
    source, weights, fields = operator.source, operator.constant(1), operator.options
    if weights is None or weights.ndim != 4 or weights.shape[3] != 1 or source.shape[-1] < 2:
        return None
    twin = operator.operands[1].copy(f"{operator.result.name}/depthwise")
    twin.set_array(np.ascontiguousarray(weights.transpose(3, 1, 2, 0)))
    kept = ("padding", "strideH", "strideW", "dilationHFactor", "dilationWFactor", "fusedActivationFunction")
    form = options(
        "DepthwiseConv2DOptions",
        depthMultiplier=weights.shape[0] // source.shape[-1],
        **{name: getattr(fields, name) for name in kept},
    )
    version = 1 if fields.dilationHFactor == fields.dilationWFactor == 1 else 2
    inputs = [source, twin, *operator.inputs[2:]]
    return [graph.operator("DEPTHWISE_CONV_2D", inputs, operator.outputs, form, version=version)]


def open_batch_of_reshape(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """RESHAPE to a constant [1, a, b] becomes [-1, a, b], so that the batch of the file can be resized."""
    sizes = operator.constant(1)
    if sizes is None or sizes.size == 0 or sizes[0] != 1 or min(sizes) < 1 or operator.source.shape[:1] != (1,):
        return None
    opened = np.array([-1, *sizes[1:]], np.int32)
    shape = graph.new_constant(opened, operator.result, "shape")
    replacement = operator.replaced([operator.source, shape], operator.outputs)
    replacement.set_options(options("ReshapeOptions", newShape=opened.tolist()))
    return [replacement]


def fold_constants(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """An operator that reads nothing but constants becomes constants: an unrolled GRU's first step, from zeros.

    Neither engine has a range for what no sample ever changes, so such an operator would stay in float.
    """
    del graph
    constant = bool(operator.operands) and not operator.computed_inputs
    if not constant or any(tensor.dtype != "float32" for tensor in operator.outputs):
        return None
    interpreter = new_interpreter(extract([operator], inputs=[], outputs=operator.outputs), xnnpack=False)
    for tensor, value in zip(operator.outputs, run(interpreter, []), strict=True):
        tensor.set_array(value)
    return []


def slices_for_split(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """SPLIT and SPLIT_V become one SLICE for each part that is used.

    litert-quantizer leaves SPLIT in float, and so does TFLiteConverter's quantizer where a part is not used (the forget
    gate in an LSTM's first step); both quantize SLICE.
    """
    places: Mapping[str, tuple[int, int]] = {"SPLIT": (1, 0), "SPLIT_V": (0, 2)}
    value_place, axis_place = places[operator.name]
    source, axes = operator.operands[value_place], operator.constant(axis_place)
    if axes is None:
        return None
    axis, start, slices = int(axes.ravel()[0]) % len(operator.result.shape), 0, []
    for part in operator.outputs:
        begin, size = np.zeros(len(part.shape), np.int32), np.full(len(part.shape), -1, np.int32)
        begin[axis], size[axis] = start, part.shape[axis]
        start += part.shape[axis]
        if part in graph.outputs or graph.consumers(part):
            constants = [graph.new_constant(value, part, name) for name, value in (("begin", begin), ("size", size))]
            slices.append(graph.operator("SLICE", [source, *constants], [part], options("SliceOptions"), version=2))
    return slices
