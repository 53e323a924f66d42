"""A graph of operators as a drawing: nodes in rows by what they wait for, branches side by side, in newspaper columns.

A row is the length of the longest path to it.  A line that passes rows gets a narrow lane of its own there, so that it
runs through no node (the idea of Sugiyama et al. 1981, "Methods for visual understanding of hierarchical system
structures", without their reordering).  After enough rows the drawing goes on at the top of a new column, where
possible below a row that one line leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from tfcompress.graphs.tflite import Subgraph

__all__ = [
    "NODE_HEIGHT",
    "NODE_WIDTH",
    "Drawing",
    "Node",
    "box",
    "draw",
    "joined_to_fit",
    "operator_inputs",
    "style",
]

NODE_WIDTH, NODE_HEIGHT, PITCH = 124, 20, 34
LANE_GAP, NARROW, COLUMN_GAP = 8, 12, 30
COLUMNS, WIDEST = 6, 1000  # as many columns as fit into this width
LEAST_ROWS, PATIENCE = 16, 1.5  # of a column; how much longer it may get
_LONGEST_LABEL = 17
_MOST_NODES = 160  # beyond, all neighbours in a chain that are in one state share a node, whatever their types

# state: fill and text in a light page, fill and text in a dark one; each pair has a contrast above 4.5 : 1
_COLOURS = {
    "mapped": ("#cfe8d5", "#12381f", "#1f4d2e", "#d9f2e0"),
    "partition": ("#fbe6b8", "#4a3300", "#5c4508", "#fdeec9"),
    "refused": ("#f6c9c4", "#5a1109", "#6b1f17", "#fbdedb"),
}


@dataclass(frozen=True)
class Node:
    """An operator, or neighbours in a chain that are drawn as one.

    Attributes:
        label: what stands in it.
        state: class of its colours.
        title: for the pointer.
        inputs: positions of the nodes that it reads, all of them before its own.
        count: how many operators it stands for.
    """

    label: str
    state: str
    title: str
    inputs: tuple[int, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Drawing:
    """SVG elements, and the room that they take."""

    parts: tuple[str, ...]
    width: int
    height: int


def operator_inputs(graph: Subgraph) -> tuple[tuple[int, ...], ...]:
    """For each operator, the positions of those whose results it reads; all are before it."""
    producers = {tensor: place for place, operator in enumerate(graph.operators) for tensor in operator.outputs}
    return tuple(
        tuple(dict.fromkeys(producers[tensor] for tensor in operator.inputs if producers.get(tensor, place) < place))
        for place, operator in enumerate(graph.operators)
    )


def _joined(nodes: Sequence[Node], *, any_type: bool) -> tuple[Node, ...]:
    """Nodes with neighbours in a chain made one where they are in one state.

    Args:
        nodes: one an operator, whose label is its type.
        any_type: also those of different types that are mapped; else only those of the same.
    """
    readers: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        for source in node.inputs:
            readers.setdefault(source, []).append(place)
    groups: list[list[int]] = []
    group_of: dict[int, int] = {}
    for place, node in enumerate(nodes):
        before = node.inputs[0] if len(node.inputs) == 1 else None
        if before is not None and len(readers[before]) == 1 and _alike(nodes[before], node, any_type):
            group_of[place] = group_of[before]
            groups[group_of[place]].append(place)
        else:
            group_of[place] = len(groups)
            groups.append([place])
    return tuple(_one_of([nodes[place] for place in group], group_of) for group in groups)


def _alike(first: Node, second: Node, any_type: bool) -> bool:
    """Whether two neighbours may share a node: what is not on the accelerator is always named by its type."""
    if first.state != second.state:
        return False
    return first.label == second.label or (any_type and second.state == "mapped")


def _one_of(members: Sequence[Node], group_of: dict[int, int]) -> Node:
    """One node for a chain."""
    first, last = members[0], members[-1]
    inputs = tuple(dict.fromkeys(group_of[source] for source in first.inputs))
    if len(members) == 1:
        return replace(first, inputs=inputs)
    kinds = list(dict.fromkeys(member.label for member in members))
    times = f" ×{len(members)}"
    label = f"{_short(kinds[0], len(times))}{times}" if len(kinds) == 1 else f"{len(members)} operators"
    title = f"{first.title} to {last.title}: {', '.join(kinds)}"
    return Node(label, first.state, title, inputs, len(members))


def _short(label: str, room: int = 0) -> str:
    """A label that fits into a node beside `room` further characters."""
    longest = _LONGEST_LABEL - room
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def joined_to_fit(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Neighbours of one type joined, and of several types where there would be too many nodes."""
    few = _joined(nodes, any_type=False)
    return few if len(few) <= _MOST_NODES else _joined(nodes, any_type=True)


