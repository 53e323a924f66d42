"""What a tensor operator of a functional graph, such as ``x / 2``, is and what it is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.tensorflow.private_names import TFOpLambda
from tfcompress.runtime import tf

__all__ = ["argument", "number_of", "symbol_of", "with_arrays"]


def symbol_of(layer: Any) -> str | None:
    """The symbol, such as ``math.add``, of a tensor operator in a functional graph; None for any other layer."""
    return layer.symbol.removeprefix("compat.v1.") if type(layer) is TFOpLambda else None


def with_arrays(value: Any) -> Any:
    """Arguments, their constants as arrays.

    A model made in code may hold tensors, one that was saved nested lists, which Keras makes lists of tensors in a
    first argument.
    """
    if isinstance(value, tf.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {name: with_arrays(part) for name, part in value.items()}
    if not isinstance(value, list | tuple):
        return value
    if value and all(_is_number(leaf) for leaf in tf.nest.flatten(value)):
        return np.array(value, np.float32)
    parts = [with_arrays(part) for part in value]
    return tuple(parts) if isinstance(value, tuple) else parts


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, tf.Tensor) and value.dtype.is_floating and value.ndim == 0)


def number_of(value: object) -> float | None:
    """The value of a constant that is one number."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        return float(value.reshape(-1)[0])
    return None


def argument(call: Call, position: int, name: str) -> Any:
    """An argument of a call, given by its position or its name; None where it is absent."""
    return call.args[position] if len(call.args) > position else call.kwargs.get(name)
