"""Models whose preprocessing layers were adapted to data are sound: they load without a flag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfcompress.load import load_model
from tfcompress.runtime import tf_keras

TOLERANCE = 1e-5
LESS = 1e-2  # what a layer that was not adapted is off by, at least


@pytest.mark.parametrize("ending", [".keras", ".h5", ""])
def test_adapted_normalization_loads_and_computes_the_same(ending: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(5.0, 3.0, (64, 4)).astype("float32")
    layer = tf_keras.layers.Normalization()
    layer.adapt(data)
    model = tf_keras.Sequential([tf_keras.Input((4,), name="x"), layer])
    path = tmp_path / f"model{ending}"
    model.save(path, **({} if ending else {"save_format": "tf"}))
    loaded = load_model(path)
    (output,) = loaded.predict({loaded.inputs[0].name: data}).values()
    np.testing.assert_allclose(output, (data - data.mean(0)) / data.std(0), atol=TOLERANCE)
    assert np.abs(output - data).max() > LESS