def style() -> str:
    """The style sheet of a drawing, for light and dark pages; classes are ``mapped``, ``partition`` and ``refused``."""
    light = "".join(f".{s} rect{{fill:{c[0]}}}.{s} text{{fill:{c[1]}}}" for s, c in _COLOURS.items())
    dark = "".join(f".{s} rect{{fill:{c[2]}}}.{s} text{{fill:{c[3]}}}" for s, c in _COLOURS.items())
    edges = ".edge{fill:none;stroke:#8a93a1;stroke-width:1.2}"
    return (
        f"text{{font:10px system-ui,sans-serif}}{edges}{light}.label text{{fill:#1a1a1a}}"
        f"@media(prefers-color-scheme:dark){{{dark}.label text{{fill:#eee}}}}"
    )


def box(state: str, place: tuple[int, int], width: int, label: str, title: str) -> str:
    """A rectangle with a label, and a title for the pointer.

    Args:
        state: class of its colours.
        place: the upper left corner.
        width: of the rectangle.
        label: what stands in it.
        title: shown by the pointer.
    """
    x, y = place
    return (
        f'<g class="{escape(state)}"><title>{escape(title)}</title>'
        f'<rect x="{x}" y="{y}" width="{width}" height="{NODE_HEIGHT}" rx="4"/>'
        f'<text x="{x + 6}" y="{y + 14}">{escape(label)}</text></g>'
    )


def draw(nodes: Sequence[Node], *, top: int = 0) -> Drawing:
    """Draw a graph.

    Args:
        nodes: each behind those that it reads.
        top: where the drawing begins.
    """
    layout = _Layout(nodes, COLUMNS)
    for columns in range(COLUMNS - 1, 0, -1):
        if layout.width > WIDEST:
            layout = _Layout(nodes, columns)
    parts = [f'<path class="edge" d="{path}"/>' for path in layout.lines(top)]
    for place, node in enumerate(nodes):
        parts.append(box(node.state, layout.corner(place, top), NODE_WIDTH, _short(node.label), node.title))
    return Drawing(tuple(parts), layout.width, top + layout.height)


