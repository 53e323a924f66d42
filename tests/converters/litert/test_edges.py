"""Inputs and outputs of an int8 file are what --io says, and mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import converted, images, layers, samples_for, small_cnn
from tfcompress.converters import edgetpu
from tfcompress.converters.litert.interface import with_uint8_edges
from tfcompress.errors import RecipeError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf_keras


def recipe(io: Any) -> Recipe:
    return Recipe(post_training=PostTraining(io=io))


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_a_phone_file_has_the_inputs_and_outputs_that_were_asked_for(io: str, tmp_path: Path) -> None:
    artifact = converted(small_cnn(), images(), tmp_path, recipe(io))
    assert (artifact.facts["input_dtypes"], artifact.facts["output_dtypes"]) == ([io], [io])
    assert artifact.facts["float_ops"] == []
    file = read_tflite(artifact.runnable)
    signature = file.signatures[0]
    assert [file.main.tensors[index].dtype for index in (*signature.inputs.values(), *signature.outputs.values())] == [
        io
    ] * 2


def test_uint8_is_int8_shifted_by_128(tmp_path: Path) -> None:
    content = converted(small_cnn(), images(), tmp_path).runnable.read_bytes()
    shifted = with_uint8_edges(content)
    given = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)
    (wanted,) = run(new_interpreter(content, xnnpack=False), [given])
    for xnnpack in (False, True):
        (output,) = run(new_interpreter(shifted, xnnpack=xnnpack), [(given.astype(np.int16) + 128).astype(np.uint8)])
        assert np.abs(output.astype(np.int16) - 128 - wanted).max() <= (1 if xnnpack else 0)
    assert [o.name for o in read_tflite(shifted).main.operators].count("QUANTIZE") == 2


def test_an_input_of_indices_stays_int32(tmp_path: Path) -> None:
    network = tf_keras.Sequential(
        [tf_keras.Input((3,), name="words"), layers.Embedding(50, 4), layers.Flatten(), layers.Dense(2)]
    )
    words = np.random.default_rng(0).integers(0, 50, (60, 3)).astype(np.float32)
    artifact = converted(float_model_from_keras(network), words, tmp_path, recipe("uint8"))
    assert (artifact.facts["input_dtypes"], artifact.facts["output_dtypes"]) == (["int32"], ["uint8"])


def test_several_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    source = tf_keras.Input((4,), name="x")
    network = tf_keras.Model(source, [layers.Dense(2)(source), layers.Dense(3)(layers.ReLU()(source))])
    model = float_model_from_keras(network)
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    artifact = converted(model, rows, tmp_path, recipe("uint8"))
    assert (artifact.facts["input_dtypes"], artifact.facts["output_dtypes"]) == (["uint8"], ["uint8", "uint8"])


def test_every_operator_of_an_edge_tpu_file_maps_with_uint8_edges(tmp_path: Path) -> None:
    model = small_cnn()
    artifact = edgetpu.convert(model, samples_for(model, images()), recipe("uint8"), tmp_path)
    mapping: Any = artifact.facts["mapping"]
    assert (artifact.facts["input_dtypes"], artifact.facts["output_dtypes"]) == (["uint8"], ["uint8"])
    assert mapping["cpu_ops"] == 0
    assert mapping["ops"][0]["op"] == "QUANTIZE"


def test_uint8_is_refused_for_a_scheme_that_has_no_int8_edges() -> None:
    with pytest.raises(RecipeError, match="io"):
        PostTraining(io="uint8", scheme="int16x8")


def test_probabilities_computed_in_float_reach_one_in_the_output(tmp_path: Path) -> None:
    """Calibration saw none above a half; a surer answer must not end there."""
    tf_keras.utils.set_random_seed(0)
    x = tf_keras.Input((8,), name="x")
    shares = layers.Softmax(name="shares")(layers.Dense(4, name="scores")(x))
    model = float_model_from_keras(tf_keras.Model(x, shares))
    inputs = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32) * 0.1
    kept = Recipe(keep_float=("shares",))
    content = converted(model, inputs, tmp_path, kept).runnable.read_bytes()
    graph = read_tflite(content).main
    assert [graph.tensors[op.outputs[0]].dtype for op in graph.operators if op.name == "SOFTMAX"] == ["float32"]
    (output,) = graph.outputs
    quantization = graph.tensors[output].quantization
    assert quantization is not None
    assert (float(quantization.scales[0]), int(quantization.zero_points[0])) == (1 / 256, -128)
