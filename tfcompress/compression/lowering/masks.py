"""Masks whose large numbers are no larger than a softmax needs, and shares that are taken through logarithms.

A number as -1e9 would take the whole int8 range of what it is added to, or be more than LiteRT's kernels can scale to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.lowering.attention import MASKED
from tfcompress.compression.lowering.scores import factor_to_softmax
from tfcompress.compression.lowering.symbols import argument, symbol_of
from tfcompress.graphs.keras.call_graph import producer
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite
from tfcompress.runtime import tf, tf_keras

__all__ = ["less_log_sum", "log_shares", "selection", "share_of_logarithms", "smaller_factor", "sum_with_mask"]

_L = tf_keras.layers
_LARGE = -1000.0  # far below any score
# What a mask of zeros and ones is multiplied with: large enough to hide what is a hundredth of one, and small enough
# for LiteRT's integer kernels.
_MASKING = 1e4


def sum_with_mask(call: Call, state: Rewrite) -> Any:
    """Scores and a constant mask that a softmax alone reads: no larger than it has to be, see `MASKED`."""
    is_difference = symbol_of(call.layer) == "math.subtract"
    a, b = argument(call, 0, "x"), argument(call, 1, "y")
    scores, mask = (b, a) if isinstance(a, np.ndarray) and not is_difference else (a, b)
    if not isinstance(mask, np.ndarray) or isinstance(scores, np.ndarray):
        return None
    masked = _masked_by(call, state)
    added = -mask if is_difference else mask
    hidden = added <= (-np.inf if masked is None else min(_LARGE, 2 * masked))
    if masked is None or not hidden.any():
        return None
    shown = np.where(hidden, 0.0, added)
    scores = scores + tf.constant(shown, tf.float32) if shown.any() else scores
    return scores + tf.constant(np.where(hidden, masked, 0.0), tf.float32)


def _masked_by(call: Call, state: Rewrite) -> float | None:
    """The number that hides what a call computes from the softmax that alone reads it."""
    factor = factor_to_softmax(state.consumers, call.old_outputs[0], sums=True)
    return None if factor is None or factor <= 0 else MASKED / factor


def selection(call: Call, state: Rewrite) -> Any:
    """Scores that a constant condition replaces with a large negative number before a softmax, as `sum_with_mask`."""
    given, x, y = (argument(call, place, name) for place, name in enumerate(("condition", "x", "y")))
    condition = _constant_condition(given)
    if condition is None:
        return None
    shown, scores, hidden = (condition, x, y) if _is_constant(y) else (~condition, y, x)
    if _is_constant(scores) or not _is_constant(hidden) or not np.all(np.asarray(hidden) <= _LARGE):
        return None
    masked = _masked_by(call, state)
    return None if masked is None else scores + tf.constant(np.where(shown, 0.0, masked), tf.float32)


def _constant_condition(value: object) -> np.ndarray | None:
    """A condition as an array, where it is constant; a model that was saved has it as nested lists."""
    if isinstance(value, np.ndarray):
        return value
    leaves = tf.nest.flatten(value) if isinstance(value, list | tuple) else []
    are_constant = bool(leaves) and all(isinstance(leaf, bool | np.bool_) for leaf in leaves)
    return np.array(value, bool) if are_constant else None


def _is_constant(value: object) -> bool:
    return isinstance(value, int | float | np.ndarray | np.generic)


def smaller_factor(call: Call, state: Rewrite) -> Tensor | None:
    """A scaling that makes a mask of zeros and ones, to be added to scores, with no larger a factor than that needs."""
    layer = call.layer
    if np.ndim(layer.scale) or np.ndim(layer.offset) or abs(layer.scale) <= _MASKING:
        return None
    factor = factor_to_softmax(state.consumers, call.old_outputs[0], sums=True)
    is_score = factor_to_softmax(state.consumers, call.old_outputs[0], sums=False) is not None
    if factor is None or is_score or _has_weights_before(call.old_inputs[0]):
        return None
    scale = float(np.sign(layer.scale)) * _MASKING / abs(factor)
    if abs(layer.scale) < 2 * abs(scale):
        return None
    offset = float(layer.offset * scale / layer.scale)
    return state.layer(call, "", lambda name: _L.Rescaling(scale, offset, name=name))(call.inputs[0])


def _has_weights_before(tensor: Tensor) -> bool:
    """Whether a tensor is computed by layers with weights, as scores are and masks are not."""
    waiting, seen = [tensor], set[int]()
    while waiting:
        layer = producer(waiting.pop())
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if layer.weights:
            return True
        for node in layer.inbound_nodes:
            waiting += list(node.keras_inputs)
    return False


def log_shares(call: Call, state: Rewrite) -> Tensor | None:
    """``log_softmax(x)`` that exponentials alone read: nothing, as `share_of_logarithms` makes them the softmax."""
    axis = argument(call, 1, "axis")
    x = argument(call, 0, "logits")
    return x if axis in (None, -1, len(x.shape) - 1) and _fold_exponentials(call, state) else None


def less_log_sum(call: Call, state: Rewrite) -> Tensor | None:
    """``x - reduce_logsumexp(x)`` of rows that exponentials alone read, as `log_shares`."""
    if len(call.old_inputs) != 2:
        return None
    x, total = call.old_inputs
    for reader in state.consumers[id(x)]:
        if reader is not None and reader.old_outputs[0] is total and symbol_of(reader.layer) == "math.reduce_logsumexp":
            over_rows = argument(reader, 1, "axis") in (-1, [-1], len(x.shape) - 1, [len(x.shape) - 1])
            if over_rows and argument(reader, 2, "keepdims") and _fold_exponentials(call, state):
                return call.inputs[0]
    return None


def _fold_exponentials(call: Call, state: Rewrite) -> bool:
    """Whether exponentials alone read what a call returns; they count as folded from then on."""
    readers = state.consumers.get(id(call.old_outputs[0]), [])
    layers = [reader.layer for reader in readers if reader is not None and _is_exponential(reader.layer)]
    if not layers or len(layers) < len(readers) or any(len(layer.inbound_nodes) != 1 for layer in layers):
        return False
    state.folded.update(id(layer) for layer in layers)
    return True


def _is_exponential(layer: Any) -> bool:
    if type(layer) is _L.Activation:
        return activation_name(layer.activation) == "exponential"
    return symbol_of(layer) == "math.exp"


def share_of_logarithms(call: Call, state: Rewrite) -> Tensor | None:
    """The softmax for an exponential whose logarithms are folded."""
    if id(call.layer) not in state.folded:
        return None
    return state.activation(call, "", "softmax", call.inputs[0])
