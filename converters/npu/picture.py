"""A picture of what each chip runs of a graph: an SVG that fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.drawing import NODE_HEIGHT, Node, box, draw, joined_to_fit, operator_inputs, style
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.graphs.tflite import Subgraph

__all__ = ["mappings_svg"]

_GAP = 12
_LEGEND_WIDTH = 460


def mappings_svg(mappings: Sequence[CompiledMapping], graph: Subgraph) -> str | None:
    """The graph once for all chips that run the same of it, one drawing below the other; None where nothing is known.

    Args:
        mappings: of each chip, a row an operator of `graph`.
        graph: the file that was compiled.
    """
    inputs = operator_inputs(graph)
    alike: dict[tuple[bool, ...], list[CompiledMapping]] = {}
    for mapping in mappings:
        if len(mapping.operators) == len(inputs):
            alike.setdefault(tuple(row.mapped for row in mapping.operators), []).append(mapping)
    parts, width, top = [], _LEGEND_WIDTH, 0
    for chips in alike.values():
        parts.append(_heading(chips, top))
        nodes = joined_to_fit([_node(chips[0], place, read) for place, read in enumerate(inputs)])
        drawing = draw(nodes, top=top + NODE_HEIGHT)
        parts += drawing.parts
        width, top = max(width, drawing.width), drawing.height + _GAP
    if not parts:
        return None
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" role="img">',
            "<title>What runs where</title>",
            f"<style>{style()}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def _heading(chips: Sequence[CompiledMapping], top: int) -> str:
    first = chips[0]
    names = ", ".join(mapping.name for mapping in chips)
    label = f"{names}: {first.mapped_ops} of {len(first.operators)} operators on {first.runs_on}"
    return box("label", (0, top), 0, label, label)


def _node(mapping: CompiledMapping, place: int, inputs: tuple[int, ...]) -> Node:
    row = mapping.operators[place]
    where = mapping.runs_on if row.mapped else mapping.runs_else
    why = "" if row.mapped else f": {row.reason}"
    state = "mapped" if row.mapped else "refused"
    return Node(row.operator, state, f"operator {row.index}: {row.operator}, {where}{why}", inputs)
