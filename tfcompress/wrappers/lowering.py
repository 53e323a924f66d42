"""A model rewritten into the layers that an int8 file computes one by one, with the same function.

The simulation must quantize exactly where the file does.  So whatever LiteRT computes as several operators becomes
several layers here, and whatever it merges becomes one: batch normalization goes into the convolution before it,
activations that are operators of their own leave their layer, an average over the whole map becomes a MEAN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfcompress.runtime import tf_keras
from tfcompress.wrappers.folding import affine_of, can_fold_into, fold
from tfcompress.wrappers.graph import Call, Copies, consumers_of, flatten, rebuild

__all__ = ["Lowering", "lower"]

_L = tf_keras.layers


@dataclass
class Lowering:
    """What the lowering functions need to know about the graph.

    Attributes:
        consumers: {id of a tensor: the calls that read it}, None for a model output.
        copies: makes the new layers.
        freeze_batch_norm: batch normalization keeps its statistics, so that it can be folded.
        folded: ids of batch normalization layers that became part of the layer before.
    """

    consumers: dict[int, list[Call | None]]
    freeze_batch_norm: bool
    copies: Copies = field(default_factory=Copies)
    folded: set[int] = field(default_factory=set)

    def copy(self, call: Call) -> Any:
        """The call as it is, on a copy of its layer."""
        return self.copies.plain(call.layer)(*call.args, **call.kwargs)

    def variant(self, call: Call, *, name: str | None = None, **changes: Any) -> Any:
        """A copy of the call's layer with some of its configuration changed; weights are not copied."""

        def make() -> Any:
            config = {**call.layer.get_config(), **changes}
            config["name"] = self.copies.unique_name(name or call.layer.name)
            return type(call.layer).from_config(config)

        return self.copies.get((call.layer, "variant"), make)

    def new(self, call: Call, part: str, make: Callable[[str], Any]) -> Any:
        """A new layer that computes a part of the call's layer; `make` is given its name."""
        name = f"{call.layer.name}_{part}" if part else call.layer.name
        return self.copies.get((call.layer, part), lambda: make(self.copies.unique_name(name)))

    def is_output(self, call: Call) -> bool:
        """Whether the model returns what the call returns."""
        return any(None in self.consumers.get(id(tensor), []) for tensor in call.old_outputs)

    def sole_consumer(self, call: Call) -> Call | None:
        """The one call that reads this call's one output; None if there are more, or the model returns it."""
        if len(call.old_outputs) != 1:
            return None
        readers = self.consumers.get(id(call.old_outputs[0]), [])
        return readers[0] if len(readers) == 1 else None

    def batch_norm_after(self, call: Call) -> Any | None:
        """The frozen batch normalization that alone reads the call's output."""
        reader = self.sole_consumer(call)
        if reader is None or not self.freeze_batch_norm or type(reader.layer) is not _L.BatchNormalization:
            return None
        return reader.layer


def lower(model: Any, *, freeze_batch_norm: bool = True) -> Any:
    """The model, flat, in the layers that an int8 file computes.

    Args:
        model: sequential or functional tf_keras model; it is not changed.
        freeze_batch_norm: batch normalization keeps its statistics in training and is folded; else it stays a layer.
    """
    flat = flatten(model)
    lowering = Lowering(consumers_of(flat), freeze_batch_norm)

    def emit(call: Call) -> Any:
        function = _BY_CLASS.get(type(call.layer), _with_activation)
        return function(call, lowering)

    lowered = rebuild(flat, emit)
    lowering.copies.copy_weights()
    return lowered


def _apply_activation(call: Call, lowering: Lowering, tensor: Any) -> Any:
    """The activation of a layer as a layer of its own, after `tensor`."""
    activation = call.layer.activation
    name = "" if lowering.is_output(call) else getattr(activation, "__name__", "activation")
    return lowering.new(call, name, lambda name: _L.Activation(activation, name=name))(tensor)


def _fused(layer: Any) -> bool:
    """Whether the layer has no activation, or one that stays part of it."""
    activation = getattr(layer, "activation", None)
    return activation is None or getattr(activation, "__name__", "") in ("linear", "relu", "relu6")


def _splits(layer: Any) -> bool:
    return not _fused(layer) and type(layer) is not _L.Activation and type(layer) in _WITH_ACTIVATION


def _with_activation(call: Call, lowering: Lowering) -> Any:
    """A layer with its batch normalization folded in and, unless it fuses, its activation taken out."""
    layer = call.layer
    batch_norm = lowering.batch_norm_after(call)
    if batch_norm is not None and can_fold_into(layer, batch_norm):
        made = lowering.variant(call, use_bias=True)
        tensor = made(*call.args, **call.kwargs)
        made.set_weights(fold(layer, batch_norm))
        lowering.folded.add(id(batch_norm))
        return tensor
    if not _splits(layer):
        return lowering.copy(call)
    name = f"{layer.name}_linear" if lowering.is_output(call) else None
    made = lowering.variant(call, name=name, activation="linear")
    tensor = made(*call.args, **call.kwargs)
    made.set_weights(layer.get_weights())
    return _apply_activation(call, lowering, tensor)


