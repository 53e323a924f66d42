"""ONNX: a file with int8 Q/DQ pairs for ONNX Runtime, which keeps to the rules of TensorRT.

`export_onnx` writes a float .tflite and its quantization scheme as ONNX; `convert` is the whole job; `broken_rules`
checks any file against TensorRT's rules.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.converters.onnx.conversion import convert
    from tfcompress.converters.onnx.export import export_onnx
    from tfcompress.converters.onnx.tensorrt import broken_rules

__all__ = ["broken_rules", "convert", "export_onnx"]

_PLACES = {"broken_rules": "tensorrt", "convert": "conversion", "export_onnx": "export"}


def __getattr__(name: str) -> object:
    """Modules are imported when they are asked for: they bring LiteRT or TensorFlow, which ``--help`` does not need."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
