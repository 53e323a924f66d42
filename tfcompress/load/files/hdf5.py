"""HDF5 content: `.h5` models, and the weights inside a `.keras` archive."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfcompress.errors import ModelError, UnsafeModelError, one_line
from tfcompress.load.files.limits import JSON_LIMIT, expanded_limit, time_limit
from tfcompress.load.files.source import ModelFile, StoredWeights, sha256_of

__all__ = ["Probe", "parse_json", "probe", "read_h5"]

# A busy machine gives a process this much less of its time, at worst.
_PATIENCE = 4
_PROBE_SCRIPT = Path(__file__).with_name("hdf5_probe.py")


@dataclass(frozen=True)
class Probe:
    """What a separate process found in an HDF5 file.

    Attributes:
        attributes: of the root group, as text: `model_config`, `keras_version`.
        groups: names at the root.
        stored: the weight arrays, without those of the optimizer.
    """

    attributes: Mapping[str, str] = field(repr=False)
    groups: tuple[str, ...]
    stored: StoredWeights


def probe(path: Path) -> Probe:
    """Read all of an `.h5` file, or all HDF5 members of a `.keras` archive, in a process that may crash.

    Raises:
        ModelError: damaged; the HDF5 library failed, crashed or did not come back.
        UnsafeModelError: it points outside itself, or expands beyond reason.
    """
    # -P keeps this folder off the child's path: its module names must not stand in for those of other libraries.
    limit = time_limit(path)
    command = [sys.executable, "-P", str(_PROBE_SCRIPT), str(path), str(expanded_limit(path)), str(limit)]
    try:
        child = subprocess.run(command, capture_output=True, timeout=_PATIENCE * limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{path}: corrupt: the HDF5 library did not finish reading it in {_PATIENCE * limit} s"
        ) from error
    if child.returncode:
        raise ModelError(f"{path}: corrupt: reading it crashed the HDF5 library (exit status {child.returncode})")
    report = json.loads(child.stdout)
    if "refused" in report:
        raise UnsafeModelError(f"{path}: refused: {one_line(report['refused'])}")
    if "error" in report:
        raise ModelError(f"{path}: corrupt or truncated HDF5: {one_line(report['error'])}")
    return Probe(report["attributes"], tuple(report["groups"]), StoredWeights(report["total"], report["largest"]))


def read_h5(path: Path) -> ModelFile:
    """The `.h5` model at `path`.

    Raises:
        ModelError: it is damaged, or holds no model.
    """
    found = probe(path)
    if "model_config" not in found.attributes:
        raise ModelError(f"{path}: {_why_no_model(found)}")
    config = parse_json(path, "model_config", found.attributes["model_config"])
    return ModelFile(
        path=path,
        format="h5",
        keras_version=found.attributes.get("keras_version"),
        config=config,
        stored=found.stored,
        sha256=sha256_of(path),
    )


def _why_no_model(found: Probe) -> str:
    if found.stored.total:
        return (
            "weights only: the file has no model_config, so the layers are unknown; "
            "build the model, load_weights() into it and save the whole model with model.save()"
        )
    return "an HDF5 file without a Keras model: it has no model_config and no weights"


def parse_json(path: Path, part: str, text: str | bytes) -> dict[str, Any]:
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
    return value
