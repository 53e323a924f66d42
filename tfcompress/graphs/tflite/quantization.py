"""Affine quantization, real = scale * (integer - zero_point): the one arithmetic for it outside of training.

LiteRT, "8-bit quantization specification".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["dequantize", "fake_quantize", "quantize", "real_limits", "to_real", "to_stored"]


def quantize(values: np.ndarray, scale: float, zero_point: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Real values as integers: round(x / scale) + zero_point in float32, halves to even, clipped to the dtype."""
    limits = np.iinfo(dtype)
    scaled = np.divide(values, np.float32(scale), dtype=np.float32)
    np.rint(scaled, out=scaled)
    scaled += zero_point
    np.clip(scaled, limits.min, limits.max, out=scaled)
    return scaled.astype(dtype)


def dequantize(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Integers as real float32 values."""
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def to_stored(values: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Real values as an input takes them.

    Args:
        values: real numbers, or integers for an input that is not quantized.
        detail: what LiteRT tells of the input (`get_input_details`).
    """
    dtype, (scale, zero_point) = np.dtype(detail["dtype"]), detail["quantization"]
    if dtype.kind in "iu" and scale:
        return quantize(values, scale, zero_point, dtype)
    return values.astype(dtype, copy=False)


def to_real(values: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """An output's values as real numbers, float64.

    Args:
        values: as stored.
        detail: what LiteRT tells of the output (`get_output_details`).
    """
    scale, zero_point = detail["quantization"]
    real = values.astype(np.float64)
    return (real - zero_point) * scale if scale else real


def fake_quantize(
    values: np.ndarray, scale: float | np.ndarray, *, zero_point: int = 0, limits: tuple[int, int] | None = None
) -> np.ndarray:
    """Real values as their integers stand for them, in the precision of `values`.

    Args:
        values: real numbers.
        scale: of one step, or an array of them that broadcasts.
        zero_point: the integer that stands for 0.
        limits: lowest and highest integer; None does not clip.
    """
    integers = np.round(values / scale)
    if zero_point:
        integers = integers + zero_point
    if limits is not None:
        integers = np.clip(integers, *limits)
    return (integers - zero_point if zero_point else integers) * scale


def real_limits(dtype: str, scale: float, zero_point: int) -> tuple[float, float]:
    """Lowest and highest real value that an integer of this dtype can stand for."""
    limits = np.iinfo(dtype)
    return (limits.min - zero_point) * scale, (limits.max - zero_point) * scale
