"""A sum of one sample is what it is of several, although Keras 3 takes some for sums with a bias."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tfcompress.converters.litert import to_float_tflite
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf

TOLERANCE = 1e-5  # two float32 sums of a few products
FORMS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "one number a row": ((4, 4), lambda x: x + keras.layers.Dense(1)(x)),
    "every pair of nodes": ((5, 1), lambda x: x + keras.ops.transpose(x, (0, 2, 1))),
    "a series of one feature": ((6, 1), lambda x: x + keras.layers.Dense(1)(x)),
    "one number a column of a picture": ((4, 4, 3), lambda x: x + keras.ops.mean(x, axis=(1, 3), keepdims=True)),
}


def summing(form: str) -> tuple[FloatModel, np.ndarray]:
    keras.utils.set_random_seed(0)
    shape, network = FORMS[form]
    inputs = keras.Input(shape, name="x")
    samples = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    return float_model_from_keras(keras.Model(inputs, network(inputs))), samples


@pytest.mark.parametrize("form", FORMS)
def test_one_sample_is_added_in_a_file_as_several_are_in_keras(form: str) -> None:
    model, samples = summing(form)
    (wanted,) = model.predict({"x": samples}).values()
    interpreter = new_interpreter(to_float_tflite(model))
    results = np.concatenate([run(interpreter, [sample[None]])[0] for sample in samples])
    np.testing.assert_allclose(results, wanted, atol=TOLERANCE)
    assert not np.allclose(results, np.roll(wanted, 1, axis=0), atol=TOLERANCE)


def test_weights_are_added_as_keras_adds_them() -> None:
    inputs = keras.Input((4, 3), name="x")
    model = float_model_from_keras(keras.Model(inputs, keras.layers.Conv1D(3, 1)(inputs)))
    operators = {operation.type for operation in model.concrete_function(1).graph.get_operations()}
    assert "BiasAdd" in operators
    assert "AddV2" not in operators


def test_keras_has_its_own_sum_back() -> None:
    model, samples = summing("every pair of nodes")
    model.concrete_function(1)
    column = tf.constant(samples[:1])
    assert keras.ops.add(column, keras.ops.transpose(column, (0, 2, 1))).shape == (1, 5, 1)  # see Keras's `add`
