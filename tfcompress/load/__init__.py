"""Any Keras model in, whichever Keras made it; and models carried from one Keras to the other.

The names are imported when first used: what judges files from strangers has to start without TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.load.artifacts import inspect_tflite, opened_tflite
    from tfcompress.load.custom_objects import parse_custom_objects
    from tfcompress.load.door import admit, admit_saved_model, read_admitted, sample_bytes_of, trust
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
    "sample_bytes_of",
    "to_keras3",
    "to_tf_keras",
    "trust",
]

__getattr__ = lazy_names(
    __name__,
    {
        "artifacts": ["inspect_tflite", "opened_tflite"],
        "custom_objects": ["parse_custom_objects"],
        "door": ["admit", "admit_saved_model", "read_admitted", "sample_bytes_of", "trust"],
        "files.limits": ["LoadLimits"],
        "files.saved_model": ["open_saved_model"],
        "float_model": ["float_model_from_keras"],
        "inspection": ["inspect_model"],
        "keras_versions.conversion": ["to_keras3", "to_tf_keras"],
        "loading": ["load_model"],
    },
)
