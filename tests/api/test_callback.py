"""The Keras callback that converts at the end of `fit`, in both Kerases."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress.runtime import keras, tf_keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int64)


def fitted(library: Any, callback: tfcompress.ConvertAtEnd) -> None:
    inputs = library.Input((4,), name="x")
    model = library.Model(inputs, library.layers.Dense(2, activation="softmax")(inputs))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[callback])


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_the_trained_model_is_converted_and_judged(library: Any, tmp_path: Path) -> None:
    figures: list[dict[str, float]] = []
    options: dict[str, Any] = {"targets": "phone", "calibration": X, "evaluation": (X, Y)}
    callback = tfcompress.ConvertAtEnd(tmp_path / "out", then=lambda done: figures.append(done.figures), **options)
    fitted(library, callback)
    assert callback.conversion is not None
    assert callback.conversion.targets["phone"].converted
    assert (tmp_path / "out/phone/model.tflite").exists()
    assert figures[0]["phone/file/bytes"] == callback.conversion.targets["phone"].bytes
    assert "phone" in callback.conversion._repr_html_().lower()


def test_the_command_of_the_next_step_runs_in_the_output_folder(tmp_path: Path) -> None:
    callback = tfcompress.ConvertAtEnd(tmp_path / "out", targets="phone", calibration=X)
    fitted(keras, callback)
    assert callback.conversion is not None
    command = next(step.command for step in callback.conversion.targets["phone"].next_steps if step.command)
    _, *words = shlex.split(command)
    done = subprocess.run([sys.executable, *words], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "int8" in done.stdout


def test_a_conversion_that_fails_does_not_cost_the_training(tmp_path: Path) -> None:
    heard: list[tfcompress.ProgressEvent] = []
    callback = tfcompress.ConvertAtEnd(tmp_path / "out", targets="phone")  # without calibration data
    with tfcompress.listening(heard.append):
        fitted(keras, callback)
    assert callback.conversion is None
    assert any(event.kind == "warning" and "was not converted" in event.message for event in heard)


def test_an_option_that_convert_lacks_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="calibraton"):
        tfcompress.ConvertAtEnd(tmp_path / "out", targets="phone", calibraton=X)


def test_a_tracker_that_fails_does_not_cost_the_training(tmp_path: Path) -> None:
    def unreachable(done: tfcompress.Conversion) -> None:
        raise ConnectionError("no answer\nfrom the tracker")

    heard: list[tfcompress.ProgressEvent] = []
    callback = tfcompress.ConvertAtEnd(tmp_path / "out", then=unreachable, targets="phone", calibration=X)
    with tfcompress.listening(heard.append):
        fitted(keras, callback)
    assert callback.conversion is not None
    warnings = [event.message for event in heard if event.kind == "warning"]
    assert any(message.endswith("ConnectionError: no answer from the tracker") for message in warnings)


def test_an_error_that_is_not_ours_does_not_cost_the_training(tmp_path: Path) -> None:
    def broken() -> Any:
        raise KeyError("a bug of the user's own data")
        yield  # pragma: no cover

    heard: list[tfcompress.ProgressEvent] = []
    callback = tfcompress.ConvertAtEnd(tmp_path / "out", targets="phone", calibration=broken())
    with tfcompress.listening(heard.append):
        fitted(keras, callback)
    assert callback.conversion is None
    assert any("was not converted" in event.message for event in heard)
