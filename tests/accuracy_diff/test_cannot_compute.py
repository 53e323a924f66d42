"""Models that load and cannot compute on the data: one line of ours, whichever runtime raises what."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tests.compression.models import L, functional
from tfcompress.compression import finetune
from tfcompress.data import samples_from_arrays
from tfcompress.errors import DataError, ModelError, cause_of
from tfcompress.recipe import Pruning, Recipe, Training
from tfcompress.remarks import remarks
from tfcompress.runtime import keras, tf
from tfcompress.tensor_info import TensorInfo

LARGE = np.full((6, 4), 77.0, np.float32)
ROW = tf.TensorSpec([None, 4], tf.float32, name="x")


def keras_table(folder: Path) -> Path:
    x = keras.Input((4,))
    keras.Model(x, keras.layers.Embedding(5, 3)(x)).save(folder / "m.keras")
    return folder / "m.keras"


def saved_model(function: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        module = tf.Module()
        module.serve = tf.function(function, input_signature=[ROW], autograph=False)
        tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": module.serve})
        return folder / "saved"

    return make


def tflite(function: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        spec = [tf.TensorSpec([1, 4], tf.float32)]
        concrete = tf.function(function, input_signature=spec, autograph=False).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        (folder / "m.tflite").write_bytes(converter.convert())
        return folder / "m.tflite"

    return make


def onnx_table(folder: Path) -> Path:
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Cast", ["x"], ["i"], to=kind.INT64), helper.make_node("Gather", ["w", "i"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kind.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", kind.FLOAT, None)], [helper.make_tensor("w", kind.FLOAT, [3], [1, 2, 3])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


MODELS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "keras": (keras_table, r"^m: cannot compute on .*\(6, 4\): InvalidArgumentError: indices.* is not in \[0, 5\)$"),
    "saved model": (saved_model(lambda x: tf.gather([1.0, 2.0], tf.cast(x, tf.int32))), "indices.* is not in"),
    "saved model of text": (saved_model(lambda x: tf.strings.join([tf.strings.as_string(x), "a"])), "to float"),
    "tflite of text": (tflite(lambda x: tf.zeros([1], tf.string)), "could not convert string to float"),
    "tflite of a size from the data": (
        tflite(lambda x: tf.fill(tf.cast(tf.stack([2 - x[0, 0], 2 - x[0, 1]]), tf.int32), 1.0)), "cannot compute"),
    "onnx": (onnx_table, "indices element out of data bounds"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_compute_on_the_data_is_one_line(name: str, tmp_path: Path) -> None:
    if name == "onnx" and not (importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime")):
        pytest.skip("onnx is not installed")
    make, said = MODELS[name]
    path = make(tmp_path)
    with pytest.raises(ModelError, match=said) as caught:
        tfcompress.diff(path, path, evaluation=LARGE)
    assert str(caught.value).isprintable()


def without_memory(x: np.ndarray) -> np.ndarray:
    return np.zeros((len(x), 1 << 40))


def without_sense(x: np.ndarray) -> np.ndarray:
    raise KeyError("first line\nsecond line")


@pytest.mark.parametrize(("function", "said"), [(without_memory, "MemoryError"), (without_sense, "KeyError")])
def test_a_function_that_raises_is_one_line_and_keeps_its_cause(
    function: Callable[[np.ndarray], np.ndarray], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        tfcompress.diff(keras_table(tmp_path), function, evaluation=np.ones((6, 4), np.float32))
    assert str(caught.value).isprintable()
    assert isinstance(caught.value.__cause__, MemoryError | KeyError)


def test_one_number_for_all_samples_is_compared() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, keras.ops.sum(x))
    result = tfcompress.diff(model, lambda x: x.sum(), evaluation=np.ones((6, 4), np.float32))
    assert result["candidate"]["diff"]["max_abs_error"] == 0


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_sum_over_all_samples_is_one_of_a_sample_beside_a_model_that_answers_each(offset: float) -> None:
    x = keras.Input((4,))
    model = keras.Model(x, keras.ops.reshape(keras.ops.sum(x), (-1, 1)))
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    with remarks() as said:
        result = tfcompress.diff(model, lambda x: x.sum(axis=1, keepdims=True) + offset, evaluation=values)
    assert result["candidate"]["diff"]["max_abs_error"] == offset
    assert sum("is run one sample at a time, as the file is" in line for line in [*said, *result["warnings"]]) == 1


def test_data_of_a_size_that_the_model_cannot_take_is_one_line(tmp_path: Path) -> None:
    x = keras.Input((None, None, 1))
    model = keras.Model(x, keras.layers.Conv2D(2, 5)(x))
    with pytest.raises(ModelError, match=r"cannot compute on inputs of the shapes .*\(1, 3, 3, 1\): ValueError"):
        tfcompress.convert(
            model, output=tmp_path / "out", targets="phone", calibration=np.ones((4, 3, 3, 1), np.float32)
        )


def test_training_on_an_index_beyond_the_table_is_one_line() -> None:
    model = functional((4,), lambda x: L.Dense(2)(L.Flatten()(L.Embedding(5, 3)(x))))
    recipe = Recipe(pruning=Pruning(), training=Training(epochs=1, batch_size=6))
    inputs = (TensorInfo(model.inputs[0].name, (None, 4), "float32"),)
    outputs = (TensorInfo("dense", (None, 2), "float32"),)
    labels = np.zeros((6, 2), np.float32)
    samples = samples_from_arrays(LARGE, labels, model_inputs=inputs, model_outputs=outputs)
    with pytest.raises(DataError, match=r"cannot be trained on it: InvalidArgumentError: indices\[0,0\] = 77"):
        finetune(model, recipe, samples)


def test_the_cause_of_an_error_of_keras_has_neither_colours_nor_a_traceback() -> None:
    error = tf.errors.InvalidArgumentError(
        None, None,
        "Graph execution error:\n\nDetected at node a/b defined at (most recent call last):\n"
        '  File "x.py", line 1, in <module>\n'
        "\x1b[1m{{function_node f}} wrong size\x1b[0m\n\t [[{{node a/b}}]] [Op:f_1]",
    )  # fmt: skip
    assert cause_of(error) == "InvalidArgumentError: wrong size"
