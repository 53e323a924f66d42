"""Any Keras model in, whichever Keras made it; and models carried from one Keras to the other."""

from tfcompress.load.custom_objects import parse_custom_objects
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.inspection import inspect_model
from tfcompress.load.keras_versions.conversion import to_keras3, to_tf_keras
from tfcompress.load.loading import load_model

__all__ = [
    "float_model_from_keras",
    "inspect_model",
    "load_model",
    "parse_custom_objects",
    "to_keras3",
    "to_tf_keras",
]
