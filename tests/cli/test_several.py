"""Several models in one run, folders that stand for the artifact inside, examples in the help, and tab completion."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_commands import printed
from tfcompress.accuracy_diff.opening import artifact_in
from tfcompress.cli.parser import COMMANDS
from tfcompress.errors import ModelError
from tfcompress.runtime import keras


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good models, one that is none, and data."""
    folder = tmp_path_factory.mktemp("several")
    for seed, name in enumerate(("first", "second")):
        keras.utils.set_random_seed(seed)
        x = keras.Input((6,), name="x")
        keras.Model(x, keras.layers.Dense(3, activation="softmax", name="digit")(x)).save(folder / f"{name}.keras")
    (folder / "broken.keras").write_bytes(b"no model")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.normal(size=(32, 6)).astype(np.float32), y=rng.integers(0, 3, 32))
    return folder


@pytest.fixture(scope="module")
def converted(files: Path) -> tuple[int, str]:
    models = [files / f"{name}.keras" for name in ("first", "broken", "second")]
    data = [f"--{kind}={files / 'data.npz'}" for kind in ("calibration", "evaluation")]
    return printed("convert", *models, "--targets=phone", *data, f"--output={files / 'out'}", "--json")


def test_a_model_that_fails_does_not_take_the_others_with_it(files: Path, converted: tuple[int, str]) -> None:
    code, text = converted
    first, broken, second = json.loads(text)["models"]
    assert code == 2
    assert "broken.keras" in broken["error"]
    assert broken["report"] is None
    for entry in (first, second):
        assert entry["exit_code"] == 0
        assert entry["report"]["targets"]["phone"]["status"] in ("ok", "undecided")
        assert (Path(entry["output"]) / "phone/model.tflite").exists()
    assert Path(second["output"]) == files / "out/second"


@pytest.mark.usefixtures("converted")
def test_a_folder_of_an_output_stands_for_the_artifact_inside(files: Path) -> None:
    out = files / "out/first"
    assert artifact_in(out / "phone") == out / "phone/model.tflite"
    with pytest.raises(ModelError, match=r"holds phone, expected one of them: .*phone"):
        artifact_in(out)
    data = f"--evaluation={files / 'data.npz'}"
    code, text = printed("diff", files / "first.keras", out / "phone", data, "--json")
    assert code == 0
    assert json.loads(text)["candidate"]["diff"]["top1_agreement"] > 0.9
    assert json.loads(text)["candidate"]["bytes"] == (out / "phone/model.tflite").stat().st_size


def test_two_models_of_one_name_are_refused(files: Path, tmp_path: Path) -> None:
    shutil.copy(files / "first.keras", tmp_path / "first.keras")
    models = (files / "first.keras", tmp_path / "first.keras")
    assert printed("convert", *models, "--targets=phone", f"--output={tmp_path / 'out'}")[0] == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.examples])
def test_the_help_ends_with_examples_and_names_its_groups(name: str) -> None:
    text = printed(name, "--help")[1]
    assert "what is printed:" in text
    for example in COMMANDS[name].examples:
        assert example.split()[0] == name
        assert example in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tfcompress conv", "convert"),
        ("tfcompress convert --max_acc", "--max_accuracy_drop="),
        ("tfcompress diff --eval", "--evaluation="),
    ],
)
def test_bash_completes_commands_and_flags(line: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(printed("completion", "bash")[1])
    words = " ".join(f"'{word}'" for word in line.split())
    code = f"source {tmp_path / 'script'}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _tfcompress; "
    code += 'echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert expected in done.stdout.split()


def test_flags_of_libraries_are_not_completed() -> None:
    script = printed("completion", "bash")[1]
    assert "--help " in script
    assert "--targets=" in script
    assert not [flag for flag in ("--helpfull", "--pdb", "--run_with_profiling", "--test_srcdir") if flag in script]
