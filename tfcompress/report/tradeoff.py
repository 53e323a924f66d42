"""The trade-off picture: accuracy against size, and against time, with intervals and the gate's line.

Everything here is a position in a picture of `WIDTH` by `HEIGHT` units; the template draws it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tfcompress.report import figures
from tfcompress.report.schema import Report, TargetSection

__all__ = ["Mark", "Panel", "Point", "Tick", "device_latency", "panel", "panels"]

Write = Callable[[float], str]
WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 16, 46
CHARACTER, LINE = 8.2, 16.0  # room that a label takes
_SIDE_BY_SIDE = 8
_ASIDE = (0, 25, 50, 75, 100, 130, 160, 190)  # how far labels move from a mark where it is crowded
MOST_TICKS = 5
_FACTORS = ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0))
APART = 9.0  # marks nearer than this are drawn side by side


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """One artifact, several in the same place, or the float model: where it is, its interval, and its label.

    Attributes:
        labels: what stands beside it, a line each.
        status: of the target; `float` for the float model.
        x, y: the centre.
        low, high: ends of the interval; None without one.
        label_x, label_y: start of the first label's baseline.
        title: everything in words.
        leader: where a line from the centre meets labels that are not beside it; None where they are.
    """

    labels: tuple[str, ...]
    status: str
    x: float
    y: float
    low: float | None
    high: float | None
    label_x: float
    label_y: float
    title: str
    leader: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: what it shows.
        x_name, y_name: of the axes.
        x_ticks, y_ticks: on them.
        marks: the float model first.
        gate: height of the line that an artifact must not fall below; None without one.
        gate_text: what it says.
    """

    title: str
    x_name: str
    y_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    gate: float | None
    gate_text: str


@dataclass(frozen=True)
class Point:
    """A mark in its own units.

    Attributes:
        label: what stands beside it.
        status: of the target, which gives the colour; `float` for the float model.
        cost: above 0.
        good: the higher the better.
        interval: of `good`; None without one.
        title: everything in words.
    """

    label: str
    status: str
    cost: float
    good: float
    interval: tuple[float, float] | None
    title: str


def panels(report: Report) -> tuple[Panel, ...]:
    """Accuracy against size, and against time; each where two or more points of it are known.

    Accuracy is the change of the metric with its 95 % interval; without labels it is the share of the same answers.
    """
    sections = {name: section for name, section in report.asked.items() if section.converted}
    metric = next((section.diff.metric for section in sections.values() if section.diff.metric), "accuracy")
    labelled = any(section.diff.accuracy_drop is not None for section in sections.values())
    limit = report.gate.max_accuracy_drop if labelled else None
    y_name = f"{metric} change, points" if labelled else "same answers, %"
    float_time = next((s.float_latency_ms.median for s in sections.values() if s.float_latency_ms is not None), None)
    sizes = [("float", report.model.float_bytes), *((name, section.bytes) for name, section in sections.items())]
    times = [("float", float_time), *_times(sections)]
    candidates = (
        ("Accuracy against size", "size (log scale)", figures.size, sizes),
        ("Accuracy against time", "time of a sample, each where it runs (log scale)", figures.milliseconds, times),
    )
    drawn = []
    for title, x_name, write, costs in candidates:
        points = [point for name, cost in costs if (point := _point(name, cost, sections, labelled, write)) is not None]
        if len(points) > 1:
            drawn.append(panel(title, x_name, y_name, write, points, limit))
    return tuple(drawn)


def device_latency(section: TargetSection) -> float | None:
    """Milliseconds of one sample where the artifact is to run, as far as they are known: forecast for an accelerator,
    the compiler's for a TPU, else measured on this machine's CPU.
    """
    if section.mappings:
        values = [m.latency_ms.estimate for m in section.mappings if m.latency_ms and m.latency_ms.estimate is not None]
        return min(values, default=None)
    if section.compile:
        each = [
            1000 * row.seconds / (row.batch_size or 1)
            for row in section.compile
            if row.seconds is not None and not row.sharding
        ]
        return min(each, default=None)
    return None if section.latency_ms is None else section.latency_ms.median


def _times(sections: Mapping[str, TargetSection]) -> Iterator[tuple[str, float | None]]:
    for name, section in sections.items():
        yield name, device_latency(section)


