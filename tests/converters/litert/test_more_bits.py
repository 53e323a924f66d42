"""An output that 8 bits spoil gets more bits where they are missing, and the file says so."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from tests.converters.litert.models import images, samples_for, small_cnn
from tfcompress.calibration import Calibration, Range
from tfcompress.converters.litert import Int8Model, more_bits, quantize_int8, to_float_tflite
from tfcompress.converters.litert.headroom import HEADROOM, with_headroom
from tfcompress.converters.litert.limits import Abilities, Limits
from tfcompress.converters.litert.more_bits import ENOUGH_DB, LITTLE_DB, kept_db
from tfcompress.converters.phone.conversion import ABILITIES
from tfcompress.data import Samples
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe

UNSEEN_DB = 18.0  # what a repaired file keeps of samples that it was not made with; the input stays int8
NEVER = Recipe(post_training=PostTraining(wider_activations="never"))


def unequal_channels() -> FloatModel:
    """Channels a hundred times apart, brought to one scale by a product, as batch normalization behind a join does."""
    keras.utils.set_random_seed(0)
    scales = np.geomspace(1.0, 0.002, 16).astype(np.float32)
    x = keras.Input((24,), name="x")
    hidden = layers.Dense(16, activation="tanh", name="hidden")(x)
    model = keras.Model(x, layers.Dense(4, name="head")(layers.Activation("tanh")(hidden * (1 / scales))))
    kernel, bias = model.get_layer("hidden").get_weights()
    model.get_layer("hidden").set_weights([0.3 * kernel * scales, bias])
    return float_model_from_keras(model)


def vectors(seed: int) -> np.ndarray:
    """float32 [96, 24], normal."""
    return np.random.default_rng(seed).normal(size=(96, 24)).astype(np.float32)


def converted(recipe: Recipe, abilities: Abilities = ABILITIES) -> tuple[Int8Model, bytes, Samples]:
    """The file, the float one, and samples that neither has seen."""
    model = unequal_channels()
    result = quantize_int8(model, samples_for(model, vectors(0)), recipe, abilities=abilities)
    return result, to_float_tflite(model), samples_for(model, vectors(1))


def test_an_output_that_8_bits_spoil_gets_16_where_they_are_missing() -> None:
    spoilt, truth, unseen = converted(NEVER)
    repaired, _, _ = converted(Recipe())
    before, after = (kept_db(truth, item.content, unseen) for item in (spoilt, repaired))
    assert before is not None
    assert after is not None
    assert before < LITTLE_DB
    assert after > UNSEEN_DB
    dtypes = [tensor.dtype for tensor in read_tflite(repaired.content).main.tensors]
    assert "int16" in dtypes
    assert "int16" not in [tensor.dtype for tensor in read_tflite(spoilt.content).main.tensors]


def test_the_note_says_what_8_bits_kept_and_how_to_have_them_all_the_same() -> None:
    notes = [note for note in converted(Recipe())[0].notes if note.startswith("8 bits keep only")]
    assert len(notes) == 1
    assert "16-bit activations in" in notes[0]
    assert notes[0].endswith("(wider_activations=never keeps 8 bits)")
    assert not [note for note in converted(NEVER)[0].notes if note.startswith("8 bits keep only")]


def test_16_bits_that_take_long_are_for_outputs_of_which_little_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(more_bits, "FEW_MACS", 0)
    for little, widened in ((LITTLE_DB, True), (0.0, False)):
        monkeypatch.setattr(more_bits, "LITTLE_DB", little)
        repaired, _, _ = converted(Recipe(), replace(ABILITIES, float_islands=False))
        assert ("int16" in [tensor.dtype for tensor in read_tflite(repaired.content).main.tensors]) == widened


def test_a_sound_file_keeps_its_8_bits() -> None:
    model = small_cnn()
    samples = samples_for(model, images())
    with_repairs = quantize_int8(model, samples, Recipe(), abilities=ABILITIES)
    kept = kept_db(to_float_tflite(model), with_repairs.content, samples)
    assert kept is not None
    assert kept > ENOUGH_DB
    assert with_repairs.content == quantize_int8(model, samples, NEVER, abilities=ABILITIES).content


def test_what_a_file_keeps_is_that_of_its_worst_output() -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((24,), name="x")
    good, bad = layers.Dense(4, name="good")(x), layers.Dense(4, name="bad")(x)
    samples = samples_for(float_model_from_keras(keras.Model(x, [good, bad])), vectors(0))
    truth = to_float_tflite(float_model_from_keras(keras.Model(x, [good, bad])))
    other = to_float_tflite(float_model_from_keras(keras.Model(x, [good, bad * 1.5])))
    assert kept_db(truth, other, samples) == pytest.approx(20 * np.log10(1 / 0.5), abs=1e-3)
    assert kept_db(truth, truth, samples) == pytest.approx(200.0)


def test_16_bit_tensors_alone_have_ranges_with_headroom() -> None:
    model = unequal_channels()
    graph = read_tflite(to_float_tflite(model)).main
    names = [graph.tensors[index].name for operator in graph.operators for index in operator.outputs]
    ranges = {name: Range(-1.0, 1.0) for name in (*names, graph.tensors[graph.inputs[0]].name)}
    seen = Calibration("", None, 1, "min_max", ranges)
    assert with_headroom(graph, seen, Limits()) == seen
    wide = with_headroom(graph, seen, replace(Limits(), keep_int16=tuple(names)))
    widened = [name for name, ends in wide.ranges.items() if ends.high == HEADROOM]
    assert widened == names[:-1]  # the input and the output are 8 bits
    assert {ends.high for ends in with_headroom(graph, seen, Limits(int16=True)).ranges.values()} == {HEADROOM}


def test_what_a_division_or_a_root_reads_keeps_every_bit_for_its_smallest_values() -> None:
    x = keras.Input((24,), name="x")
    model = float_model_from_keras(keras.Model(x, layers.LayerNormalization()(layers.Dense(8)(x))))
    graph = read_tflite(to_float_tflite(model)).main
    names = {index: tensor.name for index, tensor in enumerate(graph.tensors)}
    seen = Calibration("", None, 1, "min_max", {name: Range(0.0, 1.0) for name in names.values()})
    wide = with_headroom(graph, seen, Limits(int16=True)).ranges
    (root,) = (operator for operator in graph.operators if operator.name == "RSQRT")
    assert wide[names[root.inputs[0]]].high == 1.0
    assert wide[names[root.outputs[0]]].high == HEADROOM
