"""`load_model`: any model in, one kind of object out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcompress.load.custom_objects import parse_custom_objects
from tfcompress.load.files.archive import read_keras_archive
from tfcompress.load.files.hdf5 import read_h5
from tfcompress.load.files.restore import restore
from tfcompress.load.files.saved_model import load_saved_model
from tfcompress.load.files.source import file_kind
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.safety.configurations import code_findings
from tfcompress.load.safety.isolation import load_in_child
from tfcompress.model import FloatModel

__all__ = ["load_model"]


def load_model(
    path_or_keras_model: Any,
    *,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
) -> FloatModel:
    """A float model from a file or from memory, whichever Keras made it.

    A model from a file comes without its optimizer: nothing here resumes its training, and the optimizer's state may
    take twice the memory of the weights.

    Args:
        path_or_keras_model: a `.keras` of Keras 2 or 3, an `.h5` of Keras 1 to 3, a SavedModel folder, or a built
            Keras 3 or tf_keras model.  Files are told apart by their content.
        custom_objects: the user's layers and functions that the file only names: ``package.module:dict`` or the
            dictionary; None means none.
        allow_unsafe_deserialization: run code that the file carries, in a separate process.

    Raises:
        UnsafeModelError: the file carries code and the user did not opt in, or it would exhaust memory.
        ModelError: the file is missing, damaged, of another format, weights only, or needs custom objects.
        InputError: `custom_objects` cannot be resolved.
    """
    objects = parse_custom_objects(custom_objects)
    if not isinstance(path_or_keras_model, str | Path):
        return float_model_from_keras(path_or_keras_model)
    path = Path(path_or_keras_model)
    kind = file_kind(path)
    if kind == "saved_model":
        return load_saved_model(path, objects, trusted=allow_unsafe_deserialization)
    file = read_h5(path) if kind == "hdf5" else read_keras_archive(path)
    if allow_unsafe_deserialization and list(code_findings(file.config, objects)):
        return load_in_child(file, custom_objects)
    model = restore(file, objects)
    return float_model_from_keras(model, name=path.stem, format=file.format, sha256=file.sha256)
