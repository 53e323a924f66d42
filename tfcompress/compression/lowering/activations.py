"""Activation functions as the operators that an int8 file computes them with.

`hard_sigmoid` is relu6(x + 3) / 6 in Keras 3 and clip(0.2 x + 0.5, 0, 1) in Keras 2 (the libraries' reference pages).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite
from tfcompress.runtime import tf, tf_keras

__all__ = ["activation_layers", "activation_name", "elu_layer", "fused_activation", "relu_layer"]

_L = tf_keras.layers

# (call, state, name of the last layer's part, input) -> output
_Writer = Callable[[Call, Rewrite, str, Any], Any]


def activation_name(function: object) -> str:
    """The name of an activation, a function or a layer, that our tables use."""
    name = str(getattr(function, "__name__", type(function).__name__))
    return {"keras3_relu6": "relu6", "silu": "swish", "keras3_hard_swish": "keras3_hard_silu"}.get(name, name)


def fused_activation(function: object) -> bool:
    """Whether there is no activation, or one that LiteRT merges into the operator before it."""
    return function is None or activation_name(function) in ("linear", "relu", "relu6")


def activation_layers(call: Call, state: Rewrite, function: object, x: Tensor) -> Tensor:
    """`function` of `x` as layers; the last one has the call's name where the model returns it.

    Args:
        call: of the layer that has the activation.
        state: makes the layers.
        function: an activation that does not fuse.
        x: its input.
    """
    name = activation_name(function)
    is_layer = isinstance(call.layer, _L.Activation)
    part = "" if is_layer or state.is_output(call) else name
    write = _WRITERS.get(name)
    if write is not None:
        return write(call, state, part, x)
    return state.activation(call, part, function, x)


def _swish(call: Call, state: Rewrite, part: str, x: Tensor) -> Tensor:
    gate = state.activation(call, "gate", "sigmoid", x)
    return state.merge(call, part, _L.Multiply, [x, gate])


def _ramp(call: Call, state: Rewrite, x: Tensor, scale: float, offset: float, top: float, part: str) -> Tensor:
    """``clip(scale * x + offset, 0, top)``."""
    if scale != 1.0:
        x = state.layer(call, "slope", lambda name: _L.Rescaling(scale, name=name))(x)
    x = state.layer(call, "offset", lambda name: _L.Rescaling(1.0, offset, name=name))(x)
    return state.layer(call, part, lambda name: _L.ReLU(top, name=name))(x)


def _hard_sigmoid_keras2(call: Call, state: Rewrite, part: str, x: Tensor) -> Tensor:
    # Six times the ramp, then a sixth: LiteRT has an int8 kernel for a clip at 6.
    ramp = _ramp(call, state, x, 1.2, 3.0, 6.0, "ramp")
    return state.layer(call, part, lambda name: _L.Rescaling(1 / 6, name=name))(ramp)


def _hard_sigmoid(call: Call, state: Rewrite, part: str, x: Tensor) -> Tensor:
    ramp = _ramp(call, state, x, 1.0, 3.0, 6.0, "ramp")
    return state.layer(call, part, lambda name: _L.Rescaling(1 / 6, name=name))(ramp)


def _leaky_relu(call: Call, state: Rewrite, part: str, x: Tensor) -> Tensor:
    return state.layer(call, part, lambda name: _L.LeakyReLU(alpha=0.2, name=name))(x)


def _elu(call: Call, state: Rewrite, part: str, x: Tensor, *, alpha: float = 1.0, scale: float = 1.0) -> Tensor:
    """``scale * (relu(x) + alpha * (exp(min(x, 0)) - 1))``: LiteRT has an int8 EXP, but the converter no int8 ELU."""

    def factor(name: str, by: float, offset: float, value: object) -> Any:
        return state.layer(call, name, lambda name: _L.Rescaling(by, offset, name=name))(value)

    above = state.layer(call, "above", lambda name: _L.ReLU(name=name))(x)
    below = state.layer(call, "below", lambda name: _L.ReLU(name=name))(factor("flipped", -1.0, 0.0, x))
    power = state.activation(call, "power", "exponential", factor("minimum", -1.0, 0.0, below))
    curve = factor("curve", 1.0, -1.0, power)
    if alpha * scale != 1.0:
        curve = factor("curve_scaled", alpha * scale, 0.0, curve)
    if scale != 1.0:
        above = factor("above_scaled", scale, 0.0, above)
    return state.merge(call, part, _L.Add, [above, curve])


def _selu(call: Call, state: Rewrite, part: str, x: Tensor) -> Tensor:
    # Klambauer et al. 2017, equation 2.
    return _elu(call, state, part, x, alpha=1.6732632423543772, scale=1.0507009873554805)


def elu_layer(call: Call, state: Rewrite) -> Tensor:
    """The `ELU` layer as int8 operators."""
    return _elu(call, state, "", call.inputs[0], alpha=float(call.layer.alpha))


def relu_layer(call: Call, state: Rewrite) -> Tensor | None:
    """A `ReLU` layer with a slope as a `LeakyReLU`, with a maximum other than 6 as one with 6 between two scalings."""
    layer, x = call.layer, call.inputs[0]
    if layer.negative_slope and not layer.threshold and layer.max_value is None:
        return state.layer(call, "", lambda name: _L.LeakyReLU(alpha=float(layer.negative_slope), name=name))(x)
    if layer.threshold or layer.negative_slope or layer.max_value in (None, 0.0, 6.0):
        return None
    share = float(layer.max_value) / 6
    scaled = state.layer(call, "scaled", lambda name: _L.Rescaling(1 / share, name=name))(x)
    clipped = state.layer(call, "clipped", lambda name: _L.ReLU(6.0, name=name))(scaled)
    return state.layer(call, "", lambda name: _L.Rescaling(share, name=name))(clipped)


def _softplus(call: Call, state: Rewrite, part: str, x: Tensor) -> Any:
    """``relu(x) - log(sigmoid(|x|))``: nothing in it grows as exp(x) does, which would take the whole int8 range."""
    above = state.layer(call, "above", lambda name: _L.ReLU(name=name))(x)
    flipped = state.layer(call, "flipped", lambda name: _L.Rescaling(-1.0, name=name))(x)
    below = state.layer(call, "below", lambda name: _L.ReLU(name=name))(flipped)
    share = state.activation(call, "share", "sigmoid", state.merge(call, "size", _L.Add, [above, below]))
    return state.merge(call, part, _L.Subtract, [above, tf.math.log(share)])


def _mish(call: Call, state: Rewrite, part: str, x: Tensor) -> Any:
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    gate = state.activation(call, "gate", "tanh", _softplus(call, state, "softplus_of", x))
    return state.merge(call, part, _L.Multiply, [x, gate])


_WRITERS: dict[str, _Writer] = {
    "elu": _elu,
    "selu": _selu,
    "mish": _mish,
    "softplus": _softplus,
    "swish": _swish,
    "hard_sigmoid": _hard_sigmoid_keras2,
    "keras3_celu": _elu,
    "keras3_hard_sigmoid": _hard_sigmoid,
    "keras3_leaky_relu": _leaky_relu,
}
