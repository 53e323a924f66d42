"""The site's notebooks run from the first cell to the last, and stand there as they were run."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.documents import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_is_one_for_a_phone_one_for_coral_and_one_for_serving() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["cloud_tpu_serving", "coral", "phone"]


@named
def test_every_cell_was_run_in_order_without_an_error(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]


@named
def test_nothing_of_the_machine_that_ran_it_is_left(path: Path) -> None:
    assert not re.search(r"/(root|home|tmp|work)/", path.read_text())


@pytest.fixture
def runner() -> Any:
    """The module ``docs/run_notebooks.py``."""
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    place = ROOT / "docs/run_notebooks.py"
    spec = importlib.util.spec_from_file_location("run_notebooks", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_progress_in_between_does_not_part_what_a_cell_prints(runner: Any) -> None:
    def printed(name: str, text: str) -> dict[str, str]:
        return {"output_type": "stream", "name": name, "text": text}

    result = {"output_type": "execute_result"}
    outputs = [
        printed("stdout", "a"),
        printed("stderr", "50 %"),
        printed("stdout", "b"),
        result,
        printed("stdout", "c"),
    ]
    assert runner.without_progress(outputs) == [printed("stdout", "ab"), result, printed("stdout", "c")]


@pytest.mark.slow
@named
def test_a_notebook_runs_again_and_comes_to_the_same_kinds_of_output(path: Path, runner: Any) -> None:
    def kinds(cells: list[dict[str, Any]]) -> list[list[object]]:
        return [[output["output_type"] for output in cell.get("outputs", [])] for cell in cells]

    assert kinds(runner.executed(path).cells) == kinds(json.loads(path.read_text())["cells"])
