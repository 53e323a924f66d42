"""The size that an encoded image announces, read before it is decoded: a small file can announce a huge one."""

from __future__ import annotations

import struct
import zlib

from tfcompress.errors import DataError

__all__ = ["check_image_size", "without_extras"]

MOST_PIXELS = 100_000_000  # 10,000 x 10,000: 300 MB in RGB
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # of the colour types (PNG specification, section 11.2.2)
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MOST_SCANS = 500  # of a progressive JPEG, which usually has 10; each takes as long as a whole image
_MOST_SCANNED = 2_000_000_000  # pixels of all scans: 20 of the largest image, about ten seconds
_MOST_RATIO = 1032  # of deflate: what a byte may unpack to
_NOT_WORTH_A_LOOK = 256 << 20  # bytes that are unpacked within a second
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
        DataError: a part is longer than the file, a JPEG has hundreds of scans, or a PNG unpacks to more than its
            pixels.
    """
    if data.startswith(b"\xff\xd8"):
        _refuse_many_scans(data, where)
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
    _refuse_more_than_its_pixels(data, [chunk[8:-4] for chunk in kept if chunk[4:8] == b"IDAT"], where)
    return b"".join(kept)


def _refuse_many_scans(data: bytes, where: str) -> None:
    scans, size = data.count(b"\xff\xda"), _jpeg_size(data)
    pixels = size[0] * size[1] if size else 0
    if scans > _MOST_SCANS or scans * pixels > _MOST_SCANNED:
        most = min(_MOST_SCANS, _MOST_SCANNED // max(1, pixels))
        raise DataError(f"{where}: has {scans} scans, expected at most {most} of such an image; remove or replace it")


def _refuse_more_than_its_pixels(data: bytes, parts: list[bytes], where: str) -> None:
    """The decoder unpacks all that follows the pixels too: a megabyte of it may be a gigabyte."""
    if sum(map(len, parts)) * _MOST_RATIO < _NOT_WORTH_A_LOOK:
        return
    width, height = struct.unpack_from(">II", data, 16)
    row = 1 + -(-width * _PNG_CHANNELS.get(data[25], 3) * data[24] // 8)  # a byte says how the row is filtered
    left = 2 * height * row + 65536  # an interlaced image has more and shorter rows
    unpack = zlib.decompressobj()
    try:
        for part in parts:
            waiting = part
            while waiting and left >= 0:
                left -= len(unpack.decompress(waiting, 1 << 20))
                waiting = unpack.unconsumed_tail
    except zlib.error:
        return  # the decoder says so too
    if left < 0:
        raise DataError(f"{where}: unpacks to more than its {width} x {height} pixels take; remove or replace it")


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
