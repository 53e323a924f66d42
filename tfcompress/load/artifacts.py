"""A .tflite from outside, read through the door and described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfcompress.graphs.tflite import TfliteFile, describe_tflite, read_tflite
from tfcompress.load.door import read_admitted
from tfcompress.load.files.limits import LoadLimits

__all__ = ["inspect_tflite", "opened_tflite"]


def inspect_tflite(path: str | Path, *, limits: LoadLimits | None = None) -> dict[str, Any]:
    """What `describe_tflite` says of a file from anywhere.

    Args:
        path: of the .tflite.
        limits: of time and memory for the process that reads it first; None means the defaults.

    Raises:
        ModelError: the file cannot be read or is not a whole .tflite.
    """
    return describe_tflite(Path(path).stem, read_admitted(Path(path), run=False, limits=limits))


def opened_tflite(model: str | Path | TfliteFile) -> TfliteFile:
    """A .tflite that is read already, or the one at a path, which then goes through the door.

    Raises:
        ModelError: the file cannot be read or is not a whole .tflite.
    """
    if isinstance(model, TfliteFile):
        return model
    return read_tflite(read_admitted(Path(model), run=False))
