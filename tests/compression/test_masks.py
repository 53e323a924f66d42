"""A constant mask costs attention little in quantization-aware training: its large number stays out of the ranges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compression.models import Int8File, L
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.calibration.estimators import MinMaxEstimator
from tfcompress.calibration.result import Range
from tfcompress.compression import wrap
from tfcompress.compression.in_float import in_float
from tfcompress.compression.lowering.passes import lower
from tfcompress.compression.lowering.symbols import symbol_of
from tfcompress.compression.simulation.ranges import AddendEstimator, LogitEstimator
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.recipe import Distillation, Quantization, Recipe
from tfcompress.runtime import keras, tf, tf_keras

STEPS, WIDTH = 8, 16
CAUSAL = np.tril(np.ones((STEPS, STEPS), np.float32))
DISTANCES = -0.25 * np.abs(np.subtract.outer(np.arange(STEPS), np.arange(STEPS))).astype(np.float32)
LONG_ROW = 480  # operators: a step of the search for a softmax each would be too many calls inside of calls
LOSS_DB = 2.0  # that a mask may cost
UNMASKED_DB = 24.0
SAME = 1e-5
MASKS: dict[str, Callable[[Any], Any]] = {
    "added": lambda scores: scores + tf.constant((1 - CAUSAL) * -1e9),
    "subtracted": lambda scores: scores - tf.constant((1 - CAUSAL) * 1e9),
    "selected": lambda scores: tf.where(tf.constant(CAUSAL > 0), scores, -1e9),
    "selected otherwise": lambda scores: tf.where(tf.constant(CAUSAL == 0), tf.fill([STEPS, STEPS], -1e9), scores),
    "added before scaling": lambda scores: (scores * 4.0 + tf.constant((1 - CAUSAL) * -1e9)) / 4.0,
    "selected before scaling": lambda scores: tf.where(tf.constant(CAUSAL > 0), scores * 4.0, -1e9) * 0.25,
    "added before a reshape": lambda scores: tf.reshape(
        scores + tf.constant((1 - CAUSAL) * -1e9), [-1, 1, STEPS, STEPS]
    )[:, 0],
    "added with distances": lambda scores: scores + tf.constant(np.where(CAUSAL > 0, DISTANCES, -np.inf), tf.float32),
    "multiplied": lambda scores: scores * tf.constant(CAUSAL) - tf.constant((1 - CAUSAL) * 1e9),
}


def attention(mask: Callable[[Any], Any], share: Callable[[Any], Any] | None = None) -> Any:
    tf_keras.utils.set_random_seed(0)
    x = L.Input((STEPS, WIDTH), name="x")
    query, key, value = (L.Dense(WIDTH, name=name)(x) for name in ("q", "k", "v"))
    shares = (share or L.Softmax())(mask(tf.matmul(query, key, transpose_b=True) * 0.5))
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


QUICK = ("added", "selected before scaling")


@pytest.mark.parametrize(
    "names", [QUICK, pytest.param(tuple(name for name in MASKS if name not in QUICK), marks=pytest.mark.slow)]
)
def test_a_mask_costs_little(names: tuple[str, ...]) -> None:
    before = kept_db(attention(lambda scores: scores))
    assert before > UNMASKED_DB
    for name in names:
        assert kept_db(attention(MASKS[name])) > before - LOSS_DB, name


def less_the_sum(scores: Any) -> Any:
    return tf.exp(scores - tf.reduce_logsumexp(scores, axis=-1, keepdims=True))


@pytest.mark.parametrize(
    "share",
    [lambda scores: tf.exp(tf.nn.log_softmax(scores)), pytest.param(less_the_sum, marks=pytest.mark.slow)],
    ids=["log_softmax", "logsumexp"],
)
def test_shares_through_their_logarithms_are_a_softmax(share: Callable[[Any], Any]) -> None:
    model = attention(MASKS["added"], share)
    names = {type(layer).__name__ for layer in lower(model).layers}
    assert "Activation" in names, "the softmax"
    test = inputs(4, 3)
    np.testing.assert_allclose(np.asarray(lower(model)(test)), np.asarray(model(test)), atol=SAME)
    assert kept_db(model) > UNMASKED_DB - LOSS_DB


def test_logarithms_that_others_read_stay() -> None:
    x = L.Input((STEPS,), name="x")
    logarithms = tf.nn.log_softmax(x)
    model = tf_keras.Model(x, [tf.exp(logarithms), logarithms])
    test = inputs(2, 4)[:, 0, :STEPS]
    for wanted, got in zip(model(test), lower(model)(test), strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), atol=SAME)


@pytest.mark.parametrize("name", MASKS)
def test_masked_models_compute_the_same_when_they_are_lowered(name: str) -> None:
    model = attention(MASKS[name])
    test = inputs(4, 3)
    np.testing.assert_allclose(np.asarray(lower(model)(test)), np.asarray(model(test)), atol=SAME)


@pytest.mark.parametrize("name", ["added", "selected", "selected otherwise"])
def test_masks_of_a_model_that_was_saved_are_made_smaller_too(name: str, tmp_path: Path) -> None:
    model = attention(MASKS[name])
    model.save(tmp_path / "masked.keras")
    saved = tf_keras.models.load_model(tmp_path / "masked.keras")
    symbols = [[symbol_of(layer) for layer in lower(each).layers] for each in (model, saved)]
    assert symbols[0] == symbols[1]
    assert "where" not in symbols[1]
    test = inputs(4, 3)
    np.testing.assert_allclose(np.asarray(lower(saved)(test)), np.asarray(model(test)), atol=SAME)


def test_a_large_constant_that_an_output_shows_stays() -> None:
    x = L.Input((STEPS, STEPS), name="x")
    model = tf_keras.Model(x, x + tf.constant((1 - CAUSAL) * -1e9))
    assert np.asarray(lower(model)(np.zeros((1, STEPS, STEPS), np.float32))).min() == np.float32(-1e9)


def test_a_large_constant_before_a_long_row_of_sums_stays() -> None:
    x = L.Input((STEPS,), name="x")
    total = x + tf.constant((1 - CAUSAL)[:1] * -1e9)
    for _ in range(LONG_ROW):
        total = total + x
    model = tf_keras.Model(x, L.Dense(2)(total))
    test = inputs(2, 4)[:, 0, :STEPS]
    np.testing.assert_allclose(np.asarray(lower(model)(test)), np.asarray(model(test)), rtol=SAME)


def test_what_an_output_shows_of_scaled_scores_keeps_its_mask() -> None:
    x = L.Input((STEPS, STEPS), name="x")
    scaled = (x + tf.constant((1 - CAUSAL) * -1e9)) / 4.0
    model = tf_keras.Model(x, [L.Softmax()(scaled), scaled])
    shown = np.asarray(lower(model)(np.zeros((1, STEPS, STEPS), np.float32))[1])
    assert shown.min() == np.float32(-1e9 / 4)


def masked_by_an_input(factor: float, *, subtracted: bool) -> Any:
    """Attention whose second input has 1 for a place that counts; `factor` makes a mask of it."""
    tf_keras.utils.set_random_seed(0)
    x, places = L.Input((STEPS, WIDTH), name="x"), L.Input((STEPS,), name="places")
    query, key, value = (L.Dense(WIDTH, name=name)(x) for name in ("q", "k", "v"))
    scores = tf.matmul(query, key, transpose_b=True) * 0.5
    absent = L.Rescaling(-1.0, 1.0, name="absent")(L.Reshape((1, STEPS))(places))
    large = L.Rescaling(factor if subtracted else -factor, name="large")(absent)
    shares = L.Softmax()(scores - large if subtracted else scores + large)
    return tf_keras.Model([x, places], L.Dense(4, name="head")(tf.matmul(shares, value)))


def two_inputs(count: int, seed: int) -> dict[str, np.ndarray]:
    lengths = np.random.default_rng(seed).integers(3, STEPS + 1, count)
    return {"x": inputs(count, seed), "places": (np.arange(STEPS) < lengths[:, None]).astype(np.float32)}


@pytest.mark.parametrize(
    ("factor", "subtracted"),
    [(1e9, False), pytest.param(1e4, False, marks=pytest.mark.slow), pytest.param(1e9, True, marks=pytest.mark.slow)],
)
def test_a_mask_that_is_computed_is_no_larger_than_integers_can_scale(factor: float, subtracted: bool) -> None:
    """LiteRT ends the process where it adds int8 numbers whose steps differ by more than 2**19."""
    model = masked_by_an_input(factor, subtracted=subtracted)
    ends = float_model_from_keras(model)
    samples = samples_from_arrays(two_inputs(100, 1), None, model_inputs=ends.inputs, model_outputs=ends.outputs)
    recipe = Recipe(quantization=Quantization(strict=True), distillation=Distillation())
    content = Int8File(wrap(model, recipe, calibration=samples), float_io=True).content
    test, runner = two_inputs(50, 2), LiteRtRunner(content)
    by_rank = {len(info.shape): info.name for info in runner.inputs}
    got = next(iter(runner.run({by_rank[3]: test["x"], by_rank[2]: test["places"]}).values()))
    wanted = np.asarray(model(test))
    assert 10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum()) > UNMASKED_DB - LOSS_DB


def test_large_factors_of_scores_themselves_stay() -> None:
    """What trained layers give is no mask of zeros and ones, and a softmax of it nearly an argmax."""
    x = L.Input((STEPS, WIDTH), name="x")
    small = L.Dense(STEPS, kernel_initializer=tf_keras.initializers.RandomNormal(stddev=1e-5))(x)
    model = tf_keras.Model(x, L.Softmax()(L.Dense(STEPS)(x) + L.Rescaling(1e5)(small)))
    test = inputs(4, 6)
    np.testing.assert_allclose(np.asarray(lower(model)(test)), np.asarray(model(test)), atol=SAME)


def test_the_large_number_of_a_mask_ends_just_below_what_it_is_added_to() -> None:
    plain = AddendEstimator(1.0, MinMaxEstimator())
    plain.update(np.array([[2.0, -3.0, 0.5]], np.float32))
    assert plain.range() == Range(-3.0, 2.0)
    masked = AddendEstimator(0.5, MinMaxEstimator())
    masked.update(np.array([[2.0, -3.0, -1e9]], np.float32))
    assert masked.range() == Range(-3.0 - 32.0, 2.0)
    subtracted = AddendEstimator(-1.0, MinMaxEstimator())
    subtracted.update(np.array([[0.0, 1e9]], np.float32))
    assert subtracted.range() == Range(0.0, 16.0)


def test_a_mask_of_keras_does_not_reach_layers_that_take_none() -> None:
    """A softmax with a mask hands it on; without quantizers, it went through them to a Dense layer."""
    x, places = L.Input((STEPS, STEPS), name="x"), L.Input((STEPS, STEPS), dtype=tf.bool, name="places")
    model = tf_keras.Model([x, places], L.Dense(2, name="head")(L.Softmax()(x, mask=places)))
    wrapped = wrap(model, Recipe(quantization=Quantization()), calibration=None)
    values = {"x": inputs(2, 7)[:, :, :STEPS], "places": np.broadcast_to(CAUSAL > 0, (2, STEPS, STEPS))}
    with in_float():
        got = wrapped(values)
    np.testing.assert_allclose(np.asarray(got), np.asarray(model(values)), atol=SAME)


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
