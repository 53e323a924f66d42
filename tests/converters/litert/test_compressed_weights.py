"""What pruning and clustering left of a kernel is in the int8 file too, whatever the quality."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.converters.litert.models import converted, images, layers
from tfcompress.graphs.tflite.weights import WeightFacts, count_weights
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf_keras

Quality = Literal["fast", "balanced", "best"]
NAMES = ("first", "second", "scores")


DEPTHWISE_WEIGHTS = 27


def network() -> FloatModel:
    """Two convolutions that cross-layer equalization would scale, behind a depthwise one, and a classifier."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 3), name="image"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Conv2D(16, 3, activation="relu", name="first"),
            layers.Conv2D(16, 3, activation="relu", name="second"),
            layers.Flatten(),
            layers.Dense(5, name="scores"),
        ]
    )
    return float_model_from_keras(model)


def change_kernels(model: FloatModel, change: object) -> None:
    for name in NAMES:
        layer = model.keras_model.get_layer(name)
        kernel, bias = layer.get_weights()
        assert callable(change)
        layer.set_weights([change(kernel), bias])


def facts(model: FloatModel, quality: Quality, folder: Path) -> WeightFacts:
    recipe = Recipe(post_training=PostTraining(quality=quality))
    return count_weights(converted(model, images(), folder, recipe).runnable)


@pytest.mark.parametrize("quality", ["fast", "balanced", pytest.param("best", marks=pytest.mark.slow)])
def test_pruned_weights_stay_zero(quality: Quality, tmp_path: Path) -> None:
    model = network()
    change_kernels(model, lambda kernel: np.where(np.abs(kernel) < np.median(np.abs(kernel)), 0, kernel))
    zeros = sum(int((model.keras_model.get_layer(name).get_weights()[0] == 0).sum()) for name in NAMES)
    assert zeros > 1000
    counts = facts(model, quality, tmp_path)
    assert counts.zeros >= zeros
    assert counts.zeros < 1.05 * zeros, "few others round to zero"
    assert facts(network(), quality, tmp_path).zeros < zeros / 10


@pytest.mark.parametrize("quality", ["fast", "balanced", pytest.param("best", marks=pytest.mark.slow)])
def test_clusters_stay_few(quality: Quality, tmp_path: Path) -> None:
    model = network()

    def cluster(kernel: np.ndarray) -> np.ndarray:
        steps = np.abs(kernel).max() / 4
        return np.round(kernel / steps) * steps + 0.1 * steps  # 9 values, none of them zero

    change_kernels(model, cluster)
    plain = facts(model, "fast", tmp_path).clusters
    assert plain < 100
    # The most of any layer, and `best` may learn those of the depthwise layer, which is not clustered.
    assert facts(model, quality, tmp_path).clusters <= max(plain, DEPTHWISE_WEIGHTS)
    assert facts(network(), quality, tmp_path).clusters > 150
