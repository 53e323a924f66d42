"""What a model's tensors take is measured where it is tried, and decides how many samples are computed at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfcompress.accuracy_diff import channel_error
from tfcompress.accuracy_diff.layers import compare_layers, diff
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.runners import FloatModelRunner
from tfcompress.accuracy_diff.signal_error import signal_statistics
from tfcompress.accuracy_diff.stream import batch_size_for
from tfcompress.calibration import histogram
from tfcompress.compression import finetune
from tfcompress.data import Samples, open_data
from tfcompress.data.samples import BATCH_BYTES
from tfcompress.errors import ModelError, RecipeError
from tfcompress.load import load_model
from tfcompress.load.files.limits import physical_memory
from tfcompress.recipe import Pruning, Recipe
from tfcompress.remarks import remarks
from tfcompress.runtime import keras, tf, tf_keras

ROUNDING = 1e-12  # relative, of float64 sums in another order

LENGTH = 100_000
OF_A_FLOAT = 4


def repeated(folder: Path, length: int) -> Path:
    """A model that makes `length` times 4 numbers of 4, and their largest."""
    x = keras.Input((4,), name="x")
    keras.Model(x, keras.layers.GlobalMaxPooling1D()(keras.layers.RepeatVector(length)(x))).save(folder / "m.keras")
    return folder / "m.keras"


def test_the_tensors_of_a_sample_are_counted_where_the_file_is_tried(tmp_path: Path) -> None:
    counted = load_model(repeated(tmp_path, LENGTH)).sample_bytes
    large = LENGTH * 4 * OF_A_FLOAT
    assert 5 * large <= counted < 5.01 * large  # and four copies of the largest


def test_the_tensors_of_a_saved_model_are_counted(tmp_path: Path) -> None:
    x = tf_keras.Input((4,))
    tf_keras.Model(x, tf_keras.layers.RepeatVector(LENGTH)(x)).export(tmp_path / "saved")
    output = LENGTH * 4 * OF_A_FLOAT
    assert load_model(tmp_path / "saved").sample_bytes >= 5 * output  # itself, and four copies of an output


def test_what_a_convolution_does_itself_is_one_tensor_with_it(tmp_path: Path) -> None:
    def counted(*, residual: bool) -> int:
        image = keras.Input((100, 100, 8))
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, padding="same")(image))
        x = keras.layers.ReLU()(keras.layers.Add()([x, image]) if residual else x)
        keras.Model(image, keras.layers.GlobalMaxPooling2D()(x)).save(tmp_path / f"{residual}.keras")
        return load_model(tmp_path / f"{residual}.keras").sample_bytes

    large = 100 * 100 * 8 * OF_A_FLOAT
    assert 6 * large <= counted(residual=False) < 6.1 * large  # the input, one tensor, four copies of the largest
    assert 8 * large <= counted(residual=True) < 8.1 * large  # the sum and what it is clipped to are two more


def test_tensors_that_are_too_large_are_refused_with_the_flag_that_lets_them_in(tmp_path: Path) -> None:
    path = repeated(tmp_path, 2_000_000)
    with pytest.raises(ModelError, match=r"take 15\d MiB a sample.*--max_load_memory=2\d\d allows") as refused:
        load_model(path, max_load_memory=200)
    allowed = int(str(refused.value).partition("--max_load_memory=")[2].partition(" ")[0])
    assert load_model(path, max_load_memory=allowed).sample_bytes > 150 << 20


def samples(rows: int) -> Samples:
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(2)])
    infos = FloatModelRunner(load_model(model))
    return open_data({"x": np.zeros((rows, 4), np.float32)}, infos.inputs, infos.outputs, flag="evaluation")


def test_batches_shrink_until_their_tensors_fit() -> None:
    data = samples(10)
    assert [len(batch) for batch in replace(data, sample_bytes=BATCH_BYTES // 4).batches(8)] == [4, 4, 2]
    assert [len(batch) for batch in replace(data, sample_bytes=2 * BATCH_BYTES).take(2).batches(8)] == [1, 1]
    assert [len(batch) for batch in data.batches(8)] == [8, 2]


def test_batches_shrink_with_the_outputs_of_all_models() -> None:
    wide = keras.Sequential([keras.Input((4,), name="x"), keras.layers.RepeatVector(1 << 20)])
    assert batch_size_for(samples(2)) == 128
    assert batch_size_for(samples(2), [FloatModelRunner(load_model(wide))]) == 4


def test_sizes_that_are_not_fixed_count_as_the_data_has_them(tmp_path: Path) -> None:
    x = keras.Input((None, 4), name="x")
    keras.Model(x, keras.layers.GlobalMaxPooling1D()(keras.layers.Conv1D(8, 3)(x))).save(tmp_path / "m.keras")
    model = load_model(tmp_path / "m.keras")
    data = open_data({"x": np.zeros((2, 3200, 4), np.float32)}, model.inputs, model.outputs, flag="evaluation")
    assert data.measured(model.sample_bytes).sample_bytes == 100 * model.sample_bytes > 0


def test_training_steps_that_would_take_most_of_the_memory_are_refused() -> None:
    large = replace(samples(2), sample_bytes=physical_memory() // 64)
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(2)])
    with pytest.raises(RecipeError, match=r"--batch_size=32: .* take at most 16"):
        finetune(model, Recipe(pruning=Pruning()), large)


def test_layers_that_would_not_fit_into_memory_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    x = keras.Input((4,), name="x")
    y = keras.layers.Dense(4, name="large")(keras.layers.RepeatVector(200)(x))
    model = load_model(keras.Model(x, keras.layers.Dense(2, name="small")(keras.layers.GlobalMaxPooling1D()(y))))
    content = tf.lite.TFLiteConverter.from_keras_model(model.keras_model).convert()
    data = open_data({"x": np.ones((2, 4), np.float32)}, model.inputs, (), flag="evaluation")

    def layers() -> set[str]:
        return {row.layer for row in compare_layers(FloatModelRunner(model), LiteRtRunner(content, workers=1), data)}

    assert layers() >= {"large", "small"}
    monkeypatch.setattr(diff, "MOST_VALUES", 100)
    with remarks() as said:
        assert "small" in layers()
        assert "large" not in layers()
    assert any("left out of the diff of the layers" in line for line in said)


def test_statistics_of_long_rows_are_those_of_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    reference, candidate = random.random((2, 3, 50, 6), dtype=np.float32)
    reference, candidate = (values / values.sum(axis=(1, 2), keepdims=True) for values in (reference, candidate))
    whole = signal_statistics(reference, candidate)
    monkeypatch.setattr(channel_error, "MOST_VALUES", 21)
    parts = signal_statistics(reference, candidate)
    assert whole.keys() == parts.keys()
    assert float(np.asarray(whole["divergence"])) > 0
    for name, value in whole.items():
        np.testing.assert_allclose(np.asarray(parts[name]), np.asarray(value), rtol=ROUNDING, err_msg=name)


def test_histogram_of_many_values_is_that_of_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    whole, parts = histogram.Histogram(), histogram.Histogram()
    whole.update(values)
    monkeypatch.setattr(histogram, "_PIECE", 33)
    parts.update(values)
    np.testing.assert_array_equal(whole.counts, parts.counts)
