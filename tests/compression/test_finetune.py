from __future__ import annotations

import numpy as np
import pytest

from tests.compression.models import Int8File, functional, samples_for, small_cnn
from tfcompress.compression import finetune, strip, wrap
from tfcompress.errors import DataError, RecipeError
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe, Training
from tfcompress.runtime import tf, tf_keras

ONE_EPOCH = Training(epochs=1, batch_size=16)


def test_pruned_clustered_and_quantized_weights_are_so_in_the_int8_file() -> None:
    model = small_cnn()
    recipe = Recipe(
        pruning=Pruning(sparsity=0.75, skip=()),
        clustering=Clustering(clusters=8, skip=()),
        quantization=Quantization(),
        distillation=Distillation(),
        training=ONE_EPOCH,
    )
    done = finetune(model, recipe, samples_for(model, labels=False))
    file = Int8File(done.trained)
    kernels = [values for values in file.weights(40).values() if values.ndim > 1]
    assert len(kernels) == 4
    for values in kernels:
        assert np.count_nonzero(values == 0) >= round(values.size * 0.75)
        assert len(np.unique(values)) <= 8
    assert not file.float_tensors


def test_two_runs_give_identical_weights() -> None:
    recipe = Recipe(pruning=Pruning(), quantization=Quantization(), training=ONE_EPOCH)
    first, second = (finetune(m, recipe, samples_for(m), seed=3) for m in (small_cnn(), small_cnn()))
    for array, other in zip(first.trained.get_weights(), second.trained.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.slow
def test_another_seed_gives_other_weights() -> None:
    recipe = Recipe(quantization=Quantization(), training=ONE_EPOCH)
    first, second = (finetune(small_cnn(), recipe, samples_for(small_cnn()), seed=seed) for seed in (3, 4))
    assert any(
        not np.array_equal(array, other)
        for array, other in zip(first.stripped.get_weights(), second.stripped.get_weights(), strict=True)
    )


def test_the_original_model_is_not_changed() -> None:
    model = small_cnn()
    before = model.get_weights()
    finetune(model, Recipe(quantization=Quantization(), training=ONE_EPOCH), samples_for(model))
    for array, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)


def test_wrap_gives_a_model_that_fits_in_plain_keras_style() -> None:
    model = small_cnn()
    wrapped = wrap(model, Recipe(pruning=Pruning(schedule="constant", sparsity=0.5, skip=())), steps=4)
    random = np.random.default_rng(0)
    wrapped.fit(random.normal(size=(32, 8, 8, 1)), random.integers(0, 3, 32), batch_size=8, verbose=0)
    plain = strip(wrapped)
    for name in ("conv_1", "conv_2", "hidden", "scores"):
        kernel = plain.get_layer(name).get_weights()[0]
        assert np.count_nonzero(kernel == 0) == round(kernel.size * 0.5)


def test_output_names_are_those_of_the_model() -> None:
    model = small_cnn()
    recipe = Recipe(pruning=Pruning(), quantization=Quantization(), distillation=Distillation(), training=ONE_EPOCH)
    done = finetune(model, recipe, samples_for(model, labels=False))
    assert done.trained.output_names == done.stripped.output_names == model.output_names
    assert done.trained.input_names == done.stripped.input_names == model.input_names


def test_labels_are_asked_for_where_the_loss_needs_them() -> None:
    model = small_cnn()
    with pytest.raises(DataError, match="no labels"):
        finetune(model, Recipe(quantization=Quantization(), training=ONE_EPOCH), samples_for(model, labels=False))


def test_a_recipe_that_trains_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="nothing to train"):
        wrap(small_cnn(), Recipe())


def test_a_model_that_is_not_finite_on_the_data_is_refused_in_words() -> None:
    dense = tf_keras.layers.Dense
    model = functional((6,), lambda x: dense(3)(tf.math.exp(1e3 * tf.nn.relu(dense(4)(x)))))
    with pytest.raises(DataError, match=r"layer '.*': the float model gives NaN or infinity on the training data"):
        finetune(model, Recipe(quantization=Quantization()), samples_for(model, 32))
