"""Whole networks: with what Keras 3 writes in five dimensions, or deep in activations, all of it maps, and exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tfcompress.converters.edgetpu import convert
from tfcompress.converters.phone import convert as convert_for_phone
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras

AS_THE_PHONE = 1.0  # dB
SIDE, SAMPLES = 16, 24


def decoder() -> Any:
    """A small segmentation network: UpSampling2D (nearest), and LeakyReLU written as a maximum."""
    library = keras
    layers = library.layers
    picture = library.Input((SIDE, SIDE, 3))
    kept = x = layers.Conv2D(8, 3, padding="same", activation="relu")(picture)
    x = layers.Conv2D(8, 3, padding="same")(layers.MaxPooling2D()(x))
    x = layers.UpSampling2D(2)(library.ops.maximum(x, 0.1 * x))
    x = layers.Conv2D(8, 3, padding="same", activation="hard_silu")(layers.Concatenate()([x, kept]))
    return library.Model(picture, layers.Conv2D(2, 1)(x))


def deep_in_hard_swish() -> Any:
    """As MobileNetV3 has it: hard-swish, and a hard sigmoid that scales the channels, block after block."""
    library = keras
    layers = library.layers
    picture = library.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_silu")(picture)
    for _ in range(8):
        inner = layers.Conv2D(24, 1, use_bias=False)(x)
        inner = layers.Activation("hard_silu")(layers.BatchNormalization()(inner))
        inner = layers.DepthwiseConv2D(3, padding="same", activation="hard_silu")(inner)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(inner)
        gate = layers.Conv2D(24, 1, activation="hard_sigmoid")(layers.Conv2D(8, 1, activation="relu")(gate))
        x = layers.Add()([x, layers.Conv2D(8, 1)(layers.Multiply()([inner, gate]))])
    return library.Model(picture, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def mobilenet_v3_of_keras_hub() -> Any:
    """With statistics of a few batches, so that its activations are alive."""
    hub = pytest.importorskip("keras_hub", reason="keras-hub is absent")
    blocks, swish = ((40, 56), (64, 144, 144), (72, 72), (144, 288, 288)), "hard_swish"
    backbone = hub.models.MobileNetBackbone(
        stackwise_expansion=[list(block) for block in blocks],
        stackwise_num_blocks=[len(block) for block in blocks],
        stackwise_num_filters=[[16] * 2, [24] * 3, [24] * 2, [48] * 3],
        stackwise_kernel_size=[[3] * 2, [5] * 3, [5] * 2, [5] * 3],
        stackwise_num_strides=[[2, 1], [2, 1, 1], [1, 1], [2, 1, 1]],
        stackwise_se_ratio=[[None] * 2, [0.25] * 3, [0.25] * 2, [0.25] * 3],
        stackwise_activation=[["relu"] * 2, [swish] * 3, [swish] * 2, [swish] * 3],
        stackwise_padding=[[1] * 2, [2] * 3, [2] * 2, [2] * 3],
        output_num_filters=1024,
        input_activation=swish,
        output_activation=swish,
        input_num_filters=16,
        image_shape=(96, 96, 3),
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        squeeze_and_excite=0.5,
        last_layer_filter=288,
    )
    network = hub.models.MobileNetImageClassifier(backbone=backbone, preprocessor=None, num_classes=10)
    pictures = np.random.default_rng(1).normal(size=(16, 96, 96, 3)).astype(np.float32)
    for _ in range(60):
        network(pictures, training=True)
    return network


def outputs(path: Path, pictures: np.ndarray) -> np.ndarray:
    """Of an int8 file, in real values."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    results = []
    for picture in pictures:
        scale, zero = source["quantization"]
        value = np.clip(np.round(picture / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], value[None])
        interpreter.invoke()
        scale, zero = result["quantization"]
        results.append((interpreter.get_tensor(result["index"]).astype(np.float64) - zero) * scale)
    return np.concatenate(results)


def sqnr(exact: np.ndarray, approximate: np.ndarray) -> float:
    return float(10 * np.log10(np.square(exact).sum() / np.square(exact - approximate).sum()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "absent"),
    [
        (decoder, {"TILE", "BROADCAST_TO", "LEAKY_RELU"}),
        (deep_in_hard_swish, {"HARD_SWISH"}),
        (mobilenet_v3_of_keras_hub, {"HARD_SWISH"}),
    ],
    ids=["decoder", "hard_swish", "keras_hub"],
)
def test_all_of_it_maps_and_is_as_exact_as_the_phone_s(network: Any, absent: set[str], tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    keras_model = network()
    model = float_model_from_keras(keras_model)
    random = np.random.default_rng(0)
    pictures = random.normal(size=(SAMPLES, *keras_model.input_shape[1:])).astype(np.float32)
    samples = samples_from_arrays(
        {model.inputs[0].name: pictures}, model_inputs=model.inputs, model_outputs=model.outputs
    )
    recipe = Recipe(post_training=PostTraining(quality="fast"))
    exact = np.asarray(keras_model(pictures), np.float64)
    ratios = {}
    for name, converted in (("edgetpu", convert), ("phone", convert_for_phone)):
        folder = tmp_path / name
        folder.mkdir()
        artifact = converted(model, samples, recipe, folder)
        ratios[name] = sqnr(exact, outputs(folder / "model.tflite", pictures))
        if name == "edgetpu":
            mapping: Any = artifact.facts["mapping"]
            assert mapping["cpu_ops"] == 0
            left = {operator.name for operator in read_tflite(folder / "model.tflite").main.operators}
            assert left.isdisjoint(absent)
    assert ratios["edgetpu"] >= ratios["phone"] - AS_THE_PHONE