def _batch_norm(call: Call, lowering: Lowering) -> Any:
    """Nothing, where it was folded; else a 1x1 depthwise convolution, the one int8 operator that does the same."""
    if id(call.layer) in lowering.folded:
        return call.inputs[0]
    if not lowering.freeze_batch_norm:
        return lowering.copy(call)
    scale, shift = affine_of(call.layer)
    axis = int(np.atleast_1d(call.layer.axis)[0]) % len(call.layer.input_shape)
    if axis != len(call.layer.input_shape) - 1:
        return lowering.copy(call)
    return channel_affine(call, lowering, scale, shift)


def channel_affine(call: Call, lowering: Lowering, scale: np.ndarray, shift: np.ndarray) -> Any:
    """``x * scale + shift`` for each channel of the last axis, as a 1x1 depthwise convolution."""
    x = call.inputs[0]
    channels = int(x.shape[-1])
    shape = tuple(x.shape[1:])
    if len(shape) != 3:
        x = lowering.new(call, "as_map", lambda name: _L.Reshape(_as_map(shape, channels), name=name))(x)
    layer = lowering.new(call, "", lambda name: _L.DepthwiseConv2D(1, name=name))
    y = layer(x)
    weights = [np.broadcast_to(values, [channels]).astype(np.float32) for values in (scale, shift)]
    layer.set_weights([weights[0].reshape(1, 1, channels, 1), weights[1]])
    if len(shape) != 3:
        y = lowering.new(call, "as_was", lambda name: _L.Reshape([-1 if d is None else d for d in shape], name=name))(y)
    return y


def _as_map(shape: Sequence[int | None], channels: int) -> tuple[int, int, int]:
    known = [size for size in shape[:-1] if size is not None]
    return (int(np.prod([1, *known])) if len(known) == len(shape) - 1 else -1, 1, channels)


def _separable(call: Call, lowering: Lowering) -> Any:
    """A separable convolution is two operators in the file: depthwise, then pointwise."""
    layer, rank = call.layer, len(call.inputs[0].shape) - 2
    config = layer.get_config()
    depthwise_class, pointwise_class = (_L.DepthwiseConv1D, _L.Conv1D) if rank == 1 else (_L.DepthwiseConv2D, _L.Conv2D)
    shared = {key: config[key] for key in ("strides", "padding", "dilation_rate", "kernel_size", "depth_multiplier")}
    if rank == 1:
        shared = {key: value[0] if isinstance(value, (tuple, list)) else value for key, value in shared.items()}
    depthwise = lowering.new(call, "depthwise", lambda name: depthwise_class(**shared, use_bias=False, name=name))
    fused = _fused(layer)
    pointwise = lowering.new(
        call,
        "" if fused or not lowering.is_output(call) else "linear",
        lambda name: pointwise_class(
            layer.filters, 1, use_bias=True, activation=layer.activation if fused else None, name=name
        ),
    )
    tensor = pointwise(depthwise(call.inputs[0]))
    weights = layer.get_weights()
    depthwise.set_weights(weights[:1])
    bias = weights[2] if layer.use_bias else np.zeros(layer.filters, np.float32)
    pointwise.set_weights([weights[1], bias])
    batch_norm = lowering.batch_norm_after(call)
    if batch_norm is not None and can_fold_into(pointwise, batch_norm):
        pointwise.set_weights(fold(pointwise, batch_norm))
        lowering.folded.add(id(batch_norm))
    return tensor if fused else _apply_activation(call, lowering, tensor)


def _average_pooling(call: Call, lowering: Lowering) -> Any:
    """A window over the whole map becomes MEAN: AVERAGE_POOL_2D would have to keep the coarse scale of its input."""
    layer = call.layer
    sizes = tuple(call.inputs[0].shape[1:-1])
    if tuple(np.atleast_1d(layer.pool_size)) != sizes or layer.padding != "valid":
        return lowering.copy(call)
    whole = {1: _L.GlobalAveragePooling1D, 2: _L.GlobalAveragePooling2D, 3: _L.GlobalAveragePooling3D}[len(sizes)]
    return lowering.new(call, "", lambda name: whole(keepdims=True, name=name))(call.inputs[0])


_WITH_ACTIVATION = (
    _L.Dense,
    _L.Conv1D,
    _L.Conv2D,
    _L.Conv3D,
    _L.DepthwiseConv1D,
    _L.DepthwiseConv2D,
    _L.Conv1DTranspose,
    _L.Conv2DTranspose,
    _L.EinsumDense,
)

_BY_CLASS: dict[Any, Callable[[Call, Lowering], Any]] = {
    _L.BatchNormalization: _batch_norm,
    _L.SeparableConv1D: _separable,
    _L.SeparableConv2D: _separable,
    _L.AveragePooling1D: _average_pooling,
    _L.AveragePooling2D: _average_pooling,
    _L.AveragePooling3D: _average_pooling,
}
