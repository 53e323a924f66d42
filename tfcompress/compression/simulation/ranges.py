"""Initial activation ranges, from the float model on training samples.

tfmot starts every range at +-6 and moves it by a thousandth a step, so that a short fine-tune begins, and may end, in
ruin.  Here the first step already simulates what the file will compute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tfcompress import console
from tfcompress.calibration.estimators import ANYTHING, RangeEstimator, estimator_factory
from tfcompress.calibration.result import Range
from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.lowering.recurrence import Recurrence
from tfcompress.data import Samples
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.graphs.keras.replay import calls_of, consumers_of
from tfcompress.runtime import tf, tf_keras

__all__ = ["CALIBRATION_SAMPLES", "Estimator", "LogitEstimator", "Ranges", "measure_peaks", "measure_ranges"]

# {id of a tensor: (lowest, highest value)}
Ranges = Mapping[int, tuple[float, float]]

Estimator = Literal["min_max", "mse"]

CALIBRATION_SAMPLES = 512
_BATCH = 32
_SOFTMAX_SPAN = math.log(512)


def measure_ranges(model: KerasModel, tensors: Sequence[object], samples: Samples, *, estimator: Estimator) -> Ranges:
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

    logits = _read_by_softmax_alone(model)
    make = estimator_factory(estimator)
    estimators: list[RangeEstimator] = [
        LogitEstimator() if id(tensor) in logits else make(ANYTHING) for tensor in tensors
    ]
    with console.progress("calibrating", samples.count) as advance:
        for batch in samples.batches(_BATCH):
            values = tf.nest.flatten(probe([batch.inputs[info.name] for info in samples.inputs], training=False))
            for item, value in zip(estimators, values, strict=True):
                item.update(np.asarray(value))
            advance(len(batch))
    ranges = [item.range() for item in estimators]
    return {id(tensor): (item.low, item.high) for tensor, item in zip(tensors, ranges, strict=True)}


def measure_peaks(model: KerasModel, samples: Samples) -> None:
    """Let the recurrent layers of a lowered model see what comes to them, for the scales inside of their integer forms.

    Args:
        model: functional tf_keras model in float.
        samples: all of them are used, a batch at a time.
    """
    recurrent_calls = [call for call in calls_of(model) if isinstance(call.layer, Recurrence)]
    if not recurrent_calls:
        return
    probe = tf_keras.Model(model.inputs, [call.inputs[0] for call in recurrent_calls])
    for batch in samples.batches(_BATCH):
        values = tf.nest.flatten(probe([batch.inputs[info.name] for info in samples.inputs], training=False))
        for call, value in zip(recurrent_calls, values, strict=True):
            call.layer.measure(value)


class LogitEstimator:
    """The range of what goes into a softmax: no wider than its int8 output can show.

    The output's step is 1/256.  A logit that is ln 512 below the largest of its row comes out as zero, and where the
    largest is ln 512 above the second, the rest does; what lies beyond need not be told apart.  A range cut so has a
    finer step, and classes whose logits are close do not fall on the same one.  A mask's large number does not count,
    also where it leaves a row of attention one score or none.
    """

    def __init__(self) -> None:
        self._low, self._high = math.inf, -math.inf

    def update(self, values: np.ndarray) -> None:
        """Take in one batch of logits, classes along the last axis."""
        rows = np.sort(values.reshape(-1, values.shape[-1]), axis=-1)
        uneven = rows[rows[:, 0] < rows[:, -1]]  # others stay as even wherever they are cut, as rows masked whole
        rows = uneven if len(uneven) or math.isfinite(self._low) else rows
        if not len(rows):
            return
        largest = rows[:, -1]
        second = rows[:, -2] if rows.shape[1] > 1 else largest
        # Where a mask leaves one score in a row, the range may lie anywhere below it: near zero, which it has to hold.
        shown = np.minimum(largest, np.maximum(second + _SOFTMAX_SPAN, np.minimum(largest, 0.0)))
        self._low = min(self._low, float(shown.min()) - _SOFTMAX_SPAN)
        self._high = max(self._high, float(shown.max()))

    def range(self) -> Range:
        """After what was seen so far."""
        return Range(self._low, self._high)


def _read_by_softmax_alone(model: KerasModel) -> set[int]:
    """Ids of the tensors of a lowered model that nothing but softmax layers read."""
    tensors = set()
    for identity, readers in consumers_of(model).items():
        if all(reader is not None and _is_softmax(reader.layer) for reader in readers):
            tensors.add(identity)
    return tensors


def _is_softmax(layer: Any) -> bool:
    if type(layer) is tf_keras.layers.Softmax:
        return list(np.atleast_1d(layer.axis)) == [-1]
    return type(layer) is tf_keras.layers.Activation and activation_name(layer.activation) == "softmax"
