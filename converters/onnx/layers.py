"""Convolutions, matrix products, pools and resizing: the operators with weights or windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfcompress.converters.onnx.builder import Builder, Layout
from tfcompress.converters.onnx.elementwise import activated
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Operator

__all__ = ["OPERATORS"]

_SAME = 0  # schema.fbs, Padding


def _same_pads(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """TensorFlow's SAME padding, all the begins and then all the ends: the odd element goes to the end."""
    begins, ends = [], []
    for size, width, stride, step in zip(sizes, window, strides, dilation, strict=True):
        reach = (width - 1) * step + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        begins.append(total // 2)
        ends.append(total - total // 2)
    return [*begins, *ends]


def _pads(builder: Builder, operator: Operator, window: Sequence[int], dilation: Sequence[int]) -> list[int]:
    options = operator.options
    if options.Padding() != _SAME:
        return [0] * 2 * len(window)
    sizes = builder.tensor(operator.inputs[0]).shape[1:-1]
    return _same_pads(sizes, window, [options.StrideH(), options.StrideW()], dilation)


def _weights(builder: Builder, operator: Operator, position: int) -> np.ndarray:
    value = builder.value_of(operator.inputs[position])
    if value is None:
        raise ConversionError(f"{operator.name}: its weights are computed, and ONNX export needs constant ones")
    return value


def _bias(builder: Builder, operator: Operator, position: int) -> list[str]:
    """The bias in float32: TensorRT takes no quantized one (onnx/onnx-tensorrt issue 850)."""
    if len(operator.inputs) <= position or operator.inputs[position] < 0:
        return []
    return [builder.read(operator.inputs[position])]


def _name(builder: Builder, operator: Operator, position: int) -> str:
    return builder.tensor(operator.inputs[position]).name


def _convolution(builder: Builder, operator: Operator, weights: np.ndarray, groups: int) -> None:
    """`weights` are [out, in / groups, height, width]."""
    options = operator.options
    dilation = [options.DilationHFactor(), options.DilationWFactor()]
    window = list(weights.shape[2:])
    inputs = [
        builder.read(operator.inputs[0], Layout.FIRST),
        builder.weight(operator, weights, 0, _name(builder, operator, 1)),
        *_bias(builder, operator, 2),
    ]
    value = builder.node(
        "Conv",
        inputs,
        kernel_shape=window,
        strides=[options.StrideH(), options.StrideW()],
        dilations=dilation,
        pads=_pads(builder, operator, window, dilation),
        group=groups,
    )
    builder.write(operator.outputs[0], activated(builder, operator, value), Layout.FIRST)


def _conv_2d(builder: Builder, operator: Operator) -> None:
    weights = _weights(builder, operator, 1).transpose(0, 3, 1, 2)
    groups = builder.tensor(operator.inputs[0]).shape[-1] // weights.shape[1]
    _convolution(builder, operator, weights, groups)


def _depthwise_conv_2d(builder: Builder, operator: Operator) -> None:
    weights = _weights(builder, operator, 1).transpose(3, 0, 1, 2)
    _convolution(builder, operator, weights, builder.tensor(operator.inputs[0]).shape[-1])


def _transpose_conv(builder: Builder, operator: Operator) -> None:
    """Its inputs are the shape of the result, the weights [out, height, width, in], the picture and the bias."""
    options = operator.options
    weights = _weights(builder, operator, 1).transpose(3, 0, 1, 2)
    strides, window = [options.StrideH(), options.StrideW()], list(weights.shape[2:])
    sizes, results = (builder.tensor(i).shape[1:-1] for i in (operator.inputs[2], operator.outputs[0]))
    cut = [(size - 1) * s + w - result for size, s, w, result in zip(sizes, strides, window, results, strict=True)]
    begins = [max(total, 0) // 2 for total in cut]
    value = builder.node(
        "ConvTranspose",
        [
            builder.read(operator.inputs[2], Layout.FIRST),
            builder.weight(operator, weights, 1, _name(builder, operator, 1)),
            *_bias(builder, operator, 3),
        ],
        kernel_shape=window,
        strides=strides,
        pads=[*begins, *(max(total, 0) - begin for total, begin in zip(cut, begins, strict=True))],
        output_padding=[max(-total, 0) for total in cut],
    )
    builder.write(operator.outputs[0], activated(builder, operator, value), Layout.FIRST)


def _conv_3d(builder: Builder, operator: Operator) -> None:
    options = operator.options
    weights = _weights(builder, operator, 1).transpose(4, 3, 0, 1, 2)
    strides = [options.StrideD(), options.StrideH(), options.StrideW()]
    dilation = [options.DilationDFactor(), options.DilationHFactor(), options.DilationWFactor()]
    window = list(weights.shape[2:])
    sizes = builder.tensor(operator.inputs[0]).shape[1:-1]
    pads = _same_pads(sizes, window, strides, dilation) if options.Padding() == _SAME else [0] * 6
    inputs = [
        builder.read(operator.inputs[0], Layout.FIRST),
        builder.weight(operator, weights, 0, _name(builder, operator, 1)),
        *_bias(builder, operator, 2),
    ]
    value = builder.node("Conv", inputs, kernel_shape=window, strides=strides, dilations=dilation, pads=pads)
    builder.write(operator.outputs[0], activated(builder, operator, value), Layout.FIRST)


def _fully_connected(builder: Builder, operator: Operator) -> None:
    """A product with [in, out] weights and a sum with the bias: the form that ONNX Runtime and TensorRT quantize."""
    constant = builder.value_of(operator.inputs[1])
    if constant is None:
        weights = builder.node("Transpose", [builder.read(operator.inputs[1])], perm=[1, 0])
        width = builder.tensor(operator.inputs[1]).shape[1]
    else:
        weights = builder.weight(operator, constant.T, 1, _name(builder, operator, 1))
        width = constant.shape[1]
    value = _flat_rows(builder, operator.inputs[0], width, operator.options.KeepNumDims())
    value = builder.node("MatMul", [value, weights])
    for bias in _bias(builder, operator, 2):
        value = builder.node("Add", [value, bias])
    builder.write(operator.outputs[0], activated(builder, operator, value))


def _flat_rows(builder: Builder, index: int, width: int, keep_dimensions: bool) -> str:
    """An input as rows of `width` numbers."""
    shape = builder.tensor(index).shape
    if len(shape) >= 2 and shape[-1] == width and (len(shape) == 2 or keep_dimensions):
        return builder.read(index)
    return builder.node("Reshape", [builder.read(index), builder.constant([-1, width])])


def _batch_matmul(builder: Builder, operator: Operator) -> None:
    values = []
    for index, turned in zip(operator.inputs, (operator.options.AdjX(), operator.options.AdjY()), strict=True):
        rank = len(builder.tensor(index).shape)
        value = builder.read(index)
        order = [*range(rank - 2), rank - 1, rank - 2]
        values.append(builder.node("Transpose", [value], perm=order) if turned else value)
    builder.write(operator.outputs[0], builder.node("MatMul", values))


def _pool(kind: str) -> Callable[[Builder, Operator], None]:
    def convert(builder: Builder, operator: Operator) -> None:
        options = operator.options
        window = [options.FilterHeight(), options.FilterWidth()]
        attributes: dict[str, Any] = {"count_include_pad": 0} if kind == "AveragePool" else {}
        value = builder.node(
            kind,
            [builder.read(operator.inputs[0], Layout.FIRST)],
            kernel_shape=window,
            strides=[options.StrideH(), options.StrideW()],
            pads=_pads(builder, operator, window, [1, 1]),
            **attributes,
        )
        builder.write(operator.outputs[0], activated(builder, operator, value), Layout.FIRST)

    return convert


def _resize(mode: str) -> Callable[[Builder, Operator], None]:
    """TFLite's three ways of taking coordinates; nearest neighbours round half up unless they truncate."""

    def convert(builder: Builder, operator: Operator) -> None:
        options = operator.options
        where = "asymmetric"
        if options.AlignCorners():
            where = "align_corners"
        elif options.HalfPixelCenters():
            where = "half_pixel"
        shape = builder.tensor(operator.outputs[0]).shape
        sizes = builder.constant([shape[0], shape[3], shape[1], shape[2]])
        attributes: dict[str, Any] = {"nearest_mode": "floor" if where == "asymmetric" else "round_prefer_ceil"}
        value = builder.node(
            "Resize",
            [builder.read(operator.inputs[0], Layout.FIRST), "", "", sizes],
            mode=mode,
            coordinate_transformation_mode=where,
            **(attributes if mode == "nearest" else {}),
        )
        builder.write(operator.outputs[0], value, Layout.FIRST)

    return convert


def _blocks(kind: str, **attributes: Any) -> Callable[[Builder, Operator], None]:
    def convert(builder: Builder, operator: Operator) -> None:
        value = builder.read(operator.inputs[0], Layout.FIRST)
        result = builder.node(kind, [value], blocksize=operator.options.BlockSize(), **attributes)
        builder.write(operator.outputs[0], result, Layout.FIRST)

    return convert


OPERATORS: dict[str, Callable[[Builder, Operator], None]] = {
    "AVERAGE_POOL_2D": _pool("AveragePool"),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv_2d,
    "CONV_3D": _conv_3d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "DEPTH_TO_SPACE": _blocks("DepthToSpace", mode="DCR"),
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _pool("MaxPool"),
    "RESIZE_BILINEAR": _resize("linear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
    "SPACE_TO_DEPTH": _blocks("SpaceToDepth"),
    "TRANSPOSE_CONV": _transpose_conv,
}
