"""Packed sizes beside general compressors, on every .tflite of ../shared.

Every row is a whole file: packed, unpacked again and compared byte for byte.  The compressors are at their strongest
level: gzip -9, xz -9e, zstd -22 and brotli 11 with its largest window.
"""

from __future__ import annotations

import gzip
import lzma
import time
from pathlib import Path
from typing import Any

import brotli
import zstandard

from benchmarks.models import SHARED
from tfcompress.converters.phone.packing.files import pack_bytes, unpack_bytes

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
        "pack_cpu_seconds": round(packing, 2),
        "unpack_cpu_seconds": round(unpacking, 2),
    }
