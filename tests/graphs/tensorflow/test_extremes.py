"""The place of the largest value, as Keras 3 looks for it, reaches a phone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.converters.litert.models import run, samples_for
from tfcompress.converters.phone import convert
from tfcompress.graphs.tensorflow.extremes import plain_places_of_extremes
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

LEAST_AGREEMENT = 0.9  # of 40 answers of a random network


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 1, -1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_place_is_the_same_without_looking_at_bits(name: str, axis: int | None, keepdims: bool) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    find = getattr(keras.ops, name)
    expected = np.asarray(find(values, axis=axis, keepdims=keepdims))
    with plain_places_of_extremes():
        place = np.asarray(find(values, axis=axis, keepdims=keepdims))
    np.testing.assert_array_equal(place, expected)
    assert place.dtype == expected.dtype


def test_a_model_that_answers_with_the_class_itself_is_fully_integer_on_the_phone(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,), name="x")
    network = keras.Model(inputs, keras.ops.argmax(keras.layers.Dense(4, name="scores")(inputs), axis=-1))
    model = float_model_from_keras(network)
    values = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    artifact = convert(model, samples_for(model, values), Recipe(), tmp_path)
    assert artifact.facts["fully_integer"]
    (answers,) = run(artifact.runnable.read_bytes(), {"x": values}).values()
    truth = values @ network.get_layer("scores").kernel.numpy()
    agreement = (answers.reshape(-1) == truth.argmax(axis=1)).mean()
    assert agreement >= LEAST_AGREEMENT
    assert (answers.reshape(-1) == truth.argmin(axis=1)).mean() < LEAST_AGREEMENT
