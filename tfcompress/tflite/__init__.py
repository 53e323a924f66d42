"""The .tflite format: a read-only view, and edits on the unpacked flatbuffer."""

from tfcompress.tflite.edit import pack, unpack
from tfcompress.tflite.reader import Operator, Quantization, Signature, Subgraph, Tensor, TfliteFile, read_tflite
from tfcompress.tflite.summary import inspect_tflite

__all__ = [
    "Operator",
    "Quantization",
    "Signature",
    "Subgraph",
    "Tensor",
    "TfliteFile",
    "inspect_tflite",
    "pack",
    "read_tflite",
    "unpack",
]
