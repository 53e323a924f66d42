"""Packed sizes beside general compressors, on every .tflite of ../shared.

Every row is a whole file: packed, unpacked again and compared byte for byte.  The compressors are at their strongest
level: gzip -9, xz -9e, zstd -22 and brotli 11 with its largest window.  `kernel_entropy_bytes` is what the int8 and
uint8 constants alone would take at the entropy of their values, each tensor for itself and its table for nothing;
`kernel_oracle_bytes`, if the mean square of each row and column of a kernel were known for nothing as well.  Contexts
will hardly go below the second, as neighbouring weights of a trained kernel tell next to nothing of each other.
"""

from __future__ import annotations

import gzip
import lzma
import time
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import zstandard

from benchmarks.models import SHARED
from tfcompress.converters.phone.packing.files import pack_bytes, unpack_bytes
from tfcompress.converters.phone.packing.layout import Array, find_arrays

SECONDS = 3000
PAIRS = "edgetpu/pairs"


def names() -> list[str]:
    """The .tflite files of ../shared/models and of the Edge TPU pairs."""
    return list(files())


def files() -> dict[str, Path]:
    """{name: path}; the compiled halves of the Edge TPU pairs are left out, as only the Edge TPU reads them."""
    models = {str(path.relative_to(SHARED / "models")): path for path in sorted(SHARED.glob("models/*/*.tflite"))}
    pairs = {str(path.relative_to(SHARED)): path for path in sorted(SHARED.glob(f"{PAIRS}/*/model.tflite"))}
    return models | pairs


def row(name: str) -> dict[str, Any]:
    """One file."""
    return file_row(files()[name].read_bytes())


def file_row(content: bytes) -> dict[str, Any]:
    """Sizes of a file's content; `ok` where ours is smaller than all others and gives the same bytes back."""
    started = time.process_time()
    packed = pack_bytes(content)
    packing = time.process_time() - started
    started = time.process_time()
    same = unpack_bytes(packed) == content
    unpacking = time.process_time() - started
    others = {
        "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        "xz_bytes": len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)),
        "zstd_bytes": len(zstandard.ZstdCompressor(level=22).compress(content)),
        "brotli_bytes": len(brotli.compress(content, quality=11, lgwin=24)),
    }
    best = min(others.values())
    smaller = len(packed) < best
    reason = None if smaller and same else "another file came back" if not same else "a compressor is smaller"
    return {
        "status": "ok" if smaller and same else "failed",
        "reason": reason,
        "bytes": len(content),
        "packed_bytes": len(packed),
        **others,
        "of_best": round(len(packed) / best, 4),
        "of_gzip": round(len(packed) / others["gzip_bytes"], 4),
        **kernel_entropies(content),
        "pack_cpu_seconds": round(packing, 2),
        "unpack_cpu_seconds": round(unpacking, 2),
    }


def kernel_entropies(content: bytes) -> dict[str, int]:
    """{"kernel_entropy_bytes", "kernel_oracle_bytes"} of the constants of one byte an element."""
    plain = oracle = 0.0
    for array in find_arrays(content):
        if array.role == "weights" and array.width == 1:
            values = np.frombuffer(content, np.uint8, array.count, array.offset)
            own = entropy_bytes(values)
            plain += own
            oracle += min(own, _known_scales(array, values)) if array.columns else own
    return {"kernel_entropy_bytes": round(plain), "kernel_oracle_bytes": round(oracle)}


def entropy_bytes(values: np.ndarray) -> float:
    """Bytes that uint8 values of any shape take at their order-0 entropy."""
    counts = np.bincount(values.ravel(), minlength=256)
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum()) / 8


def _known_scales(array: Array, values: np.ndarray) -> float:
    """The same, with a table for each quarter octave of the root mean square that a value's row and column foretell."""
    centred = (values.astype(np.float64) - (array.centre or 0) + 128) % 256 - 128
    squares = np.square(centred).reshape(-1, array.columns)
    mean = max(float(squares.mean()), 1e-9)
    scales = np.sqrt(squares.mean(1, keepdims=True) * squares.mean(0, keepdims=True) / mean)
    levels = np.round(np.log2(np.maximum(scales, 0.5)) * 4).astype(int).ravel()
    return sum(entropy_bytes(values[levels == level]) for level in np.unique(levels))
