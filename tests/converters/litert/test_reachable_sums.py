"""A sum that is far narrower than what it adds gets a range that LiteRT's integer kernels can load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.converters.litert.models import converted, run
from tfcompress.calibration import Calibration, Range
from tfcompress.converters.litert import to_float_tflite
from tfcompress.converters.litert.reachable_sums import require_reachable_sums, with_reachable_sums
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.load import float_model_from_keras
from tfcompress.runtime import keras

LEAST_SQNR_DB = 25.0
STEPS = 255
WIDTHS = {"ADD": 2.0 * 10 / 2**20, "SQUARED_DIFFERENCE": 4 * 10**2 / (STEPS * 2**14)}  # from -5 to 5, see the kernels


def joined(name: str) -> Subgraph:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    result = left + right if name == "ADD" else keras.ops.square(left - right)
    graph = read_tflite(to_float_tflite(float_model_from_keras(keras.Model([left, right], result)))).main
    assert [operator.name for operator in graph.operators] == [name]
    return graph


def ranges_of(graph: Subgraph, width: float) -> Calibration:
    ends = {graph.tensors[index].name: Range(-5.0, 5.0) for index in graph.inputs}
    result = {graph.tensors[graph.outputs[0]].name: Range(0.0, width)}
    return Calibration("model", None, 1, "minmax", {**ends, **result})


@pytest.mark.parametrize("name", WIDTHS)
def test_a_result_that_is_too_narrow_is_widened_to_what_the_kernel_takes(name: str) -> None:
    graph = joined(name)
    given = ranges_of(graph, WIDTHS[name] / 3)
    result = graph.tensors[graph.outputs[0]].name
    widened = with_reachable_sums(graph, given)
    assert widened.ranges[result].high > WIDTHS[name]
    assert {key: ends for key, ends in widened.ranges.items() if key != result} == {
        key: ends for key, ends in given.ranges.items() if key != result
    }


@pytest.mark.parametrize("name", WIDTHS)
def test_a_result_that_the_kernel_takes_keeps_its_range(name: str) -> None:
    graph = joined(name)
    given = ranges_of(graph, WIDTHS[name] * 3)
    assert with_reachable_sums(graph, given) is given


def test_the_width_of_constants_is_that_of_their_values() -> None:
    inputs = keras.Input((4,), name="x")
    shifted = keras.Model(inputs, inputs + np.full((1, 4), 1e-6, np.float32))
    graph = read_tflite(to_float_tflite(float_model_from_keras(shifted))).main
    names = [graph.tensors[index].name for index in (*graph.inputs, *graph.outputs)]
    given = Calibration("model", None, 1, "minmax", {name: Range(-1e-5, 1e-5) for name in names})
    assert with_reachable_sums(graph, given) is given


@pytest.mark.parametrize("width", [1e9, 1e3])
def test_a_file_that_would_end_the_process_is_refused(width: float) -> None:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    content = to_float_tflite(float_model_from_keras(keras.Model([left, right], left + right)))
    model = ModelEditor.read(content)
    (joined,) = model.main.operators
    for tensor, largest in zip([*joined.inputs, joined.result], [width, width, 10.0], strict=True):
        assert tensor is not None
        tensor.record.type = schema.TensorType.INT8
        tensor.record.quantization = schema.QuantizationParametersT()
        tensor.record.quantization.scale = [largest / 127]
        tensor.record.quantization.zeroPoint = [0]
    if width < 1e6:
        require_reachable_sums(model.to_bytes())
    else:
        with pytest.raises(ConversionError, match=r"ADD of values in steps of 7.87e\+06 with"):
            require_reachable_sums(model.to_bytes())


def test_normalization_over_one_feature_is_loaded_and_close(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 1), name="x")
    series = keras.layers.LayerNormalization(epsilon=1e-6)(keras.layers.Conv1D(1, 1)(inputs)) + inputs
    model = float_model_from_keras(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(series))))
    values = np.random.default_rng(0).normal(size=(40, 8, 1)).astype(np.float32)
    (results,) = run(converted(model, values, tmp_path).runnable.read_bytes(), {"x": values}).values()
    (truth,) = model.predict({"x": values}).values()
    assert sqnr_db(truth, results) > LEAST_SQNR_DB
    assert sqnr_db(truth, np.roll(results, 1, axis=0)) < LEAST_SQNR_DB


def sqnr_db(truth: np.ndarray, results: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(truth**2) / np.mean((results - truth) ** 2)))
