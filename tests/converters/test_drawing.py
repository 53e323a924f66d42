"""The drawing of a graph: every node and every line is there, and no line runs through a node."""

from __future__ import annotations

import re

import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.drawing import NODE_WIDTH, Drawing, Node, draw, joined_to_fit, operator_inputs
from tfcompress.graphs.tflite import read_tflite

RESIDUAL = [
    Node("CONV", "mapped", "0"),
    Node("RELU", "mapped", "1", (0,)),
    Node("CONV", "mapped", "2", (1,)),
    Node("ADD", "refused", "3", (2, 0)),
]


def corners(drawing: Drawing) -> list[tuple[int, int]]:
    matches = [re.search(r'<rect x="(\d+)" y="(\d+)"', part) for part in drawing.parts]
    return [(int(match[1]), int(match[2])) for match in matches if match]


def lines(drawing: Drawing) -> list[str]:
    return [part for part in drawing.parts if 'class="edge"' in part]


def test_a_branch_stands_beside_the_other_and_both_meet() -> None:
    nodes = [
        Node("A", "mapped", "0"),
        *(Node(name, "mapped", name, (0,)) for name in "BC"),
        Node("D", "mapped", "3", (1, 2)),
    ]
    drawing = draw(nodes)
    a, b, c, d = corners(drawing)
    assert b[1] == c[1]
    assert b[0] != c[0]
    assert a[1] < b[1] < d[1]
    assert len(lines(drawing)) == 4


def test_a_line_past_other_nodes_has_a_lane_of_its_own() -> None:
    drawing = draw(RESIDUAL)
    boxes = corners(drawing)
    assert len({x for x, _ in boxes}) == 1  # the chain stays in one lane
    skip = next(line for line in lines(drawing) if "C" in line)
    assert max(int(x) for x in re.findall(r" (\d+) \d+V", skip)) > boxes[0][0] + NODE_WIDTH  # right of the nodes


def test_neighbours_in_a_chain_are_joined_and_branches_are_not() -> None:
    chain = [Node("RELU", "mapped", "0"), Node("RELU", "mapped", "1", (0,)), Node("RELU", "refused", "2", (1,))]
    assert [(node.label, node.count) for node in joined_to_fit(chain)] == [("RELU ×2", 2), ("RELU", 1)]
    assert len(joined_to_fit(RESIDUAL)) == 4


def test_a_long_chain_goes_on_in_further_columns() -> None:
    nodes = [Node("CONV" if place % 2 else "RELU", "mapped", "", (place - 1,) if place else ()) for place in range(120)]
    drawing = draw(nodes)
    assert drawing.height < 1000
    assert drawing.width < 1000
    assert len(set(corners(drawing))) == 120
    assert len(lines(drawing)) == 119


@pytest.mark.parametrize("count", [0, 1])
def test_a_graph_of_nothing_or_one_is_drawn(count: int) -> None:
    assert len(draw([Node("A", "mapped", "")] * count).parts) == count


def test_the_operators_that_one_reads_come_from_the_file() -> None:
    graph = GraphBuilder()
    source, left, right, result = graph.input([1, 8]), *(graph.tensor([1, 8]) for _ in range(3))
    graph.operator("RELU", [source], [left])
    graph.operator("TANH", [left], [right])
    graph.operator("ADD", [left, right], [result], "AddOptions")
    assert operator_inputs(read_tflite(graph.content(result)).main) == ((), (0,), (0, 1))
