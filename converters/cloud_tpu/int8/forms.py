"""TFLite operators in TensorFlow, on int8 tensors as the phone's file has them: one table.

Three kinds: products on integers; operators that only move or choose integers; and all others, which compute on reals
and round to the integers of their result.  XLA fuses the last kind into its neighbours, so that only int8 is stored.
Semantics: ai.google.dev/edge/litert, "8-bit quantization specification"; tensorflow/lite/kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.cloud_tpu.int8 import arithmetic
from tfcompress.converters.cloud_tpu.int8.products import (
    clamped,
    convolution_2d,
    depthwise_2d,
    fully_connected,
    limits_of,
    transposed,
)
from tfcompress.converters.cloud_tpu.int8.program import Builder
from tfcompress.converters.cloud_tpu.int8.windows import pads_of
from tfcompress.graphs.tflite import Operator
from tfcompress.runtime import tf

__all__ = ["FORMS"]

# Of a `Builder` and an operator; type checkers take the `Builder` of a file that they check for another class.
Form = Callable[..., Sequence[Any]]
_ACTIVATION = schema.ActivationFunctionType
ACTIVATIONS: dict[int, Callable[[Any], Any]] = {
    _ACTIVATION.NONE: lambda x: x,
    _ACTIVATION.RELU: tf.nn.relu,
    _ACTIVATION.RELU6: tf.nn.relu6,
    _ACTIVATION.RELU_N1_TO_1: lambda x: tf.clip_by_value(x, -1.0, 1.0),
    _ACTIVATION.TANH: tf.tanh,
}


def _activated(operator: Operator, value: Any) -> Any:
    read = getattr(operator.options, "FusedActivationFunction", None)
    return ACTIVATIONS[read() if read else _ACTIVATION.NONE](value)


def _on_reals(function: Callable[..., Any]) -> Form:
    """A function of all operands' reals, then the operator's activation."""

    def form(builder: Builder, operator: Operator) -> Sequence[Any]:
        operands = [builder.real(index) for index in operator.inputs if index >= 0]
        return [builder.store(operator.outputs[0], _activated(operator, function(*operands)))]

    return form


def _moved(function: Callable[[Builder, Operator, Any], Any], *, whole: bool = False) -> Form:
    """A function that moves or chooses the first operand's integers; rescaled where the result has another scale.

    `whole`: it moves reals in the same way.
    """

    def form(builder: Builder, operator: Operator) -> Sequence[Any]:
        source, result = operator.inputs[0], operator.outputs[0]
        moved = function(builder, operator, builder.stored(source))
        unrounded = builder.unrounded_real(source) if whole else None
        if unrounded is not None:
            builder.keep_real(result, function(builder, operator, unrounded))
        return [_with_scale_of(builder, source, result, moved)]

    return form


def _with_scale_of(builder: Builder, source: int, result: int, value: Any) -> Any:
    have, want = builder.scale(source), builder.scale(result)
    if have is None or want is None or (have.one, have.zero_point) == (want.one, want.zero_point):
        return value
    return arithmetic.quantize(arithmetic.dequantize(value, have), want)


def _constant(builder: Builder, operator: Operator, position: int) -> Any:
    value = builder.constant(operator.inputs[position])
    if value is None:
        value = tf.get_static_value(builder.stored(operator.inputs[position]))
    if value is None:
        raise ValueError(f"operand {position} depends on the data")
    return value


def _whole(builder: Builder, operator: Operator) -> bool:
    return builder.batch_size > 1 and builder.batched(builder.stored(operator.inputs[0]), operator.inputs[0])


def _reshape(builder: Builder, operator: Operator, x: Any) -> Any:
    shape = list(builder.tensor(operator.outputs[0]).shape)
    if shape and _whole(builder, operator):
        shape[0] *= builder.batch_size
    return tf.reshape(x, shape)


def _transpose(builder: Builder, operator: Operator, x: Any) -> Any:
    order = _constant(builder, operator, 1).ravel().tolist()
    if order[0] != 0 and _whole(builder, operator):
        raise ValueError("the samples of a batch would not stay the first dimension")
    return tf.transpose(x, order)


def _pad(builder: Builder, operator: Operator, x: Any) -> Any:
    scale = builder.scale(operator.inputs[0])
    value = scale.zero_point if scale else 0
    if len(operator.inputs) > 2:
        value = _constant(builder, operator, 2).ravel()[0]
    return tf.pad(x, _constant(builder, operator, 1), constant_values=tf.constant(value, x.dtype))


def _mirror_pad(builder: Builder, operator: Operator, x: Any) -> Any:
    mode = "REFLECT" if operator.options.Mode() == schema.MirrorPadMode.REFLECT else "SYMMETRIC"
    return tf.pad(x, _constant(builder, operator, 1), mode)


def _refuse_batch(builder: Builder, operator: Operator, axis: int, rank: int) -> None:
    if axis % rank == 0 and _whole(builder, operator):
        raise ValueError("it works along the first dimension, in which the samples of a batch lie")


def _slice(builder: Builder, operator: Operator, x: Any) -> Any:
    begin, size = (_constant(builder, operator, position).ravel().tolist() for position in (1, 2))
    if _whole(builder, operator):
        if begin[0] or size[0] not in (-1, builder.tensor(operator.inputs[0]).shape[0]):
            raise ValueError("it takes a part of the first dimension, in which the samples of a batch lie")
        size[0] = -1
    return tf.slice(x, begin, size)


def _strided_slice(builder: Builder, operator: Operator, x: Any) -> Any:
    begin, end, strides = (_constant(builder, operator, position).ravel().tolist() for position in (1, 2, 3))
    built = operator.options
    masks = [built.BeginMask(), built.EndMask(), built.EllipsisMask(), built.NewAxisMask(), built.ShrinkAxisMask()]
    if _whole(builder, operator):
        length = builder.tensor(operator.inputs[0]).shape[0]
        whole = (masks[0] & 1 or begin[0] == 0) and (masks[1] & 1 or end[0] >= length) and strides[0] == 1
        if not whole or any(mask & 1 for mask in masks[2:]):
            raise ValueError("it takes a part of the first dimension, in which the samples of a batch lie")
        masks[0], masks[1] = masks[0] | 1, masks[1] | 1
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    return tf.strided_slice(x, begin, end, strides, **dict(zip(names, masks, strict=True)))


def _expand_dims(builder: Builder, operator: Operator, x: Any) -> Any:
    return _reshape(builder, operator, x)


def _gather(builder: Builder, operator: Operator, x: Any) -> Any:
    axis = operator.options.Axis()
    _refuse_batch(builder, operator, axis, x.shape.rank)
    return tf.gather(x, builder.stored(operator.inputs[1]), axis=axis, batch_dims=operator.options.BatchDims())


def _max_pool(builder: Builder, operator: Operator, x: Any) -> Any:
    built = operator.options
    window = [built.FilterHeight(), built.FilterWidth()]
    pads = pads_of(x.shape[1:3], window, [built.StrideH(), built.StrideW()], [1, 1], built.Padding())
    if np.any(pads):
        x = tf.pad(x, [(0, 0), *pads, (0, 0)], constant_values=x.dtype.min)
    return tf.nn.max_pool2d(x, window, [built.StrideH(), built.StrideW()], "VALID")


def _tile(builder: Builder, operator: Operator, x: Any) -> Any:
    return tf.tile(x, _constant(builder, operator, 1))


def _nearest(builder: Builder, operator: Operator, x: Any) -> Any:
    size, built = _constant(builder, operator, 1).tolist(), operator.options
    if built.AlignCorners():
        raise ValueError("aligned corners")
    half = int(built.HalfPixelCenters())
    for axis, (new, old) in enumerate(zip(size, x.shape[1:3], strict=True), start=1):
        x = tf.gather(x, (2 * np.arange(new) + half) * old // (2 * new), axis=axis)
    return x


def _many(join: Callable[[Builder, Operator, list[Any]], Any]) -> Form:
    """An operator that puts several tensors together, each in the result's scale."""

    def form(builder: Builder, operator: Operator) -> Sequence[Any]:
        result = operator.outputs[0]
        parts = [_with_scale_of(builder, index, result, builder.stored(index)) for index in operator.inputs]
        return [join(builder, operator, parts)]

    return form


