"""Which tensors are the scores of a softmax, or are added to them: a mask's large number means nothing there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.lowering.symbols import argument, number_of, symbol_of, with_arrays
from tfcompress.graphs.keras.replay import Call
from tfcompress.runtime import tf_keras

__all__ = ["Consumers", "factor_to_softmax", "is_softmax"]

_L = tf_keras.layers
_MOVING = (_L.Reshape, _L.Dropout)
_MOVING_SYMBOLS = frozenset(
    {"cast", "reshape", "transpose", "squeeze", "expand_dims", "identity", "stop_gradient", "broadcast_to", "tile"}
)
MOST_STEPS = 64  # from a mask to its softmax: a long row of sums, as a loop that was written out has, is none
_ADDING = frozenset({"math.add", "__operators__.add"})
_SYMBOLS = frozenset({"nn.softmax", "nn.softmax_v2", "nn.log_softmax", "nn.log_softmax_v2", "math.log_softmax"})
Consumers = Mapping[int, Sequence[Call | None]]


def factor_to_softmax(consumers: Consumers, tensor: object, *, sums: bool) -> float | None:
    """By what a tensor is multiplied on its way into the softmax layers that alone read it.

    Args:
        consumers: {id of a tensor: the calls that read it}, None for a model output.
        tensor: of that graph.
        sums: whether something may be added to it on the way; the factor is then negative where it is subtracted.
            Without, rows of the tensor are rows of the softmax.

    Returns:
        None where something else reads it, where there are several ways with different factors, or where no softmax
        comes within `MOST_STEPS`.
    """
    return _factor(consumers, id(tensor), sums, {}, MOST_STEPS)


def _factor(
    consumers: Consumers, tensor: int, sums: bool, factors: dict[int, float | None], steps: int
) -> float | None:
    if steps == 0:
        return None
    if tensor not in factors:
        ways = [_way(consumers, tensor, reader, sums, factors, steps) for reader in consumers.get(tensor, ())]
        first = ways[0] if ways else None
        factors[tensor] = first if all(way == first for way in ways) else None
    return factors[tensor]


def _way(
    consumers: Consumers, tensor: int, reader: Call | None, sums: bool, factors: dict[int, float | None], steps: int
) -> float | None:
    if reader is None:
        return None
    if is_softmax(reader.layer, of_rows=not sums):
        return 1.0
    step = _scale(reader)
    if step is None and _moves(reader, rows=not sums):
        step = 1.0
    if step is None and sums:
        step = _sign_in_sum(reader, tensor)
    after = None if step is None else _factor(consumers, id(reader.old_outputs[0]), sums, factors, steps - 1)
    fits = step is not None and after is not None and math.isfinite(step) and step != 0 and (sums or step > 0)
    return step * after if fits and step is not None and after is not None else None


def is_softmax(layer: Any, *, of_rows: bool = False) -> bool:
    """Whether a layer or tensor operator is a softmax, or its logarithm.

    Args:
        layer: any.
        of_rows: it has to be a softmax over the last axis.
    """
    if type(layer) is _L.Softmax:
        return not of_rows or list(np.atleast_1d(layer.axis)) == [-1]
    if isinstance(layer, _L.Activation) and activation_name(layer.activation) == "softmax":
        return True
    return not of_rows and symbol_of(layer) in _SYMBOLS


def _scale(call: Call) -> float | None:
    """The number that a call multiplies its tensor with; a number that it adds moves all of a row alike."""
    layer, symbol = call.layer, symbol_of(call.layer)
    if type(layer) is _L.Rescaling:
        return float(layer.scale) if np.ndim(layer.scale) == np.ndim(layer.offset) == 0 else None
    if symbol not in ("math.multiply", "math.truediv"):
        return None
    args, kwargs = with_arrays((call.args, call.kwargs))
    plain = replace(call, args=args, kwargs=kwargs)
    left, right = number_of(argument(plain, 0, "x")), number_of(argument(plain, 1, "y"))
    if symbol == "math.truediv":
        return 1 / right if right else None
    return right if left is None else left


def _moves(call: Call, *, rows: bool) -> bool:
    """Whether a call moves values alone and, where asked for, leaves rows as they are."""
    layer = call.layer
    moving = type(layer) in _MOVING or symbol_of(layer) in _MOVING_SYMBOLS or type(layer).__name__ == "SlicingOpLambda"
    if not moving or len(call.old_inputs) != 1 or len(call.old_outputs) != 1:
        return moving and not rows and len(call.old_outputs) == 1
    if not rows:
        return True
    before, after = call.old_inputs[0].shape, call.old_outputs[0].shape
    kept = bool(len(before)) and bool(len(after)) and before[-1] is not None and before[-1] == after[-1]
    return kept and symbol_of(layer) not in ("transpose", "broadcast_to", "tile")


def _sign_in_sum(call: Call, tensor: int) -> float | None:
    """1 where a call adds a tensor to something, -1 where it subtracts it; None where it does neither."""
    symbol = symbol_of(call.layer)
    if type(call.layer) is _L.Add or symbol in _ADDING:
        return 1.0
    if type(call.layer) is _L.Subtract or symbol == "math.subtract":
        first = argument(call, 0, "x")
        return 1.0 if id(first[0] if isinstance(first, list | tuple) else first) == tensor else -1.0
    return None
