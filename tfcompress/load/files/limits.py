"""How much a file may ask for, in proportion to what it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tfcompress.errors import InputError

__all__ = ["JSON_LIMIT", "LoadLimits", "bytes_of", "expanded_limit", "physical_memory"]

# A compressed float32 weight array shrinks by a tenth; only constant arrays come near 100:1.
_EXPANSION = 100
_ALWAYS_ALLOWED = 64 << 20
JSON_LIMIT = 32 << 20
"""Bytes of configuration text; the largest of keras.applications has under 1 MiB.  Parsed it takes up to 25 times."""

_SECONDS, _MEMORY = 60, 1536 << 20
_BYTES_PER_SECOND, _MEMORY_PER_BYTE = 1 << 20, 6


@dataclass(frozen=True)
class LoadLimits:
    """What loading a file and running it once may take, in the process that tries it first.

    Attributes:
        seconds: of processor time, and five times as long by the clock; None means 60 and one more for each MiB of the
            file.
        memory: MiB; None means 1,536 and six times the file.
    """

    seconds: float | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        for flag, value in (("max_load_seconds", self.seconds), ("max_load_memory", self.memory)):
            if value is not None and not 0 < value < 1e9:
                raise InputError(f"--{flag}={value}: expected a number above 0")

    def seconds_for(self, path: Path) -> float:
        """Seconds that `path` is given."""
        return _SECONDS + bytes_of(path) / _BYTES_PER_SECOND if self.seconds is None else self.seconds

    def memory_for(self, path: Path) -> int:
        """Bytes that `path` is given."""
        if self.memory is not None:
            return int(self.memory * (1 << 20))
        return min(_MEMORY + _MEMORY_PER_BYTE * bytes_of(path), max(_MEMORY, physical_memory() * 3 // 4))


def physical_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; links are not followed below it."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)


def expanded_limit(path: Path) -> int:
    """Bytes that the content of a compressed file may expand to."""
    return min(max(_ALWAYS_ALLOWED, _EXPANSION * path.stat().st_size), physical_memory() // 2)
