"""Divisions whose divisor rounds to zero in 8 bits: LiteRT's integer kernel gives up on such a sample.

tensorflow/lite/kernels/div.cc: every stored value of the divisor has to differ from its zero point.
"""

from __future__ import annotations

from tfcompress.calibration import Calibration
from tfcompress.graphs.tflite import Subgraph

__all__ = ["divisions_by_small_numbers"]

_STEPS = 2  # of the divisor's 8 bits: what is nearer to zero may round to it, being computed from rounded values


def divisions_by_small_numbers(graph: Subgraph, calibration: Calibration) -> tuple[str, ...]:
    """Output tensors of the divisions that have to stay in float, and of what computes their divisors.

    Args:
        graph: of the float .tflite.
        calibration: ranges of its tensors.
    """
    kept: list[str] = []
    for operator in graph.operators:
        if operator.name == "DIV" and _reaches_zero(graph, operator.inputs[1], calibration):
            before = graph.producer(operator.inputs[1])
            outputs = (*(() if before is None else before.outputs), *operator.outputs)
            kept += [graph.tensors[index].name for index in outputs]
    return tuple(dict.fromkeys(kept))


def _reaches_zero(graph: Subgraph, divisor: int, calibration: Calibration) -> bool:
    tensor = graph.tensors[divisor]
    limits = calibration.ranges.get(tensor.name)
    if tensor.data is not None or limits is None:
        return False
    margin = _STEPS * (max(limits.high, 0.0) - min(limits.low, 0.0)) / 255
    return bool(limits.low < margin and limits.high > -margin)
