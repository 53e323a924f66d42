"""Models made with Keras on JAX or PyTorch: from a file, and from memory, where a child process converts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tfcompress.load import load_model

MODEL = """
import json, sys
import numpy as np
import keras
import tfcompress

assert keras.backend.backend() == sys.argv[2]
x = inputs = keras.Input((8, 8, 3))
x = keras.layers.Conv2D(4, 3, activation="relu")(x)
x = keras.layers.Dropout(0.1)(x)
x = keras.layers.Dense(3, activation="softmax")(keras.ops.mean(x, axis=(1, 2)))
model = keras.Model(inputs, x, name="made_elsewhere")
data = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype("float32")
"""

CONVERT = """
result = tfcompress.convert(model, output=sys.argv[1], targets="phone", calibration=data, no_cache=True)
try:
    tfcompress.convert(model, output=sys.argv[1] + "_bad", targets="phone")
except tfcompress.InputError as error:
    message = str(error)
try:
    tfcompress.convert(model, output=sys.argv[1] + "_bad", targets="phone", calibration=lambda: data)
except tfcompress.InputError as error:
    unpicklable = str(error)
phone = result.targets["phone"]
print(json.dumps([phone["fully_integer"], phone["diff"]["sqnr_db"], message, unpicklable]))
"""

OTHERS = """
model.save(sys.argv[1] + ".keras")
recipe = tfcompress.Recipe(pruning=tfcompress.Pruning(sparsity=0.5), training=tfcompress.Training(epochs=1))
pruned = sys.argv[1] + "_pruned.keras"
tfcompress.compress(model, recipe=recipe, train=(data, np.arange(16) % 3), output=pruned)
print(json.dumps(tfcompress.diff(model, pruned, evaluation=data)["candidate"]["diff"]["max_abs_error"]))
"""

BACKENDS = pytest.mark.parametrize("backend", ["jax", "torch"])


def answer_of(code: str, backend: str, output: Path) -> Any:
    """What `code` prints last, run where Keras computes with `backend`."""
    pytest.importorskip(backend, reason="needs the extra [tpu], or PyTorch")
    done = subprocess.run(
        [sys.executable, "-c", MODEL + code, str(output), backend],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@BACKENDS
def test_a_model_in_memory_of_another_backend_is_converted_in_a_child_process(backend: str, tmp_path: Path) -> None:
    fully_integer, sqnr_db, message, unpicklable = answer_of(CONVERT, backend, tmp_path / "out")
    assert fully_integer
    assert sqnr_db > 20
    assert "--calibration" in message
    assert "cannot be given" in unpicklable
    assert (tmp_path / "out/phone/model.tflite").is_file()


@pytest.mark.slow
@BACKENDS
def test_it_is_compressed_and_compared_in_a_child_process_too(backend: str, tmp_path: Path) -> None:
    assert answer_of(OTHERS, backend, tmp_path / "out") > 0
    loaded = load_model(tmp_path / "out.keras")  # a file says nothing of the backend
    assert [info.shape for info in loaded.inputs] == [(None, 8, 8, 3)]
