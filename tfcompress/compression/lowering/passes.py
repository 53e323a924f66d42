"""A model rewritten into the layers that an int8 file computes one by one, with the same function.

The simulation must quantize exactly where the file does.  So whatever LiteRT computes as several operators becomes
several layers here, and whatever it merges becomes one: batch normalization goes into the convolution before it,
activations that are operators of their own leave their layer, an average over the whole map becomes a MEAN, and equal
layers on one tensor become one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.compression.lowering.activations import (
    activation_layers,
    activation_name,
    elu_layer,
    fused_activation,
    relu_layer,
)
from tfcompress.compression.lowering.attention import ATTENTION
from tfcompress.compression.lowering.common_subexpressions import merge_common_subexpressions
from tfcompress.compression.lowering.composites import COMPOSITES
from tfcompress.compression.lowering.convolutions import CONVOLUTIONS
from tfcompress.compression.lowering.explicit_masks import with_explicit_masks
from tfcompress.compression.lowering.hard_swish import HARD_SWISH
from tfcompress.compression.lowering.operators import OPERATORS
from tfcompress.compression.lowering.own_layers import own_layers
from tfcompress.compression.lowering.products import PRODUCTS
from tfcompress.compression.lowering.recorded_code import RECORDED_CODE
from tfcompress.compression.lowering.recurrent import RECURRENT
from tfcompress.graphs.keras.folding import affine_of, can_fold_into, fold
from tfcompress.graphs.keras.protocols import KerasModel, Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter, rewrite
from tfcompress.runtime import tf_keras

__all__ = ["lower"]

_L = tf_keras.layers

# Composites hold composites (Bidirectional an LSTM, TimeDistributed a model); deeper ones stay whole.
_DEPTH = 6

_EXPANDED: dict[object, Rewriter] = {
    **COMPOSITES,
    **PRODUCTS,
    **ATTENTION,
    **RECURRENT,
    **RECORDED_CODE,
    **OPERATORS,
}


def lower(model: KerasModel, *, freeze_batch_norm: bool = True) -> Any:
    """The model, flat, in the layers that an int8 file computes.

    Args:
        model: sequential or functional tf_keras model; it is not changed.
        freeze_batch_norm: batch normalization keeps its statistics in training and is folded; else it stays a layer.
    """
    current = with_explicit_masks(model)
    for _ in range(_DEPTH):
        current, changed = rewrite(current, {**own_layers(current), **_EXPANDED})
        if not changed:
            break
    current = merge_common_subexpressions(current)
    current, _ = rewrite(current, HARD_SWISH)
    current, _ = rewrite(current, CONVOLUTIONS, freeze_batch_norm=freeze_batch_norm)
    return rewrite(current, _SINGLE, freeze_batch_norm=freeze_batch_norm)[0]


def _kernel_layer(call: Call, state: Rewrite) -> Tensor | None:
    """A layer with its batch normalization folded in or, unless it fuses, its activation taken out."""
    layer = call.layer
    batch_norm = state.batch_norm_after(call)
    if batch_norm is not None and can_fold_into(layer, batch_norm):
        state.folded.add(id(batch_norm))
        return state.variant(call, fold(layer, batch_norm), use_bias=True)
    if activation_name(layer.activation) == "linear":
        return None
    part = "linear" if state.is_output(call) else ""
    tensor = state.variant(call, layer.get_weights(), part=part, activation="linear")
    return activation_layers(call, state, layer.activation, tensor)


def _batch_norm(call: Call, state: Rewrite) -> Tensor | None:
    """Nothing, where it was folded; else a scale and a shift per channel."""
    layer = call.layer
    if id(layer) in state.folded:
        return call.inputs[0]
    last_axis = len(call.inputs[0].shape) - 1
    if not state.freeze_batch_norm or list(np.atleast_1d(layer.axis)) != [last_axis]:
        return None
    return state.affine(call, call.inputs[0], *affine_of(layer))


def _average_pooling(call: Call, state: Rewrite) -> Tensor | None:
    """A window over the whole map becomes MEAN: AVERAGE_POOL_2D would have to keep the coarse scale of its input."""
    layer = call.layer
    sizes = tuple(call.inputs[0].shape[1:-1])
    if tuple(np.atleast_1d(layer.pool_size)) != sizes or layer.padding != "valid":
        return None
    whole = {1: _L.GlobalAveragePooling1D, 2: _L.GlobalAveragePooling2D, 3: _L.GlobalAveragePooling3D}[len(sizes)]
    return state.layer(call, "", lambda name: whole(keepdims=True, name=name))(call.inputs[0])


def _activation(call: Call, state: Rewrite) -> Tensor | None:
    """An activation layer whose function is several operators."""
    if fused_activation(call.layer.activation):
        return None
    return activation_layers(call, state, call.layer.activation, call.inputs[0])


_SINGLE: dict[object, Rewriter] = {
    _L.Dense: _kernel_layer,
    _L.Conv2D: _kernel_layer,
    _L.Conv3D: _kernel_layer,
    _L.DepthwiseConv2D: _kernel_layer,
    _L.Conv2DTranspose: _kernel_layer,
    _L.EinsumDense: _kernel_layer,
    _L.Activation: _activation,
    _L.ELU: elu_layer,
    _L.ReLU: relu_layer,
    _L.BatchNormalization: _batch_norm,
    _L.AveragePooling1D: _average_pooling,
    _L.AveragePooling2D: _average_pooling,
    _L.AveragePooling3D: _average_pooling,
}
