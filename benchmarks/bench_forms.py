"""Forms of operators that the table of rewrites does not have, against the usual ones: what each would be worth.

int8 files on one thread of this CPU with XNNPACK, by turns; `ours` is the form that was tried, `other` the usual one.
Joined layers are one layer whose outputs are cut apart; wider windows take zeros in the place of a padding that SAME
does not give; two Dense layers with nothing between them are one.  A ratio below 1 would be a reason for a row.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.int8_files import RECIPE
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.latency import medians
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.runtime import keras

__all__ = ["measure"]

SAMPLES, ROUNDS, SECONDS = 4, 5, 0.15

Shape = Sequence[int]
Outputs = Sequence[int]
Layer = Callable[[int], Any]


def dense(units: int) -> Any:
    """A layer over the last axis."""
    return keras.layers.Dense(units)


def pointwise(filters: int) -> Any:
    """A 1x1 convolution."""
    return keras.layers.Conv2D(filters, 1)


# name, layer, shape of what they read, outputs of each
PARALLEL: tuple[tuple[str, Layer, Shape, Outputs], ...] = (
    ("joined_heads_mtcnn", dense, (256,), (4, 2, 10)),
    ("joined_1x1_mtcnn", pointwise, (11, 11, 32), (2, 4)),
    ("joined_1x1_inception_35", pointwise, (35, 35, 192), (64, 48, 64)),
    ("joined_1x1_inception_17", pointwise, (17, 17, 768), (192, 128, 128)),
    ("joined_1x1_inception_8", pointwise, (8, 8, 1280), (320, 384, 448)),
    ("joined_queries_vit", dense, (197, 192), (192, 192, 192)),
    ("joined_queries_small", dense, (64, 32), (32, 32, 32)),
)
# name, shape, filters, window, padding on each side; the stride is 2
PADDED: tuple[tuple[str, Shape, int, int, int], ...] = (
    ("padding_as_window_resnet50", (224, 224, 3), 64, 7, 3),
    ("padding_as_window_miniresnet", (64, 50, 1), 64, 7, 3),
)
# name, inputs, units between, outputs
CHAINS: tuple[tuple[str, int, int, int], ...] = (
    ("merged_dense_narrowing", 64, 32, 10),
    ("merged_dense_low_rank", 256, 16, 256),
)


def measure() -> list[dict[str, Any]]:
    """One entry a form."""
    cases: dict[str, tuple[Any, Any]] = {}
    for name, layer, shape, outputs in PARALLEL:
        cases[name] = joined(layer, shape, outputs), apart(layer, shape, outputs)
    for name, shape, filters, window, padding in PADDED:
        cases[name] = widened(shape, filters, window), padded(shape, filters, window, padding)
    for name, inputs, units, last in CHAINS:
        cases[name] = sequence([inputs], dense(last)), sequence([inputs], dense(units), dense(last))
    return [compared(name, *models) for name, models in cases.items()]


def compared(name: str, tried: Any, usual: Any) -> dict[str, Any]:
    """The entry of two models of the same function."""
    files = [quantized(model) for model in (tried, usual)]
    rounds = [medians(files, seconds=SECONDS) for _ in range(ROUNDS)]
    ours, other = (statistics.median(times) for times in zip(*rounds, strict=True))
    entry = {"name": f"form_{name}", "ours": round(ours, 5), "other": round(other, 5), "other_name": "the usual form"}
    return {**entry, "unit": "ms", "ratio": round(ours / other, 3)}


def quantized(model: Any) -> bytes:
    """The int8 .tflite of a Keras model, calibrated on noise."""
    float_model = float_model_from_keras(model, name="form")
    noise = np.random.default_rng(0).normal(size=(SAMPLES, *model.input_shape[1:])).astype(np.float32)
    samples = samples_from_arrays(noise, model_inputs=float_model.inputs, model_outputs=float_model.outputs)
    return quantize_int8(float_model, samples, RECIPE).content


def apart(layer: Layer, shape: Shape, outputs: Outputs) -> Any:
    """Layers that read the same tensor."""
    source = keras.Input(shape)
    return keras.Model(source, [layer(count)(source) for count in outputs])


def joined(layer: Layer, shape: Shape, outputs: Outputs) -> Any:
    """One layer, its outputs cut apart."""
    source = keras.Input(shape)
    whole, ends = layer(sum(outputs))(source), np.cumsum(outputs)
    return keras.Model(source, [whole[..., end - count : end] for count, end in zip(outputs, ends, strict=True)])


def padded(shape: Shape, filters: int, window: int, padding: int) -> Any:
    """A layer behind a padding of its own."""
    layers = keras.layers
    return sequence(shape, layers.ZeroPadding2D(padding), layers.Conv2D(filters, window, strides=2))


def widened(shape: Shape, filters: int, window: int) -> Any:
    """A layer that pads by itself, its window one wider so that SAME pads as much."""
    return sequence(shape, keras.layers.Conv2D(filters, window + 1, strides=2, padding="same"))


def sequence(shape: Shape, *layers: Any) -> Any:
    """Layers one behind the other."""
    return keras.Sequential([keras.Input(shape), *layers])
