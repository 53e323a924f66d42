"""The picture of the operator chain."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import forecast, mapping_svg
from tfcompress.graphs.tflite import read_tflite

SVG = "{http://www.w3.org/2000/svg}"


def labels_of(root: ElementTree.Element) -> list[str | None]:
    """The texts of the chain, without those of the bars below it."""
    groups = [group for group in root.iter(f"{SVG}g") if group.get("class") != "label"]
    return [text.text for group in groups for text in group.iter(f"{SVG}text")]


def picture(operators: list[str]) -> ElementTree.Element:
    graph = GraphBuilder()
    tensor = graph.input([1, 8])
    for name in operators:
        result = graph.tensor([1, 8])
        graph.operator(name, [tensor], [result])
        tensor = result
    return ElementTree.fromstring(mapping_svg(forecast(read_tflite(graph.content(tensor)))))


def test_neighbours_of_one_type_share_a_cell_in_the_order_of_execution() -> None:
    labels = labels_of(picture(["RELU", "RELU", "TANH", "HARD_SWISH", "RELU"]))
    assert labels[-4:] == ["RELU ×2", "TANH", "HARD_SWISH", "RELU"]


def test_the_legend_counts_the_operators() -> None:
    labels = labels_of(picture(["RELU", "RELU", "HARD_SWISH", "RELU"]))
    assert labels[:3] == ["Edge TPU: 2", "CPU, cut off by another operator: 1", "CPU, for its own sake: 1"]


def test_a_long_chain_has_one_cell_for_a_stretch_on_the_edge_tpu() -> None:
    labels = labels_of(picture([*["RELU", "TANH"] * 250, "HARD_SWISH", "RELU", "TANH"]))
    assert labels[3:] == ["500 operators", "HARD_SWISH", "RELU", "TANH"]


def test_the_class_says_where_an_operator_runs() -> None:
    groups = [group.get("class") for group in picture(["RELU", "HARD_SWISH", "RELU"]).iter(f"{SVG}g")]
    assert groups[:6] == ["mapped", "partition", "refused", "mapped", "refused", "partition"]  # the legend comes first


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


def test_a_bar_for_each_link_shows_what_the_milliseconds_go_to() -> None:
    graph = GraphBuilder()
    source, middle, result = graph.input([1, 16_384]), graph.tensor([1, 64]), graph.tensor([1, 64])
    graph.operator("FULLY_CONNECTED", [source, graph.weights([64, 16_384]), -1], [middle], "FullyConnectedOptions")
    graph.operator("HARD_SWISH", [middle], [result], "HardSwishOptions")
    mapping = forecast(read_tflite(graph.content(result)))
    root = ElementTree.fromstring(mapping_svg(mapping))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    usb = mapping.latency[0]
    assert f"USB 3: {usb.estimate:.3g} ms ({usb.low:.3g} to {usb.high:.3g})" in titles
    assert f"parameters streamed: {usb.streaming:.3g} ms" in titles
    assert any(title.startswith("PCIe: ") for title in titles)
    assert [group.get("class") for group in root.iter(f"{SVG}g")].count("streamed") == 2


def test_without_a_forecast_of_time_there_is_no_bar() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 8], "float32"), graph.tensor([1, 8], "float32")
    graph.operator("RELU", [source], [result])
    text = mapping_svg(forecast(read_tflite(graph.content(result))))
    assert "USB 3" not in text
