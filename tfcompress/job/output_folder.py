"""Output folders that appear whole or not at all.

A run writes into a temporary sibling of the folder and exchanges the two names at the end, in one system call where the
system has one (Linux `renameat2` with RENAME_EXCHANGE).  Killed at any moment, a run leaves the old folder as it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfcompress.errors import InputError

__all__ = ["MANIFEST", "check_output", "published"]

MANIFEST = "manifest.json"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def check_output(folder: Path) -> None:
    """Refuse an output that could not be written or that holds somebody else's files; writes nothing.

    Raises:
        InputError: the parent is missing or not writable, or the folder is not one of ours.
    """
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise InputError(f"--output={folder}: {parent} is not a folder; create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--output={folder}: no permission to write in {parent}; choose another folder")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"--output={folder}: exists and is not a folder; choose another name")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise InputError(
            f"--output={folder}: holds files that tfcompress did not write (no {MANIFEST}); choose another folder"
        )


@contextlib.contextmanager
def published(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block ends well, and disappears if it does not.

    Raises:
        InputError: see `check_output`.
    """
    check_output(folder)
    target = folder.absolute()
    _remove_abandoned(target)
    work = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    lock = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield work
        work.chmod(0o777 & ~_umask())  # mkdtemp makes a private folder; the result is an ordinary one
        _replace(work, target)
    finally:
        os.close(lock)
        shutil.rmtree(work, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".{target.name}.tfcompress-"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replace(work: Path, target: Path) -> None:
    """Give `work` the name `target`; what had it before is at `work` afterwards, to be removed."""
    if not target.exists():
        work.rename(target)
    elif not _exchange(work, target):
        # No exchange on this system: between these two calls the folder is absent, but never half-written.
        aside = work.with_name(work.name + "-old")
        target.rename(aside)
        work.rename(target)
        aside.rename(work)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names atomically; False where the system cannot (man 2 renameat2)."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    return call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0


def _remove_abandoned(target: Path) -> None:
    """Remove what killed runs left; a running one holds a lock on its folder."""
    for stale in target.parent.glob(_prefix(target) + "*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(stale, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(stale, ignore_errors=True)
            finally:
                os.close(descriptor)
