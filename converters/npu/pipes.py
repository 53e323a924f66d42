"""Arrays through a pipe, between tfcompress and a child process that runs somebody's native library.

Each array is in numpy's .npy format, behind its length as a little-endian uint64.  This module imports nothing but
numpy, so that a child starts fast.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np

__all__ = ["read", "write"]


def write(stream: BinaryIO, arrays: list[Any]) -> None:
    """Arrays, flushed."""
    for array in arrays:
        content = io.BytesIO()  # numpy would seek in what looks like a file, and a pipe cannot
        np.save(content, array, allow_pickle=False)
        stream.write(struct.pack("<Q", content.tell()) + content.getvalue())
    stream.flush()


def read(stream: BinaryIO) -> np.ndarray:
    """The next array.

    Raises:
        EOFError: there is none, or not all of it.
    """
    (size,) = struct.unpack("<Q", _exactly(stream, 8))
    return np.load(io.BytesIO(_exactly(stream, size)), allow_pickle=False)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
