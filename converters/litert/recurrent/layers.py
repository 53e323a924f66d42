"""Recurrent layers without loops: every time step becomes operators of its own.

What Keras makes of a loop needs TensorList operators, which only TensorFlow's Flex delegate has.  Unrolled, a layer is
matrix products, sigmoids and products, which both engines quantize and NPUs take; its weights are stored once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from tfcompress.compression.lowering.recurrence import Recurrence
from tfcompress.converters.litert.patterns import layers_by_tensor
from tfcompress.errors import ConversionError
from tfcompress.graphs.tensorflow.private_names import (
    quantized_variables,
    recurrent_backend,
    set_fused_loop,
    uses_fused_loop,
)
from tfcompress.graphs.tflite import TfliteFile
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.tensor_info import have_open_sizes

__all__ = ["MOST_STEPS", "recurrent_layers", "state_tensors", "unrolled", "unrolled_note"]

# What is cheap in a cell: all but its matrix products.
_CELL_OPERATORS = ("ADD", "MUL", "SUB", "TANH", "LOGISTIC", "SLICE", "RESHAPE")
MOST_STEPS = 512  # beyond this the graph takes minutes to convert


def recurrent_layers(model: FloatModel) -> list[Any]:
    """The model's layers that step through time, those inside of `Bidirectional` too."""
    layers: list[Any] = []
    for layer in all_layers(model.keras_model):
        inner = [getattr(layer, name, None) for name in ("forward_layer", "backward_layer")]
        layers += [
            each for each in (layer, *inner) if each is not None and hasattr(each, "unroll") and hasattr(each, "cell")
        ]
    return list({id(layer): layer for layer in layers}.values())


def state_tensors(model: FloatModel, file: TfliteFile) -> tuple[str, ...]:
    """Output tensors of the operators that carry the states of unrolled recurrent layers from step to step.

    A state that is rounded to 8 bits at every step drifts: LiteRT's own integer LSTM has a 16-bit cell state for that
    reason (LiteRT, "8-bit quantization specification", and `UNIDIRECTIONAL_SEQUENCE_LSTM`).

    Args:
        model: whose recurrent layers are meant.
        file: its float .tflite.
    """
    names = {layer.name for layer in recurrent_layers(model)}
    owners = layers_by_tensor(model, file) if names else {}
    return tuple(
        file.main.tensors[index].name
        for operator in file.main.operators
        for index in operator.outputs
        if operator.name in _CELL_OPERATORS and names.intersection(owners.get(index, ()))
    )


@contextlib.contextmanager
def unrolled(model: FloatModel, *, except_for: Collection[Any] = ()) -> Iterator[None]:
    """While inside, tracing the model unrolls its recurrent layers.

    Args:
        model: whose layers are meant.
        except_for: layers that may have any number of steps, because they are seldom unrolled.

    Raises:
        ConversionError: the number of time steps is open, or too large.
    """
    layers = recurrent_layers(model)
    for layer in layers:
        _check_steps(model, layer, limited=not any(layer is other for other in except_for))
    if not layers:
        yield
        return
    before = [(layer, layer.unroll, uses_fused_loop(layer)) for layer in layers]
    trained = _trained_kernels(model)
    try:
        for layer, kernels in trained:
            layer.__dict__["constants"] = kernels
        for layer in layers:
            _set_loop(layer, unroll=True, fused=False)
        with _unrolled_convolutional_loops():
            yield
    finally:
        for layer, unroll, fused in before:
            _set_loop(layer, unroll=unroll, fused=bool(fused))
        for layer, _ in trained:
            layer.__dict__["constants"] = None


def unrolled_note(model: FloatModel, reason: str) -> tuple[str, ...]:
    """What a reader is told of a model whose recurrent layers are unrolled, and why; nothing for one without any."""
    note = f"recurrent layers are unrolled, an operator for each step: {reason}"
    return (note,) if recurrent_layers(model) else ()


def _trained_kernels(model: FloatModel) -> list[tuple[Any, tuple[Any, ...]]]:
    """Recurrent layers inside of quantizing wrappers, and their two kernels as the quantizers make them."""
    wrappers = [
        layer for layer in all_layers(model.keras_model) if isinstance(getattr(layer, "layer", None), Recurrence)
    ]
    return [
        (
            wrapper.layer,
            tuple(np.asarray(make(value, False, weights)) for value, make, weights in quantized_variables(wrapper)),
        )
        for wrapper in wrappers
    ]


@contextlib.contextmanager
def _unrolled_convolutional_loops() -> Iterator[None]:
    """tf_keras' ConvLSTM refuses `unroll`, but runs `backend.rnn`, which knows it."""
    plain = recurrent_backend.rnn
    recurrent_backend.rnn = functools.partial(plain, unroll=True)
    try:
        yield
    finally:
        recurrent_backend.rnn = plain


def _set_loop(layer: Any, *, unroll: bool, fused: bool) -> None:
    # tf_keras takes a fused loop, whatever `unroll` says, where it decided so when the layer was made.
    layer.unroll = unroll
    if uses_fused_loop(layer) is not None:
        set_fused_loop(layer, fused)


def _check_steps(model: FloatModel, layer: Any, *, limited: bool) -> None:
    shape = getattr(layer, "input_shape", None) or getattr(getattr(layer, "input", None), "shape", None)
    steps = shape[1] if shape is not None and len(shape) > 1 else None
    if shape is not None and steps is None and have_open_sizes(model.inputs):
        raise ConversionError(
            f"{model.name}: layer {layer.name!r} has an open number of time steps; phones need it fixed: "
            "give --calibration=DATA of the wanted length, or make the model with Input(shape=(steps, features))"
        )
    if limited and steps is not None and steps > MOST_STEPS:
        raise ConversionError(
            f"{model.name}: layer {layer.name!r} has {steps} time steps, at most {MOST_STEPS} can be unrolled; "
            "feed shorter windows"
        )
