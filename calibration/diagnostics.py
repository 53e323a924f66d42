"""Warnings about calibration data: what looks wrong, and what to do."""

from __future__ import annotations

from tfcompress.calibration.result import Calibration
from tfcompress.graphs.tflite import Subgraph
from tfcompress.graphs.tflite.operators import macs

__all__ = ["diagnose"]

FEW_SAMPLES = 50
# Normalised networks seldom leave +-50; inputs 255 times too large show at once.
LARGE_ACTIVATION = 1000.0


def diagnose(calibration: Calibration, graph: Subgraph) -> tuple[str, ...]:
    """One line for each thing that will cost accuracy; empty when all looks well.

    Args:
        calibration: min-max ranges of the model on the samples.
        graph: the main graph of the float .tflite that was calibrated.
    """
    warnings = []
    if calibration.samples < FEW_SAMPLES:
        warnings.append(
            f"only {calibration.samples} calibration samples: ranges of rarer inputs are missed; give 100 to 500"
        )
    inputs = {graph.tensors[index].name for index in graph.inputs}
    constant = [name for name, item in calibration.ranges.items() if item.low == item.high]
    warnings.extend(
        f"input {name!r} is the same in all samples: check the data and --preprocess"
        for name in constant
        if name in inputs
    )
    dead = [name for name in constant if name not in inputs and name in _computed(graph)]
    if dead:
        shown = ", ".join(name.split(";")[0] for name in dead[:3])
        warnings.append(
            f"{len(dead)} layers give the same value for all samples ({shown}): are the inputs scaled as in training?"
        )
    judged = _behind_weights(graph)
    sizes = (max(-item.low, item.high) for name, item in calibration.ranges.items() if name in judged)
    largest = max(sizes, default=0.0)
    if largest > LARGE_ACTIVATION:
        warnings.append(
            f"activations reach {largest:.3g}: the inputs are probably not scaled as in training; try --preprocess=unit"
        )
    return tuple(warnings)


def _computed(graph: Subgraph) -> set[str]:
    return {graph.tensors[index].name for operator in graph.operators for index in operator.outputs}


def _behind_weights(graph: Subgraph) -> set[str]:
    """Names of what a product with weights gives, and all behind it but the outputs.

    Before it a model may scale its inputs itself (Normalization, Rescaling), and outputs have the size that their
    meaning wants.
    """
    behind: set[int] = set()
    for operator in graph.operators:
        if behind.intersection(operator.inputs) or macs(operator, graph):
            behind.update(operator.outputs)
    return {graph.tensors[index].name for index in behind.difference(graph.outputs)}
