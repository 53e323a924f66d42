"""ONE_HOT in int8: its two values mean 1 and 0 in the scale of its result."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.one_hot import with_one_hot_values
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

NEAR = 0.02  # of the largest output: 8 bits of weights and of the result


def test_a_model_with_one_hot_indices_stays_close_to_float() -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((3,), dtype="int32", name="x")
    y = keras.layers.Flatten()(keras.ops.one_hot(x, 6))
    model = float_model_from_keras(keras.Model(x, keras.layers.Dense(2)(y)), name="indices")
    indices = np.random.default_rng(0).integers(0, 6, (64, 3)).astype(np.int32)
    samples = samples_from_arrays(indices, model_inputs=model.inputs, model_outputs=model.outputs)
    runner = LiteRtRunner(quantize_int8(model, samples, Recipe()).content)
    (outputs,) = runner.run({runner.inputs[0].name: indices}).values()
    (wanted,) = model.predict({"x": indices}).values()
    assert np.abs(outputs - wanted).max() <= NEAR * np.abs(wanted).max()
    assert np.abs(outputs - wanted[::-1]).max() > NEAR * np.abs(wanted).max()  # other indices would not pass


def one_hot(*, zero_point: int) -> bytes:
    """As litert-quantizer writes it: 1 in a scale of 1/255, 0 in one next to nothing, the result from 0 to 1."""
    graph = GraphBuilder()
    source, result = graph.input([1, 3], "int32"), graph.tensor([1, 3, 6], scale=1 / 255)
    on = graph.tensor([], data=np.array(127, np.int8), scale=1 / 255)
    off = graph.tensor([], data=np.array(0, np.int8), scale=1e-9)
    for tensor in (on, result):
        graph.graph.tensors[tensor].quantization.zeroPoint = [zero_point]
    graph.operator("ONE_HOT", [source, graph.integers(6), on, off], [result], "OneHotOptions", axis=-1)
    return graph.content(result)


@pytest.mark.parametrize(("zero_point", "values"), [(-128, [127, -128]), (0, [127, 0])])
def test_the_values_are_the_results_integers(zero_point: int, values: list[int]) -> None:
    graph = read_tflite(with_one_hot_values(one_hot(zero_point=zero_point))).main
    (operator,) = graph.operators
    assert [int(np.asarray(graph.tensors[index].array())) for index in operator.inputs[2:]] == values


def test_a_file_without_one_hot_is_left_as_it_is() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 4]), graph.tensor([1, 4])
    graph.operator("ABS", [source], [result])
    content = graph.content(result)
    assert with_one_hot_values(content) is content
