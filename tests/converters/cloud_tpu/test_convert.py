"""The whole target on a small model: files, facts, companions for serving, and the StableHLO artifact under JAX."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.cloud_tpu import convert, proof, serving
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.data import samples_from_arrays
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras, tf

LEAST_SQNR_DB = 30.0
FLOAT32_TOLERANCE = 1e-5
RECIPE = Recipe(cloud_tpu=CloudTpu(batch_sizes=(1, 4), topologies=("v5e:2x2",)))
needs_compiler = pytest.mark.skipif(proof.compiler_version() is None, reason="libtpu is not installed")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    model = models.conv_net()
    samples = samples_from_arrays(
        models.random_inputs(model, 3), model_inputs=model.inputs, model_outputs=model.outputs, name="random"
    )
    return convert(model, samples, RECIPE, tmp_path_factory.mktemp("cloud_tpu"))


def test_the_folder_holds_what_the_design_says(artifact: Artifact) -> None:
    files = {str(path.relative_to(artifact.folder)) for path in artifact.folder.rglob("*") if path.is_file()}
    assert files == {
        "USE.md",
        "batching_parameters.txt",
        "compile.json",
        "model.stablehlo",
        "saved_model/1/assets.extra/tf_serving_warmup_requests",
        "saved_model/1/fingerprint.pb",
        "saved_model/1/saved_model.pb",
        "saved_model/1/variables/variables.data-00000-of-00001",
        "saved_model/1/variables/variables.index",
    }
    assert (artifact.target, artifact.runnable) == ("cloud_tpu", artifact.folder / "saved_model/1")


def test_facts_are_those_of_the_report(artifact: Artifact) -> None:
    facts = artifact.facts
    assert facts["batch_sizes"] == [1, 4]
    assert (facts["input_dtypes"], facts["output_dtypes"]) == (["float32"], ["float32"])
    assert facts["compile"] == json.loads((artifact.folder / "compile.json").read_text(encoding="utf-8"))


@needs_compiler
def test_every_signature_is_proven(artifact: Artifact) -> None:
    rows = json.loads((artifact.folder / "compile.json").read_text(encoding="utf-8"))
    assert [(row["topology"], row["signature"], row["ok"]) for row in rows] == [
        ("v5e:2x2", "batch_1", True),
        ("v5e:2x2", "batch_4", True),
    ]


def test_the_artifact_is_near_the_float_model_but_not_equal_to_it(artifact: Artifact) -> None:
    model = models.conv_net()
    inputs = models.random_inputs(model, 5)
    (expected,) = model.predict(inputs).values()
    (got,) = models.run_signature(artifact.runnable, "serving_default", inputs).values()
    assert LEAST_SQNR_DB < models.sqnr_db(expected, got) < 100


def test_a_wrong_result_would_be_below_the_least_sqnr() -> None:
    model = models.conv_net()
    (expected,) = model.predict(models.random_inputs(model, 5)).values()
    assert models.sqnr_db(expected, expected * 1.05) < LEAST_SQNR_DB


def test_batching_allows_exactly_the_sizes_of_the_signatures(artifact: Artifact) -> None:
    text = (artifact.folder / "batching_parameters.txt").read_text(encoding="utf-8")
    assert re.findall(r"allowed_batch_sizes: (\d+)", text) == ["1", "4"]
    assert "max_batch_size { value: 4 }" in text


def test_the_page_gives_the_server_command_with_the_files_that_are_there(artifact: Artifact) -> None:
    text = (artifact.folder / "USE.md").read_text(encoding="utf-8")
    assert "tensorflow_model_server" in text
    assert '--batching_parameters_file="$PWD/batching_parameters.txt"' in text
    assert '--model_base_path="$PWD/saved_model"' in text
    assert "--model_name=conv_net" in text


def warmup_records(artifact: Artifact) -> list[bytes]:
    path = artifact.runnable / "assets.extra/tf_serving_warmup_requests"
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def predict_request(record: bytes) -> Any:
    """The request in a record, read by tensorflow-serving-api's own protos."""
    protos = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason="tensorflow-serving-api")
    log = protos.PredictionLog.FromString(record)
    assert log.WhichOneof("log_type") == "predict_log"
    return log.predict_log.request


