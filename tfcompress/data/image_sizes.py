"""The size that an encoded image announces, read before it is decoded: a small file can announce a huge one."""

from __future__ import annotations

import struct

from tfcompress.errors import DataError

__all__ = ["check_image_size", "without_extras"]

MOST_PIXELS = 100_000_000  # 10,000 x 10,000: 300 MB in RGB
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # of the colour types (PNG specification, section 11.2.2)
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MOST_SCANS = 500  # of a progressive JPEG, which usually has 10; each takes as long as a whole image
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF markers (ITU T.81, table B.1)


def check_image_size(data: bytes, where: str) -> tuple[int, int, int]:
    """Refuse an image that is of no known kind, or of more pixels than memory is spent on.

    Args:
        data: a JPEG, PNG, GIF or BMP file.
        where: its name, for messages.

    Returns:
        (height, width, channels) as it was stored.

    Raises:
        DataError: as said.
    """
    try:
        size = _size(data)
    except (struct.error, IndexError):
        size = None
    if size is None:
        raise DataError(f"{where}: not a readable image (no JPEG, PNG, GIF or BMP); remove or replace it")
    width, height, channels = size
    if not 0 < width * height <= MOST_PIXELS:
        raise DataError(f"{where}: says that it has {width} x {height} pixels, expected 1 to {MOST_PIXELS}")
    return height, width, channels


def without_extras(data: bytes, where: str) -> bytes:
    """The image without what is no pixel: texts and colour profiles may unpack to gigabytes.

    Args:
        data: a file that `check_image_size` accepts.
        where: its name, for messages.

    Raises:
        DataError: a part is longer than the file, or a JPEG has hundreds of scans.
    """
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > _MOST_SCANS:
        raise DataError(f"{where}: has more than {_MOST_SCANS} scans, expected an image; remove or replace it")
    if not data.startswith(_PNG_MAGIC):
        return data
    kept, position = [_PNG_MAGIC], len(_PNG_MAGIC)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big") + 12  # with length, name and checksum
        if position + length > len(data):
            raise DataError(f"{where}: not a readable image (a PNG that is cut off); remove or replace it")
        if data[position + 4 : position + 8] in _PNG_NEEDED:
            kept.append(data[position : position + length])
        if data[position + 4 : position + 8] == b"IEND":
            break
        position += length
    return b"".join(kept)


def _size(data: bytes) -> tuple[int, int, int] | None:
    """(width, height, channels); None for another kind of file."""
    if data.startswith(_PNG_MAGIC):
        width, height = struct.unpack_from(">II", data, 16)
        return width, height, _PNG_CHANNELS.get(data[25], 3)
    if data.startswith((b"GIF87a", b"GIF89a")):
        width, height = struct.unpack_from("<HH", data, 6)
        return width, height, 3
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data, 18)
        return width, abs(height), max(1, struct.unpack_from("<H", data, 28)[0] // 8)
    return _jpeg_size(data) if data.startswith(b"\xff\xd8") else None


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    position = 2
    while position < len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height, data[position + 9]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:  # filling, and markers without a length
            position += 1 if marker == 0xFF else 2
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None
