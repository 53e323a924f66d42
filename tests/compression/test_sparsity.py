from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compression.models import Int8File, L, samples_for, small_cnn
from tfcompress.compression import strip, wrap
from tfcompress.compression.clustering.clustering import cluster_ids, clustered_values
from tfcompress.compression.sparsity.masks import importance, mask_for
from tfcompress.compression.sparsity.pruning import Schedule, layers_to_compress, sparsity_targets
from tfcompress.errors import RecipeError
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe
from tfcompress.runtime import tf, tf_keras

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(3, 3, 8, 12)).astype(np.float32)


def mask(pruning: Pruning, kernel: np.ndarray = KERNEL) -> np.ndarray:
    values = tf.constant(kernel)
    scores = importance(values, pruning, tf.abs(values))
    return np.asarray(mask_for(scores, pruning.sparsity, pruning))


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9])
def test_the_asked_number_of_zeros_is_reached_exactly(sparsity: float) -> None:
    assert np.count_nonzero(mask(Pruning(sparsity=sparsity)) == 0) == round(KERNEL.size * sparsity)


def test_equal_weights_do_not_miss_the_target() -> None:
    kernel = np.ones((4, 10), np.float32)
    assert np.count_nonzero(mask(Pruning(sparsity=0.3), kernel) == 0) == 12


def test_the_smallest_magnitudes_go() -> None:
    kept = mask(Pruning(sparsity=0.5)).astype(bool)
    assert np.abs(KERNEL[~kept]).max() <= np.abs(KERNEL[kept]).min()


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (3, 8)])
def test_n_of_every_m_inputs_are_kept(n: int, m: int) -> None:
    kept = mask(Pruning(pattern="n_m", n=n, m=m))
    groups = np.moveaxis(kept, 2, -1).reshape(-1, m)
    assert (groups.sum(axis=1) == n).all()


def test_the_largest_of_a_group_are_kept() -> None:
    kernel = np.array([[1.0], [-4.0], [3.0], [2.0]], np.float32)
    assert mask(Pruning(pattern="n_m"), kernel).reshape(-1).tolist() == [0, 1, 1, 0]


def test_a_shorter_last_group_keeps_its_largest_too() -> None:
    kernel = RANDOM.normal(size=(6, 5)).astype(np.float32)
    kept = mask(Pruning(pattern="n_m"), kernel)
    assert (kept[:4].sum(axis=0) == 2).all()
    assert (kept[4:].sum(axis=0) == 2).all()


def test_blocks_go_as_a_whole() -> None:
    kept = mask(Pruning(pattern="block", block_shape=(2, 4), sparsity=0.5))
    blocks = kept.reshape(36, 2, 3, 4).transpose(0, 2, 1, 3).reshape(-1, 8)
    assert set(blocks.sum(axis=1)) == {0, 8}
    assert (blocks.sum(axis=1) == 0).sum() == round(len(blocks) * 0.5)


@pytest.mark.parametrize("criterion", ["l1_norm", "l2_norm"])
def test_a_norm_prunes_whole_filters(criterion: Any) -> None:
    kept = mask(Pruning(criterion=criterion, sparsity=0.25)).reshape(-1, 12)
    assert sorted(kept.mean(axis=0)) == [0.0] * 3 + [1.0] * 9


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_the_shortest_training_reaches_the_target_too(steps: int) -> None:
    schedule = Schedule(Pruning(), 0.5, steps)
    asked = [schedule(tf.constant(step)) for step in range(1, steps + 1)]
    assert max(float(share) for due, share in asked if bool(due)) == 0.5


def test_a_polynomial_schedule_rises_to_the_target_and_ends_on_it() -> None:
    schedule = Schedule(Pruning(initial_sparsity=0.2, frequency=7, end_step=50), 0.9, 100)
    due = [step for step in range(1, 101) if bool(schedule(tf.constant(step))[0])]
    shares = [float(schedule(tf.constant(step))[1]) for step in due]
    assert due[0] == 1
    assert due[-1] == 50
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.2)
    assert shares[-1] == pytest.approx(0.9)


