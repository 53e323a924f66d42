"""ONNX: every operator computes what LiteRT computes, Q/DQ pairs sit where they should, and TensorRT's rules hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.onnx import broken_rules, convert
from tfcompress.converters.onnx.builder import Scheme
from tfcompress.converters.onnx.conversion import SATURATE, SATURATING
from tfcompress.converters.onnx.export import WEIGHTED, export_onnx
from tfcompress.converters.onnx.options import Onnx
from tfcompress.data import samples_from_arrays
from tfcompress.errors import ConversionError, DataError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.processor import vector_instructions
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras, tf

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FLOAT_TOLERANCE = 1e-4  # relative to the largest output: two orders of summation
# Of the largest probability: 8 symmetric bits of 7 activations, most of them positive, so that half the steps are idle.
INT8_TOLERANCE = 0.05
SHAPE = (1, 6, 8, 4)
RECIPE = Recipe(post_training=PostTraining(quality="fast"))


def _constant(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32))


def _positive(x: Any) -> Any:
    return tf.abs(x) + 0.1


def _prelu(x: Any) -> Any:
    return tf.nn.relu(x) + _constant(4) * -tf.nn.relu(-x)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x + _constant(4),
    "arg_max": lambda x: tf.argmax(x, -1, output_type=tf.int32),
    "average_pool_same": lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    "batch_matmul": lambda x: tf.matmul(x, x, transpose_b=True),
    "batch_to_space": lambda x: tf.batch_to_space(tf.space_to_batch(x, [2, 2], [[0, 0], [2, 0]]), [2, 2], [[1, 0]] * 2),
    "broadcast": lambda x: tf.broadcast_to(x[:, :1], SHAPE) + x,
    "comparison": lambda x: tf.where(x > 0.2, x, -x),
    "concat_channels": lambda x: tf.concat([tf.nn.relu(tf.nn.max_pool2d(x, 1, 1, "SAME")), x], -1),
    "conv_dilated": lambda x: tf.nn.conv2d(x, _constant(3, 3, 4, 5), 1, "SAME", dilations=2),
    "conv_grouped": lambda x: tf.nn.conv2d(x, _constant(3, 3, 2, 6), 1, "SAME"),
    "conv_strided": lambda x: tf.nn.relu6(tf.nn.conv2d(x, _constant(3, 2, 4, 5), 2, "SAME")),
    "conv_then_prelu": lambda x: _prelu(tf.nn.conv2d(x, _constant(1, 1, 4, 4), 1, "SAME")),
    "conv_transposed": lambda x: tf.nn.conv2d_transpose(x, _constant(3, 3, 5, 4), [1, 12, 16, 5], 2),
    "cumsum": lambda x: tf.cumsum(x, 1, exclusive=True, reverse=True),
    "dense": lambda x: tf.matmul(tf.reshape(x, [1, -1]), _constant(192, 5)) + _constant(5),
    "depth_to_space": lambda x: tf.nn.depth_to_space(x, 2),
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, _constant(3, 3, 4, 2), [1, 2, 2, 1], "SAME"),
    "elu": tf.nn.elu,
    "floor_mod": lambda x: tf.math.floormod(x, 0.37),
    "gather": lambda x: tf.gather(x, [2, 0], axis=2),
    "gelu": tf.nn.gelu,
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "hard_swish": lambda x: x * tf.nn.relu6(x + 3) / 6,
    "l2_normalization": lambda x: tf.nn.l2_normalize(x, -1),
    "layer_normalization": lambda x: (
        (x - tf.reduce_mean(x, -1, keepdims=True)) / tf.math.reduce_std(x, -1, keepdims=True)
    ),
    "leaky_relu": tf.nn.leaky_relu,
    "log_softmax": tf.nn.log_softmax,
    "max_of_spatial": lambda x: tf.reduce_max(tf.nn.max_pool2d(x, 2, 2, "VALID"), [1, 2]),
    "mean_of_rows": lambda x: tf.reduce_mean(tf.nn.max_pool2d(x, 2, 2, "VALID"), 1),
    "mean_kept": lambda x: tf.reduce_mean(tf.nn.max_pool2d(x, 2, 2, "VALID"), [1, 2], keepdims=True) * _constant(4),
    "mirror_pad": lambda x: tf.pad(x, [[0, 0], [1, 1], [2, 0], [0, 0]], "REFLECT"),
    "one_hot": lambda x: tf.one_hot(tf.cast(x, tf.int32), 2, 3.0, -1.0, axis=1),  # others than 0 and 1 are in none
    "pad_after_pool": lambda x: tf.pad(tf.nn.max_pool2d(x, 2, 2, "VALID"), [[0, 0], [1, 0], [0, 2], [0, 1]]),
    "power": lambda x: tf.pow(_positive(x), 1.7),
    "resize_bilinear": lambda x: tf.image.resize(x, (9, 16)),
    "resize_corners": lambda x: tf.compat.v1.image.resize_bilinear(x, (11, 15), align_corners=True),
    "resize_nearest": lambda x: tf.image.resize(x, (9, 20), "nearest"),
    "reverse": lambda x: tf.reverse(x, [2]),
    "rsqrt": lambda x: tf.math.rsqrt(_positive(x)),
    "slice_strided": lambda x: x[:, 1:6:2, ::-1, 3],
    "softmax_of_channels": lambda x: tf.nn.softmax(tf.nn.max_pool2d(x, 2, 2, "VALID")),
    "space_to_depth": lambda x: tf.nn.space_to_depth(x, 2),
    "split": lambda x: tf.split(tf.nn.max_pool2d(x, 1, 1, "SAME"), [1, 3], -1)[1] * 2,
    "squared_difference": lambda x: tf.math.squared_difference(x, _constant(6, 8, 4)),
    "stack": lambda x: tf.stack([x, x + 1], 2),
    "sum": lambda x: tf.reduce_sum(x, [1, 2]),
    "three_largest": lambda x: tf.math.top_k(x, 3).values,
    "tile": lambda x: tf.tile(x, [1, 1, 2, 1]),
    "transpose": lambda x: tf.transpose(x, [0, 2, 3, 1]),
    "unstack": lambda x: tf.unstack(x, axis=1)[1] + tf.unstack(x, axis=1)[0],
}


def float_tflite(function: Callable[[Any], Any]) -> bytes:
    concrete = tf.function(function, input_signature=[tf.TensorSpec(SHAPE, tf.float32)]).get_concrete_function()
    with silenced():
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert())


def run_litert(content: bytes, x: np.ndarray) -> np.ndarray:
    with silenced():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def run_onnx(content: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operator_computes_what_litert_computes(name: str) -> None:
    content = float_tflite(FUNCTIONS[name])
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    wanted = run_litert(content, x)
    outputs = run_onnx(export_onnx(content, Scheme({}, frozenset()), name=name), x)
    assert outputs.shape == wanted.shape
    assert outputs.dtype == wanted.dtype
    largest = np.abs(wanted).max()
    assert np.abs(outputs - wanted).max() <= FLOAT_TOLERANCE * largest
    assert np.abs(np.roll(outputs, 1) - wanted).max() > 10 * FLOAT_TOLERANCE * largest  # else any order would do


def test_an_operator_without_an_onnx_form_is_named_with_its_layer() -> None:
    content = float_tflite(lambda x: tf.math.atan2(x, _positive(x)))
    with pytest.raises(ConversionError, match=r"ONNX export does not know ATAN2 .*replace the layer"):
        export_onnx(content, Scheme({}, frozenset()), name="g")


@pytest.fixture(scope="module")
def model() -> FloatModel:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((12, 12, 3), name="picture")
    # Zeros would be one tensor, and layers that share their biases are not rounded adaptively.
    biased = {"padding": "same", "bias_initializer": "random_normal"}
    y = layers.Conv2D(8, 3, activation="relu", name="first", **biased)(x)
    shortcut = y
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.Add(name="sum")([layers.ReLU(6.0, name="clip")(y), shortcut])
    y = layers.Conv2D(8, 3, strides=2, name="second", **biased)(y)
    y = layers.GlobalAveragePooling2D(name="mean")(y)
    y = layers.Dense(5, activation="softmax", name="classes")(y)
    return float_model_from_keras(keras.Model(x, y), name="small")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def artifact(model: FloatModel, pictures: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    result = convert(model, samples, RECIPE, tmp_path_factory.mktemp("onnx"))
    assert result.facts["tensorrt"] == {"proven": False, "reason": "TensorRT needs an NVIDIA GPU", "broken_rules": []}
    return result.runnable


def test_the_int8_file_stays_close_to_the_float_model(model: FloatModel, pictures: np.ndarray, artifact: Path) -> None:
    wanted = next(iter(model.predict({"picture": pictures}).values()))
    outputs = np.concatenate([run_onnx(artifact.read_bytes(), pictures[i : i + 1]) for i in range(16)])
    assert np.abs(outputs - wanted[:16]).max() <= INT8_TOLERANCE * wanted.max()
    assert np.abs(wanted[16:32] - wanted[:16]).max() > INT8_TOLERANCE * wanted.max()  # other pictures would not pass


def test_weights_and_biases_are_those_of_the_phones_file(
    model: FloatModel, pictures: np.ndarray, tmp_path: Path
) -> None:
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    adaptive = Recipe(post_training=PostTraining(adaptive_rounding=True))
    weights, biases = stored(convert(model, samples, adaptive, tmp_path).runnable)
    phone = quantize_int8(model, samples, adaptive)
    graph = read_tflite(phone.content).main
    wanted = [graph.tensors[operator.inputs[1]].array() for operator in graph.operators if operator.name in WEIGHTED]
    assert [sorted(array.ravel()) for array in weights] == [
        sorted(array.ravel()) for array in wanted if array is not None
    ]
    assert phone.float_content is not None
    floats = read_tflite(phone.float_content).main
    convolutions = [operator for operator in floats.operators if operator.name.endswith("CONV_2D")]
    rounded = [floats.tensors[operator.inputs[2]].array() for operator in convolutions]
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(biases, rounded, strict=True) if theirs is not None)
    _, nearest = stored(convert(model, samples, RECIPE, tmp_path).runnable)
    assert any((mine != theirs).any() for mine, theirs in zip(biases, nearest, strict=True))  # nothing made up for


@pytest.mark.slow
def test_integers_learnt_for_the_phones_file_are_not_promised(
    model: FloatModel, pictures: np.ndarray, tmp_path: Path
) -> None:
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    best = Recipe(post_training=PostTraining(quality="best"))
    assert not any("learnt" in note for note in convert(model, samples, best, tmp_path).notes)
    assert any("learnt" in note for note in quantize_int8(model, samples, best).notes)


def stored(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The weights in int8, and the biases of convolutions."""
    loaded = onnx.load(path)
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in loaded.graph.initializer}
    biases = [arrays[node.input[2]] for node in loaded.graph.node if node.op_type == "Conv"]
    weights = [array for array in arrays.values() if array.dtype == np.int8 and array.ndim > 1]
    return weights, biases


