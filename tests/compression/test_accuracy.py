"""What compression costs in accuracy: trained ranges, rates of each stage, and three models on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.table_compression import row
from tests.compression.models import L, samples_for, small_cnn
from tfcompress.compression import finetune, wrap
from tfcompress.compression.simulation.quantize import FakeQuantize
from tfcompress.compression.simulation.quantizers import ActivationRange
from tfcompress.errors import RecipeError
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe, Training
from tfcompress.runtime import tf, tf_keras

POINTS = 0.3  # of accuracy that 90 % pruning, 16 clusters and int8 may cost
AGREEMENT = 0.985


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet_300_100", "lenet_5"])
def test_pruned_clustered_and_quantized_lenets_keep_their_accuracy(name: str, shared: Path) -> None:
    figures = row(name)
    assert figures["float_accuracy"] >= 0.97
    assert figures["points_lost"] <= POINTS
    assert figures["fully_integer"]
    assert figures["sparsity"] >= 0.9
    assert figures["distinct_values"] <= 16
    assert figures["gzip_bytes"] < figures["bytes"] / 2


@pytest.mark.slow
def test_resnet8_trained_on_unlabelled_images_agrees_with_its_float_model(shared: Path) -> None:
    figures = row("resnet8")
    assert figures["top1_agreement"] >= AGREEMENT
    assert figures["fully_integer"]


def ranges_of(model: Any) -> dict[str, list[float]]:
    return {
        layer.name: [float(layer.quantizer_weights[end]) for end in ("low", "high")]
        for layer in model.layers
        if isinstance(layer, FakeQuantize) and layer.quantizer_weights
    }


def trained_ranges(model: Any, *, train_ranges: bool) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Before and after a few steps of self-distillation."""
    recipe = Recipe(
        quantization=Quantization(train_ranges=train_ranges),
        distillation=Distillation(),
        training=Training(learning_rate=1e-2),
    )
    samples = samples_for(model, labels=False)
    wrapped = wrap(model, recipe, calibration=samples, steps=8)
    before = ranges_of(wrapped)
    inputs = next(samples.batches(64)).inputs
    wrapped.fit(next(iter(inputs.values())), batch_size=8, verbose=0)
    return before, ranges_of(wrapped)


def test_training_moves_calibrated_ranges_but_not_an_end_at_zero() -> None:
    before, after = trained_ranges(small_cnn(), train_ranges=True)
    assert before["relu_2"][1] != after["relu_2"][1]
    assert before["relu_2"][0] == after["relu_2"][0] == 0


def test_ranges_stay_as_calibrated_where_the_recipe_says_so() -> None:
    before, after = trained_ranges(small_cnn(), train_ranges=False)
    assert before == after


def test_ranges_whose_ratio_a_kernel_fixes_are_not_trained() -> None:
    tf_keras.utils.set_random_seed(0)
    x = inputs = L.Input((8,), name="features")
    x = L.Dense(8, name="first")(x)
    x = L.LeakyReLU(name="leaky")(x)
    model = tf_keras.Model(inputs, L.Dense(3, activation="softmax", name="scores")(L.Dense(8, name="second")(x)))
    before, after = trained_ranges(model, train_ranges=True)
    assert before["leaky"] == after["leaky"]
    assert before["first"] == after["first"]
    assert before["second"] != after["second"]


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_a_range_too_wide_or_too_narrow_is_trained_to_a_better_one(factor: float) -> None:
    values = tf.constant(np.random.default_rng(0).normal(size=4096), tf.float32)
    quantizer = ActivationRange(-3.0 * factor, 3.0 * factor, trains=True)
    layer = FakeQuantize(quantizer)

    def error() -> Any:
        return tf.reduce_mean(tf.square(layer(values, training=True) - values))

    first = float(error())
    optimizer = tf_keras.optimizers.Adam(0.1)
    for _ in range(100):
        optimizer.minimize(error, layer.trainable_variables)
    assert float(error()) < first / 4


def test_each_stage_trains_for_its_own_epochs(tmp_path: Path) -> None:
    recipe = Recipe(
        pruning=Pruning(epochs=2, learning_rate=1e-2),
        clustering=Clustering(),
        training=Training(epochs=1, batch_size=32),
    )
    finetune(small_cnn(), recipe, samples_for(small_cnn()), checkpoint_dir=tmp_path)
    epochs = {stage: int(np.load(tmp_path / f"{stage}.npz")["epoch"]) for stage in ("pruning", "clustering")}
    assert epochs == {"pruning": 2, "clustering": 1}


@pytest.mark.parametrize(("field", "value"), [("epochs", 0), ("learning_rate", -1.0)])
def test_a_stage_with_impossible_training_is_refused(field: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"clustering.{field}"):
        Recipe.from_json(f'{{"clustering": {{"{field}": {value}}}}}')
