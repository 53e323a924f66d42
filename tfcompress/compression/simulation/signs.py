"""Weights of two or three values: plus and minus one size for each scale of the int8 file, and zero.

In the file such weights are -127, 0 and 127 whatever the size is, as the largest weight of each scale is 127: training,
simulation and file agree exactly, and all channels share one table of values, which packs to 1 to 1.6 bits a weight.
"""

from __future__ import annotations

from typing import Literal

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.runtime import tf

__all__ = ["Axis", "Signs", "signed"]

Axis = Literal["tensor", "last", "last_two", "before_last"]
Signs = Literal["binary", "ternary"]

_THRESHOLD = 0.7  # of the mean magnitude: Li et al. 2016, "Ternary Weight Networks", equation 6


def signed(values: Tensor, mask: Tensor | None, axis: Axis, signs: Signs) -> Tensor:
    """Weights with their signs and one size for each scale; the gradient passes as if they were not replaced.

    The size is the mean magnitude of the weights that are not zero, which is nearest to them in least squares
    (Rastegari et al. 2016, "XNOR-Net", equation 6).  A weight of zero counts as positive.

    Args:
        values: float32 of a kernel's shape, what is trained.
        mask: 0 where a weight stays zero and 1 elsewhere, of the same shape; None keeps no zeros.
        axis: what has a scale, and so a size, of its own; see `KernelQuantizer`.
        signs: ternary also makes those weights zero that are below 0.7 of the mean magnitude.
    """
    rank = len(values.shape)
    kept = {"tensor": (), "last": (rank - 1,), "last_two": (rank - 2, rank - 1), "before_last": (rank - 2,)}[axis]
    over = [index for index in range(rank) if index not in kept]
    magnitude = tf.abs(values)
    counted = tf.ones_like(values) if mask is None else mask
    if signs == "ternary":
        threshold = _THRESHOLD * _mean(magnitude, counted, over)
        counted = counted * tf.cast(tf.greater(magnitude, threshold), values.dtype)
    sign = tf.where(tf.less(values, 0.0), -tf.ones_like(values), tf.ones_like(values))
    replaced = _mean(magnitude, counted, over) * sign * counted
    return values + tf.stop_gradient(replaced - values)


def _mean(magnitude: Tensor, counted: Tensor, over: list[int]) -> Tensor:
    """The mean of what is counted over some axes, which stay with size 1; 0 where nothing is."""
    count = tf.reduce_sum(counted, axis=over, keepdims=True)
    return tf.reduce_sum(magnitude * counted, axis=over, keepdims=True) / tf.maximum(count, 1.0)
