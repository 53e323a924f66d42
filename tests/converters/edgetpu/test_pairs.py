"""The forecast against what the real compiler did with public models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SHARED
from tfcompress.converters.edgetpu import CompilerOptions, forecast
from tfcompress.converters.edgetpu.compiled import CUSTOM_OPERATOR
from tfcompress.converters.edgetpu.versions import RUNTIMES
from tfcompress.graphs.tflite import read_tflite

TRUTH = SHARED / "edgetpu" / "truth.json"
CACHED_TOLERANCE = 0.001
NOT_CLOSE = 0.002
BY_CHANCE = 0.1  # of small words, which lie close to the zero point
# Compiled together with another model: which bytes are cached depends on that one too.
CO_COMPILED = {"hanchanghu-mobilenet_v2_1.0_224_inat_bird_quant.v3"}
# The .tflite beside it is another revision: `v25` was compiled from the very same file, to other parameters, and of the
# weights in that file v25's package has all and v6's next to none.
OTHER_REVISION = {"pinto0309-output_tflite_graph.v6"}


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


def pairs_with_their_own_memory() -> list[dict[str, Any]]:
    return [fact for fact in truth() if fact["name"] not in CO_COMPILED | OTHER_REVISION]


@needs_pairs
@pytest.mark.parametrize("fact", pairs_with_their_own_memory(), ids=lambda fact: fact["name"])
def test_parameter_bytes_are_the_compiler_s(fact: dict[str, Any]) -> None:
    mapping = forecast(file_of(fact["name"]))
    assert mapping.on_chip_bytes == pytest.approx(fact["cached_parameter_bytes"], rel=CACHED_TOLERANCE)
    assert mapping.on_chip_bytes != pytest.approx(
        fact["cached_parameter_bytes"] * (1 + NOT_CLOSE), rel=CACHED_TOLERANCE
    )
    assert (mapping.off_chip_bytes == 0) == (fact["streamed_parameter_bytes"] == 0)
    assert mapping.off_chip_bytes == fact["streamed_parameter_bytes"]


@needs_pairs
def test_all_files_but_two_have_exactly_the_compiler_s_bytes() -> None:
    inexact = []
    for fact in truth():
        mapping = forecast(file_of(fact["name"]))
        expected = (fact["cached_parameter_bytes"], fact["streamed_parameter_bytes"])
        if (mapping.on_chip_bytes, mapping.off_chip_bytes) != expected:
            inexact.append(fact["name"])
    assert inexact == [*sorted(OTHER_REVISION), *sorted(CO_COMPILED)]


def pairs_of_compiler_1() -> list[dict[str, Any]]:
    return [fact for fact in pairs_with_their_own_memory() if fact["min_runtime"] == RUNTIMES[1]]


@needs_pairs
@pytest.mark.parametrize("fact", pairs_of_compiler_1(), ids=lambda fact: fact["name"])
def test_what_compiler_1_streamed_is_what_is_forecast_and_within_its_interval(fact: dict[str, Any]) -> None:
    mapping = forecast(file_of(fact["name"]), options=CompilerOptions(compiler=1))
    assert (mapping.on_chip_bytes, mapping.off_chip_bytes) == (fact["cached_parameter_bytes"], 0)
    least, most = mapping.streamed_between or (0, 0)
    assert least <= fact["streamed_parameter_bytes"] <= most


@needs_pairs
def test_one_file_has_two_compiled_forms_of_which_one_is_another_revision_s() -> None:
    files = {name: file_of(f"pinto0309-output_tflite_graph.{name}") for name in ("v6", "v25")}
    assert files["v6"].read_bytes() == files["v25"].read_bytes()
    compiled = {name: forecast(path.with_name("model_edgetpu.tflite")) for name, path in files.items()}
    assert compiled["v6"].on_chip_bytes != compiled["v25"].on_chip_bytes


def share_of_weights(name: str) -> float:
    """Of the kernels of a model, the share of their words of 4 input channels that its compiled form has somewhere."""
    graph = read_tflite(file_of(name)).main
    compiled = read_tflite(file_of(name).with_name("model_edgetpu.tflite")).main
    package = next(operator.custom_options for operator in compiled.operators if operator.name == CUSTOM_OPERATOR)
    assert package is not None
    content = package.tobytes()
    words = np.unique(np.concatenate([np.frombuffer(content[start:][: (len(content) - start) // 4 * 4], np.uint32)
                                      for start in range(4)]))  # fmt: skip
    kernels = [graph.tensors[op.inputs[1]].array() for op in graph.operators if op.name == "CONV_2D"]
    wanted = np.concatenate([k.reshape(-1, 4).view(np.uint32).ravel() for k in kernels
                             if k is not None and k.shape[-1] % 4 == 0 and len(k) >= 16])  # fmt: skip
    return float(np.isin(wanted, words).mean())


@needs_pairs
def test_the_compiled_form_beside_one_file_was_made_of_other_weights() -> None:
    """So its parameter bytes say nothing of that file."""
    assert share_of_weights("pinto0309-output_tflite_graph.v25") == 1
    assert share_of_weights("pinto0309-output_tflite_graph.v6") < BY_CHANCE


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
