"""The GitHub Action: its comparing step, run as a runner would, writes the summary and hands on the gate's verdict."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.runtime import keras

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
ACTION = Path(__file__).parents[2] / "action.yml"
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def steps() -> dict[str, Any]:
    return {step.get("id", step.get("name")): step for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"]}


def compare(folder: Path, candidate: Path, arguments: str = "") -> dict[str, str]:
    """The outputs of the comparing step."""
    (folder / "outputs").write_text("")
    values = {
        "REFERENCE": folder / "a.keras",
        "CANDIDATE": candidate,
        "EVALUATION": folder / "data.npz",
        "DROP": "0.01",
    }
    places = {"RUNNER_TEMP": folder, "GITHUB_STEP_SUMMARY": folder / "summary", "GITHUB_OUTPUT": folder / "outputs"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {name: str(value) for name, value in {**values, **places, "ARGUMENTS": arguments, "PATH": path}.items()}
    subprocess.run(["bash", "-c", steps()["diff"]["run"]], env={**os.environ, **given}, check=True, capture_output=True)
    return dict(line.split("=", 1) for line in (folder / "outputs").read_text().splitlines())


@needs_bash
def test_the_step_writes_the_comparison_and_hands_on_the_exit_code(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="kind")(x))
    model.save(tmp_path / "a.keras")
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 4)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=inputs, y=model.predict(inputs, verbose=0).argmax(-1))
    assert compare(tmp_path, tmp_path / "a.keras", "--samples=300\n")["exit_code"] == "0"
    assert "300" in (tmp_path / "summary").read_text()
    (tmp_path / "tfcompress_diff.md").unlink()
    outputs = compare(tmp_path, tmp_path / "none; touch hurt")
    assert outputs["exit_code"] == "2"
    assert "no such file" in Path(outputs["markdown"]).read_text()
    assert not (tmp_path / "hurt").exists()


def test_no_input_is_pasted_into_a_script() -> None:
    for step in steps().values():
        assert "${{" not in step.get("run", "")


@needs_bash
def test_the_comment_step_hands_gh_the_number_the_repository_and_the_file_as_they_are(tmp_path: Path) -> None:
    """The step's script runs with a `gh` of our own, which writes down its arguments, one a line."""
    step = steps()["Comment on the pull request"]
    assert step["if"] == "inputs.comment == 'true' && github.event_name == 'pull_request'"
    assert set(step["env"]) == {"GH_TOKEN", "NUMBER", "MARKDOWN"}
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\nprintf \'%s\\n\' "$@" > "{tmp_path}/arguments"\n')
    gh.chmod(0o755)
    markdown = f"{tmp_path}/a file; touch hurt.md"
    given = {"NUMBER": "12", "MARKDOWN": markdown, "GITHUB_REPOSITORY": "a/b", "GH_TOKEN": "none"}
    environment = {**os.environ, **given, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", step["run"]], cwd=tmp_path, env=environment, check=True)
    wanted = ["pr", "comment", "12", "--repo", "a/b", "--body-file", markdown, "--edit-last", "--create-if-none"]
    assert (tmp_path / "arguments").read_text().splitlines() == wanted
    assert not (tmp_path / "hurt.md").exists()


@needs_bash
@pytest.mark.parametrize("code", ["0", "2", "3"])
def test_the_last_step_ends_as_the_comparison_did(code: str) -> None:
    done = subprocess.run(["bash", "-euc", steps()["Gate"]["run"]], env={**os.environ, "CODE": code}, check=False)
    assert done.returncode == int(code)
