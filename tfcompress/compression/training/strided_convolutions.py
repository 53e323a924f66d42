"""Strided 1x1 convolutions, trained around a crash.

oneDNN, with which TensorFlow computes on x86, writes past a buffer in the gradient of some of them: 5 channels of 60x60
at stride 2 end the process on a CPU with AVX-512 (TensorFlow 2.21).  Leaving out the places that the stride passes over
first, and then convolving all that remain, is the same function with another gradient kernel.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import flat_layers
from tfcompress.runtime import tf, tf_keras

__all__ = ["subsampled_convolutions"]


@contextlib.contextmanager
def subsampled_convolutions(model: Any) -> Iterator[None]:
    """While it lasts, strided 1x1 convolutions in a tf_keras model leave out places before they convolve."""
    layers = [layer for layer in flat_layers(model) if _is_strided_1x1(layer)]
    for layer in layers:
        layer.convolution_op = functools.partial(_convolve, layer.strides)
    try:
        yield
    finally:
        for layer in layers:
            del layer.convolution_op


def _is_strided_1x1(layer: Any) -> bool:
    return type(layer) is tf_keras.layers.Conv2D and layer.kernel_size == (1, 1) and max(layer.strides) > 1


def _convolve(strides: tuple[int, int], inputs: Tensor, kernel: Tensor) -> Any:
    return tf.nn.conv2d(inputs[:, :: strides[0], :: strides[1]], kernel, 1, "VALID")
