"""Initial activation ranges, from the float model on training samples.

tfmot starts every range at +-6 and moves it by a thousandth a step, so that a short fine-tune begins, and may end, in
ruin.  Here the first step already simulates what the file will compute.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from tfcompress import console
from tfcompress.calibration.estimators import ANYTHING, EstimatorFactory, RangeEstimator, estimator_factory
from tfcompress.calibration.result import Range
from tfcompress.compression.lowering.recurrence import Recurrence
from tfcompress.compression.lowering.scores import Consumers, factor_to_softmax
from tfcompress.data import Samples
from tfcompress.errors import DataError
from tfcompress.graphs.keras.call_graph import producer
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.graphs.keras.replay import calls_of, consumers_of
from tfcompress.runtime import tf, tf_keras

__all__ = [
    "CALIBRATION_SAMPLES",
    "AddendEstimator",
    "Estimator",
    "LogitEstimator",
    "Ranges",
    "measure_peaks",
    "measure_ranges",
]

# {id of a tensor: (lowest, highest value)}
Ranges = Mapping[int, tuple[float, float]]

Estimator = Literal["min_max", "mse"]

CALIBRATION_SAMPLES = 512
_BATCH = 32
_SOFTMAX_SPAN = math.log(512)
_HIDDEN = 100.0  # below the largest: no score, a mask's number
_HIDING = 16.0  # below the least that is shown: less than a step of a softmax's output


def measure_ranges(model: KerasModel, tensors: Sequence[object], samples: Samples, *, estimator: Estimator) -> Ranges:
    """The range of each tensor over `samples`, in inference.

    Args:
        model: functional tf_keras model in float.
        tensors: of that model's graph.
        samples: all of them are used, a batch at a time.
        estimator: `min_max`, or `mse`, the range with the least squared error of quantization.

    Raises:
        DataError: a value is not finite, which no integer stands for.
    """
    if not tensors:
        return {}
    probe = tf_keras.Model(model.inputs, list(tensors))

    consumers, make = consumers_of(model), estimator_factory(estimator)
    estimators = [_estimator_of(tensor, consumers, make) for tensor in tensors]
    with console.progress("calibrating", samples.count) as advance:
        for batch in samples.batches(_BATCH):
            values = tf.nest.flatten(probe([batch.inputs[info.name] for info in samples.inputs], training=False))
            for item, tensor, value in zip(estimators, tensors, values, strict=True):
                array = np.asarray(value)
                may_hide = isinstance(item, LogitEstimator | AddendEstimator)  # by infinity
                if np.isnan(array).any() or not (may_hide or np.isfinite(array).all()):
                    raise DataError(
                        f"layer {producer(tensor).name!r}: the float model gives NaN or infinity on the training data, "
                        "expected finite values; check the weights, and whether the data are scaled as in training"
                    )
                item.update(array)
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
    probe = tf_keras.Model(model.inputs, [tensor for call in recurrent_calls for tensor in call.inputs])
    for batch in samples.batches(_BATCH):
        values = iter(tf.nest.flatten(probe([batch.inputs[info.name] for info in samples.inputs], training=False)))
        for call in recurrent_calls:
            call.layer.measure(*itertools.islice(values, len(call.inputs)))


def _estimator_of(tensor: object, consumers: Consumers, make: EstimatorFactory) -> RangeEstimator:
    factor = factor_to_softmax(consumers, tensor, sums=False)
    if factor is not None:
        return LogitEstimator(factor)
    factor = factor_to_softmax(consumers, tensor, sums=True)
    return make(ANYTHING) if factor is None else AddendEstimator(factor, make(ANYTHING))


class LogitEstimator:
    """The range of what goes into a softmax: no wider than its int8 output can show.

    The output's step is 1/256.  A logit that is ln 512 below the largest of its row comes out as zero, and where the
    largest is ln 512 above the second, the rest does; what lies beyond need not be told apart.  A range cut so has a
    finer step, and classes whose logits are close do not fall on the same one.  A mask's large number does not count,
    also where it leaves a row of attention one score or none.

    Args:
        factor: above zero; what is observed is multiplied by it on its way into the softmax.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._low, self._high = math.inf, -math.inf

    def update(self, values: np.ndarray) -> None:
        """Take in one batch of logits, classes along the last axis."""
        rows = np.sort(values.reshape(-1, values.shape[-1]) * self._factor, axis=-1)
        # Rows of equal values, such as those that are masked whole, stay equal wherever the range ends.
        uneven = rows[rows[:, 0] < rows[:, -1]]
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
        return Range(self._low / self._factor, self._high / self._factor)


class AddendEstimator:
    """The range of what is added to scores: the large number of a mask in it ends where it hides a score.

    Args:
        factor: of what is observed on its way into the softmax, below zero where it is subtracted.
        rest: estimates the range of what hides nothing.
    """

    def __init__(self, factor: float, rest: RangeEstimator) -> None:
        self._factor, self._rest = factor, rest
        self._hides = False

    def update(self, values: np.ndarray) -> None:
        """Take in one batch."""
        scores = values * self._factor
        hidden = scores < scores.max() - _HIDDEN
        self._hides = self._hides or bool(hidden.any())
        self._rest.update(values[~hidden])

    def range(self) -> Range:
        """After what was seen so far."""
        rest = self._rest.range()
        if not self._hides:
            return rest
        beyond = _HIDING / self._factor
        return Range(min(rest.low, rest.low - beyond), max(rest.high, rest.high - beyond))
