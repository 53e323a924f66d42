"""Calibration: one pass over the samples, one estimator a tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np

from tfcompress.calibration.activations import ActivationRunner, activation_limits
from tfcompress.calibration.estimators import ANYTHING, EstimatorName, estimator_factory
from tfcompress.calibration.result import Calibration
from tfcompress.console import progress
from tfcompress.data import Samples

__all__ = ["calibrate", "observe"]

# Elements of one sample: handing a tensor of an unrolled LSTM to a thread takes longer than reading it.
LEAST_TASK = 4096


class Observer(Protocol):
    """What sees a tensor's values, batch by batch."""

    def update(self, values: np.ndarray) -> None:
        """Take in one batch: float32, at least one element; not kept."""
        ...


AnyObserver = TypeVar("AnyObserver", bound=Observer)


def calibrate(
    content: bytes,
    samples: Samples,
    *,
    estimator: EstimatorName = "min_max",
    percentile: float = 99.99,
    hash_data: bool = True,
) -> Calibration:
    """Estimate the range of every float activation of a .tflite.

    Memory does not grow with the number of samples.

    Args:
        content: a float .tflite whose first signature names its inputs as `samples` does.
        samples: representative inputs, preprocessed as the model wants them.
        estimator: how ranges are estimated.
        percentile: share of values inside the range in percent, for `percentile`.
        hash_data: record the samples' hash, so that the result can be refused for other data later.

    Raises:
        DataError: a bad sample, or none.
        ConversionError: LiteRT cannot run the model.
    """
    estimators, count = observe(content, samples, estimator_factory(estimator, percentile=percentile))
    with ThreadPoolExecutor() as pool:
        ranges = dict(zip(estimators, pool.map(lambda item: item.range(), estimators.values()), strict=True))
    data_sha256 = samples.sha256 if hash_data else None
    name = f"percentile {percentile}" if estimator == "percentile" else estimator
    return Calibration(hashlib.sha256(content).hexdigest(), data_sha256, count, name, ranges)


def observe(
    content: bytes, samples: Samples, make: Callable[[tuple[float, float]], AnyObserver]
) -> tuple[dict[str, AnyObserver], int]:
    """Show every float activation of a .tflite to an observer of its own, in one pass.

    Args:
        content: as for `calibrate`.
        samples: as for `calibrate`.
        make: gives an observer, from the limits that the tensor's operator cannot leave.

    Returns:
        {tensor name: observer}, and the number of samples.

    Raises:
        DataError: a bad sample, or none.
        ConversionError: LiteRT cannot run the model.
    """
    runner = ActivationRunner(content)
    limits = activation_limits(runner.graph)
    observers = {index: make(limits.get(index, ANYTHING)) for index in runner.tensors.values()}
    count = 0

    def update(indices: list[int]) -> None:
        for index in indices:
            value = runner.value(index)
            if value.size:
                observers[index].update(value)

    tasks = _tasks(runner)
    with ThreadPoolExecutor(runner.threads) as pool, progress("calibrating", samples.count) as advance:
        for size in runner.over(samples):
            list(pool.map(update, tasks))  # NumPy's reductions release the interpreter lock
            count += size
            advance(size)
    return {name: observers[index] for name, index in runner.tensors.items()}, count


def _tasks(runner: ActivationRunner) -> list[list[int]]:
    """All tensors, small ones together, so that each list is worth a thread's while."""
    tasks: list[list[int]] = [[]]
    elements = 0
    for index in runner.tensors.values():
        if elements >= LEAST_TASK:
            tasks.append([])
            elements = 0
        tasks[-1].append(index)
        elements += runner.graph.tensors[index].elements
    return tasks
