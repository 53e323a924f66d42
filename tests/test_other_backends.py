"""Models made with Keras on JAX: from a file, and from memory, where a child process converts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="needs the extra [tpu]")

CODE = """
import json, sys
import numpy as np
import keras
import tfcompress

assert keras.backend.backend() == "jax"
x = inputs = keras.Input((8, 8, 3))
x = keras.layers.Conv2D(4, 3, activation="relu")(x)
x = keras.layers.Dropout(0.1)(x)
x = keras.layers.Dense(3, activation="softmax")(keras.ops.mean(x, axis=(1, 2)))
model = keras.Model(inputs, x, name="made_with_jax")
data = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype("float32")
result = tfcompress.convert(model, output=sys.argv[1], targets="phone", calibration=data, no_cache=True)
try:
    tfcompress.convert(model, output=sys.argv[1] + "_bad", targets="phone")
except tfcompress.InputError as error:
    told = str(error)
try:
    tfcompress.convert(model, output=sys.argv[1] + "_bad", targets="phone", calibration=lambda: data)
except tfcompress.InputError as error:
    unpicklable = str(error)
phone = result.targets["phone"]
print(json.dumps([phone["fully_integer"], phone["diff"]["sqnr_db"], told, unpicklable]))
"""


def test_a_model_in_memory_of_the_jax_backend_is_converted_in_a_child_process(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fully_integer, sqnr_db, told, unpicklable = json.loads(done.stdout.splitlines()[-1])
    assert fully_integer
    assert sqnr_db > 20
    assert "--calibration" in told
    assert "cannot be given" in unpicklable
    assert (tmp_path / "out/phone/model.tflite").is_file()
