"""What lies in a folder: every file by its bytes and mode, every folder, and whatever else there is."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress.file_hashes import sha256_of_file

__all__ = ["Contents", "contents_of", "mode_of"]

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@dataclass(frozen=True)
class Contents:
    """Everything below a folder; names are relative, with slashes.

    Attributes:
        files: {name: {"sha256", "bytes", "mode"}}, the mode in octal.
        folders: {name: {"mode"}}.
        others: {name: what it is}: links, which are never followed, pipes, sockets, devices, and what cannot be read.
    """

    files: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, Mapping[str, object]]
    others: Mapping[str, str]


def contents_of(
    folder: Path,
    *,
    without: frozenset[str] = frozenset(),
    listed: Mapping[str, Mapping[str, Any]] | None = None,
) -> Contents:
    """Read a whole folder.

    Args:
        folder: to look into; itself it may be a link.
        without: names at its top that are left out.
        listed: the files as they should be; one of another name or size is not read, which might take hours, and has
            None for its hash.  None reads every file.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    files: dict[str, Mapping[str, Any]] = {}
    folders: dict[str, Mapping[str, object]] = {}
    others: dict[str, str] = {}
    waiting = [entry for entry in _listed(folder) if entry.name not in without]
    while waiting:
        entry = waiting.pop()
        name = Path(entry.path).relative_to(folder).as_posix()
        try:
            facts = entry.stat(follow_symlinks=False)
            kind = stat.S_IFMT(facts.st_mode)
            mode = mode_of(facts)
            if kind == stat.S_IFDIR:
                waiting += _listed(Path(entry.path))
                folders[name] = {"mode": mode}
            elif kind == stat.S_IFREG:
                as_listed = listed is None or listed.get(name, {}).get("bytes") == facts.st_size
                sha256 = sha256_of_file(Path(entry.path)) if as_listed else None
                files[name] = {"sha256": sha256, "bytes": facts.st_size, "mode": mode}
            else:
                others[name] = _KINDS.get(kind, "no file")
        except OSError as error:
            others[name] = f"cannot be read: {error.strerror}"
    return Contents(dict(sorted(files.items())), dict(sorted(folders.items())), dict(sorted(others.items())))


def mode_of(facts: os.stat_result) -> str:
    """Permission bits in octal, such as ``644``."""
    return f"{stat.S_IMODE(facts.st_mode):o}"


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)
