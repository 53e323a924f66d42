"""Tensor operators of a functional graph, such as ``x / 2`` or ``tf.square(x)``, as ones that have int8 kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.lowering.attention import MASKED
from tfcompress.compression.lowering.reciprocal_root import ReciprocalRoot
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.graphs.tensorflow.private_names import TFOpLambda
from tfcompress.runtime import tf, tf_keras

__all__ = ["OPERATORS", "symbol_of", "with_arrays"]

_L = tf_keras.layers
_LARGE_MASK = -1000.0  # far below any score; `MASKED` itself is not written anew


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


def _number(value: object) -> float | None:
    """The value of a constant that is one number."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        return float(value.reshape(-1)[0])
    return None


def _argument(call: Call, position: int, name: str) -> Any:
    return call.args[position] if len(call.args) > position else call.kwargs.get(name)


def _scaled(call: Call, state: Rewrite, factor: float, x: Tensor) -> Tensor:
    return state.layer(call, "", lambda name: _L.Rescaling(factor, name=name))(x)


def _arithmetic_with_number(call: Call, state: Rewrite) -> Tensor | None:
    """``x + 1``, ``2 * x``, ``1 - x``, ``x / 2`` are scalings; with another tensor, an operator each."""
    symbol = symbol_of(call.layer)
    a, b = _argument(call, 0, "x"), _argument(call, 1, "y")
    left, right = _number(a), _number(b)
    if symbol == "math.truediv":
        return _scaled(call, state, 1 / right, a) if right else _divided_by_channel(call, state, a, b)
    if symbol in ("math.multiply",) and (left if left is not None else right) is not None:
        return _scaled(call, state, left if left is not None else right, b if left is not None else a)  # type: ignore[arg-type]
    if symbol == "math.subtract" and left is not None:
        negated = state.layer(call, "negated", lambda name: _L.Rescaling(-1.0, name=name))(b)
        return state.layer(call, "", lambda name: _L.Rescaling(1.0, left, name=name))(negated)
    return None


def _sum_with_mask(call: Call, state: Rewrite) -> Tensor | None:
    """Scores and a constant mask that a softmax alone reads: no larger than it has to be, see `MASKED`."""
    is_difference = symbol_of(call.layer) == "math.subtract"
    a, b = _argument(call, 0, "x"), _argument(call, 1, "y")
    scores, mask = (b, a) if isinstance(a, np.ndarray) and not is_difference else (a, b)
    if not isinstance(mask, np.ndarray) or isinstance(scores, np.ndarray):
        return None
    added = -mask if is_difference else mask
    hidden = added <= _LARGE_MASK
    if not hidden.any() or added[~hidden].any() or not _softmax_alone_reads(call, state):
        return None
    return scores + tf.constant(np.where(hidden, MASKED, 0.0), tf.float32)


def _selection(call: Call, state: Rewrite) -> Tensor | None:
    """Scores that a constant condition replaces with a large negative number before a softmax, as `_sum_with_mask`."""
    condition, x, y = (_argument(call, place, name) for place, name in enumerate(("condition", "x", "y")))
    if not isinstance(condition, np.ndarray):
        return None
    shown, scores, hidden = (condition, x, y) if _is_constant(y) else (~condition, y, x)
    if _is_constant(scores) or not _is_constant(hidden) or not np.all(np.asarray(hidden) <= _LARGE_MASK):
        return None
    if not _softmax_alone_reads(call, state):
        return None
    return scores + tf.constant(np.where(shown, 0.0, MASKED), tf.float32)


def _is_constant(value: object) -> bool:
    return isinstance(value, int | float | np.ndarray | np.generic)


def _softmax_alone_reads(call: Call, state: Rewrite) -> bool:
    readers = state.consumers.get(id(call.old_outputs[0]), [])
    return bool(readers) and all(reader is not None and _is_softmax(reader.layer) for reader in readers)


def _is_softmax(layer: Any) -> bool:
    if symbol_of(layer) in ("nn.softmax", "nn.softmax_v2"):
        return True
    is_activation = isinstance(layer, _L.Activation) and activation_name(layer.activation) == "softmax"
    return isinstance(layer, _L.Softmax) or is_activation


def _sum_or_difference(call: Call, state: Rewrite) -> Tensor | None:
    masked = _sum_with_mask(call, state)
    return _arithmetic_with_number(call, state) if masked is None else masked


def _divided_by_channel(call: Call, state: Rewrite, a: Any, b: Any) -> Tensor | None:
    """A division by constants, one for each channel."""
    if not isinstance(b, np.ndarray) or b.size != b.shape[-1] or b.size != a.shape[-1] or not b.all():
        return None
    return state.affine(call, a, 1 / b, 0.0)


def _matmul(call: Call, state: Rewrite) -> Tensor | None:
    """A product with a constant matrix is a dense layer."""
    x, kernel = _argument(call, 0, "a"), _argument(call, 1, "b")
    if not isinstance(kernel, np.ndarray) or kernel.ndim != 2:
        return None
    flags = {name for name, value in call.kwargs.items() if name != "b" and value not in (None, False)}
    if len(call.args) > 2 or flags - {"transpose_b"}:
        return None
    return state.dense(call, "", x, kernel.T if flags else kernel, None)


def _negative(call: Call, state: Rewrite) -> Tensor:
    return _scaled(call, state, -1.0, call.inputs[0])


def _square(call: Call, state: Rewrite) -> Tensor:
    return state.merge(call, "", _L.Multiply, [call.inputs[0], call.inputs[0]])


def _power(call: Call, state: Rewrite) -> Tensor | None:
    return _square(call, state) if _number(_argument(call, 1, "y")) == 2.0 else None


def _swish(call: Call, state: Rewrite) -> Tensor:
    x = call.inputs[0]
    return state.merge(call, "", _L.Multiply, [x, state.activation(call, "gate", "sigmoid", x)])


def _clip(call: Call, state: Rewrite) -> Tensor | None:
    """A clip from 0 is a ReLU with a maximum."""
    low = _number(_argument(call, 1, "clip_value_min"))
    high = _number(_argument(call, 2, "clip_value_max"))
    if low == 0.0 and high is not None:
        return state.layer(call, "", lambda name: _L.ReLU(high, name=name))(call.inputs[0])
    return None


def _leaky_relu(call: Call, state: Rewrite) -> Tensor:
    alpha = _number(_argument(call, 1, "alpha"))
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
    "nn.silu": _swish,
    "nn.leaky_relu": _leaky_relu,
    "clip_by_value": _clip,
    "where": _selection,
    "where_v2": _selection,
}


def _operator(call: Call, state: Rewrite) -> Tensor | None:
    if len(call.old_outputs) != 1 or call.old_outputs[0].dtype != tf.float32:
        return None
    function = _BY_SYMBOL.get(symbol_of(call.layer) or "")
    if function is None:
        return None
    args, kwargs = with_arrays((call.args, call.kwargs))
    return function(replace(call, args=args, kwargs=kwargs), state)


OPERATORS: dict[object, Rewriter] = {TFOpLambda: _operator}
