"""The three targets in one run: files, report, faults that cost one target only."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.cli.test_commands import printed
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.cli import main
from tfcompress.converters import TARGETS
from tfcompress.converters.npu.inspection import admitted_graph
from tfcompress.converters.snapdragon import VendorSdk, conversion
from tfcompress.graphs.tflite.records import write_tree
from tfcompress.runtime import keras


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional model, and 32 labelled pictures."""
    folder = tmp_path_factory.mktemp("npu")
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3), name="picture")
    y = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(x)
    y = keras.layers.GlobalAveragePooling2D(name="mean")(y)
    keras.Model(x, keras.layers.Dense(4, activation="softmax", name="classes")(y)).save(folder / "small.keras")
    random = np.random.default_rng(0)
    pictures = random.normal(size=(32, 8, 8, 3)).astype(np.float32)
    np.savez(folder / "data.npz", x=pictures, y=random.integers(0, 4, 32))
    return folder


def convert(files: Path, output: Path, targets: str, *flags: str, code: int = 0) -> dict[str, Any]:
    data = [f"--calibration={files / 'data.npz'}", f"--evaluation={files / 'data.npz'}", f"--output={output}"]
    exit_code, text = printed("convert", files / "small.keras", f"--targets={targets}", *flags, *data, "--json")
    assert exit_code == code
    report: dict[str, Any] = json.loads(text)
    return report


@pytest.mark.usefixtures("sdk", "vela")
def test_a_run_leaves_compiled_files_a_mapping_and_the_diff_of_what_was_compiled(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    chips = ("--socs=SM8350,SM8750", "--ethos_u_configs=ethos-u55-128")
    report = convert(files, tmp_path / "out", "snapdragon,ethos_u,onnx", *chips)
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert names >= {
        *("snapdragon/model_SM8350.tflite", "snapdragon/model_SM8750.tflite", "snapdragon/mapping.json"),
        *("snapdragon/USE.md", "ethos_u/model_ethos-u55-128.tflite", "ethos_u/mapping.json", "ethos_u/USE.md"),
        *("onnx/model.onnx", "onnx/USE.md"),
    }
    for name, chips_of in (("snapdragon", ["SM8350", "SM8750"]), ("ethos_u", ["ethos-u55-128"])):
        section = report["targets"][name]
        assert section["status"] in ("ok", "undecided")
        assert [entry["name"] for entry in section["mapping"]] == chips_of
        assert all(entry["compiled"] and entry["cpu_ops"] == 0 for entry in section["mapping"])
        written = json.loads((tmp_path / "out" / name / "mapping.json").read_text())
        for entry, row in zip(section["mapping"], written, strict=True):
            assert {key: entry[key] for key in row if key != "ops"} == {key: row[key] for key in row if key != "ops"}
        assert section["diff"]["top1_agreement"] > 0.9
        assert [row.label for row in TARGETS[name].report_rows(section)] == chips_of
        assert {cost.quantity for cost in TARGETS[name].costs(section)} >= set(TARGETS[name].quantities)
    assert report["targets"]["onnx"]["figures"]["tensorrt"]["broken_rules"] == []
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "SM8750" in html


@pytest.mark.parametrize(("target", "module"), [("snapdragon", "onnxruntime_qnn"), ("ethos_u", "ethosu")])
def test_a_missing_extra_costs_its_target_alone(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, module: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else find(name, *rest))
    report = convert(files, tmp_path / "out", f"phone,{target}", code=1)
    assert report["targets"]["phone"]["status"] in ("ok", "undecided")
    failed = report["targets"][target]
    assert failed["status"] == "failed"
    assert f"pip install 'tfcompress[{target}]'" in failed["reason"]
    assert "\n" not in failed["reason"]


VELA = """
import os, pathlib, signal
with (pathlib.Path(__file__).parent / "calls").open("a") as calls:
    calls.write("x")
os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.mark.usefixtures("vela")
def test_a_vela_that_crashes_costs_its_target_alone_and_is_asked_once(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "fake" / "ethosu"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "vela.py").write_text(VELA)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    report = convert(files, tmp_path / "out", "micro,ethos_u", "--ethos_u_configs=ethos-u55-128", code=1)
    assert report["targets"]["micro"]["status"] in ("ok", "undecided")
    assert report["targets"]["ethos_u"]["status"] == "failed"
    assert report["targets"]["ethos_u"]["reason"] == "small: Vela was killed by SIGSEGV"
    assert (package / "calls").read_text() == "x"


def test_a_qualcomm_compiler_that_is_killed_costs_its_target_alone(
    sdk: VendorSdk, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nkill -KILL $$\n")
    tool.chmod(0o755)
    monkeypatch.setattr(conversion, "sdk_for", lambda soc: dataclasses.replace(sdk, tool=tool))
    report = convert(files, tmp_path / "out", "micro,snapdragon", "--socs=SM8750", code=1)
    assert report["targets"]["micro"]["status"] in ("ok", "undecided")
    assert report["targets"]["snapdragon"]["reason"] == "small: Qualcomm's compiler was killed by SIGKILL"


def refused(*arguments: object) -> str:
    """The one line on standard error of a command that ends with bad usage."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert main([str(argument) for argument in arguments]) == 2
    (line,) = err.getvalue().splitlines()
    return line


def test_an_unknown_chip_is_bad_usage_before_anything_is_converted(files: Path, tmp_path: Path) -> None:
    output = f"--output={tmp_path / 'out'}"
    line = refused("convert", files / "small.keras", "--targets=snapdragon", "--socs=SM1", output)
    assert "unknown chip 'SM1'" in line
    assert not (tmp_path / "out").exists()


def test_inspecting_anything_but_a_tflite_is_refused(files: Path) -> None:
    for target in ("snapdragon", "ethos_u"):
        line = refused("inspect", files / "small.keras", f"--target={target}")
        assert f"--target={target}: needs a .tflite" in line


def test_a_file_without_operators_is_refused_in_one_line(tmp_path: Path) -> None:
    graph = GraphBuilder()
    path = tmp_path / "same.tflite"
    path.write_bytes(graph.content(graph.input([1, 4])))
    for target in ("snapdragon", "ethos_u"):
        assert "its main graph has no operators" in refused("inspect", path, f"--target={target}")


def test_signatures_beside_the_main_graph_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 4]), graph.tensor([1, 4])
    graph.operator("ADD", [source, source], [result])
    graph.content(result)
    graph.model.subgraphs = graph.model.subgraphs * 2
    graph.model.signatureDefs = [_signature("encode", 0, source, result), _signature("decode", 1, source, result)]
    path = tmp_path / "two.tflite"
    path.write_bytes(write_tree(graph.model))
    admitted_graph(path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "has the signatures encode, decode; what follows is of the main graph alone, encode" in line
    graph.model.subgraphs, graph.model.signatureDefs = graph.model.subgraphs[:1], graph.model.signatureDefs[:1]
    path.write_bytes(write_tree(graph.model))
    admitted_graph(path)
    assert capsys.readouterr().err == ""


def _signature(key: str, graph: int, source: int, result: int) -> Any:
    """A signature of one input and one output."""
    signature: Any = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key, graph
    ends: list[Any] = [schema.TensorMapT(), schema.TensorMapT()]
    for end, name, index in zip(ends, ("x", "y"), (source, result), strict=True):
        end.name, end.tensorIndex = name, index
    signature.inputs, signature.outputs = ends[:1], ends[1:]
    return signature
