"""Inputs that a model could have been made for: the photos at hand for models of pictures, smooth walks for others."""

from __future__ import annotations

import numpy as np

from benchmarks.fair_inputs import photos
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel

__all__ = ["inputs_for"]

OPEN_SIZE = 32


def inputs_for(model: FloatModel, count: int) -> dict[str, np.ndarray]:
    """{input name: [count, ...]} of reproducible inputs, an open size being 32.

    Pictures are in 0..1, except those of 32x32, whose classifiers want pixels in 0..255.

    Args:
        model: what they are for.
        count: how many samples.
    """
    embeds = any(type(layer).__name__ == "Embedding" for layer in all_layers(model.keras_model))
    inputs = {}
    for info in model.inputs:
        sizes = info.sizes(OPEN_SIZE)
        if np.dtype(info.dtype).kind == "f" and not embeds:
            inputs[info.name] = _values(sizes, count)
        else:
            inputs[info.name] = np.random.default_rng(0).integers(0, 2, (count, *sizes)).astype(info.dtype)
    return inputs


def _values(sizes: tuple[int, ...], count: int) -> np.ndarray:
    if len(sizes) == 3 and sizes[-1] in (1, 3) and min(sizes[:2]) >= 24:
        pictures = _photos(count, sizes)
        if pictures is not None:
            return pictures if sizes == (32, 32, 3) else pictures / 255
    random = np.random.default_rng(0)
    walk = np.cumsum(random.normal(size=(count, int(np.prod(sizes)))), axis=1)
    walk = (walk - walk.mean(axis=1, keepdims=True)) / (walk.std(axis=1, keepdims=True) + 1e-9)
    return walk.reshape(count, *sizes).astype(np.float32)


def _photos(count: int, sizes: tuple[int, ...]) -> np.ndarray | None:
    """Float32 [count, *sizes] in 0..255 of the lossless CIFAR-10 images, resized; None where they are absent."""
    images = photos()
    if images is None:
        return None
    images = images[:count]
    rows = np.arange(sizes[0]) * images.shape[1] // sizes[0]
    columns = np.arange(sizes[1]) * images.shape[2] // sizes[1]
    resized = images[:, rows][:, :, columns].astype(np.float32)
    return resized.mean(axis=-1, keepdims=True) if sizes[2] == 1 else resized
