"""Weights and states copied from a layer to its counterpart in the other Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcompress.errors import ModelError
from tfcompress.graphs.keras.protocols import Variable

__all__ = ["copy_weights", "read_states", "set_weights", "write_states"]


def copy_weights(source: Any, target: Any) -> None:
    """Give `target` the weights, and the states of a stateful layer, that `source` has.

    Both libraries list a layer's weights in the order in which it made them, trainable ones first.

    Raises:
        ModelError: the two layers do not have the same weights.
    """
    values = source.get_weights()
    if values:
        set_weights(target, _in_order_of(target, source, values))
    write_states(target, read_states(source))


def set_weights(layer: Any, values: Sequence[np.ndarray]) -> None:
    """Set a layer's weights, and what a `Normalization` derives from them."""
    layer.set_weights(list(values))
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()


def _in_order_of(target: Any, source: Any, values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The source's weights in the target's order: the same, or that of their names where it is not."""
    wanted = [tuple(weight.shape) for weight in target.weights]
    given = [value.shape for value in values]
    if wanted == given:
        return values
    by_name = {_last_name(weight): value for weight, value in zip(source.weights, values, strict=True)}
    names = [_last_name(weight) for weight in target.weights]
    if len(by_name) == len(values) and set(names) == set(by_name):
        ordered = [by_name[name] for name in names]
        if [value.shape for value in ordered] == wanted:
            return ordered
    raise ModelError(
        f"the layer {source.name!r} ({type(source).__name__}) has weights of shapes {given}, "
        f"but its counterpart expects {wanted}"
    )


def _last_name(weight: Variable) -> str:
    """``kernel`` for tf_keras's ``dense/kernel:0`` and for Keras 3's ``kernel``; `sn_u` is `vector_u` in Keras 3."""
    name = str(weight.name).partition(":")[0].rpartition("/")[2]
    return {"sn_u": "vector_u"}.get(name, name)


def read_states(layer: Any) -> list[np.ndarray]:
    """The states that a stateful recurrent layer carries from batch to batch; none for any other layer."""
    if not getattr(layer, "stateful", False) or not isinstance(getattr(layer, "states", None), list | tuple):
        return []
    return [np.asarray(state) for state in layer.states if state is not None]


def write_states(layer: Any, values: list[np.ndarray]) -> None:
    """Set what `read_states` read, where the layer has as many states."""
    states = [state for state in layer.states if state is not None] if values else []
    for state, value in zip(states, values, strict=False):
        state.assign(value)
