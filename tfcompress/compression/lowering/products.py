"""Matrix products in the form that LiteRT computes them in: `EinsumDense` and `Dot`."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.runtime import tf_keras

__all__ = ["PRODUCTS", "summed_and_new_axes"]

_L = tf_keras.layers


def _einsum_dense(call: Call, state: Rewrite) -> Tensor | None:
    """A product with the last axes of the input is fully connected, and only then a ReLU behind it fuses."""
    layer, x = call.layer, call.inputs[0]
    added_axes = summed_and_new_axes(layer.equation)
    bias_axes = layer.get_config()["bias_axes"]
    if added_axes is None or bias_axes not in (None, added_axes[1]):
        return None
    summed, new = len(added_axes[0]), len(added_axes[1])
    kernel = np.asarray(layer.kernel)
    inputs, units = int(np.prod(kernel.shape[:summed])), int(np.prod(kernel.shape[summed:]))
    weights = [kernel.reshape(inputs, units)] + ([] if bias_axes is None else [np.asarray(layer.bias).reshape(-1)])
    kept = tuple(x.shape[1 : len(x.shape) - summed])
    if (summed > 1 or new > 1) and list(kept).count(None) > 1:
        return None
    if summed > 1:
        x = state.reshape(call, "flat", (*kept, inputs), x)
    part = "product" if new > 1 else ""
    y = state.layer(
        call,
        part,
        lambda name: _L.Dense(units, use_bias=bias_axes is not None, activation=layer.activation, name=name),
        weights,
    )(x)
    return y if new == 1 else state.reshape(call, "", (*kept, *kernel.shape[summed:]), y)


def summed_and_new_axes(equation: str) -> tuple[str, str] | None:
    """(axes summed over, new axes) of ``ABC,CD->ABD``, "C" and "D", which a dense layer has; None for other products.

    Args:
        equation: without spaces; the second operand is the kernel.
    """
    given, _, output = equation.partition("->")
    values, kernel = given.split(",")
    summed = "".join(axis for axis in kernel if axis in values)
    new = kernel.removeprefix(summed)
    fits = kernel.startswith(summed) and values.endswith(summed) and output == values.removesuffix(summed) + new
    return (summed, new) if fits and summed and new else None


def _dot(call: Call, state: Rewrite) -> Tensor | None:
    """A normalized product is three operators."""
    layer = call.layer
    if not layer.normalize:
        return None
    axes = layer.axes if isinstance(layer.axes, tuple | list) else (layer.axes, layer.axes)
    first, second = call.inputs
    unit = [_unit_norm(call, state, "first", axes[0], first), _unit_norm(call, state, "second", axes[1], second)]
    return state.layer(call, "", lambda name: _L.Dot(layer.axes, name=name))(unit)


def _unit_norm(call: Call, state: Rewrite, part: str, axis: int, x: Tensor) -> Tensor:
    return state.layer(call, part, lambda name: _L.UnitNormalization(axis, name=name))(x)


PRODUCTS: dict[object, Rewriter] = {_L.EinsumDense: _einsum_dense, _L.Dot: _dot}
