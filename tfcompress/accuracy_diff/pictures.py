"""Input samples as small PNG pictures for the report page, with nothing but the standard library."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

__all__ = ["picture_of"]

LARGEST_SIDE = 64


def picture_of(sample: np.ndarray) -> str | None:
    """A PNG as a ``data:`` address; None where the sample is not a picture.

    Args:
        sample: (height, width) or (height, width, 1 or 3), in 0..255, 0..1 or any other range, which is stretched.
    """
    if sample.ndim == 2:
        sample = sample[..., None]
    if sample.ndim != 3 or sample.shape[2] not in (1, 3) or min(sample.shape[:2]) < 4 or not np.isfinite(sample).all():
        return None
    step = -(-max(sample.shape[:2]) // LARGEST_SIDE)
    encoded = base64.b64encode(_png(_to_bytes(sample[::step, ::step]))).decode()
    return f"data:image/png;base64,{encoded}"


def _to_bytes(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= -1 and high <= 1:
        low, high = -1.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    scaled = (values.astype(np.float64) - low) / max(high - low, 1e-12) * 255
    return np.rint(scaled).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    """PNG specification (W3C), 8 bits per channel, grey or RGB, every row with filter 0."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
