"""A picture of the operators and of what they wait for, coloured by where each runs: an SVG that fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.drawing import Node, box, draw, joined_to_fit, style
from tfcompress.converters.edgetpu.latency_picture import BAR_HEIGHT, latency_bars
from tfcompress.converters.edgetpu.mapping import Mapping, OperatorMapping

__all__ = ["mapping_svg"]

_GAP = 4
_LEGEND_WIDTH, _LEGEND_HEIGHT = 224, 26
_LEAST_WIDTH = 3 * (_LEGEND_WIDTH + _GAP)
_STATES = {
    "mapped": "Edge TPU",
    "partition": "CPU, cut off by another operator",
    "refused": "CPU, for its own sake",
}


def mapping_svg(mapping: Mapping, inputs: Sequence[tuple[int, ...]] | None = None) -> str:
    """The graph as an SVG document, readable in light and dark pages.

    Neighbours of one type in one state share a node, with their number; in a large graph all neighbours in one state
    do.  Each node has a title with the index of its first operator.  Below, a bar for each link shows what the
    milliseconds of an inference go to.

    Args:
        mapping: a forecast.
        inputs: for each operator, the positions of those whose results it reads (`drawing.operator_inputs`); None for a
            chain.
    """
    rows = mapping.operators
    sources = [(place - 1,) if place else () for place in range(len(rows))] if inputs is None else inputs
    nodes = joined_to_fit([_node(row, read) for row, read in zip(rows, sources, strict=True)])
    graph = draw(nodes, top=_LEGEND_HEIGHT)
    width = max(graph.width, _LEAST_WIDTH)
    bars = latency_bars(mapping.latency, top=graph.height + _GAP, width=width - _GAP)
    height = graph.height + (len(mapping.latency) * (BAR_HEIGHT + _GAP) + _GAP if bars else 0)
    states = [_state(row) for row in rows]
    legend = [(state, states.count(state)) for state in _STATES if state in states]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            f"<title>{mapping.mapped_ops} of {len(rows)} operators on the Edge TPU</title>",
            f"<style>{style()}.streamed rect{{fill:#8fb4e8}}"
            "@media(prefers-color-scheme:dark){.streamed rect{fill:#2f5a99}}</style>",
            *(_legend(state, count, position) for position, (state, count) in enumerate(legend)),
            *graph.parts,
            *bars,
            "</svg>\n",
        ]
    )


def _state(row: OperatorMapping) -> str:
    if row.mapped:
        return "mapped"
    return "partition" if row.rule in ("partition", "delegate_search") else "refused"


def _node(row: OperatorMapping, inputs: tuple[int, ...]) -> Node:
    state = _state(row)
    return Node(row.operator, state, f"operator {row.index}: {row.operator}, {_STATES[state]}", inputs)


def _legend(state: str, count: int, position: int) -> str:
    label = f"{_STATES[state]}: {count}"
    return box(state, (position * (_LEGEND_WIDTH + _GAP), 0), _LEGEND_WIDTH, label, label)
