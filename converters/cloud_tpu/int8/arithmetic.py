"""Integer products as XLA has them: int8 by int8 into int32, rescaled in float32.

Real = scale * (integer - zero point), as in TFLite (ai.google.dev/edge/litert, "8-bit quantization specification").
Weights have zero point 0.  So a sum of products of reals is ``scale_x * scale_w * (sum(x * w) - zero_x * sum(w))``; the
second sum is known beforehand, and joins the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcompress.graphs.tensorflow.private_names import xla_convolution, xla_dot
from tfcompress.runtime import tf

__all__ = [
    "Scale",
    "Window",
    "centered",
    "convolution",
    "dequantize",
    "dot",
    "offsets_of",
    "quantize",
    "rounded",
    "shifted",
]

# Every integer up to here is exact in bfloat16, which has 8 significant bits; so int8 minus a zero point is.
_EXACT = tf.bfloat16
_LIMITS = {tf.int8: (-128, 127), tf.int16: (-32768, 32767), tf.uint8: (0, 255)}


@dataclass(frozen=True)
class Scale:
    """How integers of a tensor stand for reals: `scale` (one, or one a channel of `axis`), `zero_point`, `dtype`."""

    scale: np.ndarray
    zero_point: int
    dtype: Any
    axis: int = 0

    @property
    def one(self) -> float:
        """The only scale."""
        (value,) = self.scale.tolist()
        return float(value)


@dataclass(frozen=True)
class Window:
    """Where a convolution's kernel goes: strides, zeros before and after each spatial axis, the kernel's spread."""

    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]
    groups: int = 1


def convolution(x: Any, kernel: Any, window: Window, zero_point: int, *, wide: bool) -> Any:
    """Sums of products of int8 [n, ..., in] and int8 kernel [..., in / groups, out].

    Args:
        x: with `zero_point`.
        kernel: with zero point 0.
        window: what is outside of `x` counts as 0.
        zero_point: of `x`.
        wide: multiply in bfloat16, which holds these integers exactly, and sum in float32; then the zero point is taken
            off before, else not at all (see `offsets_of`).

    Returns:
        int32, or where `wide` float32 with whole numbers, exact below 2**24.
    """
    if wide:
        x, kernel = _exact(x, zero_point), tf.cast(kernel, _EXACT)
    result = tf.float32 if wide else tf.int32
    return xla_convolution(x, kernel, window.strides, window.pads, window.dilations, window.groups, result)


def dot(x: Any, weights: Any, zero_point: int, *, wide: bool) -> Any:
    """Sums of products of int8 [n, in] and int8 weights [out, in]; see `convolution` for the rest."""
    if wide:
        x, weights = _exact(x, zero_point), tf.cast(weights, _EXACT)
    return xla_dot(x, weights, tf.float32 if wide else tf.int32)


def _exact(x: Any, zero_point: int) -> Any:
    """int8 minus its zero point in bfloat16; what `centered` gave is that already."""
    return x if x.dtype == _EXACT else tf.cast(tf.cast(x, tf.float32) - float(zero_point), _EXACT)


def offsets_of(kernel: np.ndarray, window: Window, sizes: Sequence[int], zero_point: int) -> np.ndarray:
    """What `convolution` without `wide` has too much because of the zero point: int32 [out], or [*results, out].

    Args:
        kernel: int8 [height, width, in, out].
        window: of the convolution.
        sizes: spatial sizes of its input.
        zero_point: of its input.
    """
    sums = kernel.astype(np.int64).sum(axis=2)
    if not zero_point or not np.any(window.pads):
        return (zero_point * sums.sum(axis=(0, 1))).astype(np.int32)
    rows, columns = (
        _inside(size, length, stride, pads, dilation)
        for size, length, stride, pads, dilation in zip(
            sizes, sums.shape[:2], window.strides, window.pads, window.dilations, strict=True
        )
    )
    return (zero_point * np.einsum("hk,wl,klo->hwo", rows, columns, sums, optimize=True)).astype(np.int32)


def _inside(size: int, length: int, stride: int, pads: tuple[int, int], dilation: int) -> np.ndarray:
    """int64 [results, length]: 1 where an element of the kernel lies on the input, 0 where on padding."""
    results = (size + sum(pads) - (length - 1) * dilation - 1) // stride + 1
    places = np.arange(results)[:, None] * stride - pads[0] + np.arange(length) * dilation
    return ((places >= 0) & (places < size)).astype(np.int64)


def shifted(sums: Any, offsets: Any) -> Any:
    """``sums + offsets`` in float32."""
    return tf.cast(sums + tf.cast(offsets, sums.dtype), tf.float32)


def quantize(real: Any, result: Scale) -> Any:
    """The integers nearest to a float tensor."""
    return rounded(tf.cast(real, tf.float32) * np.float32(1 / result.one), result)


def dequantize(stored: Any, scale: Scale) -> Any:
    """The reals that integers stand for, in float32."""
    shape = [1] * stored.shape.rank
    if scale.scale.size > 1:
        shape[scale.axis] = -1
    factors = scale.scale.astype(np.float32).reshape(shape) if shape else np.float32(scale.one)
    return (tf.cast(stored, tf.float32) - float(scale.zero_point)) * factors


def rounded(steps: Any, result: Scale, limits: tuple[int, int] | None = None) -> Any:
    """The integers at a float number of steps of `result`'s scale from its zero point.

    Args:
        steps: float32; rounded half to even.
        result: of the integers.
        limits: least and largest of them; None is the dtype's.
    """
    low, high = _LIMITS[result.dtype] if limits is None else limits
    integers = tf.round(steps) + float(result.zero_point)
    return tf.cast(tf.clip_by_value(integers, float(low), float(high)), result.dtype)


def centered(steps: Any, result: Scale, limits: tuple[int, int]) -> Any:
    """What `rounded` gives, minus the zero point, in bfloat16, which holds it exactly."""
    low, high = (float(limit - result.zero_point) for limit in limits)
    return tf.cast(tf.clip_by_value(tf.round(steps), low, high), _EXACT)
