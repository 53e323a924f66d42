"""Addends of a sum with a ReLU end where the sum is cut to zero anyway; 8-bit outputs behind 16 bits use all steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import images, samples_for
from tfcompress.calibration import Calibration, calibrate
from tfcompress.calibration.rectified import with_rectified_sums
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.converters.litert.quality import output_error
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf_keras

CLOSER = 0.95  # of the squared error, at most, that is left with ranges that end where the ReLU does
layers = tf_keras.layers


def _residual(*, rectified: bool = True, shown: bool = False) -> FloatModel:
    """A residual block whose branch reaches far below zero; `shown` makes the branch an output of its own."""
    tf_keras.utils.set_random_seed(0)
    x = tf_keras.Input((8, 8, 3), name="x")
    trunk = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    wide = tf_keras.initializers.RandomNormal(stddev=0.5, seed=1)
    branch = layers.Conv2D(8, 3, padding="same", kernel_initializer=wide, name="branch")(trunk)
    total: Any = layers.Add()([trunk, branch])
    total = layers.ReLU()(total) if rectified else total
    result = layers.AveragePooling2D(2)(total)
    return float_model_from_keras(tf_keras.Model(x, [result, branch] if shown else result))


def _data(count: int, seed: int = 0) -> np.ndarray:
    return np.asarray(4 * images(count, seed=seed), np.float32)


def _lows(model: FloatModel) -> tuple[Calibration, Calibration, bytes]:
    content, samples = to_float_tflite(model), samples_for(model, _data(64))
    before = calibrate(content, samples)
    return before, with_rectified_sums(content, before, samples), content


def test_a_branch_ends_where_the_relu_behind_its_sum_cuts_it_off() -> None:
    before, after, content = _lows(_residual())
    changed = [name for name in before.ranges if after.ranges[name] != before.ranges[name]]
    assert len(changed) == 1
    assert "branch" in changed[0]
    assert before.ranges[changed[0]].low < after.ranges[changed[0]].low <= 0
    assert after.ranges[changed[0]].high == max(before.ranges[changed[0]].high, 0)
    assert any(operator.name == "ADD" for operator in read_tflite(content).main.operators)


@pytest.mark.parametrize("how", [{"rectified": False}, {"shown": True}], ids=["without a ReLU", "an output too"])
def test_a_branch_that_is_seen_below_zero_keeps_its_range(how: dict[str, bool]) -> None:
    before, after, _ = _lows(_residual(**how))
    assert after.ranges == before.ranges


def test_a_file_with_such_ranges_is_closer_to_float(monkeypatch: pytest.MonkeyPatch) -> None:
    model, unseen = _residual(), _data(128, seed=7)
    floats, samples = to_float_tflite(model), samples_for(model, _data(64))
    closer = quantize_int8(model, samples, Recipe()).content
    monkeypatch.setattr(
        "tfcompress.converters.litert.int8.with_rectified_sums", lambda content, ranges, samples: ranges
    )
    plain = quantize_int8(model, samples, Recipe()).content
    errors = [output_error(floats, content, samples_for(model, unseen)) for content in (closer, plain)]
    assert errors[0] < CLOSER * errors[1]


def test_probabilities_behind_16_bits_use_all_256_steps() -> None:
    tf_keras.utils.set_random_seed(0)
    x = tf_keras.Input((8, 8, 3), name="x")
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(x))
    model = float_model_from_keras(tf_keras.Model(x, layers.Dense(4, activation="softmax", name="head")(y)))
    recipe = Recipe(post_training=PostTraining(), keep_int16=("head",))
    graph = read_tflite(quantize_int8(model, samples_for(model, _data(32)), recipe).content).main
    (end,) = (graph.tensors[index] for index in graph.outputs)
    assert [operator.name for operator in graph.operators][-2:] == ["SOFTMAX", "QUANTIZE"]
    assert end.quantization is not None
    assert (float(end.quantization.scales[0]), int(end.quantization.zero_points[0])) == (1 / 256, -128)
