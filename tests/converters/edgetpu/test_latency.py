"""Milliseconds: the rates are those of the fit, and the fit foretells figures that it has not seen."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from benchmarks import edgetpu_latency, edgetpu_networks
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import CompilerOptions, forecast, forecast_together
from tfcompress.converters.edgetpu.latency import RATES, SPREAD, Link, latency_of
from tfcompress.converters.edgetpu.work import Work
from tfcompress.graphs.tflite import read_tflite

LINKS: tuple[Link, ...] = ("usb3", "pcie")
ROUNDED = 6e-5  # the rates stand in the code with four decimals
NOT_ROUNDED = 6e-4


@pytest.mark.parametrize("link", LINKS)
def test_the_rates_in_the_code_are_those_of_the_fit(link: Link) -> None:
    fitted = dataclasses.asdict(edgetpu_latency.all_rates()[link])
    written = dataclasses.asdict(RATES[link])
    assert written == pytest.approx(fitted, abs=ROUNDED)
    assert written != pytest.approx({**fitted, "streamed": fitted["streamed"] + NOT_ROUNDED}, abs=ROUNDED)


@pytest.mark.parametrize("link", LINKS)
def test_figures_that_were_left_out_are_foretold(link: Link) -> None:
    results = edgetpu_latency.left_out(link)
    errors = np.abs([foretold / published - 1 for _, published, foretold in results])
    assert len(errors) >= 13
    assert np.median(errors) <= 0.12
    assert np.mean(errors <= 0.25) >= 0.80


def test_the_interval_in_the_code_is_that_of_figures_that_were_left_out() -> None:
    assert pytest.approx(edgetpu_latency.spread(), abs=ROUNDED) == SPREAD
    assert pytest.approx(edgetpu_latency.spread() + NOT_ROUNDED, abs=ROUNDED) != SPREAD
    whole = latency_of(Work(10**9, 0, 10**7, 10**5, 50, 0), "usb3")
    assert (whole.low, whole.high) == (whole.estimate / SPREAD, whole.estimate * SPREAD)


@pytest.mark.parametrize("link", LINKS)
def test_the_interval_holds_for_nine_in_ten_models_that_it_has_not_seen(link: Link) -> None:
    inside = [low <= published <= high for _, published, low, high in edgetpu_latency.intervals(link)]
    assert np.mean(inside) >= 0.9
    assert not all(inside)  # an interval that held everything would say little


def test_multiplications_are_never_faster_than_the_chip() -> None:
    assert all(rates.multiplications >= 1 / edgetpu_latency.PEAK - ROUNDED for rates in RATES.values())


def test_every_figure_names_its_source() -> None:
    for link in LINKS:
        for row in edgetpu_latency.figures(link):
            assert "/" in row[f"{link}_source"], row["model"]
            assert row["work_from"]


@pytest.mark.parametrize("name", edgetpu_networks.NETWORKS)
def test_the_work_of_published_networks_is_what_their_layers_ask_for(name: str) -> None:
    (figure,) = [row for row in json.loads(edgetpu_latency.FIGURES.read_text()) if row["model"] == name]
    counted = vars(edgetpu_networks.work(edgetpu_networks.NETWORKS[name]().graph()))
    assert counted == {key: figure[key] for key in counted}
    assert figure["work_from"] == "benchmarks/edgetpu_networks.py"


def wide(inputs: int, outputs: int) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, inputs]), graph.tensor([1, outputs])
    weights = graph.weights([outputs, inputs])
    graph.operator("FULLY_CONNECTED", [source, weights, -1], [result], "FullyConnectedOptions", version=4)
    return graph.content(result)


def test_the_forecast_gives_an_interval_for_each_link() -> None:
    section = forecast(read_tflite(wide(256, 256))).to_json()["latency_ms"]
    assert isinstance(section, dict)
    assert section["link"] == "usb3"
    assert section["low"] < section["estimate"] < section["high"]
    assert section["pcie"]["link"] == "pcie"
    assert section["streaming"] == 0


def test_streamed_parameters_take_their_time_and_the_advice_says_how_much() -> None:
    mapping = forecast(read_tflite(wide(16_384, 64)))
    (line,) = mapping.advice
    usb = mapping.latency[0]
    assert usb.streaming == pytest.approx(16_384 * 64 / 1e6 * RATES["usb3"].streamed)
    assert f"saves about {usb.streaming:.1f} ms" in line
    assert "16,384 values at once" in line
    assert forecast(read_tflite(wide(256, 256))).advice == ()


def convolutions(count: int) -> bytes:
    """A chain of 3x3 convolutions with 256 channels, 594 KB each."""
    graph = GraphBuilder()
    image = graph.input([1, 8, 8, 256])
    for _ in range(count):
        result = graph.tensor([1, 8, 8, 256])
        graph.operator("CONV_2D", [image, graph.weights([256, 3, 3, 256]), -1], [result], "Conv2DOptions")
        image = result
    return graph.content(image)


def test_a_model_that_does_not_fit_is_told_by_how_much_and_what_that_is_worth() -> None:
    mapping = forecast(read_tflite(convolutions(14)))
    (line,) = mapping.advice
    usb = mapping.latency[0]
    assert f"{mapping.off_chip_bytes:,} parameter bytes do not fit" in line
    assert "smaller by 2%, or split over 2 Edge TPUs (edgetpu_compiler --num_segments=2)" in line
    assert f"saves about {usb.streaming:.1f} ms" in line
    smaller = forecast(read_tflite(convolutions(13)))
    assert (smaller.latency[0].streaming, smaller.advice) == (0, ())


def test_a_model_of_six_times_the_room_is_not_told_to_take_two_chips() -> None:
    (line,) = forecast(read_tflite(convolutions(70))).advice
    assert "--num_segments=6)" in line


def test_a_layer_that_is_larger_than_the_chip_is_named() -> None:
    mapping = forecast(read_tflite(wide(4096, 4096)))
    (line,) = mapping.advice
    assert line.startswith(f"operator 0 FULLY_CONNECTED alone takes {mapping.off_chip_bytes:,} bytes")
    assert "smaller by 57%" in line
    assert f"cached whole, which saves about {mapping.latency[0].streaming:.1f} ms" in line
    assert forecast(read_tflite(wide(4096, 1728))).advice == ()


def divided(inputs: int, outputs: int, parts: int) -> bytes:
    """A Dense layer by outputs, and the whole of them side by side."""
    graph = GraphBuilder()
    source = graph.input([1, inputs])
    results = [graph.tensor([1, outputs // parts]) for _ in range(parts)]
    for result in results:
        weights = graph.weights([outputs // parts, inputs])
        graph.operator("FULLY_CONNECTED", [source, weights, -1], [result], "FullyConnectedOptions", version=4)
    whole = graph.tensor([1, outputs])
    graph.operator("CONCATENATION", results, [whole], "ConcatenationOptions", axis=1)
    return graph.content(whole)


def test_a_layer_that_is_divided_as_advised_is_cached_as_far_as_was_said() -> None:
    before = forecast(read_tflite(wide(4096, 4096)))
    cached = re.search(r"([\d,]+) bytes are cached", before.advice[0])
    assert cached is not None
    kept = int(cached[1].replace(",", ""))
    after = forecast(read_tflite(divided(4096, 4096, 16)))
    assert before.on_chip_bytes == 0
    assert after.on_chip_bytes is not None
    assert kept <= after.on_chip_bytes < kept + 2**20
    halves = forecast(read_tflite(divided(4096, 4096, 2)))  # which was advised once
    assert halves.on_chip_bytes == 0


def test_layers_that_are_too_large_together_are_one_line_with_what_the_chip_holds() -> None:
    graph = GraphBuilder()
    image = graph.input([1, 16, 16, 1000])
    for _ in range(3):
        result = graph.tensor([1, 16, 16, 1000])
        graph.operator("CONV_2D", [image, graph.weights([1000, 3, 3, 1000]), -1], [result], "Conv2DOptions")
        image = result
    (line,) = forecast(read_tflite(graph.content(image))).advice
    assert line.startswith(
        "operator 0 CONV_2D, operator 1 CONV_2D, operator 2 CONV_2D take 9,220,096 bytes or more each"
    )
    assert "all of them are streamed; divided" in line


@pytest.mark.parametrize(("inputs", "outputs"), [(9504, 10), (20_000, 1000), (9000, 3000), (8200, 40_000)])
def test_a_long_input_that_is_pooled_as_advised_is_cached(inputs: int, outputs: int) -> None:
    (line, *_) = forecast(read_tflite(wide(inputs, outputs))).advice
    advised = re.search(r"pooling them to ([\d,]+) or fewer", line)
    assert advised is not None
    after = forecast(read_tflite(wide(int(advised[1].replace(",", "")), outputs)))
    assert after.off_chip_bytes == 0


def test_shortcuts_that_take_the_room_are_named() -> None:
    graph = GraphBuilder()
    image = graph.input([1, 256, 256, 64])
    for _ in range(40):
        start = image
        for _ in range(3):
            result = graph.tensor([1, 256, 256, 64])
            graph.operator("CONV_2D", [image, graph.weights([64, 3, 3, 64]), -1], [result], "Conv2DOptions")
            image = result
        result = graph.tensor([1, 256, 256, 64])
        graph.operator("ADD", [start, image], [result], "AddOptions", version=2)
        image = result
    (line,) = forecast(read_tflite(graph.content(image))).advice
    assert f"without the {256 * 256 * 64:,} bytes of results that wait" in line


def test_dense_layers_that_come_too_late_are_told_from_those_that_do_not_fit() -> None:
    graph = GraphBuilder()
    vector = graph.input([1, 128])
    for _ in range(100):
        result = graph.tensor([1, 128])
        weights = graph.weights([128, 128])
        graph.operator("FULLY_CONNECTED", [vector, weights, -1], [result], "FullyConnectedOptions", version=4)
        vector = result
    (line,) = forecast(read_tflite(graph.content(vector))).advice
    assert "from operator 79 FULLY_CONNECTED on, 21 of them" in line
    assert "do not fit" not in line


def test_models_that_are_compiled_together_are_told_what_that_costs() -> None:
    files = [read_tflite(convolutions(count)) for count in (8, 10)]
    for mapping in forecast_together(files):
        (line,) = mapping.advice
        assert f"take the place of {mapping.off_chip_bytes:,} parameter bytes" in line
        assert f"saves about {mapping.latency[0].streaming:.1f} ms" in line
    assert all(forecast(file).advice == () for file in files)


def test_operators_on_the_cpu_take_time() -> None:
    def model(*, last: str) -> bytes:
        graph = GraphBuilder()
        source, middle, result = (graph.tensor([1, 256, 256, 16]) for _ in range(3))
        graph.graph.inputs.append(source)
        graph.operator("RELU", [source], [middle], version=2)
        graph.operator(last, [middle], [result], version=2)
        return graph.content(result)

    inside, outside = (forecast(read_tflite(model(last=last))).latency[0] for last in ("RELU", "ABS"))
    assert inside.cpu == 0
    assert outside.cpu == pytest.approx(2 * 256 * 256 * 16 / 1e6 * RATES["usb3"].cpu)


def test_nothing_is_said_where_nothing_maps() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 8], "float32"), graph.tensor([1, 8], "float32")
    graph.operator("RELU", [source], [result], version=1)
    mapping = forecast(read_tflite(graph.content(result)), options=CompilerOptions())
    assert mapping.to_json()["latency_ms"] is None
