"""Any Keras model in, whichever Keras made it; and models carried from one Keras to the other.

The names are imported when first used: what judges files from strangers has to start without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.load.artifacts import inspect_tflite, opened_tflite
    from tfcompress.load.custom_objects import parse_custom_objects
    from tfcompress.load.door import admit, admit_saved_model, read_admitted, trust
    from tfcompress.load.files.limits import LoadLimits
    from tfcompress.load.files.saved_model import open_saved_model
    from tfcompress.load.float_model import float_model_from_keras
    from tfcompress.load.inspection import inspect_model
    from tfcompress.load.keras_versions.conversion import to_keras3, to_tf_keras
    from tfcompress.load.loading import load_model

__all__ = [
    "LoadLimits",
    "admit",
    "admit_saved_model",
    "float_model_from_keras",
    "inspect_model",
    "inspect_tflite",
    "load_model",
    "open_saved_model",
    "opened_tflite",
    "parse_custom_objects",
    "read_admitted",
    "to_keras3",
    "to_tf_keras",
    "trust",
]

_HOME = {
    "LoadLimits": "files.limits",
    "admit": "door",
    "admit_saved_model": "door",
    "inspect_tflite": "artifacts",
    "opened_tflite": "artifacts",
    "read_admitted": "door",
    "trust": "door",
    "float_model_from_keras": "float_model",
    "inspect_model": "inspection",
    "load_model": "loading",
    "open_saved_model": "files.saved_model",
    "parse_custom_objects": "custom_objects",
    "to_keras3": "keras_versions.conversion",
    "to_tf_keras": "keras_versions.conversion",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'tfcompress.load' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tfcompress.load.{_HOME[name]}"), name)
    globals()[name] = value
    return value
