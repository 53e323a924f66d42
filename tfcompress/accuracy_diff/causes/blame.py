"""Pictures of the layers that are to blame: their values in float beside what their integers can hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfcompress.accuracy_diff.causes.cause import Cause
from tfcompress.accuracy_diff.causes.evidence import Evidence
from tfcompress.accuracy_diff.layers import LayerDiff
from tfcompress.accuracy_diff.layers.histograms import activation_histograms, blamed, histogram_of
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.runners import FloatModelRunner
from tfcompress.data import Samples
from tfcompress.graphs.tflite import read_tflite
from tfcompress.layer_histogram import LayerHistogram

__all__ = ["blamed_histograms"]


def blamed_histograms(
    reference: FloatModelRunner,
    candidate: LiteRtRunner,
    rows: Sequence[LayerDiff],
    causes: Sequence[Cause],
    data: Samples,
) -> tuple[LayerHistogram, ...]:
    """Outputs and kernels of the layers to blame; empty where no integer layer is.

    Args:
        reference: the float Keras model.
        candidate: the `.tflite` made from it.
        rows: of `compare_layers`.
        causes: of `find_causes`.
        data: the samples that the layers were compared on.
    """
    layers = blamed(rows, [layer for cause in causes for layer in (cause.layers or (cause.layer,))])
    if not layers:
        return ()
    file = read_tflite(candidate.content)
    evidence = Evidence.of(rows, file, reference.model.keras_model)
    drawn = [*activation_histograms(reference, file, rows, layers, data), *_kernels(evidence, layers)]
    return tuple(sorted(drawn, key=lambda histogram: layers.index(histogram.layer)))


def _kernels(evidence: Evidence, layers: Sequence[str]) -> list[LayerHistogram]:
    drawn = []
    for row in evidence.rows:
        weights = evidence.weights(row) if row.layer in layers else None
        if weights is None:
            continue
        values, tensor, _ = weights
        kernel = evidence.kernel(row, values.size)
        if kernel is not None and tensor.quantization is not None:
            scales = np.asarray(tensor.quantization.scales, np.float32)
            drawn.append(histogram_of(row.layer, kernel[1], scales, np.iinfo(values.dtype).max))
    return drawn
