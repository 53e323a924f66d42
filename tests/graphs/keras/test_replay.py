"""Layers of a graph that is made again."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.keras.replay import flatten
from tfcompress.runtime import tf, tf_keras


def test_a_lambda_layer_around_a_function_of_tensorflow_can_be_made_again() -> None:
    """Its configuration has the function's code, which refers to modules that the function's own does not have."""
    x = tf_keras.Input((3,))
    model = tf_keras.Model(x, tf_keras.layers.Lambda(tf.math.lgamma)(x))
    values = np.array([[0.5, 2.0, 3.5]], np.float32)
    assert np.array_equal(flatten(model)(values), model(values))
