"""Channels of like ranges: the same function, tied over residual sums, and left alone where they cannot be scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import images, samples_for
from tfcompress.calibration import ChannelRanges, observe
from tfcompress.converters.litert import to_float_tflite
from tfcompress.converters.litert.quality import output_error
from tfcompress.converters.litert.rounding import with_even_channels
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import tf_keras

SAME = 1e-9  # relative squared error of float32
layers = tf_keras.layers


def _uneven(last: Any = None) -> FloatModel:
    """A residual network whose channels reach from 1 to 64 times as far."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((8, 8, 3), name="image")
    first = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(image)
    second = layers.Conv2D(6, 3, padding="same", name="second")(first)
    total = layers.ReLU()(layers.Add(name="sum")([first, second]))
    value = layers.DepthwiseConv2D(3, activation="relu", name="depthwise", depth_multiplier=2)(total)
    value = value if last is None else last(value)
    flat = layers.Flatten()(layers.AveragePooling2D(2)(value))
    model = tf_keras.Model(image, layers.Dense(4, name="scores")(flat))
    for name in ("first", "second"):
        kernel, bias = model.get_layer(name).get_weights()
        own = np.random.default_rng(len(name)).random(bias.shape)  # equal biases would be one constant of both
        model.get_layer(name).set_weights([kernel * 2.0 ** np.arange(6), bias + 0.1 * own])
    return float_model_from_keras(model, name="uneven")


def _spread(content: bytes, model: FloatModel, name: str) -> float:
    """How many times the largest channel of a tensor exceeds its smallest."""
    seen, graph = observe(content, samples_for(model, images(32)), ChannelRanges)
    del graph
    sizes = next(item.magnitudes for tensor, item in seen.items() if name in tensor)
    return float(sizes.max() / sizes.min())


def test_even_channels_compute_the_same_and_reach_as_far() -> None:
    model = _uneven()
    content = to_float_tflite(model)
    even, groups = with_even_channels(content, samples_for(model, images(32)), 1.0)
    assert groups == 1  # of the sum; what is laid in a row behind the depthwise layer is no channel any more
    assert output_error(content, even, samples_for(model, images(16, seed=2))) < SAME
    assert 2 * _spread(even, model, "sum") < _spread(content, model, "sum")


@pytest.mark.parametrize("function", ["sigmoid", "relu6"])
def test_channels_that_a_function_does_not_commute_with_are_left_alone(function: str) -> None:
    model = _uneven(layers.Activation(function, name="last"))
    content = to_float_tflite(model)
    even, groups = with_even_channels(content, samples_for(model, images(32)), 1.0)
    assert groups >= 1
    assert output_error(content, even, samples_for(model, images(16, seed=2))) < SAME


def test_no_strength_changes_nothing() -> None:
    model = _uneven()
    content = to_float_tflite(model)
    even, groups = with_even_channels(content, samples_for(model, images(32)), 0.0)
    assert groups == 0
    assert output_error(content, even, samples_for(model, images(8))) == 0
