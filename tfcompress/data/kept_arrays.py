"""Arrays that we keep between runs (the state of a training or of a diff), in numpy's own format without pickles.

Reading them runs nothing.  We write them uncompressed, so that a file that announces more than it holds is not ours.
"""

from __future__ import annotations

import tokenize
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from tfcompress.data.files import ARCHIVE_ERRORS
from tfcompress.errors import InputError, one_line

__all__ = ["read_kept_arrays"]

# What zipfile, and numpy's reader of headers, which parses Python text, may raise for a file that is damaged.
_DAMAGED = (*ARCHIVE_ERRORS, SyntaxError, TypeError, AttributeError, RecursionError, tokenize.TokenError)


def read_kept_arrays(source: Path | IO[bytes], where: str) -> dict[str, np.ndarray]:
    """All arrays of a file that `numpy.savez` wrote.

    Args:
        source: the file, or a stream that can be read twice.
        where: for messages, with what the user can do: ``--resume=FILE: remove it``.

    Returns:
        {name: array}.

    Raises:
        InputError: it is damaged, or no such file.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("a member is compressed")
            total, size = sum(member.file_size for member in members), _size(archive)
            if total > size:
                raise ValueError(f"{total} bytes of arrays in a file of {size}")
        if not isinstance(source, Path):
            source.seek(0)
        with np.load(source, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _DAMAGED as error:
        raise InputError(f"{where}: damaged: {one_line(error, 160)}") from None


def _size(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None
    return archive.fp.seek(0, 2)