def test_asymmetric_activations_come_closer_and_are_not_for_tensorrt(
    model: FloatModel, pictures: np.ndarray, artifact: Path, tmp_path: Path
) -> None:
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    recipe = replace(RECIPE, sections=(Onnx(activations="asymmetric"),))
    result = convert(model, samples, recipe, tmp_path)
    wanted = next(iter(model.predict({"picture": pictures}).values()))

    def error_of(outputs: np.ndarray) -> float:
        return float(np.square(outputs - wanted).mean())

    def error(path: Path) -> float:
        return error_of(np.concatenate([run_onnx(path.read_bytes(), picture[None]) for picture in pictures]))

    saturates = vector_instructions() in SATURATE  # in either file, but more where all integers occur
    assert (SATURATING in result.notes) is saturates
    assert saturates or error(result.runnable) < error(artifact)
    assert error(result.runnable) < 0.01 * np.square(wanted).mean() < error_of(0.8 * wanted)
    assert "only supports symmetric quantization" in str(result.facts["tensorrt"])
    assert "This file is not for TensorRT" in (tmp_path / "USE.md").read_text()
    assert "keeps to TensorRT's rules" in (artifact.parent / "USE.md").read_text()


def test_the_file_has_the_models_names_one_transposition_and_int8_weights(artifact: Path) -> None:
    loaded = onnx.load(artifact)
    assert [port.name for port in loaded.graph.input] == ["picture"]
    assert [node.op_type for node in loaded.graph.node].count("Transpose") == 1
    stored = [onnx.numpy_helper.to_array(item) for item in loaded.graph.initializer]
    assert {array.shape for array in stored if array.dtype == np.int8 and array.ndim > 1} == {
        (8, 3, 3, 3),
        (8, 1, 3, 3),
        (8, 8, 3, 3),
        (8, 5),
    }
    convolutions = [node.name.split("/")[0] for node in loaded.graph.node if node.op_type == "Conv"]
    assert convolutions == ["first", "clip", "second"]  # the depthwise one is fused with the clip that follows


