"""Initial activation ranges, from the float model on training samples.

tfmot starts every range at +-6 and moves it by a thousandth a step, so that a short fine-tune begins, and may end, in
ruin.  Here the first step already simulates what the file will compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tfcompress import console
from tfcompress.calibration.estimators import ANYTHING, estimator_factory
from tfcompress.data import Samples
from tfcompress.runtime import tf, tf_keras

__all__ = ["CALIBRATION_SAMPLES", "Estimator", "Ranges", "measure_ranges"]

# {id of a tensor: (lowest, highest value)}
Ranges = Mapping[int, tuple[float, float]]

Estimator = Literal["min_max", "mse"]

CALIBRATION_SAMPLES = 512
_BATCH = 32


def measure_ranges(model: Any, tensors: Sequence[Any], samples: Samples, *, estimator: Estimator) -> Ranges:
    """The range of each tensor over `samples`, in inference.

    Args:
        model: functional tf_keras model in float.
        tensors: of that model's graph.
        samples: all of them are used, a batch at a time.
        estimator: `min_max`, or `mse`, the range with the least squared error of quantization.
    """
    if not tensors:
        return {}
    probe = tf_keras.Model(model.inputs, list(tensors))

    estimators = [estimator_factory(estimator)(ANYTHING) for _ in tensors]
    with console.progress("calibrating", samples.count) as advance:
        for batch in samples.batches(_BATCH):
            values = tf.nest.flatten(probe([batch.inputs[info.name] for info in samples.inputs], training=False))
            for one, value in zip(estimators, values, strict=True):
                one.update(np.asarray(value))
            advance(len(batch))
    found = [one.range() for one in estimators]
    return {id(tensor): (one.low, one.high) for tensor, one in zip(tensors, found, strict=True)}
