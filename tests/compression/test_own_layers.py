"""Layers of one's own in a model of Keras 2 are taken apart, and so trained and computed in int8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compression.models import functional, samples_for
from tfcompress import wrap
from tfcompress.compression.lowering.passes import lower
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.facts import float_operators
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Distillation, Quantization, Recipe
from tfcompress.runtime import tf, tf_keras

L = tf_keras.layers
QUANTIZED = Recipe(quantization=Quantization(), distillation=Distillation())
SAME = 1e-5  # of float32


class Projection(tf_keras.layers.Layer):
    """A product and a bias with weights of its own, as layers of Keras 2 are usually written."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], self.units), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="uniform")
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        return tf.nn.bias_add(tf.matmul(inputs, self.kernel), self.bias)

    def get_config(self) -> Any:
        return {**super().get_config(), "units": self.units}


class Backend(Projection):
    """The same by functions of Keras's backend."""

    def call(self, inputs: Any) -> Any:
        return tf_keras.backend.bias_add(tf_keras.backend.dot(inputs, self.kernel), self.bias)


class Summed(Projection):
    def call(self, inputs: Any) -> Any:
        return self.bias + inputs @ self.kernel


class Contracted(Projection):
    def call(self, inputs: Any) -> Any:
        return tf.tensordot(inputs, self.kernel, axes=(-1, 0)) + self.bias


class Heads(tf_keras.layers.Layer):
    """A product with several new axes."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 2, 3), initializer="glorot_uniform")
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        heads = tf.einsum("...NI,IHO->...NHO", inputs, self.kernel)
        return tf.reduce_mean(heads, axis=2)


class Block(tf_keras.layers.Layer):
    """Layers within, one of them one's own, one used twice, and a list of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = L.LayerNormalization()
        self.inner = Projection(6, name="inner")
        self.rows = [Projection(6, name="first"), L.Dense(6, activation="relu", name="second")]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = self.norm(inputs)
        for layer in self.rows:
            x = layer(x)
        return inputs + self.inner(self.inner(x))


class Gated(tf_keras.layers.Layer):
    """A choice by value, which Keras's symbolic tensors have as an operator."""

    def call(self, inputs: Any) -> Any:
        return tf.where(inputs > 0.0, inputs, 0.1 * inputs)


OWN: dict[str, Callable[[], Any]] = {
    "a product and a bias": lambda: Projection(5),
    "Keras's backend": lambda: Backend(5),
    "a sum with a bias": lambda: Summed(5),
    "a tensordot": lambda: Contracted(5),
    "an einsum": Heads,
    "a block of layers": Block,
    "a choice by value": Gated,
}


def around(own: Any) -> Any:
    """The layer between others: it is given [batch, 4, 6]."""
    tf_keras.utils.set_random_seed(0)
    return functional((4, 6), lambda x: L.Dense(3, name="last")(L.Flatten()(own(L.Dense(6, name="first")(x)))))


def inputs() -> np.ndarray:
    """float32 [48, 4, 6]."""
    return np.random.default_rng(0).normal(size=(48, 4, 6)).astype(np.float32)


@pytest.mark.parametrize("name", OWN)
def test_a_layer_that_is_taken_apart_computes_what_it_did(name: str) -> None:
    model = around(OWN[name]())
    lowered = lower(model)
    given = {type(layer).__module__.partition(".")[0] for layer in lowered.layers}
    assert given <= {"tf_keras", "tfcompress"}, "a layer stayed whole"
    np.testing.assert_allclose(np.asarray(lowered(inputs())), np.asarray(model(inputs())), atol=SAME)
    changed = [value + 0.01 for value in lowered.get_weights()]
    lowered.set_weights(changed)
    assert np.abs(np.asarray(lowered(inputs())) - np.asarray(model(inputs()))).max() > SAME


@pytest.mark.parametrize("name", OWN)
def test_after_training_for_int8_it_has_no_operator_in_float(name: str) -> None:
    model = around(OWN[name]())
    wrapped = wrap(model, QUANTIZED, calibration=samples_for(model, 48, labels=False))
    content = quantize_int8(float_model_from_keras(wrapped), None, QUANTIZED).content
    assert not float_operators(read_tflite(content))


@pytest.mark.parametrize("own", [Projection, Backend, Summed, Contracted])
def test_a_product_with_a_weight_is_one_layer_with_its_bias(own: Any) -> None:
    lowered = lower(around(own(5)))
    if own is not Backend:  # which changes the shape between the two
        assert not [layer for layer in lowered.layers if layer.name.startswith("bias")]
    kernels = [layer for layer in lowered.layers if type(layer) is L.Dense]
    assert len(kernels) == 3
    assert len(lowered.trainable_weights) == 6, "whatever was trained is trained"


class Stepwise(tf_keras.layers.Layer):
    """A loop whose end is a value: no symbolic tensor has one."""

    def call(self, inputs: Any) -> Any:
        for _ in range(int(tf.reduce_max(inputs[:1]))):
            inputs = inputs + 1.0
        return inputs


class Misnamed(Projection):
    """Its configuration does not make it again."""

    def get_config(self) -> Any:
        return {**super().get_config(), "units": self.units + 1}


def test_a_layer_whose_configuration_lies_within_another_is_taken_apart() -> None:
    class Outer(tf_keras.layers.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inner = Misnamed(5)

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)

    model = around(Outer())
    np.testing.assert_allclose(np.asarray(lower(model)(inputs())), np.asarray(model(inputs())), atol=SAME)


def test_the_layer_of_the_user_is_left_as_it_was() -> None:
    own = Block()
    model = around(own)
    before = [value.copy() for value in model.get_weights()]
    nodes, attributes = len(own.inner.inbound_nodes), dict(vars(own))
    lower(model).set_weights([value + 1.0 for value in lower(model).get_weights()])
    assert len(own.inner.inbound_nodes) == nodes
    assert all(vars(own)[name] is value for name, value in attributes.items())
    for value, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept)
