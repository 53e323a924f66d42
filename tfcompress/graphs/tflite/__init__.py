"""The .tflite format: a read-only view, and edits on the unpacked flatbuffer."""

from tfcompress.graphs.tflite.edit import pack, unpack
from tfcompress.graphs.tflite.reader import Operator, Quantization, Signature, Subgraph, Tensor, TfliteFile, read_tflite
from tfcompress.graphs.tflite.summary import inspect_tflite

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
