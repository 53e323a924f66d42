"""Composite layers written out: separable convolutions, layer normalization, scalings, layers over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.compression.lowering.attention import grouped_attention
from tfcompress.compression.lowering.masks import smaller_factor
from tfcompress.compression.lowering.reciprocal_root import ReciprocalRoot
from tfcompress.compression.lowering.recurrence import is_masked
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call, is_model
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.graphs.tensorflow.private_names import CustomScaleLayer, Keras3LayerScale, TfKerasLayerScale
from tfcompress.load.keras_versions.adapters import Keras3Layer
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["COMPOSITES"]

_L = tf_keras.layers


def _separable(call: Call, state: Rewrite) -> Tensor:
    """A separable convolution is two operators in the file: depthwise, then pointwise."""
    layer, config = call.layer, call.layer.get_config()
    one_dimension = type(layer) is _L.SeparableConv1D
    depthwise, pointwise = (_L.DepthwiseConv1D, _L.Conv1D) if one_dimension else (_L.DepthwiseConv2D, _L.Conv2D)
    settings = {key: config[key] for key in ("strides", "padding", "dilation_rate", "kernel_size", "depth_multiplier")}
    if one_dimension:
        settings = {key: value[0] if isinstance(value, tuple | list) else value for key, value in settings.items()}
    kernels = layer.get_weights()
    first = state.layer(call, "depthwise", lambda name: depthwise(**settings, use_bias=False, name=name), kernels[:1])
    second = state.layer(
        call,
        "",
        lambda name: pointwise(layer.filters, 1, use_bias=layer.use_bias, activation=layer.activation, name=name),
        kernels[1:],
    )
    return second(first(call.inputs[0]))


def _layer_norm(call: Call, state: Rewrite) -> Tensor | None:
    """``(x - mean) * rsqrt(variance + epsilon) * gamma + beta`` (Ba et al. 2016), one operator after the other."""
    layer, given = call.layer, call.inputs[0]
    rank = len(given.shape)
    axes = sorted(axis % rank for axis in np.atleast_1d(layer.axis))
    if axes != list(range(axes[0], rank)) or None in given.shape[axes[0] :] or list(given.shape[1:]).count(None) > 1:
        return None
    if len(axes) == 1:
        return _last_axis_norm(call, state, given)
    x = state.reshape(call, "flat", (*given.shape[1 : axes[0]], int(np.prod(given.shape[axes[0] :]))), given)
    return state.reshape(call, "", given.shape[1:], _last_axis_norm(call, state, x, "normalized"))


def _last_axis_norm(call: Call, state: Rewrite, x: Any, part: str = "") -> Tensor:
    layer = call.layer
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    centred = state.merge(call, "centred", _L.Subtract, [x, mean])
    square = state.merge(call, "square", _L.Multiply, [centred, centred])
    variance = tf.reduce_mean(square, axis=-1, keepdims=True)
    inverse = state.layer(call, "inverse", lambda name: ReciprocalRoot(name=name))(variance + layer.epsilon)
    if not (layer.scale or layer.center):
        return state.merge(call, part, _L.Multiply, [centred, inverse])
    normal = state.merge(call, "normal", _L.Multiply, [centred, inverse])
    gamma = layer.gamma if layer.scale else 1.0
    return state.affine(call, normal, gamma, layer.beta if layer.center else 0.0, part=part)


def _normalization(call: Call, state: Rewrite) -> Tensor | None:
    """``(x - mean) / sqrt(variance)`` for each channel of the last axis."""
    layer, x = call.layer, call.inputs[0]
    if x.dtype != tf.float32 or layer.invert or list(np.atleast_1d(layer.axis)) not in ([-1], [len(x.shape) - 1]):
        return None
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), tf_keras.backend.epsilon()).reshape(-1)
    return state.affine(call, x, 1 / deviation, -np.asarray(layer.mean, np.float64).reshape(-1) / deviation)


def _rescaling(call: Call, state: Rewrite) -> Tensor | None:
    """A factor and an offset are two operators; factors of each channel, one of another kind."""
    layer, x = call.layer, call.inputs[0]
    if x.dtype != tf.float32:
        return None
    smaller = smaller_factor(call, state)
    if smaller is not None:
        return smaller
    if np.ndim(layer.scale) or np.ndim(layer.offset):
        return state.affine(call, x, layer.scale, layer.offset)
    if layer.scale == 1.0 or not layer.offset:
        return None
    scaled = state.layer(call, "scale", lambda name: _L.Rescaling(layer.scale, name=name))(x)
    return state.layer(call, "", lambda name: _L.Rescaling(1.0, layer.offset, name=name))(scaled)


def _layer_scale(call: Call, state: Rewrite) -> Tensor:
    """ConvNeXt's factor a channel, a layer class of keras.applications."""
    return state.affine(call, call.inputs[0], call.layer.get_weights()[0], 0.0)


