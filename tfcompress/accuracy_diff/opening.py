"""The runner for whatever the user has: a path, a loaded model, a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.onnx_runner import OnnxRunner
from tfcompress.accuracy_diff.runners import (
    CallableRunner,
    FloatModelRunner,
    Runner,
    SavedModelRunner,
    is_plain_callable,
)
from tfcompress.data.functions import import_attribute
from tfcompress.errors import ModelError
from tfcompress.load import LoadLimits, admit, float_model_from_keras, load_model, open_saved_model, read_admitted
from tfcompress.load.files.source import unchanged
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf_keras

__all__ = ["artifact_in", "runner_for"]

# What a target's folder holds that runs, the first that is there.
_ARTIFACTS = ("model.tflite", "model.onnx", "saved_model/1")


def runner_for(
    model: Any,
    *,
    name: str | None = None,
    signature: str | None = None,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
    ours: bool = False,
) -> Runner:
    """What runs `model`.

    Args:
        model: a Keras model or a loaded float model; the path of a `.tflite`, `.onnx`, `.keras` or `.h5` file or of a
            SavedModel folder; a Python function of the input arrays, or ``package.module:function``; or a runner, which
            is given back.
        name: of a Python function, for messages.
        signature: of a SavedModel; None takes `serving_default`.
        custom_objects: for a Keras file; see `tfcompress.load.load_model`.
        allow_unsafe_deserialization: for a file that carries code, or operators that are not on the list.
        max_load_seconds: see `tfcompress.load.load_model`.
        max_load_memory: see `tfcompress.load.load_model`.
        ours: this run has just written the file, so that it need not go through the door.

    Raises:
        ModelError: the path is no model, or one that cannot be loaded.
    """
    if isinstance(model, FloatModel):
        return FloatModelRunner(model)
    if isinstance(model, str) and ":" in model and not Path(model).exists():
        return runner_for(import_attribute(model, "--model"), name=model)
    if isinstance(model, str | Path):
        opening = _Opening(
            custom_objects, allow_unsafe_deserialization, LoadLimits(max_load_seconds, max_load_memory), ours
        )
        return _runner_for_path(Path(model), signature, opening)
    if isinstance(model, keras.Model | tf_keras.Model):
        return FloatModelRunner(float_model_from_keras(model))
    if isinstance(model, Runner):
        return model
    if is_plain_callable(model):
        return CallableRunner(model, name=name)
    raise ModelError(f"cannot run {type(model).__name__}, expected a path, a loaded model or a function")


def artifact_in(path: Path) -> Path:
    """The file or SavedModel in a target's folder of an output of ours; any other path as it is.

    Raises:
        ModelError: the folder holds several targets' folders.
    """
    if not path.is_dir() or (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
        return path
    artifact = next((path / name for name in _ARTIFACTS if (path / name).exists()), None)
    if artifact is not None:
        return artifact
    inside = sorted(child.name for child in path.iterdir() if child.is_dir() and artifact_in(child) != child)
    if inside:
        raise ModelError(f"{path}: holds {', '.join(inside)}, expected one of them: {path / inside[0]}")
    return path


@dataclass(frozen=True)
class _Opening:
    """How a path is opened; see `runner_for`."""

    custom_objects: str | Mapping[str, Any] | None
    trusted: bool
    limits: LoadLimits
    ours: bool


def _runner_for_path(path: Path, signature: str | None, how: _Opening) -> Runner:
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder")
    path = artifact_in(path)
    if path.is_dir():
        with unchanged(path):
            loaded = open_saved_model(path, ours=how.ours, trusted=how.trusted, limits=how.limits)
        return SavedModelRunner(path, signature=signature, loaded=loaded)
    if path.suffix in {".tflite", ".onnx"}:
        if path.suffix == ".tflite":
            return LiteRtRunner(path.read_bytes() if how.ours else _admitted(path, how), name=str(path))
        with unchanged(path):
            if not how.ours:
                admit(path, allow_unsafe_deserialization=how.trusted, limits=how.limits)
            return OnnxRunner(path, admitted=True)
    model = load_model(
        path,
        custom_objects=how.custom_objects,
        allow_unsafe_deserialization=how.trusted,
        max_load_seconds=how.limits.seconds,
        max_load_memory=how.limits.memory,
        as_it_is=True,
    )
    return FloatModelRunner(model)


def _admitted(path: Path, how: _Opening) -> bytes:
    return read_admitted(path, allow_unsafe_deserialization=how.trusted, limits=how.limits)
