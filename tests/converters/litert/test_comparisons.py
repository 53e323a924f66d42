"""An integer comparison answers as the float one does, whatever the scales of its operands are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import converted, run
from tfcompress.calibration import Calibration, Range
from tfcompress.converters.litert import to_float_tflite
from tfcompress.converters.litert.comparisons import with_comparable_scales
from tfcompress.converters.litert.converter_engine import quantize
from tfcompress.converters.litert.limits import Limits
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras

SIZES = [255.0, 1000.0, 3e7, 1e-4]  # of the largest value; 255 has a scale of 1, which ends the process
WRONG = 0.2  # share of the answers that is wrong without the guard where a scale is above 1
HALVES = 2
STEP = 1 / 255  # of the largest value: that of 8 bits


def above_the_other_half() -> FloatModel:
    inputs = keras.Input((16,), name="x")
    return float_model_from_keras(keras.Model(inputs, keras.ops.cast(inputs[:, :8] > inputs[:, 8:], "float32")))


def quantized(model: FloatModel, size: float) -> bytes:
    """As the engine leaves it, each tensor with the range from 0 to `size`, but the answers."""
    content = to_float_tflite(model)
    graph = read_tflite(content).main
    ranges = {tensor.name: Range(0.0, size) for tensor in graph.tensors if tensor.dtype == "float32"}
    ranges[graph.tensors[graph.outputs[0]].name] = Range(0.0, 1.0)
    return quantize(content, Calibration("model", None, 1, "minmax", ranges), Limits())


def values(size: float, count: int = 64) -> np.ndarray:
    """float32 [count, 16] on the steps of 8 bits, their ends among them."""
    steps = np.random.default_rng(0).integers(0, 256, (count, 16))
    steps[0, :2] = 0, 255
    return (steps * (size / 255)).astype(np.float32)


def answers(content: bytes, given: np.ndarray) -> np.ndarray:
    (result,) = run(content, {"x": given}).values()
    return result > 0.5


@pytest.mark.parametrize("size", SIZES)
def test_comparisons_are_right_at_every_scale(size: float) -> None:
    given = values(size)
    content = with_comparable_scales(quantized(above_the_other_half(), size))
    left, right = np.split(given, HALVES, axis=1)
    assert "MUL" in [operator.name for operator in read_tflite(content).main.operators]
    np.testing.assert_array_equal(answers(content, given), left > right)


@pytest.mark.parametrize("size", [1000.0, 1e-4])
def test_without_the_guard_they_are_wrong(size: float) -> None:
    given = values(size)
    left, right = np.split(given, HALVES, axis=1)
    assert np.mean(answers(quantized(above_the_other_half(), size), given) != (left > right)) > WRONG


def test_scales_that_the_kernel_tells_apart_are_left_alone() -> None:
    content = quantized(above_the_other_half(), 6.0)
    assert with_comparable_scales(content) is content


@pytest.mark.parametrize("size", [255.0, 1e-4])
def test_a_threshold_on_pixels_or_small_numbers_is_converted(size: float, tmp_path: Path) -> None:
    inputs = keras.Input((16,), name="x")
    bright: Any = keras.ops.where(inputs > 0.3 * size, inputs, keras.ops.zeros_like(inputs))
    model = float_model_from_keras(keras.Model(inputs, bright))
    given = values(size)
    (results,) = run(converted(model, given, tmp_path).runnable.read_bytes(), {"x": given}).values()
    (truth,) = model.predict({"x": given}).values()
    np.testing.assert_allclose(results, truth, atol=STEP * size)
    assert np.abs(given - truth).max() > STEP * size, "the threshold matters"
