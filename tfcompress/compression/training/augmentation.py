"""Images flipped and shifted anew in each epoch, so that a small set of them lasts for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.recipe import Training
from tfcompress.runtime import tf

__all__ = ["augmented", "check_augmentation"]

_IMAGE_AXES = 4  # samples, rows, columns, channels
_LABEL_AXES = 2


def check_augmentation(training: Training, inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> None:
    """Refuse to move images where there are none, or where the labels say where in the image something is.

    Args:
        training: what is asked for.
        inputs: {name: [n, ...]} of a batch.
        labels: {name: [n, ...]} that training reads; empty where it reads none.

    Raises:
        RecipeError: one line.
    """
    if not training.augments:
        return
    images = {name: value.shape[1:] for name, value in inputs.items() if value.ndim == _IMAGE_AXES}
    asked = "flip" if training.flip else "shift"
    if not images:
        shapes = ", ".join(f"{name} {list(value.shape[1:])}" for name, value in inputs.items())
        raise RecipeError(
            f"recipe: training.{asked}: expected an input [rows, columns, channels], got {shapes}; leave it out"
        )
    for name, value in labels.items():
        if value.ndim > _LABEL_AXES:
            raise RecipeError(
                f"recipe: training.{asked}: labels {name} {list(value.shape[1:])} may say where something is in the "
                "image, and do not move with it; leave it out, or move both in a function given as the data"
            )
    for name, shape in images.items():
        if training.shift >= min(shape[:2]):
            raise RecipeError(
                f"recipe: training.shift is {training.shift}, expected less than the {min(shape[:2])} pixels of {name}"
            )


def augmented(stream: Any, training: Training, *, seed: int) -> Any:
    """A `tf.data.Dataset` of batches, (inputs, ...) each, with its images flipped and shifted.

    The same seed gives the same images.  Pixels that come in at an edge mirror those beside it.

    Args:
        stream: of (inputs, labels) or (inputs,); `inputs` is a tuple of tensors [n, ...].
        training: by how much; the stream itself where by nothing.
        seed: another one for each epoch.
    """
    if not training.augments:
        return stream

    @tf.autograph.experimental.do_not_convert
    def moved(number: Tensor, batch: tuple[Any, ...]) -> tuple[object, ...]:
        inputs, *labels = batch
        return (_moved(inputs, training, tf.stack([tf.cast(number, tf.int32), seed % 2**31])), *labels)

    return stream.enumerate().map(moved, num_parallel_calls=tf.data.AUTOTUNE)


def _moved(inputs: Sequence[Tensor], training: Training, seed: Tensor) -> tuple[object, ...]:
    """Each image of a batch in its own way, all inputs of a sample alike."""
    count = tf.shape(inputs[0])[0]
    flipped = tf.random.stateless_uniform([count, 1], seed) < (0.5 if training.flip else 0.0)
    steps = tf.random.stateless_uniform([2, count, 1], seed + 1, -training.shift, training.shift + 1, dtype=tf.int32)
    return tuple(_moved_images(value, flipped, steps) if value.shape.rank == _IMAGE_AXES else value for value in inputs)


def _moved_images(images: Any, flipped: Tensor, steps: Any) -> object:
    rows, columns = (_places(tf.shape(images)[axis], steps[axis - 1]) for axis in (1, 2))
    columns = tf.where(flipped, tf.reverse(columns, [1]), columns)
    return tf.ensure_shape(
        tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1), images.shape
    )


def _places(size: Any, steps: Tensor) -> Any:
    """[n, size]: which row or column each one is taken from, mirrored at the edges."""
    places = tf.abs(tf.range(size)[None] + steps)
    return tf.minimum(places, 2 * (size - 1) - places)