def _average(call: Call, state: Rewrite) -> Tensor:
    """A sum, then a factor."""
    total = state.merge(call, "sum", _L.Add, call.inputs)
    return state.layer(call, "", lambda name: _L.Rescaling(1 / len(call.inputs), name=name))(total)


def _sum_of_many(call: Call, state: Rewrite) -> Tensor | None:
    """LiteRT adds two tensors at a time, and rounds each sum."""
    inputs = call.inputs
    if len(inputs) <= 2:
        return None
    total = inputs[0]
    for index, tensor in enumerate(inputs[1:], 1):
        total = state.merge(call, "" if index == len(inputs) - 1 else f"sum_{index}", type(call.layer), [total, tensor])
    return total


def _time_distributed(call: Call, state: Rewrite) -> Tensor | None:
    """The inner layer on all steps at once: time becomes part of the batch."""
    inner, x = call.layer.layer, call.inputs[0]
    if len(call.inputs) != 1 or None in x.shape[1:]:
        return None
    steps = int(x.shape[1])
    copy = state.copies.get((call.layer, "inner"), lambda: _renamed(inner, call, state))
    if not is_model(inner) and inner.weights:
        state.weights.append((copy, inner.get_weights()))
    flat = tf.reshape(x, [-1, *x.shape[2:]])
    y = copy(flat)
    return tf.reshape(y, [-1, steps, *y.shape[1:]])


def _renamed(inner: Any, call: Call, state: Rewrite) -> Any:
    if is_model(inner):
        copy = tf_keras.models.clone_model(inner)
        copy.set_weights(inner.get_weights())
        return copy
    return type(inner).from_config({**inner.get_config(), "name": state.copies.unique_name(call.layer.name)})


def _bidirectional(call: Call, state: Rewrite) -> Tensor | None:
    """Two layers, the second on the steps in reverse, and their merge."""
    layer, x = call.layer, call.inputs[0]
    if not (len(call.inputs) == 1 or is_masked(call)) or x.shape[1] is None or layer.merge_mode not in _MERGES:
        return None
    if not isinstance(layer.forward_layer, _L.LSTM | _L.GRU | _L.SimpleRNN):
        return None
    halves = []
    for part, half in (("forward", layer.forward_layer), ("backward", layer.backward_layer)):
        copy = state.layer(call, part, _maker(half), half.get_weights())
        y = copy(x) if len(call.inputs) == 1 else copy(x, mask=call.kwargs["mask"])
        # Going backwards a layer returns the last step first.
        halves.append(y[:, ::-1] if half.go_backwards and half.return_sequences else y)
    return state.merge(call, "", _MERGES[layer.merge_mode], halves)


def _masking(call: Call, state: Rewrite) -> Tensor | None:
    """Nothing where the value is zero: what has it in all places is zero already, and whoever masks gets the mask."""
    del state
    return call.inputs[0] if len(call.inputs) == 1 and call.layer.mask_value == 0 else None


def _prelu(call: Call, state: Rewrite) -> Tensor | None:
    """``relu(x) - alpha * relu(-x)``: the converter leaves PRELU in float when its slopes are trained."""
    layer, x = call.layer, call.inputs[0]
    slopes, shape = np.asarray(layer.alpha), x.shape[1:]
    if slopes.size not in (1, slopes.shape[-1]):
        if None in shape:
            return None
        # As many channels as places.
        slopes = np.broadcast_to(slopes, shape).reshape(-1)
        x = state.reshape(call, "places", (slopes.size,), x)
        return state.reshape(call, "", shape, _prelu_of_channels(call, state, x, slopes, "sum"))
    return _prelu_of_channels(call, state, x, slopes, "")


