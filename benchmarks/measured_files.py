"""The .tflite files of a row of `latency`, kept so that other tables measure the very same ones.

They are in ``$TFCOMPRESS_MEASURED_FILES``, a folder in the system's temporary one by default.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["keep_files", "kept_files"]


def keep_files(name: str, contents: Mapping[str, bytes]) -> None:
    """Write the files of a model, in place of those that are there.

    Args:
        name: of the model, as the tables have it.
        contents: {whose file it is: the .tflite}.
    """
    folder = _folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.tflite"):
        path.unlink()
    for who, content in contents.items():
        (folder / f"{who}.tflite").write_bytes(content)


def kept_files(name: str) -> dict[str, bytes]:
    """{whose file it is: the .tflite} of a model; nothing where its row was not made on this machine."""
    return {path.stem: path.read_bytes() for path in sorted(_folder(name).glob("*.tflite"))}


def _folder(name: str) -> Path:
    base = os.environ.get("TFCOMPRESS_MEASURED_FILES", Path(tempfile.gettempdir()) / "tfcompress_measured_files")
    return Path(base) / name.replace("/", "__")
