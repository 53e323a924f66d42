"""Addends of a sum with a ReLU behind it: what lies so low that the sum is cut to zero anyway needs no range.

In a residual block half of what a convolution gives is often far below zero and vanishes in the ReLU behind the sum.  A
range that ends higher has finer steps for what counts.  Where it may end is measured: by the squared error that an
8-bit addend makes of the sum behind its ReLU, clipping and rounding together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.calibration.activations import ActivationRunner
from tfcompress.calibration.result import Calibration, Range
from tfcompress.data import Samples
from tfcompress.graphs.tflite import Operator, Subgraph, read_tflite
from tfcompress.graphs.tflite.operators import traits
from tfcompress.graphs.tflite.quantization import fake_quantize

__all__ = ["with_rectified_sums"]

OBSERVED_SAMPLES = 64
KEPT_VALUES = 1 << 16  # of each sum, from all samples
CUTS = np.linspace(0.0, 0.9, 19)  # shares of the negative part of a range
# Rounding is as often up as down and averages out in what sums behind; clipping only lifts, so that its mean counts as
# if so many values were averaged.
AVERAGED = 16.0
WORTH = 0.9  # of the squared error: less is within what other samples would show
_RECTIFIED = (schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6)


def with_rectified_sums(content: bytes, calibration: Calibration, samples: Samples) -> Calibration:
    """Ranges whose lower end is where the sum that reads them, and its ReLU, want it.

    Args:
        content: the float .tflite.
        calibration: its ranges.
        samples: representative inputs; `OBSERVED_SAMPLES` of them, spread over all, are run, and none where no sum
            has a ReLU.

    Raises:
        ConversionError: LiteRT cannot run the model.
        DataError: a bad sample, or none.
    """
    graph = read_tflite(content).main
    sums = [pair for pair in _rectified_sums(graph) if any(_reaches_below(graph, calibration, i) for i in pair.cut)]
    if not sums:
        return calibration
    ranges = dict(calibration.ranges)
    for item in _observed(content, sums, samples):
        addends = [np.concatenate(values) for values in item.values]
        for place, index in enumerate(item.addends):
            name = graph.tensors[index].name
            if index in item.cut and _reaches_below(graph, calibration, index):
                ranges[name] = _cut(addends[place], addends[1 - place], ranges[name], item.highest)
    return dataclasses.replace(calibration, ranges=ranges)


@dataclass
class _Sum:
    """One sum with a ReLU, and a part of what was added.

    Attributes:
        addends: the two tensors.
        cut: those of them that this sum alone reads, and that have a range of their own.
        highest: what the ReLU gives at most.
        values: float32 [n] of each addend, at the same places.
    """

    addends: tuple[int, int]
    cut: tuple[int, ...]
    highest: float
    values: tuple[list[np.ndarray], list[np.ndarray]] = field(default_factory=lambda: ([], []))


def _rectified_sums(graph: Subgraph) -> Iterator[_Sum]:
    readers: dict[int, int] = dict.fromkeys(graph.outputs, 2)
    for operator in graph.operators:
        for index in operator.inputs:
            readers[index] = readers.get(index, 0) + 1
    makers = {index: operator for operator in graph.operators for index in operator.outputs}
    for operator in graph.operators:
        highest = _highest(graph, operator, readers)
        first, second = operator.inputs[:2] if operator.name == "ADD" else (-1, -1)
        if highest is None or first == second or not {first, second} <= makers.keys():
            continue
        if graph.tensors[first].shape == graph.tensors[second].shape:
            own = [index for index in (first, second) if readers[index] == 1]
            cut = tuple(index for index in own if traits(makers[index].name).scale == "own")
            yield _Sum((first, second), cut, highest)


def _highest(graph: Subgraph, operator: Operator, readers: dict[int, int]) -> float | None:
    """What the ReLU behind a sum gives at most; None without one."""
    if operator.name != "ADD":
        return None
    fused = operator.options.FusedActivationFunction()
    if fused in _RECTIFIED:
        return 6.0 if fused == schema.ActivationFunctionType.RELU6 else np.inf
    result = operator.outputs[0]
    behind = next((other for other in graph.operators if result in other.inputs), None)
    if fused or behind is None or readers[result] != 1 or behind.name not in ("RELU", "RELU6"):
        return None
    return 6.0 if behind.name == "RELU6" else np.inf


def _reaches_below(graph: Subgraph, calibration: Calibration, index: int) -> bool:
    item = calibration.ranges.get(graph.tensors[index].name)
    return item is not None and item.low < 0


def _observed(content: bytes, sums: Sequence[_Sum], samples: Samples) -> Sequence[_Sum]:
    """The sums with values that were added, at random places of each batch."""
    runner, random = ActivationRunner(content), np.random.default_rng(0)
    for size in runner.over(samples.spread(OBSERVED_SAMPLES)):
        for item in sums:
            total = size * runner.graph.tensors[item.addends[0]].elements
            places = random.integers(0, total, min(total, KEPT_VALUES * size // OBSERVED_SAMPLES))
            for kept, index in zip(item.values, item.addends, strict=True):
                kept.append(runner.value(index).reshape(-1)[places % runner.value(index).size])
    return sums


def _cut(values: np.ndarray, others: np.ndarray, before: Range, highest: float) -> Range:
    """The range with the lower end that leaves the least error behind the ReLU; as it was where that gains little."""
    wanted = np.clip(values + others, 0.0, highest)
    high = max(before.high, 0.0)  # every range of integers has a zero

    def error(low: float) -> float:
        scale = (high - low) / 255
        zero_point = int(np.clip(np.round(-128 - low / scale), -128, 127))
        seen = fake_quantize(values, scale, zero_point=zero_point, limits=(-128, 127))
        off = np.clip(seen + others, 0.0, highest) - wanted
        return float(np.mean(off**2) + AVERAGED * np.mean(off) ** 2)

    lows = [float(before.low * (1 - share)) for share in CUTS]
    errors = [error(low) for low in lows]
    best = int(np.argmin(errors))
    return Range(lows[best], high) if errors[best] < WORTH * errors[0] else before
