"""Three small Keras 3 models, each a seeded builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfcompress.example_models.datasets import BANDS, FRAMES, KEYWORDS, Split, digits, keywords
from tfcompress.runtime import keras

__all__ = ["EXAMPLES", "Example", "cnn", "ds_cnn", "small_mobilenet", "train"]

NORM_MOMENTUM = 0.9  # a few hundred steps are too few for the moving averages of Keras's 0.99


def cnn() -> Any:
    """The CNN of the compression literature: Conv 32-64-64 with pooling, Dense 64, Dense 10, on (28, 28, 1)."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(32, 3, activation="relu", name="conv_1"),
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(64, 3, activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool_2"),
            layers.Conv2D(64, 3, activation="relu", name="conv_3"),
            layers.Flatten(name="flatten"),
            layers.Dense(64, activation="relu", name="dense"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="cnn",
    )


def small_mobilenet() -> Any:
    """A MobileNet-style net (Howard et al. 2017) on (28, 28, 1): depthwise and pointwise convolutions, batch norm."""
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    x = _conv_norm(image, layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem"))
    for index, (filters, stride) in enumerate([(32, 1), (64, 2), (64, 1)], start=1):
        depthwise = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"depthwise_{index}")
        x = _conv_norm(x, depthwise)
        x = _conv_norm(x, layers.Conv2D(filters, 1, use_bias=False, name=f"pointwise_{index}"))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="small_mobilenet")


def _conv_norm(x: Any, convolution: Any) -> Any:
    layers = keras.layers
    x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"{convolution.name}_norm")(convolution(x))
    return layers.ReLU(max_value=6.0, name=f"{convolution.name}_relu")(x)


def ds_cnn() -> Any:
    """A keyword-spotting DS-CNN (Zhang et al. 2017, "Hello Edge") in one dimension, on (49 frames, 20 bands)."""
    layers = keras.layers
    sound = keras.Input((FRAMES, BANDS), name="features")
    x = layers.Conv1D(32, 5, strides=2, padding="same", use_bias=False, name="stem")(sound)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(momentum=NORM_MOMENTUM, name="stem_norm")(x))
    for index in (1, 2):
        x = layers.SeparableConv1D(32, 3, padding="same", use_bias=False, name=f"separable_{index}")(x)
        x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"separable_{index}_norm")(x)
        x = layers.ReLU(name=f"separable_{index}_relu")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(sound, layers.Dense(KEYWORDS, activation="softmax", name="word")(x), name="ds_cnn")


@dataclass(frozen=True)
class Example:
    """A model and its data.

    Attributes:
        build: makes the untrained Keras 3 model.
        data: makes the data from a seed.
        epochs: how long it trains.
    """

    build: Callable[[], Any]
    data: Callable[[int], Split]
    epochs: int


EXAMPLES = {
    "cnn": Example(cnn, digits, 10),
    "small_mobilenet": Example(small_mobilenet, digits, 12),
    "ds_cnn": Example(ds_cnn, keywords, 8),
}


def train(name: str, *, seed: int = 0, epochs: int | None = None) -> tuple[Any, Split]:
    """Build and train an example; the same seed gives the same weights on the same machine.

    Args:
        name: a key of `EXAMPLES`.
        seed: of weights, order and data split.
        epochs: None means the example's own number.

    Returns:
        (trained Keras 3 model, its data).
    """
    example = EXAMPLES[name]
    keras.utils.set_random_seed(seed)
    data = example.data(seed)
    model = example.build()
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x_train, data.y_train, batch_size=32, epochs=epochs or example.epochs, verbose=0)
    return model, data
