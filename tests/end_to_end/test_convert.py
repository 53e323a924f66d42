"""The main job from the command line, on a model trained here: three artifacts, a diff, a report, a manifest."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tests.conftest import CommandLine
from tfcompress.report import Report
from tfcompress.runtime import keras

TARGET_KEYS = {"status", "reason", "files", "bytes", "metrics", "diff", "input_dtypes", "output_dtypes", "latency_ms"}
DIFF_KEYS = {"accuracy_drop", "accuracy_drop_ci95", "top1_agreement", "sqnr_db", "max_abs_error", "p_value"}
COMPILE_KEYS = {
    "topology",
    "ok",
    "error",
    "hbm_bytes",
    "flops",
    "bytes_accessed",
    "estimated_cycles",
    "estimated_seconds",
    "optimal_seconds",
    "compiler_version",
}


@pytest.fixture(scope="module")
def converted(
    cnn_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One conversion for all three targets, in a fresh process."""
    folder = tmp_path_factory.mktemp("converted")
    arguments = [f"--calibration={cnn_folder / 'train.npz'}", f"--evaluation={cnn_folder / 'test.npz'}", "--output=out"]
    arguments += ["--json", "--batch_sizes=1,4", "--topologies=v5e:2x2"]
    command = [sys.executable, "-m", "tfcompress", "convert", str(cnn_folder / "model.keras"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder / "out", done


@pytest.fixture(scope="module")
def report(converted: tuple[Path, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((converted[0] / "report.json").read_text())
    return loaded


def test_json_is_all_that_is_on_standard_output(converted: tuple[Path, Any], report: dict[str, Any]) -> None:
    assert json.loads(converted[1].stdout) == report


def test_nothing_but_warnings_of_ours_is_on_standard_error(converted: tuple[Path, Any]) -> None:
    strange = [line for line in converted[1].stderr.splitlines() if not line.startswith("warning: ")]
    assert strange == []


def test_the_report_has_the_documented_keys(report: dict[str, Any]) -> None:
    assert report["schema_version"] == 2
    assert {"name", "format", "sha256", "parameters", "macs", "float_bytes"} <= report["model"].keys()
    assert report["model"]["parameters"] == 93322
    assert report["reference"]["samples"] == 500
    for target in report["targets"].values():
        assert target.keys() >= TARGET_KEYS
        assert target["diff"].keys() >= DIFF_KEYS
        assert target["status"] == {"passed": "ok", "undecidable": "undecided"}[target["gate"]["verdict"]]
    edgetpu, cloud = report["targets"]["edgetpu"], report["targets"]["cloud_tpu"]
    assert {"mapped_ops", "cpu_ops", "subgraphs", "on_chip_bytes", "off_chip_bytes", "ops"} <= edgetpu["mapping"].keys()
    assert cloud["batch_sizes"] == [1, 4]
    assert all(row.keys() >= COMPILE_KEYS for row in cloud["compile"])


def test_integer_artifacts_are_integer_and_lose_at_most_half_a_point(report: dict[str, Any]) -> None:
    for name in ("phone", "edgetpu"):
        target = report["targets"][name]
        assert target["fully_integer"] is True
        assert (target["input_dtypes"], target["output_dtypes"], target["float_ops"]) == (["int8"], ["int8"], [])
        assert target["diff"]["accuracy_drop"] <= 0.005
    assert report["targets"]["cloud_tpu"]["diff"]["accuracy_drop"] <= 0.002


def test_the_reference_accuracy_is_what_keras_itself_gives(report: dict[str, Any], cnn_folder: Path) -> None:
    model = tfcompress.load_model(cnn_folder / "model.keras").keras_model
    data = np.load(cnn_folder / "test.npz")
    accuracy = float(np.mean(model.predict(data["x"], verbose=0).argmax(1) == data["y"]))
    assert report["reference"]["metrics"]["accuracy"] == pytest.approx(accuracy, abs=1e-9)


def test_every_operator_of_the_small_cnn_maps_to_the_edge_tpu(report: dict[str, Any]) -> None:
    assert report["targets"]["edgetpu"]["mapping"]["cpu_ops"] == 0


def test_the_tpu_compiler_accepts_every_signature(report: dict[str, Any]) -> None:
    pytest.importorskip("libtpu", reason="the [tpu] extra is not installed")
    rows = report["targets"]["cloud_tpu"]["compile"]
    assert rows
    assert all(row["ok"] and row["hbm_bytes"] > 0 and row["flops"] > 0 for row in rows)


def test_all_the_documented_files_are_there(converted: tuple[Path, Any]) -> None:
    out = converted[0]
    for name in ("manifest.json", "report.json", "report.html", "phone/model.tflite", "edgetpu/model.tflite"):
        assert (out / name).stat().st_size > 0
    for name in ("mapping.json",):
        assert json.loads((out / "edgetpu" / name).read_text())
    cloud = out / "cloud_tpu"
    assert json.loads((cloud / "compile.json").read_text())
    assert (cloud / "saved_model/1/saved_model.pb").exists()


def test_the_folder_verifies_and_a_changed_byte_is_found(converted: tuple[Path, Any], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(converted[0], copy)
    assert tfcompress.verify(copy) == []
    model = copy / "phone/model.tflite"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert tfcompress.verify(copy) == ["changed: phone/model.tflite"]


def test_nothing_written_names_the_machine(converted: tuple[Path, Any]) -> None:
    for path in converted[0].rglob("*"):
        if path.is_file() and "cloud_tpu" in path.parts:
            assert str(Path(tfcompress.__file__).parents[1]).encode() not in path.read_bytes(), path


def test_the_printed_command_runs_and_gives_byte_identical_artifacts(
    converted: tuple[Path, Any], report: dict[str, Any], tmp_path: Path, tfcompress_command: CommandLine
) -> None:
    shutil.copytree(converted[0], tmp_path / "out")  # the command reads the recipe there and replaces the folder
    done = tfcompress_command(*shlex.split(report["command"])[1:], "--no_cache")  # all of it is made once more
    assert done.returncode == 0, done.stderr
    compared = [path.relative_to(converted[0]) for path in converted[0].rglob("*") if path.is_file()]
    compared = [name for name in compared if name.parts[0] in ("phone", "edgetpu", "cloud_tpu", "recipe.json")]
    assert len(compared) > 10
    for name in compared:
        assert (converted[0] / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


def test_a_failed_gate_is_exit_code_3_and_the_folder_is_written(
    cnn_folder: Path, tmp_path: Path, tfcompress_command: CommandLine
) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "wrong_range.npz", x=rng.uniform(0, 0.02, (64, 28, 28, 1)).astype(np.float32))
    data = [f"--calibration={tmp_path / 'wrong_range.npz'}", f"--evaluation={cnn_folder / 'test.npz'}"]
    done = tfcompress_command("convert", cnn_folder / "model.keras", "--targets=phone", *data, "--output=out")
    assert done.returncode == 3, done.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["targets"]["phone"]["status"] == "gate_failed"
    assert report["targets"]["edgetpu"]["status"] == "skipped"
    assert Report.from_plain(report).exit_code() == 3


def test_when_no_target_can_be_made_the_operator_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    matrix = keras.Input((4, 4), name="matrix")
    model = keras.Model(matrix, keras.layers.Dense(2)(keras.ops.reshape(keras.ops.det(matrix), (-1, 1))))
    data = np.random.default_rng(0).normal(size=(32, 4, 4)).astype(np.float32)
    with pytest.raises(tfcompress.ConversionError, match="TFLite has no builtin operator for MatrixDeterminant"):
        tfcompress.convert(model, calibration=data, output=tmp_path / "out", targets="phone")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_fails_does_not_take_another_with_it(tmp_path: Path) -> None:
    matrix = keras.Input((3, 3), name="matrix")
    model = keras.Model(matrix, keras.ops.cholesky(matrix))
    data = np.broadcast_to(np.eye(3, dtype=np.float32), (8, 3, 3))
    recipe = tfcompress.Recipe(cloud_tpu=tfcompress.CloudTpu(batch_sizes=(1,), topologies=("v5e:2x2",)))
    result = tfcompress.convert(
        model, targets="phone,cloud_tpu", calibration=data, recipe=recipe, output=tmp_path / "out"
    )
    assert result.exit_code == 1
    assert "Cholesky" in result.report["targets"]["phone"]["reason"]
    assert result.targets["cloud_tpu"].converted
    assert result.targets["phone"].status == "failed"
    assert tfcompress.verify(tmp_path / "out") == []


@pytest.mark.parametrize("seconds", [2.0, 6.0])
def test_a_run_killed_at_any_moment_leaves_the_old_folder_whole(
    seconds: float, cnn_folder: Path, tmp_path: Path
) -> None:
    data = [f"--calibration={cnn_folder / 'train.npz'}", "--targets=phone,cloud_tpu", "--output=out"]
    command = [sys.executable, "-m", "tfcompress", "convert", str(cnn_folder / "model.keras"), *data]
    tfcompress.convert(
        cnn_folder / "model.keras", targets="phone", calibration=cnn_folder / "test.npz", output=tmp_path / "out"
    )
    before = (tmp_path / "out/manifest.json").read_bytes()
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert tfcompress.verify(tmp_path / "out") == []
    assert (tmp_path / "out/manifest.json").read_bytes() == before
