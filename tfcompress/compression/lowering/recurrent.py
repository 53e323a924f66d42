"""LSTM, GRU and plain recurrent layers written out step by step, with the operators that have int8 kernels.

LiteRT has fused integer kernels for them, but they take ranges that only its post-training calibration can give, not
those of fake quantization.  LSTM: Hochreiter & Schmidhuber 1997, gates in the order i, f, c, o; GRU: Cho et al. 2014 in
the form with the reset gate after the product ("v3", `reset_after`), gates in the order z, r, h (both as in Keras).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.lowering.recurrence import PEAKS, Recurrence, can_recur, is_masked
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.runtime import tf, tf_keras

__all__ = ["MAX_STEPS", "RECURRENT"]

_L = tf_keras.layers

# Each step is a dozen layers.  A layer of more than a few is one layer, see `recurrence`; one that has no such form is
# written out up to a limit, and beyond it stays whole, in float.
_FEW_STEPS = 8
MAX_STEPS = 128


def _can_write_out(call: Call) -> bool:
    layer, x = call.layer, call.inputs[0]
    expressible = ("tanh", "relu", "sigmoid", "hard_sigmoid", "keras3_hard_sigmoid", "linear")
    return (
        len(call.inputs) == 1
        and x.shape[1] is not None
        and x.shape[1] <= MAX_STEPS
        and activation_name(layer.activation) in expressible
        and activation_name(getattr(layer, "recurrent_activation", layer.activation)) in expressible
        and not (layer.stateful or layer.return_state or layer.time_major)
        and getattr(layer, "reset_after", True)
    )


def _steps(call: Call) -> list[int]:
    count = int(call.inputs[0].shape[1])
    return list(range(count))[::-1] if call.layer.go_backwards else list(range(count))


def _result(call: Call, state: Rewrite, hidden: list[Any]) -> Tensor:
    """The last step's output, or all of them in the order in which they were computed."""
    if not call.layer.return_sequences:
        return state.activation(call, "", "linear", hidden[-1])
    return tf.stack(hidden, axis=1)


def _product(state: Rewrite, call: Call, part: str, tensors: list[Tensor]) -> Tensor:
    return state.merge(call, part, _L.Multiply, tensors)


def _from_inputs(call: Call, state: Rewrite) -> tuple[Any, Any]:
    """What the kernel makes of the inputs of all steps at once, and the recurrent kernel."""
    kernel, recurrent, *bias = call.layer.get_weights()
    return state.dense(call, "inputs", call.inputs[0], kernel, bias[0] if bias else None), recurrent


def _lstm(call: Call, state: Rewrite) -> Tensor | None:
    if not _can_write_out(call):
        return None
    layer = call.layer
    inputs, recurrent = _from_inputs(call, state)
    hidden: list[Tensor] = []
    cell = None
    for step, index in enumerate(_steps(call)):
        gates = inputs[:, index]
        if hidden:
            gates = state.merge(
                call, f"gates_{step}", _L.Add, [gates, state.dense(call, "recurrent", hidden[-1], recurrent, None)]
            )
        i, f, c, o = _parts(gates, 4)
        i, f, o = (
            state.activation(call, f"{name}_{step}", layer.recurrent_activation, gate)
            for name, gate in (("input", i), ("forget", f), ("output", o))
        )
        new = _product(state, call, f"new_{step}", [i, state.activation(call, f"c_{step}", layer.activation, c)])
        if cell is not None:
            kept = _product(state, call, f"kept_{step}", [f, cell])
            new = state.merge(call, f"cell_{step}", _L.Add, [kept, new])
        cell = new
        shown = state.activation(call, f"shown_{step}", layer.activation, cell)
        hidden.append(_product(state, call, f"step_{step}", [o, shown]))
    return _result(call, state, hidden)


def _parts(tensor: Tensor, count: int) -> list[Any]:
    """A tensor [batch, features] cut into equal parts; slices, because the converter leaves some splits in float."""
    size = int(tensor.shape[-1]) // count
    return [tensor[:, index * size : (index + 1) * size] for index in range(count)]


