"""Files that appear whole or not at all: written beside their place, then renamed into it (POSIX ``rename``)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["PARTIAL", "whole_file", "write_whole"]

PARTIAL = ".partial"  # ends the name of a file that is still being written


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become `path` if the block ends well, and disappear if it does not.

    A reader, and another process that writes the same file, sees the old content or the new content, never a part.

    Raises:
        OSError: the folder does not exist or cannot be written, or the disk is full.
    """
    descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.", suffix=PARTIAL)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes a private file; the result is an ordinary one
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Replace a file's content in one step; text is written as UTF-8.

    Raises:
        OSError: see `whole_file`.
    """
    with whole_file(path) as stream:
        stream.write(content.encode("utf-8") if isinstance(content, str) else content)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
