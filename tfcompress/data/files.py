"""Hashes of the files behind a data source, and what reading a damaged archive may raise."""

from __future__ import annotations

import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["ARCHIVE_ERRORS", "sha256_of_file", "sha256_of_files"]

# zipfile and gzip check little themselves: a damaged header shows as whatever the code behind it stumbles over.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
    MemoryError,
)


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_files(root: Path, paths: Iterable[Path]) -> str:
    """Hex SHA-256 over the relative names and contents of several files, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()
