"""Histograms of the layers to blame: what they count, and where the range lies."""

from __future__ import annotations

import numpy as np

from tfcompress.accuracy_diff import compare
from tfcompress.accuracy_diff.layers.histograms import histogram_of
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.runners import FloatModelRunner
from tfcompress.converters.litert import quantize_int8
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras

SAMPLES = 40


def test_a_clipped_layer_is_drawn_with_the_values_beyond_its_range() -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((8,), name="x")
    y = keras.layers.Dense(16, activation="relu", name="clipped")(x)
    model = float_model_from_keras(keras.Model(x, keras.layers.Dense(3, name="scores")(y)))
    values = np.random.default_rng(0).normal(size=(SAMPLES, 8)).astype(np.float32)
    small, large = (
        samples_from_arrays(scale * values, model_inputs=model.inputs, model_outputs=model.outputs)
        for scale in (0.1, 1.0)
    )
    content = quantize_int8(model, small, Recipe(post_training=PostTraining(quality="fast"))).content
    result = compare(FloatModelRunner(model), {"file": LiteRtRunner(content)}, large, layers=True).candidates["file"]
    drawn = {(histogram.layer, histogram.what): histogram for histogram in result.histograms}
    outputs = drawn["clipped", "activations"]
    assert sum(outputs.counts) == SAMPLES * 16
    assert outputs.high > 2 * outputs.range[1]  # the data reach far beyond what was calibrated
    assert sum(outputs.counts[len(outputs.counts) // 2 :]) > 0
    assert sum(drawn["clipped", "weights"].counts) == 8 * 16
    assert result.to_json()["histograms"][0]["layer"] in {"clipped", "scores"}


def test_a_sound_artifact_has_no_layer_to_blame() -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((8,), name="x")
    model = float_model_from_keras(keras.Model(x, keras.layers.Dense(3, name="scores")(x)))
    values = np.random.default_rng(0).normal(size=(SAMPLES, 8)).astype(np.float32)
    data = samples_from_arrays(values, model_inputs=model.inputs, model_outputs=model.outputs)
    content = quantize_int8(model, data, Recipe(post_training=PostTraining(quality="fast"))).content
    result = compare(FloatModelRunner(model), {"file": LiteRtRunner(content)}, data, layers=True).candidates["file"]
    assert result.histograms == ()


def test_a_kernel_has_the_range_of_its_widest_and_of_its_narrowest_channel() -> None:
    kernel = np.array([[0.5, -2.0], [0.25, 1.0]])
    drawn = histogram_of("dense", kernel, np.array([0.5, 2.0]) / 127, 127)
    assert drawn.range == (-2.0, 2.0)
    assert drawn.narrowest == 0.5
    assert (drawn.low, drawn.high) == (-2.0, 2.0)
    assert sum(drawn.counts) == 4
    assert histogram_of("dense", kernel, np.array([2.0]) / 127, 127).narrowest is None
