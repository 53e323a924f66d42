"""Headroom in the ranges of 16-bit activations, which have bits to spare."""

from __future__ import annotations

from dataclasses import replace

from tfcompress.calibration import Calibration, Range
from tfcompress.converters.litert.limits import Limits
from tfcompress.graphs.tflite import Subgraph

__all__ = ["HEADROOM", "with_headroom"]

HEADROOM = 2.0  # times the range seen: one bit of 16
_STEEP_AT_ZERO = ("DIV", "LOG", "POW", "RSQRT", "SQRT")  # of whose inputs the smallest values need every bit


def with_headroom(graph: Subgraph, calibration: Calibration, limits: Limits) -> Calibration:
    """Ranges `HEADROOM` times as wide for the tensors that only 16-bit operators give and read.

    What calibration saw ends somewhere, and what lies beyond would be clipped: with 64 samples that costs far more than
    one bit of 16.

    Args:
        graph: the main graph of a float .tflite.
        calibration: its ranges.
        limits: says which operators compute with 16 bits.
    """
    if not limits.int16 and not limits.keep_int16:
        return calibration
    steep = {index for op in graph.operators if op.name in _STEEP_AT_ZERO for index in op.inputs if index >= 0}
    narrow = {graph.tensors[index].name for index in steep}
    if not limits.int16:
        narrow |= _read_or_given_by_others(graph, frozenset(limits.keep_int16))
    ranges = {
        name: ends if name in narrow else Range(HEADROOM * ends.low, HEADROOM * ends.high)
        for name, ends in calibration.ranges.items()
    }
    return replace(calibration, ranges=ranges)


def _read_or_given_by_others(graph: Subgraph, wide: frozenset[str]) -> set[str]:
    """Names of the inputs, the outputs, and what an operator gives or reads that is not among the wide ones."""
    narrow = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        if not any(graph.tensors[index].name in wide for index in operator.outputs):
            narrow.update((*operator.inputs, *operator.outputs))
    return {graph.tensors[index].name for index in narrow if index >= 0}
