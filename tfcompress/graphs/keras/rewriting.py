"""Rewriting a flat model: each call of a layer becomes other layers with the same function and the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfcompress.graphs.keras.protocols import KerasModel, Layer, Tensor
from tfcompress.graphs.keras.replay import Call, Copies, consumers_of, flatten, is_model, rebuild
from tfcompress.runtime import tf_keras

__all__ = ["Rewrite", "Rewriter", "rewrite"]

_L = tf_keras.layers
Array = Tensor | np.ndarray


@dataclass
class Rewrite:
    """What a rewriting function can ask and make.

    Attributes:
        consumers: {id of a tensor: the calls that read it}, None for a model output.
        freeze_batch_norm: batch normalization keeps its statistics in training, so that it can be folded.
        copies: makes the new layers, once for each old one.
        weights: layers made and the weights they get when all are built.
        folded: ids of batch normalization layers that became part of the layer before.
    """

    consumers: dict[int, list[Call | None]]
    freeze_batch_norm: bool = True
    copies: Copies = field(default_factory=Copies)
    weights: list[tuple[Layer, list[np.ndarray]]] = field(default_factory=list)
    folded: set[int] = field(default_factory=set)

    def layer(
        self, call: Call, part: str, make: Callable[[str], Layer], weights: Sequence[object] | None = None
    ) -> Any:
        """The new layer that computes a part of the call's layer.

        Args:
            call: the call that is rewritten.
            part: appended to the layer's name; empty for the part that keeps the name.
            make: makes the layer, given its name.
            weights: what the layer gets once it is built; None leaves it as it was made.
        """

        def new() -> Layer:
            built = make(self.copies.unique_name(f"{call.layer.name}_{part}" if part else call.layer.name))
            if weights is not None:
                self.weights.append((built, [np.asarray(value) for value in weights]))
            return built

        return self.copies.get((call.layer, part), new)

    def variant(self, call: Call, weights: Sequence[object], *, part: str = "", **changes: object) -> Tensor:
        """The call on a layer of the same class with some of its configuration changed."""

        def make(name: str) -> Layer:
            return type(call.layer).from_config({**call.layer.get_config(), **changes, "name": name})

        return self.layer(call, part, make, weights)(*call.args, **call.kwargs)

    def dense(self, call: Call, part: str, x: Tensor, kernel: Array, bias: Array | None) -> Tensor:
        """``x @ kernel + bias`` by a Dense layer; kernel [inputs, outputs], bias [outputs] or None."""
        values = [kernel] if bias is None else [kernel, bias]
        units, use_bias = int(kernel.shape[-1]), bias is not None
        return self.layer(call, part, lambda name: _L.Dense(units, use_bias=use_bias, name=name), values)(x)

    def merge(self, call: Call, part: str, kind: Callable[..., Layer], tensors: Sequence[Tensor]) -> Tensor:
        """A merging layer, such as `Add`, of tensors that may broadcast."""
        return self.layer(call, part, lambda name: kind(name=name))(tensors)

    def activation(self, call: Call, part: str, function: object, x: Tensor) -> Tensor:
        """An activation as a layer."""
        return self.layer(call, part, lambda name: _L.Activation(function, name=name))(x)

    def reshape(self, call: Call, part: str, shape: Iterable[int | None], x: Tensor) -> Tensor:
        """`x` in another shape; `shape` is without the batch dimension, None or -1 for one size that is not known."""
        target = [-1 if size is None else int(size) for size in shape]
        return self.layer(call, part, lambda name: _L.Reshape(target, name=name))(x)

    def affine(self, call: Call, x: Tensor, scale: object, shift: object, *, part: str = "") -> Tensor:
        """``x * scale + shift`` for each channel of the last axis, as a 1x1 depthwise convolution.

        It is the one int8 operator that does both, with a weight scale per channel and an int32 shift.
        """
        channels, shape = int(x.shape[-1]), tuple(x.shape[1:])
        values = [np.broadcast_to(np.asarray(v, np.float32).reshape(-1), [channels]) for v in (scale, shift)]
        weights = [values[0].reshape(1, 1, channels, 1), values[1]]
        layer = self.layer(call, part, lambda name: _L.DepthwiseConv2D(1, name=name), weights)
        if len(shape) == 3:
            return layer(x)
        fixed = [size for size in shape[:-1] if size is not None]
        rows = int(np.prod([1, *fixed])) if len(fixed) == len(shape) - 1 else -1
        prefix = f"{part}_" if part else ""
        as_map = self.reshape(call, f"{prefix}as_map", (rows, 1, channels), x)
        return self.reshape(call, f"{prefix}as_was", shape, layer(as_map))

    def is_output(self, call: Call) -> bool:
        """Whether the model returns what the call returns."""
        return any(None in self.consumers.get(id(tensor), []) for tensor in call.old_outputs)

    def batch_norm_after(self, call: Call) -> Any | None:
        """The frozen batch normalization that alone reads the call's one output; None where there is none."""
        if not self.freeze_batch_norm or len(call.old_outputs) != 1:
            return None
        readers = self.consumers.get(id(call.old_outputs[0]), [])
        if len(readers) != 1 or readers[0] is None or type(readers[0].layer) is not _L.BatchNormalization:
            return None
        return readers[0].layer

    def relu_after(self, tensor: Tensor) -> str | None:
        """The name of the ReLU, `relu` or `relu6`, that alone reads a tensor; it counts as folded from now on."""
        readers = self.consumers.get(id(tensor), [])
        if len(readers) != 1 or readers[0] is None or len(readers[0].layer.inbound_nodes) != 1:
            return None
        layer = readers[0].layer
        name = None
        if type(layer) is _L.Activation:
            name = getattr(layer.activation, "__name__", None)
        elif type(layer) is _L.ReLU and not layer.negative_slope and not layer.threshold:
            name = {None: "relu", 6.0: "relu6"}.get(layer.max_value)
        if name not in ("relu", "relu6") or self.is_output(readers[0]):
            return None
        self.folded.add(id(layer))
        return name


# Returns what replaces the call's outputs; None leaves the call as it is.
Rewriter = Callable[[Call, Rewrite], object]


def rewrite(
    model: KerasModel, rewriters: Mapping[object, Rewriter], *, freeze_batch_norm: bool = True
) -> tuple[KerasModel, bool]:
    """One pass over a flat model.

    Args:
        model: flat tf_keras model; it is not changed.
        rewriters: {layer class: function}.
        freeze_batch_norm: see `Rewrite`.

    Returns:
        The new flat model, weights included, and whether any call was rewritten.
    """
    if not any(type(layer) in rewriters for layer in model.layers):
        return model, False
    state = Rewrite(consumers_of(model), freeze_batch_norm)
    changed = False

    def emit(call: Call) -> object:
        nonlocal changed
        rewriter = rewriters.get(type(call.layer))
        outputs = rewriter(call, state) if rewriter is not None else None
        if outputs is None:
            return state.copies.repeat(call)
        changed = True
        return outputs

    new = rebuild(model, emit)
    state.copies.copy_weights()
    for layer, values in state.weights:
        layer.set_weights(values)
    # A rewriter may have brought in a nested model, out of a TimeDistributed layer.
    return (flatten(new) if any(is_model(layer) for layer in new.layers) else new), changed
