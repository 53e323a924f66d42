"""Recurrent layers without steps: LiteRT's fused integer LSTM and integer loops, small as their weights and exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import converted
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.facts import float_operators
from tfcompress.converters.litert.float_tflite import float_file
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.quality import output_error
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter
from tfcompress.graphs.tflite.interpreter import run as run_once
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras, tf_keras

STEPS, FEATURES = 12, 5
LOOPS = Abilities(loops=True)
INTEGERS = Recipe(post_training=PostTraining(integer_only=True))
FLOAT_TOLERANCE = 1e-5
# Share of the power of the outputs on the calibration data that int8 costs: about -33 dB.
INT8_ERROR = 5e-4
LARGEST_RATIO = 3.0  # bytes of the file for each weight of an LSTM of 64 units and 128 steps


def network(library: Any, *layers: Any, shape: tuple[int, ...] = (STEPS, FEATURES)) -> Any:
    return library.Sequential([library.Input(shape), *layers, library.layers.Dense(3, name="head")])


def masked(library: Any) -> Any:
    words = library.Input((STEPS,), dtype="int32")
    x = library.layers.Embedding(11, 6, mask_zero=True)(words)
    return library.Model(words, library.layers.Dense(2)(library.layers.LSTM(8)(x)))


def masked_in_both_directions(library: Any) -> Any:
    start = library.Input((STEPS, FEATURES))
    x = library.layers.Masking()(start)
    x = library.layers.Bidirectional(library.layers.GRU(8, return_sequences=True))(x)
    return library.Model(start, library.layers.Dense(2)(x))


def masked_with_a_given_state(library: Any) -> Any:
    start = library.Input((STEPS, FEATURES))
    first = [library.layers.Dense(8)(library.layers.Flatten()(start)) for _ in range(2)]
    x = library.layers.LSTM(8, return_sequences=True)(library.layers.Masking()(start), initial_state=first)
    return library.Model(start, library.layers.Dense(2)(x))


def encoder_and_decoder(library: Any) -> Any:
    first, second = library.Input((STEPS, FEATURES)), library.Input((8, 4))
    _, h, c = library.layers.LSTM(8, return_state=True)(first)
    y = library.layers.LSTM(8, return_sequences=True)(second, initial_state=[h, c])
    return library.Model([first, second], library.layers.Dense(2)(y))


NETWORKS: dict[str, Callable[[Any], Any]] = {
    "an LSTM": lambda k: network(k, k.layers.LSTM(8)),
    "an LSTM of sequences": lambda k: network(k, k.layers.LSTM(8, return_sequences=True)),
    "an LSTM that goes backwards": lambda k: network(k, k.layers.LSTM(8, return_sequences=True, go_backwards=True)),
    "an LSTM with ReLU": lambda k: network(k, k.layers.LSTM(8, activation="relu")),
    "an LSTM without bias": lambda k: network(k, k.layers.LSTM(8, use_bias=False)),
    "an LSTM with dropout": lambda k: network(k, k.layers.LSTM(8, dropout=0.2, recurrent_dropout=0.2)),
    "stacked LSTMs": lambda k: network(k, k.layers.LSTM(8, return_sequences=True), k.layers.LSTM(6)),
    "both directions": lambda k: network(k, k.layers.Bidirectional(k.layers.LSTM(8, return_sequences=True))),
    "a GRU": lambda k: network(k, k.layers.GRU(8)),
    "a GRU that resets before": lambda k: network(k, k.layers.GRU(8, reset_after=False)),
    "a simple RNN": lambda k: network(k, k.layers.SimpleRNN(8)),
    "a masked LSTM": masked,
    "masked GRUs in both directions": masked_in_both_directions,
    "an encoder and a decoder": encoder_and_decoder,
    "a masked LSTM with a given state": masked_with_a_given_state,
    "an LSTM with hard gates": lambda k: network(k, k.layers.LSTM(8, recurrent_activation="hard_sigmoid")),
    "a GRU with hard gates": lambda k: network(k, k.layers.GRU(8, recurrent_activation="hard_sigmoid")),
}
# One row of each kind; the others, and the same in tf_keras, are slow together.
FAST = {"an LSTM", "a GRU", "both directions", "a masked LSTM", "an encoder and a decoder"}


def cases() -> list[Any]:
    return [
        pytest.param(name, library, marks=() if name in FAST and library is keras else pytest.mark.slow)
        for name in NETWORKS
        for library in (keras, tf_keras)
    ]


def inputs_of(model: FloatModel, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random, inputs = np.random.default_rng(seed), {}
    for info in model.inputs:
        sizes = [size or 1 for size in info.shape[1:]]
        if "int" in info.dtype:
            value = random.integers(1, 11, (count, *sizes)).astype(info.dtype)
        else:
            value = random.normal(size=(count, *sizes)).astype(np.float32)
        value[:, -3:] = 0  # what a mask leaves out
        inputs[info.name] = value
    return inputs


def samples_of(model: FloatModel, count: int = 32, seed: int = 0) -> Samples:
    inputs = inputs_of(model, count, seed)
    values = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    return samples_from_arrays(values, model_inputs=model.inputs, model_outputs=model.outputs)


def model_of(name: str, library: Any) -> FloatModel:
    library.utils.set_random_seed(1)
    return float_model_from_keras(NETWORKS[name](library))


@pytest.mark.parametrize(("name", "library"), cases())
def test_a_layer_is_one_operator_in_float_and_in_integers_and_computes_what_keras_does(name: str, library: Any) -> None:
    model = model_of(name, library)
    given = inputs_of(model, 1, seed=5)
    loops = float_file(model, loops=True).content
    interpreter = new_interpreter(loops)
    for _ in range(2):  # a state that stays would show the second time
        outputs = run_once(interpreter, [given[info.name] for info in model.inputs])
        for value, wanted in zip(outputs, model.predict(given).values(), strict=True):
            assert np.abs(value - wanted).max() < FLOAT_TOLERANCE
    result = quantize_int8(model, samples_of(model), Recipe(), abilities=LOOPS)
    file = read_tflite(result.content)
    names = {operator.name for operator in file.main.operators}
    assert names & {"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
    assert len(file.main.operators) < STEPS + 8
    assert set(float_operators(file)) <= {"CAST"}  # with which Masking of tf_keras makes a factor of its mask
    assert output_error(loops, result.content, samples_of(model)) < INT8_ERROR


def test_cells_without_an_activation_of_their_own_are_unrolled_and_compute_what_keras_does() -> None:
    stack = keras.layers.StackedRNNCells([keras.layers.LSTMCell(4), keras.layers.GRUCell(3)])
    keras.utils.set_random_seed(1)
    model = float_model_from_keras(network(keras, keras.layers.RNN(stack), shape=(3, FEATURES)))
    given = inputs_of(model, 1, seed=5)
    content = float_file(model, loops=True).content
    (output,), (wanted,) = run_once(new_interpreter(content), list(given.values())), model.predict(given).values()
    assert np.abs(output - wanted).max() < FLOAT_TOLERANCE
    assert "WHILE" not in {operator.name for operator in read_tflite(content).main.operators}


def test_the_tolerance_of_the_int8_error_would_catch_a_state_that_is_lost() -> None:
    model = model_of("an LSTM", keras)
    loops = float_file(model, loops=True).content
    network = keras.models.clone_model(model.keras_model)
    network.set_weights(
        [
            w * (0 if "recurrent" in v.path else 1)
            for v, w in zip(network.weights, model.keras_model.get_weights(), strict=True)
        ]
    )
    other = float_model_from_keras(network)
    result = quantize_int8(other, samples_of(other), Recipe(), abilities=LOOPS)
    assert output_error(loops, result.content, samples_of(model)) > INT8_ERROR


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_file_for_phones_is_little_larger_than_its_weights(kind: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    layer = getattr(keras.layers, kind)(64)
    model = float_model_from_keras(network(keras, layer, shape=(128, 8)))
    series = np.random.default_rng(0).normal(size=(24, 128, 8)).astype(np.float32)
    artifact = converted(model, series, tmp_path, INTEGERS)
    assert artifact.facts["fully_integer"]
    assert artifact.runnable.stat().st_size < LARGEST_RATIO * (model.parameters or 0)
    content = artifact.runnable.read_bytes()
    scale, zero = new_interpreter(content).get_input_details()[0]["quantization"]
    integers = np.clip(np.round(series[:2, None] / scale) + zero, -128, 127).astype(np.int8)
    alone = [run_once(new_interpreter(content), [row])[0] for row in integers]
    interpreter = new_interpreter(content)
    for index in (1, 0, 1):  # whatever came before, an answer is that of its own series
        assert np.array_equal(run_once(interpreter, [integers[index]])[0], alone[index])
    assert not np.array_equal(alone[0], alone[1])


def test_more_steps_than_can_be_unrolled_become_a_loop(tmp_path: Path) -> None:
    model = float_model_from_keras(network(keras, keras.layers.GRU(4), shape=(600, 2)))
    series = np.random.default_rng(0).normal(size=(8, 600, 2)).astype(np.float32)
    assert converted(model, series, tmp_path, INTEGERS).facts["fully_integer"]


def test_a_layer_that_is_kept_in_float_stays_a_float_loop() -> None:
    model = model_of("stacked LSTMs", tf_keras)
    layer = model.keras_model.layers[0].name
    result = quantize_int8(model, samples_of(model), Recipe(keep_float=(layer,)), abilities=LOOPS)
    file = read_tflite(result.content)
    bodies = [{t.dtype for t in graph.tensors} for graph in file.subgraphs[1:]]
    assert any("float32" in types for types in bodies)
    loops = float_file(model, loops=True).content
    assert output_error(loops, result.content, samples_of(model)) < INT8_ERROR
