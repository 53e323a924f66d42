"""How candidates are compared, and what keeps a candidate from being a file that no runtime takes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.converters.litert.models import converted, images, layers, run, samples_for, small_cnn
from tfcompress.calibration import Range
from tfcompress.converters.litert import litert_engine, quantize_int8, to_float_tflite
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.litert.quality import (
    held_apart,
    is_closer,
    lost_db,
    output_error,
    output_errors,
    tied_share,
    typical,
    typical_error,
)
from tfcompress.converters.litert.rounding import weighted_layers
from tfcompress.converters.litert.rounding.own_biases import with_own_biases
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf_keras


def test_the_error_of_a_file_is_zero_for_the_float_file_and_grows_with_what_was_lost() -> None:
    model = small_cnn()
    samples, content = samples_for(model, images()), to_float_tflite(model)
    result = quantize_int8(model, samples, Recipe())
    assert output_error(content, content, samples) < 1e-12
    assert 1e-9 < output_error(content, result.content, samples) < 1e-3
    assert result.calibration is not None
    halved = {name: Range(interval.low / 4, interval.high / 4) for name, interval in result.calibration.ranges.items()}
    clipped = dataclasses.replace(result.calibration, ranges=halved)
    worse = litert_engine.quantize(content, clipped, Limits())
    assert output_error(content, worse, samples) > output_error(content, result.content, samples)


def test_a_file_that_the_runtime_refuses_is_infinitely_far_from_float() -> None:
    model = small_cnn()
    samples, content = samples_for(model, images()), to_float_tflite(model)
    result = quantize_int8(model, samples, Recipe())
    assert result.calibration is not None
    name = next(name for name in result.calibration.ranges if "first" in name)
    tiny = {**result.calibration.ranges, name: Range(0.0, 1e-25)}
    refused = litert_engine.quantize(content, dataclasses.replace(result.calibration, ranges=tiny), Limits())
    assert output_error(content, refused, samples) == math.inf


def test_what_a_file_loses_is_told_also_where_the_runtime_refuses_one_of_two() -> None:
    assert lost_db(1.0, 10.0) == pytest.approx(10.0)
    assert lost_db(10.0, 1.0) == pytest.approx(-10.0)
    assert (lost_db(1.0, math.inf), lost_db(math.inf, 1.0)) == (math.inf, -math.inf)
    assert [lost_db(*pair) for pair in ((math.inf, math.inf), (0.0, 1.0), (1.0, 0.0))] == [0.0] * 3


def test_a_channel_that_is_all_but_dead_is_left_out_of_equalization(tmp_path: Path) -> None:
    model = small_cnn()
    layer = model.keras_model.get_layer("depthwise")
    kernel, bias = layer.get_weights()
    kernel[:, :, 0] *= 1e-30
    layer.set_weights([kernel, bias])
    options = PostTraining(quality="best", cross_layer_equalization=True)
    artifact = converted(model, images(), tmp_path, Recipe(post_training=options))
    assert any("cross-layer equalization" in note for note in artifact.notes)
    unseen = {"image": images(8, seed=1)}
    scores = run(artifact.runnable.read_bytes(), unseen)["scores"]
    assert np.abs(scores - model.predict(unseen)["scores"]).max() < 0.03


def test_best_is_never_further_from_float_than_balanced_on_samples_held_apart() -> None:
    model = small_cnn()
    samples, content = samples_for(model, images(128)), to_float_tflite(model)
    fit, chosen_by = held_apart(samples)
    assert (fit.count, chosen_by.count) == (96, 32)
    best = quantize_int8(model, samples, Recipe(post_training=PostTraining(quality="best")))
    balanced = quantize_int8(model, samples, Recipe(post_training=PostTraining(quality="balanced")))
    errors = [typical_error(content, result.content, chosen_by) for result in (best, balanced)]
    assert errors[0] <= errors[1]


def test_best_that_finds_nothing_is_the_file_of_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfcompress.converters.litert.int8.is_closer", lambda errors, others: False)
    monkeypatch.setattr("tfcompress.converters.litert.int8.learnt", lambda *args: (b"", "not tried"))
    model = small_cnn()
    samples = samples_for(model, images(128))
    best = quantize_int8(model, samples, Recipe(post_training=PostTraining(quality="best")))
    assert best.content == quantize_int8(model, samples, Recipe()).content, "of all samples, not of three quarters"
    assert any("as quality=balanced" in note for note in best.notes)


def test_closer_is_what_chance_does_not_explain() -> None:
    noise = np.random.default_rng(0).exponential(size=64)
    assert is_closer(0.8 * noise, noise)
    assert not is_closer(noise, noise)
    lucky = noise.copy()
    lucky[0] -= 0.5 * lucky[0]
    assert lucky.mean() < noise.mean()
    assert not is_closer(lucky, noise), "one sample decides it"
    far_off = 0.5 * noise
    far_off[0] = 30 * noise.max()
    assert typical(far_off) < typical(noise)
    assert not is_closer(far_off, noise), "one sample pays for the others"
    assert is_closer(noise, np.array([math.inf]))
    assert not is_closer(np.array([math.inf]), noise)


def test_a_few_samples_do_not_decide_what_is_typical() -> None:
    better, worse = np.ones(100), np.full(100, 1.2)
    better[0], worse[0] = 1000.0, 900.0
    assert better.mean() > worse.mean()
    assert typical(better) < typical(worse)
    assert np.isclose(typical(np.full(9, 4.0)), 4.0), "a mean of squares, where all are alike"


def test_a_small_output_counts_as_much_as_a_large_one() -> None:
    image: Any = keras.Input((4,), name="x")
    ends = {"large": keras.layers.Dense(3, name="a")(image) * 1e3, "small": keras.layers.Dense(3, name="b")(image)}
    kernels = np.random.default_rng(0).normal(size=(2, 4, 3))
    network = keras.Model(image, ends)
    contents = []
    for factor in (1.0, 0.0):
        for name, kernel in zip("ab", kernels * [[[1.0]], [[factor]]], strict=True):
            network.get_layer(name).set_weights([kernel, np.zeros(3)])
        contents.append(to_float_tflite(float_model_from_keras(network, name="two")))
    model = float_model_from_keras(network, name="two")
    inputs = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    samples = samples_from_arrays(inputs, None, model_inputs=model.inputs, model_outputs=model.outputs)
    errors = output_errors(contents[0], contents[1], samples)
    assert errors.shape == (40,)
    assert np.isclose(errors.mean(), 0.5), "one of two outputs is lost"


def test_few_samples_serve_for_both() -> None:
    samples = samples_for(small_cnn(), images(20))
    assert held_apart(samples) == (samples, samples)


def test_answers_that_8_bits_make_equal_are_counted() -> None:
    model = small_cnn()
    layer = model.keras_model.get_layer("scores")
    layer.set_weights([weights / 1000 for weights in layer.get_weights()])
    samples, content = samples_for(model, images(40)), to_float_tflite(model)
    assert tied_share(content, content, samples) == 0.0
    assert tied_share(content, quantize_int8(model, samples, Recipe()).content, samples) > 0.3


def test_layers_with_equal_biases_are_rounded_adaptively_too() -> None:
    model = small_cnn()  # its biases are zeros: one tensor for two layers
    content = to_float_tflite(model)
    own = with_own_biases(content)
    before, after = (len(weighted_layers(read_tflite(item).main)) for item in (content, own))
    assert before < after
    assert with_own_biases(own) == own, "nothing is left to do"
    samples = samples_for(model, images())
    assert output_error(content, own, samples) == 0.0
    assert any(f"of {after} layers" in note for note in quantize_int8(model, samples, Recipe()).notes)


@pytest.mark.parametrize("engine", ["litert", "tflite_converter"])
def test_equal_biases_are_each_rounded_by_their_own_layers_steps(engine: Any) -> None:
    """One buffer for both would hold the integers of whichever layer is quantized last."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((8, 8, 3), name="image")
    x = image
    for name, size in (("large", 1.0), ("small", 0.01)):
        kernel = tf_keras.initializers.RandomNormal(stddev=size)
        x = layers.Conv2D(6, 3, activation="relu", kernel_initializer=kernel, bias_initializer="ones", name=name)(x)
    model = float_model_from_keras(tf_keras.Model(image, x))
    samples, content = samples_for(model, images()), to_float_tflite(model)
    options = PostTraining(engine=engine, bias_correction=False, quality="fast")
    result = quantize_int8(model, samples, Recipe(post_training=options))
    signal = np.mean(np.square(model.predict({"image": images()})["small"]))
    assert output_error(content, result.content, samples) < 1e-3 * signal


def test_balanced_rounds_models_adaptively_that_take_seconds_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_cnn()
    for number, layer in enumerate(layer for layer in model.keras_model.layers if layer.weights):
        kernel, bias = layer.get_weights()  # zeros would be one tensor for several layers
        layer.set_weights([kernel, bias + np.linspace(0.01, 0.02 + number / 100, len(bias))])
    samples = samples_for(model, images())
    small = quantize_int8(model, samples, Recipe())
    assert any("adaptive rounding" in note for note in small.notes)
    plain = quantize_int8(model, samples, Recipe(post_training=PostTraining(adaptive_rounding=False)))
    assert any("bias correction" in note for note in plain.notes)
    monkeypatch.setattr("tfcompress.converters.litert.quality.LIGHT_WORK", 0)
    large = quantize_int8(model, samples, Recipe())
    assert large.content == plain.content != small.content
