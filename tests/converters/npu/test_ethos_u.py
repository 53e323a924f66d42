"""Ethos-U: Vela's mapping, its cycles and memories, and the reference kernels that stand in for the NPU."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import TYPES, GraphBuilder
from tests.converters.npu.models import PICTURE
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.ethos_u import compile_for
from tfcompress.converters.ethos_u.configurations import CONFIGS
from tfcompress.converters.ethos_u.log import reasons_in
from tfcompress.converters.ethos_u.options import EthosU
from tfcompress.converters.ethos_u.runner import reference_runner
from tfcompress.converters.npu.quantization import Npu, quantized_for
from tfcompress.data import samples_from_arrays
from tfcompress.errors import RecipeError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

MOST_STEPS = 2  # XNNPACK's rounding against the reference kernels', over three operators
OUTPUT = """Warning (supported operators) operator: QUANTIZE, ofm: 'tfl.quantize'
Reason: Operation has tensor with unsupported DataType Float32 (a)
Feature-map dataTypes must be one of {"INT8"}

Warning (supported operators) operator: None, ofm: 'b'
Reason: Unsupported opType

"""


def test_the_reasons_are_velas_own_words() -> None:
    assert reasons_in(OUTPUT) == {
        "tfl.quantize": "Operation has tensor with unsupported DataType Float32 (a); "
        'Feature-map dataTypes must be one of {"INT8"}',
        "b": "Unsupported opType",
    }


def test_an_unknown_configuration_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="--ethos_u_configs: unknown configuration 'u55', expected one or more of"):
        EthosU(configs=("u55",))
    assert len(CONFIGS) == 11


@pytest.mark.usefixtures("vela")
@pytest.mark.parametrize("config", ["ethos-u55-32", "ethos-u65-512", "ethos-u85-2048"])
def test_an_int8_file_maps_whole_and_its_cycles_add_up(plain: bytes, config: str) -> None:
    compiled = compile_for(plain, config)
    mapping = compiled.mapping
    assert mapping.compiled
    assert mapping.cpu_ops == 0
    assert mapping.cycles == sum(row.cycles or 0 for row in mapping.operators) > 0
    convolutions = 8 * 8 * 4 * 4 * 9 + 6 * 6 * 4 * 4 * 9
    assert convolutions <= int(str(mapping.figures["macs"])) <= 1.1 * convolutions  # Vela's ReLU counts as a pool
    assert compiled.content is not None
    assert [op.name for op in read_tflite(compiled.content).main.operators] == ["ethos-u"]


@pytest.mark.usefixtures("vela")
def test_what_stays_on_the_cpu_has_a_reason_a_layer_and_a_fix(modulo: bytes) -> None:
    mapping = compile_for(modulo, "ethos-u85-256").mapping
    left = {row.operator: row for row in mapping.operators if not row.mapped}
    assert set(left) == {"DEQUANTIZE", "FLOOR_MOD", "QUANTIZE"}
    assert left["FLOOR_MOD"].reason == "Unsupported opType"
    assert left["FLOOR_MOD"].keras_layer == "middle_1"
    assert "DataType Float32" in left["QUANTIZE"].reason
    assert all(row.fix for row in left.values())


@pytest.mark.usefixtures("vela")
def test_a_float_file_stays_on_the_cpu_and_the_fix_is_to_quantize_it(floats: bytes) -> None:
    mapping = compile_for(floats, "ethos-u55-128").mapping
    assert (mapping.compiled, mapping.mapped_ops) == (True, 0)
    assert all("Float32" in row.reason and row.fix.startswith("quantize it") for row in mapping.operators)


def largest(dtype: str) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 7], "int8"), graph.tensor([1], dtype)
    form = {"outputType": TYPES[dtype]}
    graph.operator("ARG_MAX", [source, graph.integers(1)], [result], "ArgMaxOptions", **form)
    return graph.content(result)


@pytest.mark.usefixtures("vela")
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_file_over_whose_figures_vela_stumbles_is_compiled_all_the_same(dtype: str) -> None:
    """Vela 5.2 ends with a KeyError when it prints the operators of a file whose last one it replaces, as int64's."""
    compiled = compile_for(largest(dtype), "ethos-u55-128")
    assert compiled.content is not None
    assert compiled.mapping.compiled
    assert compiled.mapping.cycles
    assert [row.mapped for row in compiled.mapping.operators] == [True]


@pytest.mark.usefixtures("vela")
def test_a_failure_is_named_by_velas_exception_and_not_by_its_last_warning() -> None:
    graph = GraphBuilder()
    first, second, result = graph.input([1, 4]), graph.input([1, 4]), graph.tensor([1, 4], "bool")
    graph.operator("EQUAL", [first, second], [result])
    mapping = compile_for(graph.content(result), "ethos-u55-128").mapping
    assert mapping.compiled is False
    assert str(mapping.reason).startswith("Vela ended with status 1: RuntimeError: ")


@pytest.mark.usefixtures("vela")
def test_a_compiler_that_hangs_is_stopped_and_says_so(plain: bytes) -> None:
    late = compile_for(plain, "ethos-u55-128", time_limit=0.01, use_cache=False)
    assert late.content is None
    assert "Vela did not finish within" in str(late.mapping.reason)


def test_the_stand_in_computes_with_the_reference_kernels(plain: bytes) -> None:
    reference, usual = reference_runner(plain, name="reference"), LiteRtRunner(plain)
    x = np.random.default_rng(1).normal(size=(4, *PICTURE)).astype(np.float32)
    (mine,) = reference.run({reference.inputs[0].name: x}).values()
    (wanted,) = usual.run({usual.inputs[0].name: x}).values()
    graph = read_tflite(plain).main
    quantization = graph.tensors[graph.outputs[0]].quantization
    assert quantization is not None
    assert np.abs(mine - wanted).max() / quantization.scales[0] <= MOST_STEPS
    assert np.abs(wanted).max() / quantization.scales[0] > 10 * MOST_STEPS  # else any answer would do


@pytest.mark.slow
@pytest.mark.usefixtures("vela")
@pytest.mark.parametrize(("kind", "remark"), [("LSTM", "fused LSTM, which this target takes"), ("GRU", "need WHILE")])
def test_vela_takes_a_fused_lstm_and_no_loops(kind: str, remark: str) -> None:
    layer = getattr(keras.layers, kind)(8)
    model = float_model_from_keras(keras.Sequential([keras.Input((10, 4)), layer, keras.layers.Dense(2)]))
    series = np.random.default_rng(0).normal(size=(100, 10, 4)).astype(np.float32)
    samples = samples_from_arrays(series, model_inputs=model.inputs, model_outputs=model.outputs)

    def refused(content: bytes) -> list[str]:
        return [row.operator for row in compile_for(content, "ethos-u55-128").mapping.operators if not row.mapped]

    quantized = quantized_for(model, samples, Recipe(), Npu(refused))
    assert refused(quantized.result.content) == []
    assert any(remark in note for note in quantized.result.notes)
