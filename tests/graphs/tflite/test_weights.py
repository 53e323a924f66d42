"""Zeros and distinct values are counted in the file itself."""

from pathlib import Path

import numpy as np

import tfcompress
from tfcompress.graphs.tflite.weights import count_weights
from tfcompress.runtime import keras


def test_zeros_of_a_float_kernel_are_still_zeros_in_the_int8_file(tmp_path: Path) -> None:
    kernel = np.array([[0, 0.5, 0, -1], [0, 0, 1, 0.5], [0.5, 0, 0, 0]], np.float32)
    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(4)])
    model.layers[0].set_weights([kernel, np.zeros(4, np.float32)])
    data = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    tfcompress.convert(model, targets="phone", calibration=data, output=tmp_path / "out")
    facts = count_weights(tmp_path / "out/phone/model.tflite")
    assert (facts.weights, facts.zeros) == (12, 7)
    assert facts.clusters <= 5
    assert 0 < facts.gzip_bytes <= (tmp_path / "out/phone/model.tflite").stat().st_size
