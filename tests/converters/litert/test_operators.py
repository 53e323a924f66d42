"""Operators that engines treat differently: each becomes integer by one of them, and computes what Keras does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import converted, layers, run, samples_for
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras, tf, tf_keras

INTEGERS = Recipe(post_training=PostTraining(integer_only=True))
OUTPUT_TOLERANCE = 0.12  # of outputs between -3 and 3: a few steps of 8 bits
NORMALIZED_TOLERANCE = 0.2  # a quotient of two 8-bit values


def values(count: int = 80) -> np.ndarray:
    """float32 [count, 6], normally distributed."""
    return np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)


def with_activation(activation: Any) -> FloatModel:
    tf_keras.utils.set_random_seed(0)
    return float_model_from_keras(
        tf_keras.Sequential([tf_keras.Input((6,), name="x"), layers.Dense(5), activation, layers.Dense(2, name="y")])
    )


def largest_error(model: FloatModel, artifact: Artifact, inputs: np.ndarray) -> float:
    """Largest difference between the file's and Keras' first output, sample by sample."""
    key, name = model.inputs[0].name, model.outputs[0].name
    content = artifact.runnable.read_bytes()
    outputs = np.concatenate([run(content, {key: inputs[i : i + 1]})[name] for i in range(len(inputs))])
    return float(np.abs(outputs - model.predict({key: inputs})[name]).max())


@pytest.mark.parametrize(
    ("activation", "operator", "engine"),
    [
        (layers.LeakyReLU, "LEAKY_RELU", "tflite_converter"),
        (lambda: layers.PReLU(alpha_initializer="uniform"), "MUL", "tflite_converter"),  # XNNPACK has no PRELU of int8
        (lambda: layers.Lambda(lambda x: tf.minimum(x, 0.5)), "MINIMUM", "tflite_converter"),
        (layers.ELU, "ELU", "litert"),
        (lambda: layers.Lambda(tf.exp), "EXP", "litert"),
        (lambda: layers.Lambda(tf.abs), "ABS", "litert"),
    ],
)
def test_an_activation_becomes_integer_by_the_engine_that_can(
    activation: Callable[[], Any], operator: str, engine: str, tmp_path: Path
) -> None:
    model = with_activation(activation())
    artifact = converted(model, values(), tmp_path)
    engine_facts: Any = artifact.facts["engine"]
    assert artifact.facts["fully_integer"]
    assert engine_facts["name"] == engine
    names = [item.name for item in read_tflite(artifact.runnable).main.operators]
    assert operator in names
    assert "DEQUANTIZE" not in names
    assert largest_error(model, artifact, values(16)) < OUTPUT_TOLERANCE
    assert largest_error(model, artifact, 3 * values(16)) > OUTPUT_TOLERANCE, "beyond the calibrated range"


def test_keep_float_keeps_an_operator_float_that_has_an_integer_form(tmp_path: Path) -> None:
    model = with_activation(layers.ELU(name="bend"))
    assert converted(model, values(), tmp_path, Recipe(keep_float=("bend",))).facts["float_ops"] == ["ELU"]


def test_indices_of_an_embedding_go_in_as_int32_and_are_not_rounded_to_a_scale(tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(0)
    network = tf_keras.Sequential(
        [tf_keras.Input((3,), name="words"), layers.Embedding(1000, 4), layers.Flatten(), layers.Dense(2)]
    )
    model = float_model_from_keras(network)
    words = np.random.default_rng(0).integers(0, 1000, (60, 3)).astype(np.float32)
    artifact = converted(model, words, tmp_path)
    assert artifact.facts["input_dtypes"] == ["int32"]
    assert artifact.facts["fully_integer"]
    content, name = artifact.runnable.read_bytes(), model.outputs[0].name
    wanted = model.predict({"words": words[:1]})[name]
    assert np.abs(run(content, {"words": words[:1].astype(np.int32)})[name] - wanted).max() < 0.01
    assert np.abs(run(content, {"words": words[:1].astype(np.int32) - 1})[name] - wanted).max() > 0.01


def test_an_input_with_indices_among_its_values_stays_float_and_says_why(tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(0)
    source = tf_keras.Input((4,), name="row")
    table = layers.Embedding(200, 3, name="table")(layers.Lambda(lambda x: x[:, 0], name="district")(source))
    numbers = layers.Dense(3, name="numbers")(layers.Lambda(lambda x: x[:, 1:], name="rest")(source))
    model = float_model_from_keras(tf_keras.Model(source, layers.Dense(2, name="y")(layers.Add()([table, numbers]))))
    random = np.random.default_rng(0)
    rows = np.concatenate([random.integers(0, 199, (80, 1)), random.normal(size=(80, 3))], axis=1).astype(np.float32)
    artifact = converted(model, rows, tmp_path)
    assert artifact.facts["input_dtypes"] == ["float32"]
    assert any("carries indices among its values" in note for note in artifact.notes)
    assert largest_error(model, artifact, rows) < 0.05
    assert largest_error(model, artifact, rows + np.array([1, 0, 0, 0], np.float32)) < 0.05
    plain = {"row": rows[:1]}
    moved = run(artifact.runnable.read_bytes(), {"row": rows[:1] + np.array([1, 0, 0, 0], np.float32)})["y"]
    assert np.abs(moved - model.predict(plain)["y"]).max() > 0.001, "the index matters"


def test_sizes_that_the_model_leaves_open_become_the_samples(tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(0)
    network = tf_keras.Sequential(
        [tf_keras.Input((None, None, 3), name="image"), layers.Conv2D(4, 3, strides=2), layers.Conv2D(2, 3)]
    )
    images = np.random.default_rng(0).random((60, 12, 16, 3), np.float32)
    artifact = converted(float_model_from_keras(network), images, tmp_path)
    main = read_tflite(artifact.runnable).main
    assert main.tensors[main.inputs[0]].shape == (1, 12, 16, 3)
    latency: Any = artifact.facts["latency_ms"]
    assert latency["median"] > 0, "LiteRT runs the file as it is"


@pytest.mark.parametrize("library", [pytest.param(tf_keras, marks=pytest.mark.slow), keras])
def test_a_convolutional_lstm_becomes_integer_without_tensorflow_operators(library: Any, tmp_path: Path) -> None:
    library.utils.set_random_seed(0)
    network = library.Sequential(
        [
            library.Input((3, 6, 6, 2)),
            library.layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True),
            library.layers.ConvLSTM2D(2, 3),
            library.layers.Flatten(),
            library.layers.Dense(2),
        ]
    )
    model = float_model_from_keras(network)
    films = np.random.default_rng(0).normal(size=(60, 3, 6, 6, 2)).astype(np.float32)
    artifact = converted(model, films, tmp_path, INTEGERS)
    assert artifact.facts["fully_integer"]
    assert artifact.facts["select_ops"] == []
    assert largest_error(model, artifact, films[:8]) < 0.03
    assert largest_error(model, artifact, 3 * films[:8]) > 0.03


def test_an_open_number_of_time_steps_becomes_the_samples(tmp_path: Path) -> None:
    network = tf_keras.Sequential([tf_keras.Input((None, 3)), layers.LSTM(4), layers.Dense(2)])
    series = np.random.default_rng(0).normal(size=(60, 5, 3)).astype(np.float32)
    artifact = converted(float_model_from_keras(network), series, tmp_path, INTEGERS)
    main = read_tflite(artifact.runnable).main
    assert main.tensors[main.inputs[0]].shape == (1, 5, 3)
    assert artifact.facts["fully_integer"]


def test_a_layer_that_no_sample_wakes_leaves_a_file_that_runs(tmp_path: Path) -> None:
    network = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(4, 3, activation="relu", bias_initializer=tf_keras.initializers.Constant(-100.0)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model = float_model_from_keras(network)
    images = np.random.default_rng(0).random((60, 8, 8, 1), np.float32)
    result = quantize_int8(model, samples_for(model, images), Recipe(post_training=PostTraining(engine="litert")))
    outputs = run(result.content, {"image": images[:2]})[model.outputs[0].name]
    assert np.allclose(outputs, model.predict({"image": images[:2]})[model.outputs[0].name], atol=0.01)


@pytest.mark.parametrize("library", [tf_keras, keras])
@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            lambda x: tf.linalg.inv(tf.reshape(x, (-1, 2, 2))),
            "no builtin operator for MatrixInverse .*allow_select_ops",
        ),
        (
            lambda x: tf.math.betainc(tf.abs(x), tf.abs(x), tf.sigmoid(x)),
            "neither TFLite .* Betainc .*replace the layer",
        ),
    ],
)
def test_a_failure_names_the_operator_the_keras_layer_and_what_to_do(
    operation: Callable[[Any], Any], message: str, library: Any
) -> None:
    source = library.Input((4,))
    shape = {} if library is tf_keras else {"output_shape": (2, 2)}
    odd = library.layers.Lambda(operation, name="odd", **shape)(library.layers.Dense(4, name="plain")(source))
    model = float_model_from_keras(library.Model(source, odd))
    with pytest.raises(ConversionError, match=message) as failure:
        to_float_tflite(model)
    assert "(layer 'odd')" in str(failure.value)
    assert "plain" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_upsampling_of_keras_3_is_one_resize_and_integer(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((4, 5, 3), name="image"),
            keras.layers.Conv2D(4, 3, padding="same"),
            keras.layers.UpSampling2D((3, 2)),
            keras.layers.Conv2D(2, 1),
        ]
    )
    model = float_model_from_keras(network)
    images = np.random.default_rng(0).normal(size=(60, 4, 5, 3)).astype(np.float32)
    artifact = converted(model, images, tmp_path)
    assert [item.name for item in read_tflite(artifact.runnable).main.operators] == [
        "CONV_2D",
        "RESIZE_NEAREST_NEIGHBOR",
        "CONV_2D",
    ]
    assert artifact.facts["fully_integer"]
    assert largest_error(model, artifact, images[:8]) < OUTPUT_TOLERANCE
    assert largest_error(model, artifact, 3 * images[:8]) > OUTPUT_TOLERANCE


@pytest.mark.parametrize("library", [tf_keras, keras])
def test_a_layer_normalization_is_integer_on_a_phone(library: Any, tmp_path: Path) -> None:
    library.utils.set_random_seed(0)
    network = library.Sequential(
        [library.Input((6, 8)), library.layers.Dense(8), library.layers.LayerNormalization(), library.layers.Dense(2)]
    )
    model = float_model_from_keras(network)
    rows = np.random.default_rng(0).normal(size=(60, 6, 8)).astype(np.float32)
    artifact = converted(model, rows, tmp_path)
    assert artifact.facts["float_ops"] == []
    assert largest_error(model, artifact, rows[:8]) < NORMALIZED_TOLERANCE
    key, name = model.inputs[0].name, model.outputs[0].name
    other = model.predict({key: rows[1:2]})[name]
    assert np.abs(run(artifact.runnable.read_bytes(), {key: rows[:1]})[name] - other).max() > NORMALIZED_TOLERANCE


def test_a_division_by_next_to_nothing_stays_in_float_and_the_file_runs(tmp_path: Path) -> None:
    x = keras.Input((6,), name="x")
    weights = keras.ops.relu(keras.layers.Dense(6, name="logits")(x)) * np.tri(6, dtype=np.float32)[2]
    shares = weights / (keras.ops.sum(weights, -1, keepdims=True) + 1e-9)
    model = float_model_from_keras(keras.Model(x, shares), name="masked_shares")
    artifact = converted(model, values(), tmp_path)
    assert "DIV" in str(artifact.facts["float_ops"])
    assert largest_error(model, artifact, values()) <= 1.0  # the kernel refused sums next to zero
    assert largest_error(model, artifact, np.zeros((1, 6), np.float32)) == 0.0
