"""`diff`, `inspect`, `verify` and `compress`: what they print, and their exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress.cli import main
from tfcompress.runtime import keras


def printed(*arguments: object) -> tuple[int, str]:
    """Exit code and standard output; what is on standard error must be warnings of ours."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    assert all(line.startswith(("warning: ", "tfcompress ")) for line in err.getvalue().splitlines()), err.getvalue()
    return code, out.getvalue()


def printed_json(*arguments: object) -> dict[str, Any]:
    code, text = printed(*arguments, "--json")
    assert code == 0
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.fixture(scope="module")
def phone(cnn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that convert made for the phone."""
    output = tmp_path_factory.mktemp("phone") / "out"
    tfcompress.convert(cnn_folder / "model.keras", targets="phone", calibration=cnn_folder / "train.npz", output=output)
    return output


def test_diff_prints_reference_and_candidate(cnn_folder: Path, phone: Path, tmp_path: Path) -> None:
    evaluation = f"--evaluation={cnn_folder / 'test.npz'}"
    files = [f"--model_explorer={tmp_path / 'nodes.json'}", f"--tensorboard={tmp_path / 'logs'}"]
    report = printed_json("diff", cnn_folder / "model.keras", phone / "phone/model.tflite", evaluation, *files)
    assert json.loads((tmp_path / "nodes.json").read_text())["main"]["results"]
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"float", "candidate"}
    assert set(report) == {"reference", "candidate", "warnings"}
    assert report["reference"]["samples"] == 500
    assert {"metrics", "diff", "layers", "status"} <= report["candidate"].keys()
    assert {row["layer"] for row in report["candidate"]["layers"]} >= {"conv_1", "conv_2", "dense"}


def test_a_model_does_not_differ_from_itself(cnn_folder: Path, tmp_path: Path) -> None:
    model = cnn_folder / "model.keras"
    flags = [f"--evaluation={cnn_folder / 'test.npz'}", "--metrics=AUC,mse", f"--resume={tmp_path / 'state'}"]
    report = printed_json("diff", model, model, *flags)
    assert 0.9 < report["reference"]["metrics"]["AUC"] == report["candidate"]["metrics"]["AUC"]
    assert not (tmp_path / "state").exists()
    assert report["candidate"]["diff"]["top1_agreement"] == 1.0
    assert report["candidate"]["diff"]["max_abs_error"] == 0.0


def test_a_failed_gate_is_exit_code_3_and_a_junit_failure(cnn_folder: Path, phone: Path, tmp_path: Path) -> None:
    data = np.load(cnn_folder / "test.npz")
    wrong = (data["y"] + 1) % 10  # by these labels the bad model below is perfect and the good one always wrong
    np.savez(tmp_path / "wrong.npz", x=data["x"], y=wrong)
    model = tfcompress.load_model(cnn_folder / "model.keras").keras_model
    kernel, bias = (variable.numpy() for variable in model.layers[-1].weights)
    model.layers[-1].set_weights([np.roll(kernel, 1, axis=1), np.roll(bias, 1)])
    model.save(tmp_path / "rolled.keras")
    files = [f"--junit_xml={tmp_path / 'junit.xml'}", f"--markdown={tmp_path / 'summary.md'}"]
    evaluation = f"--evaluation={tmp_path / 'wrong.npz'}"
    code, _ = printed("diff", tmp_path / "rolled.keras", cnn_folder / "model.keras", evaluation, *files)
    assert code == 3
    assert ET.parse(tmp_path / "junit.xml").getroot().get("failures") == "1"
    assert "❌" in (tmp_path / "summary.md").read_text()


def test_inspect_lists_the_layers_of_a_model(cnn_folder: Path) -> None:
    facts = printed_json("inspect", cnn_folder / "model.keras")
    assert set(facts) >= {"model", "inputs", "outputs", "layers"}
    assert facts["model"]["parameters"] == 93322
    # 26*26*32 * 3*3*1 for the first convolution
    assert next(row for row in facts["layers"] if row["name"] == "conv_1")["macs"] == 194_688
    assert facts["inputs"] == [{"name": "image", "shape": [None, 28, 28, 1], "dtype": "float32"}]


def test_inspect_lists_the_operators_of_a_tflite(phone: Path) -> None:
    facts = printed_json("inspect", phone / "phone/model.tflite")
    assert facts["inputs"][0]["name"] == "image"
    assert facts["inputs"][0]["dtype"] == "int8"
    assert facts["model"]["operators"]["CONV_2D"] == 3


def test_inspect_forecasts_the_edge_tpu(phone: Path) -> None:
    facts = printed_json("inspect", phone / "phone/model.tflite", "--target=edgetpu")
    assert list(facts) == ["mapping"]
    assert {"mapped_ops", "cpu_ops", "subgraphs", "ops"} <= facts["mapping"].keys()


@pytest.mark.parametrize("arguments", [(), ("--target=edgetpu",)])
def test_inspect_prints_for_people_too(arguments: tuple[str, ...], phone: Path) -> None:
    code, text = printed("inspect", phone / "phone/model.tflite", *arguments)
    assert code == 0
    assert "CONV_2D" in text


def test_inspect_says_what_each_bit_width_keeps_of_a_model(cnn_folder: Path) -> None:
    model = cnn_folder / "model.keras"
    weights = {row["layer"]: row for row in printed_json("inspect", model)["bit_widths"]}
    assert set(weights) == {"conv_1", "conv_2", "conv_3", "dense", "digit"}
    assert weights["dense"]["weights_db"]["4"] < weights["dense"]["weights_db"]["8"] < 60
    assert weights["dense"]["activations_db"] is None
    flags = (f"--calibration={cnn_folder / 'train.npz'}", "--calibration_samples=50")
    both = {row["layer"]: row for row in printed_json("inspect", model, *flags)["bit_widths"]}
    assert both["conv_1"]["activations_db"]["8"] > 25
    code, text = printed("inspect", model)
    assert code == 0
    assert "bit_widths" in text


def test_inspect_of_a_model_that_no_tflite_can_hold_warns_and_gives_the_rest(tmp_path: Path) -> None:
    source = keras.Input((4,), name="x")
    keras.Model(source, keras.ops.erfinv(source)).save(tmp_path / "odd.keras")
    facts = printed_json("inspect", tmp_path / "odd.keras")
    assert facts["bit_widths"] is None
    assert facts["inputs"][0]["name"] == "x"


def test_calibration_ranges_are_reused_and_refused_on_other_data(cnn_folder: Path, phone: Path, tmp_path: Path) -> None:
    ranges = f"--calibration_ranges={phone / 'phone/calibration.json'}"
    command = ["convert", cnn_folder / "model.keras", "--targets=phone", ranges]
    same = f"--calibration={cnn_folder / 'train.npz'}"
    code, _ = printed(*command, same, f"--output={tmp_path / 'again'}")
    assert code == 0
    again, first = ((folder / "phone/model.tflite").read_bytes() for folder in (tmp_path / "again", phone))
    assert again == first
    other = f"--calibration={cnn_folder / 'test.npz'}"
    assert printed(*command, other, f"--output={tmp_path / 'other'}")[0] == 2
    assert not (tmp_path / "other").exists()


def test_a_keras_model_cannot_be_inspected_for_the_edge_tpu(cnn_folder: Path) -> None:
    assert printed("inspect", cnn_folder / "model.keras", "--target=edgetpu") == (2, "")


def test_verify_finds_a_changed_file(phone: Path, tmp_path: Path) -> None:
    assert printed("verify", phone)[0] == 0
    import shutil

    shutil.copytree(phone, tmp_path / "copy")
    (tmp_path / "copy/report.html").write_text("")
    code, text = printed("verify", tmp_path / "copy", "--json")
    assert code == 2
    assert json.loads(text) == {"intact": False, "problems": ["changed: report.html"]}


def test_compress_prunes_and_saves_a_keras_3_model(cnn_folder: Path, tmp_path: Path) -> None:
    recipe = tfcompress.Recipe(pruning=tfcompress.Pruning(sparsity=0.6), training=tfcompress.Training(epochs=1))
    recipe.save(tmp_path / "recipe.json")
    flags = [f"--recipe={tmp_path / 'recipe.json'}", f"--train={cnn_folder / 'test.npz'}"]
    code, _ = printed("compress", cnn_folder / "model.keras", *flags, f"--output={tmp_path / 'small.keras'}")
    assert code == 0
    small = tfcompress.load_model(tmp_path / "small.keras")
    assert small.flavor == "keras3"
    kernel = small.keras_model.get_layer("conv_2").kernel.numpy()
    assert np.mean(kernel == 0) == pytest.approx(0.6, abs=1 / kernel.size)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.json", "small.keras"]


def test_an_undecided_gate_fails_only_if_it_is_strict(cnn_folder: Path, phone: Path, tmp_path: Path) -> None:
    arguments = ["diff", cnn_folder / "model.keras", phone / "phone/model.tflite"]
    arguments += [f"--evaluation={cnn_folder / 'test.npz'}", "--samples=20", f"--junit_xml={tmp_path / 'junit.xml'}"]
    assert printed_json(*arguments)["candidate"]["status"] == "undecided"  # 20 samples cannot show a drop below 0.01
    assert ET.parse(tmp_path / "junit.xml").getroot().get("failures") == "0"
    assert printed(*arguments, "--strict_gate")[0] == 3
    assert ET.parse(tmp_path / "junit.xml").getroot().get("failures") == "1"
