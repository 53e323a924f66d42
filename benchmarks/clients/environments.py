"""The programs' own environments: a virtual environment or an npm folder each, made where it is missing.

They stand in ``$TFCOMPRESS_CLIENTS``, a folder in the user's cache by default, because their packages must not meet
those that models are converted with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["Unavailable", "npm_folder", "python_of", "tool"]

PACKAGES = {
    "mediapipe": ("mediapipe==1.2.3",),
    "tflite_runtime": ("tflite-runtime==2.14.0", "numpy<2"),
    "model_explorer": ("ai-edge-model-explorer==0.1.34",),
    "netron": ("netron==9.3.3",),
    "tensorboard": ("tensorboard",),
}
NPM_PACKAGES = {"litert_js": "@litertjs/core@2.5.3"}
NEWEST_PYTHON = {"tflite_runtime": (3, 11)}  # its last wheels


class Unavailable(Exception):
    """A program cannot be had on this machine; the text says why."""


def python_of(name: str) -> Path:
    """The interpreter of an environment of `PACKAGES`.

    Raises:
        Unavailable: the packages cannot be installed.
    """
    newest = NEWEST_PYTHON.get(name)
    if newest is not None and sys.version_info[:2] > newest:
        raise Unavailable(f"needs Python {newest[0]}.{newest[1]} or older")
    folder = _home() / name
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]])
        (folder / ".complete").touch()
    return python


def npm_folder(name: str) -> Path:
    """A folder with ``node_modules`` of `NPM_PACKAGES`.

    Raises:
        Unavailable: there is no npm, or the package cannot be installed.
    """
    folder = _home() / name
    if not (folder / ".complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run([tool("npm"), "install", "--silent", "--no-audit", "--no-fund", NPM_PACKAGES[name]], folder)
        (folder / ".complete").touch()
    return folder


def tool(*names: str) -> str:
    """The path of the first of some programs that is installed.

    Raises:
        Unavailable: none is.
    """
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise Unavailable(f"{names[0]} is not installed")


def _home() -> Path:
    return Path(os.environ.get("TFCOMPRESS_CLIENTS", Path.home() / ".cache/tfcompress_clients"))


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
        raise Unavailable(lines[-1])
