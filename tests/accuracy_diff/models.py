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
            size = layer.get_weights()[0].size
            layer.set_weights(
                [
                    rng.uniform(0.8, 1.2, size).astype(np.float32),
                    rng.normal(0, 0.1, size).astype(np.float32),
                    rng.normal(0, 0.1, size).astype(np.float32),
                    rng.uniform(0.5, 1.5, size).astype(np.float32),
                ]
            )
    balance(model, rng)
    return float_model_from_keras(model, name=model.name)


def balance(model: Any, rng: np.random.Generator) -> None:
    """Give a model a head that tells the tints apart: its last layer compares with each tint's mean features."""
    head = next((layer for layer in model.layers if layer.name == "logits"), None)
    if head is None:
        return
    before = tf_keras.Model(model.inputs, head.input)
    means = np.stack(
        [before(pictures_like(model.input_shape, 100, rng, tint=tint)).numpy().mean(axis=0) for tint in TINTS]
    )
    centre = means.mean(axis=0)
    means -= centre
    distances = np.square(means[:, None] - means[None]).sum(axis=-1)
    scale = 8 / np.median(distances[distances > 0])
    # The nearest mean is where m.(f - centre) - |m|^2 / 2 is largest.
    head.set_weights([scale * means.T, -scale * (means @ centre + np.square(means).sum(axis=1) / 2)])


TINTS = np.array([[0.2, -0.2, -0.2], [-0.2, 0.2, -0.2], [-0.2, -0.2, 0.2], [0.2, 0.2, 0.2]])


def pictures_like(
    shape: tuple[int | None, ...], count: int, rng: np.random.Generator, tint: np.ndarray | None = None
) -> np.ndarray:
    """Noisy pictures in [-1, 1], each of one of four tints, or all of the given one."""
    sizes = [size or 1 for size in shape[1:]]
    tints = TINTS[rng.integers(0, len(TINTS), count)] if tint is None else np.tile(tint, (count, 1))
    return np.clip(tints[:, None, None, :] + rng.normal(0, 0.25, (count, *sizes)), -1, 1).astype(np.float32)


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
    strong = tf.keras.initializers.RandomNormal(stddev=1.0, seed=3)
    deep = layers.DepthwiseConv2D(3, padding="same", name="depthwise", depthwise_initializer=strong)(stem)
    deep = layers.BatchNormalization(name="norm")(deep)
    deep = layers.ReLU(name="relu")(deep)
    point = layers.Conv2D(8, 1, name="pointwise", kernel_initializer=strong)(deep)
    total = layers.Add(name="sum")([stem, point])
    left = layers.Conv2D(6, 1, activation="relu", name="left")(total)
    right = layers.Conv2D(6, 3, padding="same", activation="relu", name="right")(total)
    both = layers.Concatenate(name="join")([left, right])
    pooled = layers.AveragePooling2D(8, name="pool")(both)
    flat = layers.Flatten(name="flat")(pooled)
    start = tf.keras.initializers.RandomNormal(stddev=1.5, seed=2)
    logits = layers.Dense(4, name="logits", kernel_initializer=start)(flat)
    return tf_keras.Model(image, layers.Softmax(name="answer")(logits), name="branched_cnn")


def two_towers() -> Any:
    """Two dense towers, joined: 8x8x3 to four classes."""
    layers = tf_keras.layers
    image = layers.Input((8, 8, 3), name="image")
    flat = layers.Flatten(name="flat")(image)
    left = layers.Dense(6, activation="relu", name="left")(flat)
    right = layers.Dense(10, activation="relu", name="right")(flat)
    logits = layers.Dense(4, name="logits")(layers.Concatenate(name="join")([left, right]))
    return tf_keras.Model(image, layers.Softmax(name="answer")(logits), name="two_towers")


def samples_with_own_answers(model: FloatModel, count: int = 200, seed: int = 0) -> Samples:
    """Pictures labelled with what the float model says, and says clearly: another answer is an artifact's error."""
    images = pictures_like(model.inputs[0].shape, 4 * count, np.random.default_rng(seed))
    outputs = next(iter(model.predict({model.inputs[0].name: images}).values()))
    answers, best = outputs.argmax(axis=-1), np.sort(outputs, axis=-1)
    doubt = best[:, -2] - best[:, -1]
    each = count // outputs.shape[-1]
    chosen = [np.flatnonzero(answers == k)[np.argsort(doubt[answers == k])[:each]] for k in range(outputs.shape[-1])]
    clear = np.sort(np.concatenate(chosen))
    return samples_from_arrays(images[clear], answers[clear], model_inputs=model.inputs, model_outputs=model.outputs)
