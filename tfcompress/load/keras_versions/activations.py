"""Activation functions: the names that mean the same in both Kerases, and stand-ins for those that do not.

``hard_sigmoid`` is relu6(x + 3) / 6 in Keras 3 and clip(0.2 x + 0.5, 0, 1) in Keras 2 (the libraries' own reference
pages), and Keras 3 has functions that Keras 2 lacks.  A stand-in is registered under our package name, so that a model
that uses one can be cloned, saved and loaded, and comes back as the original when it is converted back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.runtime import keras, tf_keras

__all__ = ["translated_activation"]

_SAME = frozenset(
    {"linear", "relu", "sigmoid", "tanh", "softmax", "softplus", "softsign", "elu", "selu", "gelu", "exponential",
     "mish", "swish", "silu"}
)  # fmt: skip
_KERAS3_ONLY = (
    "celu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "log_sigmoid",
    "log_softmax", "relu6", "soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink",
    "threshold",
)  # fmt: skip
_PACKAGE = "tfcompress"


def _keras3_stand_in(name: str) -> Callable[[Any], Any] | None:
    """A tf_keras activation that computes the Keras 3 function `name`; None where this Keras 3 has none."""
    original = getattr(keras.activations, name, None)
    if original is None:
        return None

    def activation(x: Tensor) -> Any:
        return original(x)

    activation.__name__ = f"keras3_{name}"
    return tf_keras.saving.register_keras_serializable(_PACKAGE)(activation)


def _hard_sigmoid_of_keras2(x: Tensor) -> Tensor:
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


_hard_sigmoid_of_keras2.__name__ = "keras2_hard_sigmoid"
_TO_TF_KERAS = {name: function for name in _KERAS3_ONLY if (function := _keras3_stand_in(name)) is not None}
_TO_KERAS3 = {"hard_sigmoid": keras.saving.register_keras_serializable(_PACKAGE)(_hard_sigmoid_of_keras2)}


def translated_activation(name: str, *, to_keras3: bool) -> object:
    """What a layer of the other Keras takes for the activation called `name`.

    Args:
        name: as the source layer's configuration has it, without a package.
        to_keras3: the direction; False means from Keras 3 to tf_keras.

    Returns:
        A name or a function; None when the other Keras has nothing that computes the same.
    """
    if to_keras3 and name.startswith("keras3_"):
        return name.removeprefix("keras3_")
    if not to_keras3 and name == "keras2_hard_sigmoid":
        return "hard_sigmoid"
    if name in _SAME:
        return name
    return (_TO_KERAS3 if to_keras3 else _TO_TF_KERAS).get(name)
