"""A Keras 3 model that was pruned and trained with fake quantization comes back as a Keras 3 model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.load.test_conversion import Doubler, assert_close, outputs_of
from tfcompress.compression import finetune
from tfcompress.data.arrays import samples_from_arrays
from tfcompress.load import float_model_from_keras, load_model, to_keras3
from tfcompress.recipe import Pruning, Quantization, Recipe, Training
from tfcompress.runtime import keras, tf_keras


def test_pruned_and_quantization_aware_model_comes_back_with_its_trained_weights(tmp_path: Path) -> None:
    layers = keras.layers
    x = keras.Input((8, 8, 3), name="picture")
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(x)
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", name="second")(y)) + y
    y = keras.ops.mean(Doubler(1.0)(y), axis=(1, 2))
    model = keras.Model(x, layers.Dense(3, activation="softmax", name="class")(y))
    before = model.get_weights()
    info = float_model_from_keras(model)
    generator = np.random.default_rng(0)
    pictures, labels = generator.random((64, 8, 8, 3), dtype=np.float32), generator.integers(0, 3, 64)
    samples = samples_from_arrays(pictures, labels, model_inputs=info.inputs, model_outputs=info.outputs)
    pruning = Pruning(schedule="constant", sparsity=0.5, skip=())
    recipe = Recipe(pruning=pruning, quantization=Quantization(), training=Training(epochs=1, batch_size=16))

    done = finetune(model, recipe, samples)
    back = to_keras3(done.stripped)

    assert isinstance(done.stripped, tf_keras.Model)
    assert isinstance(back, keras.Model)
    assert_close(outputs_of(back), outputs_of(done.stripped))
    kernel = back.get_layer("first").get_weights()[0]
    assert np.mean(kernel == 0) >= 0.5
    assert not np.array_equal(kernel, before[0])
    np.testing.assert_array_equal(model.get_layer("first").get_weights()[0], before[0])
    assert any(isinstance(layer, Doubler) for layer in back.layers)
    back.save(tmp_path / "back.keras")
    again = load_model(tmp_path / "back.keras", custom_objects={"Doubler": Doubler})
    assert again.flavor == "keras3"
    assert_close(outputs_of(again.keras_model), outputs_of(back))
