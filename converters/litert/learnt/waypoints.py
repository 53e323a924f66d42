"""Tensors between inputs and outputs that a quantized file shall keep close to the float model's.

A few hundred samples have few outputs, which so many weights could be fitted to by heart; what blocks give inside says
far more of each sample (Li et al. 2021, "BRECQ", section 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.calibration.activations import ActivationRunner
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.graphs.tflite.operators import traits
from tfcompress.runtime import tf

__all__ = ["Waypoint", "detour", "waypoints_of"]

ALIKE = 0.01  # of the power: what may be left of a tensor once its channels are scaled
TINY = 1e-12
Rows = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Waypoint:
    """One tensor.

    Attributes:
        own: the quantized file's tensor.
        float_tensor: the float file's tensor of the same meaning.
        ratio: float32 [channels], what the quantized file's channels are multiplied with to mean the same; equalization
            has scaled them.
        spread: variance of the float file's values.
    """

    own: int
    float_tensor: int
    ratio: np.ndarray
    spread: float


def waypoints_of(quantized: Subgraph, teacher: ActivationRunner, made_from: bytes, rows: Rows) -> tuple[Waypoint, ...]:
    """What blocks give: residual sums, in a network without the convolutions that end in an activation.

    Args:
        quantized: of the quantized file.
        teacher: of the float file, whose batches mean what single samples mean.
        made_from: the float .tflite with improved weights that the quantized file was made from; its channels may be
            scaled.
        rows: a batch of samples.

    Raises:
        ConversionError: LiteRT cannot run `made_from`.
    """
    source = ActivationRunner(made_from)
    indices = teacher.tensors
    names = [
        (index, quantized.tensors[index].name)
        for operator in _ends_of_blocks(quantized)
        for index in operator.outputs
        if quantized.tensors[index].dtype == "int8" and index not in quantized.outputs
    ]
    teacher.run(rows)
    source.run(rows)
    points = []
    for own, name in names:
        if name in indices and name in source.tensors:
            truth, scaled = (run.value(run.tensors[name]).astype(np.float64) for run in (teacher, source))
            point = _waypoint(own, indices[name], truth, scaled) if truth.shape == scaled.shape else None
            points += [] if point is None else [point]
    return tuple(points)


def _ends_of_blocks(graph: Subgraph) -> list[Operator]:
    sums = [operator for operator in graph.operators if operator.name == "ADD"]
    return sums or [
        operator
        for operator in graph.operators
        if traits(operator.name).kind == "convolution" and operator.options.FusedActivationFunction()
    ]


def _waypoint(own: int, float_tensor: int, truth: np.ndarray, scaled: np.ndarray) -> Waypoint | None:
    """None for a tensor that means something else, or always the same."""
    wanted, given = (values.reshape(-1, values.shape[-1]) for values in (truth, scaled))
    ratio = (wanted * given).sum(0) / np.maximum((given * given).sum(0), TINY)
    left, power = float(((wanted - ratio * given) ** 2).sum()), float((wanted**2).sum())
    spread = float(wanted.var(0).mean())
    if left > ALIKE * power or spread <= TINY:
        return None
    return Waypoint(own, float_tensor, ratio.astype(np.float32), spread)


def detour(points: Sequence[Waypoint], values: Mapping[int, Tensor], truths: Sequence[Tensor]) -> Tensor:
    """Mean squared error of the waypoints relative to their variance, a scalar; 0 without any.

    Args:
        points: the waypoints.
        values: {tensor of the quantized file: real values}.
        truths: the float file's values, one for each waypoint.
    """
    errors = [
        tf.reduce_mean(tf.square(values[point.own] * point.ratio - truth)) / point.spread
        for point, truth in zip(points, truths, strict=True)
    ]
    return tf.add_n(errors) / len(errors) if errors else tf.constant(0.0)
