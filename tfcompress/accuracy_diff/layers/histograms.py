"""How the values of a layer lie in the ranges of its 8-bit tensors: for the page, where a layer is to blame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tfcompress.accuracy_diff.layers.diff import LayerDiff
from tfcompress.accuracy_diff.layers.graph_tensors import GraphTensors
from tfcompress.accuracy_diff.layers.tapped import find_layer_tensors
from tfcompress.accuracy_diff.runners import FloatModelRunner
from tfcompress.data import Samples
from tfcompress.graphs.tflite import TfliteFile
from tfcompress.layer_histogram import LayerHistogram
from tfcompress.layer_names import all_layers

__all__ = ["activation_histograms", "blamed", "histogram_of"]

BINS = 48
BATCH = 8
MOST_LAYERS = 4
POOR_DB = 25.0  # an own SQNR above it is no layer's fault


def blamed(rows: Sequence[LayerDiff], causes: Sequence[str | None]) -> tuple[str, ...]:
    """The layers to look at, at most `MOST_LAYERS`: those that a cause names, then those with the largest own error.

    Args:
        rows: of the layer diff.
        causes: the layer of each cause; None for the whole model.
    """
    integer = {row.layer: row for row in rows if row.range is not None}
    named = [layer for layer in dict.fromkeys(causes) if layer in integer]
    judged = [(row.own_sqnr_db, row.layer) for row in integer.values() if row.own_sqnr_db is not None]
    worst = [layer for decibels, layer in sorted(judged) if decibels < POOR_DB]
    return tuple(dict.fromkeys([*map(str, named), *worst]))[:MOST_LAYERS]


def activation_histograms(
    reference: FloatModelRunner, file: TfliteFile, rows: Sequence[LayerDiff], layers: Sequence[str], data: Samples
) -> Iterator[LayerHistogram]:
    """The outputs of some layers in float, beside the ranges of their tensors.

    Args:
        reference: the float model.
        file: the artifact.
        rows: of the layer diff, which have the ranges and the extremes.
        layers: whose; those without a range are left out.
        data: the samples on which `rows` were made.
    """
    kinds = {layer.name: type(layer).__name__ for layer in all_layers(reference.model.keras_model)}
    graph = GraphTensors(reference.function, kinds, [info.name for info in reference.inputs])
    wanted = {row.layer: row for row in rows if row.layer in layers and row.range is not None}
    operators = {
        item.layer: graph.operator_named(item.layer, item.leaves, item.tensor.name)
        for item in find_layer_tensors(file, kinds)
        if item.layer in wanted
    }
    read_from = {layer: operator for layer, operator in operators.items() if operator is not None}
    if not read_from:
        return
    read = graph.reader(list(read_from.values()))
    counts = {layer: np.zeros(BINS, np.int64) for layer in read_from}
    for batch in data.batches(BATCH):
        values = read(batch.inputs)
        for layer, operator in read_from.items():
            counts[layer] += np.histogram(values[operator], BINS, _edges(wanted[layer]))[0]
    for layer, row in wanted.items():
        if layer in counts and row.range is not None:
            low, high = _edges(row)
            bins = tuple(map(int, counts[layer]))
            yield LayerHistogram(layer=layer, what="activations", low=low, high=high, counts=bins, range=row.range)


def _edges(row: LayerDiff) -> tuple[float, float]:
    """From the lowest to the highest of the float values and of the range."""
    assert row.range is not None
    low, high = min(row.observed[0], row.range[0]), max(row.observed[1], row.range[1])
    return low, high if high > low else low + 1.0


def histogram_of(layer: str, kernel: np.ndarray, scales: np.ndarray, largest: int) -> LayerHistogram:
    """A float kernel beside what its integers can hold.

    Args:
        layer: whose it is.
        kernel: float values of any shape.
        scales: of the integers, one a channel or a single one.
        largest: the largest integer, 127 for 8 bits.
    """
    widest, narrowest = float(scales.max()) * largest, float(scales.min()) * largest
    bound = max(widest, float(np.abs(kernel).max(initial=0.0))) or 1.0
    counts = np.histogram(kernel, BINS, (-bound, bound))[0]
    least = narrowest if scales.size > 1 else None
    return LayerHistogram(
        layer=layer,
        what="weights",
        low=-bound,
        high=bound,
        counts=tuple(map(int, counts)),
        range=(-widest, widest),
        narrowest=least,
    )
