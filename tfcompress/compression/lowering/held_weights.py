"""Tensor operators on weights that a layer of one's own held: products with them are dense layers, biases and all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfcompress.compression.lowering.products import summed_and_new_axes
from tfcompress.compression.lowering.symbols import argument, symbol_of
from tfcompress.graphs.keras.call_graph import producer
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite
from tfcompress.graphs.keras.taken_apart.leaf_layers import Weight
from tfcompress.graphs.tensorflow.private_names import keras_history
from tfcompress.runtime import tf, tf_keras

__all__ = ["held_weight", "moved_weight", "product_with_weight", "sum_with_bias"]

_MOVING = frozenset({"expand_dims", "reshape", "squeeze", "transpose"})


def held_weight(call: Call, state: Rewrite, value: object) -> np.ndarray | None:
    """What a `Weight` that this call alone reads holds; None for any other argument.

    Args:
        call: of the operator.
        state: of the pass.
        value: one of its arguments, in the new graph.
    """
    layer = _made_by(call, state, value, Weight)
    return None if layer is None else np.asarray(layer.get_weights()[0])


def moved_weight(call: Call, state: Rewrite) -> Tensor | None:
    """A weight in another shape or order, as a weight of its own; None for another operator or operand."""
    if symbol_of(call.layer) not in _MOVING or len(call.inputs) != 1:
        return None
    (tensor,) = call.inputs
    held = held_weight(call, state, tensor)
    if held is None:
        return None
    args, kwargs = tf.nest.map_structure(lambda value: held if value is tensor else value, (call.args, call.kwargs))
    moved = np.asarray(call.layer.function(*args, **kwargs))
    anchor = _read_by_maker(tensor)
    return state.layer(call, "", lambda name: Weight(moved.shape, moved.dtype.name, name=name), [moved])(anchor)


def product_with_weight(call: Call, state: Rewrite) -> Any:
    """``x @ weight`` and einsums of that kind as a dense layer; None for other products."""
    if symbol_of(call.layer) == "einsum":
        return _einsum(call, state)
    x, kernel = argument(call, 0, "a"), held_weight(call, state, argument(call, 1, "b"))
    if kernel is None or kernel.ndim != 2:
        return None
    if symbol_of(call.layer) == "tensordot":
        axes = np.asarray(argument(call, 2, "axes")).reshape(-1).tolist()
        return state.dense(call, "", x, kernel, None) if axes in ([1], [-1, 0], [len(x.shape) - 1, 0]) else None
    flags = {name for name, value in call.kwargs.items() if name not in ("a", "b") and value not in (None, False)}
    if len(call.args) > 2 or flags - {"transpose_b"}:
        return None
    return state.dense(call, "", x, kernel.T if flags else kernel, None)


def _einsum(call: Call, state: Rewrite) -> Any:
    """``...NI,IO->...NO`` and, with several axes of either kind, the same with a change of shape on each side."""
    equation, x, kernel = (argument(call, place, "") for place in range(3))
    held = held_weight(call, state, kernel)
    if held is None or not isinstance(equation, str) or len(call.args) != 3:
        return None
    axes = summed_and_new_axes(equation.replace(" ", ""))
    if axes is None:
        return None
    summed, new = map(len, axes)
    kept = list(x.shape[1 : len(x.shape) - summed])
    inputs = math.prod(held.shape[:summed])
    flat = x if summed == 1 else state.reshape(call, "flat", (*kept, inputs), x)
    y = state.dense(call, "product", flat, held.reshape(inputs, -1), None)
    return y if new == 1 else state.reshape(call, "", (*kept, *held.shape[summed:]), y)


def sum_with_bias(call: Call, state: Rewrite, x: Any, bias: Any) -> Any:
    """``x + weight`` behind a dense layer without a bias: the layer with a bias; None for other sums.

    Args:
        call: of the sum.
        state: of the pass.
        x: an operand in the new graph.
        bias: the other one.
    """
    layer = _made_by(call, state, x, tf_keras.layers.Dense)
    held = None if layer is None or layer.use_bias else held_weight(call, state, bias)
    if layer is None or held is None or held.size != layer.units or held.shape[-1] != layer.units:
        return None
    return state.dense(call, "", _read_by_maker(x), layer.get_weights()[0], held.reshape(-1))


def _made_by(call: Call, state: Rewrite, value: object, kind: Any) -> Any:
    """The layer of a class, called once, whose output is an argument that this call alone reads; None for another."""
    old = next((old for new, old in zip(call.inputs, call.old_inputs, strict=True) if new is value), None)
    layer = None if old is None else producer(old)
    if layer is None or type(layer) is not kind or len(state.consumers.get(id(old), ())) != 1:
        return None
    return layer if len(layer.inbound_nodes) == 1 else None


def _read_by_maker(tensor: Any) -> Any:
    """The input of the layer that a tensor came out of."""
    history = keras_history(tensor)
    assert history is not None, "it is symbolic"
    return history[0].inbound_nodes[history[1]].keras_inputs[0]
