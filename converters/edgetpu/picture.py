"""A picture of the operator chain, coloured by where each operator runs: an SVG without any outside resource."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import groupby

from tfcompress.converters.edgetpu.mapping import Mapping, OperatorMapping

__all__ = ["mapping_svg"]

_COLUMNS = 8
_CELL_WIDTH, _CELL_HEIGHT, _GAP = 112, 24, 4
_LEGEND_HEIGHT = 26
_LONGEST_LABEL = 15

# state: (legend, fill and text in a light page, fill and text in a dark one); each pair has a contrast above 4.5 : 1
_STATES = {
    "mapped": ("Edge TPU", "#cfe8d5", "#12381f", "#1f4d2e", "#d9f2e0"),
    "partition": ("CPU: cut off by another operator", "#fbe6b8", "#4a3300", "#5c4508", "#fdeec9"),
    "refused": ("CPU: for its own sake", "#f6c9c4", "#5a1109", "#6b1f17", "#fbdedb"),
}


@dataclass(frozen=True)
class _Cell:
    """Neighbouring operators of one type in one state: type, state, how many, the first one's index."""

    operator: str
    state: str
    count: int
    index: int


def _state(row: OperatorMapping) -> str:
    if row.mapped:
        return "mapped"
    return "partition" if row.rule == "partition" else "refused"


def _cells(mapping: Mapping) -> list[_Cell]:
    groups = groupby(mapping.operators, key=lambda row: (row.operator, _state(row)))
    cells = []
    for (operator, state), rows in groups:
        members = list(rows)
        cells.append(_Cell(operator, state, len(members), members[0].index))
    return cells


def mapping_svg(mapping: Mapping) -> str:
    """The chain as an SVG document, readable in light and dark pages.

    Neighbours of one type in one state share a cell, with their number; each cell has a title with the index of its
    first operator.

    Args:
        mapping: a forecast.
    """
    cells = _cells(mapping)
    rows = -(-len(cells) // _COLUMNS)
    width = _COLUMNS * (_CELL_WIDTH + _GAP)
    height = _LEGEND_HEIGHT + rows * (_CELL_HEIGHT + _GAP)
    used = [state for state in _STATES if any(cell.state == state for cell in cells)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{mapping.mapped_ops} of {len(mapping.operators)} operators on the Edge TPU</title>",
        f"<style>{_style()}</style>",
        *(_legend(state, position) for position, state in enumerate(used)),
        *(_cell(cell, position) for position, cell in enumerate(cells)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _style() -> str:
    light = "".join(f".{s} rect{{fill:{c[1]}}}.{s} text{{fill:{c[2]}}}" for s, c in _STATES.items())
    dark = "".join(f".{s} rect{{fill:{c[3]}}}.{s} text{{fill:{c[4]}}}" for s, c in _STATES.items())
    return f"text{{font:10px system-ui,sans-serif}}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _box(state: str, x: int, y: int, width: int, label: str, title: str) -> str:
    return (
        f'<g class="{state}"><title>{escape(title)}</title>'
        f'<rect x="{x}" y="{y}" width="{width}" height="{_CELL_HEIGHT - 4}" rx="4"/>'
        f'<text x="{x + 6}" y="{y + 14}">{escape(label)}</text></g>'
    )


def _legend(state: str, position: int) -> str:
    width = 2 * _CELL_WIDTH
    return _box(state, position * (width + _GAP), 0, width, _STATES[state][0], _STATES[state][0])


def _cell(cell: _Cell, position: int) -> str:
    row, column = divmod(position, _COLUMNS)
    x, y = column * (_CELL_WIDTH + _GAP), _LEGEND_HEIGHT + row * (_CELL_HEIGHT + _GAP)
    times = f" ×{cell.count}" if cell.count > 1 else ""
    room = _LONGEST_LABEL - len(times)
    name = cell.operator if len(cell.operator) <= room else cell.operator[: room - 1] + "…"
    title = f"operator {cell.index}: {cell.operator}{times}, {_STATES[cell.state][0]}"
    return _box(cell.state, x, y, _CELL_WIDTH, name + times, title)
