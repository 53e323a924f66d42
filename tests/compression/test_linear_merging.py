"""What is linear after layers were left out becomes one layer that computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compression.models import functional
from tests.compression.test_low_rank import samples_of
from tests.compression.test_structure import macs
from tfcompress.compression.structure.layer_removal import remove_layers
from tfcompress.compression.structure.linear_merging import merge_linear
from tfcompress.graphs.keras.replay import flatten
from tfcompress.recipe import Layers
from tfcompress.runtime import tf_keras

L = tf_keras.layers

# The same sums in another order, relative to the largest output.
EXACT = 1e-5

IMAGE, ROW, SERIES, VOLUME = (8, 8, 3), (6,), (10, 4), (4, 4, 4, 2)


def strided(x: Any) -> Any:
    x = L.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="first")(x)
    x = L.Dropout(0.5)(L.BatchNormalization(name="norm")(x))
    return L.Conv2D(4, 1, activation="relu", name="last")(x)


def dense(x: Any) -> Any:
    x = L.Activation("linear")(L.Dense(12, name="first")(x))
    return L.Dense(3, activation="softmax", use_bias=False, name="last")(x)


def dense_of_places(x: Any) -> Any:
    return L.Dense(4, name="last")(L.Conv1D(8, 3, dilation_rate=2, name="first")(x))


def volumes(x: Any) -> Any:
    return L.Conv3D(2, 1, name="last")(L.BatchNormalization(name="norm")(L.Conv3D(6, 2, name="first")(x)))


def norms(x: Any) -> Any:
    x = L.BatchNormalization(scale=False, center=False, name="first")(x)
    return L.ReLU()(L.BatchNormalization(name="last")(x))


def difference(first: Any, second: Any, shape: tuple[int, ...]) -> float:
    x = np.random.default_rng(1).normal(size=(4, *shape)).astype(np.float32)
    a, b = np.asarray(first(x)), np.asarray(second(x))
    return float(np.abs(a - b).max() / np.abs(b).max())


@pytest.mark.parametrize(
    ("shape", "function"),
    [(IMAGE, strided), (ROW, dense), (SERIES, dense_of_places), (VOLUME, volumes), (IMAGE, norms)],
)
def test_linear_neighbours_become_one_layer_with_the_same_outputs(shape: tuple[int, ...], function: Any) -> None:
    model = flatten(functional(shape, function))
    merged = merge_linear(model)
    names = [layer.name for layer in merged.model.layers]
    assert "last" in names
    assert not {"first", "norm"} & set(names)
    assert "first" in merged.lineage.removed
    assert merged.lineage.origins["last"].layer == "last"
    assert len(merged.notes) == 1
    assert macs(merged.model) <= macs(model)
    assert difference(merged.model, model, shape) < EXACT


def test_another_kernel_would_be_seen() -> None:
    model = flatten(functional(IMAGE, strided))
    merged: Any = merge_linear(model).model
    kernel, bias = merged.get_layer("last").get_weights()
    merged.get_layer("last").set_weights([kernel * 1.01, bias])
    assert difference(merged, model, IMAGE) > 100 * EXACT


def activated(x: Any) -> Any:
    return L.Dense(3, name="last")(L.Dense(12, activation="relu", name="first")(x))


def bottleneck(x: Any) -> Any:
    return L.Dense(12, name="last")(L.Dense(2, name="first")(x))


def read_twice(x: Any) -> Any:
    x = L.Dense(12, name="first")(x)
    return L.Concatenate()([L.Dense(3, name="last")(x), x])


def larger_last(x: Any) -> Any:
    return L.Conv2D(2, 3, padding="same", name="last")(L.Conv2D(8, 1, name="first")(x))


def subsampling_last(x: Any) -> Any:
    return L.Conv2D(2, 1, strides=2, name="last")(L.Conv2D(8, 3, name="first")(x))


def shared(x: Any) -> Any:
    layer = L.Dense(6, name="first")
    return L.Dense(3, name="last")(layer(L.ReLU()(layer(x))))


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        (ROW, activated),
        (ROW, bottleneck),
        (ROW, read_twice),
        (IMAGE, larger_last),
        (IMAGE, subsampling_last),
        (ROW, shared),
    ],
)
def test_what_is_not_linear_or_would_cost_more_stays(shape: tuple[int, ...], function: Any) -> None:
    model = flatten(functional(shape, function))
    merged = merge_linear(model)
    assert merged.model is model
    assert not merged.notes
    assert not merged.lineage.removed


def test_a_layer_that_is_skipped_is_not_merged() -> None:
    model = flatten(functional(ROW, dense))
    assert merge_linear(model, skip=("fir*",)).model is model


def test_leaving_out_a_run_merges_the_linear_layers_beside_it() -> None:
    def with_a_run(x: Any) -> Any:
        x = L.Conv2D(8, 3, padding="same", name="first")(x)
        x = L.Conv2D(8, 3, padding="same", activation="relu", name="run")(x)
        return L.Conv2D(4, 1, name="last")(x)

    model = flatten(functional(IMAGE, with_a_run))
    samples = samples_of(np.random.default_rng(0).normal(size=(64, *IMAGE)).astype(np.float32), model)
    smaller = remove_layers(model, Layers(remove=1), samples)
    assert [layer.name for layer in smaller.model.layers][1:] == ["last"]
    assert set(smaller.lineage.removed) == {"first", "run"}
    assert "first merged into last" in smaller.notes[-1]
    x = np.random.default_rng(1).normal(size=(2, *IMAGE)).astype(np.float32)
    left: Any = model
    wanted = left.get_layer("last")(left.get_layer("first")(x))
    np.testing.assert_allclose(smaller.model(x), wanted, atol=EXACT * float(np.abs(wanted).max()))
