"""What a quantized file has to look like."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What the quantized file has to look like.

    Attributes:
        integer_io: integer inputs and outputs; else float32 ones.
        keep_float: names of output tensors whose operators stay float.
        keep_int16: names of output tensors whose operators compute with 16-bit activations.
        int16: 16-bit activations everywhere.
        dense_per_channel: one weight scale an output of FULLY_CONNECTED; runtimes older than 2024 know one in all only.
    """

    integer_io: bool = True
    keep_float: tuple[str, ...] = ()
    keep_int16: tuple[str, ...] = ()
    int16: bool = False
    dense_per_channel: bool = True
