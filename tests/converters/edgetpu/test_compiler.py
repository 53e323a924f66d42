"""`edgetpu_compiler` on PATH: run with a time limit, its log parsed and compared with the forecast."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import forecast, parse_compiler_log
from tfcompress.converters.edgetpu.compiler import compile_model, find_compiler, with_measurement
from tfcompress.converters.edgetpu.compiler_log import parse_compiler_text
from tfcompress.errors import ModelError

LOG = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 93 ms.

Input model: {input}
Input size: 7.39MiB
Output model: model_edgetpu.tflite
Output size: 7.34MiB
On-chip memory used for caching model parameters: 3.00KiB
On-chip memory remaining for caching model parameters: 7.67MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 3
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU.
Number of operations that will run on Edge TPU: 1
Number of operations that will run on CPU: 2

Operator                       Count      Status

RELU                           1          Mapped to Edge TPU
LEAKY_RELU                     1          Operation not supported
RELU                           1          More than one subgraph is not supported
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def model(folder: Path) -> Path:
    graph = GraphBuilder()
    source = graph.input([1, 8])
    tensors = [graph.tensor([1, 8]) for _ in range(3)]
    graph.operator("RELU", [source], [tensors[0]], version=2)
    graph.operator("LEAKY_RELU", [tensors[0]], [tensors[1]], "LeakyReluOptions", alpha=0.1)
    graph.operator("RELU", [tensors[1]], [tensors[2]], version=2)
    path = folder / "model.tflite"
    path.write_bytes(graph.content(tensors[2]))
    return path


def fake_compiler(folder: Path, script: str) -> Path:
    path = folder / "edgetpu_compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_log_tells_counts_sizes_and_the_table() -> None:
    log = parse_compiler_text(LOG.format(input="model.tflite"))
    (run,) = log.runs
    assert log.version == "16.0.384591198"
    assert (run.input, run.output, run.compiled, run.failure) == ("model.tflite", "model_edgetpu.tflite", True, None)
    assert (run.operators, run.mapped_ops, run.cpu_ops, run.subgraphs) == (3, 1, 2, 1)
    assert (run.on_chip_bytes, run.off_chip_bytes) == (3072, 0)
    assert run.on_chip_remaining_bytes == round(7.67 * 2**20)
    assert [(row.name, row.count, row.status) for row in run.table][1] == ("LEAKY_RELU", 1, "Operation not supported")


def test_several_models_in_one_log_are_told_apart() -> None:
    text = LOG.format(input="a.tflite") + LOG.format(input="b.tflite")
    assert [run.input for run in parse_compiler_text(text).runs] == ["a.tflite", "b.tflite"]


def test_a_short_log_of_version_two_is_counted_from_its_table() -> None:
    text = "Edge TPU Compiler version 2.0.267685300\nInput: m.tflite\nOutput: m_edgetpu.tflite\n\n"
    text += "Operator                       Count      Status\n\n"
    text += "CONV_2D                        4          Mapped to Edge TPU\n"
    text += "SOFTMAX                        1          Operation not supported\n"
    (run,) = parse_compiler_text(text).runs
    assert (run.operators, run.mapped_ops, run.cpu_ops, run.compiled, run.on_chip_bytes) == (5, 4, 1, True, None)


@pytest.mark.parametrize(
    "line",
    [
        "Compilation failed: Compilation failed due to large activation tensors in model.",
        "ERROR: Didn't find op for builtin opcode 'ADD' version '4'",
        "Internal compiler error. Aborting!",
        "Compilation failed!",
    ],
)
def test_a_failure_is_quoted(line: str) -> None:
    (run,) = parse_compiler_text(f"Edge TPU Compiler version 16.0.384591198\n{line}\n").runs
    assert (run.compiled, run.failure) == (False, line)


def test_a_log_file_is_read_and_another_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model_edgetpu.log"
    path.write_text(LOG.format(input="m.tflite"))
    assert parse_compiler_log(path).runs[0].mapped_ops == 1
    path.write_text("hello\n")
    with pytest.raises(ModelError, match="not a log of edgetpu_compiler"):
        parse_compiler_log(path)
    with pytest.raises(ModelError, match="cannot be read"):
        parse_compiler_log(tmp_path / "absent.log")


def test_the_compiler_s_word_is_set_beside_the_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model(tmp_path)
    (tmp_path / "log").write_text(LOG.format(input=path))
    fake_compiler(tmp_path, f'cat "{tmp_path}/log"; : > "{tmp_path}/model_edgetpu.tflite"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    compiler = find_compiler()
    assert compiler is not None
    assert compiler == str(tmp_path / "edgetpu_compiler")
    compiled, log, reason = compile_model(path, compiler=compiler)
    assert (compiled, reason) == (tmp_path / "model_edgetpu.tflite", None)
    measured = with_measurement(forecast(path), log, reason).measured
    assert measured is not None
    assert measured["compiled"]
    assert measured["differences"] == []


def test_a_wrong_forecast_is_shown(tmp_path: Path) -> None:
    path = model(tmp_path)
    log = parse_compiler_text(LOG.replace("LEAKY_RELU ", "LEAKY_ELU  ").format(input=path))
    measured = with_measurement(forecast(path), log, None).measured
    assert measured is not None
    assert measured["differences"] == [
        {"op": "LEAKY_ELU", "reason": "Operation not supported", "forecast": 0, "compiler": 1},
        {"op": "LEAKY_RELU", "reason": "Operation not supported", "forecast": 1, "compiler": 0},
    ]


def test_a_compiler_that_hangs_is_stopped(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path, "sleep 60")
    compiled, log, reason = compile_model(model(tmp_path), compiler=str(compiler), time_limit=0.5)
    assert (compiled, log) == (None, None)
    assert reason is not None
    assert "did not finish within 0.5 seconds" in reason


def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path, "echo 'Edge TPU Compiler version 16.0'; echo 'Compilation failed!'; exit 1")
    compiled, log, reason = compile_model(model(tmp_path), compiler=str(compiler))
    assert compiled is None
    assert log is not None
    assert reason == "edgetpu_compiler ended with status 1: Compilation failed!"
    compiler = fake_compiler(tmp_path, "echo nonsense; exit 3")
    reason = compile_model(model(tmp_path), compiler=str(compiler))[2]
    assert reason == "edgetpu_compiler ended with status 3 and said 'nonsense'"


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None
