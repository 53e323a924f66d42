"""Lowering a random graph changes its layers and not what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as some
import numpy as np
import pytest
from hypothesis import given, settings

from tfcompress.compression.lowering.passes import lower
from tfcompress.runtime import tf, tf_keras

L = tf_keras.layers
SIZE, CHANNELS = 6, 4
TOLERANCE = 1e-5  # of the largest output: float32 sums in another order

# From maps of CHANNELS channels to such maps; the names are only for Hypothesis' reports.
STEPS: dict[str, Callable[[Any], Any]] = {
    "conv": lambda x: L.Conv2D(CHANNELS, 3, padding="same", bias_initializer="normal")(x),
    "conv with relu": lambda x: L.Conv2D(CHANNELS, 1, activation="relu")(x),
    "separable": lambda x: L.SeparableConv2D(CHANNELS, 3, padding="same", activation="swish")(x),
    "depthwise": lambda x: L.DepthwiseConv2D(3, padding="same")(x),
    "batch norm": lambda x: L.BatchNormalization(
        gamma_initializer="uniform", moving_mean_initializer="normal", beta_initializer="normal"
    )(x),
    "layer norm": lambda x: L.LayerNormalization()(x),
    "relu6": lambda x: L.ReLU(6.0)(x),
    "leaky": lambda x: L.LeakyReLU(0.2)(x),
    "prelu": lambda x: L.PReLU(alpha_initializer="uniform", shared_axes=[1, 2])(x),
    "elu": lambda x: L.Activation("elu")(x),
    "hard sigmoid": lambda x: L.Activation("hard_sigmoid")(x),
    "swish": lambda x: L.Activation("swish")(x),
    "average": lambda x: L.AveragePooling2D(3, 1, padding="same")(x),
    "rescaling": lambda x: L.Rescaling(0.7, 0.1)(x),
    "scaled by code": lambda x: 2.0 * x - 0.5,
    "hard swish by code": lambda x: x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0),
}
JOINS: dict[str, Callable[[Any], Any]] = {
    "add": lambda both: L.Add()(both),
    "average": lambda both: L.Average()(both),
    "multiply": lambda both: L.Multiply()(both),
    "concatenate": lambda both: L.Conv2D(CHANNELS, 1)(L.Concatenate()(both)),
}
# What joins two earlier tensors, or None, and then a step; places count back from the newest tensor.
PLANS = some.lists(
    some.tuples(some.none() | some.sampled_from(sorted(JOINS)), some.sampled_from(sorted(STEPS)), some.integers(1, 4)),
    min_size=1,
    max_size=5,
)


def model_of(plan: list[tuple[str | None, str, int]]) -> Any:
    tf_keras.utils.set_random_seed(0)
    inputs = L.Input((SIZE, SIZE, CHANNELS))
    tensors = [inputs]
    for join, step, place in plan:
        source = tensors[-1] if join is None else JOINS[join]([tensors[-1], tensors[-min(place, len(tensors))]])
        tensors.append(STEPS[step](source))
    return tf_keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(tensors[-1])))


def largest_difference(first: Any, second: Any) -> float:
    """Of two models' outputs on the same random inputs, as a share of the largest output."""
    x = np.random.default_rng(0).normal(size=(4, SIZE, SIZE, CHANNELS)).astype(np.float32)
    wanted, got = first(x, training=False).numpy(), second(x, training=False).numpy()
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


@settings(max_examples=12, deadline=None, derandomize=True)
@given(PLANS)
def test_a_random_graph_computes_the_same_when_lowered(plan: list[tuple[str | None, str, int]]) -> None:
    model = model_of(plan)
    lowered = lower(model)
    assert largest_difference(model, lowered) <= TOLERANCE
    assert not any(isinstance(layer, L.SeparableConv2D | L.LayerNormalization) for layer in lowered.layers)


@pytest.mark.parametrize("weight", [0, -1])
def test_a_change_that_matters_would_be_seen(weight: int) -> None:
    model = model_of([("add", "conv", 1), (None, "swish", 1)])
    lowered = lower(model)
    values = lowered.get_weights()
    values[weight] = values[weight] + 1e-3
    lowered.set_weights(values)
    assert largest_difference(model, lowered) > TOLERANCE
