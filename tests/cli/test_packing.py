from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.converters.packing.files import layered
from tfcompress.cli import main
from tfcompress.errors import InputError


def test_pack_and_unpack_give_the_same_file_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, packed, again = tmp_path / "model.tflite", tmp_path / "model.tfcz", tmp_path / "again.tflite"
    model.write_bytes(layered())
    assert main(["pack", str(model), f"--output={packed}", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["packed_bytes"] == packed.stat().st_size
    assert sum(tensor["packed_bytes"] for tensor in facts["tensors"]) < facts["packed_bytes"]
    assert main(["unpack", str(packed), f"--output={again}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == model.stat().st_size
    assert again.read_bytes() == model.read_bytes()


def test_inspect_says_what_is_in_a_packed_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, packed = tmp_path / "model.tflite", tmp_path / "model.tfcz"
    model.write_bytes(layered())
    assert main(["pack", str(model), f"--output={packed}", "--json"]) == 0
    capsys.readouterr()
    assert main(["inspect", str(packed), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["packed"]
    assert (facts["bytes"], facts["packed_bytes"]) == (model.stat().st_size, packed.stat().st_size)
    assert all(0 < group["from"] < group["to"] <= facts["bytes"] for group in facts["groups"])
    assert main(["inspect", str(packed)]) == 0
    assert "lanes" in capsys.readouterr().out


def test_a_file_that_is_not_packed_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(layered())
    assert main(["unpack", str(model), f"--output={tmp_path / 'x.tflite'}"]) == InputError.exit_code
    assert "not a .tfcz" in capsys.readouterr().err
    assert not (tmp_path / "x.tflite").exists()


@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_the_file_that_is_read_is_never_the_one_that_is_written(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(layered())
    (tmp_path / "link").symlink_to("file")
    assert main([command, str(file), f"--output={tmp_path / 'link'}"]) == InputError.exit_code
    assert "is the file that is read" in capsys.readouterr().err
    assert file.read_bytes() == layered()


@pytest.mark.parametrize("output", ["nowhere/model.tfcz", ".", "/dev/null"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no model")
    assert main(["pack", str(tmp_path / "model.tflite"), f"--output={tmp_path / output}"]) == InputError.exit_code
    assert "expected a file in a folder that exists" in capsys.readouterr().err