def test_the_file_keeps_every_rule_of_tensorrt(artifact: Path) -> None:
    assert broken_rules(artifact) == []


def _spoil_zero_point(loaded: Any) -> None:
    node = next(node for node in loaded.graph.node if node.op_type == "QuantizeLinear")
    item = next(item for item in loaded.graph.initializer if item.name == node.input[2])
    item.CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.int8), item.name))


def _spoil_scale(loaded: Any) -> None:
    node = next(node for node in loaded.graph.node if node.op_type == "QuantizeLinear")
    item = next(item for item in loaded.graph.initializer if item.name == node.input[1])
    item.CopyFrom(onnx.numpy_helper.from_array(np.array(0, np.float32), item.name))


def _spoil_opset(loaded: Any) -> None:
    loaded.opset_import[0].version = 11


def _spoil_axis(loaded: Any) -> None:
    for node in loaded.graph.node:
        for attribute in node.attribute:
            if attribute.name == "axis" and node.op_type == "DequantizeLinear":
                attribute.i = 1 - attribute.i


def _spoil_pair(loaded: Any) -> None:
    nodes = loaded.graph.node
    quantize = next(node for node in nodes if node.op_type == "QuantizeLinear")
    user = next(node for node in nodes if quantize.output[0] in node.input)
    user.op_type = "Cast"


