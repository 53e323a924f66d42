"""The SavedModel answers requests in TF Serving's REST protocol, through a process that stands in for the server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress import CloudTpu, Recipe, convert

pytestmark = pytest.mark.slow  # the server's process imports TensorFlow

SERVER = Path(__file__).with_name("rest_server.py")
TOLERANCE = 1e-5
SAMPLES = 3


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of two inputs and two outputs, for batches of 1 and 4."""
    layers = models.keras.layers
    image, age = models.keras.Input((4, 4, 1), name="image"), models.keras.Input((2,), name="age")
    both = layers.Concatenate()([layers.Flatten()(image), age])
    outputs = {"scores": layers.Dense(3, name="scores")(both), "risk": layers.Dense(1, name="risk")(both)}
    model = models.keras.Model([image, age], outputs, name="two_headed")
    folder = tmp_path_factory.mktemp("rest") / "out"
    recipe = Recipe(cloud_tpu=CloudTpu(batch_sizes=(1, 4), topologies=(), precision="float32"))
    convert(model, targets="cloud_tpu", output=folder, recipe=recipe)
    model.save(folder.parent / "model.keras")
    return folder / "cloud_tpu"


@pytest.fixture(scope="module")
def address(converted: Path) -> Iterator[str]:
    command = [sys.executable, str(SERVER), "--model_name=two_headed", f"--model_base_path={converted / 'saved_model'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield f"http://localhost:{int(process.stdout.readline())}/v1/models/two_headed"
        process.kill()


def asked(address: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data)) as reply:
        return json.load(reply)


def given() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "image": random.normal(size=[SAMPLES, 4, 4, 1]).astype(np.float32),
        "age": random.normal(size=[SAMPLES, 2]).astype(np.float32),
    }


def expected(converted: Path) -> dict[str, np.ndarray]:
    model = models.keras.models.load_model(converted.parents[1] / "model.keras")
    return {name: value.numpy() for name, value in model(given()).items()}


def test_columns_of_any_number_of_samples_are_answered(converted: Path, address: str) -> None:
    outputs = asked(f"{address}:predict", {"inputs": {name: value.tolist() for name, value in given().items()}})[
        "outputs"
    ]
    for name, values in expected(converted).items():
        assert np.abs(np.array(outputs[name]) - values).max() <= TOLERANCE
        assert np.abs(np.array(outputs[name]) - values - 1e-3).max() > TOLERANCE


def test_rows_are_answered_sample_by_sample(converted: Path, address: str) -> None:
    rows = [{name: value[index].tolist() for name, value in given().items()} for index in range(SAMPLES)]
    predictions = asked(f"{address}:predict", {"instances": rows})["predictions"]
    scores = np.array([prediction["scores"] for prediction in predictions])
    assert np.abs(scores - expected(converted)["scores"]).max() <= TOLERANCE


def test_a_signature_of_one_size_takes_that_size_and_no_other(address: str) -> None:
    first = {name: value[:1].tolist() for name, value in given().items()}
    outputs = asked(f"{address}:predict", {"signature_name": "batch_1", "inputs": first})["outputs"]
    assert np.array(outputs["scores"]).shape == (1, 3)
    for signature in ("batch_4", "no_such_one"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(f"{address}:predict", {"signature_name": signature, "inputs": first})
        with refused.value as answer:
            assert answer.code == 400


def test_every_signature_is_told_with_its_inputs_and_outputs(address: str) -> None:
    signatures = asked(f"{address}/metadata")["metadata"]["signature_def"]["signature_def"]
    assert sorted(signatures) == ["batch_1", "batch_4", "serving_default"]
    for signature in signatures.values():
        assert (sorted(signature["inputs"]), sorted(signature["outputs"])) == (["age", "image"], ["risk", "scores"])
    (state,) = asked(address)["model_version_status"]
    assert (state["version"], state["state"]) == ("1", "AVAILABLE")


def test_the_documented_request_runs_as_it_stands(converted: Path, address: str) -> None:
    page = (converted / "USE.md").read_text(encoding="utf-8")
    (request,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "urllib" in block)
    assert "http://localhost:8501/v1/models/two_headed:predict" in request
    code = request.replace("http://localhost:8501/v1/models/two_headed", address)
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "scores" in printed
    assert "risk" in printed
