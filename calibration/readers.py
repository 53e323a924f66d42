"""What a tensor's readers can tell apart: beyond it a range may end, and a constant may be another one.

A mask adds -1e9 to attention scores, or selects it in their place; a range that holds it leaves the scores themselves
less than one step of 8 bits.  But a softmax gives the same to whatever lies far enough below the largest value of its
row.  Followed back through what adds, selects, multiplies and moves, that gives every tensor between the limits that
its readers need.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tfcompress.calibration.result import Calibration, Range
from tfcompress.graphs.tflite import Operator, Subgraph

__all__ = ["EVERYTHING", "Extent", "Span", "clip_to_readers", "needed_spans", "softmax_ancestors", "softmax_span"]

Span = tuple[float, float]
EVERYTHING: Span = (-math.inf, math.inf)
NOTHING: Span = (math.inf, -math.inf)
MASKED = 500.0  # below the largest value of any row: no trained network's own score
LEAK = 1 / 64  # of a row's largest share: what all that lies below a range's end may weigh together
# Half a step of a 16-bit sigmoid or tanh, so that a range cut so serves both widths.
SIGMOID_SPAN, TANH_SPAN = math.log(2**16), 0.5 * math.log(2**17)
EXP_SPAN = SIGMOID_SPAN  # below the largest value: half a step of what its exponential has in 16 bits
LOG_SPAN = 16.0  # below the largest share: LOG_SOFTMAX's kernel has 256 steps of 1/16
ROW_MARGIN = 0.1  # of the spread of the rows' largest values: rows that calibration has not seen
GAIN = 0.8  # of the width: a range that would become no narrower than this stays as it was
MOVING = frozenset(
    {"RESHAPE", "TRANSPOSE", "EXPAND_DIMS", "SQUEEZE", "SLICE", "STRIDED_SLICE", "BROADCAST_TO", "TILE", "SPLIT",
     "GATHER", "CONCATENATION", "PACK", "UNPACK", "MINIMUM", "MAXIMUM"}
)  # fmt: skip
SELECTING = frozenset({"SELECT", "SELECT_V2"})


@dataclass
class Extent:
    """An observer of a tensor's values: how far they reach, and the rows as a softmax sees them.

    Attributes:
        low: smallest value.
        high: largest value.
        smallest: smallest magnitude of those that are not zero.
        row_low: the least of the rows' largest values, rows that are masked whole left out.
        row_high: the largest value that a softmax tells apart from a larger one.
    """

    low: float = math.inf
    high: float = -math.inf
    smallest: float = math.inf
    row_low: float = math.inf
    row_high: float = -math.inf

    def update(self, values: np.ndarray) -> None:
        """Take in one batch."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        sizes = np.abs(values[values != 0])
        self.smallest = min(self.smallest, float(sizes.min(initial=math.inf)))
        if values.ndim:
            self._update_rows(values.reshape(-1, values.shape[-1]))

    def _update_rows(self, rows: np.ndarray) -> None:
        wide = rows.shape[1] > 1
        best = np.partition(rows, -2, axis=1)[:, -2:] if wide else np.repeat(rows, 2, axis=1)
        second, largest = best[:, 0].astype(np.float64), best[:, 1].astype(np.float64)
        alone = second < largest - MASKED  # all others of the row are masked
        shown = np.where(alone, largest, np.minimum(largest, second + softmax_span(rows.shape[1])))
        seen = largest > max(self.row_high, float(largest.max())) - MASKED  # else the row is masked whole
        if seen.any():
            self.row_low = min(self.row_low, float(largest[seen].min()))
            self.row_high = max(self.row_high, float(shown[seen].max()))


def softmax_span(classes: int) -> float:
    """How far below the largest value of a row the others may end: together they then weigh `LEAK` at most."""
    return math.log(max(2, classes) / LEAK)


def softmax_ancestors(graph: Subgraph) -> tuple[int, ...]:
    """Indices of the float tensors that softmax operators read, directly or through what adds, selects and moves.

    What else gives nothing for a large negative number, as an exponential and a ReLU do, counts as one of them.
    """
    ancestors: dict[int, None] = {}
    reached: set[int] = set()
    for operator in reversed(graph.operators):
        passes = operator.name in MOVING or operator.name in _RULES
        if operator.name in _READING_ROWS or (passes and reached.intersection(operator.outputs)):
            inputs = [index for index in operator.inputs if index >= 0 and graph.tensors[index].dtype == "float32"]
            ancestors.update(dict.fromkeys(inputs))
            reached.update(inputs)
    return tuple(ancestors)


def needed_spans(graph: Subgraph, seen: Mapping[int, Extent]) -> dict[int, Span]:
    """{tensor index: (low, high)} beyond which no reader of a tensor tells values apart.

    Args:
        graph: the main graph of a float .tflite.
        seen: extents of computed tensors and constants; one that is absent limits nothing.
    """
    need = dict.fromkeys(graph.outputs, EVERYTHING)
    for operator in reversed(graph.operators):
        result = need.get(operator.outputs[0], NOTHING) if operator.outputs else EVERYTHING
        for place, index in enumerate(operator.inputs):
            if index >= 0:
                asked = _asked(graph, operator, place, result, seen)
                wider = need.get(index, NOTHING)
                need[index] = min(wider[0], asked[0]), max(wider[1], asked[1])
    return need


