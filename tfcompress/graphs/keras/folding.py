"""Batch normalization in inference is a scale and a shift of each channel: folded into the layer before it.

Formula: y = gamma * (x - mean) / sqrt(variance + epsilon) + beta (Ioffe & Szegedy 2015, algorithm 2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.runtime import tf_keras

__all__ = ["affine_of", "can_fold_into", "fold"]

_L = tf_keras.layers

# Layer class: its weights' names, kernel first, and the kernel axes that stand for output channels.
_FOLDABLE: dict[object, tuple[int, ...]] = {
    _L.Dense: (-1,),
    _L.Conv1D: (-1,),
    _L.Conv2D: (-1,),
    _L.Conv3D: (-1,),
    _L.DepthwiseConv1D: (-2, -1),
    _L.DepthwiseConv2D: (-2, -1),
    _L.Conv1DTranspose: (-2,),
    _L.Conv2DTranspose: (-2,),
}


def affine_of(batch_norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift, one float64 value a channel, of a batch normalization in inference."""
    variance = np.asarray(batch_norm.moving_variance, np.float64)
    scale = 1.0 / np.sqrt(variance + batch_norm.epsilon)
    if batch_norm.scale:
        scale = scale * np.asarray(batch_norm.gamma, np.float64)
    shift = -np.asarray(batch_norm.moving_mean, np.float64) * scale
    if batch_norm.center:
        shift = shift + np.asarray(batch_norm.beta, np.float64)
    return scale, shift


def can_fold_into(layer: Any, batch_norm: Any) -> bool:
    """Whether `batch_norm`, the only reader of `layer`'s output, can become part of its kernel and bias."""
    if type(layer) not in _FOLDABLE or len(layer.inbound_nodes) != 1 or len(batch_norm.inbound_nodes) != 1:
        return False
    last_axis = len(batch_norm.input_shape) - 1
    linear = getattr(layer.activation, "__name__", "") == "linear"
    return linear and list(np.atleast_1d(batch_norm.axis)) == [last_axis]


def fold(layer: Any, batch_norm: Any) -> list[np.ndarray]:
    """Kernel and bias, float32, of `layer` followed by `batch_norm`."""
    scale, shift = affine_of(batch_norm)
    kernel = np.asarray(layer.get_weights()[0], np.float64)
    axes = _FOLDABLE[type(layer)]
    shape = [size if axis - kernel.ndim in axes else 1 for axis, size in enumerate(kernel.shape)]
    bias = np.asarray(layer.get_weights()[1], np.float64) if layer.use_bias else 0.0
    folded = [kernel * scale.reshape(shape), bias * scale + shift]
    return [values.astype(np.float32) for values in folded]