class _Layout:
    """Where nodes and lines are."""

    def __init__(self, nodes: Sequence[Node], columns: int) -> None:
        self._nodes = nodes
        self._rows: list[int] = []  # of each node
        for node in nodes:
            self._rows.append(1 + max((self._rows[source] for source in node.inputs), default=-1))
        count = max(self._rows, default=-1) + 1
        self._taken: list[set[int]] = [set() for _ in range(count)]  # lanes of each row
        self._lanes: list[int] = []  # of each node
        self._passing: dict[tuple[int, int], int] = {}  # (from, to): the lane of a line past rows
        self._place_all()
        self._starts = self._breaks(count, columns)  # first row of each column
        self._columns = [self._column(row) for row in range(count)]
        self._x = self._lane_positions()
        self.width = max((x + size for lanes in self._x for x, size in lanes.values()), default=0) + COLUMN_GAP
        ends = [*self._starts[1:], count]
        longest = max((end - start for start, end in zip(self._starts, ends, strict=False)), default=0)
        self.height = longest * PITCH + PITCH // 2

    def _place_all(self) -> None:
        for place, node in enumerate(self._nodes):
            row = self._rows[place]
            for source in node.inputs:
                between = range(self._rows[source] + 1, row)
                if between:
                    lane = self._free(between, 1)
                    self._passing[source, place] = lane
                    for passed in between:
                        self._taken[passed].add(lane)
            wanted = min((self._lanes[source] for source in node.inputs), default=0)
            lane = self._free(range(row, row + 1), 0 if wanted not in self._taken[row] and wanted == 0 else wanted)
            self._lanes.append(lane)
            self._taken[row].add(lane)

    def _free(self, rows: range, least: int) -> int:
        lane = least
        while any(lane in self._taken[row] for row in rows):
            lane += 1
        return lane

    def _breaks(self, count: int, columns: int) -> list[int]:
        """The rows at which columns begin: about as many as wanted, where few lines are cut."""
        wanted = max(LEAST_ROWS, -(-count // columns))
        crossing = [0] * (count + 1)  # lines into each row from above
        for place, node in enumerate(self._nodes):
            for source in node.inputs:
                for row in range(self._rows[source] + 1, self._rows[place] + 1):
                    crossing[row] += 1
        starts = [0] if count else []
        for row in range(1, count):
            length = row - starts[-1]
            if columns > 1 and length >= wanted and (crossing[row] <= 1 or length >= PATIENCE * wanted):
                starts.append(row)
        return starts

    def _column(self, row: int) -> int:
        return sum(start <= row for start in self._starts) - 1

    def _lane_positions(self) -> list[dict[int, tuple[int, int]]]:
        """For each column {lane: (left, width)}: a lane without nodes is narrow."""
        wide = {(self._columns[row], lane) for row, lane in zip(self._rows, self._lanes, strict=True)}
        positions, x = [], 0
        for column in range(len(self._starts)):
            rows = [row for row, owner in enumerate(self._columns) if owner == column]
            lanes = sorted(set().union(*(self._taken[row] for row in rows)))
            placed = {}
            for lane in lanes:
                size = NODE_WIDTH if (column, lane) in wide else NARROW
                placed[lane] = (x, size)
                x += size + LANE_GAP
            positions.append(placed)
            x += COLUMN_GAP
        return positions

    def corner(self, place: int, top: int) -> tuple[int, int]:
        """The upper left corner of a node."""
        row = self._rows[place]
        return self._x[self._columns[row]][self._lanes[place]][0], self._y(row, top)

    def _y(self, row: int, top: int) -> int:
        return top + (row - self._starts[self._columns[row]]) * PITCH + PITCH // 2

    def lines(self, top: int) -> list[str]:
        """A path for each result that is read."""
        return [self._line(source, place, top) for place, node in enumerate(self._nodes) for source in node.inputs]

    def _line(self, source: int, place: int, top: int) -> str:
        first, last = self._rows[source], self._rows[place]
        lanes = {first: self._lanes[source], last: self._lanes[place]}
        stops = [(row, lanes.get(row, self._passing.get((source, place), 0))) for row in range(first, last + 1)]
        x, y = self._middle(*stops[0]), self._y(first, top) + NODE_HEIGHT
        path, column = f"M{x} {y}", self._columns[first]
        for row, lane in stops[1:]:
            target, upper = self._middle(row, lane), self._y(row, top)
            if self._columns[row] != column:  # down, to the gap between the columns, up, and on
                gap = min(left for left, _ in self._x[self._columns[row]].values()) - COLUMN_GAP // 2
                path += f"V{y + 6}H{gap}V{upper - 8}H{target}V{upper}"
                column = self._columns[row]
            elif target == x:
                path += f"V{upper}"
            else:
                path += f"C{x} {upper - 2} {target} {y + 2} {target} {upper}"
            x, y = target, upper + NODE_HEIGHT
            path += f"V{y}" if row != last else ""
        return path

    def _middle(self, row: int, lane: int) -> int:
        left, size = self._x[self._columns[row]][lane]
        return left + size // 2
