"""Functions of single values: which activations are, and what they make of a channel that has one constant value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfcompress.runtime import tf

__all__ = ["applied", "is_elementwise", "value_at"]

# Of tf_keras.activations and tf.nn; softmax and log_softmax look at all channels and are none of them.
_ELEMENTWISE = frozenset(
    {"linear", "relu", "relu6", "tanh", "sigmoid", "hard_sigmoid", "softplus", "softsign", "swish", "silu",
     "hard_swish", "hard_silu", "gelu", "elu", "selu", "exponential", "mish", "leaky_relu", "hard_tanh", "hard_shrink",
     "soft_shrink", "tanh_shrink", "squareplus", "celu", "log_sigmoid", "sparse_plus", "threshold"}
)  # fmt: skip


def is_elementwise(activation: object) -> bool:
    """Whether an activation function is known to work on each value by itself."""
    name = getattr(activation, "__name__", "")
    return activation is None or name.removeprefix("keras3_") in _ELEMENTWISE


def value_at(function: Callable[[object], object] | None, value: float) -> float:
    """What a function of single values makes of one value; NaN of NaN."""
    if function is None or np.isnan(value):
        return float(value)
    return float(np.asarray(function(tf.constant([[value]], tf.float32))).reshape(-1)[0])


def applied(function: Callable[[object], object] | None, fill: np.ndarray) -> np.ndarray:
    """A function of single values applied to constants, float64 of the same shape."""
    values, where = np.unique(fill, return_inverse=True)
    return np.array([value_at(function, float(value)) for value in values])[where].reshape(fill.shape)
