"""Causes that belong to the whole model: the input, the last layer's 8 bits, what compression had gained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from tfcompress.accuracy_diff.causes.cause import Cause
from tfcompress.accuracy_diff.causes.evidence import Evidence, Row
from tfcompress.accuracy_diff.layers.tapped import tensor_range
from tfcompress.accuracy_diff.matching import inputs_for
from tfcompress.accuracy_diff.runners import Runner
from tfcompress.data import Samples

__all__ = ["compression_causes", "input_causes", "output_causes"]

OUTSIDE = 0.05  # share of input values outside the artifact's range
UNUSED = 0.05  # share of the artifact's range that the inputs take up
TIED = 0.05  # share of samples whose best two answers are equal in the artifact only
SPARSE, LOST = 0.3, 0.05  # a pruned kernel's share of zeros; how much of it may go
MOST_CLUSTERS = 256


def input_causes(evidence: Evidence, data: Samples, fed: Mapping[int, str]) -> Iterator[Cause]:
    """Inputs that are not what the artifact was calibrated with; `fed` is {tensor index: name in the data}."""
    values: dict[str, list[np.ndarray]] = {}
    for batch in data.batches(32):
        for name, array in batch.inputs.items():
            values.setdefault(name, []).append(array.ravel())
    for index, name in fed.items():
        limits = _input_range(evidence, index)
        seen = np.concatenate(values[name])
        if limits is None or seen.dtype.kind != "f":
            continue
        text = f"input {name!r} has values {seen.min():.3g} to {seen.max():.3g}, the artifact was made for "
        text += f"{limits[0]:.3g} to {limits[1]:.3g}"
        step = (limits[1] - limits[0]) / 255
        outside = float(((seen < limits[0] - step) | (seen > limits[1] + step)).mean())
        used = float(np.ptp(seen)) / max(limits[1] - limits[0], 1e-12)
        if outside > OUTSIDE or (used < UNUSED and _preprocess_for(limits) is not None):
            yield Cause("preprocessing", None, text, _preprocess_for((float(seen.min()), float(seen.max()))))
        elif 0 < used < UNUSED:
            yield Cause("range_too_wide", None, text)


def _input_range(evidence: Evidence, index: int) -> tuple[float, float] | None:
    """What the input tensor can hold, or the tensor behind its QUANTIZE."""
    limits = tensor_range(evidence.graph.tensors[index])
    first = next(iter(evidence.graph.consumers(index)), None)
    if limits is None and first is not None and first.name == "QUANTIZE":
        return tensor_range(evidence.graph.tensors[first.outputs[0]])
    return limits


def _preprocess_for(limits: tuple[float, float]) -> str | None:
    """The preprocessing whose result has about these limits, for values that are stored as 0..255; None for others."""
    for name, (low, high) in {"none": (0, 255), "unit": (0, 1), "signed_unit": (-1, 1)}.items():
        if np.allclose(limits, (low, high), rtol=0.0, atol=0.15 * (high - low)):
            return name
    return None


def output_causes(
    evidence: Evidence, reference: Runner, candidate: Runner, data: Samples, names: Mapping[str, str]
) -> Iterator[Cause]:
    """A softmax or sigmoid whose 8 bits cannot tell the answers apart; `names` as of `matching.input_names`."""
    last = [row for row in evidence.rows if row.operator.name in ("SOFTMAX", "LOGISTIC") and row.integer]
    if len(last) != 1 or last[0].diff.tensor not in _results(evidence):
        return
    tied = samples = 0
    for batch in data.batches(32):
        wanted, got = reference.run(batch.inputs), candidate.run(inputs_for(candidate, batch.inputs, names))
        first, second = next(iter(wanted.values())), next(iter(got.values()))
        if second.ndim != 2 or second.shape[1] < 2 or first.shape != second.shape:
            return
        tied += int((_best_two_equal(second) & ~_best_two_equal(first)).sum())
        samples += len(second)
    if samples and tied / samples > TIED:
        text = f"8-bit outputs tie the best two answers of {100 * tied / samples:.0f} % of the samples"
        yield Cause("softmax_tail", last[0].layer, text)


def _results(evidence: Evidence) -> set[int]:
    """The graph's outputs, before a conversion to float."""
    tensors = set(evidence.graph.outputs)
    for index in evidence.graph.outputs:
        producer = evidence.graph.producer(index)
        if producer is not None and producer.name == "DEQUANTIZE":
            tensors.add(producer.inputs[0])
    return tensors


def _best_two_equal(outputs: np.ndarray) -> np.ndarray:
    best = np.sort(outputs, axis=1)[:, -2:]
    return best[:, 0] == best[:, 1]


def compression_causes(evidence: Evidence) -> Iterator[Cause]:
    """Zeros or clusters that the float kernels have and the artifact's have not."""
    for row in evidence.rows:
        weights = evidence.weights(row)
        if weights is None:
            continue
        values, _, axis = weights
        owned = evidence.kernel(row, values.size)
        if owned is not None:
            yield from _lost(row, *owned, values, axis)


def _lost(row: Row, owner: str, kernel: np.ndarray, values: np.ndarray, axis: int) -> Iterator[Cause]:
    before, after = float((kernel == 0).mean()), float((values == 0).mean())
    if before > SPARSE and after < before - LOST:
        text = f"{100 * before:.0f} % of its weights were zero, {100 * after:.0f} % are"
        yield Cause("sparsity_lost", row.layer, text, f"{math.floor(100 * before) / 100:g}", (owner,))
        return
    clusters = len(np.unique(kernel))
    # Each channel has a scale of its own, so clusters are counted within a channel.
    channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    most = max(len(np.unique(channel)) for channel in channels)
    if clusters <= MOST_CLUSTERS and clusters < kernel.size / 4 and most > clusters:
        text = f"its weights had {clusters} values, now up to {most} in a channel"
        yield Cause("clusters_lost", row.layer, text, f"{clusters}", (owner,))
