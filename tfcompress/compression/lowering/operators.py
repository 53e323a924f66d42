"""Tensor operators of a functional graph, such as ``x / 2`` or ``tf.square(x)``, as ones that have int8 kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tfcompress.compression.lowering.held_weights import moved_weight, product_with_weight, sum_with_bias
from tfcompress.compression.lowering.masks import (
    less_log_sum,
    log_shares,
    selection,
    share_of_logarithms,
    sum_with_mask,
)
from tfcompress.compression.lowering.reciprocal_root import ReciprocalRoot
from tfcompress.compression.lowering.symbols import argument, number_of, symbol_of, with_arrays
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.graphs.tensorflow.private_names import TFOpLambda, keras_history
from tfcompress.runtime import tf, tf_keras

__all__ = ["OPERATORS"]

_L = tf_keras.layers


def _scaled(call: Call, state: Rewrite, factor: float, x: Tensor) -> Tensor:
    return state.layer(call, "", lambda name: _L.Rescaling(factor, name=name))(x)


def _arithmetic_with_number(call: Call, state: Rewrite) -> Tensor | None:
    """``x + 1``, ``2 * x``, ``1 - x``, ``x / 2`` are scalings; with another tensor, an operator each."""
    symbol = symbol_of(call.layer)
    a, b = argument(call, 0, "x"), argument(call, 1, "y")
    left, right = number_of(a), number_of(b)
    if symbol == "math.truediv":
        return _scaled(call, state, 1 / right, a) if right else _quotient(call, state, a, b)
    if symbol in ("math.multiply",) and (left if left is not None else right) is not None:
        return _scaled(call, state, left if left is not None else right, b if left is not None else a)  # type: ignore[arg-type]
    if symbol == "math.subtract" and left is not None:
        negated = state.layer(call, "negated", lambda name: _L.Rescaling(-1.0, name=name))(b)
        return state.layer(call, "", lambda name: _L.Rescaling(1.0, left, name=name))(negated)
    return None


def _sum_or_difference(call: Call, state: Rewrite) -> Tensor | None:
    special = sum_with_mask(call, state)
    if special is None and symbol_of(call.layer) != "math.subtract":
        a, b = argument(call, 0, "x"), argument(call, 1, "y")
        special = sum_with_bias(call, state, a, b)
        special = sum_with_bias(call, state, b, a) if special is None else special
    if special is None and symbol_of(call.layer) == "math.subtract":
        special = less_log_sum(call, state)
    return _arithmetic_with_number(call, state) if special is None else special


def _quotient(call: Call, state: Rewrite, a: Any, b: Any) -> Tensor | None:
    """A division by a root is a product with its reciprocal, which stays finite where integers round the root to 0."""
    inverse = _reciprocal_of_root(b)
    if inverse is None:
        return _divided_by_channel(call, state, a, b)
    number = number_of(a)
    if number is not None:
        return _scaled(call, state, number, inverse)
    # Keras's merging layers align other ranks than TensorFlow does, and take no scalar beside a tensor.
    is_mergeable = not isinstance(a, np.ndarray) and len(a.shape) == len(inverse.shape)
    return state.merge(call, "", _L.Multiply, [a, inverse]) if is_mergeable else None


def _reciprocal_of_root(tensor: object) -> Any:
    """What `_root` multiplied with; None for a tensor that it has not written."""
    history = keras_history(tensor)
    if history is None or not isinstance(history[0], _L.Multiply):
        return None
    factors = history[0].inbound_nodes[history[1]].keras_inputs
    for value, factor in zip(factors, reversed(factors), strict=True):
        made_by = keras_history(factor)
        if made_by is not None and isinstance(made_by[0], ReciprocalRoot):
            (root_of,) = made_by[0].inbound_nodes[made_by[1]].keras_inputs
            if root_of is value:
                return factor
    return None


def _divided_by_channel(call: Call, state: Rewrite, a: Any, b: Any) -> Tensor | None:
    """A division by constants, one for each channel."""
    if not isinstance(b, np.ndarray) or b.size != b.shape[-1] or b.size != a.shape[-1] or not b.all():
        return None
    return state.affine(call, a, 1 / b, 0.0)


def _matmul(call: Call, state: Rewrite) -> Tensor | None:
    """A product with a constant matrix is a dense layer."""
    x, kernel = argument(call, 0, "a"), argument(call, 1, "b")
    if not isinstance(kernel, np.ndarray) or kernel.ndim != 2:
        return product_with_weight(call, state)
    flags = {name for name, value in call.kwargs.items() if name != "b" and value not in (None, False)}
    if len(call.args) > 2 or flags - {"transpose_b"}:
        return None
    return state.dense(call, "", x, kernel.T if flags else kernel, None)


def _bias_add(call: Call, state: Rewrite) -> Any:
    x, bias = argument(call, 0, "value"), argument(call, 1, "bias")
    if argument(call, 2, "data_format") not in (None, "NHWC", "N...C"):
        return None
    fused = sum_with_bias(call, state, x, bias)
    return x + bias if fused is None else fused


def _negative(call: Call, state: Rewrite) -> Tensor:
    return _scaled(call, state, -1.0, call.inputs[0])


def _square(call: Call, state: Rewrite) -> Tensor:
    return state.merge(call, "", _L.Multiply, [call.inputs[0], call.inputs[0]])


def _power(call: Call, state: Rewrite) -> Tensor | None:
    return _square(call, state) if number_of(argument(call, 1, "y")) == 2.0 else None


def _swish(call: Call, state: Rewrite) -> Tensor:
    x = call.inputs[0]
    return state.merge(call, "", _L.Multiply, [x, state.activation(call, "gate", "sigmoid", x)])


def _clip(call: Call, state: Rewrite) -> Tensor | None:
    """A clip from 0 is a ReLU with a maximum."""
    low = number_of(argument(call, 1, "clip_value_min"))
    high = number_of(argument(call, 2, "clip_value_max"))
    if low == 0.0 and high is not None:
        return state.layer(call, "", lambda name: _L.ReLU(high, name=name))(call.inputs[0])
    return None


def _leaky_relu(call: Call, state: Rewrite) -> Tensor:
    alpha = number_of(argument(call, 1, "alpha"))
    return state.layer(call, "", lambda name: _L.LeakyReLU(0.2 if alpha is None else alpha, name=name))(call.inputs[0])


def _reciprocal_root(call: Call, state: Rewrite) -> Tensor:
    return state.layer(call, "", lambda name: ReciprocalRoot(name=name))(call.inputs[0])


def _root(call: Call, state: Rewrite) -> Any:
    """``x * rsqrt(x)``: the converter has no int8 SQRT; at zero, the kernel's largest value times zero is zero."""
    x = call.inputs[0]
    inverse = state.layer(call, "inverse", lambda name: ReciprocalRoot(name=name))(x)
    return state.merge(call, "", _L.Multiply, [x, inverse])


