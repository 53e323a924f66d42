"""The range of an average: its input's, as AVERAGE_POOL_2D keeps it, with the kernel's way of rounding ties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfcompress.compression.simulation.quantizers import SameRange
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.runtime import tf

__all__ = ["AverageRange"]

# Share of a step: more than float error, less than what lies between a tie and the next average of 500 integers.
_NUDGE = 1e-3


class AverageRange(SameRange):
    """As `SameRange`; of two integers that are equally near, the one farther from integer zero is taken.

    Fake quantization takes the higher one.  Averages of four integers are ties in a quarter of all cases, so that the
    difference is seen in the classes.  It is simulated in training and in eager calls; a graph that is traced for
    inference is left as it is, since it may become the file.
    """

    def __call__(self, inputs: Tensor, training: bool, weights: Mapping[str, object], **kwargs: object) -> Any:
        """`inputs`, averages of values on the grid, on the grid."""
        if training or tf.executing_eagerly():
            integers = inputs / self.scale() + self._zero_point()
            inputs += tf.stop_gradient(tf.where(integers >= 0, _NUDGE, -_NUDGE) * self.scale())
        return super().__call__(inputs, training, weights, **kwargs)

    def _zero_point(self) -> Any:
        """The int8 that stands for 0."""
        return tf.round(-self.source.lowest() / self.scale()) - 128
