"""Sums of products over axes of one place are matrix products, which the converter takes; others stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tfcompress.converters.litert import to_float_tflite
from tfcompress.graphs.tensorflow.einsums import einsums_as_products
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf

TOLERANCE = 1e-5  # two float32 sums of a few dozen products
FORMS = {
    "projection of one feature": ("abc,cde->abde", (1, 5, 1), (1, 3, 4)),
    "projection to one feature": ("abcd,cde->abe", (1, 5, 3, 4), (3, 4, 1)),
    "scores of one head": ("aecd,abcd->acbe", (1, 5, 1, 4), (1, 6, 1, 4)),
    "mixture of one place": ("acbe,aecd->abcd", (1, 3, 6, 1), (1, 1, 3, 4)),
}


def operators_of(equation: str, first: tuple[int, ...], second: tuple[int, ...]) -> set[str]:
    with einsums_as_products():
        traced = tf.function(lambda x, y: tf.einsum(equation, x, y)).get_concrete_function(
            tf.TensorSpec(first), tf.TensorSpec(second)
        )
    return {operator.type for operator in traced.graph.get_operations()}


@pytest.mark.parametrize("form", FORMS)
def test_an_axis_of_one_place_gives_a_matrix_product_of_the_same_values(form: str) -> None:
    equation, *shapes = FORMS[form]
    random = np.random.default_rng(0)
    x, y = (random.normal(size=shape).astype(np.float32) for shape in shapes)
    with einsums_as_products():
        product = tf.function(lambda *both: tf.einsum(equation, *both))(x, y)
    np.testing.assert_allclose(product, np.einsum(equation, x, y), atol=TOLERANCE)
    assert not np.allclose(product, np.einsum(equation, x, y + 0.1), atol=TOLERANCE)
    assert "Einsum" not in operators_of(equation, *shapes)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("abc,cde->abde", ((2, 5, 3), (3, 3, 4))),  # no axis of one place
        ("abc,cde->abde", ((1, 5, 3), (3, 3, 4))),  # the batch is one while a model is converted
        ("abc,cd->ab", ((1, 1, 3), (3, 4))),  # d is summed in one operand alone
    ],
)
def test_other_sums_stay_as_they_are(equation: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    assert "Einsum" in operators_of(equation, *shapes)


def at_another_batch(equation: str, traced: Sequence[tuple[int, ...]], values: Sequence[np.ndarray]) -> np.ndarray:
    """What a sum that was recorded at one sample gives for several, as a file does whose batch is open."""
    with einsums_as_products():
        function = tf.function(lambda x, y: tf.einsum(equation, x, y)).get_concrete_function(
            *(tf.TensorSpec(shape, name=name) for name, shape in zip("xy", traced, strict=True))
        )
    with tf.Graph().as_default():
        given = {f"{name}:0": tf.constant(array) for name, array in zip("xy", values, strict=True)}
        (result,) = tf.graph_util.import_graph_def(
            function.graph.as_graph_def(), input_map=given, return_elements=[function.outputs[0].name]
        )
        with tf.compat.v1.Session() as session:
            return np.asarray(session.run(result))


BATCH_FIRST = ["bik,bjk->bij", "bik,bjk->ibj", "bik,bjk->ijb", "ibk,bjk->bji", "bik,bjk->jib"]
TIME_FIRST = ["ibk,jbk->ijb", "ibk,bk->ib", "ibk,bk->bi", "ibk,jbk->bij", "ik,bk->ib", "ibk,ibk->ib", "ibk,jbk->kijb"]


@pytest.mark.parametrize("equation", BATCH_FIRST + TIME_FIRST)
def test_the_batch_may_stand_anywhere(equation: str) -> None:
    random = np.random.default_rng(0)
    sizes = {"b": 3, "i": 5, "j": 6, "k": 1}
    terms = equation.partition("->")[0].split(",")
    values = [random.normal(size=[sizes[label] for label in term]).astype(np.float32) for term in terms]
    traced = [tuple(1 if label in "bk" else sizes[label] for label in term) for term in terms]
    np.testing.assert_allclose(at_another_batch(equation, traced, values), np.einsum(equation, *values), atol=TOLERANCE)


def attention_on_one_feature() -> FloatModel:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 1), name="x")
    return float_model_from_keras(keras.Model(inputs, keras.layers.MultiHeadAttention(2, 4)(inputs, inputs)))


def test_attention_on_a_series_of_one_feature_converts_to_what_it_was() -> None:
    model = attention_on_one_feature()
    series = np.random.default_rng(0).normal(size=(1, 8, 1)).astype(np.float32)
    (result,) = run(new_interpreter(to_float_tflite(model)), [series])
    (wanted,) = model.predict({"x": series}).values()
    np.testing.assert_allclose(result, wanted, atol=TOLERANCE)
