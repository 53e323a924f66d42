"""How much a file may ask for, in proportion to what it is."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["JSON_LIMIT", "expanded_limit", "physical_memory", "time_limit"]

# A compressed float32 weight array shrinks by a tenth; only constant arrays come near 100:1.
_EXPANSION = 100
_ALWAYS_ALLOWED = 64 << 20
JSON_LIMIT = 128 << 20
"""Bytes of configuration text; the largest of keras.applications has under 1 MiB."""

_SECONDS = 10
_BYTES_PER_SECOND = 50 << 20


def physical_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def expanded_limit(path: Path) -> int:
    """Bytes that the content of a compressed file may expand to."""
    return min(max(_ALWAYS_ALLOWED, _EXPANSION * path.stat().st_size), physical_memory() // 2)


def time_limit(path: Path) -> int:
    """Seconds of processor time after which a process that only reads `path` must be hanging."""
    return _SECONDS + path.stat().st_size // _BYTES_PER_SECOND
