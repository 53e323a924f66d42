"""SHA-256 of files and folders, read in blocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["sha256_of", "sha256_of_file", "sha256_of_files"]


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, or of a folder's relative names, sizes and bytes in sorted order."""
    if not os.path.isdir(path):  # False for an impossible name
        return sha256_of_file(path) if path.is_file() else hashlib.sha256().hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            entry = f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0"
            digest.update(entry.encode("utf-8", "surrogateescape"))  # a name may be any bytes
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_files(root: Path, paths: Iterable[Path]) -> str:
    """Hex SHA-256 over the relative names and contents of several files, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        entry = f"{path.relative_to(root).as_posix()}\0{sha256_of_file(path)}\n"
        digest.update(entry.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
