"""The search for causes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfcompress.accuracy_diff.causes.cause import Cause
from tfcompress.accuracy_diff.causes.evidence import FIXED_SCALE, SAME_SCALE, Evidence
from tfcompress.accuracy_diff.causes.layer_causes import layer_causes
from tfcompress.accuracy_diff.causes.model_causes import compression_causes, input_causes, output_causes
from tfcompress.accuracy_diff.causes.whole_causes import (
    class_order_cause,
    export_causes,
    mask_causes,
    mixed_range_causes,
    scale_causes,
    weight_causes,
)
from tfcompress.accuracy_diff.layers import LayerDiff
from tfcompress.accuracy_diff.layers.equalized import outputs_db
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.matching import PROOF_SAMPLES, input_names, inputs_for, outputs_as
from tfcompress.accuracy_diff.runners import FloatModelRunner
from tfcompress.data import Samples
from tfcompress.graphs.tflite import read_tflite

__all__ = ["find_causes"]

LOSSLESS_DB = 35.0  # of the worst output: no layer's own error has cost anything
DECIDING_SAMPLES = 32
MANY = 0.5  # share of the layers that clip, from which on the calibration as a whole is to blame
CLIPS = 1e-4  # share of values outside the range: calibration on hundreds of samples leaves less


def find_causes(
    reference: FloatModelRunner,
    candidate: LiteRtRunner,
    layers: Sequence[LayerDiff],
    data: Samples,
    original: Any = None,
) -> tuple[Cause, ...]:
    """What costs the artifact accuracy; empty for a sound one.

    Args:
        reference: the float Keras model.
        candidate: the `.tflite` made from it.
        layers: of `compare_layers`.
        data: the samples that the layers were compared on.
        original: the Keras model before fine-tuning, whose zeros and clusters are to be kept too; None where none was.
    """
    evidence = Evidence.of(layers, read_tflite(candidate.content), reference.model.keras_model)
    first = next(data.take(PROOF_SAMPLES).batches(PROOF_SAMPLES)).inputs
    names = input_names(candidate, first, reference=reference, where=data.name)
    fed = {index: names[info.name] for index, info in zip(candidate.input_indices, candidate.inputs, strict=True)}
    lost = _lost(evidence, original)
    owners = {layer for cause in lost for layer in (cause.layer, *cause.repair_layers)}
    order = tuple(class_order_cause(reference, candidate, data, names))
    others = () if order else tuple(cause for cause in weight_causes(evidence) if cause.layer not in owners)
    made_of = (*export_causes(evidence), *order, *others)
    if made_of:  # it is another function, whatever its ranges
        return made_of
    at_input = list(input_causes(evidence, data, fed)) or list(scale_causes(evidence, reference, data, fed))
    if at_input:  # every layer behind it sees values that its range was not made for
        return tuple(at_input)
    masks = tuple(mask_causes(evidence))
    if masks:  # what attends to the wrong places is wrong behind it
        return masks
    at_output = tuple(mixed_range_causes(evidence, reference, candidate, data, names))
    by_layer = [] if _is_lossless(reference, candidate, data, names) else list(layer_causes(evidence))
    if at_output:  # what is joined there is poor for that reason; the layers before it may have faults of their own
        joined = evidence.before_outputs()
        return (*at_output, *(cause for cause in by_layer if cause.layer not in joined))
    norms = tuple(cause for cause in by_layer if cause.kind == "batch_norm")
    if norms:  # the ranges behind it were calibrated on other values
        return norms
    changed = {cause.layer for cause in lost}  # their weights are not the float model's: no bits would help
    causes = [cause for cause in _one_for_many(evidence, by_layer) if cause.layer not in changed]
    if not causes and not lost:  # equal outputs may come from a fault before them
        causes = list(output_causes(evidence, reference, candidate, data, names))
    return (*causes, *lost)


def _is_lossless(reference: FloatModelRunner, candidate: LiteRtRunner, data: Samples, names: Mapping[str, str]) -> bool:
    """Whether the outputs keep so much that a layer with a large error of its own cannot matter."""
    inputs = next(data.batches(DECIDING_SAMPLES)).inputs
    wanted, given = reference.run(inputs), candidate.run(inputs_for(candidate, inputs, names))
    return outputs_db(wanted, given, outputs_as(wanted, given, who=candidate.name)) > LOSSLESS_DB


def _lost(evidence: Evidence, original: Any) -> list[Cause]:
    """Zeros and clusters that the artifact has lost, of the float model and of the one before fine-tuning."""
    lost = list(compression_causes(evidence))
    if original is not None and original is not evidence.keras_model:
        already = {(cause.kind, cause.layer) for cause in lost}
        before = compression_causes(dataclasses.replace(evidence, keras_model=original))
        lost += [cause for cause in before if (cause.kind, cause.layer) not in already]
    return lost


def _one_for_many(evidence: Evidence, causes: list[Cause]) -> list[Cause]:
    """Clipping in most layers is one cause, not many: the calibration saw too little."""
    narrow = [cause for cause in causes if cause.kind == "range_too_narrow"]
    free = [row for row in evidence.rows if row.integer and row.operator.name not in SAME_SCALE | FIXED_SCALE]
    clipping = [row for row in free if (row.diff.saturation or 0.0) > CLIPS]
    if len(narrow) < 2 or len(clipping) < MANY * len(free):
        return causes
    text = f"{len(clipping)} of {len(free)} layers have values outside their range"
    clipped = {row.layer for row in clipping}
    # The error of a layer whose range is too narrow is no lack of bits.
    others = [c for c in causes if c not in narrow and not (c.kind == "needs_more_bits" and c.layer in clipped)]
    return [Cause("too_few_calibration_samples", None, text), *others]
