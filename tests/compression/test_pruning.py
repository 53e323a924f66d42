"""Every way of pruning and clustering, by the public interface: wrapped, trained in plain Keras style, stripped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compression.models import Int8File, L, randomize_batch_norms, samples_for
from tfcompress.compression import finetune, strip, wrap
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe, Training
from tfcompress.runtime import tf_keras

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2048, 16)).astype(np.float32)
Y = (X[:, :8].sum(axis=1) > 0).astype(np.int64)


def dense() -> Any:
    tf_keras.utils.set_random_seed(0)
    layers = [L.Dense(16, activation="relu", name="first"), L.Dense(16, activation="relu", name="second"), L.Dense(2)]
    return tf_keras.Sequential([L.Input((16,)), *layers])


def pruned(pruning: Pruning) -> dict[str, np.ndarray]:
    """{layer name: kernel} after eight steps."""
    wrapped = wrap(dense(), Recipe(pruning=pruning), steps=8)
    wrapped.fit(X, Y, batch_size=512, epochs=2, verbose=0)
    return {layer.name: layer.get_weights()[0] for layer in strip(wrapped).layers if layer.weights}


def test_norms_prune_whole_outputs() -> None:
    kernel = pruned(Pruning(criterion="l2_norm", sparsity=0.25, skip=("dense*",)))["second"]
    assert np.count_nonzero(~kernel.any(axis=0)) == 4
    assert np.count_nonzero(kernel) == kernel.size * 0.75


def test_l1_norms_prune_whole_outputs() -> None:
    kernel = pruned(Pruning(criterion="l1_norm", sparsity=0.5, skip=("dense*",)))["second"]
    assert np.count_nonzero(~kernel.any(axis=0)) == 8


def test_first_order_importance_spares_the_inputs_that_the_labels_depend_on() -> None:
    kernels = {
        criterion: pruned(Pruning(criterion=criterion, sparsity=0.5, skip=("second", "dense*")))["first"]
        for criterion in ("gradient", "magnitude")
    }
    kept = {criterion: np.count_nonzero(kernel[:8]) for criterion, kernel in kernels.items()}
    assert all(np.count_nonzero(kernel) == kernel.size // 2 for kernel in kernels.values())
    assert kept["gradient"] > kept["magnitude"]


def test_two_of_four_and_blocks_are_trained() -> None:
    kernel = pruned(Pruning(pattern="n_m", skip=("dense*",)))["second"]
    assert (np.count_nonzero(kernel.reshape(4, 4, 16), axis=1) == 2).all()
    kernel = pruned(Pruning(pattern="block", block_shape=(4, 2), sparsity=0.5, skip=("dense*",)))["second"]
    blocks = kernel.reshape(4, 4, 8, 2).any(axis=(1, 3))
    assert np.count_nonzero(~blocks) == 16


def test_layers_have_targets_of_their_own() -> None:
    kernels = pruned(Pruning(sparsity=0.5, layers=(("fir*", 0.75), ("second", 0.0)), skip=("dense*",)))
    assert np.count_nonzero(kernels["first"] == 0) == 192
    assert np.count_nonzero(kernels["second"] == 0) == 0


def test_clusters_of_each_channel_survive_training() -> None:
    wrapped = wrap(dense(), Recipe(clustering=Clustering(clusters=4, per_channel=True, skip=("dense*",))), steps=8)
    before = strip(wrapped).get_layer("second").get_weights()[0]
    wrapped.fit(X, Y, batch_size=512, epochs=2, verbose=0)
    kernel = strip(wrapped).get_layer("second").get_weights()[0]
    assert not np.array_equal(before, kernel)
    assert max(len(np.unique(column)) for column in kernel.T) <= 4
    assert len(np.unique(kernel)) > 4


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["n_m", "block"])
def test_sparsity_of_the_1x1_convolutions_of_mobilenet_v2_is_in_the_int8_file_after_qat(pattern: Any) -> None:
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(32, 32, 3), classes=10)
    randomize_batch_norms(model)
    recipe = Recipe(
        pruning=Pruning(pattern=pattern, block_shape=(4, 4), sparsity=0.5),
        quantization=Quantization(),
        distillation=Distillation(),
        training=Training(epochs=1, batch_size=16),
    )
    file = Int8File(finetune(model, recipe, samples_for(model, 32, labels=False)).trained)
    kernels = [values[:, 0, 0, :] for values in file.weights().values() if values.ndim == 4 and values.shape[1] == 1]
    kernels = [kernel for kernel in kernels if len(kernel) > 1]  # [outputs, inputs]; a depthwise one has one output
    assert len(kernels) == 34
    for kernel in kernels:
        if pattern == "n_m":
            assert (np.count_nonzero(kernel.reshape(len(kernel), -1, 4), axis=2) <= 2).all()
        else:
            blocks = kernel.reshape(len(kernel) // 4, 4, -1, 4).any(axis=(1, 3))
            assert np.count_nonzero(~blocks) >= round(blocks.size / 2)
    assert not file.float_tensors
