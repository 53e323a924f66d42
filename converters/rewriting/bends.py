"""Functions of straight lines that meet, written as choices, as sums of ReLUs.

Soft shrinkage and its like choose by comparing with constants, and the Edge TPU compiler has no choice by sign.  Such a
function is told by its values between and beyond the constants that it compares with; it is written as

    f(x) = f(t1) - s0 relu(t1 - x) + s1 relu(x - t1) + (s2 - s1) relu(x - t2) + ...

with the bends t and the slopes s from left to right.  One that jumps, as ReLU with a threshold does, is left as it is.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options
from tfcompress.graphs.tflite.float64 import LacksFloat64Error, evaluate

__all__ = ["sum_of_relus"]

_COMPARISONS = frozenset({"GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
_STRAIGHT = _COMPARISONS | {"SELECT", "SELECT_V2", "ADD", "SUB", "MUL", "RELU", "MAXIMUM", "MINIMUM", "NEG", "ABS"}
_LONGEST = 12  # operators
_MOST_BENDS = 4
_EQUAL = 1e-6  # relative; constants are float32


class _Lines(NamedTuple):
    """Bends from left to right, the value at the first, and one slope more than there are bends."""

    bends: list[float]
    value: float
    slopes: list[float]


def sum_of_relus(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """A sum of ReLUs for a function of straight lines; `operator` is the SELECT at its end."""
    source, thresholds = _form(graph, operator)
    if source is None or not 0 < len(thresholds) <= _MOST_BENDS:
        return None
    readers = graph.consumers(operator.result)
    if any(reader.name in ("SELECT", "SELECT_V2") and _form(graph, reader)[0] is source for reader in readers):
        return None  # it is a part of that one, which takes it along
    try:
        lines = _lines(graph, source, operator.result, sorted(thresholds))
    except (LacksFloat64Error, ValueError):
        return None
    return None if lines is None else _written(graph, source, operator.result, lines)


def _form(graph: GraphEditor, operator: OperatorNode) -> tuple[TensorNode | None, set[float]]:
    """The one tensor that all of it is made of, and what is compared with it; None where there is no such tensor."""
    steps, waiting = {operator}, [operator]
    sources: set[TensorNode] = set()
    while waiting and len(steps) <= _LONGEST:
        for tensor in waiting.pop().computed_inputs:
            producer = graph.producer(tensor)
            if producer is None or producer.name not in _STRAIGHT or _compared(graph, tensor):
                sources.add(tensor)
            elif producer not in steps:
                steps.add(producer)
                waiting.append(producer)
    thresholds: set[float] = set()
    for step in steps:
        if step.name in _COMPARISONS:
            bound = step.constant(1)
            if bound is None or bound.size != 1:
                return None, set()
            thresholds.add(float(bound.item()))
    source = sources.pop() if len(sources) == 1 else None
    fits = source is not None and source.dtype == "float32" and source.shape == operator.result.shape
    return (source, thresholds) if fits and len(steps) <= _LONGEST else (None, set())


def _compared(graph: GraphEditor, tensor: TensorNode) -> bool:
    """Whether the tensor is what the function compares: its argument, whatever it is made of."""
    return any(reader.name in _COMPARISONS for reader in graph.consumers(tensor))


def _lines(graph: GraphEditor, source: TensorNode, result: TensorNode, bends: list[float]) -> _Lines | None:
    """None where it jumps or is not straight between the bends, or not the same everywhere in the tensor."""
    reach = max(1.0, *(abs(bend) for bend in bends))
    edges = [bends[0] - 4 * reach, *bends, bends[-1] + 4 * reach]

    def at(x: float) -> float:
        values = evaluate(graph, result, {source: np.full(source.shape, x)})
        if not np.ptp(values) <= _EQUAL * reach:
            raise ValueError("the function differs from place to place")
        return float(values.flat[0])

    slopes, ends = [], []
    for low, high in itertools.pairwise(edges):
        x = low + (high - low) * np.array([0.2, 0.4, 0.7, 0.9])
        y = np.array([at(place) for place in x])
        slope, start = np.polyfit(x, y, 1)
        if np.abs(slope * x + start - y).max() > _EQUAL * reach:
            return None
        slopes.append(float(slope))
        ends.append((slope * low + start, slope * high + start))
    if any(abs(left[1] - right[0]) > _EQUAL * reach for left, right in itertools.pairwise(ends)):
        return None
    return _Lines(bends, float(ends[1][0]), [_rounded(slope) for slope in slopes])


def _rounded(value: float) -> float:
    return float(round(value)) if abs(value - round(value)) <= _EQUAL else value


def _written(graph: GraphEditor, source: TensorNode, result: TensorNode, lines: _Lines) -> list[OperatorNode] | None:
    steps: list[OperatorNode] = []

    def relu(factor: float, bend: float) -> TensorNode:
        """relu(factor * (x - bend))."""
        scaled, shifted = source, graph.like(result, "shifted")
        if factor != 1:
            scaled = graph.like(result, "scaled")
            steps.append(graph.multiply(source, graph.new_constant(factor, result, "slope"), scaled))
        steps.append(graph.plus(scaled, graph.new_constant(-factor * bend, result, "bend"), shifted))
        bent = graph.like(result, "bent")
        steps.append(graph.operator("RELU", [shifted], [bent]))
        return bent

    first, slopes = lines.bends[0], lines.slopes
    changes = [(bend, slopes[n + 1] - (slopes[n] if n else 0.0)) for n, bend in enumerate(lines.bends)]
    parts = [(relu(abs(change), bend), change > 0) for bend, change in changes if abs(change) > _EQUAL]
    if abs(slopes[0]) > _EQUAL:
        parts.append((relu(-abs(slopes[0]), first), slopes[0] < 0))
    parts.sort(key=lambda part: not part[1])  # what is added before what is taken off
    if not parts or not parts[0][1]:
        return None
    total = parts[0][0]
    for number, (part, added) in enumerate(parts[1:], 2):
        last = number == len(parts) and abs(lines.value) <= _EQUAL
        target = result if last else graph.like(result, "sum")
        step = graph.plus(total, part, target) if added else _minus(graph, total, part, target)
        steps.append(step)
        total = target
    if total is not result:
        steps.append(graph.plus(total, graph.new_constant(lines.value, result, "value"), result))
    return steps


def _minus(graph: GraphEditor, left: TensorNode, right: TensorNode, result: TensorNode) -> OperatorNode:
    return graph.operator("SUB", [left, right], [result], options("SubOptions"))
