"""Layers that compute the same from the same input are called once, as TFLiteConverter merges equal operators.

NASNet, for one, applies a ReLU of its own to the same map in each branch of a cell.  Had the simulation given each
its own range, the file would hold one ReLU in float, whose result is quantized once for each.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tfcompress.graphs.keras.call_graph import is_symbolic
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.graphs.keras.replay import Call, Copies, rebuild
from tfcompress.graphs.tensorflow.private_names import BaseRandomLayer
from tfcompress.runtime import tf

__all__ = ["merge_common_subexpressions"]


def merge_common_subexpressions(model: KerasModel) -> Any:
    """A copy of a flat model, weights included, without calls that repeat an earlier one.

    A call repeats another when both read the same tensors and nothing else, without randomness, and are of one layer or
    of two that have the same class and configuration and no weights.  What the model returns keeps its own layer.

    Args:
        model: flat tf_keras model.
    """
    copies = Copies()
    returned = {id(tensor) for tensor in model.outputs}
    done: dict[object, Any] = {}

    def emit(call: Call) -> object:
        key = None if any(id(tensor) in returned for tensor in call.old_outputs) else _value_key(call)
        if key in done:
            return done[key]
        outputs = copies.repeat(call)
        if key is not None:
            done[key] = outputs
        return outputs

    new = rebuild(model, emit)
    copies.copy_weights()
    return new


def _value_key(call: Call) -> Any:
    """Equal for calls that compute the same value; None where that is not known."""
    layer, given = call.layer, (call.args, call.kwargs)
    if isinstance(layer, BaseRandomLayer):
        return None
    if any(value is not None and not is_symbolic(value) for value in tf.nest.flatten(given)):
        return None
    if layer.weights:
        return id(layer), tuple(id(tensor) for tensor in call.inputs)
    try:
        config = json.dumps({**layer.get_config(), "name": None}, sort_keys=True, default=_plain)
    except TypeError:
        return None
    return type(layer), config, tuple(id(tensor) for tensor in call.inputs)


def _plain(value: object) -> Any:
    """What JSON can hold of a number or an array of a configuration."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError
