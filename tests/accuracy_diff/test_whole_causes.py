"""Causes that lie in what a file was made of or fed with, each with its evidence, and with a repair that works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfcompress
from benchmarks.injected_faults import exported
from tests.accuracy_diff import faults
from tests.accuracy_diff.faults import Bench
from tests.accuracy_diff.models import plain_cnn, seeded
from tfcompress.accuracy_diff import CandidateResult, compare, ladder, runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.calibration import Range, calibrate
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(seeded(plain_cnn))


def _causes(result: CandidateResult) -> list[tuple[str, str | None]]:
    return [(cause.kind, cause.layer) for cause in result.causes]


def _compared(model: FloatModel, content: bytes, data: Samples) -> CandidateResult:
    return compare(runner_for(model), {"it": LiteRtRunner(content)}, data, layers=True).candidates["it"]


def _samples(model: FloatModel, inputs: np.ndarray) -> Samples:
    return samples_from_arrays(inputs, None, model_inputs=model.inputs, model_outputs=model.outputs)


def test_a_layer_of_another_model_is_named(bench: Bench) -> None:
    def shuffle(keras_model: Any) -> None:
        kernel, bias = keras_model.get_layer("conv_b").get_weights()
        mixed = np.random.default_rng(0).permutation(kernel.ravel()).reshape(kernel.shape)
        keras_model.get_layer("conv_b").set_weights([mixed, bias])

    other = faults.converted(faults.changed(bench.model, shuffle), bench.calibration_data)
    result = bench.judged(other)
    assert _causes(result) == [("weights_differ", "conv_b")]
    assert "of its large weights have another sign" in result.causes[0].text


def test_classes_in_another_order_are_told_from_other_weights(bench: Bench) -> None:
    def turn(keras_model: Any) -> None:
        kernel, bias = keras_model.get_layer("logits").get_weights()
        keras_model.get_layer("logits").set_weights([np.roll(kernel, 1, axis=1), np.roll(bias, 1)])

    result = bench.judged(faults.converted(faults.changed(bench.model, turn), bench.calibration_data))
    assert _causes(result) == [("class_order", None)]
    assert "column 0 of the float model is column 1 of the file" in result.causes[0].text


def _scaled_features() -> tuple[FloatModel, np.ndarray]:
    scales = np.array([1e5, 0.01, 3.0, 0.5])
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((4,), name="x")
    normal = layers.Normalization(mean=np.zeros(4), variance=np.square(scales), name="norm")(x)
    model = keras.Model(x, layers.Dense(3, name="out")(layers.Dense(32, activation="relu", name="first")(normal)))
    inputs = np.random.default_rng(0).normal(size=(300, 4)) * scales
    return float_model_from_keras(model, name="features"), inputs.astype(np.float32)


def test_features_of_different_scale_are_named(tmp_path: Path) -> None:
    model, inputs = _scaled_features()
    poor = quantize_int8(model, _samples(model, inputs), Recipe()).content
    result = _compared(model, poor, _samples(model, inputs))
    assert _causes(result) == [("unscaled_features", None)]
    assert "--mixed_inputs=float" in result.causes[0].repair


def test_columns_that_share_a_scale_are_named() -> None:
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((8,), name="x")
    hidden = layers.Dense(16, activation="relu")(x)
    large = layers.Rescaling(64.0)(ops.sigmoid(layers.Dense(4)(hidden)))
    shares: Any = ops.sigmoid(layers.Dense(3, bias_initializer="zeros")(hidden))
    small = shares * 0.05
    keras_model = keras.Model(x, layers.Concatenate(name="out")([large, small]))
    model = float_model_from_keras(keras_model, name="mixed")
    inputs = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    result = _compared(model, quantize_int8(model, _samples(model, inputs), Recipe()).content, _samples(model, inputs))
    assert _causes(result) == [("mixed_ranges", None)]
    assert result.gate.failed
    assert "--mixed_outputs=float" in result.causes[0].repair


@pytest.mark.parametrize(("channels", "causes"), [(32, []), (8, [("mixed_ranges", None)])])
def test_quiet_features_of_a_map_get_no_advice_that_a_converter_does_not_take(
    channels: int, causes: list[tuple[str, None]]
) -> None:
    keras.utils.set_random_seed(0)
    image: Any = keras.Input((16, 16, 3), name="image")
    last = layers.Conv2D(channels, 3, activation="relu", name="out")
    keras_model = keras.Model(image, last(image))
    kernel, bias = last.get_weights()
    last.set_weights([kernel * np.where(np.arange(channels) == 0, 0.003, 1.0), bias])
    model = float_model_from_keras(keras_model, name="backbone")
    data = _samples(model, np.random.default_rng(0).normal(size=(60, 16, 16, 3)).astype(np.float32))
    assert _causes(_compared(model, quantize_int8(model, data, Recipe()).content, data)) == causes


def test_a_mask_in_a_range_is_named() -> None:
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((8, 16), name="x")
    attention = layers.MultiHeadAttention(2, 8, name="attention")(x, x, use_causal_mask=True)
    model = float_model_from_keras(keras.Model(x, layers.Dense(4, name="head")(attention)), name="masked")
    data = _samples(model, np.random.default_rng(0).normal(size=(100, 8, 16)).astype(np.float32))
    content = to_float_tflite(model)
    calibrated = calibrate(content, data, hash_data=False).ranges
    ranges = {name: Range(max(item.low, -1e9), item.high) for name, item in calibrated.items()}
    result = _compared(model, faults.quantized(content, ranges), data)
    assert {cause.kind for cause in result.causes} == {"mask_in_range"}
    assert _compared(model, quantize_int8(model, data, Recipe()).content, data).causes == ()


def test_the_ladder_goes_from_the_cheapest_change_to_training() -> None:
    rungs = ladder(Recipe(), (), training_data=True)
    assert [rung.flag for rung in rungs] == [
        "--quality=best",
        "--scheme=int8_float_io",
        "--scheme=int16x8",
        "--quantization",
    ]
    assert ladder(Recipe(post_training=PostTraining(quality="best", scheme="int16x8")), ()) == ()


def test_a_printed_remedy_has_been_tried(tmp_path: Path) -> None:
    model, inputs = _scaled_features()
    keras_model = model.keras_model
    keras_model.save(tmp_path / "model.keras")
    values = np.asarray(keras_model(inputs))
    recipe = Recipe(post_training=PostTraining(mixed_inputs="one_scale"))
    how: dict[str, Any] = {"targets": "phone", "calibration": inputs, "evaluation": (inputs, values), "recipe": recipe}
    failed = tfcompress.convert(tmp_path / "model.keras", output=tmp_path / "failed", **how)
    (cause,) = failed.report["targets"]["phone"]["causes"]
    assert failed.exit_code == 3
    assert cause["cause"] == "unscaled_features"
    assert cause["tried"].startswith("tried on 256 samples: drop ")
    repaired = tfcompress.convert(tmp_path / "model.keras", output=tmp_path / "repaired", suggest=True, **how)
    assert repaired.exit_code == 0
    assert any(note.startswith("repaired: ") for note in repaired.report["targets"]["phone"]["notes"])


def test_a_norm_that_was_exported_in_training_mode_is_named() -> None:
    keras.utils.set_random_seed(0)
    image: Any = keras.Input((8, 8, 3), name="image")
    value = layers.BatchNormalization(name="norm")(layers.Conv2D(6, 3, name="conv")(image))
    network: Any = keras.Model(image, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(value)))
    inputs = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    model = float_model_from_keras(network, name="exported")
    samples = _samples(model, inputs)
    trained = exported(lambda: keras.models.clone_model(network), network.get_weights(), samples, training=True)
    assert _causes(_compared(model, trained, samples)) == [("training_mode", "norm")]
    sound = exported(lambda: keras.models.clone_model(network), network.get_weights(), samples, training=False)
    assert _causes(_compared(model, sound, samples)) == []
