"""A .tflite from anywhere, for a compiler that reads its main graph alone."""

from __future__ import annotations

from pathlib import Path

from tfcompress.console import warn
from tfcompress.errors import ModelError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import read_admitted

__all__ = ["admitted_graph"]


def admitted_graph(path: Path) -> bytes:
    """The content of a file that has something to compile; a warning where it has more signatures than the main graph.

    Raises:
        ModelError: the file cannot be read, is damaged, or computes nothing.
    """
    content = read_admitted(path, run=False)
    file = read_tflite(content)
    if not file.main.operators:
        raise ModelError(f"{path}: its main graph has no operators: there is nothing that could run on an NPU")
    if any(signature.subgraph for signature in file.signatures):
        keys = [signature.key for signature in file.signatures]
        shown = next((signature.key for signature in file.signatures if signature.subgraph == 0), "none of them")
        warn(f"{path}: has the signatures {', '.join(keys)}; what follows is of the main graph alone, {shown}")
    return content
