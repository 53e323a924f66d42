"""Any Keras model in, whichever Keras made it; and models carried from one Keras to the other."""

from tfcompress.load.custom_objects import parse_custom_objects
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.loading import load_model

__all__ = [
    "float_model_from_keras",
    "load_model",
    "parse_custom_objects",
]
