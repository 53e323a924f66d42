"""The layer diff of recurrent layers and of layers with seeds: it ends well, and its figures are those of the model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfcompress.accuracy_diff import runner_for
from tfcompress.accuracy_diff.layers import compare_layers
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.litert import to_float_tflite
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.runtime import keras, tf_keras

SAME_DB = 100.0  # of a float file against the float model
STEPS = 6


def sequence(library: Any, *layers: Any) -> Any:
    library.utils.set_random_seed(0)
    start = library.layers.InputLayer((STEPS, 3)) if library is tf_keras else library.Input((STEPS, 3))
    return library.Sequential([start, *layers, library.layers.Dense(2, name="head")])


def stacked(library: Any, kind: str) -> Any:
    layer = getattr(library.layers, kind)
    return sequence(library, layer(4, return_sequences=True), layer(4))


MODELS: dict[str, Callable[[], Any]] = {
    "Keras 2 LSTM": lambda: sequence(tf_keras, tf_keras.layers.LSTM(4)),
    "Keras 2 GRU": lambda: sequence(tf_keras, tf_keras.layers.GRU(4)),
    "Keras 2 stacked LSTMs": lambda: stacked(tf_keras, "LSTM"),
    "Keras 3 stacked LSTMs": lambda: stacked(keras, "LSTM"),
    "Keras 3 stacked GRUs": lambda: stacked(keras, "GRU"),
    "Keras 3 LSTM with dropout": lambda: sequence(keras, keras.layers.LSTM(4, dropout=0.2)),
    "Keras 3 GRU with recurrent dropout": lambda: sequence(keras, keras.layers.GRU(4, recurrent_dropout=0.2)),
    "Keras 2 LSTM with dropout": lambda: sequence(tf_keras, tf_keras.layers.LSTM(4, dropout=0.2)),
    "Keras 3 both directions": lambda: sequence(keras, keras.layers.Bidirectional(keras.layers.LSTM(3))),
    "Keras 3 noise and dropout": lambda: sequence(
        keras, keras.layers.GaussianNoise(0.1), keras.layers.Dropout(0.2), keras.layers.Flatten()
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_float_file_differs_in_no_layer(name: str) -> None:
    model = float_model_from_keras(MODELS[name]())
    reference, candidate = runner_for(model), LiteRtRunner(to_float_tflite(model))
    x = np.random.default_rng(0).normal(size=(24, STEPS, 3)).astype(np.float32)
    data = samples_from_arrays(x, model_inputs=model.inputs, model_outputs=model.outputs)
    for _ in range(2):  # the error that this guards against came and went
        rows = {row.layer: row for row in compare_layers(reference, candidate, data)}  # type: ignore[arg-type]
        assert "head" in rows
        assert all(row.sqnr_db is None or row.sqnr_db > SAME_DB for row in rows.values())
