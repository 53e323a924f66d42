"""What reading a damaged archive may raise."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

__all__ = ["ARCHIVE_ERRORS"]

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
