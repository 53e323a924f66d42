"""A recipe that makes a model smaller, through the commands: convert, compress, inspect, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.compression.models import small_cnn
from tfcompress.cli import main


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A small model, labelled samples, and a recipe that halves its multiply-accumulates."""
    small_cnn().save(tmp_path / "small.keras")
    random = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=random.random((64, 8, 8, 1), np.float32), y=random.integers(0, 3, 64))
    recipe = {"structure": {"macs": 0.5, "round_to": 2}, "training": {"epochs": 1}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    return tmp_path


def test_convert_reports_the_width_of_each_layer_before_and_after(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"--calibration={files / 'data.npz'}"
    code = main(
        [
            "convert", str(files / "small.keras"), f"--recipe={files / 'recipe.json'}", data, "--targets=phone",
            f"--output={files / 'out'}", "--max_accuracy_drop=0.99", "--no_cache",
        ]
    )  # fmt: skip
    report = json.loads((files / "out" / "report.json").read_text(encoding="utf-8"))
    widths = {row["layer"]: (row["before"], row["after"]) for row in report["compression"]["widths"]}
    assert code == 0, capsys.readouterr().err
    assert widths
    assert all(after < before for before, after in widths.values())
    assert report["targets"]["phone"]["macs"] <= 0.55 * report["model"]["macs"]
    page = (files / "out" / "report.html").read_text(encoding="utf-8")
    assert all(f"{before} → {after}" in page for before, after in widths.values())
    layers = {row["layer"] for row in report["targets"]["phone"]["layers"]}
    assert layers <= {layer.name for layer in small_cnn().layers}


def test_compress_writes_the_smaller_model_and_inspect_tells_its_macs(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = files / "smaller.keras"
    code = main(
        [
            "compress", str(files / "small.keras"), f"--recipe={files / 'recipe.json'}",
            f"--train={files / 'data.npz'}", f"--output={output}",
        ]
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err
    capsys.readouterr()
    models = []
    for path in (files / "small.keras", output):
        assert main(["inspect", str(path), "--json"]) == 0
        models.append(json.loads(capsys.readouterr().out)["model"])
    before, after = models
    assert after["macs"] <= 0.5 * before["macs"]
    assert after["parameters"] < before["parameters"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"macs": 0.001}, "the layers that must stay, and the least widths of the others, need"),
        ({"macs": 0.5, "skip": ["*"]}, "none of the model's channels can be cut"),
        ({"macs": 0.5, "skip": ["no_such"]}, "'no_such' fits no layer"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    files: Path, capsys: pytest.CaptureFixture[str], section: dict[str, object], message: str
) -> None:
    (files / "recipe.json").write_text(json.dumps({"structure": section}), encoding="utf-8")
    arguments = [f"--recipe={files / 'recipe.json'}", f"--train={files / 'data.npz'}", f"--output={files / 's.keras'}"]
    assert main(["compress", str(files / "small.keras"), *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "rror" in line]
    assert message in lines[-1]
