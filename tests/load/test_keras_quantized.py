"""Models that Keras 3's own `quantize` has changed: their float weights are taken, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress.load import load_model
from tfcompress.remarks import remarks
from tfcompress.runtime import keras

L = keras.layers
# Keras rounds the inputs of its int8 layers too, and we do not: largest difference of outputs of about 1.
INT8_INPUTS = 0.05
ROUNDING = 1e-5


def attention_model() -> Any:
    start = keras.Input((6, 8))
    x = L.Dense(8, activation="relu")(start)
    x = L.LayerNormalization()(L.MultiHeadAttention(2, 4)(x, x))
    x = L.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de", activation="tanh")(x)
    x = L.Reshape((6, 8))(x)
    return keras.Model(start, L.Dense(3)(L.Flatten()(L.Conv1D(4, 3)(x))))


def text_model() -> Any:
    start = keras.Input((6,), dtype="int32")
    return keras.Model(start, L.Dense(3)(L.GlobalAveragePooling1D()(L.Embedding(20, 7)(start))))


def nested_model() -> Any:
    inner = keras.Sequential([keras.Input((8,)), L.Dense(9, activation="relu"), L.BatchNormalization()], name="inner")
    start = keras.Input((6, 8))
    return keras.Model(start, L.Dense(3)(inner(L.GlobalMaxPooling1D()(start))))


def inputs_of(model: Any, count: int = 16) -> np.ndarray:
    random = np.random.default_rng(0)
    if model.inputs[0].dtype == "int32":
        return random.integers(0, 20, (count, 6)).astype(np.int32)
    return random.normal(size=(count, 6, 8)).astype(np.float32)


def given_random_weights(model: Any) -> Any:
    random = np.random.default_rng(1)
    model.set_weights([np.abs(w) + random.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


def quantized(model: Any, mode: str) -> Any:
    # Sub-channel blocks of int4 are shorter than the layers here, so that there are several.
    blocks = {"config": keras.quantizers.Int4QuantizationConfig(block_size=4)} if mode == "int4" else {"mode": mode}
    model.quantize(**blocks)
    return model


@pytest.mark.parametrize("build", [attention_model, text_model, nested_model])
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.filterwarnings("ignore:.*quantiz:UserWarning")
def test_the_float_copy_computes_what_the_quantized_model_does(
    build: Callable[[], Any], mode: str, tmp_path: Path
) -> None:
    model = given_random_weights(build())
    data = inputs_of(model)
    floats = model.predict(data, verbose=0)
    quantized(model, mode)
    integers = model.predict(data, verbose=0)
    model.save(tmp_path / "model.keras")
    for given in (model, tmp_path / "model.keras"):
        with remarks() as said:
            loaded = load_model(given)
        (answer,) = loaded.predict({loaded.inputs[0].name: data}).values()
        assert {str(weight.dtype) for weight in loaded.keras_model.weights} <= {"float32", "uint32"}
        assert any(f"Keras's quantize ({mode})" in line for line in said)
        scale = float(np.abs(floats).max())
        # An embedding has no float8 form, and float8 keeps every float kernel.
        wanted, tolerance = (floats, ROUNDING) if mode == "float8" else (integers, INT8_INPUTS)
        np.testing.assert_allclose(answer, wanted, atol=tolerance * scale)
        if mode == "int4":
            assert np.abs(answer - floats).max() > ROUNDING * scale
    np.testing.assert_array_equal(model.predict(data, verbose=0), integers)  # the user's own model is as it was


def test_the_weights_are_those_that_the_integers_stand_for() -> None:
    start = keras.Input((5,))
    model = keras.Model(start, L.Dense(3, name="d")(start))
    model.quantize("int8")
    layer = model.get_layer("d")
    expected = np.asarray(layer._kernel, np.float32) / np.asarray(layer.kernel_scale)
    copy = load_model(model).keras_model.get_layer("d")
    np.testing.assert_allclose(copy.kernel, expected, rtol=ROUNDING)
    assert np.abs(np.asarray(copy.kernel) * 1.01 - expected).max() > ROUNDING


@pytest.mark.filterwarnings("ignore:.*quantiz:UserWarning")
def test_a_quantized_file_becomes_an_integer_artifact_and_the_report_says_so(tmp_path: Path) -> None:
    model = quantized(given_random_weights(nested_model()), "int4")
    model.save(tmp_path / "model.keras")
    data = inputs_of(model, 32)
    result = tfcompress.convert(
        tmp_path / "model.keras", output=tmp_path / "out", targets="phone", calibration=data, no_cache=True
    )
    assert result.report["targets"]["phone"]["fully_integer"]
    assert any("Keras's quantize (int4)" in line for line in result.report["warnings"])


def test_a_diff_runs_a_quantized_file_as_it_is(tmp_path: Path) -> None:
    model = given_random_weights(nested_model())
    model.save(tmp_path / "float.keras")
    quantized(model, "int4").save(tmp_path / "int4.keras")
    data = inputs_of(model, 32)
    compared = tfcompress.diff(tmp_path / "float.keras", tmp_path / "int4.keras", evaluation=data)
    assert compared["candidate"]["diff"]["sqnr_db"] < 40


@keras.saving.register_keras_serializable(package="test_keras_quantized")
class Own(keras.layers.Layer):
    """A layer that quantizes in its own way."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")

    def call(self, x: Any) -> Any:
        return x @ self.kernel

    quantization_mode = None


def test_a_layer_that_quantizes_in_its_own_way_is_named() -> None:
    start = keras.Input((4,))
    model = keras.Model(start, Own(name="own")(start))
    vars(model.get_layer("own"))["quantization_mode"] = "int8"
    with pytest.raises(tfcompress.ModelError, match=r"'own'.*quantizes its weights in its own way.*before `quantize`"):
        load_model(model)
