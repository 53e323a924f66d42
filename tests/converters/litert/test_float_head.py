"""Features of different scale reach the model: what 8 bits in one scale would lose is computed in float."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.edgetpu.conversion import convert as convert_for_edgetpu
from tfcompress.converters.phone import convert
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe

KEPT_DB = 20.0  # of the outputs' variation, behind a float head
STEEP_DB = 6.0  # a bit and more, that a float input is worth to a steep function
LOST_DB = 6.0  # and at most where all features have one scale
SCALES = np.array([1e5, 0.01, 3.0, 0.5])
MEANS = np.array([5e5, 0.0, 50.0, 0.0])


def _features(count: int, seed: int, *, shifted: bool = True) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, 4)) * SCALES
    return (values + shifted * MEANS).astype(np.float32)


def _rest(x: Any) -> Any:
    return layers.Dense(3, name="out")(layers.Dense(32, activation="relu")(layers.Dense(32, activation="relu")(x)))


def normalized() -> Any:
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((4,), name="x")
    return keras.Model(x, _rest(layers.Normalization(mean=MEANS, variance=np.square(SCALES))(x)))


def with_a_batch_norm() -> Any:
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((4,), name="x")
    norm = layers.BatchNormalization(epsilon=1e-9)
    model = keras.Model(x, _rest(norm(x)))
    norm.set_weights([np.ones(4), np.zeros(4), MEANS, np.square(SCALES)])
    return model


def raw() -> Any:
    """Unlike features straight into a Dense layer that has learnt their scales."""
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((4,), name="x")
    model = keras.Model(x, _rest(x))
    kernel, bias = model.layers[1].get_weights()
    model.layers[1].set_weights([kernel / SCALES[:, None], bias])
    return model


def of_a_product() -> Any:
    """A phase that is the product of a large and a small feature."""
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((4,), name="x")
    phase = x[:, 0:1] * x[:, 1:2] * 1e-3
    return keras.Model(x, _rest(ops.concatenate([ops.sin(phase), ops.cos(phase)], axis=-1)))


CASES: dict[str, tuple[Callable[[], Any], bool]] = {
    "normalization": (normalized, True),
    "batch normalization": (with_a_batch_norm, True),
    "raw": (raw, False),
    "product": (of_a_product, False),
}


def _converted(
    model: Any, inputs: np.ndarray, folder: Path, options: PostTraining, *, target: str = "phone"
) -> Artifact:
    float_model = float_model_from_keras(model, name="features")
    ends = {"model_inputs": float_model.inputs, "model_outputs": float_model.outputs}
    samples = samples_from_arrays(inputs, None, model_inputs=ends["model_inputs"], model_outputs=ends["model_outputs"])
    conversion = convert if target == "phone" else convert_for_edgetpu
    return conversion(float_model, samples, Recipe(post_training=options), folder)


def _kept_db(model: Any, content: bytes, inputs: np.ndarray) -> float:
    runner = LiteRtRunner(content)
    wanted = np.asarray(model(inputs), np.float64)
    outputs = next(iter(runner.run({runner.inputs[0].name: inputs}).values()))
    return float(10 * np.log10(wanted.var(axis=0).sum() / np.square(wanted - outputs).mean(axis=0).sum()))


@pytest.mark.parametrize("target", ["phone", "edgetpu"])
@pytest.mark.parametrize("name", CASES)
def test_features_of_different_scale_reach_the_model(name: str, target: str, tmp_path: Path) -> None:
    build, shifted = CASES[name]
    model, test = build(), _features(200, 2, shifted=shifted)
    artifact = _converted(model, _features(200, 1, shifted=shifted), tmp_path, PostTraining(), target=target)
    assert artifact.facts["input_dtypes"] == ["float32"]
    assert artifact.facts["output_dtypes"] == ["int8"]
    assert any("its features differ in scale" in note for note in artifact.notes)
    assert _kept_db(model, artifact.runnable.read_bytes(), test) > KEPT_DB


def test_one_scale_for_all_features_is_there_for_whoever_asks(tmp_path: Path) -> None:
    artifact = _converted(normalized(), _features(200, 1), tmp_path, PostTraining(mixed_inputs="one_scale"))
    assert artifact.facts["input_dtypes"] == ["int8"]
    assert _kept_db(normalized(), artifact.runnable.read_bytes(), _features(200, 2)) < LOST_DB


def test_features_of_like_scale_stay_integers(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    x: Any = keras.Input((4,), name="x")
    inputs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    artifact = _converted(keras.Model(x, _rest(x)), inputs, tmp_path, PostTraining())
    assert artifact.facts["input_dtypes"] == ["int8"]
    assert artifact.facts["fully_integer"] is True


def steep() -> Any:
    """Waves of one feature, each shorter than what its 8 bits tell apart."""
    x: Any = keras.Input((1,), name="x")
    first, last = layers.Dense(32, activation="tanh", name="first"), layers.Dense(1, name="last")
    model = keras.Model(x, last(first(x)))
    places = np.linspace(0, 10, 32, dtype=np.float32)
    first.set_weights([np.full((1, 32), 60.0, np.float32), -60.0 * places])
    last.set_weights([np.tile([1.0, -1.0], 16).astype(np.float32)[:, None], np.zeros(1, np.float32)])
    return model


def test_best_leaves_inputs_in_float_whose_rounding_costs_most(tmp_path: Path) -> None:
    model, rng = steep(), np.random.default_rng(0)
    inputs, test = (rng.uniform(0, 10, (300, 1)).astype(np.float32) for _ in range(2))
    best = _converted(model, inputs, tmp_path, PostTraining(quality="best"))
    assert _kept_db(model, best.runnable.read_bytes(), test) > KEPT_DB
    integers = _converted(model, inputs, tmp_path, PostTraining(quality="best", integer_only=True))
    assert _kept_db(model, integers.runnable.read_bytes(), test) < KEPT_DB - STEEP_DB
    assert (best.facts["input_dtypes"], integers.facts["input_dtypes"]) == (["float32"], ["int8"])
    assert any("rounding them costs most" in note for note in best.notes)
