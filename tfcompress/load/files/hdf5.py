"""HDF5 content: `.h5` models, and the weights inside a `.keras` archive.

The HDF5 library is native code that a damaged file can crash or send into an endless loop: all of this runs inside the
cage only (`tfcompress.load.safety.tasks`).
"""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from tfcompress.errors import ModelError, UnsafeModelError, one_line
from tfcompress.load.files.hdf5_probe import Probe, RefusedError, probe_file
from tfcompress.load.files.limits import JSON_LIMIT, expanded_limit
from tfcompress.load.files.source import ModelFile, StoredWeights

__all__ = ["parse_json", "probe_archive", "read_h5"]

# The largest model of keras.applications has 20,000 objects and lists, 9 deep; a model inside a model adds 4 levels.
_MOST_CONTAINERS = 500_000
_DEEPEST = 150


def _probe(path: Path) -> Probe:
    """All of an `.h5` file.

    Raises:
        ModelError: damaged.
        UnsafeModelError: it points outside itself, or expands beyond reason.
    """
    probe = Probe(expanded_limit(path))
    try:
        with h5py.File(path, "r") as file:
            probe_file(file, probe)
    except RefusedError as refusal:
        raise UnsafeModelError(f"{path}: refused: {one_line(refusal)}") from None
    except Exception as error:  # whatever HDF5 says of a damaged file
        raise ModelError(f"{path}: corrupt or truncated HDF5: {type(error).__name__}: {one_line(error)}") from error
    return probe


def probe_archive(path: Path, archive: zipfile.ZipFile) -> StoredWeights:
    """All HDF5 members of a `.keras` archive: what weights they store.

    Raises:
        ModelError: damaged.
        UnsafeModelError: one points outside itself, or they expand beyond reason.
    """
    probe = Probe(expanded_limit(path))
    try:
        for member in archive.namelist():
            if member.endswith(".h5"):
                with h5py.File(io.BytesIO(archive.read(member)), "r") as file:
                    probe_file(file, probe)
    except RefusedError as refusal:
        raise UnsafeModelError(f"{path}: refused: {one_line(refusal)}") from None
    except Exception as error:  # as above
        raise ModelError(f"{path}: corrupt or truncated HDF5: {type(error).__name__}: {one_line(error)}") from error
    return StoredWeights(probe.total, probe.largest)


def read_h5(path: Path) -> ModelFile:
    """The `.h5` model at `path`.

    Raises:
        ModelError: it is damaged, or holds no model.
    """
    probe = _probe(path)
    if "model_config" not in probe.attributes:
        raise ModelError(f"{path}: {_why_no_model(probe)}")
    config = parse_json(path, "model_config", probe.attributes["model_config"])
    return ModelFile(
        path=path,
        format="h5",
        keras_version=probe.attributes.get("keras_version"),
        config=config,
        stored=StoredWeights(probe.total, probe.largest),
        sha256="",
    )


def _why_no_model(probe: Probe) -> str:
    if probe.total:
        return (
            "weights only: the file has no model_config, so the layers are unknown; "
            "build the model, load_weights() into it and save the whole model with model.save()"
        )
    return "an HDF5 file without a Keras model: it has no model_config and no weights"


def parse_json(path: Path, part: str, text: str | bytes) -> dict[str, object]:
    """A part of a model file that must be a JSON object.

    Raises:
        ModelError: it is not, or is too large or too deep to be one that Keras wrote.
    """
    if len(text) > JSON_LIMIT:
        raise UnsafeModelError(f"{path}: refused: {part} has {len(text)} bytes, more than {JSON_LIMIT}")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise UnsafeModelError(f"{path}: refused: {part} is nested too deeply to be a Keras configuration") from error
    except ValueError as error:
        raise ModelError(f"{path}: corrupt: {part} is not valid JSON: {one_line(error)}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: corrupt: {part} is a JSON {type(value).__name__}, expected an object")
    _refuse_absurd_json(path, part, value)
    return value


def _refuse_absurd_json(path: Path, part: str, value: Any) -> None:
    """Nesting that no recursion survives, and more objects than any model has."""
    level, containers, depth = [value], 0, 0
    while level:
        containers, depth = containers + len(level), depth + 1
        if depth > _DEEPEST:
            raise UnsafeModelError(f"{path}: refused: {part} is nested too deeply to be a Keras configuration")
        if containers > _MOST_CONTAINERS:
            raise UnsafeModelError(f"{path}: refused: {part} has more than {_MOST_CONTAINERS} objects and lists")
        inner = (each for outer in level for each in (outer.values() if isinstance(outer, dict) else outer))
        level = list(itertools.islice((each for each in inner if isinstance(each, dict | list)), _MOST_CONTAINERS + 1))
