"""`merge_linear`: layers between which nothing is nonlinear any more, joined into one that computes the same.

A product of matrices is a matrix: a Dense or convolution without an activation, what normalizes its channels, and the
Dense or 1x1 convolution that alone reads it are one layer; so are two batch normalizations in a row.  They are joined
where that costs no more than it did, so that a bottleneck stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcompress.compression.structure.shrink import Shrunk
from tfcompress.graphs.keras.folding import affine_of, can_fold_into, fold
from tfcompress.graphs.keras.lineage import Lineage, Origin
from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.graphs.keras.replay import Call, Copies, calls_of, consumers_of, rebuild
from tfcompress.layer_names import patterns_match
from tfcompress.runtime import tf_keras

__all__ = ["merge_linear"]

_L = tf_keras.layers
_CONVOLUTIONS = (_L.Conv1D, _L.Conv2D, _L.Conv3D)
_DROPPING = (_L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D, _L.SpatialDropout3D, _L.GaussianDropout)


@dataclass(frozen=True)
class _Chain:
    """Calls of layers, each read by the next alone, that one layer can stand for.

    Attributes:
        calls: the first has the kernel or is a batch normalization; the last reads it.
    """

    calls: tuple[Call, ...]

    @property
    def layers(self) -> tuple[Any, ...]:
        """Their layers."""
        return tuple(call.layer for call in self.calls)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of their layers."""
        return tuple(layer.name for layer in self.layers)


def merge_linear(model: KerasModel, *, skip: Sequence[str] = ()) -> Shrunk:
    """Join neighbours that are linear together; in inference the model computes what it did, but for rounding.

    Args:
        model: flat tf_keras model; it is not changed.
        skip: patterns of layers that stay as they are.

    Returns:
        The model, the lineage of its layers, in which a joined one comes from the last of those that it stands for,
        and a note for each; the same model where there is nothing to join.
    """
    lineage, notes = Lineage({layer.name: Origin(layer.name) for layer in model.layers}), list[str]()
    while (chain := _first_chain(model, skip)) is not None:
        model = _joined(model, chain)
        *gone, last = chain.names
        lineage = lineage.then(Lineage({layer.name: Origin(layer.name) for layer in model.layers}, tuple(gone)))
        notes.append(f"layers: {', '.join(gone)} merged into {last}, with nothing but linear layers between")
    return Shrunk(model, lineage, tuple(notes))


def _first_chain(model: KerasModel, skip: Sequence[str]) -> _Chain | None:
    readers = consumers_of(model)
    for call in calls_of(model):
        chain = _chain_from(call, readers)
        if chain is not None and not any(patterns_match(name, skip) for name in chain.names):
            return chain
    return None


def _chain_from(first: Call, readers: dict[int, list[Call | None]]) -> _Chain | None:
    """The chain that begins with a call and can be joined at no greater cost."""
    norm = _is_norm(first.layer)
    if not (norm or _is_linear_kernel(first.layer)) or _is_shared(first.layer):
        return None
    calls = [first]
    while True:
        following = readers.get(id(calls[-1].old_outputs[0]), [])
        reader = following[0] if len(following) == 1 else None
        if reader is None or _is_shared(reader.layer):
            return None
        calls.append(reader)
        if norm and _is_norm(reader.layer):
            return _Chain(tuple(calls)) if _same_axis(first.layer, reader.layer) else None
        if not norm and _is_pointwise(reader.layer):
            return _Chain(tuple(calls)) if _is_no_dearer(first.layer, reader.layer) else None
        folds = len(calls) == 2 and _is_norm(reader.layer) and can_fold_into(first.layer, reader.layer)
        if not (_is_identity(reader.layer) or (folds and not norm)):
            return None


def _is_shared(layer: Any) -> bool:
    return len(layer.inbound_nodes) > 1


def _is_norm(layer: Layer) -> bool:
    return type(layer) is _L.BatchNormalization


