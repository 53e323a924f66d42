"""Small models, built in code, and what the tests run them with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.phone import convert
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import tf_keras

layers = tf_keras.layers


def small_cnn(seed: int = 0) -> FloatModel:
    """Convolutions, a residual sum, a pool over the whole map and a classifier."""
    tf_keras.utils.set_random_seed(seed)
    image = tf_keras.Input((8, 8, 3), name="image")
    first = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
    depthwise = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(first)
    second = layers.Conv2D(8, 1, name="second")(layers.ReLU(name="relu")(depthwise))
    pooled = layers.AveragePooling2D(8, name="pool")(layers.Add(name="sum")([first, second]))
    scores = layers.Dense(4, activation="softmax", name="scores")(layers.Flatten(name="flat")(pooled))
    return float_model_from_keras(tf_keras.Model(image, scores, name="small_cnn"))


def images(count: int = 64, seed: int = 0) -> np.ndarray:
    """float32 [count, 8, 8, 3] in [0, 1)."""
    return np.random.default_rng(seed).random((count, 8, 8, 3), np.float32)


def samples_for(model: FloatModel, inputs: np.ndarray | Mapping[str, np.ndarray]) -> Samples:
    """Unlabelled samples of a model."""
    return samples_from_arrays(inputs, model_inputs=model.inputs, model_outputs=model.outputs)


def converted(model: FloatModel, inputs: Any, folder: Path, recipe: Recipe | None = None) -> Artifact:
    """The model converted for phones into an existing folder."""
    return convert(model, samples_for(model, inputs), recipe or Recipe(), folder)


def run(content: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Real outputs by name, from real inputs by name, through the signature; the batch is resized."""
    runner = Interpreter(model_content=content).get_signature_runner()
    details = runner.get_input_details()
    ready = {name: _quantized(value, details[name]) for name, value in inputs.items()}
    outputs = runner(**ready)
    return {name: _real(value, runner.get_output_details()[name]) for name, value in outputs.items()}


def _quantized(value: np.ndarray, detail: Any) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    if not scale:
        return value
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(value / scale) + zero_point, limits.min, limits.max).astype(detail["dtype"])


def _real(value: np.ndarray, detail: Any) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    return (value.astype(np.float64) - zero_point) * scale if scale else value
