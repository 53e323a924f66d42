"""Eight small networks of different kinds, seeded and never trained, labelled with their own clear answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfcompress.accuracy_diff import CandidateResult, compare, runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.calibration import Range, calibrate
from tfcompress.converters.litert import to_float_tflite
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel

__all__ = ["NETWORKS", "Subject", "changed", "depthwise"]

SAMPLES = 300
FEATURES = np.array([1e4, 0.01, 3.0, 0.5, 1.0, 20.0])


def _classified(x: Any, image: Any, name: str) -> Any:
    logits = layers.Dense(4, name="logits")(x)
    return keras.Model(image, layers.Softmax(name="answer")(logits), name=name)


def residual() -> Any:
    image: Any = keras.Input((12, 12, 3), name="image")
    first = layers.BatchNormalization(name="norm")(layers.Conv2D(8, 3, padding="same", name="conv_a")(image))
    first = layers.ReLU(name="relu_a")(first)
    second = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_b")(first)
    total = layers.Add(name="sum")([first, second])
    return _classified(layers.GlobalAveragePooling2D(name="pool")(total), image, "residual")


def two_branch() -> Any:
    image: Any = keras.Input((12, 12, 3), name="image")
    stem = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(image)
    left = layers.Conv2D(6, 1, activation="relu", name="left")(stem)
    right = layers.Conv2D(6, 3, padding="same", activation="relu", name="right")(stem)
    joined = layers.Concatenate(name="join")([left, right])
    return _classified(layers.GlobalAveragePooling2D(name="pool")(joined), image, "two_branch")


def depthwise() -> Any:
    image: Any = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(image)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(12, 1, activation="relu", name="pointwise")(x)
    return _classified(layers.GlobalAveragePooling2D(name="pool")(x), image, "depthwise")


def attention() -> Any:
    steps: Any = keras.Input((8, 16), name="steps")
    x = layers.MultiHeadAttention(2, 8, name="attention")(steps, steps, use_causal_mask=True)
    x = layers.Dense(24, activation="relu", name="wide")(x)
    return _classified(layers.GlobalAveragePooling1D(name="pool")(x), steps, "attention")


def recurrent() -> Any:
    steps: Any = keras.Input((6, 6), name="steps")
    x = layers.GRU(12, name="recurrent", reset_after=False)(layers.Dense(12, activation="relu", name="before")(steps))
    return _classified(layers.Dense(16, activation="relu", name="behind")(x), steps, "recurrent")


def tabular() -> Any:
    row: Any = keras.Input((6,), name="row")
    x = layers.Normalization(mean=np.zeros(6), variance=np.square(FEATURES), name="scaling")(row)
    x = layers.Dense(32, activation="relu", name="first")(x)
    return _classified(layers.Dense(24, activation="relu", name="second")(x), row, "tabular")


def detection() -> Any:
    image: Any = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="conv_a")(image)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv_b")(x)
    boxes = layers.Rescaling(64.0)(ops.sigmoid(layers.Conv2D(4, 1, name="boxes")(x)))
    rare: Any = keras.initializers.Constant(-3.2)
    scores = ops.sigmoid(layers.Conv2D(3, 1, name="scores", bias_initializer=rare)(x))
    parts = [layers.Reshape((16, 4))(boxes), layers.Reshape((16, 3))(scores)]
    return keras.Model(image, layers.Concatenate(name="out")(parts), name="detection")


def segmentation() -> Any:
    image: Any = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_a")(image)
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="conv_b")(x)
    return keras.Model(image, layers.Softmax(name="answer")(layers.Conv2D(3, 1, name="logits")(x)), name="segmentation")


NETWORKS: dict[str, Callable[[], Any]] = {
    build.__name__: build
    for build in (residual, two_branch, depthwise, attention, recurrent, tabular, detection, segmentation)
}


def _inputs(model: Any, count: int, seed: int) -> np.ndarray:
    rng, shape = np.random.default_rng(seed), model.inputs[0].shape[1:]
    if len(shape) == 1:
        return (rng.normal(size=(count, *shape)) * FEATURES).astype(np.float32)
    if len(shape) == 2:
        return (rng.normal(size=(count, *shape)) + rng.normal(size=(count, 1, shape[1]))).astype(np.float32)
    tint = rng.uniform(-0.6, 0.6, (count, 1, 1, 3))
    return np.clip(tint + rng.normal(0, 0.25, (count, *shape)), -1, 1).astype(np.float32)


def _balance(model: Any) -> None:
    """Logits of mean 0 and deviation 3, so that every class is some sample's answer."""
    names = [layer.name for layer in model.layers]
    if "logits" not in names:
        return
    head = model.get_layer("logits")
    values = np.asarray(keras.Model(model.inputs, head.output)(_inputs(model, 300, 7)))
    values = values.reshape(-1, values.shape[-1])
    kernel, bias = head.get_weights()
    scale = 3 / np.maximum(values.std(axis=0), 1e-6)
    head.set_weights([kernel * scale, (bias - values.mean(axis=0)) * scale])


