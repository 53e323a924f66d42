"""Divisions that 8 bits would make divisions by zero."""

from __future__ import annotations

from tfcompress.calibration import Calibration
from tfcompress.graphs.tflite import Operator, Subgraph

__all__ = ["small_divisors"]

LEAST_STEPS = 4.0  # of 8 bits: a divisor with fewer is too coarse, and below half of one it is zero
MOST_OPERATORS = 16  # of one division and what it is made of
_MADE_OF = frozenset(
    {"ABS", "ADD", "EXP", "MAXIMUM", "MINIMUM", "MUL", "REDUCE_MAX", "RELU", "SELECT", "SELECT_V2", "SOFTMAX", "SQUARE"}
    | {"SQUARED_DIFFERENCE", "SUB", "SUM"}
)


def small_divisors(graph: Subgraph, calibration: Calibration) -> tuple[str, ...]:
    """Output tensors of the divisions whose divisor may come so close to zero that 8 bits do not tell it from zero.

    LiteRT's integer kernel refuses to divide by the zero point (`kernels/div.cc`), so that the whole file fails at the
    first such sample.  What both operands are summed and selected of is listed too: in 8 bits a share of next to
    nothing would be 0 / 0.

    Args:
        graph: the main graph of the float .tflite.
        calibration: ranges of its tensors.
    """
    names: dict[str, None] = {}
    for operator in graph.operators:
        if operator.name == "DIV" and _is_small(graph, operator.inputs[1], calibration):
            names.update(dict.fromkeys(_numerator_and_divisor(graph, operator)))
    return tuple(names)


def _is_small(graph: Subgraph, divisor: int, calibration: Calibration) -> bool:
    limits = calibration.ranges.get(graph.tensors[divisor].name)
    if limits is None or graph.tensors[divisor].data is not None:
        return False
    least = max(limits.low, -limits.high)  # not above zero where the range holds zero
    return least < LEAST_STEPS * (max(limits.high, 0.0) - min(limits.low, 0.0)) / 255


def _numerator_and_divisor(graph: Subgraph, division: Operator) -> list[str]:
    names, waiting = list[str](), [division]
    while waiting and len(names) < MOST_OPERATORS:
        operator = waiting.pop(0)
        name = graph.tensors[operator.outputs[0]].name
        if name not in names:
            names.append(name)
            producers = (graph.producer(index) for index in operator.inputs if index >= 0)
            waiting += [producer for producer in producers if producer is not None and producer.name in _MADE_OF]
    return names