def _sum(x: Tensor, other: object) -> Tensor:
    """``x + other``; `other` may be constant zeros, which nothing is added for."""
    return x if other is None or not _counts(other) else tf.add(x, other)


def _times(x: Tensor, other: object) -> Any:
    """``x * other``; None for constant zeros."""
    return tf.multiply(x, other) if _counts(other) else None


def _counts(value: object) -> bool:
    return not isinstance(value, np.ndarray) or bool(value.any())


def _gru(call: Call, state: Rewrite) -> Tensor | None:
    if not _can_write_out(call):
        return None
    layer, x = call.layer, call.inputs[0]
    kernel, recurrent, *bias = layer.get_weights()
    input_bias, recurrent_bias = (bias[0][0], bias[0][1]) if bias else (None, np.zeros(3 * layer.units, np.float32))
    inputs = state.dense(call, "inputs", x, kernel, input_bias)
    hidden: list[Tensor] = []
    for step, index in enumerate(_steps(call)):
        xz, xr, xh = _parts(inputs[:, index], 3)
        # Before the first step the state is zero, and the product with it the bias alone.
        before = state.dense(call, "recurrent", hidden[-1], recurrent, recurrent_bias) if hidden else None
        hz, hr, hh = np.split(recurrent_bias, 3) if before is None else _parts(before, 3)
        z = state.activation(call, f"update_{step}", layer.recurrent_activation, _sum(xz, hz))
        r = state.activation(call, f"reset_{step}", layer.recurrent_activation, _sum(xr, hr))
        candidate = state.activation(call, f"candidate_{step}", layer.activation, _sum(xh, _times(r, hh)))
        # z * previous + (1 - z) * candidate, with one product
        if hidden:
            change = state.merge(call, f"change_{step}", _L.Subtract, [hidden[-1], candidate])
            kept = _product(state, call, f"kept_{step}", [z, change])
            hidden.append(state.merge(call, f"step_{step}", _L.Add, [candidate, kept]))
        else:
            gone = _product(state, call, f"gone_{step}", [z, candidate])
            hidden.append(state.merge(call, f"step_{step}", _L.Subtract, [candidate, gone]))
    return _result(call, state, hidden)


def _simple_rnn(call: Call, state: Rewrite) -> Tensor | None:
    if not _can_write_out(call):
        return None
    layer = call.layer
    inputs, recurrent = _from_inputs(call, state)
    hidden: list[Any] = []
    for step, index in enumerate(_steps(call)):
        total = inputs[:, index]
        if hidden:
            before = state.dense(call, "recurrent", hidden[-1], recurrent, None)
            total = state.merge(call, f"sum_{step}", _L.Add, [total, before])
        hidden.append(state.activation(call, f"step_{step}", layer.activation, total))
    return _result(call, state, hidden)


def _written(write: Rewriter) -> Rewriter:
    """Short layers step by step, long ones as one layer."""

    def rewriter(call: Call, state: Rewrite) -> Any:
        layer, shape, masked = call.layer, call.inputs[0].shape, is_masked(call)
        if (len(call.inputs) != 1 and not masked) or shape[1] is None or not can_recur(layer):
            return write(call, state)
        written = write(call, state) if shape[1] <= _FEW_STEPS and not masked else None
        if written is not None:
            return written
        weights = [*layer.get_weights(), *[np.zeros((), np.float32)] * len(PEAKS)]
        inputs = list(call.inputs) if masked else call.inputs[0]
        return state.layer(call, "", lambda name: Recurrence.of(layer, name), weights)(inputs)

    return rewriter


_BY_CLASS = {_L.LSTM: _lstm, _L.GRU: _gru, _L.SimpleRNN: _simple_rnn}
RECURRENT: dict[object, Rewriter] = {kind: _written(write) for kind, write in _BY_CLASS.items()}