def test_first_last_and_depthwise_layers_are_left_by_default() -> None:
    x = inputs = L.Input((8, 8, 1))
    for name, layer in (("a", L.Conv2D(4, 3)), ("b", L.DepthwiseConv2D(3)), ("c", L.Conv2D(4, 1)), ("d", L.Flatten())):
        x = layer(x)
        layer._name = name
    model = tf_keras.Model(inputs, L.Dense(2, name="e")(x))
    layers, left = layers_to_compress(model, None)
    assert [layer.name for layer in layers] == ["c"]
    assert left == ["a", "b", "e"]


def test_sparsity_is_chosen_by_layer_name() -> None:
    targets = sparsity_targets(small_cnn(), Pruning(sparsity=0.5, layers=(("conv_*", 0.8), ("conv_2", 0.1)), skip=()))
    assert targets == {"conv_1": 0.8, "conv_2": 0.8, "hidden": 0.5, "scores": 0.5}


def test_a_pattern_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(RecipeError, match="fits no layer"):
        sparsity_targets(small_cnn(), Pruning(layers=(("cnov_1", 0.8),)))


def test_gradient_pruning_observes_gradients() -> None:
    model = small_cnn()
    recipe = Recipe(pruning=Pruning(criterion="gradient", skip=(), sparsity=0.5, frequency=2))
    wrapped = wrap(model, recipe, steps=4)
    wrapped.fit(RANDOM.normal(size=(32, 8, 8, 1)), RANDOM.integers(0, 3, 32), batch_size=8, verbose=0)
    kernel = strip(wrapped).get_layer("hidden").get_weights()[0]
    assert np.count_nonzero(kernel == 0) == kernel.size // 2


@pytest.mark.parametrize("initialization", ["kmeans_plus_plus", "linear", "density", "random"])
def test_clusters_are_as_many_as_asked_and_zeros_stay(initialization: Any) -> None:
    values = KERNEL * (np.abs(KERNEL) > 1)
    clustered = clustered_values(values, Clustering(clusters=8, initialization=initialization))
    assert len(np.unique(clustered)) <= 8
    np.testing.assert_array_equal(clustered == 0, values == 0)


def test_more_clusters_come_closer() -> None:
    errors = [float(np.abs(clustered_values(KERNEL, Clustering(clusters=n)) - KERNEL).mean()) for n in (2, 8, 64)]
    assert errors == sorted(errors, reverse=True)


def test_clustering_per_channel_has_as_many_values_in_each() -> None:
    clustered = clustered_values(KERNEL, Clustering(clusters=4, per_channel=True)).reshape(-1, 12)
    assert max(len(np.unique(column)) for column in clustered.T) <= 4
    assert len(np.unique(clustered)) > 4


def test_cluster_ids_tell_equal_values_of_a_channel() -> None:
    values = np.array([[1.0, 1.0], [2.0, 1.0]], np.float32)
    assert cluster_ids(values, per_channel=False).tolist() == [[0, 0], [1, 0]]
    assert cluster_ids(values, per_channel=True).tolist() == [[0, 2], [1, 2]]


def test_block_sparsity_is_in_the_int8_file() -> None:
    x = inputs = L.Input((16,))
    model = tf_keras.Model(inputs, L.Dense(8)(L.Dense(16, name="middle")(x)))
    recipe = Recipe(
        pruning=Pruning(pattern="block", block_shape=(4, 4), sparsity=0.5, skip=()),
        quantization=Quantization(),
        distillation=Distillation(),
    )
    file = Int8File(wrap(model, recipe, calibration=samples_for(model, 16, labels=False)))
    kernel = next(values for values in file.weights(256).values() if values.shape == (16, 16))
    blocks = kernel.reshape(4, 4, 4, 4).transpose(0, 2, 1, 3).reshape(16, 16)
    assert np.count_nonzero((blocks == 0).all(axis=1)) == 8
