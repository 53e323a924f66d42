"""Recurrent layers as a few float operators for each step, or as loops with float cells: what the loop computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.converters.litert.test_recurrent import INT8_ERROR, inputs_of, model_of, network, samples_of
from tfcompress.converters.litert.float_tflite import float_file
from tfcompress.converters.litert.quality import output_error
from tfcompress.converters.litert.recurrent import Form, held_back, restored
from tfcompress.converters.litert.xnnpack import reason_against
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras

FLOAT_TOLERANCE = 1e-5
WIDE = 20  # units and features that are enough for weights of 8 bits
NOT_XNNPACK = {"UNPACK", "PACK", "WHILE", "FILL"}  # around a row of steps, not inside


def every_kind() -> FloatModel:
    """What the rows of `test_recurrent` do not have, one behind the other."""
    keras.utils.set_random_seed(2)
    k = keras.layers
    layers = [
        k.LSTM(WIDE, recurrent_activation="hard_sigmoid", return_sequences=True),
        k.GRU(WIDE, reset_after=False, return_sequences=True, bias_initializer="random_normal"),
        k.SimpleRNN(WIDE, return_sequences=True),
        k.LSTM(WIDE, activation="relu", recurrent_activation="relu", return_sequences=True, go_backwards=True),
        k.GRU(WIDE, bias_initializer="random_normal", recurrent_activation="hard_sigmoid"),
    ]
    return float_model_from_keras(network(keras, *layers, shape=(6, WIDE)))


def model_named(name: str) -> FloatModel:
    return every_kind() if name == "every kind" else model_of(name, keras)


def in_form(content: bytes, form: Form, **changes: Any) -> bytes:
    """A float file whose loops, as if they were to have integers, have another form."""
    plain, held = held_back(content)
    return restored(plain, [replace(item, **changes) for item in held], {}, form)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("every kind", "float_steps"),
        ("both directions", "float_steps"),
        ("an encoder and a decoder", "float_steps"),
        ("both directions", "float_cells"),
        ("a masked LSTM", "float_cells"),
    ],
)
def test_cells_in_float_compute_what_keras_does(name: str, form: Form) -> None:
    model = model_named(name)  # but for the first, layers of so few units that their weights are float32 in all forms
    given = inputs_of(model, 1, seed=5)
    content = in_form(float_file(model, loops=True).content, form)
    assert (len(read_tflite(content).subgraphs) == 1) == (form == "float_steps")
    for value, wanted in zip(run_with(content, model, given), model.predict(given).values(), strict=True):
        assert np.abs(value - wanted).max() < FLOAT_TOLERANCE


def test_the_tolerance_would_catch_gates_that_change_places() -> None:
    model = model_named("both directions")
    given = inputs_of(model, 1, seed=5)
    plain, held = held_back(float_file(model, loops=True).content)
    changed = [replace(item, weights=item.weights.gates(1, 0, 2, 3)) for item in held]
    outputs = run_with(restored(plain, changed, {}, "float_steps"), model, given)
    assert np.abs(outputs[0] - next(iter(model.predict(given).values()))).max() > FLOAT_TOLERANCE


@pytest.mark.parametrize("form", ["steps", "float_cells"])
def test_weights_of_8_bits_are_as_close_to_float_as_integers_have_to_be(form: Form) -> None:
    model = every_kind()
    loops = float_file(model, loops=True).content
    content = in_form(loops, form)
    assert 0 < output_error(loops, content, samples_of(model)) < INT8_ERROR
    weights = {t.dtype for graph in read_tflite(content).subgraphs for t in graph.tensors if t.shape[-1:] == (WIDE,)}
    assert "int8" in weights
    assert len(content) < len(loops)


@pytest.mark.parametrize("form", ["steps", "float_cells"])
def test_a_runtime_without_xnnpack_computes_the_same(form: Form) -> None:
    model = every_kind()
    given = inputs_of(model, 1, seed=5)
    content = in_form(float_file(model, loops=True).content, form)
    plain = new_interpreter(content, xnnpack=False)
    (value,) = run(plain, [given[info.name] for info in model.inputs])
    (wanted,) = model.predict(given).values()
    assert 0 < np.square(value - wanted).sum() / np.square(wanted).sum() < INT8_ERROR


def test_xnnpack_takes_all_of_a_step() -> None:
    graph = read_tflite(in_form(float_file(every_kind(), loops=True).content, "steps")).main
    left = {operator.name for operator in graph.operators if reason_against(operator, graph) is not None}
    assert left <= NOT_XNNPACK


def test_a_masked_layer_stays_a_loop_and_one_that_is_kept_in_float_has_no_integers() -> None:
    masked = float_file(model_of("a masked LSTM", keras), loops=True).content
    assert "WHILE" in {operator.name for operator in read_tflite(in_form(masked, "steps")).main.operators}
    loops = float_file(every_kind(), loops=True).content
    kept = in_form(loops, "steps", in_float=True)
    assert "int8" not in {tensor.dtype for tensor in read_tflite(kept).main.tensors}


def run_with(content: bytes, model: FloatModel, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    return run(new_interpreter(content), [given[info.name] for info in model.inputs])
