"""Bad input: one line on standard error, exit code 2, nothing written."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfcompress.cli import main


def run_in_process(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; in this process, since starting TensorFlow takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def _convert(model: object, data: object, *more: str) -> list[str]:
    return ["convert", str(model), f"--calibration={data}", "--targets=phone", "--output=out", "--quiet", *more]


Case = Callable[[Path, Path], list[str]]


def with_model(name: str, content: bytes | Callable[[Path], bytes]) -> Case:
    def make(cnn: Path, here: Path) -> list[str]:
        (here / name).write_bytes(content if isinstance(content, bytes) else content(cnn))
        return _convert(here / name, cnn / "test.npz")

    return make


def with_data(*more: str, **arrays: np.ndarray) -> Case:
    def make(cnn: Path, here: Path) -> list[str]:
        np.savez(here / "bad.npz", allow_pickle=False, **arrays)
        return _convert(cnn / "model.keras", here / "bad.npz", *more)

    return make


def with_recipe(text: str) -> Case:
    def make(cnn: Path, here: Path) -> list[str]:
        (here / "recipe.json").write_text(text)
        return _convert(cnn / "model.keras", cnn / "test.npz", f"--recipe={here / 'recipe.json'}")

    return make


def saved_recipe(here: Path) -> Path:
    (here / "recipe.json").write_text('{"pruning": {}}')
    return here / "recipe.json"


def with_flags(*flags: str) -> Case:
    return lambda cnn, here: _convert(cnn / "model.keras", cnn / "test.npz", *flags)


def truncated_keras(cnn: Path) -> bytes:
    return (cnn / "model.keras").read_bytes()[:5000]


def diff_with(name: str, content: bytes) -> Case:
    def make(cnn: Path, here: Path) -> list[str]:
        (here / name).write_bytes(content)
        return ["diff", str(cnn / "model.keras"), str(here / name), f"--evaluation={cnn / 'test.npz'}"]

    return make


JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + bytes(200)
X = np.zeros((4, 28, 28, 1), np.float32)

CASES: dict[str, tuple[Case, str]] = {
    "a missing model": (lambda cnn, here: _convert("none.keras", cnn / "test.npz"), "none.keras"),
    "an empty model": (with_model("m.keras", b""), "empty"),
    "a truncated .keras": (with_model("m.keras", truncated_keras), "m.keras"),
    "a truncated .h5": (with_model("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(600)), "m.h5"),
    "a JPEG named .keras": (with_model("m.keras", JPEG), "m.keras"),
    "a truncated .tflite": (diff_with("m.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(40)), "m.tflite"),
    "missing data": (lambda cnn, here: _convert(cnn / "model.keras", "none.npz"), "no such file"),
    "no data for an integer target": (
        lambda cnn, here: ["convert", str(cnn / "model.keras"), "--targets=phone", "--output=out"],
        "--calibration",
    ),
    "data of the wrong shape": (with_data(x=np.zeros((4, 27, 28, 1), np.float32)), "shape (27, 28, 1)"),
    "data of the wrong dtype": (with_data(x=np.full((4, 28, 28, 1), "a")), "expected numbers"),
    "NaN in calibration data": (with_data(x=np.full_like(X, np.nan)), "NaN"),
    "zero samples": (with_data(x=X[:0]), "no samples"),
    "labels out of range": (with_data(x=X, y=np.array([0, 1, 10, 3])), "10"),
    "an unknown target": (with_flags("--targets=phone,watch"), "unknown target 'watch'"),
    "an unknown topology": (with_flags("--targets=cloud_tpu", "--topologies=v99:2x2"), "v99"),
    "batch sizes out of order": (with_flags("--batch_sizes=8,1"), "ascending"),
    "an unknown scheme": (with_flags("--scheme=int3"), "one of int8"),
    "an output in no folder": (with_flags("--output=none/out"), "is not a folder"),
    "a compressed model where nobody may write": (
        lambda cnn, here: [
            "compress",
            str(cnn / "model.keras"),
            f"--train={cnn / 'train.npz'}",
            f"--recipe={saved_recipe(here)}",
            "--output=/proc/c.keras",
        ],
        "/proc/c.keras: cannot be written",
    ),
    "a recipe with an unknown key": (with_recipe('{"prunning": {}}'), "did you mean 'pruning'"),
    "a recipe that is not JSON": (with_recipe("{"), "not valid JSON"),
    "a missing recipe": (with_flags("--recipe=none.json"), "none.json: cannot be read: No such file"),
    "an unknown preprocessing": (with_flags("--preprocess=half"), "expected one of none, unit, signed_unit"),
    "zero calibration samples": (with_flags("--calibration_samples=0"), "expected a number >= 1"),
    "an unknown flag": (with_flags("--speed=fast"), "--speed"),
    "no command": (lambda cnn, here: [], "COMMAND"),
    "an inspection of nothing": (lambda cnn, here: ["inspect", "none.tflite"], "none.tflite"),
    "a verification of nothing": (lambda cnn, here: ["verify", "none"], "no such folder"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_exit_code_2(
    case: str, cnn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, said = CASES[case]
    (tmp_path / "inputs").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, out, err = run_in_process(make(cnn_folder, tmp_path / "inputs"))
    assert code == 2, err
    assert out == ""
    assert said in err
    assert err.count("\n") == 1, err
    assert list((tmp_path / "here").iterdir()) == []


def test_a_missing_extra_names_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    code, out, err = run_in_process(["demo", "--quiet"])
    assert (code, out) == (2, "")
    assert "pip install 'tfcompress[examples]'" in err
    assert list(tmp_path.iterdir()) == []
