"""A few hundred samples out of many that show a model all its classes and the extremes of its activations."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tfcompress.calibration.activations import ActivationRunner
from tfcompress.data import Samples
from tfcompress.errors import DataError

__all__ = ["select_representative"]


def select_representative(content: bytes, samples: Samples, count: int) -> Samples:
    """A subset that holds the sample with each activation's smallest and largest value, then all classes in turn.

    Classes are the model's own top-1 predictions, so no labels are needed.  The same call gives the same subset.

    Args:
        content: the float .tflite.
        samples: what to choose from; read once.
        count: how many to choose; all are kept when there are not more.

    Raises:
        DataError: `count` is below 1, or a sample is bad.
        ConversionError: LiteRT cannot run the model.
    """
    if count < 1:
        raise DataError(f"representative samples: {count} asked for, expected at least 1")
    runner = ActivationRunner(content)
    extremes: dict[tuple[int, str], tuple[float, int]] = {}
    by_class: dict[int, list[int]] = defaultdict(list)
    start = 0
    for size in runner.over(samples):
        for index in runner.tensors.values():
            _note_extremes(extremes, index, runner.value(index), start, size)
        classes = runner.value(runner.graph.outputs[0]).reshape(size, -1).argmax(axis=1)  # no view outlives a batch
        for row, best in enumerate(classes.tolist()):
            if len(by_class[best]) < count:
                by_class[best].append(start + row)
        start += size
    chosen = dict.fromkeys(sample for _, sample in extremes.values())
    chosen.update(dict.fromkeys(_in_turn(by_class)))
    return samples.select(list(chosen)[:count])


def _note_extremes(
    extremes: dict[tuple[int, str], tuple[float, int]], index: int, value: np.ndarray, start: int, size: int
) -> None:
    if value.shape[:1] != (size,) or value.size == 0:
        return
    rows = value.reshape(size, -1)
    for end, values in [("low", -rows.min(axis=1)), ("high", rows.max(axis=1))]:
        row = int(values.argmax())
        best = extremes.get((index, end))
        if best is None or float(values[row]) > best[0]:
            extremes[index, end] = (float(values[row]), start + row)


def _in_turn(by_class: dict[int, list[int]]) -> list[int]:
    """First of each class, then second of each, and so on."""
    longest = max(map(len, by_class.values()), default=0)
    return [by_class[name][turn] for turn in range(longest) for name in sorted(by_class) if turn < len(by_class[name])]
