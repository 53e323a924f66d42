"""Layers are cached whole or streamed whole: published figures of chains, and graphs of our own."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import edgetpu_chains
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import CompilerOptions, forecast, forecast_together
from tfcompress.converters.edgetpu.lifetimes import long_lived_bytes
from tfcompress.converters.edgetpu.memory import Demand, demand
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import TfliteFile, read_tflite

MIB = 2**20


def dense(inputs: int, *sizes: int) -> bytes:
    graph = GraphBuilder()
    vector, width = graph.input([1, inputs]), inputs
    for size in sizes:
        result = graph.tensor([1, size])
        weights = graph.weights([size, width])
        graph.operator("FULLY_CONNECTED", [vector, weights, -1], [result], "FullyConnectedOptions", version=4)
        vector, width = result, size
    return graph.content(vector)


def convolutions(count: int, filters: int, *, side: int = 64, channels: int = 3) -> bytes:
    graph = GraphBuilder()
    image = graph.input([1, side, side, channels])
    for _ in range(count):
        result = graph.tensor([1, side, side, filters])
        kernel = graph.weights([filters, 3, 3, channels], scale=np.linspace(0.1, 0.2, filters).tolist())
        graph.operator("CONV_2D", [image, kernel, -1], [result], "Conv2DOptions")
        image, channels = result, filters
    return graph.content(image)


def needs_of(content: bytes) -> Demand:
    graph = read_tflite(content).main
    return demand([OperatorView(graph, operator) for operator in graph.operators], compiler=16)


@pytest.mark.parametrize("name", ["conv5", "fc4", "fc5"])
def test_published_figures_of_chains_are_foretold(name: str) -> None:
    figures = [figure for figure in edgetpu_chains.FIGURES if figure["chain"] == name]
    right = sum(edgetpu_chains.is_right(figure) for figure in figures)
    assert right >= 0.8 * len(figures)
    assert any(figure["streamed_mib"] for figure in figures)
    assert sum(edgetpu_chains.is_right(figure, 5 * MIB) for figure in figures) < right


def test_nine_in_ten_of_all_published_figures_are_foretold() -> None:
    assert sum(map(edgetpu_chains.is_right, edgetpu_chains.FIGURES)) >= 0.9 * len(edgetpu_chains.FIGURES)


def test_a_room_that_was_chosen_on_other_chains_does_nearly_as_well() -> None:
    assert all(right >= 0.8 * count for _, right, count in edgetpu_chains.left_out().values())


def test_a_layer_that_does_not_fit_beside_the_others_is_streamed_whole() -> None:
    layer = 456 * 9 * 512 + 8 * 512  # 452 channels are padded to 456 and 512
    first = 512 * (9 * 4 + 8)
    mapping = forecast(read_tflite(convolutions(5, 452)))
    assert (mapping.on_chip_bytes, mapping.off_chip_bytes) == (
        first + 3 * 452 * 9 * 512 + 3 * 8 * 512,
        layer - 4 * 9 * 512,
    )


def test_small_layers_fill_what_a_large_one_leaves() -> None:
    mapping = forecast(read_tflite(dense(1024, *[1024] * 8, 64)))
    assert mapping.off_chip_bytes == 1024 * 1024 + 4 * 1024
    assert mapping.on_chip_bytes == 7 * (1024 * 1024 + 4 * 1024) + 64 * 1024 + 4 * 64


def test_nothing_changes_where_all_fits() -> None:
    needs = needs_of(dense(64, 512, 512))
    assert needs.cached(needs.room) == needs.layers
    assert needs.within(0).on_chip == 0


def test_more_room_never_caches_less_of_the_chip() -> None:
    needs = needs_of(dense(300, 700, 40, 900, 1300, 10, 513))
    filled = [sum(layer.occupied for layer in needs.cached(room)) for room in range(0, 4 * MIB, 50_000)]
    assert filled == sorted(filled)
    assert all(used <= room for used, room in zip(filled, range(0, 4 * MIB, 50_000), strict=True))


def residual(blocks: int, side: int, *, shortcut: bool) -> TfliteFile:
    graph = GraphBuilder()
    image = graph.input([1, side, side, 64])
    for _ in range(blocks):
        start = image
        for _ in range(3):
            result = graph.tensor([1, side, side, 64])
            graph.operator("CONV_2D", [image, graph.weights([64, 3, 3, 64]), -1], [result], "Conv2DOptions")
            image = result
        if shortcut:
            result = graph.tensor([1, side, side, 64])
            graph.operator("ADD", [start, image], [result], "AddOptions", version=2)
            image = result
    return read_tflite(graph.content(image))


def test_a_shortcut_waits_on_the_chip_and_leaves_less_room() -> None:
    views = [[OperatorView(file.main, op) for op in file.main.operators]
             for file in (residual(2, 56, shortcut=False), residual(2, 56, shortcut=True))]  # fmt: skip
    assert [long_lived_bytes(each) for each in views] == [0, 56 * 56 * 64]
    plain, branched = (demand(each, compiler=16).room for each in views)
    assert plain > branched


def test_the_gate_of_a_swish_does_not_wait() -> None:
    graph = GraphBuilder()
    image = graph.input([1, 64, 64, 16])
    product, gate, result = (graph.tensor([1, 64, 64, 16]) for _ in range(3))
    graph.operator("CONV_2D", [image, graph.weights([16, 1, 1, 16]), -1], [product], "Conv2DOptions")
    graph.operator("LOGISTIC", [product], [gate])
    graph.operator("MUL", [product, gate], [result], "MulOptions", version=2)
    main = read_tflite(graph.content(result)).main
    assert long_lived_bytes([OperatorView(main, operator) for operator in main.operators]) == 0


@pytest.mark.parametrize("compiler", [15, 16])
def test_models_compiled_together_keep_whole_layers_too(compiler: int) -> None:
    files = [read_tflite(dense(1024, *[1024] * count)) for count in (5, 4)]
    mappings = forecast_together(files, options=CompilerOptions(compiler=compiler))
    layer = 1024 * 1024 + 4 * 1024
    for mapping in mappings:
        assert mapping.on_chip_bytes is not None
        assert mapping.on_chip_bytes % layer == 0
    assert sum(mapping.off_chip_bytes or 0 for mapping in mappings) in (2 * layer, 3 * layer)
