"""Options of training, each through `finetune`: strategies, combinations, logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compression.models import Int8File, L, bright_bands, samples_for, small_cnn
from tfcompress.compression import finetune
from tfcompress.compression.simulation.signs import signed
from tfcompress.compression.training.strided_convolutions import subsampled_convolutions
from tfcompress.compression.wrapped_model import WrappedModel
from tfcompress.errors import InputError, RecipeError
from tfcompress.loss_names import LOSSES
from tfcompress.recipe import Clustering, Pruning, Quantization, Recipe, Training
from tfcompress.runtime import tf, tf_keras

ONE_EPOCH = Training(epochs=1, batch_size=16)


def test_clusters_survive_quantization_without_pruning() -> None:
    model = small_cnn()
    recipe = Recipe(clustering=Clustering(clusters=8, skip=()), quantization=Quantization(), training=ONE_EPOCH)
    file = Int8File(finetune(model, recipe, bright_bands(model, 64)).trained)
    kernels = [values for values in file.weights(40).values() if values.ndim > 1]
    assert len(kernels) == 4
    for values in kernels:
        assert len(np.unique(values)) <= 8
        assert np.count_nonzero(values == 0) < values.size / 2


@pytest.mark.parametrize(("table", "values"), [("binary", [-127, 127]), ("ternary", [-127, 0, 127])])
def test_kernels_of_two_and_three_values_are_exact_in_the_int8_file(table: str, values: list[int]) -> None:
    model = small_cnn()
    recipe = Recipe(
        clustering=Clustering(table=table, skip=()),  # type: ignore[arg-type]
        quantization=Quantization(),
        training=Training(epochs=1, batch_size=16, learning_rate=0.1),
    )
    done = finetune(model, recipe, bright_bands(model, 64))
    kernels = [kernel for kernel in Int8File(done.trained).weights(40).values() if kernel.ndim > 1]
    assert len(kernels) == 4
    for kernel in kernels:
        assert np.unique(kernel).tolist() == values
    untrained = signed(model.get_layer("hidden").kernel, None, "last", table)  # type: ignore[arg-type]
    assert (np.sign(np.asarray(untrained)) != np.sign(done.stripped.get_layer("hidden").kernel)).any()


def test_each_layer_may_have_a_table_of_its_own_size() -> None:
    model = small_cnn()
    clustering = Clustering(clusters=8, layers=(("hidden", 3), ("conv_*", 5)), skip=())
    stripped = finetune(model, Recipe(clustering=clustering, training=ONE_EPOCH), bright_bands(model, 64)).stripped
    kernels = [stripped.get_layer(name).kernel.numpy() for name in ("conv_1", "conv_2", "hidden", "scores")]
    assert [len(np.unique(kernel)) for kernel in kernels] == [5, 5, 3, 8]


def test_patterns_mean_a_layer_whose_activation_becomes_a_layer_of_its_own_too() -> None:
    model = small_cnn()
    clustering = Clustering(clusters=8, layers=(("scores", 3),), skip=("hidden",))
    recipe = Recipe(clustering=clustering, quantization=Quantization(), training=ONE_EPOCH)
    stripped = finetune(model, recipe, bright_bands(model, 64)).stripped
    kernels = {layer.name: layer.kernel.numpy() for layer in stripped.layers if hasattr(layer, "kernel")}
    assert len(np.unique(kernels["scores_linear"])) == 3
    assert len(np.unique(kernels["hidden"])) > 8


def test_a_table_for_a_layer_that_is_not_there_is_refused() -> None:
    model = small_cnn()
    recipe = Recipe(clustering=Clustering(layers=(("hiden", 3),), skip=()), training=ONE_EPOCH)
    with pytest.raises(RecipeError, match="'hiden' fits no layer"):
        finetune(model, recipe, bright_bands(model, 16))


def test_batch_normalization_may_train_on_and_the_file_still_computes_the_same() -> None:
    model = small_cnn()
    recipe = Recipe(quantization=Quantization(freeze_batch_norm=False), training=ONE_EPOCH)
    done = finetune(model, recipe, bright_bands(model, 64))
    before, after = (network.get_layer("bn_1").moving_mean.numpy() for network in (model, done.stripped))
    assert not np.allclose(before, after)
    file = Int8File(done.trained)
    inputs = next(bright_bands(model, 64, seed=1).batches(64)).inputs["image"]
    got, scale = file.run(inputs)
    assert not file.float_tensors
    np.testing.assert_allclose(got, np.asarray(done.trained(inputs, training=False)), rtol=0, atol=1.01 * scale)


def test_a_training_step_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[object] = []
    step = WrappedModel.train_step

    def counted(model: WrappedModel, data: object) -> dict[str, object]:
        traces.append(data)
        return step(model, data)

    monkeypatch.setattr(WrappedModel, "train_step", counted)
    model = small_cnn()
    recipe = Recipe(quantization=Quantization(), training=Training(epochs=2, batch_size=16))
    finetune(model, recipe, bright_bands(model, 40))
    assert len(traces) == 1


@pytest.mark.slow
def test_mirrored_training_on_one_device_is_plain_training() -> None:
    alone, mirrored = (
        finetune(
            small_cnn(),
            Recipe(quantization=Quantization(), training=Training(epochs=1, batch_size=16, strategy=strategy)),
            bright_bands(small_cnn(), 64),
        ).trained.get_weights()
        for strategy in ("none", "mirrored")
    )
    for array, other in zip(alone, mirrored, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-6)


def test_a_missing_tpu_is_said_in_one_line() -> None:
    model = small_cnn()
    recipe = Recipe(quantization=Quantization(), training=Training(strategy="tpu"))
    with pytest.raises(InputError, match=r"training\.strategy=tpu: no TPU can be reached") as raised:
        finetune(model, recipe, bright_bands(model, 16))
    assert "\n" not in str(raised.value)


def test_tensorflow_reads_the_losses_that_are_logged_for_tensorboard(tmp_path: Path) -> None:
    model = small_cnn()
    recipe = Recipe(pruning=Pruning(), training=Training(epochs=2, batch_size=32))
    finetune(model, recipe, bright_bands(model, 64), checkpoint_dir=tmp_path)
    events = [
        event
        for path in sorted((tmp_path / "logs" / "pruning").iterdir())
        for event in tf.compat.v1.train.summary_iterator(str(path))
    ]
    losses = [(event.step, value.tag, value.simple_value) for event in events for value in event.summary.value]
    assert [(step, tag) for step, tag, _ in losses] == [(1, "loss"), (2, "loss")]
    assert all(0 < loss < 100 for _, _, loss in losses)


def test_the_losses_that_a_recipe_may_name_are_those_that_keras_has() -> None:
    names = {name for name, value in vars(tf_keras.losses).items() if callable(value) and not name.startswith("_")}
    assert names - set(LOSSES) == {"Loss", "Reduction", "deserialize", "get", "serialize"}
    assert all(callable(tf_keras.losses.get(name)) for name in LOSSES)


def test_strided_1x1_convolutions_that_crash_onednn_are_trained() -> None:
    inputs = L.Input((60, 60, 5))
    x = L.Conv2D(8, 1, strides=2, padding="same", name="thin")(inputs)
    model = tf_keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).normal(size=(2, 60, 60, 5)).astype(np.float32)
    plain = np.asarray(model(images))
    with subsampled_convolutions(model):
        np.testing.assert_allclose(np.asarray(model(images)), plain, rtol=1e-5, atol=1e-6)
    done = finetune(model, Recipe(quantization=Quantization(), training=ONE_EPOCH), samples_for(model, 16))
    assert "convolution_op" not in vars(done.trained.get_layer("quant_thin").layer)
