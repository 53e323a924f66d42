"""The runner for whatever the user has: a path, a loaded model, a function."""

from __future__ import annotations

from collections.abc import Mapping
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
from tfcompress.load import float_model_from_keras, load_model
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf_keras

__all__ = ["runner_for"]


def runner_for(
    model: Any,
    *,
    name: str | None = None,
    signature: str | None = None,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
) -> Runner:
    """What runs `model`.

    Args:
        model: a Keras model or a loaded float model; the path of a `.tflite`, `.onnx`, `.keras` or `.h5` file or of a
            SavedModel folder; a Python function of the input arrays, or ``package.module:function``; or a runner, which
            is given back.
        name: of a Python function, for messages.
        signature: of a SavedModel; None takes `serving_default`.
        custom_objects: for a Keras file; see `tfcompress.load.load_model`.
        allow_unsafe_deserialization: for a Keras file that carries code.

    Raises:
        ModelError: the path is no model, or one that cannot be loaded.
    """
    if isinstance(model, FloatModel):
        return FloatModelRunner(model)
    if isinstance(model, str) and ":" in model and not Path(model).exists():
        return runner_for(import_attribute(model, "--model"), name=model)
    if isinstance(model, str | Path):
        return _runner_for_path(Path(model), signature, custom_objects, allow_unsafe_deserialization)
    if isinstance(model, keras.Model | tf_keras.Model):
        return FloatModelRunner(float_model_from_keras(model))
    if isinstance(model, Runner):
        return model
    if is_plain_callable(model):
        return CallableRunner(model, name=name)
    raise ModelError(f"cannot run {type(model).__name__}, expected a path, a loaded model or a function")


def _runner_for_path(
    path: Path, signature: str | None, custom_objects: str | Mapping[str, Any] | None, unsafe: bool
) -> Runner:
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder")
    if path.is_dir():
        return SavedModelRunner(path, signature=signature)
    if path.suffix == ".tflite":
        return LiteRtRunner(path)
    if path.suffix == ".onnx":
        return OnnxRunner(path)
    return FloatModelRunner(load_model(path, custom_objects=custom_objects, allow_unsafe_deserialization=unsafe))
