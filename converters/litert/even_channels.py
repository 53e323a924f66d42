"""Whether channels of like ranges bring a quantized file closer to float: tried, and judged by its outputs."""

from __future__ import annotations

import math

from tfcompress.cache import remembered
from tfcompress.calibration import calibrate
from tfcompress.converters.litert.engines import quantize_calibrated
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.litert.quality import QualityPlan, improve_weights, typical_error
from tfcompress.converters.litert.rounding import with_even_channels
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.recipe import PostTraining

__all__ = ["evened"]

STRENGTHS = (0.5, 1.0)
WORTH = 0.95  # of the error: weights become less even, so it has to take more than this away


def evened(
    content: bytes, samples: Samples, judged_on: Samples, options: PostTraining, limits: Limits
) -> tuple[bytes, str | None]:
    """A float .tflite, with channels of its activations brought to like ranges where that helps; and what was done.

    Args:
        content: the float .tflite.
        samples: representative inputs, from which ranges are made.
        judged_on: representative inputs by whose outputs the choice is made.
        options: with which the file will be quantized.
        limits: what it will have to look like.
    """
    return remembered(
        tuple[bytes, str | None],
        "even channels",
        (content, samples.identity, judged_on.identity, options, repr(limits)),
        lambda: _chosen(content, samples, judged_on, options, limits),
    )


def _chosen(
    content: bytes, samples: Samples, judged_on: Samples, options: PostTraining, limits: Limits
) -> tuple[bytes, str | None]:
    variants = {strength: with_even_channels(content, samples, strength) for strength in STRENGTHS}
    if not any(groups for _, groups in variants.values()):
        return content, None
    before = _error(content, content, samples, judged_on, options, limits, is_even=False)
    errors = {
        strength: _error(content, variant, samples, judged_on, options, limits, is_even=True)
        for strength, (variant, _) in variants.items()
    }
    best = min(errors, key=lambda strength: errors[strength])
    if not math.isfinite(errors[best]) or errors[best] > WORTH * before:
        return content, None
    even, groups = variants[best]
    gain = 10 * math.log10(before / max(errors[best], 1e-30)) if math.isfinite(before) else math.inf
    return even, f"channels of {groups} groups of tensors brought to like ranges: {gain:.1f} dB closer to float"


def _error(
    truth: bytes,
    content: bytes,
    samples: Samples,
    judged_on: Samples,
    options: PostTraining,
    limits: Limits,
    *,
    is_even: bool,
) -> float:
    """Of a file quantized with biases corrected; other equalization would undo what was made even."""
    plan = QualityPlan(equalize=False if is_even else None, bias_correction=True, adaptive_rounding=False, search=False)
    try:
        improved, _ = improve_weights(
            content, samples, plan, dense_per_channel=limits.dense_per_channel, except_for=limits.keep_float
        )
        ranges = calibrate(
            improved, samples, estimator=options.estimator, percentile=options.percentile, hash_data=False
        )
        return typical_error(truth, quantize_calibrated(improved, ranges, options, limits).content, judged_on)
    except ConversionError:
        return math.inf
