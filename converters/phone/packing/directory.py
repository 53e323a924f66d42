"""Which bytes of the file are arrays, and how each is coded: the part of a .tfcz that comes first.

The byte layout is written down in FORMAT.md.  What is read here comes from strangers: every number is checked before
it is used, and whatever passes describes pieces of the file that lie inside it and do not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tfcompress.converters.phone.packing.array_model import Kind
from tfcompress.converters.phone.packing.lanes import MAX_LANES, ArrayPlan, lane_count
from tfcompress.converters.phone.packing.prediction import TAPS
from tfcompress.errors import ModelError

__all__ = ["CONSTANT", "Directory", "Group", "Segment", "read_varint", "write_varint"]

MAX_GROUPS, MAX_SEGMENTS, MAX_PERIOD = 1023, 65535, 65536
CONSTANT = 15  # instead of a `Kind`: all bytes of the plane are the centre
NO_TRANSFORM, ROTATED, PRODUCT = range(3)
_WIDTHS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Segment:
    """A piece of the file that belongs to a group.

    Attributes:
        offset: of its first byte.
        count: of its elements.
        group: index of the group.
        columns: the elements are a matrix of rows of so many, taken column by column; 0 takes them as they come.
        source: for a group of products, where the float32 factors lie.
        factor: for a group of products, the other factor: four bytes of a float32.
    """

    offset: int
    count: int
    group: int
    columns: int = 0
    source: int = 0
    factor: bytes = b""


@dataclass(frozen=True)
class Group:
    """Elements that are coded together.

    Attributes:
        width: bytes of an element.
        fill: the bytes of every element; None where they are coded.
        transform: 0 none; 1 the sign bit of a float was moved to the lowest place; 2 the difference, as an integer,
            to the float32 product of two factors.
        steps: values per lane.
        planes: how the bytes of each significance are coded, from the most significant to the least; an int is the
            byte that all of them are.
    """

    width: int
    fill: bytes | None = None
    transform: int = NO_TRANSFORM
    steps: int = 1
    planes: tuple[ArrayPlan | int, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Directory:
    """The groups in the order of decoding, and the segments in the order of the file."""

    groups: tuple[Group, ...]
    segments: tuple[Segment, ...]

    def counts(self) -> list[int]:
        """Elements of each group."""
        counts = [0] * len(self.groups)
        for segment in self.segments:
            counts[segment.group] += segment.count
        return counts

    def by_group(self) -> list[list[Segment]]:
        """The segments of each group, in the order of the file."""
        by_group: list[list[Segment]] = [[] for _ in self.groups]
        for segment in self.segments:
            by_group[segment.group].append(segment)
        return by_group

    @property
    def lanes(self) -> int:
        """The most lanes that a group has; 0 where nothing is coded in lanes."""
        return max(
            (
                lane_count(count, group.steps)
                for group, count in zip(self.groups, self.counts(), strict=True)
                if any(isinstance(plane, ArrayPlan) for plane in group.planes)
            ),
            default=0,
        )

    @property
    def predicts(self) -> bool:
        """Whether any plane is coded as differences to predictions."""
        planes = (plane for group in self.groups for plane in group.planes)
        return any(isinstance(plane, ArrayPlan) and plane.kind is Kind.PREDICTED for plane in planes)

    @property
    def period(self) -> int:
        """The longest period of a plane."""
        plans = (plane for group in self.groups for plane in group.planes if isinstance(plane, ArrayPlan))
        return max((plane.period for plane in plans), default=0)

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """(offset, length) of what lies between the segments of a file of `size` bytes."""
        between, position = [], 0
        for segment in self.segments:
            if segment.offset > position:
                between.append((position, segment.offset - position))
            position = segment.offset + segment.count * self.groups[segment.group].width
        if size > position:
            between.append((position, size - position))
        return between

    def to_bytes(self) -> bytes:
        """As FORMAT.md says."""
        out = bytearray()
        write_varint(out, len(self.groups))
        for group in self.groups:
            _write_group(out, group)
        write_varint(out, len(self.segments))
        position = 0
        for segment in self.segments:
            group = self.groups[segment.group]
            write_varint(out, segment.group)
            write_varint(out, segment.offset - position)
            write_varint(out, segment.count)
            if group.fill is None:
                write_varint(out, segment.columns)
            if group.transform == PRODUCT:
                write_varint(out, segment.source)
                out += segment.factor
            position = segment.offset + segment.count * group.width
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> Directory:
        """Read and check.

        Args:
            data: the whole directory.
            size: of the file that it describes, in bytes.

        Raises:
            ModelError: it is damaged.
        """
        reader = _Reader(data)
        groups = tuple(_read_group(reader) for _ in range(reader.varint("groups", MAX_GROUPS)))
        segments, position = [], 0
        for _ in range(reader.varint("segments", MAX_SEGMENTS)):
            segments.append(_read_segment(reader, groups, position, size))
            position = segments[-1].offset + segments[-1].count * groups[segments[-1].group].width
        reader.expect(reader.position == len(data), "its end")
        directory = cls(groups, tuple(segments))
        for group, count in zip(groups, directory.counts(), strict=True):
            reader.expect(count > 0, "an empty group")
            if group.fill is None:
                reader.expect(group.steps <= count and lane_count(count, group.steps) <= MAX_LANES, "lanes")
        return directory


def write_varint(out: bytearray, value: int) -> None:
    """Seven bits a byte, the least significant first; the highest bit says that more follow."""
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def read_varint(data: bytes, position: int, limit: int) -> tuple[int, int]:
    """(value, position behind it).

    Raises:
        ModelError: it is above `limit` or goes on behind the end.
    """
    value = shift = 0
    while position < len(data) and shift < 35:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128 and value <= limit:
            return value, position
        if byte < 128:
            break
    raise ModelError(f"a damaged .tfcz: a number is cut off or above {limit}; copy or make the file again")


class _Reader:
    """Reads numbers and bytes, and refuses what cannot be."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise ModelError(
                f"a damaged .tfcz: {what} of its directory is wrong at byte {self.position}; copy or make it again"
            )

    def varint(self, what: str, limit: int) -> int:
        value, self.position = read_varint(self.data, self.position, limit)
        return value

    def bytes(self, count: int, what: str) -> bytes:
        self.expect(self.position + count <= len(self.data), what)
        self.position += count
        return self.data[self.position - count : self.position]


