"""Where a run writes before its output is published: a hidden folder of its own on the same file system.

    PLACE/.tfcompress-KEY-RANDOM/owner.json    who made it, and for which output; locked (flock) while the run lives
                                /new/          what is to become the output
                                /old/          what was the output, on its way out
                                /publishing.json   see `publishing`

PLACE is the folder that holds the output, or the output itself where that cannot be exchanged for another: a mount
point, the current folder, or a folder whose parent may not be written.  KEY is made of the output's name, so that the
next run for the same output finds and removes what a killed one left: a folder of that name with an ``owner.json`` of
that content, and no other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfcompress.interruption import uninterrupted
from tfcompress.plain_files import read_plain, real

__all__ = [
    "VOLUME_FOLDER",
    "Staging",
    "abandoned",
    "absolute",
    "is_mount",
    "locked",
    "must_stay",
    "remove_tree",
    "staging",
    "stagings_in",
]

OWNER = "owner.json"
LONGEST_WAIT, PAUSE = 60.0, 0.02  # seconds
_LONGEST_OWNER = 1 << 16  # bytes
VOLUME_FOLDER = "lost+found"  # what mkfs.ext4 puts at the root of a volume


@dataclass(frozen=True)
class Staging:
    """One run's own folder.

    Attributes:
        path: see above.
        target: the output, absolute.
        inside: it lies in the output itself.
    """

    path: Path
    target: Path
    inside: bool

    @property
    def new(self) -> Path:
        """What is to become the output."""
        return self.path / "new"

    @property
    def old(self) -> Path:
        """What was the output."""
        return self.path / "old"


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Staging]:
    """A staging folder for an output, locked meanwhile and removed afterwards with all that is in it then.

    Raises:
        OSError: it cannot be made.
    """
    inside = must_stay(target)
    with contextlib.ExitStack() as stack:
        with uninterrupted(), locked(target):
            path = _made(target if inside else target.parent, target, stack)
        result = Staging(path, target, inside)
        result.new.mkdir()
        if target.is_dir():
            result.new.chmod(target.stat().st_mode & 0o7777)
        yield result


def absolute(folder: Path) -> Path:
    """The folder's own name, below a parent without links and dots."""
    plain = real(folder) if ".." in folder.parts else folder.absolute()
    return real(plain.parent) / plain.name if plain.name else plain


def must_stay(target: Path) -> bool:
    """Whether an existing output must keep its place, so that only its content can be exchanged."""
    if not target.is_dir():
        return False
    return is_mount(target) or target == Path.cwd() or not os.access(target.parent, os.W_OK | os.X_OK)


def is_mount(folder: Path) -> bool:
    """Whether something is mounted there, a folder of the same file system (``mount --bind``) included."""
    if folder.is_mount():
        return True
    with contextlib.suppress(OSError):
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
        return os.fsencode(real(folder)) in [_unescaped(line.split()[4]) for line in mounts]
    return False


def _unescaped(field: bytes) -> bytes:
    """A path of mountinfo, whose blanks and backslashes are octal (man 5 proc)."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Let one run at a time look at or publish an output, where the file system has locks.

    An output that is exchanged is a new folder each time, so it is the folder that holds it that is locked; a mount
    point may be held by different ones in different containers, so it is locked as well.
    """
    with contextlib.ExitStack() as stack:
        folders: set[Path] = {target.parent, target} if must_stay(target) else {target.parent}
        for folder in sorted(folders):
            with contextlib.suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                _wait_for_lock(descriptor)
        yield


def _wait_for_lock(descriptor: int) -> None:
    """Lock a folder; give up after a while, as it may be locked by a program that knows nothing of us."""
    for _ in range(round(LONGEST_WAIT / PAUSE)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE)
        else:
            return


def stagings_in(place: Path, target: Path) -> list[Path]:
    """Staging folders of any run for an output, in one place."""
    name = re.compile(re.escape(_prefix(target)) + "[a-z0-9_]{8}")
    try:
        paths = [path for path in place.iterdir() if name.fullmatch(path.name) and not path.is_symlink()]
    except OSError:
        return []
    return [path for path in paths if _is_owned(path, target)]


@contextlib.contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Whether the run that made a staging folder is dead; while the block runs nobody else thinks so.

    Args:
        path: of a staging folder; its output is `locked`, so nobody is about to make it.
    """
    try:
        descriptor = os.open(path / OWNER, os.O_RDWR)
    except OSError:
        yield _is_empty(path)  # killed before or after all else
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # alive, or a file system without locks, where nobody can tell
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def _is_empty(path: Path) -> bool:
    try:
        return not any(path.iterdir())
    except OSError:  # removed meanwhile
        return False


def remove_tree(path: Path) -> None:
    """Remove a staging folder; its owner file goes last, so that one half removed is still known as ours."""
    for part in sorted(path.glob("*"), key=lambda part: part.name == OWNER):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
            if part.exists():  # a folder without write permission keeps what is in it
                for folder, _, _ in os.walk(part):
                    os.chmod(folder, 0o700)
                shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.rmdir()


def _prefix(target: Path) -> str:
    # A name of up to 255 bytes has no room for a suffix, hence its hash.
    return f".tfcompress-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def _owner(target: Path) -> bytes:
    return json.dumps({"made by": "tfcompress", "for the output": target.name}).encode()


def _is_owned(path: Path, target: Path) -> bool:
    """Whether a folder is a staging folder by its content: one that is just being made or removed has no more."""
    try:
        there = {part.name for part in path.iterdir()}
        owner = read_plain(path / OWNER, most_bytes=_LONGEST_OWNER) if OWNER in there else b""
    except OSError:
        return False
    return owner == _owner(target) or (not there - {OWNER} and not owner)


def _made(place: Path, target: Path, stack: contextlib.ExitStack) -> Path:
    """A new staging folder, locked until the stack ends."""
    path = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=place))
    try:
        descriptor = os.open(path / OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        path.rmdir()
        raise
    stack.callback(os.close, descriptor)
    stack.callback(remove_tree, path)
    with contextlib.suppress(OSError):  # without locks nobody removes it but this run
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, _owner(target))
    return path
