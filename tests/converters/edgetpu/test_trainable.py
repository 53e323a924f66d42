"""Activations that map, put in before fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.converters.edgetpu.trainable import with_mappable_activations
from tfcompress.runtime import keras, tf_keras

LIBRARIES = pytest.mark.parametrize("library", [tf_keras, keras], ids=["tf_keras", "keras3"])


def model(library: Any, activation: str) -> Any:
    layers = library.layers
    inputs = layers.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, activation=activation, name="conv")(inputs)
    x = layers.Activation(activation, name="act")(x)
    return library.Model(inputs, layers.Dense(2, activation="softmax", name="classes")(x))


@LIBRARIES
@pytest.mark.parametrize("activation", ["silu", "gelu", "elu"])
def test_activations_become_relu6_and_weights_stay(library: Any, activation: str, tmp_path: Path) -> None:
    before = model(library, activation)
    after, notes = with_mappable_activations(before)
    assert [after.get_layer(name).activation.__name__ for name in ("conv", "act", "classes")] == [
        "relu6",
        "relu6",
        "softmax",
    ]
    assert len(notes) == 2
    assert all("fine-tuned" in note for note in notes)
    for old, new in zip(before.get_weights(), after.get_weights(), strict=True):
        assert np.array_equal(old, new)
    after.save(tmp_path / "after.keras")
    again = library.models.load_model(tmp_path / "after.keras")
    inputs = np.random.default_rng(0).normal(size=[2, 6, 6, 3]).astype(np.float32)
    assert np.array_equal(again.predict(inputs, verbose=0), after.predict(inputs, verbose=0))


@LIBRARIES
def test_the_given_model_is_left_as_it_is(library: Any) -> None:
    before = model(library, "silu")
    with_mappable_activations(before)
    assert before.get_layer("conv").activation.__name__ in ("silu", "swish")


@LIBRARIES
def test_a_model_that_maps_is_returned_itself(library: Any) -> None:
    before = model(library, "relu")
    assert with_mappable_activations(before) == (before, ())
