"""Small models for these tests, built in code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.converters.cloud_tpu.saved_model import WeightStore, compiled_function
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["float_model_from_keras", "keras", "tf_keras"]

FLAVORS = {"keras3": keras, "tf_keras": tf_keras}


def conv_net(flavor: str = "keras3") -> FloatModel:
    """Convolution, batch norm, depthwise convolution, batch norm, dense softmax; statistics that are not 0 and 1."""
    library = FLAVORS[flavor]
    library.utils.set_random_seed(7)
    layers = library.layers
    inputs = layers.Input((16, 16, 3), name="image")
    x = layers.Conv2D(16, 3, name="first")(inputs)
    x = layers.BatchNormalization(name="first_norm")(x)
    x = layers.ReLU(name="first_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_norm")(x)
    x = layers.Conv2D(24, 1, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = library.Model(inputs, layers.Dense(10, activation="softmax", name="scores")(x), name="conv_net")
    random = np.random.default_rng(3)
    for name in ("first_norm", "depthwise_norm"):
        norm = model.get_layer(name)
        norm.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in norm.get_weights()])
    return float_model_from_keras(model)


def transformer() -> FloatModel:
    """One encoder block on 6 tokens of 16 numbers."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    tokens = keras.Input((6, 16), name="tokens")
    x = layers.LayerNormalization(name="norm")(
        tokens + layers.MultiHeadAttention(2, 8, name="attention")(tokens, tokens)
    )
    return float_model_from_keras(keras.Model(tokens, layers.Dense(4, name="head")(x), name="transformer"))


def recurrent(flavor: str) -> FloatModel:
    """An LSTM over 5 steps."""
    library = FLAVORS[flavor]
    library.utils.set_random_seed(7)
    layers = library.layers
    inputs = layers.Input((5, 3), name="steps")
    return float_model_from_keras(
        library.Model(inputs, layers.Dense(2, name="head")(layers.LSTM(8, name="lstm")(inputs)))
    )


def two_inputs_two_outputs() -> FloatModel:
    """Integer tokens and a float vector in, two named outputs."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    tokens = keras.Input((4,), dtype="int32", name="tokens")
    vector = keras.Input((3,), name="vector")
    x = layers.Concatenate()([layers.Flatten()(layers.Embedding(9, 5, name="embedding")(tokens)), vector])
    outputs = [layers.Dense(2, name="left")(x), layers.Dense(1, activation="sigmoid", name="right")(x)]
    return float_model_from_keras(keras.Model([tokens, vector], outputs, name="pair"))


def named_inputs_and_outputs() -> FloatModel:
    """A dictionary in, a dictionary out, neither in the order of its keys."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    words, speed = keras.Input((4,), dtype="int32", name="words"), keras.Input((3,), name="speed")
    x = layers.Concatenate()([layers.Flatten()(layers.Embedding(9, 5)(words)), speed])
    outputs = {"sum": layers.Dense(2)(x), "kind": layers.Dense(3, activation="softmax")(x)}
    return float_model_from_keras(keras.Model({"words": words, "speed": speed}, outputs, name="named"))


def random_inputs(model: FloatModel, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """`count` samples for each input."""
    random = np.random.default_rng(seed)
    shapes = {info.name: [count, *info.sizes()] for info in model.inputs}
    return {
        info.name: random.integers(0, 9, shapes[info.name]).astype(info.dtype)
        if np.dtype(info.dtype).kind in "iu"
        else random.normal(size=shapes[info.name]).astype(info.dtype)
        for info in model.inputs
    }


def run_graph(graph: InferenceGraph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run an inference graph, XLA-compiled for the CPU."""
    function = compiled_function(graph, WeightStore(freeze=True))
    results = function(*[tf.constant(inputs[info.name]) for info in graph.inputs])
    return {name: result.numpy() for name, result in results.items()}


def run_signature(folder: Path, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a signature of a SavedModel."""
    signature = tf.saved_model.load(str(folder)).signatures[name]
    results = signature(**{key: tf.constant(value) for key, value in inputs.items()})
    return {key: value.numpy() for key, value in results.items()}


def sqnr_db(expected: np.ndarray, got: np.ndarray) -> float:
    """Signal to quantization noise in decibels."""
    noise = float(((expected.astype("f8") - got) ** 2).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10((expected.astype("f8") ** 2).sum() / noise))


def operators(graph: InferenceGraph) -> dict[str, Any]:
    """{operator name: tf.Operation}."""
    return {operation.name: operation for operation in graph.operations()}
