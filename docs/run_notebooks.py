"""``python docs/run_notebooks.py [NAME...]``: run the notebooks again, each in an empty folder, and keep their outputs.

The kernel is this Python; progress on the standard error and what changes from run to run are not kept.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbclient
import nbformat

__all__ = ["NOTEBOOKS", "executed", "without_progress"]

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
SECONDS = 900


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs of a run.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    root = str(NOTEBOOKS.parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": folder}})
        client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":
            cell.outputs = without_progress(cell.outputs)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def without_progress(outputs: Iterable[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """The outputs of a cell but for the standard error; what was printed around it is one output, as without it."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if kept and output.get("name") == kept[-1].get("name") == "stdout":
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output)
    return kept


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        nbformat.write(executed(NOTEBOOKS / f"{name}.ipynb"), NOTEBOOKS / f"{name}.ipynb")
