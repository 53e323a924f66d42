"""A constant mask costs attention little in quantization-aware training: its large number stays out of the ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compression.models import Int8File, L
from tfcompress.compression import wrap
from tfcompress.compression.lowering.passes import lower
from tfcompress.compression.simulation.ranges import LogitEstimator
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.recipe import Distillation, Quantization, Recipe
from tfcompress.runtime import keras, tf, tf_keras

STEPS, WIDTH = 8, 16
CAUSAL = np.tril(np.ones((STEPS, STEPS), np.float32))
LOSS_DB = 2.0  # that a mask may cost, issue 11
UNMASKED_DB = 24.0
SAME = 1e-5
MASKS: dict[str, Callable[[Any], Any]] = {
    "added": lambda scores: scores + tf.constant((1 - CAUSAL) * -1e9),
    "subtracted": lambda scores: scores - tf.constant((1 - CAUSAL) * 1e9),
    "selected": lambda scores: tf.where(tf.constant(CAUSAL > 0), scores, -1e9),
    "selected otherwise": lambda scores: tf.where(tf.constant(CAUSAL == 0), tf.fill([STEPS, STEPS], -1e9), scores),
    "multiplied": lambda scores: scores * tf.constant(CAUSAL) - tf.constant((1 - CAUSAL) * 1e9),
}


def attention(mask: Callable[[Any], Any]) -> Any:
    tf_keras.utils.set_random_seed(0)
    x = L.Input((STEPS, WIDTH), name="x")
    query, key, value = (L.Dense(WIDTH, name=name)(x) for name in ("q", "k", "v"))
    shares = L.Softmax()(mask(tf.matmul(query, key, transpose_b=True) * 0.5))
    return tf_keras.Model(x, L.Dense(4, name="head")(tf.matmul(shares, value)))


def inputs(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, STEPS, WIDTH)).astype(np.float32)


def kept_db(model: Any) -> float:
    """Of the outputs, without training: ranges are calibrated."""
    ends = float_model_from_keras(model)
    samples = samples_from_arrays(inputs(100, 1), None, model_inputs=ends.inputs, model_outputs=ends.outputs)
    recipe = Recipe(quantization=Quantization(), distillation=Distillation())
    test = inputs(50, 2)
    got, _ = Int8File(wrap(model, recipe, calibration=samples), float_io=True).run(test)
    wanted = np.asarray(model(test))
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum()))


def test_a_mask_costs_little() -> None:
    before = kept_db(attention(lambda scores: scores))
    assert before > UNMASKED_DB
    for name, mask in MASKS.items():
        assert kept_db(attention(mask)) > before - LOSS_DB, name


@pytest.mark.parametrize("name", MASKS)
def test_masked_models_compute_the_same_when_they_are_lowered(name: str) -> None:
    model = attention(MASKS[name])
    test = inputs(4, 3)
    np.testing.assert_allclose(np.asarray(lower(model)(test)), np.asarray(model(test)), atol=SAME)


def test_a_large_constant_that_an_output_shows_stays() -> None:
    x = L.Input((STEPS, STEPS), name="x")
    model = tf_keras.Model(x, x + tf.constant((1 - CAUSAL) * -1e9))
    assert np.asarray(lower(model)(np.zeros((1, STEPS, STEPS), np.float32))).min() == np.float32(-1e9)


def test_rows_with_one_score_or_none_do_not_widen_a_range() -> None:
    estimator = LogitEstimator()
    estimator.update(np.array([[2.0, -1e9, -1e9], [1.0, 0.5, -1e9], [-1e9, -1e9, -1e9]], np.float32))
    extent = estimator.range()
    assert -7.0 < extent.low < extent.high <= 2.0
    estimator.update(np.array([[-20.0, -20.5, -30.0]], np.float32))
    assert estimator.range().low < -20.0, "these are told apart"


def test_a_selection_that_an_output_shows_or_of_small_numbers_stays() -> None:
    x = L.Input((STEPS, STEPS), name="x")
    shown = tf_keras.Model(x, tf.where(tf.constant(CAUSAL > 0), x, -1e9))
    assert np.asarray(lower(shown)(np.zeros((1, STEPS, STEPS), np.float32))).min() == np.float32(-1e9)
    small = tf_keras.Model(x, L.Softmax()(tf.where(tf.constant(CAUSAL > 0), x, -1.0)))
    test = inputs(2, 4)[:, :, :STEPS]
    np.testing.assert_allclose(np.asarray(lower(small)(test)), np.asarray(small(test)), atol=SAME)


def test_a_constant_mask_of_a_softmax_layer_is_trained_with() -> None:
    x = keras.Input((STEPS, STEPS), name="x")
    shares = keras.layers.Softmax(name="shares")(x, mask=CAUSAL[None] > 0)
    model = keras.Model(x, keras.layers.Dense(2, name="head")(shares))
    values = inputs(8, 5)[:, :, :STEPS]
    rebuilt = to_tf_keras(model)
    rebuilt.compile("sgd", "mse")
    rebuilt.fit(values, np.zeros((8, STEPS, 2), np.float32), verbose=0)
    unmasked = keras.Model(x, keras.layers.Dense(2, name="head")(keras.layers.Softmax()(x)))
    unmasked.set_weights(model.get_weights())
    wanted = model(values).numpy()
    np.testing.assert_allclose(np.asarray(to_tf_keras(model)(values)), wanted, atol=SAME)
    assert np.abs(unmasked(values).numpy() - wanted).max() > SAME
