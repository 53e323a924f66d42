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


@tf_keras.saving.register_keras_serializable("tfcompress")
class ReciprocalRoot(tf_keras.layers.Layer):
    """``tf.math.rsqrt`` whose gradient is finite wherever the one from above is zero.

    LiteRT's int8 RSQRT gives the largest value of its range at zero, as the quantizer after this layer does.
    """

    def call(self, inputs: Tensor) -> Any:
        """The reciprocal square roots."""
        return _reciprocal_root(inputs)
