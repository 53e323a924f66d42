"""What `quality=best` tries, and keeps where the outputs come closer to the float model's on unlabelled data."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tfcompress.calibration import ChannelRanges, calibrate, observe, outlier_tensors
from tfcompress.calibration.estimators import EstimatorName
from tfcompress.calibration.readers import clip_to_readers
from tfcompress.converters.litert.bit_widths import ENOUGH_DB, LayerBits, layer_bits
from tfcompress.converters.litert.engines import Int8Model, quantize_calibrated, with_wider_activations
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.litert.quality import few_enough, output_error, tail_tensors
from tfcompress.data import Samples
from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining

__all__ = ["closest"]

SEARCHED_ESTIMATORS: tuple[EstimatorName, ...] = ("percentile", "mse")
WORTH = 0.95  # of the error: 16-bit activations are slower, so they have to take more than this away


def closest(
    model: FloatModel,
    float_content: bytes,
    first: Int8Model,
    samples: Samples,
    options: PostTraining,
    limits: Limits,
    other_estimators: bool,
    allow_int16: bool,
) -> Int8Model:
    """The candidate whose outputs are closest to the float model's on the calibration data.

    Args:
        model: what is quantized; names the layers.
        float_content: its float .tflite, before its weights were improved.
        first: the first candidate.
        samples: representative inputs; no labels are used.
        options: with which `first` was made.
        limits: what the result has to look like.
        other_estimators: try `SEARCHED_ESTIMATORS` too.
        allow_int16: try 16-bit activations where 8 bits are likely to lose most.
    """
    content = first.float_content or float_content
    names = [name for name in SEARCHED_ESTIMATORS if name != options.estimator and other_estimators]
    candidates = [
        first,
        *(_with_estimator(first, samples, replace(options, estimator=name), limits) for name in names),
    ]
    errors = [output_error(float_content, candidate.content, samples) for candidate in candidates]
    best, error = min(zip(candidates, errors, strict=True), key=lambda pair: pair[1])
    notes = list(first.notes)
    notes += [f"estimator {best.calibration.estimator}: the closest of {len(candidates)}"] if best.calibration else []
    rows = layer_bits(model, content, samples)
    notes += _poor_weights(rows)
    if allow_int16 and best.engine == "litert" and not limits.int16:
        for tensors, what in _nominations(content, rows, samples):
            wide = replace(limits, keep_int16=tuple(dict.fromkeys((*limits.keep_int16, *tensors))))
            wider = with_wider_activations(best, options, wide)
            wider_error = error if wider is None else output_error(float_content, wider.content, samples)
            if wider is not None and wider_error < WORTH * error:
                best, error, limits = wider, wider_error, wide
                notes.append(f"16-bit activations in {what}")
    return replace(best, notes=tuple(notes), bit_widths=rows)


def _with_estimator(first: Int8Model, samples: Samples, options: PostTraining, limits: Limits) -> Int8Model:
    content = first.float_content
    assert content is not None, "a quantization-aware model has nothing to search"
    ranges = calibrate(content, samples, estimator=options.estimator, percentile=options.percentile, hash_data=False)
    ranges = clip_to_readers(read_tflite(content).main, ranges, first.spans)
    return replace(quantize_calibrated(content, ranges, options, limits), spans=first.spans)


def _nominations(content: bytes, rows: tuple[LayerBits, ...], samples: Samples) -> list[tuple[tuple[str, ...], str]]:
    """(output tensors, what they are) of operators that 16-bit activations may help most."""
    file = read_tflite(content)
    tail = tail_tensors(file)
    outliers = outlier_tensors(observe(content, samples, ChannelRanges)[0], file.main)
    poor = [
        row for row in rows if (row.activations.get(8) or ENOUGH_DB) < ENOUGH_DB or outliers.keys() & set(row.tensors)
    ]
    tensors = _with_readers(file.main, {name for row in poor for name in row.tensors})
    nominations = [(tail, f"the {len(tail)} operators behind the last convolution")] if tail else []
    if poor and few_enough(file, tensors):
        nominations.append((tensors, f"layers of which 8 bits keep too little: {', '.join(row.layer for row in poor)}"))
    return nominations


def _with_readers(graph: Subgraph, names: Collection[str]) -> tuple[str, ...]:
    """The tensors, and the outputs of the operators that read them: an 8-bit one would round its inputs again."""
    wanted = {tensor.index for tensor in graph.tensors if tensor.name in names}
    operators = [op for op in graph.operators if wanted.intersection((*op.inputs, *op.outputs))]
    return tuple(graph.tensors[index].name for operator in operators for index in operator.outputs)


def _poor_weights(rows: tuple[LayerBits, ...]) -> list[str]:
    return [
        f"8 bits keep only {decibels:.1f} dB of the weights of {row.layer}: a few are far larger than the rest; "
        f"if accuracy suffers, give --keep_float={row.layer}"
        for row in rows
        if (decibels := row.weights.get(8)) is not None and decibels < ENOUGH_DB
    ]
