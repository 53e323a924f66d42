"""TFLite's products in TensorFlow: int8 by int8 where the file has both, else bfloat16 with sums in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.cloud_tpu.int8 import arithmetic
from tfcompress.converters.cloud_tpu.int8.arithmetic import Scale, Window
from tfcompress.converters.cloud_tpu.int8.lanes import block_diagonal
from tfcompress.converters.cloud_tpu.int8.program import Builder
from tfcompress.converters.cloud_tpu.int8.windows import pads_of
from tfcompress.graphs.tensorflow.private_names import xla_convolution, xla_dot
from tfcompress.graphs.tflite import Operator
from tfcompress.runtime import tf

__all__ = ["OFFSETS", "clamped", "convolution_2d", "depthwise_2d", "fully_connected", "limits_of", "transposed"]

_ACTIVATION = schema.ActivationFunctionType
# {activation: (least, greatest) real}
_CLAMPS = {
    _ACTIVATION.NONE: (None, None),
    _ACTIVATION.RELU: (0.0, None),
    _ACTIVATION.RELU6: (0.0, 6.0),
    _ACTIVATION.RELU_N1_TO_1: (-1.0, 1.0),
}
OFFSETS = "offsets"  # the name of the constants that are added to sums


def convolution_2d(builder: Builder, operator: Operator) -> Sequence[Any]:
    """CONV_2D: kernel [out, height, width, in]."""
    kernel = _kernel(builder, operator).transpose(1, 2, 3, 0)
    built = operator.options
    strides, dilations = (built.StrideH(), built.StrideW()), (built.DilationHFactor(), built.DilationWFactor())
    source, pads = _padding_before(builder, operator.inputs[0])
    x = builder.stored(source)
    if pads is None or built.Padding() != schema.Padding.VALID:
        source, x = operator.inputs[0], builder.stored(operator.inputs[0])
        pads = pads_of(x.shape[1:3], kernel.shape[:2], strides, dilations, built.Padding())
    step = builder.strides.get(operator.outputs[0], 1)
    strides = tuple(stride * step // builder.strides.get(source, 1) for stride in strides)
    window = Window(strides, pads, dilations, groups=x.shape[-1] // builder.factor // kernel.shape[2])
    return [_convolved(builder, operator, source, kernel, window)]


def depthwise_2d(builder: Builder, operator: Operator) -> Sequence[Any]:
    """DEPTHWISE_CONV_2D: kernel [1, height, width, out]."""
    kernel = _kernel(builder, operator).transpose(1, 2, 0, 3)
    built = operator.options
    strides, dilations = (built.StrideH(), built.StrideW()), (built.DilationHFactor(), built.DilationWFactor())
    source = operator.inputs[0]
    x = builder.stored(source)
    pads = pads_of(x.shape[1:3], kernel.shape[:2], strides, dilations, built.Padding())
    step = builder.strides.get(operator.outputs[0], 1)
    window = Window(tuple(stride * step for stride in strides), pads, dilations, groups=x.shape[-1] // builder.factor)
    return [_convolved(builder, operator, source, kernel, window)]


def fully_connected(builder: Builder, operator: Operator) -> Sequence[Any]:
    """FULLY_CONNECTED: weights [out, in]."""
    source, result = operator.inputs[0], operator.outputs[0]
    weights = builder.constant(operator.inputs[1])
    x = builder.stored(source)
    size = builder.tensor(operator.inputs[1]).shape[-1]
    shape = list(builder.tensor(result).shape)
    shape[0] = shape[0] * builder.batch_size if builder.batched(x, source) else shape[0]
    scales = _integer_scales(builder, operator)
    if scales is None or weights is None:
        reals = tf.reshape(builder.real(source), [-1, size])
        sums = xla_dot(_narrow(reals), _narrow(builder.real(operator.inputs[1])), tf.float32)
        return [_finished_in_float(builder, operator, tf.reshape(sums, shape))]
    wide = operator.index in builder.wide
    rows, zero_point = tf.reshape(x, [-1, size]), scales[0].zero_point
    sums = arithmetic.dot(rows, tf.constant(weights, name="kernel"), zero_point, wide=wide)
    taken = zero_point * weights.astype(np.int64).sum(axis=1)
    return [_finished(builder, operator, tf.reshape(sums, shape), np.zeros_like(taken) if wide else taken, scales)]


def transposed(builder: Builder, operator: Operator) -> Sequence[Any]:
    """TRANSPOSE_CONV: kernel [out, height, width, in]; in bfloat16."""
    built = operator.options
    x = builder.real(operator.inputs[2])
    shape = [x.shape[0], *builder.tensor(operator.outputs[0]).shape[1:]]
    kernel = tf.transpose(builder.real(operator.inputs[1]), [1, 2, 0, 3])
    padding = "SAME" if built.Padding() == schema.Padding.SAME else "VALID"
    strides = [built.StrideH(), built.StrideW()]
    sums = tf.cast(tf.nn.conv2d_transpose(_narrow(x), _narrow(kernel), shape, strides, padding), tf.float32)
    return [_finished_in_float(builder, operator, sums, bias=3)]


def _convolved(builder: Builder, operator: Operator, source: int, kernel: np.ndarray, window: Window) -> Any:
    scales = _integer_scales(builder, operator)
    if scales is None:
        real_kernel = kernel.astype(np.float32)
        given = builder.scale(operator.inputs[1])
        if given is not None:
            real_kernel = real_kernel * given.scale.astype(np.float32)
        narrow = _narrow(tf.constant(real_kernel))
        x = _narrow(builder.real(source))
        sums = xla_convolution(x, narrow, window.strides, window.pads, window.dilations, window.groups, tf.float32)
        return _finished_in_float(builder, operator, sums)
    wide = operator.index in builder.wide
    x, zero_point = builder.stored(source), scales[0].zero_point
    if _is_dense(x, kernel, window):
        sums = _dense(builder, x, kernel, zero_point, wide=wide)
    else:
        weights, window = _for_samples(builder, tf.constant(kernel, name="kernel"), window)
        sums = arithmetic.convolution(x, weights, window, zero_point, wide=wide)
    taken = np.zeros(kernel.shape[-1]) if wide else arithmetic.offsets_of(kernel, window, x.shape[1:3], zero_point)
    return _finished(builder, operator, sums, taken, scales)


def _is_dense(x: Any, kernel: np.ndarray, window: Window) -> bool:
    """Whether a convolution is of images of 1x1 without padding, as in squeeze-and-excite blocks."""
    single = tuple(kernel.shape[:2]) == (1, 1) == tuple(x.shape[1:3])
    return single and window.groups == 1 and not np.any(window.pads)


def _dense(builder: Builder, x: Any, kernel: np.ndarray, zero_point: int, *, wide: bool) -> Any:
    """The sums of such a convolution.

    For a single sample XLA makes a product of a vector of it, and its kernel for processors reads int8 beyond the end
    where the weights are [in, out]; [out, in] it takes.
    """
    weights = block_diagonal(tf.constant(np.ascontiguousarray(kernel[0, 0].T), name="kernel"), builder.factor)
    sums = arithmetic.dot(tf.reshape(x, [-1, x.shape[-1]]), weights, zero_point, wide=wide)
    return tf.reshape(sums, [x.shape[0], 1, 1, sums.shape[-1]])


def _for_samples(builder: Builder, kernel: Any, window: Window) -> tuple[Any, Window]:
    """A kernel and its window for samples side by side, each with sums of its own."""
    factor = builder.factor
    if factor == 1:
        return kernel, window
    if window.groups == 1:
        return block_diagonal(kernel, factor), window
    return tf.tile(kernel, [1, 1, 1, factor]), replace(window, groups=window.groups * factor)


def _kernel(builder: Builder, operator: Operator) -> np.ndarray:
    kernel = builder.constant(operator.inputs[1])
    if kernel is None:
        raise ValueError("its kernel is computed, or has fewer than 8 bits")
    return kernel


def _integer_scales(builder: Builder, operator: Operator) -> tuple[Scale, Scale, Scale] | None:
    """Scales of input, weights and result where all are int8 with zero point 0 in the weights; else None."""
    given = [builder.scale(index) for index in (*operator.inputs[:2], operator.outputs[0])]
    scales = [scale for scale in given if scale is not None and scale.dtype == tf.int8]
    if len(scales) != len(given):
        return None
    source, weights, result = scales
    return (
        None
        if weights.zero_point or operator.options.FusedActivationFunction() not in _CLAMPS
        else (source, weights, result)
    )


def _finished(
    builder: Builder, operator: Operator, sums: Any, taken: np.ndarray, scales: tuple[Scale, Scale, Scale]
) -> Any:
    """Sums with the bias, in the integers of the result, within the limits of the operator's activation."""
    source, weights, result = scales
    bias = builder.constant(operator.inputs[2]) if len(operator.inputs) > 2 else None
    offsets = (np.int64(0) if bias is None else bias.astype(np.int64)) - taken.astype(np.int64)
    least, greatest = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    added = tf.constant(builder.for_samples(np.clip(offsets, least, greatest).astype(np.int32)), name=OFFSETS)
    unit = source.one * weights.scale.astype(np.float64)
    total = arithmetic.shifted(sums, added)
    activation = operator.options.FusedActivationFunction()
    if activation == _ACTIVATION.NONE:
        builder.keep_total(operator.outputs[0], total, unit)
    unit = builder.for_samples(unit)
    builder.keep_real(operator.outputs[0], clamped(total * unit.astype(np.float32), activation))
    steps = total * (unit / result.one).astype(np.float32)
    limits = limits_of(activation, result)
    if operator.index in builder.wide and _read_in_bfloat16(builder, operator.outputs[0]):
        return arithmetic.centered(steps, result, limits)
    return arithmetic.rounded(steps, result, limits)


