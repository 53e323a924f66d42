"""Second moments of what goes into and comes out of layers, measured on data: the PCA of a layer's own values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.compression.structure.batch_sizes import batch_within
from tfcompress.data import Samples
from tfcompress.graphs.keras.protocols import KerasModel, Layer, Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.runtime import tf, tf_keras

__all__ = ["Moments", "measure_moments"]

_BATCH = 16
_SAMPLES = 256


@dataclass(frozen=True)
class Moments:
    """Of one call of a layer, over samples and places.

    Attributes:
        input: [inputs, inputs] mean of x x^T over the channels; None where they are too many to hold.
        mean: [outputs] of the product with the kernel, without bias and activation.
        covariance: [outputs, outputs] of the same.
    """

    input: np.ndarray | None
    mean: np.ndarray
    covariance: np.ndarray


# A second moment of more channels than this is not measured: a flattened map has tens of thousands.
_MOST_CHANNELS = 2048


def measure_moments(model: KerasModel, calls: Sequence[Call], samples: Samples) -> list[Moments]:
    """The moments of some calls of a model.

    Args:
        model: flat tf_keras model.
        calls: of layers with one kernel (`Dense`, `Conv1D`, `Conv2D`), each with one input.
        samples: 256 of them are looked at; no labels are needed.
    """
    probe = tf_keras.Model(model.inputs, [call.old_inputs[0] for call in calls])

    @tf.function(autograph=False)
    def sums(inputs: object) -> object:
        values = probe(inputs, training=False)
        values = values if isinstance(values, list) else [values]
        return [_sums(call.layer, value) for call, value in zip(calls, values, strict=True)]

    names = [info.name for info in samples.inputs]
    totals: list[list[np.ndarray]] = []
    for batch in samples.spread(_SAMPLES).batches(batch_within(model, _BATCH)):
        batch_sums = sums([tf.constant(batch.inputs[name]) for name in names])
        values = [[np.asarray(part, np.float64) for part in parts] for parts in batch_sums]
        totals = values if not totals else [_added(a, b) for a, b in zip(totals, values, strict=True)]
    return [_moments(parts) for parts in totals]


def _added(first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
    return [a + b for a, b in zip(first, second, strict=True)]


def linear_part(layer: Layer, value: Tensor) -> Tensor:
    """The product of a layer's input with its kernel, without bias and activation."""
    kernel = layer.weights[0]
    if isinstance(layer, tf_keras.layers.Dense):
        product: Tensor = tf.tensordot(value, kernel, 1)
        return product
    convolved: Tensor = layer.convolution_op(value, kernel)  # type: ignore[attr-defined]
    return convolved


def _sums(layer: Layer, value: Tensor) -> list[Tensor]:
    """Number of rows in and out, sum of x x^T, sum of y, sum of y y^T."""
    x = tf.reshape(value, [-1, value.shape[-1]])
    out = linear_part(layer, value)
    y = tf.cast(tf.reshape(out, [-1, out.shape[-1]]), tf.float64)
    narrow = x.shape[-1] <= _MOST_CHANNELS
    squares = tf.matmul(x, x, transpose_a=True) if narrow else tf.zeros([0, 0])
    return [tf.shape(x)[0], tf.shape(y)[0], squares, tf.reduce_sum(y, 0), tf.matmul(y, y, transpose_a=True)]


def _moments(parts: list[np.ndarray]) -> Moments:
    rows_in, rows, squares, total, products = parts
    mean = total / rows
    return Moments(squares / rows_in if squares.size else None, mean, products / rows - np.outer(mean, mean))
