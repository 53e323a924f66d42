"""``1 / sqrt(x)`` for values that quantization may round to zero."""

from __future__ import annotations

from typing import Any

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.runtime import tf, tf_keras

__all__ = ["ReciprocalRoot"]


@tf.custom_gradient
def _reciprocal_root(x: Tensor) -> tuple[Any, Any]:
    root = tf.math.rsqrt(x)

    def gradient(upstream: Tensor) -> Any:
        # At zero the result is infinite and the quantizer behind it clips it, which takes the gradient to zero; times
        # an infinite slope that would be NaN.  TensorFlow's own gradient makes that exception on a CPU, but not where
        # XLA compiles it, as for a TPU.
        return tf.math.multiply_no_nan(-0.5 * root * tf.square(root), upstream)

    return root, gradient


def _largest_at_zero(x: Tensor) -> Any:
    """The root's reciprocal with the largest value of the batch at zero, so that ranges do not follow infinity."""
    positive = tf.greater(x, 0.0)
    root = _reciprocal_root(tf.where(positive, x, tf.ones_like(x)))
    return tf.where(positive, root, tf.reduce_max(tf.where(positive, root, tf.zeros_like(root))))


@tf_keras.saving.register_keras_serializable("tfcompress")
class ReciprocalRoot(tf_keras.layers.Layer):
    """``tf.math.rsqrt`` whose gradient is finite wherever the one from above is zero.

    LiteRT's int8 RSQRT gives the largest value of its range at zero, as the quantizer after this layer does.
    """

    def call(self, inputs: Tensor, training: object = None) -> Any:
        """The reciprocal square roots."""
        return _largest_at_zero(inputs) if training is True else _reciprocal_root(inputs)
