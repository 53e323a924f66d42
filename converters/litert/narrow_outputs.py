"""int8 outputs behind 16-bit and float operators with the steps that they need.

16-bit activations are symmetric about zero (LiteRT 8-bit quantization specification), and litert-quantizer makes the
int8 output behind them symmetric too: half of the integers stand for probabilities below zero.  Behind a softmax in
float the output would end at the largest probability that calibration saw, where one in 8 bits reaches 1.
"""

from __future__ import annotations

from tfcompress.calibration import Calibration
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode

__all__ = ["with_narrow_outputs"]

_STEPS, _LOWEST = 255, -128
_WIDE = frozenset({"int16", "float32"})
# What 8 bits mean behind a function of a fixed scale (LiteRT 8-bit quantization specification).
_FIXED = {"SOFTMAX": (1 / 256, -128), "LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}


def with_narrow_outputs(content: bytes, ranges: Calibration) -> bytes:
    """A quantized file whose int8 outputs behind 16-bit and float operators have the scale that their range needs.

    Args:
        content: the quantized .tflite.
        ranges: of the float file's tensors, by name.

    Returns:
        The same bytes where there is no such output.
    """
    main = read_tflite(content).main
    if all(operator.name != "QUANTIZE" or operator.outputs[0] not in main.outputs for operator in main.operators):
        return content
    model = ModelEditor.read(content)
    ends = [operator for operator in model.main.operators if _narrows_for_output(model.main, operator)]
    fits = [(operator, fit) for operator in ends if (fit := _fit(model.main, operator, ranges)) is not None]
    for operator, fit in fits:
        operator.result.quantize(*fit)
    return model.to_bytes() if fits else content


def _narrows_for_output(graph: GraphEditor, operator: OperatorNode) -> bool:
    if operator.name != "QUANTIZE" or operator.result.dtype != "int8" or operator.source.dtype not in _WIDE:
        return False
    return operator.result in graph.outputs and not graph.consumers(operator.result)


def _fit(graph: GraphEditor, operator: OperatorNode, ranges: Calibration) -> tuple[float, int] | None:
    """(scale, zero point); None where the range is not known, or has no width."""
    maker = next((other for other in graph.operators if operator.source in other.outputs), None)
    if maker is not None and maker.name in _FIXED:
        return _FIXED[maker.name]
    seen = ranges.ranges.get(operator.source.name) if operator.source.dtype == "int16" else None
    if seen is None or seen.low == seen.high:
        return None
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    scale = (high - low) / _STEPS
    return scale, max(_LOWEST, min(_LOWEST + _STEPS, round(_LOWEST - low / scale)))
