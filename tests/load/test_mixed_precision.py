"""Models of mixed precision, of both Kerases, from files and from memory: computed in float32 everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tests.load import own_layers as own
from tfcompress.graphs.tensorflow.private_names import flat_layers
from tfcompress.load import float_model_from_keras, load_model, to_tf_keras
from tfcompress.load.keras_versions.equivalence import relative_difference
from tfcompress.runtime import keras, tf_keras

POLICIES = ("mixed_float16", "mixed_bfloat16")
# Half precision keeps 8 or more bits; a model that computes in it is further off than float32 would be.
FLOAT32 = 1e-5


def network(library: Any, policy: str) -> Any:
    """A small convolutional network whose layers have the policy, all but the last."""
    layers = library.layers
    x = inputs = library.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", dtype=policy)(x)
    x = layers.BatchNormalization(dtype=policy)(x)
    x = layers.ReLU(dtype=policy)(x)
    x = layers.Add(dtype=policy)([x, layers.Conv2D(4, 1, dtype=policy)(x)])
    x = layers.GlobalAveragePooling2D(dtype=policy)(x)
    return library.Model(inputs, layers.Dense(3, activation="softmax", dtype=policy)(x))


def of_own_layers(policy: str) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        x = inputs = keras.Input((16,), dtype="int32")
        for layer in (own.TokenAndPositionEmbedding(16, 50, 8), own.TransformerBlock(8), own.SequencePooling()):
            x = layer(x)
        return keras.Model(inputs, x * 0.5 + 1.0)
    finally:
        keras.config.set_dtype_policy(before)


def in_float32(library: Any, model: Any) -> Any:
    """The same network built without mixed precision."""
    twin = network(library, "float32")
    twin.set_weights(model.get_weights())
    return twin


def policies(model: Any) -> list[str]:
    return [layer.dtype_policy.name for layer in flat_layers(model)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_mixed_precision_is_computed_in_float32(library: Any, policy: str, tmp_path: Path) -> None:
    model = network(library, policy)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    expected = np.asarray(in_float32(library, model)(x))
    assert relative_difference(expected, np.asarray(model(x)).astype(np.float32)) > FLOAT32
    before = policies(model)
    for loaded in (float_model_from_keras(model), load_model(tmp_path / "model.keras")):
        assert [info.dtype for info in loaded.outputs] == ["float32"]
        (result,) = loaded.predict({loaded.inputs[0].name: x}).values()
        assert relative_difference(expected, result) <= FLOAT32
    rebuilt = to_tf_keras(model)
    assert policies(rebuilt) == ["float32"] * len(policies(rebuilt))
    assert relative_difference(expected, np.asarray(rebuilt(x))) <= FLOAT32
    assert policies(model) == before


def test_layers_of_ones_own_in_mixed_precision_are_taken_apart_in_float32() -> None:
    model = of_own_layers("mixed_float16")
    rebuilt = to_tf_keras(model)
    assert {tensor.dtype.name for layer in rebuilt.layers[1:] for tensor in [layer.output]} <= {"float32", "int32"}
    tokens = np.random.default_rng(0).integers(0, 50, (3, 16)).astype(np.int32)
    loaded = float_model_from_keras(model)
    (expected,) = loaded.predict({loaded.inputs[0].name: tokens}).values()
    assert relative_difference(expected, np.asarray(rebuilt(tokens))) <= FLOAT32


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_mixed_precision_converts_to_a_fully_integer_file(library: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype(np.float32)
    result = tfcompress.convert(
        network(library, "mixed_float16"), output=tmp_path / "out", targets="phone", calibration=x, no_cache=True
    )
    assert result.report["targets"]["phone"]["fully_integer"]
