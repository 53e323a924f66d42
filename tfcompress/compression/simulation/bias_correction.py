"""Biases moved by the mean error that rounding the weights causes, before training starts.

Rounding a kernel shifts the mean of its output by (rounded - exact) kernel times the mean input (Nagel et al. 2019,
"Data-free quantization", section 4.2; padding is neglected).  Inputs behind a ReLU, or pixels in 0..255, have means far
from zero, and training with small steps takes long to find what this formula gives at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.compression.simulation.quantize import PREFIX
from tfcompress.compression.simulation.quantizers import KernelQuantizer
from tfcompress.data import Samples
from tfcompress.graphs.keras.protocols import KerasModel, Tensor
from tfcompress.graphs.keras.replay import Call, calls_of
from tfcompress.graphs.tensorflow.private_names import quantized_variables
from tfcompress.runtime import tf, tf_keras

__all__ = ["correct_biases"]

_L = tf_keras.layers
_BATCH = 32

# Kernel axes, input channel `c` and output channel `o`, summed with the mean of each input channel.
_SHIFTS = {_L.Dense: "co,c->o", _L.Conv2D: "hwco,c->o", _L.DepthwiseConv2D: "hwco,c->co"}


def correct_biases(model: Any, wrapped: Any, samples: Samples) -> None:
    """Correct the biases of a quantization-aware model in place.

    Args:
        model: the lowered float model that was wrapped.
        wrapped: its quantization-aware form.
        samples: give the mean of each layer's input; read once.
    """
    calls = {call.layer.name: call for call in calls_of(model) if _has_formula(call, wrapped)}
    if not calls:
        return
    means = _channel_means(model, [call.old_inputs[0] for call in calls.values()], samples)
    for call, mean in zip(calls.values(), means, strict=True):
        _correct(call, wrapped.get_layer(PREFIX + call.layer.name), mean)


def _has_formula(call: Call, wrapped: Any) -> bool:
    layer = call.layer
    if type(layer) not in _SHIFTS or not layer.use_bias or getattr(layer, "groups", 1) != 1:
        return False
    return any(other.name == PREFIX + layer.name for other in wrapped.layers)


def _channel_means(model: KerasModel, tensors: list[Tensor], samples: Samples) -> list[np.ndarray]:
    """Mean over samples and places of each channel of the tensors."""
    probe = tf_keras.Model(
        model.inputs, [tf.reduce_mean(tensor, axis=list(range(1, len(tensor.shape) - 1))) for tensor in tensors]
    )
    sums, count = [np.zeros(1)] * len(tensors), 0
    for batch in samples.batches(_BATCH):
        values = tf.nest.flatten(probe([batch.inputs[info.name] for info in samples.inputs], training=False))
        sums = [total + np.asarray(value, np.float64).sum(axis=0) for total, value in zip(sums, values, strict=True)]
        count += len(batch)
    return [total / count for total in sums]


def _correct(call: Call, wrapper: Any, mean: np.ndarray) -> None:
    kernel, quantizer, variables = next(
        item for item in quantized_variables(wrapper) if isinstance(item[1], KernelQuantizer)
    )
    exact = quantizer.constrained(kernel, variables)
    error = np.asarray(quantizer(kernel, False, variables) - exact, np.float64)
    shift = np.einsum(_SHIFTS[type(call.layer)], error, mean).reshape(-1)
    bias = wrapper.quantize_config.variables[1]
    bias.assign(np.asarray(bias) - shift.astype(np.float32))
