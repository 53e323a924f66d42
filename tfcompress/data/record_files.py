"""The frame of a `.tfrecord` file, checked before anything in it is believed.

A record is its length (8 bytes, little-endian), a checksum of the length (4), the data, and a checksum of the data (4).
Checksums are masked CRC-32C (TensorFlow, ``lib/io/record_writer.h``: rotate right by 15, add 0xa282ead8).  Here the
lengths and their checksums are checked against the file's size; TensorFlow checks those of the data as it reads.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tfcompress.errors import DataError

__all__ = ["count_records"]

_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4
_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed
LARGEST_RECORD = 1 << 30


def _table() -> tuple[int, ...]:
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return tuple(values)


_TABLE = _table()


def masked_crc32c(data: bytes) -> int:
    """The checksum that TFRecord files hold."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def count_records(path: Path) -> int:
    """Number of records, found without reading their data.

    Raises:
        DataError: a length that its checksum or the file's size contradicts, or a file that ends within a record.
    """
    size, position, count = path.stat().st_size, 0, 0
    with path.open("rb") as stream:
        while position < size:
            stream.seek(position)
            header = stream.read(_HEADER.size)
            if count == 0 and header.startswith((b"\x1f\x8b", b"\x78")):
                raise DataError(f"{path}: is compressed; unpack it, or write it without compression")
            where = f"{path}: record {count}"
            if len(header) < _HEADER.size:
                raise DataError(f"{where}: the file ends within its length; it is cut off")
            length, checksum = _HEADER.unpack(header)
            if masked_crc32c(header[:8]) != checksum:
                raise DataError(f"{where}: its length has a wrong checksum; the file is damaged or no .tfrecord")
            position += _HEADER.size + length + _FOOTER_BYTES
            if length > LARGEST_RECORD or position > size:
                raise DataError(
                    f"{where}: says that it is {length} bytes long, expected at most {LARGEST_RECORD} and what the "
                    f"file of {os.fspath(path.name)!r} holds; it is cut off or damaged"
                )
            count += 1
    return count
