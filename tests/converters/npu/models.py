"""Small int8 files for the compilers, quantized by TFLite's own converter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfcompress.native_output import silenced
from tfcompress.runtime import keras, tf

__all__ = ["PICTURE", "int8_file", "with_a_modulo", "without_any"]

PICTURE = (8, 8, 4)


class _Function(keras.layers.Layer):
    def __init__(self, function: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(inputs)


def int8_file(function: Callable[[Any], Any], *, quantized: bool = True) -> bytes:
    """A convolution, `function` in a layer called "middle", and a convolution."""
    keras.utils.set_random_seed(0)
    x = keras.Input(PICTURE, name="x")
    y = keras.layers.Conv2D(4, 3, padding="same", name="first")(x)
    y = _Function(function, name="middle")(y)
    model = keras.Model(x, keras.layers.Conv2D(4, 3, name="last")(y))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantized:
        random = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [[random.normal(size=(1, *PICTURE)).astype(np.float32)]] * 4
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with silenced():
        return bytes(converter.convert())


def with_a_modulo() -> bytes:
    """FLOOR_MOD stays float and is left to the CPU by every compiler here."""
    return int8_file(lambda x: tf.math.floormod(x, 0.3))


def without_any() -> bytes:
    """Everything maps."""
    return int8_file(tf.nn.relu)