def _spoil_bias(loaded: Any) -> None:
    node = next(node for node in loaded.graph.node if node.op_type == "Conv")
    item = next(item for item in loaded.graph.initializer if item.name == node.input[2])
    item.CopyFrom(onnx.numpy_helper.from_array(np.zeros(8, np.int32), item.name))


def _spoil_operator(loaded: Any) -> None:
    next(node for node in loaded.graph.node if node.op_type == "MatMul").op_type = "MatMulInteger"


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (_spoil_zero_point, "only supports symmetric quantization"),
        (_spoil_scale, "its scale is not constant and above 0"),
        (_spoil_opset, "opset 11, expected 13 or newer"),
        (_spoil_axis, "expected one scale per channel"),
        (_spoil_pair, "expected a DequantizeLinear of the same scale"),
        (_spoil_bias, "its bias is not constant float32"),
        (_spoil_operator, "TensorRT has no importer for MatMulInteger"),
    ],
)
def test_each_broken_rule_is_found(artifact: Path, spoil: Callable[[Any], None], line: str) -> None:
    loaded = onnx.load(artifact)
    spoil(loaded)
    assert any(line in broken for broken in broken_rules(loaded.SerializeToString()))


def test_without_samples_there_are_no_ranges(model: FloatModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="int8 Q/DQ pairs need samples; give --calibration=DATA"):
        convert(model, None, RECIPE, tmp_path)