def _concatenation(builder: Builder, operator: Operator, parts: list[Any]) -> Any:
    axis, rank = operator.options.Axis(), parts[0].shape.rank
    _refuse_batch(builder, operator, axis, rank)
    longest = max(part.shape[0] for part in parts)
    full = [part if part.shape[0] == longest else tf.repeat(part, longest // part.shape[0], 0) for part in parts]
    return tf.concat(full, axis)


def _pack(builder: Builder, operator: Operator, parts: list[Any]) -> Any:
    axis = operator.options.Axis()
    if parts[0].shape.rank:
        _refuse_batch(builder, operator, axis, parts[0].shape.rank + 1)
    return tf.stack(parts, axis)


def _split(builder: Builder, operator: Operator) -> Sequence[Any]:
    axis = int(_constant(builder, operator, 0).ravel()[0])
    x = builder.stored(operator.inputs[1])
    if axis % x.shape.rank == 0 and builder.batched(x, operator.inputs[1]):
        raise ValueError("it works along the first dimension, in which the samples of a batch lie")
    return tf.split(x, len(operator.outputs), axis)


def _split_sizes(builder: Builder, operator: Operator) -> Sequence[Any]:
    axis = int(_constant(builder, operator, 2).ravel()[0])
    x = builder.stored(operator.inputs[0])
    _refuse_batch(builder, operator, axis, x.shape.rank)
    return tf.split(x, _constant(builder, operator, 1).tolist(), axis)


def _unpack(builder: Builder, operator: Operator) -> Sequence[Any]:
    axis, x = operator.options.Axis(), builder.stored(operator.inputs[0])
    _refuse_batch(builder, operator, axis, x.shape.rank)
    return tf.unstack(x, axis=axis)


def _add(sign: float) -> Form:
    """A sum or difference, of steps of the result's scale where that has one."""

    def form(builder: Builder, operator: Operator) -> Sequence[Any]:
        (first, second), (result,) = operator.inputs, operator.outputs
        scale, activation = builder.scale(result), operator.options.FusedActivationFunction()
        if scale is None or scale.dtype != tf.int8 or activation == _ACTIVATION.TANH:
            value = builder.real(first) + sign * builder.real(second)
            return [builder.store(result, _activated(operator, value))]
        exact, stride = builder.unrounded(operator), builder.strides.get(result, 1)
        terms = [builder.steps(index, scale, exact=index == exact, stride=stride) for index in (first, second)]
        steps = terms[0] + sign * terms[1]
        builder.keep_real(result, clamped(steps * np.float32(scale.one), activation))
        return [arithmetic.rounded(steps, scale, limits_of(activation, scale))]

    return form


def _reduced(function: Callable[..., Any]) -> Form:
    def form(builder: Builder, operator: Operator) -> Sequence[Any]:
        axes = [int(axis) for axis in _constant(builder, operator, 1).ravel()]
        x = builder.real(operator.inputs[0])
        for axis in axes:
            _refuse_batch(builder, operator, axis, x.shape.rank)
        return [builder.store(operator.outputs[0], function(x, axes, keepdims=operator.options.KeepDims()))]

    return form


def _average_pool(builder: Builder, operator: Operator) -> Sequence[Any]:
    built = operator.options
    padding = "SAME" if built.Padding() == schema.Padding.SAME else "VALID"
    window, strides = [built.FilterHeight(), built.FilterWidth()], [built.StrideH(), built.StrideW()]
    pooled = tf.nn.avg_pool2d(builder.real(operator.inputs[0]), window, strides, padding)
    return [builder.store(operator.outputs[0], _activated(operator, pooled))]


def _softmax(builder: Builder, operator: Operator) -> Sequence[Any]:
    x = builder.real(operator.inputs[0]) * operator.options.Beta()
    return [builder.store(operator.outputs[0], tf.nn.softmax(x))]


def _leaky(builder: Builder, operator: Operator) -> Sequence[Any]:
    x = builder.real(operator.inputs[0])
    return [builder.store(operator.outputs[0], tf.nn.leaky_relu(x, operator.options.Alpha()))]


def _gelu(builder: Builder, operator: Operator) -> Sequence[Any]:
    x = builder.real(operator.inputs[0])
    return [builder.store(operator.outputs[0], tf.nn.gelu(x, approximate=bool(operator.options.Approximate())))]


def _bilinear(builder: Builder, operator: Operator) -> Sequence[Any]:
    built = operator.options
    resized = tf.raw_ops.ResizeBilinear(
        images=builder.real(operator.inputs[0]),
        size=_constant(builder, operator, 1),
        align_corners=built.AlignCorners(),
        half_pixel_centers=built.HalfPixelCenters(),
    )
    return [builder.store(operator.outputs[0], resized)]


def _matmul(builder: Builder, operator: Operator) -> Sequence[Any]:
    first, second = (builder.real(index) for index in operator.inputs)
    built = operator.options
    product = tf.matmul(first, second, adjoint_a=built.AdjX(), adjoint_b=built.AdjY())
    return [builder.store(operator.outputs[0], product)]


def _quantize(builder: Builder, operator: Operator) -> Sequence[Any]:
    return [builder.store(operator.outputs[0], builder.real(operator.inputs[0]))]


def _cast(builder: Builder, operator: Operator) -> Sequence[Any]:
    dtype = tf.dtypes.as_dtype(builder.tensor(operator.outputs[0]).dtype)
    return [tf.cast(builder.real_or_stored(operator.inputs[0]), dtype)]


def _shape(builder: Builder, operator: Operator) -> Sequence[Any]:
    return [tf.constant(builder.stored(operator.inputs[0]).shape.as_list(), builder.tensor(operator.outputs[0]).dtype)]


def _prelu(x: Any, slope: Any) -> Any:
    return tf.maximum(x, 0.0) + slope * tf.minimum(x, 0.0)


def _l2(x: Any) -> Any:
    return tf.math.l2_normalize(x, axis=-1)


FORMS: dict[str, Form] = {
    "CONV_2D": convolution_2d,
    "DEPTHWISE_CONV_2D": depthwise_2d,
    "FULLY_CONNECTED": fully_connected,
    "TRANSPOSE_CONV": transposed,
    "BATCH_MATMUL": _matmul,
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _quantize,
    "CAST": _cast,
    "SHAPE": _shape,
    "RESHAPE": _moved(_reshape, whole=True),
    "SQUEEZE": _moved(_reshape, whole=True),
    "EXPAND_DIMS": _moved(_expand_dims, whole=True),
    "TRANSPOSE": _moved(_transpose, whole=True),
    "PAD": _moved(_pad),
    "PADV2": _moved(_pad),
    "MIRROR_PAD": _moved(_mirror_pad),
    "SLICE": _moved(_slice),
    "STRIDED_SLICE": _moved(_strided_slice),
    "GATHER": _moved(_gather),
    "TILE": _moved(_tile),
    "MAX_POOL_2D": _moved(_max_pool),
    "RESIZE_NEAREST_NEIGHBOR": _moved(_nearest),
    "CONCATENATION": _many(_concatenation),
    "PACK": _many(_pack),
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "UNPACK": _unpack,
    "ADD": _add(1.0),
    "SUB": _add(-1.0),
    "MUL": _on_reals(lambda x, y: x * y),
    "DIV": _on_reals(lambda x, y: x / y),
    "SQUARED_DIFFERENCE": _on_reals(tf.math.squared_difference),
    "MAXIMUM": _on_reals(tf.maximum),
    "MINIMUM": _on_reals(tf.minimum),
    "POW": _on_reals(tf.pow),
    "MEAN": _reduced(tf.reduce_mean),
    "SUM": _reduced(tf.reduce_sum),
    "REDUCE_MAX": _reduced(tf.reduce_max),
    "REDUCE_MIN": _reduced(tf.reduce_min),
    "AVERAGE_POOL_2D": _average_pool,
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _on_reals(tf.nn.log_softmax),
    "LOGISTIC": _on_reals(tf.sigmoid),
    "TANH": _on_reals(tf.tanh),
    "HARD_SWISH": _on_reals(lambda x: x * tf.nn.relu6(x + 3) / 6),
    "RELU": _on_reals(tf.nn.relu),
    "RELU6": _on_reals(tf.nn.relu6),
    "RELU_N1_TO_1": _on_reals(ACTIVATIONS[_ACTIVATION.RELU_N1_TO_1]),
    "RELU_0_TO_1": _on_reals(lambda x: tf.clip_by_value(x, 0.0, 1.0)),
    "LEAKY_RELU": _leaky,
    "PRELU": _on_reals(_prelu),
    "ELU": _on_reals(tf.nn.elu),
    "GELU": _gelu,
    "EXP": _on_reals(tf.exp),
    "LOG": _on_reals(tf.math.log),
    "NEG": _on_reals(tf.negative),
    "ABS": _on_reals(tf.abs),
    "SQRT": _on_reals(tf.sqrt),
    "RSQRT": _on_reals(tf.math.rsqrt),
    "SQUARE": _on_reals(tf.square),
    "SIN": _on_reals(tf.sin),
    "COS": _on_reals(tf.cos),
    "L2_NORMALIZATION": _on_reals(_l2),
    "RESIZE_BILINEAR": _bilinear,
}
