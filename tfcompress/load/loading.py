"""`load_model`: any model in, one kind of object out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfcompress.load.custom_objects import parse_custom_objects
from tfcompress.load.door import read_model_file, try_model_file
from tfcompress.load.files.limits import LoadLimits
from tfcompress.load.files.restore import judge, restore
from tfcompress.load.files.saved_model import load_saved_model
from tfcompress.load.files.source import file_kind, unchanged
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.keras_versions.keras_quantized import is_quantized_by_keras, with_float_weights
from tfcompress.load.safety.configurations import code_findings
from tfcompress.load.safety.isolation import load_in_child
from tfcompress.load.safety.vocabulary import registered_objects, supplied_names
from tfcompress.model import FloatModel

__all__ = ["load_model"]


def load_model(
    path_or_keras_model: Any,
    *,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
    as_it_is: bool = False,
) -> FloatModel:
    """A float model from a file or from memory, whichever Keras made it.

    A file is read, loaded and run once in a process that can reach nothing else before it is loaded here; what is
    promised of that is in SECURITY.md.

    A model from a file comes without its optimizer: nothing here resumes its training, and the optimizer's state may
    take twice the memory of the weights.

    Args:
        path_or_keras_model: a `.keras` of Keras 2 or 3, an `.h5` of Keras 1 to 3, a SavedModel folder, or a built
            Keras 3 or tf_keras model.  Files are told apart by their content.
        custom_objects: the user's layers and functions that the file only names: ``package.module:dict`` or the
            dictionary; None means none.
        allow_unsafe_deserialization: run code that the file carries, in a separate process; and let in operators of a
            SavedModel that are not on the list of those that only compute.
        max_load_seconds: of processor time that loading the file and running it once may take in that process; None
            means 60 and one more for each MiB of the file.
        max_load_memory: MiB that it may take there; None means 1,536 and six times the file.
        as_it_is: keep the integer weights that Keras's own `quantize` has made, which run in Keras and convert nowhere;
            else they are made float weights again, and a remark says so.

    Raises:
        UnsafeModelError: the file carries code and the user did not opt in, or it would exhaust memory.
        ModelError: the file is missing, damaged, of another format, weights only, or needs custom objects; or it takes
            more time or memory than it may.
        InputError: `custom_objects` cannot be resolved.
    """
    objects = parse_custom_objects(custom_objects)
    if not isinstance(path_or_keras_model, str | Path):
        model = float_model_from_keras(path_or_keras_model)
        return model if as_it_is else _in_float(model)
    path, limits = Path(path_or_keras_model), LoadLimits(max_load_seconds, max_load_memory)
    with unchanged(path):
        model = _from_file(path, custom_objects, objects, trusted=allow_unsafe_deserialization, limits=limits)
    return model if as_it_is else _in_float(model)


def _in_float(model: FloatModel) -> FloatModel:
    """A model whose layers Keras's own `quantize` has not changed, or not any more."""
    if not is_quantized_by_keras(model.keras_model):
        return model
    floats = with_float_weights(model.keras_model, model.name)
    plain = float_model_from_keras(floats, name=model.name, format=model.format, sha256=model.sha256)
    return replace(plain, sample_bytes=model.sample_bytes)


def _from_file(
    path: Path,
    custom_objects: str | Mapping[str, Any] | None,
    objects: Mapping[str, Any],
    *,
    trusted: bool,
    limits: LoadLimits,
) -> FloatModel:
    if file_kind(path) == "saved_model":
        given = custom_objects if isinstance(custom_objects, str) else objects
        return load_saved_model(path, objects, given=given, trusted=trusted, limits=limits)
    file = read_model_file(path, limits)
    if trusted and list(code_findings(file.config, supplied_names(objects))):
        return load_in_child(file, custom_objects)
    judge(file, objects)
    given = custom_objects if isinstance(custom_objects, str) else {**registered_objects(file.config), **objects}
    sample_bytes = try_model_file(file, given, limits)
    model = float_model_from_keras(restore(file, objects), name=path.stem, format=file.format, sha256=file.sha256)
    return replace(model, sample_bytes=sample_bytes)
