"""A folder of results, named by what they depend on: bounded, shared by processes, and trusted with nothing.

An entry is one file: a line with the format's name, a line with the SHA-256 of what follows the lines and of the
entry's key, and the content.  A file that was cut, changed, renamed, or written by another format is removed and
counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from pathlib import Path

from tfcompress.cache.whole_files import PARTIAL, write_whole
from tfcompress.errors import InputError

__all__ = ["MAX_BYTES", "Store", "default_folder", "open_store"]

FORMAT = b"tfcompress cache 1\n"
MAX_BYTES = 4 * 2**30
LARGEST_SHARE = 0.25  # of the bound: one larger result would push out everything else
KEPT_SHARE = 0.8  # of the bound: how much stays when the oldest entries are removed
COUNTED_SHARE = 0.05  # of the bound: after adding so much the entries are counted anew, as other processes add too
_ENTRY = re.compile(rf"[0-9a-f]{{2}}/([0-9a-f]{{62}}|\.[0-9a-f]{{62}}\.[a-z0-9_]+(?P<partial>{re.escape(PARTIAL)}))")
ABANDONED_SECONDS = 3600.0  # a partial file this old belongs to a process that was killed


def default_folder() -> Path | None:
    """``$TFCOMPRESS_CACHE_DIR``, else ``$XDG_CACHE_HOME/tfcompress``, else ``~/.cache/tfcompress``.

    None where ``$TFCOMPRESS_CACHE_DIR`` is set and empty: nothing is kept then.
    """
    chosen = os.environ.get("TFCOMPRESS_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tfcompress"


def open_store(folder: str | Path | None, *, no_cache: bool = False) -> Store:
    """The store that ``--cache_dir`` and ``--no_cache`` ask for.

    Args:
        folder: None takes `default_folder`, or keeps nothing where other users can write there.
        no_cache: keep nothing, and use nothing that was kept.

    Raises:
        InputError: the folder cannot be one or cannot be written, or other users can write there.
    """
    if no_cache:
        return Store(None)
    if folder is None:
        usual = default_folder()
        return Store(None if usual is None or _belongs_to_others(usual) else usual)
    path = Path(folder)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--cache_dir={folder}: cannot be made: {error.strerror}; choose another folder") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"--cache_dir={folder}: no permission to write there; choose another folder")
    if _belongs_to_others(path):
        raise InputError(f"--cache_dir={folder}: other users can write there; choose a folder of your own")
    return Store(path)


def _belongs_to_others(folder: Path) -> bool:
    """Whether another user could put an entry there: one says, among other things, that a model file is harmless."""
    try:
        status = folder.stat()
    except OSError:
        return False  # it will be made by us, or not at all
    own = status.st_uid in (0, os.geteuid()) or os.geteuid() == 0
    return not own or bool(status.st_mode & stat.S_IWOTH)


class Store:
    """Results in a folder.

    A folder that cannot be written or read makes the store empty; it is never an error.

    Args:
        folder: made when the first result is kept; None keeps nothing.
        max_bytes: the entries used least recently are removed where all take more.
    """

    def __init__(self, folder: Path | None, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._bytes: int | None = None  # of all entries, when they were counted last
        self._added = 0  # by this process since then

    def get(self, key: str) -> bytes | None:
        """The content kept under a key; None where there is none that can be trusted."""
        if self.folder is None:
            return None
        path = self._path(self.folder, key)
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        content = _checked(entry, key)
        with contextlib.suppress(OSError):
            if content is None:
                path.unlink()
            else:
                os.utime(path)  # used now: the modification time orders the entries by use
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep a content under a key."""
        if self.folder is None or len(content) > LARGEST_SHARE * self.max_bytes:
            return
        path = self._path(self.folder, key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, _sealed(content, key))
            self._make_room(self.folder, len(content))

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        assert key.isalnum(), f"{key!r} is no fingerprint"
        return folder / key[:2] / key[2:]

    def _make_room(self, folder: Path, added: int) -> None:
        """Remove the entries used least recently where all are more than the bound."""
        self._added += added
        counted = None if self._added > COUNTED_SHARE * self.max_bytes else self._bytes
        if counted is not None and counted + self._added <= self.max_bytes:
            return
        entries = _entries(folder)
        total = sum(size for _, size, _ in entries)
        if total > self.max_bytes:
            for _, size, path in sorted(entries):
                if total <= KEPT_SHARE * self.max_bytes:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= size
        self._bytes, self._added = total, 0


def _sealed(content: bytes, key: str) -> bytes:
    return FORMAT + _checksum(content, key) + b"\n" + content


def _checked(entry: bytes, key: str) -> bytes | None:
    """The content of an entry; None where a byte of it is not as it was written for this key."""
    head, checksum, content = entry[: len(FORMAT)], entry[len(FORMAT) : len(FORMAT) + 65], entry[len(FORMAT) + 65 :]
    return content if head == FORMAT and checksum == _checksum(content, key) + b"\n" else None


def _checksum(content: bytes, key: str) -> bytes:
    digest = hashlib.sha256(key.encode() + b"\n")
    digest.update(content)
    return digest.hexdigest().encode()


def _entries(folder: Path) -> list[tuple[float, int, Path]]:
    """(time of last use, bytes, path) of every entry; partial files that a killed process left are removed.

    The folder may be one that the user keeps other things in: only what has the name of an entry, and begins as one
    does, is one.
    """
    entries = []
    for path in folder.glob("??/*"):
        name = _ENTRY.fullmatch(f"{path.parent.name}/{path.name}")
        if name is None:
            continue
        with contextlib.suppress(OSError):
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                continue
            if name["partial"] is None:
                if _begins_as_ours(path):
                    entries.append((status.st_mtime, status.st_size, path))
            elif time.time() - status.st_mtime > ABANDONED_SECONDS:
                path.unlink()
    return entries


def _begins_as_ours(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(FORMAT)) == FORMAT