def _write_group(out: bytearray, group: Group) -> None:
    out.append(_WIDTHS.index(group.width) | group.transform << 2 | (16 if group.fill is not None else 0))
    if group.fill is not None:
        out += group.fill
        return
    write_varint(out, group.steps)
    for plane in group.planes:
        if isinstance(plane, int):
            out += bytes([CONSTANT, plane])
            continue
        if plane.kind is Kind.UNIFORM:
            out += bytes([Kind.UNIFORM, plane.centre])
            continue
        lowest, highest = (int(plane.present.nonzero()[0][i]) for i in (0, -1))
        dense = bool(plane.present.all())
        ranged = not dense and bool(plane.present[lowest : highest + 1].all())
        out += bytes([plane.kind | (0 if dense else 16 if ranged else 32), plane.centre, plane.decay, plane.start >> 9])
        if plane.kind is Kind.COLUMN:
            write_varint(out, plane.period)
        elif plane.kind is Kind.PREDICTED:
            out += np.array(plane.taps, np.int8).tobytes()
        if ranged:
            out += bytes([lowest, highest])
        elif not dense:
            out += np.packbits(plane.present, bitorder="little").tobytes()


def _read_group(reader: _Reader) -> Group:
    head = reader.bytes(1, "a group")[0]
    width, transform = _WIDTHS[head & 3], head >> 2 & 3
    reader.expect(head < 32 and (transform != PRODUCT or width == 4) and transform < 3, "the kind of a group")
    if head & 16:
        reader.expect(transform == 0, "a transform")
        return Group(width, reader.bytes(width, "a filling"))
    steps = reader.varint("steps", 0x7FFFFFFF)
    reader.expect(steps > 0, "steps")
    planes = tuple(_read_plane(reader, steps, first=index == 0) for index in range(width))
    return Group(width, None, transform, steps, planes)


def _read_plane(reader: _Reader, steps: int, *, first: bool) -> ArrayPlan | int:
    head, centre = reader.bytes(2, "a plane")
    if head == CONSTANT:
        return centre
    number, values = head & 15, head >> 4
    reader.expect(
        number <= Kind.PREDICTED and values < 3 and not (first and number == Kind.PLANE), "the kind of a plane"
    )
    if number == Kind.UNIFORM:
        return ArrayPlan(Kind.UNIFORM, centre, 4, 0, steps, 0, np.ones(256, bool))
    decay, start = reader.bytes(2, "a plane")
    reader.expect(1 <= decay <= 8, "a decay")
    period, taps = 0, tuple[int, ...]()
    if number == Kind.COLUMN:
        period = reader.varint("a period", MAX_PERIOD)
        reader.expect(period > 0 and steps % period == 0, "a period")
    elif number == Kind.PREDICTED:
        taps = tuple(np.frombuffer(reader.bytes(TAPS, "taps"), np.int8).tolist())
    present = np.ones(256, bool)
    if values == 1:
        lowest, highest = reader.bytes(2, "a range")
        present[:lowest] = present[highest + 1 :] = False
    elif values == 2:
        present = np.unpackbits(np.frombuffer(reader.bytes(32, "values"), np.uint8), bitorder="little").astype(bool)
    reader.expect(int(present.sum()) >= 2, "the values of a plane")
    return ArrayPlan(Kind(number), centre, decay, start << 9, steps, period, present, taps)


def _read_segment(reader: _Reader, groups: tuple[Group, ...], position: int, size: int) -> Segment:
    number = reader.varint("a group's number", MAX_GROUPS)
    reader.expect(number < len(groups), "a group's number")
    group = groups[number]
    offset = position + reader.varint("a gap", size)
    count = reader.varint("a count", size)
    reader.expect(count > 0 and offset + count * group.width <= size, "a segment")
    columns = source = 0
    factor = b""
    if group.fill is None:
        columns = reader.varint("columns", size)
        reader.expect(columns == 0 or count % columns == 0, "columns")
    if group.transform == PRODUCT:
        source = reader.varint("a source", size)
        reader.expect(source + 4 * count <= size, "a source")
        factor = reader.bytes(4, "a factor")
    return Segment(offset, count, number, columns, source, factor)
