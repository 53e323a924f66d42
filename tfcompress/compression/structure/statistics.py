"""Mean and variance of every channel where a layer sums over it, measured on data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tfcompress.compression.structure.batch_sizes import batch_within
from tfcompress.data import Samples
from tfcompress.graphs.keras.channels.graph import ChannelGraph
from tfcompress.runtime import tf, tf_keras

__all__ = ["ReadStatistics", "measure_reads"]

_BATCH = 32
_SAMPLES = 512


@dataclass(frozen=True)
class ReadStatistics:
    """Over samples and places, {(index of a call, index of its input): an array as long as the last axis}."""

    means: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    variances: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)


def measure_reads(graph: ChannelGraph, samples: Samples) -> ReadStatistics:
    """Statistics of the inputs of all layers with kernels.

    Args:
        graph: of the model.
        samples: 512 of them are looked at; no labels are needed.
    """
    places = [
        (index, 0) for index, item in enumerate(graph.calls) if item.traced.weights and _reads(item.traced.weights)
    ]
    if not places:
        return ReadStatistics()
    tensors = [graph.calls[index].call.old_inputs[number] for index, number in places]
    probe = tf_keras.Model(graph.model.inputs, tensors)

    @tf.function(autograph=False)
    def sums(inputs: object) -> object:
        values = probe(inputs, training=False)
        values = values if isinstance(values, list) else [values]
        flat = [tf.cast(tf.reshape(value, [-1, value.shape[-1]]), tf.float64) for value in values]
        return [tf.stack([tf.reduce_sum(v, 0), tf.reduce_sum(v * v, 0)]) for v in flat], [tf.shape(v)[0] for v in flat]

    names = [info.name for info in samples.inputs]
    totals: list[np.ndarray] | None = None
    counts = np.zeros(len(places))
    for batch in samples.spread(_SAMPLES).batches(batch_within(graph.model, _BATCH)):
        batch_sums, sizes = sums([tf.constant(batch.inputs[name]) for name in names])
        values = [np.asarray(value) for value in batch_sums]
        totals = values if totals is None else [a + b for a, b in zip(totals, values, strict=True)]
        counts += np.asarray(sizes)
    assert totals is not None, "there is a sample"
    means = {place: total[0] / count for place, total, count in zip(places, totals, counts, strict=True)}
    variances = {
        place: np.maximum(total[1] / count - np.square(total[0] / count), 0)
        for place, total, count in zip(places, totals, counts, strict=True)
    }
    return ReadStatistics(means, variances)


def _reads(weights: tuple[object, ...]) -> bool:
    return any(along.role == "reads" for weight in weights for along in weight.axes.values())  # type: ignore[attr-defined]
