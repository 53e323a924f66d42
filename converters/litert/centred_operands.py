"""Second operands of matrix products with a zero point of 0, which is how XNNPACK multiplies int8 matrices.

XNNPACK treats the second operand of BATCH_MATMUL as weights, whose zero point has to be 0 (delegate,
CheckTensorFloat32OrQCInt8Type); with another, LiteRT's own kernel takes about twenty times as long.  Keys and values of
an attention reach about as far below zero as above, so that a range around zero costs them next to nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tfcompress.calibration import Calibration, Range
from tfcompress.graphs.tflite import Subgraph

__all__ = ["MOST_LOST_DB", "with_centred_operands"]

MOST_LOST_DB = 3.0  # of such an operand, by its wider step
_LOWEST, _LARGEST = 128, 127  # -128 and 127 steps, so that 0 is the integer 0
# Whose results have the scale of what they read.
_MOVES = frozenset({"EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE"})


def with_centred_operands(graph: Subgraph, calibration: Calibration) -> Calibration:
    """Ranges around zero for what is the second operand of a matrix product, and for what it is only a move of.

    Args:
        graph: the main graph of a float .tflite.
        calibration: its ranges.
    """
    ranges = dict(calibration.ranges)
    for operator in graph.operators:
        if operator.name != "BATCH_MATMUL" or graph.tensors[operator.inputs[1]].data is not None:
            continue
        names = _moved(graph, operator.inputs[1])
        seen = [ranges[name] for name in names if name in ranges]
        reach = max((max(ends.high, -ends.low * _LARGEST / _LOWEST) for ends in seen), default=0.0)
        width = max((max(ends.high, 0.0) - min(ends.low, 0.0) for ends in seen), default=0.0)
        centred = Range(-reach * _LOWEST / _LARGEST, reach)
        if width > 0 and 20 * math.log10((centred.high - centred.low) / width) <= MOST_LOST_DB:
            ranges |= {name: centred for name in names if name in ranges}
    return replace(calibration, ranges=ranges)


def _moved(graph: Subgraph, index: int) -> list[str]:
    """Names of a tensor and of those that it is only a move of, backwards."""
    names = [graph.tensors[index].name]
    producer = graph.producer(index)
    while producer is not None and producer.name in _MOVES:
        names.append(graph.tensors[producer.inputs[0]].name)
        producer = graph.producer(producer.inputs[0])
    return names
