"""The matrices with which the compiler flattens an image.

In the chip's memory each position has a multiple of 4 channels; a flat vector has no gaps.  Where the number of
channels is no multiple of 4, the gaps are taken out by multiplying with a matrix of zeros and ones:

* where the columns can be cut into pieces that have a multiple of 16 elements, one piece's matrix serves for all;
* else every element has a row of its own.  Compiler 16 writes 512 outputs at a time and leaves out the inputs that
  none of them needs; the elements up to the last column that ends at a multiple of 64 come first, then the rest.
  Compiler 14 wrote the whole matrix.

Sources: the load instructions of a compiled model that flattens [1, 6, 6, 114] (all 49 of them), [1, 64, 64, 1] and
[1, 3, 3, 1]; logs of compiler 14.1 that stream 23.4 MiB for [1, 180, 27] and cache 0.7 MiB for [1, 30, 27].
"""

from __future__ import annotations

import math

from tfcompress.converters.edgetpu.layout import TILES, kernel_bytes, padded

__all__ = ["flattening_bytes"]

_BESIDE = 4
_BLOCK = 512
_ALIGNED = 64
_ROWS_BYTES = 512  # of bringing together the rows of an image with more than one channel


def flattening_bytes(rows: int, columns: int, channels: int, *, cropped: bool) -> int:
    """Parameter bytes of flattening an image.

    Args:
        rows: of the image.
        columns: of the image.
        channels: of the image.
        cropped: inputs that a block of outputs does not need are left out, as compiler 16 does.
    """
    positions = rows * columns
    if positions == 1:
        return 0
    joining = _ROWS_BYTES if rows > 1 and channels > 1 else 0
    return joining + (0 if channels % 4 == 0 else _matrix_bytes(positions, columns, channels, cropped=cropped))


def _matrix_bytes(positions: int, columns: int, channels: int, *, cropped: bool) -> int:
    piece = _piece(channels)
    if columns % piece == 0:
        return kernel_bytes(piece, channels, piece * channels, _BESIDE)
    if not cropped:
        return kernel_bytes(positions, channels, positions * channels, _BESIDE)
    return _cropped_bytes(positions, channels)


def _piece(channels: int) -> int:
    """Columns that have a multiple of 16 elements."""
    return TILES // math.gcd(TILES, channels)


def _cropped_bytes(positions: int, channels: int) -> int:
    period = _ALIGNED // math.gcd(_ALIGNED, channels)
    aligned = positions // period * period * channels
    return sum(
        kernel_bytes(1, _needed(first, last, channels), last - first, _BESIDE)
        for start, end in ((0, aligned), (aligned, positions * channels))
        for first in range(start, end, _BLOCK)
        for last in (min(first + _BLOCK, end),)
    )


def _needed(first: int, last: int, channels: int) -> int:
    """Inputs, in whole words, between those of the first output and those before the last."""
    begin, end = _place(first, channels), _place(last - 1, channels) + 1
    return padded(end, 4) - begin // 4 * 4


def _place(element: int, channels: int) -> int:
    """Where an element of the flat vector is in the image with its gaps."""
    position, channel = divmod(element, channels)
    return position * padded(channels, 4) + channel