def _prelu_of_channels(call: Call, state: Rewrite, x: Tensor, slopes: np.ndarray, part: str) -> Tensor:
    above = state.layer(call, "above", lambda name: _L.ReLU(name=name))(x)
    flipped = state.layer(call, "flipped", lambda name: _L.Rescaling(-1.0, name=name))(x)
    below = state.layer(call, "below", lambda name: _L.ReLU(name=name))(flipped)
    return state.merge(call, part, _L.Add, [above, state.affine(call, below, -slopes, 0.0, part="slopes")])


def _keras3_layer(call: Call, state: Rewrite) -> object:
    """A layer that tf_keras has no counterpart of."""
    rewriter = _KERAS3.get(type(call.layer.layer))
    return None if rewriter is None else rewriter(call, state)


def _scaled_residual(call: Call, state: Rewrite) -> Tensor:
    """InceptionResNetV2's sum of a tensor and a share of another, a layer class of keras.applications."""
    x, residual = call.inputs
    share = call.layer.layer.scale
    scaled = state.layer(call, "scaled", lambda name: _L.Rescaling(share, name=name))(residual)
    return state.merge(call, "", _L.Add, [x, scaled])


def _rms_norm(call: Call, state: Rewrite) -> Any:
    """``x * rsqrt(mean(x^2) + epsilon) * scale`` (Zhang & Sennrich 2019, equation 4), one operator after the other."""
    layer, x = call.layer.layer, call.inputs[0]
    rank = len(x.shape)
    if [axis % rank for axis in np.atleast_1d(layer.axis)] != [rank - 1] or list(x.shape[1:]).count(None) > 1:
        return None
    square = state.merge(call, "square", _L.Multiply, [x, x])
    power = tf.reduce_mean(square, axis=-1, keepdims=True)
    inverse = state.layer(call, "inverse", lambda name: ReciprocalRoot(name=name))(power + layer.epsilon)
    normal = state.merge(call, "normal", _L.Multiply, [x, inverse])
    return state.affine(call, normal, np.asarray(layer.scale), 0.0)


def _category_encoding(call: Call, state: Rewrite) -> Any:
    """One-hot codes are rows of a unit matrix: ONE_HOT has no int8 form in the converter, GATHER has."""
    layer = call.layer.layer
    if layer.output_mode != "one_hot":
        return None
    unit = np.eye(layer.num_tokens, dtype=np.float32)
    rows = state.layer(call, "rows", lambda name: _L.Embedding(*unit.shape, name=name), [unit])(call.inputs[0])
    return state.reshape(call, "", call.old_outputs[0].shape[1:], rows)


def _maker(half: Any) -> Any:
    return lambda name: type(half).from_config({**half.get_config(), "name": name})


_MERGES = {"concat": _L.Concatenate, "sum": _L.Add, "mul": _L.Multiply, "ave": _L.Average}

_KERAS3: dict[object, Rewriter] = {
    keras.layers.CategoryEncoding: _category_encoding,
    CustomScaleLayer: _scaled_residual,
    Keras3LayerScale: _layer_scale,
    keras.layers.GroupQueryAttention: grouped_attention,
    keras.layers.RMSNormalization: _rms_norm,
}

COMPOSITES: dict[object, Rewriter] = {
    _L.SeparableConv1D: _separable,
    _L.SeparableConv2D: _separable,
    _L.LayerNormalization: _layer_norm,
    _L.PReLU: _prelu,
    _L.Normalization: _normalization,
    _L.Rescaling: _rescaling,
    _L.Average: _average,
    _L.Add: _sum_of_many,
    _L.Multiply: _sum_of_many,
    _L.Maximum: _sum_of_many,
    _L.Minimum: _sum_of_many,
    _L.TimeDistributed: _time_distributed,
    _L.Bidirectional: _bidirectional,
    _L.Masking: _masking,
    Keras3Layer: _keras3_layer,
    TfKerasLayerScale: _layer_scale,
}