def _give_biases(model: Any) -> None:
    """Biases that are not zero, which a converter would leave out."""
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, layers.Dense | layers.Conv2D) and layer.name != "scores":
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, bias + rng.normal(0, 0.05, bias.shape)])


def changed(model: FloatModel, change: Callable[[Any], None]) -> FloatModel:
    """A copy of a network after `change(keras_model)`."""
    twin = NETWORKS[model.name]()
    twin.set_weights(model.keras_model.get_weights())
    change(twin)
    return float_model_from_keras(twin, name=model.name)


@dataclass(frozen=True)
class Subject:
    """A network with its data.

    Attributes:
        model: the float network.
    """

    model: FloatModel

    @classmethod
    def of(cls, name: str, change: Callable[[Any], None] = lambda model: None) -> Subject:
        """A network of the table, after a change of its weights."""
        keras.utils.set_random_seed(3)
        model = NETWORKS[name]()
        _give_biases(model)
        _balance(model)
        change(model)
        return cls(float_model_from_keras(model, name=name))

    def samples(self, count: int, seed: int, *, labelled: bool = True) -> Samples:
        """Inputs, with the model's own clear answers as labels."""
        model = self.model.keras_model
        inputs = _inputs(model, 2 * count, seed)
        values = np.asarray(model(inputs))
        best = np.sort(values.reshape(len(values), -1, values.shape[-1]), axis=-1)
        clear = np.argsort(-(best[..., -1] - best[..., -2]).mean(axis=-1))[:count]
        labels = values if self.model.name == "detection" else values.argmax(axis=-1)
        ends = self.model.inputs, self.model.outputs
        given = labels[clear] if labelled else None
        return samples_from_arrays(inputs[clear], given, model_inputs=ends[0], model_outputs=ends[1])

    @cached_property
    def calibration(self) -> Samples:
        """Other samples of the same kind."""
        return self.samples(150, 1, labelled=False)

    @cached_property
    def evaluation(self) -> Samples:
        """Labelled samples."""
        return self.samples(SAMPLES, 2)

    @cached_property
    def float_content(self) -> bytes:
        """The float .tflite."""
        return to_float_tflite(self.model)

    def ranges(self, data: Samples | None = None) -> dict[str, Range]:
        """Min-max ranges, finite as the float minimum of a mask is not."""
        seen = calibrate(self.float_content, data or self.calibration, hash_data=False).ranges
        return {name: Range(max(item.low, -1e9), item.high) for name, item in seen.items()}

    def judged(self, content: bytes) -> CandidateResult:
        """The diff of a file, with its layers and causes."""
        runner = LiteRtRunner(content)
        return compare(runner_for(self.model), {"it": runner}, self.evaluation, layers=True).candidates["it"]
