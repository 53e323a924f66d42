"""Milliseconds: the rates are those of the fit, and the fit foretells figures that it has not seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import edgetpu_latency
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import CompilerOptions, forecast
from tfcompress.converters.edgetpu.latency import RATES, Link, latency_of
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


@pytest.mark.parametrize("link", LINKS)
def test_the_interval_holds_for_nine_in_ten_figures_that_were_left_out(link: Link) -> None:
    whole = latency_of(Work(10**9, 0, 10**7, 10**5, 50, 0), link)
    low, high = whole.low / whole.estimate, whole.high / whole.estimate
    inside = [low * told <= published <= high * told for _, published, told in edgetpu_latency.left_out(link)]
    assert np.mean(inside) >= 0.9
    assert not all(inside)  # an interval that held everything would say little


def test_multiplications_are_never_faster_than_the_chip() -> None:
    assert all(rates.multiplications >= 1 / edgetpu_latency.PEAK - ROUNDED for rates in RATES.values())


def test_every_figure_names_its_source() -> None:
    for link in LINKS:
        for row in edgetpu_latency.figures(link):
            assert "/" in row[f"{link}_source"], row["model"]
            assert row["work_from"]


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


def test_a_model_that_does_not_fit_is_told_by_how_much_and_what_that_is_worth() -> None:
    mapping = forecast(read_tflite(wide(4096, 4096)))
    (line,) = mapping.advice
    assert mapping.off_chip_bytes is not None
    assert f"{mapping.off_chip_bytes:,} parameter bytes do not fit" in line
    assert "--num_segments" in line


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
