"""A .tfcz as bytes: header, what is not an array, arrays.  FORMAT.md says where each byte lies."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from tfcompress.converters.phone.packing.directory import (
    MAX_PERIOD,
    PRODUCT,
    ROTATED,
    Directory,
    Group,
    Segment,
    read_varint,
    write_varint,
)
from tfcompress.converters.phone.packing.lanes import MAX_LANES, ArrayPlan, LaneDecoder, LaneEncoder, in_order
from tfcompress.converters.phone.packing.rest import BY_LZMA, LARGE, TABLE_BITS, RestDecoder, encode_rest, rest_decoder
from tfcompress.errors import ModelError

__all__ = ["MAGIC", "MAX_SIZE", "Header", "decode", "encode", "fits", "group_values", "read_directory", "read_header"]

MAGIC = b"TFZ"
# Versions: the second may have planes of predictions, and is the same otherwise; the third may have them, has its
# directory and rest in LZMA, and makes the tables of its arrays anew less often, for decoders in Python.
PLAIN, PREDICTING, QUICK = 1, 2, 3
MAX_SIZE = 2**31 - 1
_MAX_DIRECTORY = 1 << 22  # bytes; the longest with `MAX_GROUPS` and `MAX_SEGMENTS` is shorter
_PIECE = 65536  # bytes of the rest that are decoded at a time
_SPARE = 4096  # directory and rest are at most so much longer than the file; real directories are far shorter


@dataclass(frozen=True)
class Header:
    """The first bytes of a .tfcz.

    Attributes:
        size: of the original, in bytes.
        checksum: CRC-32 of the original (ISO 3309, as in gzip and PNG).
        table_bits: the byte model has 2 ** table_bits slots; `BY_LZMA` in files of version `QUICK`.
        directory: length of the directory in bytes.
        rest: how many bytes of the original are not in arrays.
        lanes: of the arrays.
        period: the longest of the arrays with column contexts; a decoder keeps so many sums.
        coded: length of the coded directory and rest, in bytes.
        version: `PLAIN`, `PREDICTING` or `QUICK`.
        length: of the header itself.
    """

    size: int
    checksum: int
    table_bits: int
    directory: int
    rest: int
    lanes: int
    period: int
    coded: int
    version: int = PLAIN
    length: int = 0

    def to_bytes(self) -> bytes:
        """As FORMAT.md says."""
        out = bytearray(MAGIC + bytes([self.version]) + self.checksum.to_bytes(4, "little"))
        out.append(self.table_bits)
        for value in (self.size, self.directory, self.rest, self.lanes, self.period, self.coded):
            write_varint(out, value)
        return bytes(out)


def read_header(data: bytes) -> Header:
    """The header of a .tfcz.

    Raises:
        ModelError: it is not a .tfcz, of another version, or damaged.
    """
    if data[:3] != MAGIC:
        raise ModelError("not a .tfcz: it does not begin with TFZ; expected a file that tfcompress pack wrote")
    if data[3:4] not in (b"\1", b"\2", b"\3"):
        raise ModelError(f"a .tfcz of version {data[3:4].hex() or '?'}, expected 01, 02 or 03; use a newer tfcompress")
    if len(data) < 9 or data[8] not in ((BY_LZMA,) if data[3] == QUICK else TABLE_BITS):
        raise ModelError("a damaged .tfcz: its header is cut off or wrong; copy or make the file again")
    position, values = 9, []
    for limit in (MAX_SIZE, _MAX_DIRECTORY, MAX_SIZE, MAX_LANES, MAX_PERIOD, len(data)):
        value, position = read_varint(data, position, limit)
        values.append(value)
    size, directory, rest, lanes, period, coded = values
    if directory + rest > size + _SPARE or rest > size or position + coded > len(data):
        raise ModelError("a damaged .tfcz: its lengths do not fit together; copy or make the file again")
    checksum = int.from_bytes(data[4:8], "little")
    return Header(size, checksum, data[8], directory, rest, lanes, period, coded, data[3], position)


def fits(directory: Directory, size: int) -> bool:
    """Whether a decoder takes the directory of a file of `size` bytes: it bounds the memory that it needs."""
    rest = sum(length for _, length in directory.gaps(size))
    return len(directory.to_bytes()) + rest <= size + _SPARE


def encode(content: bytes, directory: Directory) -> tuple[bytes, list[float]]:
    """A whole .tfcz, and the bits that each group takes in it."""
    listed = directory.to_bytes()
    gaps = directory.gaps(len(content))
    quick = len(content) >= LARGE
    arrays, groups = _encode_groups(content, directory, seldom=quick)
    coded, bits = encode_rest(listed, content, gaps, arrays=round(sum(groups) / 8))
    if quick and bits != BY_LZMA:
        arrays, groups = _encode_groups(content, directory, seldom=False)
    header = Header(
        len(content), zlib.crc32(content), bits, len(listed), sum(length for _, length in gaps), arrays.lanes,
        directory.period, len(coded), QUICK if bits == BY_LZMA else PREDICTING if directory.predicts else PLAIN,
    )  # fmt: skip
    return header.to_bytes() + coded + arrays.finish(), groups


def _encode_groups(content: bytes, directory: Directory, *, seldom: bool) -> tuple[LaneEncoder, list[float]]:
    """The encoder with all arrays in it, and the bits of each group."""
    lanes = LaneEncoder(seldom=seldom)
    groups = []
    for number, group in enumerate(directory.groups):
        before = len(lanes.bits)
        if group.fill is None:
            _encode_group(lanes, content, directory, number)
        groups.append(float(sum(lanes.bits[before:])))
    return lanes, groups


def _encode_group(lanes: LaneEncoder, content: bytes, directory: Directory, number: int) -> None:
    group = directory.groups[number]
    values = group_values(content, group, directory.by_group()[number])
    above: np.ndarray | None = None
    for index, plane in enumerate(group.planes):
        own = np.ascontiguousarray(values[:, group.width - 1 - index])
        if isinstance(plane, ArrayPlan):
            lanes.add(plane, own, above)
        above = own


def group_values(content: bytes, group: Group, segments: list[Segment]) -> np.ndarray:
    """uint8 [elements, width]: the elements of a group as they are coded: in order, and transformed."""
    return np.concatenate([_segment_values(content, group, segment) for segment in segments])


def _segment_values(content: bytes, group: Group, segment: Segment) -> np.ndarray:
    word = np.dtype(f"<u{group.width}")
    values = np.frombuffer(content, word, segment.count, segment.offset)
    if group.transform == ROTATED:
        values = values << 1 | values >> (8 * group.width - 1)
    elif group.transform == PRODUCT:
        values = values - _products(content, segment, 0, segment.count)
    if segment.columns:
        values = values.reshape(-1, segment.columns).T
    return np.ascontiguousarray(values, word).reshape(-1, 1).view(np.uint8)


def _products(content: bytes | bytearray, segment: Segment, first: int, behind: int) -> np.ndarray:
    """uint32: the bits of factor * source, rounded to float32, for elements first..behind-1."""
    source = np.frombuffer(content, "<f4", behind - first, segment.source + 4 * first)
    factor = np.frombuffer(segment.factor, "<f4")
    with np.errstate(all="ignore"):  # only a damaged file has factors that overflow
        return (source * factor).astype("<f4").view("<u4")


def decode(data: bytes, *, max_bytes: int = MAX_SIZE) -> bytes:
    """The file that `encode` was given.

    Needs its size twice in memory, and less than 16 MiB more.

    Args:
        data: a whole .tfcz.
        max_bytes: a larger file is refused before memory is taken.

    Raises:
        ModelError: it is no .tfcz, damaged, or larger than allowed.
    """
    header = read_header(data)
    if header.size > max_bytes:
        raise ModelError(f"a .tfcz of a file of {header.size} bytes, expected at most {max_bytes}; raise --max_bytes")
    content = bytearray(header.size)
    directory = _decode_rest(data, header, content)
    quick = header.version == QUICK
    lanes = LaneDecoder(data[header.length + header.coded :], header.lanes, seldom=quick)
    for group, segments in zip(directory.groups, directory.by_group(), strict=True):
        if group.fill is not None:
            for segment in segments:
                _fill(content, segment, group.fill)
        else:
            _decode_group(lanes, content, group, segments)
    if not lanes.finished() or zlib.crc32(content) != header.checksum:
        raise ModelError("a damaged .tfcz: the unpacked file has another checksum; copy or make it again")
    return bytes(content)


def read_directory(data: bytes) -> Directory:
    """The directory of a whole .tfcz.

    Raises:
        ModelError: it is no .tfcz, or damaged.
    """
    return _started(data, read_header(data))[1]


def _started(data: bytes, header: Header) -> tuple[RestDecoder, Directory]:
    """The decoder of the rest, which stands behind the directory, and the directory."""
    coded = data[header.length : header.length + header.coded]
    source = rest_decoder(coded, header.table_bits, header.directory)
    listed = source.take(header.directory, 0)
    directory = Directory.from_bytes(listed, header.size)
    promised = (header.lanes, header.period, header.rest)
    rest = sum(length for _, length in directory.gaps(header.size))
    if (directory.lanes, directory.period, rest) != promised or (directory.predicts and header.version == PLAIN):
        raise ModelError("a damaged .tfcz: its directory is not as its header says; copy or make the file again")
    return source, directory


def _decode_rest(data: bytes, header: Header, content: bytearray) -> Directory:
    source, directory = _started(data, header)
    for offset, length in directory.gaps(header.size):
        for place in range(offset, offset + length, _PIECE):
            piece = min(_PIECE, offset + length - place)
            content[place : place + piece] = source.take(piece, place)
    return directory


def _fill(content: bytearray, segment: Segment, fill: bytes) -> None:
    np.frombuffer(content, np.uint8)[segment.offset : segment.offset + segment.count * len(fill)].reshape(
        -1, len(fill)
    )[:] = np.frombuffer(fill, np.uint8)


def _decode_group(lanes: LaneDecoder, content: bytearray, group: Group, segments: list[Segment]) -> None:
    count = sum(segment.count for segment in segments)
    above: np.ndarray | None = None
    for index, plane in enumerate(group.planes):
        place = group.width - 1 - index
        if isinstance(plane, ArrayPlan):
            above = lanes.decode(plane, count, above)
            for position, values in in_order(above, count):
                _scatter(content, group, segments, (place, position, values))
        else:
            above = np.broadcast_to(np.uint8(plane), (group.steps, -(-count // group.steps)))
            for segment in segments:
                view = np.frombuffer(content, np.uint8)[segment.offset :][: segment.count * group.width]
                view.reshape(-1, group.width)[:, place] = plane
    for segment in segments:
        _restore(content, group, segment)


def _scatter(content: bytearray, group: Group, segments: list[Segment], piece: tuple[int, int, np.ndarray]) -> None:
    """Put a piece (plane, position of its first value in the group, values) where its elements lie in the file."""
    plane, position, values = piece
    begin = 0  # of the segment, in the group
    for segment in segments:
        first, behind = max(position, begin), min(position + len(values), begin + segment.count)
        if first < behind:
            part = values[first - position : behind - position]
            view = np.frombuffer(content, np.uint8)[segment.offset :][: segment.count * group.width]
            target = view.reshape(-1, group.width)[:, plane]
            if segment.columns:
                places = np.arange(first - begin, behind - begin)
                rows = segment.count // segment.columns
                target[places % rows * segment.columns + places // rows] = part
            else:
                target[first - begin : behind - begin] = part
        begin += segment.count


def _restore(content: bytearray, group: Group, segment: Segment, chunk: int = 65536) -> None:
    """Undo the transform of a segment, in place."""
    if group.transform == 0:
        return
    values = np.frombuffer(content, f"<u{group.width}", segment.count, segment.offset)
    for first in range(0, segment.count, chunk):
        part = values[first : first + chunk]
        if group.transform == ROTATED:
            part[:] = part >> 1 | part << (8 * group.width - 1)
        else:
            part[:] = part + _products(content, segment, first, first + len(part))
