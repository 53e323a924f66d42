"""Paths and small files that a user names: settings, lists, logs and keys."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

__all__ = ["is_one_of", "read_plain", "real"]


def read_plain(path: str | Path, *, most_bytes: int) -> bytes:
    """The whole content of an ordinary file.

    A pipe, which may never say anything, and a device, which may never end, are refused.

    Args:
        path: of the file; links are followed.
        most_bytes: that it may have.

    Raises:
        OSError: it cannot be read, is no ordinary file, or is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not an ordinary file")
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes:,} bytes")
    return content


def real(path: Path) -> Path:
    """The path without links; unlike `Path.resolve` it raises nothing where links lead in a circle."""
    return Path(os.path.realpath(path))


def is_one_of(output: str | Path, inputs: Iterable[object]) -> bool:
    """Whether a file that is going to be written is one that is read, under whatever name."""
    for each in inputs:
        if isinstance(each, str | Path):
            try:
                if os.path.samefile(output, each):
                    return True
            except (OSError, ValueError):
                continue
    return False
