"""ONNX: a file with int8 Q/DQ pairs for ONNX Runtime, which keeps to the rules of TensorRT.

`export_onnx` writes a float .tflite and its quantization scheme as ONNX; `convert` is the whole job; `broken_rules`
checks any file against TensorRT's rules.
"""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.onnx.conversion import convert
    from tfcompress.converters.onnx.export import export_onnx
    from tfcompress.converters.onnx.tensorrt import broken_rules

__all__ = ["broken_rules", "convert", "export_onnx"]

__getattr__ = lazy_names(__name__, {"conversion": ["convert"], "export": ["export_onnx"], "tensorrt": ["broken_rules"]})