def test_warm_up_requests_hold_real_samples_that_run_on_their_signature(artifact: Artifact) -> None:
    real = models.random_inputs(models.conv_net(), 3)["image"]
    for record, size in zip(warmup_records(artifact), (1, 4), strict=True):
        request = predict_request(record)
        assert (request.model_spec.name, request.model_spec.signature_name) == ("conv_net", f"batch_{size}")
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        assert inputs.keys() == {"image"}
        assert np.array_equal(inputs["image"], np.resize(real, (size, 16, 16, 3)))
        (result,) = models.run_signature(artifact.runnable, request.model_spec.signature_name, inputs).values()
        assert result.shape == (size, 10)


def test_a_request_keeps_the_dtypes_of_several_inputs() -> None:
    inputs = models.random_inputs(models.two_inputs_two_outputs(), 2)
    request = predict_request(serving.predict_log("pair", "batch_2", inputs))
    got = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    assert {name: value.dtype.name for name, value in got.items()} == {"tokens": "int32", "vector": "float32"}
    assert all(np.array_equal(got[name], value) for name, value in inputs.items())


def test_a_request_that_is_too_large_is_left_out(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.conv_net()
    samples = samples_from_arrays(
        models.random_inputs(model, 1), model_inputs=model.inputs, model_outputs=model.outputs, name="random"
    )
    monkeypatch.setattr(serving, "LARGEST_REQUEST_BYTES", 16 * 16 * 3 * 4)
    assert serving.write_warmup_requests(tmp_path, samples, [1, 4], model_name="m") == [1]


PRINTED_DIGITS = 1e-4
LOADER = """
import sys
import numpy as np
{loader}
np.savez(sys.argv[1], *map(np.asarray, arrays))
"""


def test_the_stablehlo_artifact_gives_the_same_numbers_under_jax(artifact: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    page = (artifact.folder / "USE.md").read_text(encoding="utf-8")
    loader = page.partition("## JAX, without TensorFlow")[2].partition("```python\n")[2].partition("```")[0]
    image = models.random_inputs(models.conv_net(), 1)["image"]
    np.save(tmp_path / "image.npy", image)
    given = f"arguments = [np.load({str(tmp_path / 'image.npy')!r})]"
    loader = re.sub(r"arguments = \[np\.zeros\(.*?\)\]", lambda _: given, loader)
    command = [sys.executable, "-c", LOADER.format(loader=loader), str(tmp_path / "out.npz")]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, check=True, cwd=artifact.folder, env=environment, capture_output=True, text=True)
    (got,) = np.load(tmp_path / "out.npz").values()
    printed = re.findall(r"-?\d+\.\d*(?:e-?\d+)?", done.stdout)  # by which a reader sees what came out
    assert float(printed[0]) == pytest.approx(float(got.flat[0]), abs=PRINTED_DIGITS)
    (expected,) = models.run_signature(artifact.runnable, "batch_1", {"image": image}).values()
    assert models.sqnr_db(expected, got) > 50  # both are bfloat16, by two versions of XLA


def converted(folder: Path, **options: Any) -> tuple[dict[tuple[int, ...], str], np.ndarray, np.ndarray]:
    """({shape of a stored weight: its dtype}, what the float model says, what the artifact says) of 3 samples."""
    model = models.conv_net()
    recipe = Recipe(cloud_tpu=CloudTpu(batch_sizes=(1, 4), topologies=(), **options))
    artifact = convert(model, None, recipe, folder)
    inputs = models.random_inputs(model, 3)
    (got,) = models.run_signature(artifact.runnable, "serving_default", inputs).values()
    (expected,) = model.predict(inputs).values()
    stored = tf.saved_model.load(str(artifact.runnable)).weights_
    return {tuple(weight.shape): weight.dtype.name for weight in stored}, expected, got


SCORES_KERNEL, SECOND_KERNEL = (24, 10), (1, 1, 16, 24)


def test_by_default_weights_are_variables_in_bfloat16(tmp_path: Path) -> None:
    stored, expected, got = converted(tmp_path)
    assert (stored[SCORES_KERNEL], stored[SECOND_KERNEL]) == ("bfloat16", "bfloat16")
    assert LEAST_SQNR_DB < models.sqnr_db(expected, got) < 100


def test_a_layer_kept_in_float32_is_stored_so(tmp_path: Path) -> None:
    stored, _, _ = converted(tmp_path, keep_float32=("sco*",))
    assert (stored[SCORES_KERNEL], stored[SECOND_KERNEL]) == ("float32", "bfloat16")


def test_mixed_computes_in_bfloat16_from_float32_weights(tmp_path: Path) -> None:
    stored, expected, got = converted(tmp_path, precision="mixed")
    assert set(stored.values()) == {"float32"}
    assert LEAST_SQNR_DB < models.sqnr_db(expected, got) < 100


def test_float32_frozen_equals_the_model_and_has_no_variables(tmp_path: Path) -> None:
    stored, expected, got = converted(tmp_path, precision="float32", freeze=True)
    assert not stored
    assert np.abs(expected - got).max() <= FLOAT32_TOLERANCE * np.abs(expected).max()


def test_sizes_that_the_model_leaves_open_are_those_of_the_calibration_samples(tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 3), name="picture")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    model = models.float_model_from_keras(keras.Model(inputs, pooled))
    pictures = {"picture": np.ones((2, 12, 10, 3), "f")}
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs, name="ones")
    artifact = convert(model, samples, Recipe(cloud_tpu=CloudTpu(batch_sizes=(2,), topologies=())), tmp_path)
    signature = tf.saved_model.load(str(artifact.runnable)).signatures["serving_default"]
    assert signature.structured_input_signature[1]["picture"].shape.as_list() == [None, 12, 10, 3]


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_it(artifact: Artifact, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", models.random_inputs(models.conv_net(), 4)["image"])
    cli = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    folder = ["--dir", str(artifact.runnable), "--tag_set", "serve"]
    show = subprocess.run([*cli, "show", *folder], check=True, capture_output=True, text=True)
    assert all(name in show.stdout for name in ("batch_1", "batch_4", "serving_default"))
    run = ["--signature_def", "batch_4", "--inputs", f"image={tmp_path / 'image.npy'}", "--outdir", str(tmp_path)]
    subprocess.run([*cli, "run", *folder, *run], check=True, capture_output=True)
    assert np.load(tmp_path / "scores.npy").shape == (4, 10)


FRESH_RUN = """
import sys
import numpy as np
import tensorflow as tf
inputs = np.load(sys.argv[2])
results = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](image=tf.constant(inputs))
np.save(sys.argv[3], next(iter(results.values())).numpy())
"""


@pytest.mark.slow
def test_float32_equals_the_model_in_a_process_without_tfcompress(tmp_path: Path) -> None:
    model = models.conv_net()
    (tmp_path / "artifact").mkdir()
    recipe = Recipe(cloud_tpu=CloudTpu(batch_sizes=(1, 4), topologies=(), precision="float32"))
    artifact = convert(model, None, recipe, tmp_path / "artifact")
    inputs = models.random_inputs(model, 3)
    np.save(tmp_path / "in.npy", inputs["image"])
    arguments = [str(artifact.runnable), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", FRESH_RUN, *arguments], check=True, cwd=tmp_path)
    (expected,) = model.predict(inputs).values()
    assert np.abs(expected - np.load(tmp_path / "out.npy")).max() <= FLOAT32_TOLERANCE * np.abs(expected).max()


def python_block(artifact: Artifact, marker: str) -> str:
    page = (artifact.folder / "USE.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if marker in block]
    return str(code)


def test_the_keras_sample_runs_as_it_is_printed(artifact: Artifact) -> None:
    code = python_block(artifact, "TFSMLayer")
    done = subprocess.run([sys.executable, "-c", code], cwd=artifact.folder, capture_output=True, text=True, check=True)
    assert "tf.Tensor" in done.stdout


def test_the_requests_of_the_page_are_what_a_server_takes(artifact: Artifact) -> None:
    protos = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason="tensorflow-serving-api")
    grpc = python_block(artifact, "PredictRequest").partition("channel =")[0].replace("import grpc\n", "")
    names: dict[str, Any] = {}
    exec(grpc, names)
    request = protos.PredictRequest.FromString(names["request"].SerializeToString())
    given = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
    assert request.model_spec.name == "conv_net"
    rest = python_block(artifact, "urllib").partition("request =")[0]
    exec(rest, names)
    body = json.loads(names["body"])["inputs"]
    for inputs in (given, {name: np.array(value, np.float32) for name, value in body.items()}):
        (result,) = models.run_signature(artifact.runnable, "serving_default", inputs).values()
        assert len(result) == 1
