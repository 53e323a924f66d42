"""`.keras` files of TensorFlow 2.12 and 2.13, with layers under another name and numbered otherwise."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tfcompress import load_model
from tfcompress.load.files.old_layout import has_old_layout
from tfcompress.runtime import tf_keras

CASES = Path(__file__).parents[3] / "shared" / "cases"
# Convolutions of another version of TensorFlow add in another order.
OTHER_VERSION = 1e-5
OLD = "_layer_checkpoint_dependencies"


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_a_file_of_tensorflow_2_13_predicts_what_it_predicted_there(kind: str) -> None:
    expected = np.load(CASES / f"tf2.13.1_{kind}_expected.npz")
    model = load_model(CASES / f"tf2.13.1_{kind}.keras")
    (result,) = model.predict({model.inputs[0].name: expected["x"]}).values()
    np.testing.assert_allclose(result, expected["y"], atol=OTHER_VERSION)


def many_layers() -> Any:
    """Layers of one class with and without weights, nested models, wrappers and cells."""
    layers = tf_keras.layers
    x = inputs = tf_keras.Input((8, 4))
    for _ in range(3):
        x = layers.ReLU()(layers.Conv1D(4, 3, padding="same")(x))
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    inner = tf_keras.Sequential([tf_keras.Input((8, 6)), layers.Dense(4), layers.ReLU(), layers.Dense(5)])
    x = layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)])(inner(x))
    return tf_keras.Model(inputs, layers.Dense(2)(x))


def in_old_layout(path: Path, model: Any) -> Path:
    """The file that TensorFlow 2.13 would have written."""
    model.save(path)
    unpacked = path.with_suffix("")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(unpacked)
    with h5py.File(unpacked / "model.weights.h5", "r+") as file:
        _rename(file, model)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.write(unpacked / name, name)
    shutil.rmtree(unpacked)
    return path


def _rename(group: Any, model: Any) -> None:
    group.move("layers", OLD)
    counts: dict[str, int] = {}
    moves = []
    present: dict[str, int] = {}
    for layer in model.layers:
        kind = tf_keras.src.utils.generic_utils.to_snake_case(type(layer).__name__)
        number, at = counts.get(kind, 0), present.get(kind, 0)
        name = f"{kind}_{at}" if at else kind
        moves.append((name, f"{kind}_{number}" if number else kind, layer))
        counts[kind], present[kind] = number + (2 if layer.weights else 1), at + 1
    for name, old, layer in reversed(moves):
        if name in group[OLD] and name != old:
            group[OLD].move(name, old)
        if isinstance(layer, tf_keras.Model):
            _rename(group[OLD][old], layer)


def test_repeated_classes_nested_models_and_wrappers_get_their_own_weights(tmp_path: Path) -> None:
    model = many_layers()
    path = in_old_layout(tmp_path / "old.keras", model)
    assert has_old_layout(path)
    with pytest.raises(ValueError, match="expected 2 variables, but received 0"):
        tf_keras.models.load_model(path)
    loaded = load_model(path)
    x = np.random.default_rng(0).normal(size=(2, 8, 4)).astype(np.float32)
    (result,) = loaded.predict({loaded.inputs[0].name: x}).values()
    np.testing.assert_array_equal(result, np.asarray(model(x)))
