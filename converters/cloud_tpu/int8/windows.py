"""Where TFLite's windows go: padding in numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ai_edge_litert import schema_py_generated as schema

__all__ = ["pads_of"]


def pads_of(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], dilations: Sequence[int], padding: int
) -> tuple[tuple[int, int], ...]:
    """Elements of padding before and after each spatial axis.

    Args:
        sizes: of the input.
        window: of the kernel.
        strides: of the kernel's steps.
        dilations: from one element of the kernel to the next.
        padding: a `schema.Padding`.

    Source: tensorflow/lite/kernels/padding.h: the odd element comes after.
    """
    if padding == schema.Padding.VALID:
        return tuple((0, 0) for _ in sizes)
    pads = []
    for size, length, stride, dilation in zip(sizes, window, strides, dilations, strict=True):
        results = -(-size // stride)
        total = max((results - 1) * stride + (length - 1) * dilation + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)
