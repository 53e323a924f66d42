"""Networks of volumes are fully integer: TFLite itself has no pooling of volumes, and convolves them in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.converters.litert.models import run, samples_for
from tfcompress.converters.phone import convert
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

LEAST_SQNR_DB = 25.0


def test_a_classifier_of_scans_is_fully_integer_and_close_to_the_float_model(tmp_path: Path) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 6, 1), name="scan"),
            layers.Conv3D(8, 3, activation="relu", padding="same"),
            layers.MaxPool3D(2),
            layers.BatchNormalization(),
            layers.Conv3D(8, 3, activation="relu"),
            layers.AveragePooling3D((2, 2, 1)),
            layers.Flatten(),
            layers.Dense(4, name="y"),
        ]
    )
    model = float_model_from_keras(network)
    scans = np.random.default_rng(0).normal(size=(40, 8, 8, 6, 1)).astype(np.float32)
    artifact = convert(model, samples_for(model, scans), Recipe(), tmp_path)
    assert artifact.facts["fully_integer"]
    content = artifact.runnable.read_bytes()
    assert not {"CONV_3D"} & {operator.name for operator in read_tflite(content).main.operators}
    values = np.concatenate([next(iter(run(content, {"scan": scans[i : i + 1]}).values())) for i in range(len(scans))])
    (expected,) = model.predict({"scan": scans}).values()
    noise = float(np.mean((values - expected) ** 2))
    assert 10 * np.log10(float(np.mean(expected**2)) / noise) > LEAST_SQNR_DB
    assert 10 * np.log10(float(np.mean(expected**2)) / float(np.mean((values[::-1] - expected) ** 2))) < LEAST_SQNR_DB
