"""Initial activation ranges, from the float model on training samples.

tfmot starts every range at +-6 and moves it by a thousandth a step, so that a short fine-tune begins, and may end, in
ruin.  Here the first step already simulates what the file will compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfcompress import console
from tfcompress.data import Samples
from tfcompress.runtime import tf, tf_keras

__all__ = ["CALIBRATION_SAMPLES", "Ranges", "measure_ranges"]

# {id of a tensor: (lowest, highest value)}
Ranges = Mapping[int, tuple[float, float]]

CALIBRATION_SAMPLES = 512
_BATCH = 32


def measure_ranges(model: Any, tensors: Sequence[Any], samples: Samples) -> Ranges:
    """Smallest and largest value of each tensor over `samples`, in inference.

    Args:
        model: functional tf_keras model in float.
        tensors: of that model's graph.
        samples: all of them are used, a batch at a time.
    """
    if not tensors:
        return {}
    probe = tf_keras.Model(model.inputs, list(tensors))

    @tf.function(autograph=False)
    def extremes(inputs: Any) -> Any:
        values = tf.nest.flatten(probe(inputs, training=False))
        return [tf.stack([tf.reduce_min(value), tf.reduce_max(value)]) for value in values]

    low = np.full(len(tensors), np.inf)
    high = np.full(len(tensors), -np.inf)
    with console.progress("calibrating", samples.count) as advance:
        for batch in samples.batches(_BATCH):
            seen = np.array(
                [np.asarray(pair) for pair in extremes([batch.inputs[info.name] for info in samples.inputs])]
            )
            low, high = np.minimum(low, seen[:, 0]), np.maximum(high, seen[:, 1])
            advance(len(batch))
    return {id(t): (float(a), float(b)) for t, a, b in zip(tensors, low, high, strict=True)}
