"""A folder of files as bytes and back.

A line of JSON, ``[[name, bytes, mode], ...]`` in sorted order, then the files' contents one after the other.  The name
of a folder ends in a slash, and has no bytes.  Links are not kept.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path, PurePosixPath

__all__ = ["pack_tree", "unpack_tree"]

_PERMISSIONS = 0o777


def pack_tree(folder: Path) -> bytes:
    """All files and folders below a folder."""
    paths = sorted(path for path in folder.rglob("*") if not path.is_symlink() and (path.is_file() or path.is_dir()))
    contents = [path.read_bytes() if path.is_file() else b"" for path in paths]
    names = [path.relative_to(folder).as_posix() + "/" * path.is_dir() for path in paths]
    modes = [stat.S_IMODE(path.stat().st_mode) & _PERMISSIONS for path in paths]
    index = [[name, len(content), mode] for name, content, mode in zip(names, contents, modes, strict=True)]
    return b"".join([json.dumps(index).encode(), b"\n", *contents])


def unpack_tree(content: bytes, folder: Path) -> None:
    """Write the files and folders of `pack_tree` below an existing folder.

    Raises:
        ValueError: the bytes hold something else, or a name that leads out of the folder.
    """
    line, _, rest = content.partition(b"\n")
    index = [(str(name), int(size), int(mode)) for name, size, mode in json.loads(line)]
    if sum(size for _, size, _ in index) != len(rest):
        raise ValueError(f"{len(rest)} bytes of files, the index says {sum(size for _, size, _ in index)}")
    start = 0
    for name, size, mode in index:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts or size < 0:
            raise ValueError(f"{name!r} is no name of a file in a folder")
        path = folder / parts
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rest[start : start + size])
        path.chmod((mode & _PERMISSIONS) | (stat.S_IRWXU if name.endswith("/") else 0))
        start += size
