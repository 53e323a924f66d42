"""The picture of the operator chain."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import forecast, mapping_svg
from tfcompress.graphs.tflite import read_tflite

SVG = "{http://www.w3.org/2000/svg}"


def picture(operators: list[str]) -> ElementTree.Element:
    graph = GraphBuilder()
    tensor = graph.input([1, 8])
    for name in operators:
        result = graph.tensor([1, 8])
        graph.operator(name, [tensor], [result])
        tensor = result
    return ElementTree.fromstring(mapping_svg(forecast(read_tflite(graph.content(tensor)))))


def test_neighbours_of_one_type_share_a_cell_in_the_order_of_execution() -> None:
    labels = [text.text for text in picture(["RELU", "RELU", "TANH", "HARD_SWISH", "RELU"]).iter(f"{SVG}text")]
    assert labels[-4:] == ["RELU ×2", "TANH", "HARD_SWISH", "RELU"]


def test_the_legend_counts_the_operators() -> None:
    labels = [text.text for text in picture(["RELU", "RELU", "HARD_SWISH", "RELU"]).iter(f"{SVG}text")]
    assert labels[:3] == ["Edge TPU: 2", "CPU, cut off by another operator: 1", "CPU, for its own sake: 1"]


def test_a_long_chain_has_one_cell_for_a_stretch_on_the_edge_tpu() -> None:
    labels = [text.text for text in picture([*["RELU", "TANH"] * 250, "HARD_SWISH", "RELU", "TANH"]).iter(f"{SVG}text")]
    assert labels[3:] == ["500 operators", "HARD_SWISH", "RELU", "TANH"]


def test_the_class_says_where_an_operator_runs() -> None:
    groups = [group.get("class") for group in picture(["RELU", "HARD_SWISH", "RELU"]).iter(f"{SVG}g")]
    assert groups == ["mapped", "partition", "refused", "mapped", "refused", "partition"]  # the legend comes first


def test_names_are_escaped_and_nothing_is_fetched() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 8]), graph.tensor([1, 8])
    graph.operator("<script>&", [source], [result])
    text = mapping_svg(forecast(read_tflite(graph.content(result))))
    ElementTree.fromstring(text)
    assert "<script>" not in text
    assert text.count("http") == 1  # the namespace


def test_a_whole_network_fits_a_page(shared: Path) -> None:
    mapping = forecast(shared / "edgetpu/pairs/gc-movenet_single_pose_lightning_ptq/model.tflite")
    root = ElementTree.fromstring(mapping_svg(mapping))
    _, _, width, height = map(int, root.attrib["viewBox"].split())
    assert width < 1000
    assert height < 1000
