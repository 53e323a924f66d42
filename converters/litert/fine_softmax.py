"""Shares of an attention over many keys with a scale of their own.

LiteRT's int8 SOFTMAX gives steps of 1/256 whatever its shares are (LiteRT 8-bit quantization specification): over 200
keys they are mostly 1/200, one step, and the attention is lost.  Its kernel also gives int16 of 1/65536 from int8
(`kernels/activations.cc`, SoftmaxPrepare), of which a QUANTIZE makes int8 with a step that fits the shares.
"""

from __future__ import annotations

from tfcompress.calibration import Calibration
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, options

__all__ = ["MOST", "with_fine_softmax"]

MOST = 0.5  # of the shares: with larger ones a scale of their own gains less than a bit
_STEPS, _LOWEST = 255, -128
# Which scale an operand has is nothing to their other tensors.
_READERS = frozenset({"ADD", "BATCH_MATMUL", "CONV_2D", "FULLY_CONNECTED", "MEAN", "MUL", "SUB", "SUM"})


def with_fine_softmax(content: bytes, ranges: Calibration) -> bytes:
    """An int8 file whose inner softmaxes have as many steps as their shares need.

    Args:
        content: the int8 .tflite.
        ranges: of the float file's tensors, by name.

    Returns:
        The same bytes where no softmax gains by it.
    """
    if all(operator.name != "SOFTMAX" for operator in read_tflite(content).main.operators):
        return content
    model = ModelEditor.read(content)
    graph = model.main
    coarse = [operator for operator in graph.operators if _gains(graph, operator, ranges)]
    for operator in coarse:
        shares = operator.result
        wide = graph.like(shares, "wide")
        wide.dtype = "int16"
        wide.quantize(2.0**-16, -(2**15))
        shares.quantize(ranges.ranges[shares.name].high / _STEPS, _LOWEST)
        narrowed = graph.operator("QUANTIZE", [wide], [shares], options("QuantizeOptions"), version=2)
        graph.replace([operator], [operator.replaced([operator.source], [wide]), narrowed])
    return model.to_bytes() if coarse else content


def _gains(graph: GraphEditor, operator: OperatorNode, ranges: Calibration) -> bool:
    if operator.name != "SOFTMAX" or (operator.source.dtype, operator.result.dtype) != ("int8", "int8"):
        return False
    seen = ranges.ranges.get(operator.result.name)
    readers = graph.consumers(operator.result)
    fits = readers and all(reader.name in _READERS for reader in readers) and operator.result not in graph.outputs
    return bool(fits) and seen is not None and 0 < seen.high < MOST
