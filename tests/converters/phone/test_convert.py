"""The phone converter on small models: integer throughout, named as in Keras, the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tests.converters.litert.models import converted, images, layers, run, samples_for, small_cnn
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.converters.litert.limits import Abilities
from tfcompress.errors import DataError, RecipeError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf, tf_keras

# Of probabilities that lie in [0, 1]: a few steps of 1/256.
PROBABILITY_TOLERANCE = 0.03


def test_int8_asked_for_is_int8_delivered_inputs_and_outputs_too(tmp_path: Path) -> None:
    facts = converted(small_cnn(), images(), tmp_path).facts
    assert facts["fully_integer"]
    assert facts["float_ops"] == []
    assert (facts["input_dtypes"], facts["output_dtypes"]) == (["int8"], ["int8"])


def test_where_int8_cannot_be_delivered_the_float_operator_is_named(tmp_path: Path) -> None:
    network = tf_keras.Sequential([tf_keras.Input((6,)), layers.Dense(5), layers.Lambda(tf.sin), layers.Dense(2)])
    series = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    artifact = converted(float_model_from_keras(network), series, tmp_path)
    assert not artifact.facts["fully_integer"]
    assert artifact.facts["float_ops"] == ["SIN"]
    assert "computed in float: SIN" in artifact.notes


def test_the_int8_file_computes_what_keras_does(tmp_path: Path) -> None:
    model = small_cnn()
    content = converted(model, images(), tmp_path).runnable.read_bytes()
    unseen = images(32, seed=1)
    wanted = model.predict({"image": unseen})["scores"]
    assert np.abs(run(content, {"image": unseen})["scores"] - wanted).max() < PROBABILITY_TOLERANCE
    assert np.abs(run(content, {"image": 1 - unseen})["scores"] - wanted).max() > PROBABILITY_TOLERANCE / 10


def test_the_same_model_and_samples_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        converted(small_cnn(), images(), folder, Recipe(post_training=PostTraining(quality="best")))
    first, second = ((folder / "model.tflite").read_bytes() for folder in folders)
    assert first == second


def test_inputs_and_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    zeta, alpha = tf_keras.Input((4,), name="zeta"), tf_keras.Input((3,), name="alpha")
    joined = layers.Concatenate()([zeta, alpha])
    outputs = [layers.Dense(2, name="z_out")(zeta), layers.Dense(5, name="a_out")(joined)]
    model = float_model_from_keras(tf_keras.Model([zeta, alpha], outputs))
    random = np.random.default_rng(0)
    inputs = {"zeta": random.random((40, 4), np.float32), "alpha": random.random((40, 3), np.float32)}
    for engine in ("litert", "tflite_converter"):
        artifact = converted(model, inputs, tmp_path, Recipe(post_training=PostTraining(engine=engine)))
        file = read_tflite(artifact.runnable)
        assert [file.main.tensors[i].shape[1] for i in file.main.inputs] == [4, 3]
        assert [file.main.tensors[i].shape[1] for i in file.main.outputs] == [2, 5]
        computed, wanted = run(artifact.runnable.read_bytes(), inputs), model.predict(inputs)
        assert np.abs(computed["z_out"] - wanted["z_out"]).max() < 0.1
        assert np.abs(computed["a_out"] - wanted["a_out"]).max() < 0.1


def test_an_operator_that_litert_quantizer_lacks_goes_to_the_other_engine_and_says_so(tmp_path: Path) -> None:
    model = tf_keras.Sequential([tf_keras.Input((6,)), layers.Dense(5), layers.LeakyReLU(), layers.Dense(2)])
    random = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    facts = converted(float_model_from_keras(model), random, tmp_path).facts
    engine: Any = facts["engine"]
    assert engine["name"] == "tflite_converter"
    assert "LEAKY_RELU" in engine["reason"]
    assert facts["fully_integer"]


def test_the_batch_of_an_int8_file_can_be_resized(tmp_path: Path) -> None:
    artifact = converted(small_cnn(), images(), tmp_path)
    assert artifact.facts["resizable_batch"] is True
    content = artifact.runnable.read_bytes()
    several = images(5, seed=2)
    together = run(content, {"image": several})["scores"]
    alone = [run(content, {"image": several[i : i + 1]})["scores"] for i in range(5)]
    assert np.array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize(
    ("scheme", "io"),
    [
        ("int8_float_io", "float32"),
        ("int16x8", "int16"),
        ("float16", "float32"),
        ("dynamic", "float32"),
        ("int4_weights", "float32"),
    ],
)
def test_every_scheme_computes_what_keras_does(scheme: Any, io: str, tmp_path: Path) -> None:
    model = small_cnn()
    artifact = converted(model, images(), tmp_path, Recipe(post_training=PostTraining(scheme=scheme)))
    assert (artifact.facts["input_dtypes"], artifact.facts["output_dtypes"]) == ([io], [io])
    unseen = {"image": images(8, seed=1)}
    scores = run(artifact.runnable.read_bytes(), unseen)["scores"]
    assert np.abs(scores - model.predict(unseen)["scores"]).max() < PROBABILITY_TOLERANCE


@pytest.mark.parametrize("engine", ["litert", "tflite_converter"])
def test_keep_float_keeps_that_layer_in_float_and_no_other(
    engine: Literal["litert", "tflite_converter"], tmp_path: Path
) -> None:
    recipe = Recipe(keep_float=("second",), post_training=PostTraining(engine=engine))
    artifact = converted(small_cnn(), images(), tmp_path, recipe)
    assert artifact.facts["float_ops"] == ["CONV_2D"]
    assert artifact.facts["input_dtypes"] == ["int8"]


def test_keep_int16_widens_that_layer_and_leaves_the_ends_int8(tmp_path: Path) -> None:
    artifact = converted(small_cnn(), images(), tmp_path, Recipe(keep_int16=("scores",)))
    graph = read_tflite(artifact.runnable).main
    dense = next(operator for operator in graph.operators if operator.name == "FULLY_CONNECTED")
    assert graph.tensors[dense.outputs[0]].dtype == "int16"
    assert artifact.facts["fully_integer"]
    assert (artifact.facts["input_dtypes"], artifact.facts["output_dtypes"]) == (["int8"], ["int8"])


def test_a_pattern_that_matches_no_layer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="keep_float: 'secnod' matches no layer"):
        converted(small_cnn(), images(), tmp_path, Recipe(keep_float=("secnod",)))


def test_int8_without_samples_says_what_to_give() -> None:
    with pytest.raises(DataError, match="--calibration=DATA"):
        quantize_int8(small_cnn(), None, Recipe())


def test_samples_of_the_wrong_shape_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shape \(7, 7, 3\), expected \(8, 8, 3\)"):
        converted(small_cnn(), np.zeros((4, 7, 7, 3), np.float32), tmp_path)


def test_a_file_larger_than_the_float_weights_is_explained(tmp_path: Path) -> None:
    artifact = converted(small_cnn(), images(), tmp_path)
    assert any("larger than the float weights" in note for note in artifact.notes)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_become_integer_without_tensorflow_operators(kind: str, tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential([tf_keras.Input((6, 3)), getattr(layers, kind)(4, name="rnn"), layers.Dense(2)])
    wrapped = float_model_from_keras(model)
    series = np.random.default_rng(0).normal(size=(60, 6, 3)).astype(np.float32)
    artifact = converted(wrapped, series, tmp_path, Recipe(post_training=PostTraining(integer_only=True)))
    assert artifact.facts["fully_integer"]
    assert artifact.facts["select_ops"] == []
    key, name, content = wrapped.inputs[0].name, wrapped.outputs[0].name, artifact.runnable.read_bytes()
    outputs = np.concatenate([run(content, {key: series[i : i + 1]})[name] for i in range(16)])
    assert np.abs(outputs - wrapped.predict({key: series[:16]})[name]).max() < 0.1
    # A loop of a simple RNN takes any batch; slices of gates, and steps one behind the other, have one sample built in.
    is_loop = any(operator.name == "WHILE" for operator in read_tflite(content).main.operators)
    assert artifact.facts["resizable_batch"] is (is_loop and kind == "SimpleRNN")
    assert any("one sample at a time" in note for note in artifact.notes) != artifact.facts["resizable_batch"]
    assert not model.get_layer("rnn").unroll, "the user's layer is as it was"


def test_the_state_of_an_lstm_has_16_bits_and_does_not_drift() -> None:
    tf_keras.utils.set_random_seed(1)
    network = tf_keras.Sequential([tf_keras.Input((40, 3), name="x"), layers.LSTM(8), layers.Dense(2, name="y")])
    model = float_model_from_keras(network)
    cell = network.layers[0]
    kernel, recurrent, bias = cell.get_weights()
    bias[8:16] = 4.0  # forgets nothing, so the state sums up all steps and their rounding errors
    cell.set_weights([kernel, recurrent, bias])
    series = np.random.default_rng(0).normal(size=(60, 40, 3)).astype(np.float32)
    wanted = model.predict({"x": series[:16]})["y"]

    def error_of(allow_int16: bool) -> float:
        result = quantize_int8(model, samples_for(model, series), Recipe(), abilities=Abilities(int16=allow_int16))
        dtypes = {tensor.dtype for tensor in read_tflite(result.content).main.tensors if tensor.data is None}
        assert ("int16" in dtypes) == allow_int16
        assert any("16-bit states" in note for note in result.notes) == allow_int16
        outputs = np.concatenate([run(result.content, {"x": series[i : i + 1]})["y"] for i in range(16)])
        return float(np.mean((outputs - wanted) ** 2))

    assert error_of(True) < error_of(False) / 4


def test_a_whole_map_average_pool_becomes_a_mean_and_the_float_function_stays() -> None:
    model = small_cnn()
    content = to_float_tflite(model)
    names = [operator.name for operator in read_tflite(content).main.operators]
    assert "MEAN" in names
    assert "AVERAGE_POOL_2D" not in names
    unseen = {"image": images(8, seed=1)}
    assert np.allclose(run(content, unseen)["scores"], model.predict(unseen)["scores"], atol=1e-5)


def test_a_calibrated_range_is_recorded_for_every_computed_tensor() -> None:
    """The complaint: "max and min for dynamic tensors should be recorded during calibration"."""
    model = small_cnn()
    result = quantize_int8(model, samples_for(model, images()), Recipe())
    assert result.calibration is not None
    assert result.float_content is not None
    graph = read_tflite(result.float_content).main
    computed = {graph.tensors[index].name for operator in graph.operators for index in operator.outputs}
    assert computed <= set(result.calibration.ranges)
