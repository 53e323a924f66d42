"""Batch-norm statistics estimated anew: after a cut, those of the old model no longer hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tfcompress.compression.structure.batch_sizes import batch_within
from tfcompress.compression.training.strided_convolutions import subsampled_convolutions
from tfcompress.data import Samples
from tfcompress.graphs.keras.protocols import KerasModel, Variable
from tfcompress.runtime import tf, tf_keras

__all__ = ["estimate_batch_norms"]

_BATCH = 64
_SAMPLES = 2048
_DROPPING = (
    tf_keras.layers.Dropout,
    tf_keras.layers.SpatialDropout1D,
    tf_keras.layers.SpatialDropout2D,
    tf_keras.layers.SpatialDropout3D,
    tf_keras.layers.GaussianDropout,
    tf_keras.layers.AlphaDropout,
)


def estimate_batch_norms(model: KerasModel, samples: Samples) -> int:
    """Set mean and variance of each batch normalization to the average over batches of `samples`, in place.

    Args:
        model: flat tf_keras model.
        samples: 2,048 of them are looked at; no labels are needed.

    Returns:
        How many normalizations there are.
    """
    layers: Sequence[Any] = model.layers
    norms: list[_Norm] = [layer for layer in layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    if not norms:
        return 0
    names = [info.name for info in samples.inputs]

    @tf.function(autograph=False)
    def forward(inputs: object) -> object:
        return model(inputs, training=True)

    with _averaging(model, norms) as momentum, subsampled_convolutions(model):
        for number, batch in enumerate(samples.spread(_SAMPLES).batches(batch_within(model, _BATCH))):
            momentum.assign(number / (number + 1))
            forward([tf.constant(batch.inputs[name]) for name in names])
    return len(norms)


class _Norm(Protocol):
    momentum: object
    trainable: bool


class _Dropping(Protocol):
    rate: float


@contextlib.contextmanager
def _averaging(model: KerasModel, norms: Sequence[_Norm]) -> Iterator[Variable]:
    """Normalizations that take the plain average of what they see, and layers that drop nothing."""
    momentum: Variable = tf.Variable(0.0)
    layers: Sequence[Any] = model.layers
    dropping: list[_Dropping] = [layer for layer in layers if isinstance(layer, _DROPPING)]
    rates = [(layer, layer.rate) for layer in dropping]
    before = [(norm, norm.momentum, norm.trainable) for norm in norms]
    for layer in dropping:
        layer.rate = 0.0
    for norm in norms:
        norm.momentum, norm.trainable = momentum, True
    try:
        yield momentum
    finally:
        for layer, rate in rates:
            layer.rate = rate
        for norm, old, trainable in before:
            norm.momentum, norm.trainable = old, trainable
