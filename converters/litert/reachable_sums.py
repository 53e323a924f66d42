"""Ranges that LiteRT's integer sums can reach from those of their operands.

The int8 kernels of ADD and SUB scale both operands to twice the larger step, shift them left by 20 bits (15 for int16),
and then multiply by a factor that has to be below 1; SQUARED_DIFFERENCE shifts by 7 bits and squares.  Where the result
is that much narrower than an operand, the interpreter ends the whole process while it loads the file
(`QuantizeMultiplierSmallerThanOneExp` in the kernels' Prepare).  A layer normalization over one feature has such a sum:
its variance is always 0, for which the engines take a range of 1, and the result is epsilon.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tfcompress.calibration import Calibration, Range
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor

__all__ = ["with_reachable_sums"]

_SHIFT, _SHIFT_OF_16_BITS, _SHIFT_OF_SQUARES = 20, 15, 7
_MARGIN = 2.0  # of the factor below 1; the engines round scales to float32
_STEPS = 255  # of 8 bits, between the ends of a range
_WIDTH_OF_ZERO = 1.0  # what the engines take for a tensor that is always 0


def with_reachable_sums(graph: Subgraph, calibration: Calibration, *, wide: Collection[str] = ()) -> Calibration:
    """The ranges, wider where a sum or squared difference could not be loaded; the very same where there is none.

    Args:
        graph: the main graph of a float .tflite.
        calibration: its ranges.
        wide: names of the results that have 16 bits.
    """
    ranges = dict(calibration.ranges)
    for operator in graph.operators:
        if operator.name not in ("ADD", "SUB", "SQUARED_DIFFERENCE"):
            continue
        name = graph.tensors[operator.outputs[0]].name
        result = ranges.get(name)
        operands = [_width(graph.tensors[index], ranges) for index in operator.inputs]
        if result is not None and _extent(result) < (least := _least_width(operator, max(operands), wide=name in wide)):
            ranges[name] = _widened(result, least)
    return calibration if ranges == calibration.ranges else replace(calibration, ranges=ranges)


def _least_width(operator: Operator, widest: float, *, wide: bool) -> float:
    """Of the result's range, for an operand of the `widest` range."""
    if operator.name == "SQUARED_DIFFERENCE":
        return _MARGIN * (2 * widest) ** 2 / (_STEPS * 2.0 ** (2 * _SHIFT_OF_SQUARES))
    return _MARGIN * 2 * widest / 2.0 ** (_SHIFT_OF_16_BITS if wide else _SHIFT)


def _width(tensor: Tensor, ranges: dict[str, Range]) -> float:
    if tensor.data is not None:
        return float(max(tensor.data.max(initial=0.0), 0.0) - min(tensor.data.min(initial=0.0), 0.0))
    return (_extent(ranges[tensor.name]) or _WIDTH_OF_ZERO) if tensor.name in ranges else 0.0


def _extent(ends: Range) -> float:
    """Of the range with the 0 that an integer tensor has to represent."""
    return max(ends.high, 0.0) - min(ends.low, 0.0)


def _widened(ends: Range, least: float) -> Range:
    factor = least / _extent(ends) if _extent(ends) > 0 else 0.0
    return Range(ends.low * factor, ends.high * factor) if factor else Range(0.0, least)
