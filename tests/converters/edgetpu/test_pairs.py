"""The forecast against what the real compiler did with public models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED
from tfcompress.converters.edgetpu import forecast
from tfcompress.converters.edgetpu.compiled import CUSTOM_OPERATOR

TRUTH = SHARED / "edgetpu" / "truth.json"
CACHED_TOLERANCE = 0.03


def truth() -> list[dict[str, Any]]:
    return json.loads(TRUTH.read_text()) if TRUTH.exists() else []


def file_of(name: str) -> Path:
    return SHARED / "edgetpu" / "pairs" / name / "model.tflite"


needs_pairs = pytest.mark.skipif(not TRUTH.exists(), reason="../shared with compiled pairs is absent")


@needs_pairs
@pytest.mark.parametrize("fact", truth(), ids=lambda fact: fact["name"])
def test_forecast_equals_what_the_compiler_did(fact: dict[str, Any]) -> None:
    mapping = forecast(file_of(fact["name"]))
    assert len(mapping.operators) == fact["ops_total"]
    assert [row.index for row in mapping.operators if not row.mapped] == fact["cpu_op_indices"]
    assert mapping.subgraphs == fact["edgetpu_custom_ops"]
    assert mapping.failure is None


@needs_pairs
@pytest.mark.parametrize("fact", truth(), ids=lambda fact: fact["name"])
def test_parameter_bytes_are_close(fact: dict[str, Any]) -> None:
    mapping = forecast(file_of(fact["name"]))
    assert mapping.on_chip_bytes == pytest.approx(fact["cached_parameter_bytes"], rel=CACHED_TOLERANCE)
    assert (mapping.off_chip_bytes == 0) == (fact["streamed_parameter_bytes"] == 0)


@needs_pairs
def test_two_of_three_files_have_exactly_the_compiler_s_bytes() -> None:
    exact = [
        fact["name"]
        for fact in truth()
        if forecast(file_of(fact["name"])).on_chip_bytes == fact["cached_parameter_bytes"]
    ]
    assert len(exact) >= 16


@needs_pairs
@pytest.mark.parametrize("fact", truth(), ids=lambda fact: fact["name"])
def test_the_lowest_runtime_is_no_newer_than_what_the_package_names(fact: dict[str, Any]) -> None:
    lowest = forecast(file_of(fact["name"])).lowest_runtime
    assert lowest is not None
    assert lowest <= fact["min_runtime"]


@needs_pairs
@pytest.mark.parametrize("fact", truth(), ids=lambda fact: fact["name"])
def test_every_operator_on_the_cpu_has_a_reason_and_a_fix(fact: dict[str, Any]) -> None:
    for row in forecast(file_of(fact["name"])).operators:
        assert row.certainty in ("documented", "observed", "inferred")
        assert row.source
        if not row.mapped:
            assert row.explanation
            assert row.fix
            assert row.status != "Mapped to Edge TPU"


def compiled_pairs() -> list[dict[str, Any]]:
    return [fact for fact in truth() if file_of(fact["name"]).with_name("model_edgetpu.tflite").exists()]


@needs_pairs
@pytest.mark.parametrize("fact", compiled_pairs(), ids=lambda fact: fact["name"])
def test_a_compiled_file_tells_what_it_contains(fact: dict[str, Any]) -> None:
    mapping = forecast(file_of(fact["name"]).with_name("model_edgetpu.tflite"))
    assert mapping.on_chip_bytes == fact["cached_parameter_bytes"]
    assert mapping.off_chip_bytes == fact["streamed_parameter_bytes"]
    assert mapping.min_runtime == fact["min_runtime"]
    assert [row.operator for row in mapping.operators if row.mapped] == [CUSTOM_OPERATOR]
    assert mapping.cpu_ops == len(fact["cpu_op_indices"])


@needs_pairs
def test_a_file_without_its_keras_model_still_names_layers_by_their_scopes() -> None:
    rows = forecast(file_of("markusmein-mnist.v2")).operators
    assert [row.keras_layer for row in rows][1:4] == ["conv2d", "conv2d_1", "max_pooling2d"]
