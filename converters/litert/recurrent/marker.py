"""Tracing a recurrent layer as one operator, which the converter leaves whole."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any, cast

from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.lowering.recurrence import Recurrence
from tfcompress.converters.litert.recurrent.cell import ACTIVATIONS, GATES, Cell, Kind
from tfcompress.converters.litert.recurrent.fused import fits as is_fusible
from tfcompress.converters.litert.recurrent.layers import recurrent_layers, unrolled
from tfcompress.graphs.keras.call_graph import is_keras3
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["LEAST_STEPS", "OPERATOR", "as_markers", "marked"]

OPERATOR = "tfcompress.recurrent"
LEAST_STEPS = 4  # fewer steps unrolled are smaller than a loop

_KINDS: dict[object, Kind] = {
    tf_keras.layers.LSTM: "lstm",
    tf_keras.layers.GRU: "gru",
    tf_keras.layers.SimpleRNN: "rnn",
    keras.layers.LSTM: "lstm",
    keras.layers.GRU: "gru",
    keras.layers.SimpleRNN: "rnn",
}


@contextlib.contextmanager
def as_markers(model: FloatModel, *, fused_only: bool = False) -> Iterator[None]:
    """While inside, tracing the model makes one operator of each recurrent layer that has a form without steps.

    Others are unrolled, see `layers.unrolled`.

    Args:
        model: whose layers are meant.
        fused_only: the form is LiteRT's fused LSTM; else a loop will do as well.

    Raises:
        ConversionError: the number of time steps is open, or too large to unroll.
    """
    layers = [layer for layer in recurrent_layers(model) if _has_a_form(layer)]
    with unrolled(model, except_for=() if fused_only else layers):
        for layer in layers:
            layer.__dict__["call"] = _marking(layer, layer.call, fused_only=fused_only)
        try:
            yield
        finally:
            for layer in layers:
                del layer.__dict__["call"]


def _kind_of(layer: Any) -> Kind | None:
    return cast(Kind, layer.kind) if isinstance(layer, Recurrence) else _KINDS.get(type(layer))


def _functions(layer: Any) -> tuple[str, str]:
    """Names of the activation and of that of the gates."""
    cell = layer.cell
    functions = (cell.activation, getattr(cell, "recurrent_activation", cell.activation))
    first, second = (function if isinstance(function, str) else activation_name(function) for function in functions)
    if not is_keras3(layer):
        return first, second
    # The two Kerases mean other functions by one name; our tables use that of Keras 2.
    names = {"hard_sigmoid": "keras3_hard_sigmoid", "keras2_hard_sigmoid": "hard_sigmoid"}
    return names.get(first, first), names.get(second, second)


def _has_a_form(layer: Any) -> bool:
    plain = _kind_of(layer) is not None and not (layer.stateful or getattr(layer, "time_major", False))
    return plain and all(name in ACTIVATIONS for name in _functions(layer))  # RNN's cell may have no activation


def _marking(layer: Any, plain: Callable[..., Any], *, fused_only: bool) -> Callable[..., Any]:
    """The layer's `call` with a marker in the place of the steps, where the arguments allow one."""
    signature = inspect.signature(plain)

    @tf.autograph.experimental.do_not_convert
    @functools.wraps(plain)
    def call(*args: Any, **kwargs: object) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        x, states = given["sequences" if "sequences" in given else "inputs"], given.get("initial_state")
        if isinstance(x, list | tuple) and isinstance(layer, Recurrence):
            x, given["mask"] = x
        elif isinstance(x, list | tuple):
            x, *states = x
        states = [] if states is None else list(tf.nest.flatten(states))
        steps = x.shape[1]
        masks = [mask for mask in tf.nest.flatten(given.get("mask")) if mask is not None][:1]
        fits = x.shape.rank == 3 and None not in x.shape and x.dtype == tf.float32
        if not fits or steps < LEAST_STEPS:
            return plain(*args, **kwargs)
        cell = _cell_of(layer, x, given_state=bool(states), masked=bool(masks))
        if fused_only and not is_fusible(cell):
            return plain(*args, **kwargs)
        masks = [tf.reshape(tf.cast(mask, tf.bool), [1, steps]) for mask in masks]
        weights = [layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias]
        results = marked(cell, [x, *states, *masks], [tf.convert_to_tensor(w) for w in weights if w is not None])
        return results if layer.return_state else results[0]

    return call


def _cell_of(layer: Any, x: Any, *, given_state: bool, masked: bool) -> Cell:
    scope = tf.compat.v1.get_default_graph().get_name_scope()
    if layer.name not in scope.split("/"):
        scope = f"{scope}/{layer.name}" if scope else layer.name
    kind = _kind_of(layer)
    assert kind is not None
    peaks = {}
    if isinstance(layer, Recurrence):
        with tf.init_scope():
            peaks = {name: float(peak.numpy()) for name, peak in layer.peaks.items()}
    return Cell(
        kind,
        f"{scope}/{kind}",
        int(x.shape[1]),
        int(x.shape[2]),
        int(layer.units),
        *_functions(layer),
        reset_after=bool(getattr(layer.cell, "reset_after", True)),
        go_backwards=bool(layer.go_backwards),
        return_sequences=bool(layer.return_sequences),
        return_state=bool(layer.return_state),
        given_state=given_state,
        masked=masked,
        zero_masked=masked and bool(layer.zero_output_for_mask),
        peaks=peaks,
    )


def marked(cell: Cell, values: list[Any], weights: list[Any]) -> list[Any]:
    """The operator in a traced graph: the layer's output, then its states where it returns them.

    Args:
        cell: what it computes.
        values: the sequence [1, steps, features], the states [1, units] where they are given, the mask where there is.
        weights: kernel, recurrent kernel and, where there is one, bias, as a Keras layer has them.
    """
    assert weights[0].shape[1] == GATES[cell.kind] * cell.units
    shape = [1, cell.steps, cell.units] if cell.return_sequences else [1, cell.units]
    shapes = [shape, *([[1, cell.units]] * cell.states if cell.return_state else [])]
    text = json.dumps(cell.to_json())
    name = (
        f'name: "{OPERATOR}" attr {{ key: "tfl_fusable_op" value {{ b: true }} }} '
        f'attr {{ key: "cell" value {{ s: {text} }} }}'
    )

    # TFLiteConverter makes a function of this attribute an operator, whatever is in it.
    @tf.function(experimental_implements=name, autograph=False)
    def composite(*tensors: Any) -> Any:
        total = tf.add_n([tf.reduce_sum(tf.cast(tensor, tf.float32)) for tensor in tensors])
        return [tf.zeros(shape) + total for shape in shapes]

    return list(composite(*values, *weights))
