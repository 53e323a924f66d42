"""Choosing samples, and warnings about them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.converters.litert.models import images, samples_for, small_cnn
from tfcompress.calibration import (
    ChannelRanges,
    calibrate,
    channel_warnings,
    diagnose,
    observe,
    select_representative,
)
from tfcompress.converters.litert import to_float_tflite
from tfcompress.errors import DataError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.runtime import tf_keras


def warnings_for(inputs: np.ndarray) -> str:
    model = small_cnn()
    content = to_float_tflite(model)
    return "\n".join(diagnose(calibrate(content, samples_for(model, inputs)), read_tflite(content).main))


def test_enough_well_scaled_samples_raise_no_warning() -> None:
    assert warnings_for(images(64)) == ""


def test_too_few_samples_are_warned_about() -> None:
    assert "only 8 calibration samples" in warnings_for(images(8))


def test_a_constant_input_is_warned_about() -> None:
    assert "is the same in all samples" in warnings_for(np.full((64, 8, 8, 3), 0.5, np.float32))


def test_inputs_of_the_wrong_scale_are_warned_about() -> None:
    assert "--preprocess=unit" in warnings_for(images(64) * 10_000)


@pytest.mark.parametrize(("scales_inside", "is_warned"), [(True, False), (False, True)])
def test_large_inputs_that_the_model_scales_itself_are_no_reason_to_warn(scales_inside: bool, is_warned: bool) -> None:
    image = tf_keras.Input((4,), name="x")
    scaled = tf_keras.layers.Normalization(mean=[0.0] * 4, variance=[1e8] * 4)(image) if scales_inside else image
    hidden = tf_keras.layers.Dense(8, activation="relu")(scaled)
    model = float_model_from_keras(tf_keras.Model(image, tf_keras.layers.Dense(2)(hidden)), name="features")
    inputs = (1e4 * np.random.default_rng(0).normal(size=(64, 4))).astype(np.float32)
    content = to_float_tflite(model)
    warnings = "\n".join(diagnose(calibrate(content, samples_for(model, inputs)), read_tflite(content).main))
    assert ("probably not scaled" in warnings) == is_warned


def test_a_layer_that_no_sample_wakes_is_warned_about() -> None:
    model = small_cnn()
    layer = model.keras_model.get_layer("first")
    kernel, _ = layer.get_weights()
    layer.set_weights([-np.abs(kernel), np.full(8, -1.0)])
    content = to_float_tflite(model)
    warning = "\n".join(diagnose(calibrate(content, samples_for(model, images(64))), read_tflite(content).main))
    assert "give the same value for all samples (small_cnn/first/Relu" in warning
    assert "are the inputs scaled as in training" in warning


def test_a_chosen_subset_keeps_the_ranges_of_the_whole_and_is_the_same_each_time() -> None:
    model = small_cnn()
    content, everything = to_float_tflite(model), samples_for(model, images(200))
    subset = select_representative(content, everything, 40)
    assert subset.count == 40
    assert calibrate(content, subset).ranges == calibrate(content, everything).ranges
    assert calibrate(content, everything.take(40)).ranges != calibrate(content, everything).ranges
    assert select_representative(content, everything, 40).indices == subset.indices
    predicted = [model.predict({"image": images(200)[i : i + 1]})["scores"].argmax() for i in subset.indices or ()]
    everything_predicted = model.predict({"image": images(200)})["scores"].argmax(axis=1)
    assert set(predicted) == set(everything_predicted.tolist()), "every class that the model predicts is there"
    with pytest.raises(DataError, match="at least 1"):
        select_representative(content, everything, 0)


def channel_lines(change: Callable[[np.ndarray], np.ndarray]) -> str:
    """Warnings about the channels of a network whose kernel of layer `first` was changed."""
    model = small_cnn()
    layer = model.keras_model.get_layer("first")
    kernel, bias = layer.get_weights()
    layer.set_weights([change(kernel), bias])
    content = to_float_tflite(model)
    seen, _ = observe(content, samples_for(model, images(64)), ChannelRanges)
    return "\n".join(channel_warnings(seen, read_tflite(content).main))


def test_a_tensor_whose_last_axis_is_the_batch_has_no_channels() -> None:
    seen = ChannelRanges()
    for size in (4, 4, 3, 4):
        seen.update(np.arange(2.0 * size, dtype=np.float32).reshape(2, size))
    assert seen.dead == 0
    assert seen.magnitudes.size == 0
    vector = ChannelRanges()
    for size in (4, 3):
        vector.update(np.arange(size, dtype=np.float32))
    assert vector.magnitudes.tolist() == [3.0]


def test_ordinary_channels_raise_no_warning() -> None:
    assert channel_lines(np.abs) == ""


def test_a_channel_far_larger_than_the_others_is_warned_about() -> None:
    warning = channel_lines(lambda kernel: np.abs(kernel) * np.array([100.0, *[1.0] * 7]))
    assert "outlier channels leave few levels to the others" in warning
    assert "--quality=best" in warning
    assert "outlier" not in channel_lines(lambda kernel: np.abs(kernel) * np.array([4.0, *[1.0] * 7]))


def test_channels_that_no_sample_wakes_are_warned_about() -> None:
    warning = channel_lines(lambda kernel: np.abs(kernel) * np.array([*[-1.0] * 5, *[1.0] * 3]))
    assert "5 of 8 of small_cnn/first/Relu" in warning
    assert "are the inputs scaled as in training" in warning
    assert "small_cnn/first" not in channel_lines(lambda kernel: np.abs(kernel) * np.array([*[-1.0] * 3, *[1.0] * 5]))
