"""Compile results kept on disk between runs, so that an unchanged signature is compiled once."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["CompileCache", "cache_folder"]


def cache_folder() -> Path:
    """``$TFCOMPRESS_CACHE_DIR``, else ``$XDG_CACHE_HOME/tfcompress``, else ``~/.cache/tfcompress``."""
    chosen = os.environ.get("TFCOMPRESS_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tfcompress"


class CompileCache:
    """One JSON file a result, named by the hash of everything that the result depends on.

    A file appears whole or not at all, so processes may share the folder.  A folder that cannot be written or read
    makes the cache empty; it is never an error.
    """

    def __init__(self) -> None:
        self.folder = cache_folder() / "tpu_compile"

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored result, or None."""
        try:
            value = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Store a result."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.folder, suffix=".partial")
        except OSError:
            return
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(value, file)
            os.replace(name, self.folder / f"{key}.json")
        except OSError:
            Path(name).unlink(missing_ok=True)