def _point(
    name: str, cost: float | None, sections: Mapping[str, TargetSection], labelled: bool, write: Write
) -> Point | None:
    """None where what it costs or how good it is is not known."""
    if cost is None or cost <= 0:
        return None
    if name not in sections:
        good = 0.0 if labelled else 100.0
        return Point("float", "float", cost, good, None, f"float model: {write(cost)}")
    section = sections[name]
    diff, title = section.diff, section.title or name
    if labelled:
        if diff.accuracy_drop is None:
            return None
        bounds = diff.accuracy_drop_ci95
        interval = None if bounds is None else (-100 * bounds[1], -100 * bounds[0])
        said = f"{title}: {write(cost)}, {figures.change(diff.accuracy_drop)} points"
        said += f" (95 %: {figures.interval(bounds)})" if bounds else ""
        return Point(title, section.status, cost, -100 * diff.accuracy_drop, interval, said)
    if diff.top1_agreement is None:
        return None
    said = f"{title}: {write(cost)}, same answers {figures.percent(diff.top1_agreement)}"
    return Point(title, section.status, cost, 100 * diff.top1_agreement, None, said)


def panel(title: str, x_name: str, y_name: str, write: Write, points: Sequence[Point], limit: float | None) -> Panel:
    """One picture.

    Args:
        title: what it shows.
        x_name: of the axis of costs, which is logarithmic.
        y_name: of the other.
        write: puts a cost into words.
        points: two or more that differ, or one.
        limit: largest allowed drop, as a share; None without a gate.
    """
    heights = [value for point in points for value in (point.good, *(point.interval or ()))]
    gate = None if limit is None else -100 * limit
    lowest: float = min(heights)
    low, high = lowest if gate is None else min(lowest, gate), max(heights)
    room = max((high - low) * 0.08, 0.05)
    y = _Axis(low - room, high + room, HEIGHT - BOTTOM, TOP)
    costs = [math.log10(point.cost) for point in points]
    side = max((max(costs) - min(costs)) * 0.2, 0.1)
    x = _Axis(min(costs) - side, max(costs) + 1.5 * side, LEFT, WIDTH - RIGHT)
    gate_text = "" if gate is None else f"gate: {_signed(gate, y_name)}"
    return Panel(
        title=title,
        x_name=x_name,
        y_name=y_name,
        x_ticks=tuple(Tick(x.at(math.log10(value)), write(value)) for value in _log_ticks(x.first, x.last)),
        y_ticks=tuple(Tick(y.at(value), _signed(value, y_name)) for value in _ticks(y.first, y.last)),
        marks=_marks(points, x, y, () if gate is None else _gate_boxes(y.at(gate), gate_text)),
        gate=None if gate is None else round(y.at(gate), 1),
        gate_text=gate_text,
    )


@dataclass(frozen=True)
class _Axis:
    """From `first` to `last` in the axis' units, which lie at `start` and `end` in the picture."""

    first: float
    last: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value."""
        return round(self.start + (value - self.first) / (self.last - self.first) * (self.end - self.start), 1)


def _ticks(first: float, last: float) -> Iterator[float]:
    """Three to seven round values."""
    raw = (last - first) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    for number in range(math.ceil(first / step), math.floor(last / step) + 1):
        yield round(number * step, 10)


def _log_ticks(first: float, last: float) -> list[float]:
    """Round values between two powers of ten: 1, 2 and 5 of each decade, only 1 where that is many, more where few."""
    ticks: list[float] = []
    for factors in _FACTORS:
        ticks = _of_each_decade(first, last, factors)
        if len(ticks) >= 2:  # by a single value nobody can tell how far apart two places are
            break
    return ticks if len(ticks) <= MOST_TICKS else _of_each_decade(first, last, (1.0,))


def _of_each_decade(first: float, last: float, factors: Sequence[float]) -> list[float]:
    decades = range(math.floor(first), math.ceil(last) + 1)
    return [f * 10.0**d for d in decades for f in factors if first <= math.log10(f * 10.0**d) <= last]


def _signed(value: float, y_name: str) -> str:
    written = f"{abs(value):.10g}"
    return written if y_name.endswith("%") or value == 0 else ("+" if value > 0 else "−") + written


def _gate_boxes(height: float, text: str) -> tuple[_Box, ...]:
    """Of the gate's line, and of what stands below its right end."""
    right = WIDTH - RIGHT
    return (
        _Box(LEFT, height - 1, right, height + 1),
        _Box(right - CHARACTER * len(text), height, right, height + LINE),
    )


