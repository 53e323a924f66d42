"""Sizes of matrices in the chip's parameter memory."""

from __future__ import annotations

__all__ = ["AT_ONCE", "TILES", "WORD", "kernel_bytes", "padded", "padded_outputs"]

TILES = 16
WORD = 4  # bytes; the parameter memory of a tile is addressed in such words
AT_ONCE = 64  # outputs that the 16 tiles compute at once, 4 each


def padded(value: int, multiple: int) -> int:
    """The least multiple that is not smaller than the value."""
    return -(-value // multiple) * multiple


def padded_outputs(outputs: int) -> int:
    """Output channels as they are stored: a multiple of 16 up to 64, and of 64 above."""
    return padded(outputs, TILES if outputs <= AT_ONCE else AT_ONCE)


def kernel_bytes(window: int, inputs: int, outputs: int, beside: int) -> int:
    """Bytes of a convolution or Dense kernel.

    Args:
        window: positions that an output reads.
        inputs: input channels.
        outputs: output channels.
        beside: bytes of bias and scale for one output.
    """
    return padded(padded_outputs(outputs) * (window * padded(inputs, 4) + beside), TILES * WORD)
