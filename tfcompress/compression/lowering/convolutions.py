"""Convolutions of series and volumes as those of pictures, which is how the file computes them.

A series is a map of height 1, and `tfcompress.graphs.tensorflow.volumes` has the rest.  The converter reshapes their
kernels itself, but not one that has been fake-quantized with a scale per channel.
"""

from __future__ import annotations

import numpy as np

from tfcompress.compression.lowering.activations import fused_activation
from tfcompress.graphs.keras.folding import can_fold_into, fold
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.graphs.tensorflow.volumes import Depths
from tfcompress.runtime import tf, tf_keras

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
    weights = _folded(call, state, config)
    convolution = state.layer(
        call, "", lambda name: _TWO_DIMENSIONAL[type(layer)](**config, name=name), [weights[0][None], *weights[1:]]
    )
    y = convolution(state.reshape(call, "as_map", (1, *x.shape[1:]), x))
    return state.reshape(call, "as_series", y.shape[2:], y)


def _folded(call: Call, state: Rewrite, config: dict[str, object]) -> list[np.ndarray]:
    """The layer's weights with the batch normalization behind it; that and a ReLU behind are written into `config`."""
    layer = call.layer
    weights: list[np.ndarray] = layer.get_weights()
    batch_norm, relu = state.batch_norm_after(call), None
    if batch_norm is not None and can_fold_into(layer, batch_norm):
        weights, config["use_bias"] = list(fold(layer, batch_norm)), True
        state.folded.add(id(batch_norm))
        relu = state.relu_after(batch_norm.inbound_nodes[0].outputs)
    elif fused_activation(layer.activation) and layer.activation.__name__ == "linear":
        relu = state.relu_after(call.old_outputs[0])
    if relu is not None:
        config["activation"] = relu
    return weights


def _three_dimensions(call: Call, state: Rewrite) -> Tensor | None:
    """What the kernel meets at each depth as channels side by side, convolution of pictures, volume."""
    layer, x = call.layer, call.inputs[0]
    if layer.groups != 1 or not _is_fixed(call):
        return None
    depth, rows, columns, channels = x.shape[1:]
    (reach, *size), (stride, *strides), (dilation, *dilations) = layer.kernel_size, layer.strides, layer.dilation_rate
    depths = Depths.of(depth, reach, stride, dilation, same=layer.padding == "same")
    flat = state.reshape(call, "flat", (depth, rows * columns, channels), x)
    if depths.padded:
        pads = ((depths.before, depths.after), (0, 0))
        flat = state.layer(call, "padded", lambda name: _L.ZeroPadding2D(pads, name=name))(flat)
    parts = [flat[:, part] for part in depths.slices]
    stacked = state.merge(call, "depths", _L.Concatenate, parts) if reach > 1 else parts[0]
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    config |= {"kernel_size": size, "strides": strides, "dilation_rate": dilations}
    kernel, *bias = _folded(call, state, config)
    flat_kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(*size, reach * channels, -1)
    convolution = state.layer(call, "", lambda name: _L.Conv2D(**config, name=name), [flat_kernel, *bias])
    y = convolution(tf.reshape(stacked, [-1, rows, columns, reach * channels]))
    return tf.reshape(y, [-1, depths.count, *y.shape[1:]])


def _pooled_volume(call: Call, state: Rewrite) -> Tensor | None:
    """Pooling of rows and columns, then of depths; an average over the whole volume stays, being a MEAN."""
    layer, x = call.layer, call.inputs[0]
    average = type(layer) is _L.AveragePooling3D
    whole = layer.padding == "valid" and tuple(layer.pool_size) == tuple(x.shape[1:-1])
    if not _is_fixed(call) or (average and whole):
        return None
    pool = _L.AveragePooling2D if average else _L.MaxPooling2D
    depth, rows, columns, channels = x.shape[1:]
    (reach, *size), (stride, *strides) = layer.pool_size, layer.strides
    across = state.layer(call, "", lambda name: pool(size, strides, layer.padding, name=name))
    flat = across(tf.reshape(x, [-1, rows, columns, channels]))
    rows, columns = flat.shape[1:3]
    along = state.layer(call, "depths", lambda name: pool((reach, 1), (stride, 1), layer.padding, name=name))
    y = along(tf.reshape(flat, [-1, depth, rows * columns, channels]))
    return tf.reshape(y, [-1, y.shape[1], rows, columns, channels])


def _is_fixed(call: Call) -> bool:
    return call.layer.data_format == "channels_last" and None not in call.inputs[0].shape[1:]


def _identity_if_folded(call: Call, state: Rewrite) -> Tensor | None:
    return call.inputs[0] if id(call.layer) in state.folded else None


CONVOLUTIONS: dict[object, Rewriter] = {
    **dict.fromkeys(_TWO_DIMENSIONAL, _one_dimension),
    _L.Conv3D: _three_dimensions,
    **dict.fromkeys((_L.MaxPooling3D, _L.AveragePooling3D), _pooled_volume),
    **dict.fromkeys((_L.BatchNormalization, _L.ReLU, _L.Activation), _identity_if_folded),
}
