"""Models that draw random numbers at inference: the mean stands for them, or an input of the artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.load.noise import with_noise_inputs
from tfcompress.runtime import keras, tf, tf_keras

LIBRARIES = pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "tf_keras"])
ROUNDING = 1e-5


class Sampling3(keras.layers.Layer):
    """As the Keras example on variational autoencoders has it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seed_generator = keras.random.SeedGenerator(1)

    def call(self, inputs: Any) -> Any:
        mean, log_variance = inputs
        shape = (keras.ops.shape(mean)[0], keras.ops.shape(mean)[1])
        return mean + keras.ops.exp(0.5 * log_variance) * keras.random.normal(shape, seed=self.seed_generator)


class Sampling(tf_keras.layers.Layer):
    """As the same example had it in Keras 2."""

    def call(self, inputs: Any) -> Any:
        mean, log_variance = inputs
        noise = tf_keras.backend.random_normal((tf.shape(mean)[0], tf.shape(mean)[1]))
        return mean + tf.exp(0.5 * log_variance) * noise


def autoencoder(library: Any) -> Any:
    layers = library.layers
    start = library.Input((8,), name="x")
    hidden = layers.Dense(8, activation="relu")(start)
    mean, log_variance = layers.Dense(3, name="mean")(hidden), layers.Dense(3, name="log_variance")(hidden)
    code = (Sampling3 if library is keras else Sampling)(name="sampling")([mean, log_variance])
    encoder = library.Model(start, [mean, log_variance, code], name="encoder")
    decoder = library.Sequential([library.Input((3,)), layers.Dense(8, name="decoded")], name="decoder")
    return library.Model(start, decoder(encoder(start)[2]), name="vae")


def samples(count: int = 32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)


def decoded(model: Any, noise: np.ndarray) -> np.ndarray:
    """What the model gives where `noise` is drawn, from its weights by hand."""
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    mean, log_variance, _ = (np.asarray(part) for part in encoder(samples()))
    return np.asarray(decoder(mean + np.exp(0.5 * log_variance) * noise))


@LIBRARIES
def test_the_mean_is_what_runs_unless_told_otherwise(library: Any) -> None:
    model = autoencoder(library)
    loaded = float_model_from_keras(model)
    (answer,) = loaded.predict({"x": samples()}).values()
    np.testing.assert_allclose(answer, decoded(model, np.zeros((32, 3))), atol=ROUNDING)
    assert np.abs(np.asarray(model(samples())) - answer).max() > ROUNDING  # the user's own model still draws
    rebuilt = float_model_from_keras(to_tf_keras(model))
    (again,) = rebuilt.predict({"x": samples()}).values()
    np.testing.assert_allclose(again, answer, atol=ROUNDING)


@LIBRARIES
def test_noise_can_be_an_input(library: Any) -> None:
    model = autoencoder(library)
    parts = with_noise_inputs(float_model_from_keras(model))
    assert parts is not None
    noise, rest = parts
    assert [(info.name, info.shape) for info in rest.inputs] == [("x", (None, 8)), ("noise", (None, 3))]
    values = noise({"x": samples()})
    (answer,) = rest.predict(values).values()
    np.testing.assert_allclose(answer, decoded(model, values["noise"]), atol=ROUNDING)
    assert 0.7 < values["noise"].std() < 1.3
    np.testing.assert_array_equal(noise({"x": samples()[5:6]})["noise"], values["noise"][5:6])


def test_a_model_without_draws_gets_no_noise() -> None:
    start = keras.Input((4,))
    model = keras.Model(start, keras.layers.Dense(2)(keras.layers.GaussianNoise(0.5)(start)))
    assert with_noise_inputs(float_model_from_keras(model)) is None


@LIBRARIES
@pytest.mark.parametrize("sampling", ["mean", "input"])
def test_a_variational_autoencoder_becomes_a_fully_integer_file(library: Any, sampling: str, tmp_path: Path) -> None:
    result = tfcompress.convert(
        autoencoder(library),
        output=tmp_path / "out",
        targets="phone",
        calibration=samples(64),
        sampling=sampling,
        no_cache=True,
    )
    phone = result.report["targets"]["phone"]
    assert phone["fully_integer"]
    assert phone["diff"]["sqnr_db"] > 20
    said = "their mean is taken" if sampling == "mean" else "inputs of the artifact: noise"
    assert any(said in line for line in result.report["warnings"])
    assert (tmp_path / "out/phone/preprocessing/NOISE.md").exists() == (sampling == "input")


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda x: tf.random.uniform(tf.shape(x), 2.0, 4.0), 3.0),
        (lambda x: tf.random.truncated_normal(tf.shape(x), 1.5), 1.5),
        (lambda x: keras.random.uniform((4, 3), 0.0, 1.0), 0.5),
        (lambda x: tf.cast(tf.random.uniform(tf.shape(x), 0, 5, tf.int32), tf.float32), 2.0),
        (lambda x: tf.cast(keras.random.categorical(x, 1), tf.float32), 2.0),
    ],
)
def test_every_kind_of_draw_has_its_mean(draw: Any, mean: float) -> None:
    start = keras.Input((3,), name="x")
    model = keras.Model(start, keras.layers.Lambda(draw, output_shape=(3,))(start))
    rows = np.tile(np.array([[0.0, 1.0, 2.0]], np.float32), (4, 1))
    (answer,) = float_model_from_keras(model).predict({"x": rows}).values()
    np.testing.assert_allclose(answer, np.full_like(answer, mean))
