"""A long recurrent layer as one layer that an int8 file has a form for, and whose weights can be quantized.

Written out, every step is a dozen layers, which takes minutes to build and hundreds of kilobytes to store.  LiteRT's
fused integer LSTM and a loop of 16-bit integers compute the same with states so fine that only the weights, the input
and the output need simulating.  LSTM: Hochreiter & Schmidhuber 1997; GRU: Cho et al. 2014; gates as Keras has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfcompress.compression.in_float import is_in_float
from tfcompress.compression.lowering.activations import activation_name
from tfcompress.graphs.keras.protocols import Config, Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.load.keras_versions.activations import translated_activation
from tfcompress.runtime import tf, tf_keras

__all__ = ["PEAKS", "Recurrence", "as_keras_layer", "can_recur", "is_masked", "without_peaks"]

_L = tf_keras.layers
State = Tensor | None  # None for zeros
Rounding = Callable[[Tensor, str], Tensor]
_KINDS = {_L.LSTM: "lstm", _L.GRU: "gru", _L.SimpleRNN: "rnn"}
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}
_HARD = ("hard_sigmoid", "keras3_hard_sigmoid")
_FUNCTIONS = ("sigmoid", "tanh", "relu", "linear", *_HARD)
_GATE_BOUND = 8.0  # a sigmoid or hyperbolic tangent is flat beyond
# Values whose largest magnitude the integer forms have to know: products with the two kernels, and states.
PEAKS = ("inputs", "recurrent", "output", "cell")


def can_recur(layer: Any) -> bool:
    """Whether a Keras LSTM, GRU or SimpleRNN has a form as a `Recurrence`."""
    functions = (layer.activation, getattr(layer, "recurrent_activation", layer.activation))
    plain = not (layer.stateful or layer.return_state or layer.time_major)
    return type(layer) in _KINDS and plain and all(activation_name(f) in _FUNCTIONS for f in functions)


def is_masked(call: Call) -> bool:
    """Whether a call of a recurrent layer has a mask, and nothing else but the sequence.

    Masked steps repeat the output before them, so that a layer that returns zeros for them is not meant.
    """
    mask = call.kwargs.get("mask")
    alone = mask is not None and len(call.inputs) == 2 and call.inputs[1] is mask
    return alone and not getattr(call.layer, "zero_output_for_mask", False)


@tf_keras.saving.register_keras_serializable("tfcompress")
class Recurrence(tf_keras.layers.Layer):
    """An LSTM, a GRU or a simple recurrent layer.

    Args:
        kind: `lstm`, `gru` or `rnn`.
        units: numbers that come out at each step.
        activation: name of the function of candidates and of the shown state.
        recurrent_activation: name of the function of the gates.
        use_bias: there is a bias.
        reset_after: the GRU's reset gate is behind the product with the recurrent kernel.
        go_backwards: the last step is computed first.
        return_sequences: all outputs are returned, in the order of computing; else the last one.

    Attributes:
        unroll: the steps are operators of their own, each rounded to 8 bits, as NPUs without loops need them.
        peaks: {name of `PEAKS`: largest magnitude so far}.
        constants: kernel and recurrent kernel to unroll with, in the place of those that a quantizer computes: of those
            with a scale for each output TFLiteConverter cannot make fully connected operators.
    """

    def __init__(
        self,
        kind: str,
        units: int,
        *,
        activation: str = "tanh",
        recurrent_activation: str = "sigmoid",
        use_bias: bool = True,
        reset_after: bool = True,
        go_backwards: bool = False,
        return_sequences: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.kind, self.units, self.use_bias = kind, units, use_bias
        self.activation, self.recurrent_activation = activation, recurrent_activation
        self.reset_after, self.go_backwards, self.return_sequences = reset_after, go_backwards, return_sequences
        self.return_state = self.stateful = self.time_major = self.unroll = self.zero_output_for_mask = False
        self.peaks: dict[str, Any] = {}
        self.constants: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def cell(self) -> Recurrence:
        """The layer itself: whoever looks for a Keras layer's cell finds weights and functions."""
        return self

    def build(self, input_shape: Any) -> None:
        """Make the weights, as the Keras layer of that kind has them, then the peaks."""
        columns = _GATES[self.kind] * self.units
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape  # without that of the mask
        self.kernel = self.add_weight("kernel", (int(shape[-1]), columns))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, columns), initializer="orthogonal")
        shape = (2, columns) if self.kind == "gru" and self.reset_after else (columns,)
        self.bias = self.add_weight("bias", shape, initializer="zeros") if self.use_bias else None
        self.peaks = {name: self.add_weight(f"peak_{name}", (), initializer="zeros", trainable=False) for name in PEAKS}
        super().build(input_shape)

    def call(self, inputs: Any, training: object = None) -> Tensor:
        """[batch, steps, features] to [batch, steps, units], or to [batch, units].

        Args:
            inputs: the sequence, or that and its mask, bool [batch, steps]: where it is False, the state and the output
                stay those of the step before.
            training: the peaks are taken in.
        """
        sequence, mask = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        if self.unroll:
            return self._unrolled(sequence, mask)
        outputs, peaks = self._loop(sequence, mask)
        if training:
            self._note(peaks)
        return outputs if self.return_sequences else outputs[:, -1]

    def measure(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        """Take in the peaks of a batch; see `call`."""
        self._note(self._loop(tf.convert_to_tensor(inputs), mask)[1])

    def _note(self, peaks: Sequence[Tensor]) -> None:
        for name, peak in zip(PEAKS, peaks, strict=True):
            self.peaks[name].assign(tf.maximum(self.peaks[name], tf.stop_gradient(peak)))

    def _biases(self) -> tuple[State, State]:
        """Of the products with the input and with the state; None without."""
        bias = self.bias
        if bias is None:
            return None, None
        return (bias[0], bias[1]) if len(bias.shape) == 2 else (bias, None)

    def _kernels(self) -> tuple[Tensor, Tensor]:
        """Those of the products with the input and with the state."""
        return (self.kernel, self.recurrent_kernel) if self.constants is None else self.constants

    def _loop(self, inputs: Tensor, mask: State) -> tuple[Tensor, list[Tensor]]:
        """All outputs in the order of computing, and the peaks."""
        products = self._with_bias(tf.matmul(inputs, self.kernel), self._biases()[0])
        zero = tf.zeros_like(products[:, 0, : self.units])
        first = [zero, zero, tf.zeros(()), tf.zeros(())]
        columns = int(products.shape[-1])
        # `backend.rnn` would mask the peaks too, which are no rows of the batch: so the mask goes with the rows.
        rows = products if mask is None else tf.concat([products, tf.cast(mask, products.dtype)[..., None]], axis=-1)

        def step(row: Any, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            h, c, recurrent, cell = states
            new, kept, before = self._step(row[:, :columns], h, c, lambda value, name: value)
            kept = c if kept is None else kept
            if mask is not None:
                new, kept = (tf.where(row[:, columns:] > 0, *pair) for pair in ((new, h), (kept, c)))
            return new, [new, kept, tf.maximum(recurrent, _size(before)), tf.maximum(cell, _size(kept))]

        _, outputs, last = tf_keras.backend.rnn(step, rows, first, go_backwards=self.go_backwards)
        outputs = tf.ensure_shape(outputs, [inputs.shape[0], inputs.shape[1], self.units])
        return outputs, [_size(products), last[2], _size(outputs), last[3]]

    def _unrolled(self, inputs: Tensor, mask: Any) -> Tensor:
        """The same with every value on an 8-bit grid."""
        # As Keras' Dense does it: the converter makes that fully connected.
        products = tf.tensordot(inputs, self._kernels()[0], [[2], [0]])
        products = self._rounded(self._with_bias(products, self._biases()[0]), "inputs")
        steps = range(int(inputs.shape[1]))
        h = c = None
        outputs = []
        for index in reversed(steps) if self.go_backwards else steps:
            new, kept, _ = self._step(products[:, index], h, c, self._rounded)
            here = None if mask is None else mask[:, index : index + 1]
            h, c = self._held(here, new, h, "output"), self._held(here, kept, c, "cell")
            outputs.append(h)
        return tf.stack(outputs, axis=1) if self.return_sequences else outputs[-1]

    def _held(self, mask: Any, new: Any, old: State, name: str) -> Any:
        """The new state, or where the mask is False the old one; both have the grid of `name`."""
        if mask is None or new is None:
            return new
        return self._rounded(tf.where(mask, new, tf.zeros_like(new) if old is None else old), name)

    @staticmethod
    def _with_bias(value: Tensor, bias: State) -> Tensor:
        return value if bias is None else tf.nn.bias_add(value, bias)

    def _rounded(self, value: Tensor, name: str) -> Tensor:
        """`value` on the grid of 8 bits that its name stands for."""
        if is_in_float():
            return value
        if name == "gate":
            return tf.quantization.fake_quant_with_min_max_args(value, 0.0, 255 / 256)
        if name == "tanh":
            return tf.quantization.fake_quant_with_min_max_args(value, -1.0, 127 / 128)
        if name == "sum":
            bound = tf.minimum(self._peak("inputs") + self._peak("recurrent"), _GATE_BOUND)
        elif name == "difference":
            bound = 2 * self._peak("output")
        else:
            bound = self._peak(name)
        return tf.quantization.fake_quant_with_min_max_vars(value, -bound, bound * 127 / 128)

    def _peak(self, name: str) -> Tensor:
        """One that is large enough for most where nothing was seen."""
        peak = self.peaks[name]
        return tf.where(peak > 0.0, tf.maximum(peak, 1e-3), 1.0 if name == "output" else _GATE_BOUND)

    def _function(self, name: str, value: Tensor, rounded: Rounding) -> Tensor:
        result = tf_keras.activations.get(_known(name))(value)
        return rounded(result, {"tanh": "tanh", **dict.fromkeys(("sigmoid", *_HARD), "gate")}.get(name, "output"))

    def _step(self, row: Tensor, h: State, c: State, rounded: Rounding) -> tuple[Tensor, State, State]:
        """(output, cell, product with the state) after one step; `h` and `c` may be None for zeros."""
        bias = self._biases()[1]
        before = None
        if h is not None:
            before = rounded(self._with_bias(tf.matmul(h, self._kernels()[1]), bias), "recurrent")
        elif bias is not None:
            before = tf.zeros_like(row) + bias
        return {"lstm": self._lstm, "gru": self._gru, "rnn": self._simple}[self.kind](row, h, c, before, rounded)

    def _lstm(self, row: Tensor, h: State, c: State, before: State, rounded: Rounding) -> tuple[Tensor, State, State]:
        del h
        i, f, g, o = _parts(_plus(row, before, rounded), 4)
        i, f, o = (self._function(self.recurrent_activation, gate, rounded) for gate in (i, f, o))
        new = rounded(i * self._function(self.activation, g, rounded), "cell")
        c = new if c is None else rounded(rounded(f * c, "cell") + new, "cell")
        h = rounded(o * self._function(self.activation, c, rounded), "output")
        return h, c, before

    def _gru(self, row: Tensor, h: State, c: State, before: State, rounded: Rounding) -> tuple[Tensor, State, State]:
        xz, xr, xh = _parts(row, 3)
        if self.reset_after:
            hz, hr, hh = (None,) * 3 if before is None else _parts(before, 3)
            z, r = (
                self._function(self.recurrent_activation, _plus(*pair, rounded), rounded)
                for pair in ((xz, hz), (xr, hr))
            )
            reset = None if hh is None else rounded(r * hh, "recurrent")
        else:
            hz, hr, _ = (None,) * 3 if before is None else _parts(before, 3)
            z, r = (
                self._function(self.recurrent_activation, _plus(*pair, rounded), rounded)
                for pair in ((xz, hz), (xr, hr))
            )
            kernel = self._kernels()[1][:, 2 * self.units :]
            reset = None if h is None else rounded(tf.matmul(rounded(r * h, "output"), kernel), "recurrent")
        candidate = self._function(self.activation, _plus(xh, reset, rounded), rounded)
        if h is None:
            return rounded(candidate - rounded(z * candidate, "output"), "output"), c, before
        change = rounded(z * rounded(h - candidate, "difference"), "difference")
        return rounded(candidate + change, "output"), c, before

    def _simple(self, row: Tensor, h: State, c: State, before: State, rounded: Rounding) -> tuple[Tensor, State, State]:
        del h
        return self._function(self.activation, _plus(row, before, rounded), rounded), c, before

    def get_config(self) -> Config:
        """Constructor arguments."""
        names = ("kind", "units", "activation", "recurrent_activation", "use_bias", "reset_after", "go_backwards")
        own = {name: getattr(self, name) for name in (*names, "return_sequences")}
        return {**super().get_config(), **own}

    @classmethod
    def of(cls, layer: Any, name: str) -> Recurrence:
        """The counterpart of a Keras layer for which `can_recur`."""
        return cls(
            _KINDS[type(layer)],
            int(layer.units),
            activation=activation_name(layer.activation),
            recurrent_activation=activation_name(getattr(layer, "recurrent_activation", layer.activation)),
            use_bias=bool(layer.use_bias),
            reset_after=bool(getattr(layer, "reset_after", True)),
            go_backwards=bool(layer.go_backwards),
            return_sequences=bool(layer.return_sequences),
            name=name,
        )


def as_keras_layer(layer: Recurrence) -> Any:
    """The Keras layer, not yet built, that a `Recurrence` stands for; it has the same weights, without the peaks."""
    names = ("units", "activation", "use_bias", "go_backwards", "return_sequences", "name")
    settings = {name: getattr(layer, name) for name in names}
    settings["activation"] = _known(layer.activation)
    if layer.kind != "rnn":
        settings["recurrent_activation"] = _known(layer.recurrent_activation)
    if layer.kind == "gru":
        settings["reset_after"] = layer.reset_after
    return next(kind for kind, name in _KINDS.items() if name == layer.kind)(**settings)


def _known(name: str) -> object:
    """What tf_keras takes for the activation that our tables call `name`."""
    own = name.removeprefix("keras3_")
    return name if own == name else translated_activation(own, to_keras3=False)


def _size(value: State) -> Tensor:
    return tf.zeros(()) if value is None else tf.stop_gradient(tf.reduce_max(tf.abs(value)))


def _parts(tensor: Tensor, count: int) -> list[Tensor]:
    """Equal parts of the last axis."""
    size = int(tensor.shape[-1]) // count
    return [tensor[:, index * size : (index + 1) * size] for index in range(count)]


def _plus(a: Tensor, b: State, rounded: Rounding) -> Tensor:
    return a if b is None else rounded(a + b, "sum")


def without_peaks(weights: list[np.ndarray]) -> list[np.ndarray]:
    """The weights of a `Recurrence` that its Keras layer has too."""
    return weights[: len(weights) - len(PEAKS)]
