"""Targets are rows of one table: what loops over it knows none of them by name, and a new one is a row."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import tfcompress
from tests.cli.test_commands import printed, printed_json
from tests.converters.toy_target import ToyBrick
from tfcompress.converters import DEFAULT_TARGETS, TARGETS, parse_targets
from tfcompress.report import Report, write_model_explorer, write_tensorboard
from tfcompress.report.ci import render_junit, render_markdown
from tfcompress.report.exports import flat_figures
from tfcompress.report.notebook import render_notebook
from tfcompress.runtime import keras

ROOT = Path(__file__).parents[2]
SEEN_BY_NAME = re.compile(
    r"""(==|!=|\bis\b|\bin\b)\s*["'](phone|edgetpu|cloud_tpu|snapdragon|ethos_u|micro)["']|["'](phone|edgetpu|cloud_tpu|snapdragon|ethos_u|micro)["']\s*(==|!=|in\b)"""
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table with one more row."""
    monkeypatch.setitem(TARGETS.places, "toy", "tests.converters.toy_target:TOY")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a small model, and 16 labelled samples for it."""
    x = keras.Input((6,), name="x")
    keras.Model(x, keras.layers.Dense(3, activation="softmax", name="digit")(x)).save(tmp_path / "small.keras")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(16, 6)).astype(np.float32), y=rng.integers(0, 3, 16))
    return tmp_path


def test_every_row_says_what_a_target_is() -> None:
    assert set(DEFAULT_TARGETS) <= set(TARGETS)
    for name, target in TARGETS.items():
        assert target.name == name
        assert target.title
        assert target.depends_on(tfcompress.Recipe()) == target.depends_on(tfcompress.Recipe())


def test_targets_are_listed_once_and_unknown_names_are_refused() -> None:
    assert parse_targets("edgetpu, phone,edgetpu") == ("edgetpu", "phone")
    for wrong in ("android", "", "phone,android"):
        with pytest.raises(tfcompress.RecipeError, match="expected one or more of phone,edgetpu,cloud_tpu"):
            parse_targets(wrong)


@pytest.mark.usefixtures("toy")
def test_a_target_is_added_by_one_row(files: Path) -> None:
    data = f"--evaluation={files / 'data.npz'}"
    report = printed_json("convert", files / "small.keras", "--targets=toy", data, f"--output={files / 'out'}")
    section = report["targets"]["toy"]
    assert (section["status"], section["files"], section["notes"]) == (
        "undecided",
        ["toy/toy.tflite"],
        ["built from red bricks"],
    )
    assert section["diff"]["top1_agreement"] == 1.0
    assert report["targets"]["phone"]["status"] == "skipped"
    page = (files / "out/report.html").read_text()
    assert "Toy brick" in page
    assert "Toy brick: stacked" in page
    assert "<dt>bricks</dt>" in page
    assert tfcompress.verify(files / "out") == []
    artifact = files / "out/toy/toy.tflite"
    assert printed_json("inspect", artifact, "--target=toy") == {"mapping": {"bricks": section["figures"]["bricks"]}}


@pytest.mark.usefixtures("toy")
def test_an_added_target_is_in_the_help_and_beside_the_others(files: Path) -> None:
    assert ",".join(TARGETS) in "".join(printed("convert", "--help")[1].split())  # the help is folded
    data = f"--calibration={files / 'data.npz'}"
    code, text = printed("convert", files / "small.keras", "--targets=toy,phone", data, f"--output={files / 'out'}")
    assert code == 0
    assert "Toy brick" in text
    assert "bricks" in printed("inspect", files / "out/toy/toy.tflite", "--target=toy")[1]
    assert {path.name for path in (files / "out").iterdir()} >= {"toy", "phone"}


@pytest.mark.usefixtures("toy")
def test_an_added_target_is_in_everything_that_a_report_is_written_as(files: Path) -> None:
    words = ["convert", files / "small.keras", "--targets=toy", f"--evaluation={files / 'data.npz'}"]
    report = Report.from_plain(printed_json(*words, f"--output={files / 'out'}"))
    assert [case.get("name") for case in ET.fromstring(render_junit(report))] == ["toy"]
    assert "| toy | ❔ undecided |" in render_markdown(report)
    (nodes,) = write_model_explorer(report, files / "layers.json")[:1]
    assert json.loads(nodes.read_text())["main"]["results"]
    write_tensorboard(report, files / "logs")
    assert {path.name for path in (files / "logs").iterdir()} == {"float", "toy"}
    assert flat_figures(report)["toy/file/bytes"] == (files / "out/toy/toy.tflite").stat().st_size
    assert "Toy brick" in render_notebook(report, files / "out")


@pytest.mark.usefixtures("toy")
def test_options_of_an_added_target_are_set_by_a_flag_and_by_a_recipe(files: Path) -> None:
    (files / "blue.json").write_text('{"toy": {"color": "blue", "brick_bytes": 50}}')
    words = ["convert", files / "small.keras", "--targets=toy", f"--output={files / 'out'}", "--brick_bytes=10"]
    report = printed_json(*words, f"--recipe={files / 'blue.json'}")
    section = report["targets"]["toy"]
    assert section["notes"] == ["built from blue bricks"]
    assert section["figures"]["bricks"] == (files / "out/toy/toy.tflite").stat().st_size // 10
    assert json.loads((files / "out/recipe.json").read_text())["toy"] == {"brick_bytes": 10, "color": "blue"}
    assert report["recipe"]["toy"] == {"brick_bytes": 10, "color": "blue"}
    assert "--recipe=" in report["command"]
    first = (files / "out/report.json").read_bytes()
    assert printed(*shlex.split(report["command"])[1:])[0] == 0
    assert (files / "out/report.json").read_bytes() == first


@pytest.mark.usefixtures("toy")
def test_options_of_an_added_target_are_checked_and_documented() -> None:
    assert "--brick_bytes BYTES" in printed("convert", "--help")[1]
    assert tfcompress.Recipe(toy=ToyBrick(color="blue")).section(ToyBrick).color == "blue"
    for text, said in [
        ('{"toy": {"brick_bytes": 0}}', "expected at least 1"),
        ('{"toy": {"colour": "blue"}}', "did you mean 'color'"),
        ('{"toys": {}}', "did you mean 'toy'"),
    ]:
        with pytest.raises(tfcompress.RecipeError, match=re.escape(said)):
            tfcompress.Recipe.from_json(text)


def test_options_of_a_target_that_is_not_in_the_table_are_refused() -> None:
    with pytest.raises(tfcompress.RecipeError, match="unknown key 'toy'"):
        tfcompress.Recipe(toy=ToyBrick())
    with pytest.raises(tfcompress.RecipeError, match=r"expected EdgeTpu\(\.\.\.\)"):
        tfcompress.Recipe(edgetpu=ToyBrick())


def test_a_table_row_that_is_no_target_of_that_name_is_a_programming_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS.places, "brick", "tests.converters.toy_target:TOY")
    with pytest.raises(AssertionError, match="calls itself 'toy'"):
        TARGETS["brick"]


def test_nothing_asks_which_target_it_has() -> None:
    places = [path for folder in ("tfcompress", "converters") for path in (ROOT / folder).rglob("*.py")]
    askers = [str(path.relative_to(ROOT)) for path in places if SEEN_BY_NAME.search(path.read_text(encoding="utf-8"))]
    assert askers == []


@pytest.mark.parametrize("line", ['if name == "phone":', "x if 'edgetpu' in names else y", 'if target is "cloud_tpu":'])
def test_and_would_be_found_if_it_did(line: str) -> None:
    assert SEEN_BY_NAME.search(line)
