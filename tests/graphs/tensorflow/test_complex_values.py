"""Complex values that are moved and computed with before a real number is read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress.converters.litert import to_float_tflite
from tfcompress.graphs.tensorflow.complex_values import complex_values_in_parts
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import tf, tf_keras

LEAST_SQNR_DB = 25.0
TOLERANCE = 1e-4  # float32 transforms of 64 places, whose values reach 20


def spectrogram(read: str) -> FloatModel:
    """As kapre and many notebooks have it: channels to the end, some frames cut away, then what reads it."""

    class Spectrogram(tf_keras.layers.Layer):
        def call(self, waves: Any) -> Any:
            moved = tf.transpose(tf.signal.stft(tf.transpose(waves, (0, 2, 1)), 64, 32), (0, 2, 3, 1))
            values = tf.squeeze(tf.expand_dims(moved[:, 1:], 1), 1)
            return {"abs": tf.abs, "real": tf.math.real, "imag": tf.math.imag, "angle": tf.math.angle}[read](values)

    waves = tf_keras.Input((256, 2), name="waves")
    return float_model_from_keras(tf_keras.Model(waves, Spectrogram()(waves)))


@pytest.mark.parametrize("read", ["abs", "real", "imag", "angle"])
def test_a_spectrogram_with_its_channels_at_the_end_converts_to_what_it_was(read: str) -> None:
    model = spectrogram(read)
    waves = np.random.default_rng(0).normal(size=(1, 256, 2)).astype(np.float32)
    (result,) = run(new_interpreter(to_float_tflite(model)), [waves])
    (wanted,) = model.predict({"waves": waves}).values()
    difference = np.abs(result - wanted)
    if read == "angle":
        difference = np.minimum(difference, 2 * np.pi - difference)  # the angles of both ends of the circle are one
    assert difference.max() < TOLERANCE
    assert np.abs(result * 1.01 - wanted).max() > TOLERANCE


def test_real_values_and_other_uses_of_complex_ones_are_as_they_were() -> None:
    values = tf.complex(tf.reshape(tf.range(6.0), (2, 3)), tf.ones((2, 3)))
    real = np.arange(6.0).reshape(2, 3)
    with complex_values_in_parts():
        assert np.array_equal(tf.transpose(values) * 2, (real + 1j).T * 2)
        assert np.array_equal(tf.transpose(tf.math.real(values)), real.T)
        assert np.array_equal(tf.math.conj(tf.transpose(values)), (real - 1j).T)


OPERATIONS: dict[str, Any] = {
    "product": lambda x, y: x * y,
    "product with a number": lambda x, y: tf.multiply(x, 2.0) - 3.0 * y,
    "quotient": lambda x, y: x / y,
    "sum and difference": lambda x, y: (x + y) - 0.5 * x,
    "conjugate": lambda x, y: x + tf.math.conj(y),
    "exponential": lambda x, y: tf.exp(0.1 * x) * y,
    "sums over an axis": lambda x, y: tf.reduce_sum(x, 0, keepdims=True) * y + tf.reduce_mean(y),
    "parts put together": lambda x, y: tf.concat([x, y], 0) * tf.concat([tf.stack([y[0], x[1]]), x, y[:1]], 0),
    "a real number made complex": lambda x, y: tf.cast(tf.math.real(x), tf.complex64) * y,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_complex_arithmetic_is_done_in_parts_and_gives_the_same(name: str) -> None:
    def computed(real: Any, imaginary: Any) -> Any:
        values = tf.complex(real, imaginary)
        result = tf.transpose(OPERATIONS[name](values, values[::-1] + 0.5))
        return tf.math.real(result), tf.math.imag(result)

    random = np.random.default_rng(1)
    real, imaginary = (random.normal(size=(3, 4)).astype(np.float32) for _ in range(2))
    with complex_values_in_parts():
        traced = tf.function(computed).get_concrete_function(*[tf.TensorSpec((3, 4))] * 2)
        results = traced(tf.constant(real), tf.constant(imaginary))
    for result, truth in zip(results, computed(tf.constant(real), tf.constant(imaginary)), strict=True):
        assert np.abs(result - truth).max() < TOLERANCE
        assert np.abs(result * 1.01 - truth).max() > TOLERANCE
    operations = traced.graph.get_operations()
    assert [operation for operation in operations if operation.inputs and operation.inputs[0].dtype.is_complex] == []


class Rotated(tf_keras.layers.Layer):
    """Rotary embeddings as products of complex numbers, as LLaMA's code has them."""

    def call(self, x: Any) -> Any:
        pairs = tf.reshape(x, (-1, 6, 4, 2))
        angles = np.outer(np.arange(6.0), 1e4 ** (-np.arange(4.0) / 4)).astype(np.float32)
        turned = tf.complex(pairs[..., 0], pairs[..., 1]) * tf.exp(tf.complex(tf.zeros_like(angles), angles))
        return tf.reshape(tf.stack([tf.math.real(turned), tf.math.imag(turned)], -1), (-1, 6, 8))


class Mixed(tf_keras.layers.Layer):
    """FNet's mixing (Lee-Thorp et al. 2021) as Keras 2 code has it, and back."""

    def call(self, x: Any) -> Any:
        transformed = tf.signal.fft2d(tf.cast(x, tf.complex64))
        return tf.math.real(transformed) + tf.math.imag(tf.signal.ifft2d(transformed * tf.complex(0.5, 1.0)))


class Filtered(tf_keras.layers.Layer):
    """A state-space model's convolution by transforms (Gu et al. 2022; Legendre memory units)."""

    def call(self, x: Any) -> Any:
        kernels = np.random.default_rng(2).normal(size=(3, 12)).astype(np.float32)
        values = tf.signal.rfft(tf.transpose(x, (0, 2, 1)), [12])
        result = tf.expand_dims(values, -2) * tf.signal.rfft(tf.constant(kernels), [12])
        return tf.reduce_sum(tf.signal.irfft(result, [12])[..., :6], -2)


@pytest.mark.parametrize("layer", [Rotated, Mixed, Filtered])
def test_a_layer_that_computes_with_complex_numbers_is_integer_on_the_phone(layer: Any, tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(0)
    inputs = tf_keras.Input((6, 8), name="x")
    hidden = layer()(tf_keras.layers.Dense(8)(inputs))
    network = tf_keras.Model(inputs, tf_keras.layers.Dense(3)(tf_keras.layers.Flatten()(hidden)))
    samples = np.random.default_rng(0).normal(size=(64, 6, 8)).astype(np.float32)
    result = tfcompress.convert(network, targets="phone", calibration=samples, output=tmp_path / "out")
    phone = result.report["targets"]["phone"]
    assert phone["diff"]["sqnr_db"] > LEAST_SQNR_DB
    assert phone["fully_integer"]