_BY_SYMBOL: dict[str, Callable[[Call, Rewrite], Any]] = {
    "math.sqrt": _root,
    "math.multiply": _arithmetic_with_number,
    "__operators__.add": _sum_or_difference,
    "math.add": _sum_or_difference,
    "math.subtract": _sum_or_difference,
    "math.truediv": _arithmetic_with_number,
    "math.negative": _negative,
    "math.square": _square,
    "math.pow": _power,
    "math.rsqrt": _reciprocal_root,
    "linalg.matmul": _matmul,
    **dict.fromkeys(("einsum", "tensordot"), product_with_weight),
    "nn.bias_add": _bias_add,
    "nn.silu": _swish,
    "nn.leaky_relu": _leaky_relu,
    "clip_by_value": _clip,
    "math.exp": share_of_logarithms,
    **dict.fromkeys(("nn.log_softmax", "nn.log_softmax_v2", "math.log_softmax"), log_shares),
    "where": selection,
    "where_v2": selection,
}


def _operator(call: Call, state: Rewrite) -> Tensor | None:
    if len(call.old_outputs) != 1 or call.old_outputs[0].dtype != tf.float32:
        return None
    moved = moved_weight(call, state)
    function = _BY_SYMBOL.get(symbol_of(call.layer) or "")
    if moved is not None or function is None:
        return moved
    args, kwargs = with_arrays((call.args, call.kwargs))
    return function(replace(call, args=args, kwargs=kwargs), state)


OPERATORS: dict[object, Rewriter] = {
    TFOpLambda: _operator,
    _L.Activation: share_of_logarithms,
    _L.Subtract: less_log_sum,
}
