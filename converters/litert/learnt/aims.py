"""What the outputs of a quantized file are compared with, and how the distance is measured."""

from __future__ import annotations

from dataclasses import dataclass

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.graphs.tflite.operators import CONVERSIONS
from tfcompress.runtime import tf

__all__ = ["Aim", "aims_of", "distance"]

_SHARES = ("SOFTMAX", "LOGISTIC")
LOGITS = 0.05  # weight of the logits' own error beside that of what a softmax makes of them
TINY = 1e-9


@dataclass(frozen=True)
class Aim:
    """One output.

    Attributes:
        own: the quantized file's tensor: the output, or what its softmax or sigmoid reads.
        float_tensor: the float file's tensor of the same meaning.
        share: SOFTMAX or LOGISTIC behind it; empty where there is none.
    """

    own: int
    float_tensor: int
    share: str


def aims_of(floats: Subgraph, quantized: Subgraph) -> tuple[Aim, ...]:
    """The outputs of both files, in their order, before a softmax or sigmoid that both have."""
    aims = []
    for own, truth in zip(quantized.outputs, floats.outputs, strict=True):
        ends = _share(quantized, own), _share(floats, truth)
        if ends[0] is not None and ends[1] is not None and ends[0].name == ends[1].name:
            aims.append(Aim(ends[0].inputs[0], ends[1].inputs[0], ends[0].name))
        else:
            aims.append(Aim(own, truth, ""))
    return tuple(aims)


def _share(graph: Subgraph, index: int) -> Operator | None:
    """The softmax or sigmoid that gives an output, through conversions; None without."""
    producer = graph.producer(index)
    while producer is not None and producer.name in CONVERSIONS:
        producer = graph.producer(producer.inputs[0])
    return producer if producer is not None and producer.name in _SHARES else None


def distance(aim: Aim, value: Tensor, truth: Tensor) -> Tensor:
    """How far an output is from the float model's, a scalar.

    For a softmax the Kullback-Leibler divergence of the shares, and a little of the logits' own error, without which
    those of sure samples would drift; for others the squared error of each column (last axis) relative to how much it
    varies, so that small ones count as much as large ones.
    """
    truth = tf.cast(truth, tf.float32)
    if aim.share == "SOFTMAX":
        shares = tf.nn.softmax(truth)
        divergence = shares * (tf.nn.log_softmax(truth) - tf.nn.log_softmax(value))
        off = value - truth
        off -= tf.reduce_mean(off, -1, keepdims=True)
        spread = tf.math.reduce_variance(truth) + TINY
        return tf.reduce_mean(tf.reduce_sum(divergence, -1)) + LOGITS * tf.reduce_mean(tf.square(off)) / spread
    rows = tf.reshape(truth, [-1, truth.shape[-1]]) if len(truth.shape) > 1 else truth[:, None]
    error = tf.reshape(value, tf.shape(rows)) - rows
    spread = tf.math.reduce_variance(rows, axis=0)
    return tf.reduce_mean(tf.reduce_mean(tf.square(error), axis=0) / (spread + 1e-3 * tf.reduce_max(spread) + TINY))
