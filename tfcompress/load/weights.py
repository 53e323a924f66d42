"""Weights and states copied from a layer to its counterpart in the other Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.errors import ModelError

__all__ = ["copy_weights", "read_states", "write_states"]


def copy_weights(source: Any, target: Any) -> None:
    """Give `target` the weights, and the states of a stateful layer, that `source` has.

    Both libraries list a layer's weights in the order in which it made them, trainable ones first.

    Raises:
        ModelError: the two layers do not have the same weights.
    """
    values = source.get_weights()
    if values:
        wanted = [tuple(weight.shape) for weight in target.weights]
        given = [value.shape for value in values]
        if wanted != given:
            raise ModelError(
                f"the layer {source.name!r} ({type(source).__name__}) has weights of shapes {given}, "
                f"but its counterpart expects {wanted}"
            )
        target.set_weights(values)
    write_states(target, read_states(source))


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
