"""Networks of keras.applications that tell digits apart after a few minutes of training.

Their published weights are not at hand, and with random ones a class means nothing: which of them comes first changes
with the smallest rounding.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.models import SHARED
from tfcompress.load import to_tf_keras
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["MNIST", "digits", "pictures", "trained_network"]

MNIST = SHARED / "data/mnist"
PICTURE_SIZE = 96  # pixels
BATCH, ROUND, MOST = 16, 100, 1100  # samples per step; steps between two looks at the accuracy, and at most
ENOUGH = 0.95  # accuracy on digits that are not trained on
CHECKED = slice(-1000, -500)
RATE, RATE_WITHOUT_NORMALIZATION = 1e-3, 1e-4
MOMENTUM = 0.9  # batch normalization's own, 0.99 or more, is for longer trainings


def digits() -> tuple[np.ndarray, np.ndarray]:
    """MNIST's training images at hand, uint8 [20000, 28, 28], and their classes, int64 [20000]."""
    with np.load(MNIST / "train20000.npz") as stored:
        return stored["x"].reshape(-1, 28, 28), stored["y"].astype(np.int64)


def pictures(family: str, images: np.ndarray) -> np.ndarray:
    """float32 [n, 96, 96, 3] of uint8 [n, 28, 28], in the range that the family is meant for."""
    maker = getattr(keras.applications, family)
    large = tf.image.grayscale_to_rgb(tf.image.resize(images[..., None], (PICTURE_SIZE, PICTURE_SIZE)))
    return np.asarray(sys.modules[maker.__module__].preprocess_input(np.array(large)), np.float32)


def trained_network(family: str, images: np.ndarray, classes: np.ndarray) -> Any:
    """A tf_keras network of `family`, trained until it tells digits apart, or for `MOST` steps.

    Args:
        family: such as ``MobileNet``.
        images: uint8 [20000, 28, 28].
        classes: int64 [20000].
    """
    keras.utils.set_random_seed(0)
    shape = (PICTURE_SIZE, PICTURE_SIZE, 3)
    network = to_tf_keras(getattr(keras.applications, family)(weights=None, input_shape=shape, classes=10))
    norms = [layer for layer in network.layers if type(layer).__name__.endswith("Normalization")]
    for layer in norms:
        layer.momentum = MOMENTUM
    trained = tf_keras.Model(network.inputs, network.outputs)  # the network itself stays uncompiled
    rate = RATE if norms else RATE_WITHOUT_NORMALIZATION
    trained.compile(tf_keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    parts = (slice(start, start + BATCH) for start in range(0, MOST * BATCH, BATCH))
    batches = ((pictures(family, images[part]), classes[part]) for part in parts)
    check = pictures(family, images[CHECKED])
    for _ in range(0, MOST, ROUND):
        trained.fit(batches, steps_per_epoch=ROUND, verbose=0)
        if np.mean(trained.predict(check, verbose=0).argmax(-1) == classes[CHECKED]) >= ENOUGH:
            break
    return network
