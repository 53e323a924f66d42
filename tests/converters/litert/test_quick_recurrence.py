"""Recurrent layers take the form that is quickest for a phone, where it is as close to float as integer loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.converters.litert import quantize_int8, quick_recurrence
from tfcompress.converters.litert.engines import Int8Model
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.quick_recurrence import (
    MOST_MORE_BYTES,
    MOST_STEPS,
    QUICKER,
    with_quick_recurrence,
)
from tfcompress.converters.phone.conversion import ABILITIES, INTEGERS_ALONE, convert
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras

K = keras.layers
LOOPS = {"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
RECIPE = Recipe(post_training=PostTraining(quality="fast"))


def of(kind: Any, units: int, steps: int) -> Any:
    keras.utils.set_random_seed(0)  # before the layer, whose initializers draw their seeds when they are made
    start = keras.Input((steps, 16))
    return keras.Model(start, K.Dense(3)(kind(units)(start)))


def given(network: Any) -> tuple[FloatModel, Samples]:
    model = float_model_from_keras(network)
    data = np.random.default_rng(0).normal(size=(32, *network.input_shape[1:])).astype(np.float32)
    return model, samples_from_arrays(data, model_inputs=model.inputs, model_outputs=model.outputs)


def both(network: Any, abilities: Abilities = ABILITIES) -> tuple[Int8Model, Int8Model]:
    """The file with loops, and what is made of it."""
    model, samples = given(network)
    loops = quantize_int8(model, samples, RECIPE, abilities=abilities)
    return loops, with_quick_recurrence(loops, model, samples, RECIPE, integer_io=True, abilities=abilities)


def names(content: bytes) -> set[str]:
    return {operator.name for operator in read_tflite(content).main.operators}


def timed(monkeypatch: pytest.MonkeyPatch, *milliseconds: float) -> None:
    """Have the loop's file and the other forms' take so long, whatever else the machine does."""
    monkeypatch.setattr(quick_recurrence, "medians", lambda contents: milliseconds[: len(contents)])


def test_cells_are_in_float_and_weights_in_int8_where_that_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.2, 0.5, 0.5)
    loops, cells = both(of(K.LSTM, 64, 8))
    assert names(loops.content) & LOOPS
    assert cells.notes[-1].startswith("recurrent layers as a loop with its cells in float: 0.20 of the integer loop's")
    body = read_tflite(cells.content).subgraphs[-1]
    assert {tensor.dtype for tensor in body.tensors if tensor.shape == (256, 64)} == {"int8"}
    assert "TANH" in {op.name for op in body.operators if body.tensors[op.outputs[0]].dtype == "float32"}


def test_few_steps_are_written_out_where_that_is_quicker_still(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.3, 0.2, 0.2)
    loops, steps = both(of(K.LSTM, 64, 8))
    assert not names(steps.content) & LOOPS
    assert steps.notes[-1].startswith("recurrent layers as operators for each step, cells in float")
    assert len(steps.content) < len(loops.content) + max(len(loops.content), MOST_MORE_BYTES)


def in_both_directions(units: int) -> Any:
    return K.Bidirectional(K.LSTM(units))


@pytest.mark.parametrize(("steps", "is_loop"), [(8, False), (MOST_STEPS + 1, True)])
def test_layers_inside_of_others_count_by_their_own_steps(
    steps: int, is_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.0, 0.3, 0.2, 0.2)
    _, quick = both(of(in_both_directions, 16, steps))
    assert bool(names(quick.content) & LOOPS) == is_loop


def decoder(steps: int) -> tuple[FloatModel, Samples]:
    """Words that start from the states of an encoder, as in translation."""
    words, sentence = keras.Input((4, 8), name="words"), keras.Input((steps, 8), name="sentence")
    _, hidden, cell = K.LSTM(16, return_state=True)(words)
    model = float_model_from_keras(
        keras.Model([words, sentence], K.Dense(3)(K.LSTM(16)(sentence, initial_state=[hidden, cell])))
    )
    random = np.random.default_rng(0)
    data = {
        info.name: random.normal(size=(16, *(size or 1 for size in info.shape[1:]))).astype(np.float32)
        for info in model.inputs
    }
    return model, samples_from_arrays(data, model_inputs=model.inputs, model_outputs=model.outputs)


def of_both_forms(model: FloatModel, samples: Samples) -> tuple[Int8Model, Int8Model]:
    """The file with loops, and what is made of it."""
    loops = quantize_int8(model, samples, RECIPE, abilities=ABILITIES)
    return loops, with_quick_recurrence(loops, model, samples, RECIPE, integer_io=True, abilities=ABILITIES)


def test_layers_that_start_from_a_state_are_written_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.3, 0.2, 0.2)
    loops, steps = of_both_forms(*decoder(5))
    assert names(loops.content) & LOOPS
    assert not names(steps.content) & LOOPS


def test_many_steps_from_a_state_stay_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.2)
    _, cells = of_both_forms(*decoder(MOST_STEPS + 1))
    assert names(cells.content) & LOOPS


def test_a_larger_file_that_is_hardly_quicker_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.3, 0.29, 0.29)
    _, cells = both(of(K.LSTM, 64, 8))
    assert names(cells.content) & LOOPS
    assert "a loop with its cells in float" in cells.notes[-1]


def test_a_loop_that_is_nearly_as_quick_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, *[QUICKER + 0.01] * 3)
    loops, same = both(of(K.LSTM, 64, 8))
    assert same == loops


def test_many_steps_stay_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.3)
    _, cells = both(of(K.GRU, 8, MOST_STEPS + 1))
    assert names(cells.content) & LOOPS
    assert "a loop with its cells in float" in cells.notes[-1]


def test_integers_alone_have_no_cells_in_float(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, *[0.2] * 3)
    _, alone = both(of(K.LSTM, 64, 8), INTEGERS_ALONE)
    dtypes = {tensor.dtype for graph in read_tflite(alone.content).subgraphs for tensor in graph.tensors}
    assert "float32" not in dtypes


def test_a_form_that_costs_accuracy_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, *[0.2] * 3)
    monkeypatch.setattr(quick_recurrence, "CLOSE_DB", 200.0)  # no file is so close,
    monkeypatch.setattr(quick_recurrence, "ALLOWED_DB", -100.0)  # nor so much closer than the loop
    loops, same = both(of(K.LSTM, 64, 8))
    assert same == loops


def test_a_phone_s_file_is_made_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.0, 0.2, 0.5, 0.5)
    model, samples = given(of(K.LSTM, 64, 8))
    artifact = convert(model, samples, RECIPE, tmp_path)
    assert any(line.startswith("recurrent layers as a loop with its cells in float") for line in artifact.notes)