def _marks(points: Sequence[Point], x: _Axis, y: _Axis, gate: Sequence[_Box]) -> tuple[Mark, ...]:
    """The points in the picture: equal ones as one mark, others at one place side by side, each label where nothing
    else is.
    """
    marks: list[Mark] = []
    few = len(points) <= _SIDE_BY_SIDE  # of many, those that move aside would end far from their place
    for point in points:
        left, top = x.at(math.log10(point.cost)), y.at(point.good)
        low, high = (None, None) if point.interval is None else (y.at(point.interval[0]), y.at(point.interval[1]))
        mark = Mark((point.label,), point.status, left, top, low, high, 0, 0, point.title)
        same = next((number for number, other in enumerate(marks) if _is_same(mark, other)), None)
        if same is not None:
            both = (*marks[same].labels, point.label), f"{marks[same].title}; {point.title}"
            marks[same] = replace(marks[same], labels=both[0], title=both[1])
            continue
        while few and any(abs(other.x - left) < APART and abs(other.y - top) < 3 * APART for other in marks):
            left += APART
        marks.append(replace(mark, x=left))
    boxes = [_Box(m.x - 5, min(m.y, m.high or m.y) - 5, m.x + 5, max(m.y, m.low or m.y) + 5) for m in marks]
    labels: list[_Box] = []
    placed = []
    for mark in marks:
        box = _free(mark, [*boxes, *gate], labels, [(other.x, other.y) for other in marks if other is not mark])
        labels.append(box)
        left, top = round(box.left, 1), round(box.top + LINE - 3, 1)
        placed.append(replace(mark, label_x=left, label_y=top, leader=_leader(mark, box)))
    return tuple(placed)


def _is_same(mark: Mark, other: Mark) -> bool:
    """Whether two marks would cover each other, interval and all."""
    ends = zip((mark.y, mark.low, mark.high), (other.y, other.low, other.high), strict=True)
    near = all(a is b or (a is not None and b is not None and abs(a - b) < APART / 2) for a, b in ends)
    return near and mark.status == other.status and abs(mark.x - other.x) < APART / 2


@dataclass(frozen=True)
class _Box:
    """Room that something takes."""

    left: float
    top: float
    right: float
    bottom: float

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point in it that is nearest to another."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def meets(self, other: _Box) -> bool:
        """Whether they overlap."""
        apart = self.right < other.left or other.right < self.left or self.bottom < other.top or other.bottom < self.top
        return not apart


def _leader(mark: Mark, box: _Box) -> tuple[float, float] | None:
    """The point of a label's box that is nearest to its mark; None where it is beside the mark."""
    x, y = box.nearest(mark.x, mark.y)
    return None if math.hypot(x - mark.x, y - mark.y) < LINE else (round(x, 1), round(y, 1))


def _is_clear(mark: Mark, box: _Box, others: Sequence[tuple[float, float]]) -> bool:
    """Whether a label can be taken for no other mark's: it stands beside its own, or far from each other and behind a
    line that touches none.
    """
    end = _leader(mark, box)
    if end is None:
        return True
    far = all(math.dist(other, box.nearest(*other)) > LINE for other in others)
    return far and all(_distance(other, (mark.x, mark.y), end) > APART for other in others)


def _distance(point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]) -> float:
    """Of a point from a line between two others."""
    along = end[0] - start[0], end[1] - start[1]
    share = ((point[0] - start[0]) * along[0] + (point[1] - start[1]) * along[1]) / (along[0] ** 2 + along[1] ** 2)
    share = min(max(share, 0.0), 1.0)
    return math.dist(point, (start[0] + share * along[0], start[1] + share * along[1]))


def _free(mark: Mark, marks: Sequence[_Box], labels: Sequence[_Box], others: Sequence[tuple[float, float]]) -> _Box:
    """Room for a mark's labels: beside it, on either side and somewhat higher or lower, else where its interval ends,
    else farther away with a line to it; where there is none, over another mark, but not over other labels.
    """
    width, height = CHARACTER * max(map(len, mark.labels)), LINE * len(mark.labels)
    top, bottom = (mark.y if mark.high is None else mark.high), (mark.y if mark.low is None else mark.low)
    ends = top - height / 2 - 6, bottom + height / 2 + 6
    sides = (mark.x + 9, mark.x - 9 - width)
    beside = [(left, mark.y + step * LINE) for step in (0, -1, 1, -2, 2) for left in sides]
    steps = sorted(((dx, dy * LINE) for dx in _ASIDE for dy in range(-14, 15)), key=lambda step: math.hypot(*step))
    farther = [(left + math.copysign(dx, left - mark.x), mark.y + dy) for dx, dy in steps for left in sides]
    places = [*beside, *((mark.x - width / 2, end) for end in ends), *farther]
    boxes = [_Box(left, middle - height / 2, left + width, middle + height / 2) for left, middle in places]
    inside = [b for b in boxes if b.left > LEFT and b.right < WIDTH and b.top > 0 and b.bottom < HEIGHT - BOTTOM]
    free = [box for box in inside if not any(box.meets(other) for other in labels)]
    best = [box for box in free if not any(box.meets(other) for other in marks) and _is_clear(mark, box, others)]
    return next(iter((*best, *free)), boxes[0])
