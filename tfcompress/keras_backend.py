"""On which backend Keras computes, told without importing Keras."""

from __future__ import annotations

import os
import sys

__all__ = ["BACKEND", "ON_TENSORFLOW", "backend_in_use"]

BACKEND = "KERAS_BACKEND"
"""The environment variable that Keras reads when it is imported."""

ON_TENSORFLOW = {BACKEND: "tensorflow"}
"""What the environment of our own processes says, whatever this one's does."""


def backend_in_use() -> str:
    """Keras's backend in this process, or the one that the environment asks for; `tensorflow` where nothing says.

    Some libraries set the variable when they are imported, also after Keras was, to what Keras does not compute on.
    """
    library = sys.modules.get("keras")
    loaded = getattr(getattr(library, "backend", None), "backend", None)
    return str(loaded()) if callable(loaded) else os.environ.get(BACKEND, "tensorflow")
