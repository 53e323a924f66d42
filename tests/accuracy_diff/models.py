"""Small models and data for the tests of the accuracy diff; built in code, seeded, never trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.runners import CallableRunner
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.runtime import tf, tf_keras

INPUT = (TensorInfo("x", (None, 1), "float32"),)


def table_runner(name: str, *tables: np.ndarray, names: tuple[str, ...] = ("out",)) -> CallableRunner:
    """A runner whose input is a row number and whose outputs are those rows of the tables."""
    infos = tuple(TensorInfo(n, (None, *t.shape[1:]), "float32") for n, t in zip(names, tables, strict=True))

    def look_up(rows: np.ndarray) -> list[np.ndarray]:
        return [table[rows[:, 0].astype(int)] for table in tables]

    return CallableRunner(look_up, name=name, inputs=INPUT, outputs=infos)


def rows(count: int, labels: Any = None, *, outputs: tuple[str, ...] = ("out",)) -> Samples:
    """Row numbers 0..count-1 as samples."""
    infos = tuple(TensorInfo(name, (None,), "float32") for name in outputs)
    numbers = np.arange(count, dtype=np.float32)[:, None]
    return samples_from_arrays(numbers, labels, model_inputs=INPUT, model_outputs=infos)


def probabilities(answers: np.ndarray, classes: int, sure: float = 0.9) -> np.ndarray:
    """Rows that sum to 1, with `sure` at the answer."""
    table = np.full((len(answers), classes), (1 - sure) / (classes - 1), np.float32)
    table[np.arange(len(answers)), answers] = sure
    return table


def seeded(build: Callable[[], Any], seed: int = 0) -> FloatModel:
    """A float model of an untrained tf_keras model, the same at every call."""
    tf_keras.utils.set_random_seed(seed)
    model = build()
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            size = len(gamma)
            layer.set_weights(
                [
                    rng.uniform(0.8, 1.2, size).astype(np.float32),
                    rng.normal(0, 0.1, size).astype(np.float32),
                    rng.normal(0, 0.1, size).astype(np.float32),
                    rng.uniform(0.5, 1.5, size).astype(np.float32),
                ]
            )
    return float_model_from_keras(model, name=model.name)


def plain_cnn() -> Any:
    """Convolutions with batch norm and a softmax: 12x12x3 to four classes."""
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((12, 12, 3), name="image"),
            layers.Conv2D(8, 3, padding="same", name="conv_a"),
            layers.BatchNormalization(name="norm_a"),
            layers.ReLU(name="relu_a"),
            layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="conv_b"),
            layers.AveragePooling2D(6, name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(4, name="logits", kernel_initializer=tf.keras.initializers.RandomNormal(stddev=1.0, seed=1)),
            layers.Softmax(name="answer"),
        ],
        name="plain_cnn",
    )


def branched_cnn() -> Any:
    """Depthwise and pointwise convolutions, a residual sum and a concatenation: 16x16x3 to four classes."""
    layers = tf_keras.layers
    image = layers.Input((16, 16, 3), name="image")
    stem = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(image)
    deep = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(stem)
    deep = layers.BatchNormalization(name="norm")(deep)
    deep = layers.ReLU(name="relu")(deep)
    point = layers.Conv2D(8, 1, name="pointwise")(deep)
    total = layers.Add(name="sum")([stem, point])
    left = layers.Conv2D(6, 1, activation="relu", name="left")(total)
    right = layers.Conv2D(6, 3, padding="same", activation="relu", name="right")(total)
    both = layers.Concatenate(name="join")([left, right])
    pooled = layers.AveragePooling2D(8, name="pool")(both)
    flat = layers.Flatten(name="flat")(pooled)
    start = tf.keras.initializers.RandomNormal(stddev=1.5, seed=2)
    logits = layers.Dense(4, name="logits", kernel_initializer=start)(flat)
    return tf_keras.Model(image, layers.Softmax(name="answer")(logits), name="branched_cnn")


def pictures(model: FloatModel, count: int = 200, seed: int = 0) -> np.ndarray:
    """Smooth random pictures in [-1, 1], of one brightness and one colour each, so that answers differ."""
    rng = np.random.default_rng(seed)
    shape = [size or 1 for size in model.inputs[0].shape[1:]]
    tint = rng.normal(0, 0.6, (count, 1, 1, shape[-1]))
    return np.clip(tint + rng.normal(0, 0.4, (count, *shape)), -1, 1).astype(np.float32)


def samples_with_own_answers(model: FloatModel, count: int = 200, seed: int = 0) -> Samples:
    """Pictures labelled with what the float model says: any other answer is an error of the artifact."""
    images = pictures(model, count, seed)
    outputs = model.predict({model.inputs[0].name: images})
    labels = next(iter(outputs.values())).argmax(axis=-1)
    return samples_from_arrays(images, labels, model_inputs=model.inputs, model_outputs=model.outputs)
