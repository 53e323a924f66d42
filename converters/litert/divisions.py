"""Divisions that 8 bits would make divisions by zero."""

from __future__ import annotations

from tfcompress.calibration import Calibration
from tfcompress.graphs.tflite import Subgraph

__all__ = ["small_divisors"]

LEAST_STEPS = 4.0  # of 8 bits: a divisor with fewer is too coarse, and below half of one it is zero


def small_divisors(graph: Subgraph, calibration: Calibration) -> tuple[str, ...]:
    """Output tensors of the divisions whose divisor may come so close to zero that 8 bits do not tell it from zero.

    LiteRT's integer kernel refuses to divide by the zero point (`kernels/div.cc`), so that the whole file fails at the
    first such sample.

    Args:
        graph: the main graph of the float .tflite.
        calibration: ranges of its tensors.
    """
    names = []
    for operator in graph.operators:
        if operator.name == "DIV" and graph.tensors[operator.inputs[1]].data is None:
            limits = calibration.ranges.get(graph.tensors[operator.inputs[1]].name)
            if limits is None:
                continue
            least = max(limits.low, -limits.high)  # not above zero where the range holds zero
            step = (max(limits.high, 0.0) - min(limits.low, 0.0)) / 255
            if least < LEAST_STEPS * step:
                names.append(graph.tensors[operator.outputs[0]].name)
    return tuple(names)
