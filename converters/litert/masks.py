"""Masks that leave the scores their range: large constants that only a softmax reads become as small as it allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tfcompress.cache import remembered
from tfcompress.calibration import Calibration
from tfcompress.calibration.activations import ActivationRunner
from tfcompress.calibration.readers import EVERYTHING, Extent, Span, needed_spans, softmax_ancestors, softmax_span
from tfcompress.data import Samples
from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor

__all__ = ["Settled", "read_spans", "settle_masks"]

LARGE = 64.0  # no trained constant that is added to logits; masks begin at -100
OBSERVED_SAMPLES = 256
WIDE = 2.0  # times what a softmax tells apart: below, a narrower range would gain too little


@dataclass(frozen=True)
class Settled:
    """A float file whose masks are no larger than they have to be.

    Attributes:
        content: the .tflite; the same bytes where it had no mask.
        spans: {tensor name: what its readers tell apart}; empty where it had no mask.
        notes: what was done.
    """

    content: bytes
    spans: Mapping[str, Span] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def settle_masks(content: bytes, samples: Samples) -> Settled:
    """Make the masks of a float .tflite as small as the softmax behind them allows.

    Args:
        content: the float .tflite.
        samples: representative inputs; the first `OBSERVED_SAMPLES`, spread over all, are used.

    Raises:
        ConversionError: LiteRT cannot run the model.
        DataError: a bad sample, or none.
    """
    graph = read_tflite(content).main
    ancestors = softmax_ancestors(graph)
    masks = [index for index in ancestors if _is_large(graph, index)]
    if not masks and not set(ancestors).intersection(graph.inputs):
        return Settled(content)
    return remembered(Settled, "masks", (content, samples.identity), lambda: _settled(content, samples))


def _is_large(graph: Subgraph, index: int) -> bool:
    values = graph.tensors[index].array()
    return values is not None and values.size > 0 and float(np.abs(values).max()) >= LARGE


def _settled(content: bytes, samples: Samples) -> Settled:
    graph = read_tflite(content).main
    ancestors = softmax_ancestors(graph)
    if not any(_is_large(graph, index) for index in ancestors):
        return Settled(content, _spans_by_name(content, samples))
    need = needed_spans(graph, observed(content, samples))
    model, masks = ModelEditor.read(content), 0
    for index in ancestors:
        low, high = need.get(index, (-math.inf, math.inf))
        if _is_large(graph, index) and (math.isfinite(low) or math.isfinite(high)):
            values = graph.tensors[index].array()
            assert values is not None, "it is large"
            model.main.tensors[index].set_array(np.clip(values, low, high).astype(np.float32))
            masks += 1
    if not masks:
        return Settled(content, _spans_by_name(content, samples))
    settled = model.to_bytes()
    note = f"{masks} mask{'s' * (masks > 1)} made no larger than the softmax behind tells apart"
    return Settled(settled, _spans_by_name(settled, samples), (note,))


def observed(content: bytes, samples: Samples) -> dict[int, Extent]:
    """{tensor index: extent} of what softmax operators read, constants too."""
    runner = ActivationRunner(content)
    graph = runner.graph
    extents = {index: Extent() for index in softmax_ancestors(graph)}
    computed = []
    for index, extent in extents.items():
        values = graph.tensors[index].array()
        if values is None:
            computed.append(index)
        elif values.size:
            extent.update(values)
    for _ in runner.over(samples.spread(OBSERVED_SAMPLES)):
        for index in computed:
            extents[index].update(runner.value(index))
    return extents


def read_spans(settled: Settled, calibration: Calibration, samples: Samples) -> Mapping[str, Span]:
    """{tensor name: what its readers tell apart} of a float file, for `clip_to_readers`.

    Args:
        settled: the file.
        calibration: ranges of its tensors.
        samples: representative inputs; a file without masks is run only where a range is far wider than its softmax
            tells apart.
    """
    if settled.spans:
        return settled.spans
    graph = read_tflite(settled.content).main
    scores = [operator.inputs[0] for operator in graph.operators if operator.name == "SOFTMAX"]
    scored = [(index, calibration.ranges.get(graph.tensors[index].name)) for index in scores]
    if any(
        item is not None and item.high - item.low > WIDE * softmax_span(graph.tensors[index].shape[-1])
        for index, item in scored
    ):
        return remembered(
            dict[str, Span],
            "what readers tell apart",
            (settled.content, samples.identity),
            lambda: _spans_by_name(settled.content, samples),
        )
    return _named(graph, needed_spans(graph, {}))


def _spans_by_name(content: bytes, samples: Samples) -> dict[str, Span]:
    graph = read_tflite(content).main
    return _named(graph, needed_spans(graph, observed(content, samples)))


def _named(graph: Subgraph, need: Mapping[int, Span]) -> dict[str, Span]:
    return {graph.tensors[index].name: span for index, span in need.items() if span != EVERYTHING}
