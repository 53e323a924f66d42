"""The GitHub Action: its comparing step, run as a runner would, writes the summary and hands on the gate's verdict."""

from __future__ import annotations

import json
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
LONGEST_COMMENT = 65_536  # characters, of GitHub's issue comments
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


# `gh api` with the comments of one pull request in a file: it lists, posts and changes as the real one does.
GH = """#!{python}
import json, pathlib, re, sys
place = pathlib.Path("{folder}/comments.json")
comments, said = json.loads(place.read_text()), sys.argv[1:]
if "token" in comments[0]["body"]:
    sys.exit("HTTP 403: Resource not accessible by integration")
(address,) = [word for word in said if word.startswith("repos/a/b/issues")]
if "--field" not in said:
    begin = re.search(r'startswith\\("(.*)"\\)', said[said.index("--jq") + 1]).group(1)
    print(*[comment["id"] for comment in comments if comment["body"].startswith(begin)], sep="\\n")
    sys.exit()
body = pathlib.Path(said[said.index("--field") + 1].removeprefix("body=@")).read_text()
if "--method" in said:
    assert said[said.index("--method") + 1] == "PATCH"
    (comment,) = [comment for comment in comments if address == "repos/a/b/issues/comments/" + str(comment["id"])]
    comment["body"] = body
else:
    assert address == "repos/a/b/issues/12/comments"
    comments.append({{"id": len(comments) + 1, "body": body}})
place.write_text(json.dumps(comments))
"""


@pytest.fixture
def pull_request(tmp_path: Path) -> Path:
    """A folder with a `gh` of our own and a pull request on which another action has commented."""
    (tmp_path / "gh").write_text(GH.format(python=sys.executable, folder=tmp_path))
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "comments.json").write_text('[{"id": 1, "body": "of another action"}]')
    return tmp_path


def comment(folder: Path, markdown: str, candidate: str = "a file; touch hurt.tflite") -> str:
    """What the comment step prints."""
    step = steps()["Comment on the pull request"]
    given = {"NUMBER": "12", "MARKDOWN": str(folder / "a file; touch hurt.md"), "REFERENCE": "a.keras"}
    Path(given["MARKDOWN"]).write_text(markdown)
    of_the_runner = {"RUNNER_TEMP": str(folder), "GITHUB_REPOSITORY": "a/b", "GH_TOKEN": "none"}
    given |= {"CANDIDATE": candidate, "PATH": f"{folder}:{os.environ['PATH']}"}
    assert {*step["env"]} == {"GH_TOKEN", "NUMBER", "MARKDOWN", "REFERENCE", "CANDIDATE"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]  # as a runner starts it
    environment = {**os.environ, **given, **of_the_runner}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def bodies(folder: Path) -> list[str]:
    return [row["body"] for row in json.loads((folder / "comments.json").read_text())]


@needs_bash
def test_each_pair_of_models_has_one_comment_that_is_brought_up_to_date(pull_request: Path) -> None:
    comment(pull_request, "first")
    comment(pull_request, "of a second model", candidate="b.tflite")
    assert comment(pull_request, "second") == ""
    shown = [body.split("-->\n")[-1] for body in bodies(pull_request)]
    assert shown == ["of another action", "second", "of a second model"]
    assert not (pull_request / "hurt.tflite").exists()
    assert not (pull_request / "hurt.md").exists()


@needs_bash
def test_a_long_comparison_is_cut_to_what_a_comment_holds(pull_request: Path) -> None:
    comment(pull_request, "12345678\n" * 20_000)
    assert 60_000 < len(bodies(pull_request)[1]) < LONGEST_COMMENT
    assert bodies(pull_request)[1].endswith("The rest is in the summary of the run.\n")


@needs_bash
def test_a_token_that_may_not_write_is_warned_of_and_ends_nothing(pull_request: Path) -> None:
    (pull_request / "comments.json").write_text('[{"id": 1, "body": "this token reads only"}]')
    assert comment(pull_request, "first").startswith("::warning::")


def test_only_a_pull_request_is_commented_on() -> None:
    condition = steps()["Comment on the pull request"]["if"]
    assert condition == "inputs.comment == 'true' && github.event_name == 'pull_request'"


@needs_bash
@pytest.mark.parametrize("code", ["0", "2", "3"])
def test_the_last_step_ends_as_the_comparison_did(code: str) -> None:
    done = subprocess.run(["bash", "-euc", steps()["Gate"]["run"]], env={**os.environ, "CODE": code}, check=False)
    assert done.returncode == int(code)
