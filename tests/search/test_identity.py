"""A search goes on only where it would try the same things: other data or another model make another search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.recipe import PostTraining, Recipe, Student
from tfcompress.search.options import SearchOptions
from tfcompress.search.run import _identity


def identity(folder: Path, **options: Any) -> str:
    given = {"model": str(folder / "saved"), "calibration": str(folder / "images"), **options}
    return _identity(SearchOptions(budget="bytes<=5", output=folder / "out", **given))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("saved/model.pb", "images/cat/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"as it was")
    return tmp_path


@pytest.mark.parametrize("name", ["saved/model.pb", "images/cat/1.png"])
def test_a_file_inside_of_a_folder_counts(folder: Path, name: str) -> None:
    before = identity(folder)
    assert identity(folder) == before
    (folder / name).write_bytes(b"another")
    assert identity(folder) != before


@pytest.mark.parametrize(
    "options",
    [
        {"labels": ("cat", "dog")},
        {"label_column": "2"},
        {"sample_rate": 8000},
        {"custom_objects": "layers:OBJECTS"},
        {"recipe": Recipe(post_training=PostTraining(quality="best"))},
        {"calibration": np.zeros((2, 2), np.float32)},
        {"calibration": np.ones((2, 2), np.float32)},
        {"seed": 7},
    ],
)
def test_every_option_that_shapes_the_trials_counts(folder: Path, options: dict[str, Any]) -> None:
    assert identity(folder, **options) != identity(folder)


def test_the_file_that_a_recipe_names_counts(folder: Path) -> None:
    student = folder / "student.keras"
    recipe = Recipe(student=Student(model=str(student)))
    student.write_bytes(b"one")
    before = identity(folder, recipe=recipe)
    student.write_bytes(b"two")
    assert identity(folder, recipe=recipe) != before


@pytest.mark.parametrize(
    "options",
    [{"workers": 2}, {"max_minutes": 5.0}, {"no_cache": True}, {"storage": "trials.db"}, {"max_load_seconds": 9}],
)
def test_where_and_how_long_it_works_does_not_count(folder: Path, options: dict[str, Any]) -> None:
    assert identity(folder, **options) == identity(folder)
