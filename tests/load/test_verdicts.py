"""That a content was admitted is kept in the cache: a later process need not try it again, unless anything changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.packing.files import tflite
from tfcompress.cache import Store, using
from tfcompress.errors import ModelError
from tfcompress.load import admit, door, load_model
from tfcompress.load.door import was_admitted
from tfcompress.load.safety.cage_client import run_caged
from tfcompress.runtime import keras

Tried = list[str]
NewProcess = Callable[[], None]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Tried:
    """Collects the tasks that are run in the cage."""
    tasks = Tried()

    def counting(task: str, *arguments: Any, **options: Any) -> Any:
        tasks.append(task)
        return run_caged(task, *arguments, **options)

    monkeypatch.setattr(door, "run_caged", counting)
    return tasks


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> NewProcess:
    """Forgets what this process has admitted."""

    def forget() -> None:
        monkeypatch.setattr(door, "_admitted", door._Verdicts())

    forget()
    return forget


@pytest.fixture
def model(tmp_path: Path) -> Path:
    x = keras.Input((6,), name="x")
    keras.Model(x, keras.layers.Dense(3, name="digit")(x)).save(tmp_path / "small.keras")
    return tmp_path / "small.keras"


def test_a_model_is_tried_once_for_all_processes(
    model: Path, tmp_path: Path, tried: Tried, new_process: NewProcess
) -> None:
    with using(Store(tmp_path / "cache")):
        assert not was_admitted(model)
        load_model(model)
        assert tried == ["read_model", "restore_model"]
        new_process()
        shutil.copy(model, tmp_path / "copy.keras")
        assert was_admitted(tmp_path / "copy.keras")
        load_model(tmp_path / "copy.keras")
        assert tried[2:] == ["read_model"]
    new_process()
    assert not was_admitted(model)


def test_another_content_or_another_version_is_tried(
    tmp_path: Path, tried: Tried, new_process: NewProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite([("w", np.ones((2, 1), np.int8), np.ones(2, np.float32))]))
    with using(Store(tmp_path / "cache")):
        admit(path, run=False)
        new_process()
        admit(path, run=False)
        assert len(tried) == 1
        monkeypatch.setattr(door, "surroundings", lambda: ("other code", "machine", ()))
        new_process()
        admit(path, run=False)
        assert len(tried) == 2
        path.write_bytes(tflite([("w", np.zeros((2, 1), np.int8), np.ones(2, np.float32))]))
        admit(path, run=False)
        assert len(tried) == 3


def test_a_refusal_is_never_kept(tmp_path: Path, tried: Tried, new_process: NewProcess) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"no model at all")
    with using(Store(tmp_path / "cache")):
        for _ in range(2):
            new_process()
            with pytest.raises(ModelError):
                admit(path, run=False)
    assert len(tried) == 2
