"""Samples side by side in the channels of narrow layers: the same integers, in fuller lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tests.converters.cloud_tpu.test_int8 import only, program, residual_net, strided_net
from tfcompress.converters.cloud_tpu import convert, proof
from tfcompress.converters.cloud_tpu.int8.choice import choose
from tfcompress.converters.cloud_tpu.int8.lanes import (
    apart,
    block_diagonal,
    largest_factor,
    operators_side_by_side,
    side_by_side,
)
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.data import samples_from_arrays
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras, tf

needs_compiler = pytest.mark.skipif(proof.compiler_version() is None, reason="libtpu is not installed")
BATCH, LARGE_BATCH = 8, 32


def narrow_then_wide_net() -> FloatModel:
    """Narrow layers of every kind, with a squeeze-and-excite block and a concatenation, and wide ones behind them."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu6", name="first")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Conv2D(16, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Concatenate(name="both")([x, layers.Conv2D(16, 1, name="beside")(x)])
    x = layers.AveragePooling2D(2, name="average")(layers.ZeroPadding2D(1, name="padded")(x))
    x = layers.Conv2D(128, 1, name="widened")(layers.LeakyReLU(negative_slope=0.1, name="leaky")(x))
    x = layers.Conv2D(128, 3, activation="relu", name="wide")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return models.float_model_from_keras(keras.Model(inputs, layers.Dense(5, name="scores")(x), name="narrow"))


@pytest.mark.parametrize(
    ("make", "factor"), [(models.conv_net, 8), (residual_net, 2), (strided_net, 8), (narrow_then_wide_net, 2)]
)
def test_samples_side_by_side_give_the_integers_of_samples_apart(
    make: Callable[[], FloatModel], factor: int, tmp_path: Path
) -> None:
    model = make()
    alone, _ = program(model, tmp_path)
    beside = replace(alone, samples_side_by_side=factor)
    inputs = models.random_inputs(model, BATCH, seed=1)
    for item in (beside, beside.with_wide(beside.products()), replace(beside, as_on_phone=True)):
        got = only(models.run_graph(item.at_batch(model, BATCH), inputs))
        apart_from_each_other = replace(alone, as_on_phone=item.as_on_phone)
        expected = only(models.run_graph(apart_from_each_other.at_batch(model, BATCH), inputs))
        assert np.array_equal(got, expected)


@pytest.mark.parametrize(("batch", "samples"), [(8, 4), (6, 2), (1, 1), (5, 1)])
def test_as_many_samples_lie_side_by_side_as_divide_the_batch(batch: int, samples: int, tmp_path: Path) -> None:
    model = models.conv_net()
    alone, _ = program(model, tmp_path)
    graph = replace(alone, samples_side_by_side=4).at_batch(model, batch)
    first = next(operation for operation in graph.operations() if operation.type == "XlaConvV2")
    assert first.inputs[0].shape[0] == batch // samples


def test_samples_lie_side_by_side_up_to_the_last_narrow_layer(tmp_path: Path) -> None:
    graph = program(narrow_then_wide_net(), tmp_path)[0].graph
    chosen = operators_side_by_side(graph)
    products = [operator for operator in graph.operators if operator.name == "CONV_2D"]
    assert products[-1].index not in chosen
    assert products[-2].index in chosen
    assert not any(graph.operators[index].name in ("CONCATENATION", "FULLY_CONNECTED") for index in chosen)
    assert largest_factor(graph) == 8


def test_a_net_of_wide_layers_has_its_samples_apart(tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((4, 4, 128), name="image")
    x = keras.layers.Conv2D(128, 1, name="wide")(inputs)
    model = models.float_model_from_keras(keras.Model(inputs, x, name="wide"))
    graph = program(model, tmp_path)[0].graph
    assert largest_factor(graph) == 1
    assert not operators_side_by_side(graph)


def test_what_is_put_side_by_side_comes_apart_again() -> None:
    value = tf.reshape(tf.range(2 * 4 * 3 * 5), [8, 3, 5])
    together = side_by_side(value, 4)
    assert together.shape == (2, 3, 20)
    assert np.array_equal(apart(together, 4), value)


def test_a_block_diagonal_kernel_multiplies_each_sample_alone() -> None:
    random = np.random.default_rng(0)
    x, kernel = random.integers(-9, 9, (6, 4)), random.integers(-9, 9, (4, 3))
    together = side_by_side(tf.constant(x), 2) @ block_diagonal(tf.constant(kernel), 2)
    assert np.array_equal(apart(together, 2), x @ kernel)


def halved_lanes_net() -> FloatModel:
    """Convolutions of 64 channels on images that are large enough to count."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    inputs = layers.Input((32, 32, 3), name="image")
    x = layers.Conv2D(64, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.Conv2D(64, 3, padding="same", activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return models.float_model_from_keras(keras.Model(inputs, layers.Dense(5, name="scores")(x), name="halved"))


@pytest.mark.slow
@needs_compiler
def test_samples_lie_side_by_side_where_the_compiler_needs_fewer_cycles_and_are_served_as_one_by_one(
    tmp_path: Path,
) -> None:
    model = halved_lanes_net()
    inputs = models.random_inputs(model, LARGE_BATCH, seed=3)
    recipe = Recipe(
        post_training=PostTraining(quality="fast"),
        cloud_tpu=CloudTpu(precision="int8", batch_sizes=(1, LARGE_BATCH), topologies=("v5e:1x1",)),
    )
    samples = samples_from_arrays(inputs, model_inputs=model.inputs, model_outputs=model.outputs)
    out = tmp_path / "out"
    out.mkdir()
    artifact = convert(model, samples, recipe, out)
    facts = artifact.facts["integer_products"]
    assert isinstance(facts, dict)
    assert facts["samples_side_by_side"] == 2
    assert facts["cycles"]["int8, 2 samples side by side"] < facts["cycles"]["int8"]
    whole = only(models.run_signature(artifact.runnable, f"batch_{LARGE_BATCH}", inputs))
    parts = [
        only(models.run_signature(artifact.runnable, "batch_1", {"image": inputs["image"][n : n + 1]}))
        for n in range(LARGE_BATCH)
    ]
    assert np.array_equal(whole, np.concatenate(parts))


@needs_compiler
def test_samples_that_chips_share_stay_apart(tmp_path: Path) -> None:
    model = models.conv_net()
    alone, _ = program(model, tmp_path)
    choice = choose(alone, model, BATCH, ["v5e:1x1"], side_by_side=False)
    assert choice.program.samples_side_by_side == 1
    assert not any("side by side" in name for name in choice.cycles)
