"""Fourier transforms, traced as products with constants, compute what they did, and are integer on the phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import run, samples_for
from tfcompress.converters.phone import convert
from tfcompress.graphs.tensorflow.fourier import LARGEST, transforms_as_products
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras, tf

ROUNDING = 1e-4  # of float32 sums of 72 values around 1
LEAST_SQNR_DB = 25.0


def operators(model: FloatModel) -> set[str]:
    return {node.op for node in model.concrete_function(1).graph.as_graph_def().node}


@pytest.mark.parametrize("imaginary", ["zero", "given"])
@pytest.mark.parametrize("name", ["fft", "fft2"])
def test_a_transform_becomes_products_that_compute_the_same(name: str, imaginary: str) -> None:
    inputs = keras.Input((9, 8), name="x")
    other = keras.ops.zeros_like(inputs) if imaginary == "zero" else keras.ops.flip(inputs, axis=1)
    model = float_model_from_keras(keras.Model(inputs, list(getattr(keras.ops, name)((inputs, other)))))
    values = {"x": np.random.default_rng(0).normal(size=(2, 9, 8)).astype(np.float32)}
    expected = list(model.predict(values).values())
    assert operators(model) & {"FFT", "FFT2D"}
    with transforms_as_products():
        assert not operators(model) & {"FFT", "FFT2D"}
        results = list(model.predict(values).values())
    for result, truth in zip(results, expected, strict=True):
        assert np.abs(result - truth).max() <= ROUNDING
        assert np.abs(result + truth).max() > ROUNDING


SIZES = [None, 6, 7, 12]  # of a transform over 8 places: as many, cut off, cut off and odd, filled up


@pytest.mark.parametrize("size", SIZES)
def test_real_transforms_and_their_inverses_become_products_that_compute_the_same(size: int | None) -> None:
    inputs = keras.Input((3, 8), name="x")
    parts: Any = keras.ops.rfft(inputs, size)
    back: Any = keras.ops.irfft((parts[0], parts[1] * 0.5 + 0.1), size)
    model = float_model_from_keras(keras.Model(inputs, [*parts, back]))
    same_as_products(model, {"RFFT", "IRFFT", "Complex"})


def test_a_filter_of_a_single_row_is_transformed_by_products_too() -> None:
    inputs = keras.Input((3, 8), name="x")
    parts: Any = keras.ops.rfft(inputs)
    row = keras.ops.reshape(keras.ops.mean(inputs), (1,)) * np.arange(8, dtype=np.float32)
    real, imaginary = keras.ops.rfft(row)
    other, _ = keras.ops.fft((row, row * 0.5))
    back = keras.ops.irfft((real + 0.1, imaginary * 0.5))
    model = float_model_from_keras(keras.Model(inputs, [parts[0] * real, inputs + back, inputs + other]))
    same_as_products(model, {"RFFT", "IRFFT", "FFT", "Complex"})


class FilteredByTransforms(keras.layers.Layer):
    """A convolution as Legendre memory units compute it: by TensorFlow's own transforms, over a computed length."""

    def call(self, x: Any) -> Any:
        length = [2 * tf.shape(x)[-1]]
        impulse = tf.signal.rfft(tf.constant([1.0, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]), length)
        return tf.signal.irfft(tf.signal.rfft(x, length) * impulse, length)[..., :8]


def test_a_filter_by_transforms_of_tensorflow_is_converted(tmp_path: Path) -> None:
    inputs = keras.Input((3, 8), name="x")
    model = float_model_from_keras(keras.Model(inputs, FilteredByTransforms()(inputs)))
    values = np.random.default_rng(0).normal(size=(40, 3, 8)).astype(np.float32)
    content = convert(model, samples_for(model, values), Recipe(), tmp_path).runnable.read_bytes()
    (truth,) = model.predict({"x": values}).values()
    (result,) = run(content, {"x": values[:1]}).values()
    assert sqnr_db(truth[:1], result) > LEAST_SQNR_DB > sqnr_db(truth[1:2], result)


def same_as_products(model: FloatModel, replaced: set[str]) -> None:
    values = {"x": np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)}
    expected = list(model.predict(values).values())
    assert operators(model) & replaced
    with transforms_as_products():
        assert not operators(model) & replaced
        results = list(model.predict(values).values())
    for result, truth in zip(results, expected, strict=True):
        assert np.abs(result - truth).max() <= ROUNDING
        assert np.abs(result + truth).max() > ROUNDING


def sqnr_db(truth: np.ndarray, results: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(truth**2) / np.mean((results - truth) ** 2)))


def test_a_transform_whose_matrix_would_be_huge_stays() -> None:
    inputs = keras.Input((LARGEST + 1,), name="x")
    model = float_model_from_keras(keras.Model(inputs, keras.ops.fft((inputs, keras.ops.zeros_like(inputs)))[0]))
    with transforms_as_products():
        assert "FFT" in operators(model)


def test_mixing_by_fourier_transforms_is_fully_integer_on_the_phone(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 16), name="x")
    mixed, _ = keras.ops.fft2((inputs, keras.ops.zeros_like(inputs)))
    hidden = keras.layers.LayerNormalization()(inputs + mixed)
    network = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(hidden)))
    model = float_model_from_keras(network)
    values = np.random.default_rng(0).normal(size=(40, 8, 16)).astype(np.float32)
    artifact = convert(model, samples_for(model, values), Recipe(), tmp_path)
    assert artifact.facts["fully_integer"]
    content = artifact.runnable.read_bytes()
    results = np.concatenate([next(iter(run(content, {"x": values[i : i + 1]}).values())) for i in range(len(values))])
    (expected,) = model.predict({"x": values}).values()
    power = float(np.mean(expected**2))
    assert 10 * np.log10(power / float(np.mean((results - expected) ** 2))) > LEAST_SQNR_DB
    assert 10 * np.log10(power / float(np.mean((results[::-1] - expected) ** 2))) < LEAST_SQNR_DB
