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
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor, read_tflite

__all__ = ["require_reachable_sums", "with_reachable_sums"]

_SHIFT, _SHIFT_OF_16_BITS, _SHIFT_OF_SQUARES = 20, 15, 7
_MARGIN = 2.0  # of the factor below 1; the engines round scales to float32
_STEPS = 255  # of 8 bits, between the ends of a range
_SUMS = ("ADD", "SUB", "SQUARED_DIFFERENCE")
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
        if operator.name not in _SUMS:
            continue
        name = graph.tensors[operator.outputs[0]].name
        result = ranges.get(name)
        if result is None:  # of integers, which are not calibrated
            continue
        widest = max(_width(graph.tensors[index], ranges) for index in operator.inputs)
        least = _least_width(operator, widest, wide=name in wide)
        if _extent(result) < least:
            ranges[name] = _widened(result, least)
    return calibration if ranges == calibration.ranges else replace(calibration, ranges=ranges)


def require_reachable_sums(content: bytes) -> None:
    """Refuse a quantized file whose scales no range can be chosen for any more, as training gave them.

    Raises:
        ConversionError: LiteRT would end the process that opens the file, for one of its sums.
    """
    graph = read_tflite(content).main
    for operator in graph.operators:
        if operator.name not in _SUMS:
            continue
        tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs)]
        steps = [float(item.quantization.scales[0]) for item in tensors if item.quantization is not None]
        if len(steps) != len(tensors) or tensors[-1].dtype not in ("int8", "int16"):
            continue
        *given, result = steps
        if _factor(operator, max(given), result, wide=tensors[-1].dtype == "int16") >= 1:
            raise ConversionError(
                f"{tensors[-1].name}: {operator.name} of values in steps of {max(given):.3g} with a result in steps of "
                f"{result:.3g}, which LiteRT's integer kernel cannot scale to; make the largest values smaller, such "
                "as a mask of -100 in the place of -1e9"
            )


def _factor(operator: Operator, given: float, result: float, *, wide: bool) -> float:
    """What the kernel multiplies by, for the larger step of its operands and the step of its result."""
    if operator.name == "SQUARED_DIFFERENCE":
        return (2 * given) ** 2 / (result * 2.0 ** (2 * _SHIFT_OF_SQUARES))
    return 2 * given / (result * 2.0 ** (_SHIFT_OF_16_BITS if wide else _SHIFT))


def _least_width(operator: Operator, widest: float, *, wide: bool) -> float:
    """Of the result's range, for an operand of the `widest` range."""
    if operator.name == "SQUARED_DIFFERENCE":
        return _MARGIN * (2 * widest) ** 2 / (_STEPS * 2.0 ** (2 * _SHIFT_OF_SQUARES))
    return _MARGIN * 2 * widest / 2.0 ** (_SHIFT_OF_16_BITS if wide else _SHIFT)


def _width(tensor: Tensor, ranges: dict[str, Range]) -> float:
    values = tensor.array()
    if values is not None:
        return float(max(values.max(initial=0.0), 0.0) - min(values.min(initial=0.0), 0.0))
    return (_extent(ranges[tensor.name]) or _WIDTH_OF_ZERO) if tensor.name in ranges else 0.0


def _extent(ends: Range) -> float:
    """Of the range with the 0 that an integer tensor has to represent."""
    return max(ends.high, 0.0) - min(ends.low, 0.0)


def _widened(ends: Range, least: float) -> Range:
    factor = least / _extent(ends) if _extent(ends) > 0 else 0.0
    return Range(ends.low * factor, ends.high * factor) if factor else Range(0.0, least)
