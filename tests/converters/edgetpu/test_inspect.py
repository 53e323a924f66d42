"""`tfcompress inspect` on .tflite files and on logs of the Edge TPU compiler."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.converters.edgetpu.graphs import GraphBuilder
from tests.converters.edgetpu.test_compiler import LOG
from tfcompress.cli import main


def printed(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in ("inspect", *arguments)])
    return code, out.getvalue(), err.getvalue()


def log_files(folder: Path) -> list[Path]:
    paths = [folder / "first_edgetpu.log", folder / "second_edgetpu.log"]
    for path in paths:
        path.write_text(LOG.format(input=path.stem))
    return paths


def test_any_number_of_compiler_logs_are_parsed_alone(tmp_path: Path) -> None:
    paths = log_files(tmp_path)
    code, text, _ = printed(*paths, "--edgetpu_log", "--json")
    assert code == 0
    runs = [log["runs"][0] for log in json.loads(text)["logs"]]
    assert [run["input"] for run in runs] == ["first_edgetpu", "second_edgetpu"]
    assert [(run["mapped_ops"], run["cpu_ops"], run["on_chip_bytes"]) for run in runs] == [(1, 2, 3072)] * 2
    assert runs[0]["table"][1] == {"name": "LEAKY_RELU", "count": 1, "status": "Operation not supported"}


def test_logs_are_printed_for_people_too(tmp_path: Path) -> None:
    code, text, _ = printed(*log_files(tmp_path), "--edgetpu_log")
    assert code == 0
    assert "1 of 3 operators on the Edge TPU" in " ".join(text.split())
    row = next(line for line in text.splitlines() if "LEAKY_RELU" in line)
    assert "Operation not supported" in row
    failed = tmp_path / "failed.log"
    failed.write_text("Edge TPU Compiler version 16.0.384591198\nInput: m.tflite\nCompilation failed!\n")
    assert "m.tflite, compiler 16.0.384591198: Compilation failed!" in printed(failed, "--edgetpu_log")[1]


def test_a_text_that_is_no_log_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    code, text, error = printed(path, "--edgetpu_log")
    assert (code, text) == (2, "")
    assert error.strip().count("\n") == 0
    assert "not a log of edgetpu_compiler" in error


def test_the_forecast_says_what_runs_after_the_edge_tpu_part_and_why_the_compiler_would_fail(tmp_path: Path) -> None:
    graph = GraphBuilder()
    source, shape = graph.input([1, 64]), graph.input([2], "int32")
    middle, result = graph.tensor([1, 64]), graph.tensor([8, 8])
    graph.operator("RELU", [source], [middle], version=2)
    graph.operator("HARD_SWISH", [middle], [result], "HardSwishOptions")
    path = tmp_path / "tail.tflite"
    path.write_bytes(graph.content(result))
    assert "after the Edge TPU part" in printed(path, "--target=edgetpu")[1]
    graph.operator("RESHAPE", [result, shape], [last := graph.tensor([8, 8])])
    path.write_bytes(graph.content(last))
    text = " ".join(printed(path, "--target=edgetpu")[1].split())
    assert "static-sized tensors" in text
    assert "fixed sizes" in text
    assert "{" not in text


def dense_file(folder: Path, name: str, outputs: int) -> Path:
    graph = GraphBuilder()
    source, result = graph.input([1, 2048]), graph.tensor([1, outputs])
    graph.operator("FULLY_CONNECTED", [source, graph.weights([outputs, 2048]), -1], [result], "FullyConnectedOptions")
    path = folder / f"{name}.tflite"
    path.write_bytes(graph.content(result))
    return path


def test_several_files_are_forecast_together(tmp_path: Path) -> None:
    paths = [dense_file(tmp_path, "first", 2560), dense_file(tmp_path, "second", 1536)]
    code, text, _ = printed(*paths, "--target=edgetpu", "--edgetpu_compiler=15", "--json")
    assert code == 0
    first, second = (entry["mapping"] for entry in json.loads(text)["models"])
    assert first["off_chip_bytes"] == 0
    assert second["off_chip_bytes"] > 0
    code, text, _ = printed(*paths, "--target=edgetpu")
    assert (code, "{" in text) == (0, False)
    assert "first.tflite" in text
    assert "over USB 3" in " ".join(text.split())


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """Every converted file is called model.tflite."""
    paths = []
    for folder in ("cars", "birds"):
        (tmp_path / folder).mkdir()
        paths.append(dense_file(tmp_path / folder, "model", 8))
    code, text, _ = printed(*paths, "--target=edgetpu")
    assert code == 0
    assert [line for line in text.splitlines() if "model.tflite" in line] == ["cars/model.tflite", "birds/model.tflite"]


def test_files_of_other_kinds_are_not_taken_together(tmp_path: Path) -> None:
    paths = [dense_file(tmp_path, name, 8) for name in ("first", "second")]
    code, _, error = printed(*paths)
    assert code == 2
    assert "--target=edgetpu" in error


def test_the_compiler_s_version_and_modes_are_flags(tmp_path: Path) -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 8, 8, 4]), graph.tensor([1, 4, 8, 8])
    graph.operator("TRANSPOSE", [source, graph.integers([0, 3, 1, 2])], [result], "TransposeOptions", version=2)
    path = tmp_path / "transpose.tflite"
    path.write_bytes(graph.content(result))

    def mapped(*flags: str) -> int:
        code, text, _ = printed(path, "--target=edgetpu", "--json", *flags)
        assert code == 0
        return int(json.loads(text)["mapping"]["mapped_ops"])

    assert (mapped(), mapped("--edgetpu_compiler=15")) == (1, 0)
    assert mapped("--edgetpu_multiple_subgraphs", "--edgetpu_search_delegate") == 1
    assert printed(path, "--target=edgetpu", "--edgetpu_compiler=17")[0] == 2


@pytest.mark.skipif(not (SHARED / "edgetpu").exists(), reason="../shared with compiled pairs is absent")
def test_compiled_files_say_whether_they_were_compiled_together(tmp_path: Path) -> None:
    pairs = SHARED / "edgetpu" / "pairs"
    first = pairs / "ricardodea-dense_256" / "model_edgetpu.tflite"
    other = pairs / "ricardodea-dense_1024" / "model_edgetpu.tflite"
    copy = tmp_path / "copy_edgetpu.tflite"
    copy.write_bytes(first.read_bytes())
    notes = json.loads(printed(first, copy, "--target=edgetpu", "--json")[1])["notes"]
    assert len(notes) == 1
    assert "compiled together" in notes[0]
    assert f"{2 * 67_584:,} bytes" in notes[0]
    (note,) = json.loads(printed(first, other, "--target=edgetpu", "--json")[1])["notes"]
    assert "replace each other" in note


@pytest.mark.skipif(not (SHARED / "edgetpu").exists(), reason="../shared with compiled pairs is absent")
def test_a_compiled_file_alone_names_its_token_and_that_its_room_was_shared() -> None:
    pairs = SHARED / "edgetpu" / "pairs"
    shared = pairs / "hanchanghu-mobilenet_v2_1.0_224_inat_bird_quant.v3" / "model_edgetpu.tflite"
    text = " ".join(printed(shared, "--target=edgetpu")[1].split())
    assert "caching token" in text
    assert "1,623,872 bytes are streamed although the chip could hold them beside the 2,323,456" in text
    alone = " ".join(printed(pairs / "ricardodea-dense_256" / "model_edgetpu.tflite", "--target=edgetpu")[1].split())
    assert "caching token" in alone
    assert "although" not in alone
