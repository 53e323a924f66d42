"""A product in float behind integers reads floats, or LiteRT does not run the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import layers, run, samples_for
from tfcompress.compression import wrap
from tfcompress.converters.litert import converter_engine, quantize_int8
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Quantization, Recipe
from tfcompress.runtime import tf, tf_keras

TRAINED = Recipe(quantization=Quantization())
TOLERANCE = 0.1  # of the largest value: 8 bits of shares whose differences alone count


class Projection(tf_keras.layers.Layer):
    """A layer of one's own that training for int8 leaves in float: a traced function takes no symbolic tensor."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 8), initializer="glorot_uniform")
        super().build(shape)

    @tf.function
    def call(self, inputs: Any) -> Any:
        return tf.nn.softmax(tf.einsum("...NI,IO->...NO", inputs, self.kernel)) - 0.125


def activation_between_own_layers() -> FloatModel:
    tf_keras.utils.set_random_seed(0)
    nodes = tf_keras.Input((12, 8), name="nodes")
    active = layers.Activation("relu")(Projection()(nodes))
    scores = layers.Dense(3, name="last")(Projection()(active))
    return float_model_from_keras(tf_keras.Model(nodes, scores))


def nodes() -> np.ndarray:
    """float32 [32, 12, 8]."""
    return np.random.default_rng(0).normal(size=(32, 12, 8)).astype(np.float32)


def trained(model: FloatModel) -> bytes:
    """Its file with the ranges that calibration gives it, as before the first step of training."""
    with tf_keras.utils.custom_object_scope({"Projection": Projection}):
        simulated = wrap(model.keras_model, TRAINED, calibration=samples_for(model, nodes()))
    return quantize_int8(float_model_from_keras(simulated), None, TRAINED).content


def test_an_activation_in_integers_between_layers_in_float_is_converted() -> None:
    model = activation_between_own_layers()
    content = trained(model)
    wanted = model.predict({"nodes": nodes()})["last"]
    (given,) = run(content, {"nodes": nodes()}).values()
    assert "DEQUANTIZE" in [operator.name for operator in read_tflite(content).main.operators]
    assert np.abs(given - wanted).max() < TOLERANCE * np.abs(wanted).max()
    assert np.abs(given - wanted).max() > 0, "the activation is in integers"


def test_litert_refuses_the_file_as_the_converter_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter_engine, "with_float_operands", lambda content: content)
    content = trained(activation_between_own_layers())
    with pytest.raises((RuntimeError, ValueError)):
        run(content, {"nodes": nodes()})