def _asked(graph: Subgraph, operator: Operator, place: int, result: Span, seen: Mapping[int, Extent]) -> Span:
    """The span that one operator asks of one input."""
    if result == NOTHING:  # nobody reads what it computes
        return NOTHING
    if operator.name in MOVING:
        return result
    if operator.name in _READING_ROWS:
        extent = seen.get(operator.inputs[0])
        return EVERYTHING if extent is None else _READING_ROWS[operator.name](graph, operator, extent)
    if operator.name in SELECTING:
        return EVERYTHING if place == 0 else result
    if operator.name in _SQUASHING:
        span = _SQUASHING[operator.name]
        return -span, span
    fused = getattr(operator.options, "FusedActivationFunction", lambda: 0)()
    other = seen.get(operator.inputs[1 - place]) if operator.name in _ARITHMETIC and not fused else None
    if other is None or (operator.name == "MUL" and not _has_constant(graph, operator)):
        return EVERYTHING  # two computed factors that both ended early would no longer reach as far
    return _ARITHMETIC[operator.name](place, result, other)


def _has_constant(graph: Subgraph, operator: Operator) -> bool:
    return any(graph.tensors[index].data is not None for index in operator.inputs)


def _of_softmax(graph: Subgraph, operator: Operator, extent: Extent) -> Span:
    if extent.row_low > extent.row_high or operator.options.Beta() != 1.0:
        return EVERYTHING
    margin = ROW_MARGIN * (extent.row_high - extent.row_low)
    span = softmax_span(graph.tensors[operator.inputs[0]].shape[-1])
    return extent.row_low - margin - span, extent.row_high + margin


def _of_logarithms(graph: Subgraph, operator: Operator, extent: Extent) -> Span:
    del graph, operator
    if extent.row_low > extent.row_high:
        return EVERYTHING
    return extent.row_low - ROW_MARGIN * (extent.row_high - extent.row_low) - LOG_SPAN, math.inf


def _of_exponential(graph: Subgraph, operator: Operator, extent: Extent) -> Span:
    del graph, operator
    return extent.high - EXP_SPAN, math.inf


def _of_relu(graph: Subgraph, operator: Operator, extent: Extent) -> Span:
    del graph, operator, extent
    return 0.0, math.inf


def _of_sum(place: int, result: Span, other: Extent) -> Span:
    del place
    return result[0] - other.high, result[1] - other.low


def _of_difference(place: int, result: Span, other: Extent) -> Span:
    if place == 0:
        return result[0] + other.low, result[1] + other.high
    return other.low - result[1], other.high - result[0]


def _of_product(place: int, result: Span, other: Extent) -> Span:
    """A factor may end where even the least of the others takes the product beyond what is read of it."""
    del place
    one_sign = other.low >= 0 or other.high <= 0
    if not one_sign or not math.isfinite(other.smallest) or not result[0] < 0 < result[1]:
        return EVERYTHING
    low, high = result[0] / other.smallest, result[1] / other.smallest
    return (low, high) if other.low >= 0 else (-high, -low)


_SQUASHING = {"LOGISTIC": SIGMOID_SPAN, "TANH": TANH_SPAN}
_ARITHMETIC: Mapping[str, Callable[[int, Span, Extent], Span]] = {
    "ADD": _of_sum,
    "SUB": _of_difference,
    "MUL": _of_product,
}
_READING_ROWS: Mapping[str, Callable[[Subgraph, Operator, Extent], Span]] = {
    "SOFTMAX": _of_softmax,
    "LOG_SOFTMAX": _of_logarithms,
    "EXP": _of_exponential,
    "RELU": _of_relu,
}
_RULES = SELECTING | frozenset(_ARITHMETIC)


def clip_to_readers(graph: Subgraph, calibration: Calibration, need: Mapping[str, Span]) -> Calibration:
    """Ranges that end where readers no longer tell values apart, where that makes them clearly narrower.

    What is selected or compared with such a tensor gets its range too: their integers must mean the same.

    Args:
        graph: the main graph of the float .tflite.
        calibration: its ranges.
        need: {tensor name: span} of `needed_spans`.
    """
    ranges = dict(calibration.ranges)
    for name, (low, high) in need.items():
        before = ranges.get(name)
        if before is not None:
            ends = sorted((max(before.low, min(low, before.high)), min(before.high, max(high, before.low))))
            clipped = Range(*ends)
            if _width(clipped) < GAIN * _width(before):
                ranges[name] = clipped
    for operator in reversed(graph.operators):
        if operator.name in SELECTING | {"MINIMUM", "MAXIMUM"}:
            _share(graph, operator, ranges, calibration.ranges, need)
    return dataclasses.replace(calibration, ranges=ranges)


def _share(
    graph: Subgraph,
    operator: Operator,
    ranges: dict[str, Range],
    before: Mapping[str, Range],
    need: Mapping[str, Span],
) -> None:
    name = graph.tensors[operator.outputs[0]].name
    if name not in ranges or ranges[name] == before[name]:
        return
    for index in operator.inputs:
        source = graph.tensors[index].name if index >= 0 else ""
        if source in ranges and source in need:
            ranges[source] = ranges[name]


def _width(item: Range) -> float:
    """Of a range with zero in it, as every integer tensor has."""
    return max(item.high, 0.0) - min(item.low, 0.0)