def _read_in_bfloat16(builder: Builder, index: int) -> bool:
    """Whether only products in bfloat16 read a tensor; then its integers are kept in that dtype."""
    readers = builder.graph.consumers(index)
    return (
        bool(readers)
        and index not in builder.graph.outputs
        and all(
            reader.index in builder.wide
            and index not in reader.inputs[1:]
            and _integer_scales(builder, reader) is not None
            for reader in readers
        )
    )


def limits_of(activation: int, result: Scale) -> tuple[int, int]:
    """The least and greatest int8 that an activation gives.

    Raises:
        ValueError: the activation is no clamp.
    """
    if activation not in _CLAMPS:
        raise ValueError(f"activation {activation} is no clamp")
    low, high = (
        limit if real is None else result.zero_point + round(real / result.one)
        for real, limit in zip(_CLAMPS[activation], (-128, 127), strict=True)
    )
    return max(low, -128), min(high, 127)


def clamped(reals: Any, activation: int) -> Any:
    """Reals within an activation's limits."""
    low, high = _CLAMPS[activation]
    reals = reals if low is None else tf.maximum(reals, low)
    return reals if high is None else tf.minimum(reals, high)


def _finished_in_float(builder: Builder, operator: Operator, sums: Any, bias: int = 2) -> Any:
    if len(operator.inputs) > bias and operator.inputs[bias] >= 0:
        sums = sums + builder.real(operator.inputs[bias])
    read = getattr(operator.options, "FusedActivationFunction", None)
    return builder.store(operator.outputs[0], clamped(sums, read() if read else _ACTIVATION.NONE))


def _narrow(value: Any) -> Any:
    return tf.cast(value, tf.bfloat16)


def _padding_before(builder: Builder, index: int) -> tuple[int, tuple[tuple[int, int], ...] | None]:
    """The tensor before a PAD of the two spatial axes with zeros, and the padding; None where there is no such PAD."""
    before = builder.graph.producer(index)
    widths = None if before is None or before.name != "PAD" else builder.constant(before.inputs[1])
    if before is None or widths is None or widths.shape != (4, 2) or np.any(widths[[0, 3]]):
        return index, None
    return before.inputs[0], tuple((int(a), int(b)) for a, b in widths[1:3])