def _same_axis(first: Any, second: Any) -> bool:
    return list(np.atleast_1d(first.axis)) == list(np.atleast_1d(second.axis))


def _is_linear(layer: Any) -> bool:
    return getattr(layer.activation, "__name__", "") == "linear"


def _is_linear_kernel(layer: Any) -> bool:
    return _has_kernel(layer) and _is_linear(layer)


def _has_kernel(layer: Any) -> bool:
    convolution = type(layer) in _CONVOLUTIONS and layer.groups == 1 and layer.data_format == "channels_last"
    return convolution or type(layer) is _L.Dense


def _is_pointwise(layer: Any) -> bool:
    """Whether each place of the output depends on that place of the input alone."""
    if not _has_kernel(layer):
        return False
    return type(layer) is _L.Dense or (max(layer.kernel_size) == 1 and max(layer.strides) == 1)


def _is_identity(layer: Any) -> bool:
    """Whether a layer gives, in inference, what it gets."""
    return type(layer) in _DROPPING or (type(layer) is _L.Activation and _is_linear(layer))


def _is_no_dearer(first: Any, second: Any) -> bool:
    """Whether the product of two kernels has at most as many weights as both: outputs have the same places."""
    rows, middle = int(np.prod(first.kernel.shape[:-1])), int(first.kernel.shape[-1])
    columns = int(second.kernel.shape[-1])
    return rows * columns <= rows * middle + middle * columns


def _joined(model: KerasModel, chain: _Chain) -> KerasModel:
    """A copy of the model in which one layer stands for the chain."""
    copies = Copies()
    last = chain.calls[-1]
    earlier = {id(call.old_outputs[0]) for call in chain.calls[:-1]}
    config, weights = _joined_norms(*chain.layers) if _is_norm(last.layer) else _joined_kernels(chain.layers)
    kind = type(chain.layers[0])

    def emit(call: Call) -> object:
        if id(call.old_outputs[0]) in earlier:
            return call.inputs[0]
        if call.old_outputs[0] is not last.old_outputs[0]:
            return copies.repeat(call)
        layer = kind.from_config({**config, "name": copies.unique_name(last.layer.name)})
        output = layer(call.inputs[0])
        layer.set_weights(weights)
        return output

    smaller: KerasModel = rebuild(model, emit)
    copies.copy_weights()
    return smaller


def _joined_kernels(layers: Sequence[Any]) -> tuple[dict[str, object], list[np.ndarray]]:
    """Settings and weights, float32, of a layer with a kernel that stands for all of them."""
    first, last = layers[0], layers[-1]
    norm = next((layer for layer in layers if _is_norm(layer)), None)
    values = fold(first, norm) if norm is not None else first.get_weights()
    kernel = np.asarray(values[0], np.float64)
    matrix = np.asarray(last.get_weights()[0], np.float64).reshape(kernel.shape[-1], -1)
    bias = np.asarray(values[1], np.float64) @ matrix if len(values) > 1 else np.zeros(matrix.shape[1])
    if last.use_bias:
        bias = bias + last.get_weights()[1]
    size = "units" if type(first) is _L.Dense else "filters"
    settings = {**first.get_config(), "use_bias": True, "activation": last.get_config()["activation"]}
    settings[size] = matrix.shape[1]
    return settings, [(kernel @ matrix).astype(np.float32), bias.astype(np.float32)]


def _joined_norms(*layers: Any) -> tuple[dict[str, object], list[np.ndarray]]:
    """Settings and weights, float32, of a batch normalization that stands for the first and the last."""
    first, last = layers[0], layers[-1]
    scale, shift = affine_of(last)
    gamma = (np.asarray(first.gamma, np.float64) if first.scale else 1.0) * scale
    beta = (np.asarray(first.beta, np.float64) if first.center else 0.0) * scale + shift
    statistics = [np.asarray(first.moving_mean), np.asarray(first.moving_variance)]
    return (
        {**first.get_config(), "scale": True, "center": True},
        [gamma.astype(np.float32), beta.astype(np.float32), *statistics],
    )
