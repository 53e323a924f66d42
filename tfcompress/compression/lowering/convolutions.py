"""One-dimensional convolutions as two-dimensional ones over a map of height 1, which is how LiteRT computes them.

The converter reshapes their kernels itself, but not one that has been fake-quantized with a scale per channel.
"""

from __future__ import annotations

import numpy as np

from tfcompress.compression.lowering.activations import fused_activation
from tfcompress.graphs.keras.folding import can_fold_into, fold
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.runtime import tf_keras

__all__ = ["CONVOLUTIONS"]

_L = tf_keras.layers

_TWO_DIMENSIONAL = {
    _L.Conv1D: _L.Conv2D,
    _L.DepthwiseConv1D: _L.DepthwiseConv2D,
    _L.Conv1DTranspose: _L.Conv2DTranspose,
}
_SIZES = ("kernel_size", "strides", "dilation_rate", "output_padding")


def _one_dimension(call: Call, state: Rewrite) -> Tensor:
    """Map of height 1, convolution with its batch normalization and ReLU, series."""
    layer, x = call.layer, call.inputs[0]
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    for key in _SIZES:
        if config.get(key) is not None:
            config[key] = (0 if key == "output_padding" else 1, int(np.ravel(config[key])[0]))
    if type(layer) is _L.DepthwiseConv1D:
        config["strides"] = (config["strides"][1],) * 2  # the kernel wants equal strides; the map has one row
    if config["padding"] == "causal":
        before = (config["kernel_size"][1] - 1) * config["dilation_rate"][1]
        x = state.layer(call, "causal", lambda name: _L.ZeroPadding1D((before, 0), name=name))(x)
        config["padding"] = "valid"
    weights = layer.get_weights()
    batch_norm, relu = state.batch_norm_after(call), None
    if batch_norm is not None and can_fold_into(layer, batch_norm):
        weights, config["use_bias"] = fold(layer, batch_norm), True
        state.folded.add(id(batch_norm))
        relu = state.relu_after(batch_norm.inbound_nodes[0].outputs)
    elif fused_activation(layer.activation) and layer.activation.__name__ == "linear":
        relu = state.relu_after(call.old_outputs[0])
    if relu is not None:
        config["activation"] = relu
    convolution = state.layer(
        call, "", lambda name: _TWO_DIMENSIONAL[type(layer)](**config, name=name), [weights[0][None], *weights[1:]]
    )
    y = convolution(state.reshape(call, "as_map", (1, *x.shape[1:]), x))
    return state.reshape(call, "as_series", y.shape[2:], y)


def _identity_if_folded(call: Call, state: Rewrite) -> Tensor | None:
    return call.inputs[0] if id(call.layer) in state.folded else None


CONVOLUTIONS: dict[object, Rewriter] = {
    **dict.fromkeys(_TWO_DIMENSIONAL, _one_dimension),
    **dict.fromkeys((_L.BatchNormalization, _L.ReLU, _L.Activation), _identity_if_folded),
}
