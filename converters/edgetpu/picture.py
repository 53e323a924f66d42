"""A picture of the operator chain, coloured by where each operator runs: an SVG without any outside resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from itertools import groupby

from tfcompress.converters.edgetpu.latency_picture import BAR_HEIGHT, latency_bars
from tfcompress.converters.edgetpu.mapping import Mapping, OperatorMapping

__all__ = ["mapping_svg"]

_COLUMNS = 8
_CELL_WIDTH, _CELL_HEIGHT, _GAP = 112, 24, 4
_LEGEND_HEIGHT = 26
_LONGEST_LABEL = 15
_MOST_CELLS = 160  # a chain with more of them has one cell for each stretch on the Edge TPU, whatever the types

# state: (legend, fill and text in a light page, fill and text in a dark one); each pair has a contrast above 4.5 : 1
_STATES = {
    "mapped": ("Edge TPU", "#cfe8d5", "#12381f", "#1f4d2e", "#d9f2e0"),
    "partition": ("CPU, cut off by another operator", "#fbe6b8", "#4a3300", "#5c4508", "#fdeec9"),
    "refused": ("CPU, for its own sake", "#f6c9c4", "#5a1109", "#6b1f17", "#fbdedb"),
}


@dataclass(frozen=True)
class _Cell:
    """Neighbouring operators in one state: label, state, how many, and a title for the pointer."""

    label: str
    state: str
    count: int
    title: str


def _state(row: OperatorMapping) -> str:
    if row.mapped:
        return "mapped"
    return "partition" if row.rule in ("partition", "delegate_search") else "refused"


def _cells(mapping: Mapping) -> list[_Cell]:
    cells = [_of_one_type(rows) for rows in _groups(mapping, lambda row: (row.operator, _state(row)))]
    if len(cells) <= _MOST_CELLS:
        return cells
    stretches = _groups(mapping, lambda row: ("" if row.mapped else row.operator, _state(row)))
    return [_stretch(rows) if rows[0].mapped else _of_one_type(rows) for rows in stretches]


def _groups(mapping: Mapping, key: Callable[[OperatorMapping], tuple[str, str]]) -> list[list[OperatorMapping]]:
    return [list(rows) for _, rows in groupby(mapping.operators, key=key)]


def _of_one_type(rows: list[OperatorMapping]) -> _Cell:
    first, state = rows[0], _state(rows[0])
    times = f" ×{len(rows)}" if len(rows) > 1 else ""
    room = _LONGEST_LABEL - len(times)
    name = first.operator if len(first.operator) <= room else first.operator[: room - 1] + "…"
    title = f"operator {first.index}: {first.operator}{times}, {_STATES[state][0]}"
    return _Cell(name + times, state, len(rows), title)


def _stretch(rows: list[OperatorMapping]) -> _Cell:
    types = ", ".join(f"{name} ×{count}" for name, count in Counter(row.operator for row in rows).most_common())
    title = f"operators {rows[0].index} to {rows[-1].index}: {types}, {_STATES['mapped'][0]}"
    return _Cell(f"{len(rows)} operators" if len(rows) > 1 else rows[0].operator, "mapped", len(rows), title)


def mapping_svg(mapping: Mapping) -> str:
    """The chain as an SVG document, readable in light and dark pages.

    Neighbours of one type in one state share a cell, with their number; in a long chain all neighbours on the Edge TPU
    do.  Each cell has a title with the index of its first operator.  Below, a bar for each link shows what the
    milliseconds of an inference go to.

    Args:
        mapping: a forecast.
    """
    cells = _cells(mapping)
    rows = -(-len(cells) // _COLUMNS)
    width = _COLUMNS * (_CELL_WIDTH + _GAP)
    chain = _LEGEND_HEIGHT + rows * (_CELL_HEIGHT + _GAP)
    bars = latency_bars(mapping.latency, top=chain + _GAP, width=width - _GAP)
    height = chain + (len(mapping.latency) * (BAR_HEIGHT + _GAP) + _GAP if bars else 0)
    used = [state for state in _STATES if any(cell.state == state for cell in cells)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{mapping.mapped_ops} of {len(mapping.operators)} operators on the Edge TPU</title>",
        f"<style>{_style()}</style>",
        *(_legend(state, position, cells) for position, state in enumerate(used)),
        *(_cell(cell, position) for position, cell in enumerate(cells)),
        *bars,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _style() -> str:
    light = "".join(f".{s} rect{{fill:{c[1]}}}.{s} text{{fill:{c[2]}}}" for s, c in _STATES.items())
    dark = "".join(f".{s} rect{{fill:{c[3]}}}.{s} text{{fill:{c[4]}}}" for s, c in _STATES.items())
    bars = ".label text{fill:#1a1a1a}.streamed rect{fill:#8fb4e8}"
    dark_bars = ".label text{fill:#eee}.streamed rect{fill:#2f5a99}"
    return f"text{{font:10px system-ui,sans-serif}}{light}{bars}@media(prefers-color-scheme:dark){{{dark}{dark_bars}}}"


def _box(state: str, x: int, y: int, width: int, label: str, title: str) -> str:
    return (
        f'<g class="{state}"><title>{escape(title)}</title>'
        f'<rect x="{x}" y="{y}" width="{width}" height="{_CELL_HEIGHT - 4}" rx="4"/>'
        f'<text x="{x + 6}" y="{y + 14}">{escape(label)}</text></g>'
    )


def _legend(state: str, position: int, cells: list[_Cell]) -> str:
    width = 2 * _CELL_WIDTH
    label = f"{_STATES[state][0]}: {sum(cell.count for cell in cells if cell.state == state)}"
    return _box(state, position * (width + _GAP), 0, width, label, label)


def _cell(cell: _Cell, position: int) -> str:
    row, column = divmod(position, _COLUMNS)
    x, y = column * (_CELL_WIDTH + _GAP), _LEGEND_HEIGHT + row * (_CELL_HEIGHT + _GAP)
    return _box(cell.state, x, y, _CELL_WIDTH, cell.label, cell.title)
