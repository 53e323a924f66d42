"""The .tflite format: a read-only view, an editor of objects, rewrites and their proof, and one way to run a file."""

from tfcompress.graphs.tflite.reader import Operator, Quantization, Signature, Subgraph, Tensor, TfliteFile, read_tflite
from tfcompress.graphs.tflite.summary import describe_tflite

__all__ = [
    "Operator",
    "Quantization",
    "Signature",
    "Subgraph",
    "Tensor",
    "TfliteFile",
    "describe_tflite",
    "read_tflite",
]
