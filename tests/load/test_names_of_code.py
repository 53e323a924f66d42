"""Code that a user trusts finds what it was written beside: libraries, modules in use and the user's own objects."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.errors import ModelError
from tfcompress.load import load_model
from tfcompress.runtime import keras, tf, tf_keras

VALUES = np.array([[-2.0, -1.0, 0.5, 3.0]], np.float32)


def saved(library: Any, function: Any, path: Path) -> Path:
    x = library.Input((4,), name="x")
    library.Model(x, library.layers.Lambda(function, output_shape=(4,))(x)).save(path)
    return path


def results(path: Path, custom_objects: dict[str, Any] | None = None) -> list[float]:
    model = load_model(path, custom_objects=custom_objects, allow_unsafe_deserialization=True)
    (values,) = model.predict({"x": VALUES}).values()
    return [float(value) for value in values.ravel()]


def module_of_a_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (folder / "layers_of_a_user.py").write_text(
        "FACTOR = 3.0\n\n\ndef larger(x):\n    return FACTOR * x\n\n\nfunction = lambda x: larger(x)\n"
    )
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module("layers_of_a_user")


@pytest.mark.parametrize(
    ("library", "name"), [(keras, "model.keras"), pytest.param(tf_keras, "model.h5", marks=pytest.mark.slow)]
)
def test_code_finds_libraries_under_their_usual_names(library: Any, name: str, tmp_path: Path) -> None:
    function = eval("lambda x: np.float32(2) * tf.abs(x)", {"np": np, "tf": tf})
    assert results(saved(library, function, tmp_path / name)) == [4.0, 2.0, 1.0, 6.0]


def test_code_of_keras_2_finds_what_else_is_in_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of_a_user(tmp_path, monkeypatch)
    assert results(saved(tf_keras, module.function, tmp_path / "model.h5")) == [-6.0, -3.0, 1.5, 9.0]


def test_a_module_that_the_second_process_does_not_have_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = module_of_a_user(tmp_path, monkeypatch)
    twice = eval("lambda x: 2 * x", vars(module))
    path = saved(tf_keras, twice, tmp_path / "model.h5")
    (tmp_path / "layers_of_a_user.py").unlink()
    assert results(path) == [-4.0, -2.0, 1.0, 6.0]


@pytest.mark.slow
def test_a_module_that_loads_the_file_while_it_is_imported_starts_no_endless_row_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = (
        "from pathlib import Path\nfrom tfcompress.load import load_model\n\nfunction = lambda x: 2 * x\n"
        "path = Path(__file__).with_name('model.h5')\n"
        "if path.exists():\n    load_model(path, allow_unsafe_deserialization=True)\n"
    )
    (tmp_path / "loads_at_import.py").write_text(loading)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("loads_at_import")
    assert results(saved(tf_keras, module.function, tmp_path / "model.h5")) == [-4.0, -2.0, 1.0, 6.0]


def test_a_name_that_nobody_knows_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of_a_user(tmp_path, monkeypatch)
    path = saved(keras, module.function, tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"'larger' is not defined.*give it in custom_objects"):
        results(path)
    assert results(path, {"larger": module.larger}) == [-6.0, -3.0, 1.5, 9.0]
