"""Spectrograms whose complex values are moved before their magnitude is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfcompress.converters.litert import to_float_tflite
from tfcompress.graphs.tensorflow.complex_values import complex_values_in_parts
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import tf, tf_keras

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
