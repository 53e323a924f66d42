"""Random weights with the statistics of trained ones.

What collections start with hides faults or lets signals die: batch normalization and layer scales are the identity or
nearly zero, biases are zero, and the kernels of transformers are drawn with a deviation of 0.02 whatever their width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["randomize"]

STARTED_AT_NOTHING = (0.1, 0.5)  # scales of residual branches that start at zero, or nearly so
FAINT = 0.5  # a kernel that lowers the deviation of its input below this share of it is scaled up


def randomize(model: Any, sample: Any, *, seed: int = 0) -> None:
    """Give constant weights random values, and batch normalization the statistics of `sample`.

    Scales are drawn from 0.5 to 1.5 times their start, and from 0.1 to 0.5 where they start at nothing, as those of
    residual branches do (Goyal et al. 2017; Touvron et al. 2021); biases from a normal distribution of deviation 0.05.
    Faint kernels are brought to variance 1 / fan-in (LeCun et al. 1998, "Efficient BackProp").  Other weights stay as
    their initializer drew them.

    Args:
        model: a built Keras 2 or 3 model; changed in place.
        sample: one batch in the form that the model is called with.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(_drawn(_name(weight), np.asarray(weight, dtype=np.float32), random))
    layers = [layer for layer in _layers(model) if "BatchNorm" in type(layer).__name__ and hasattr(layer, "momentum")]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # takes the statistics of the next batch as they are
    if layers:
        model(sample, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _name(weight: Any) -> str:
    return str(getattr(weight, "path", weight.name)).split(":")[0]


def _layers(model: Any) -> list[Any]:
    flatten = getattr(model, "_flatten_layers", None)
    return list(flatten()) if flatten is not None else []


def _drawn(name: str, value: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if value.size and np.ptp(value) == 0:
        scale = any(word in name.rsplit("/", 1)[-1] for word in ("gamma", "scale", "weight")) or value.flat[0] != 0
        if not scale:
            return random.normal(0, 0.05, value.shape)
        start = float(value.flat[0])
        return (
            random.uniform(*STARTED_AT_NOTHING, value.shape)
            if abs(start) < 0.1
            else random.uniform(0.5, 1.5, value.shape) * start
        )
    if "kernel" in name.rsplit("/", 1)[-1] and value.ndim > 1:
        fan_in = value.shape[0] * value.shape[1] if "depthwise" in name else value.size // value.shape[-1]
        gain = float(value.std()) * fan_in**0.5
        if 0 < gain < FAINT:
            return value / gain
    return value
