"""Integer quantization: better weights, ranges, the engine that fits, and what `quality=best` searches on top."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from tfcompress.cache import remembered
from tfcompress.calibration import Calibration, ChannelRanges, calibrate, channel_warnings, diagnose, observe
from tfcompress.calibration.readers import clip_to_readers
from tfcompress.converters.litert import converter_engine
from tfcompress.converters.litert.engines import EngineName, Int8Model, quantize_calibrated, with_wider_activations
from tfcompress.converters.litert.float_tflite import float_file
from tfcompress.converters.litert.indices import index_path
from tfcompress.converters.litert.interface import indices_as_integers, with_uint8_edges
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.litert.masks import read_spans, settle_masks
from tfcompress.converters.litert.patterns import tensors_of_layers
from tfcompress.converters.litert.pixels import with_pixel_ranges
from tfcompress.converters.litert.quality import improve_weights, plan_for
from tfcompress.converters.litert.quality_search import closest
from tfcompress.converters.litert.recurrent import state_tensors
from tfcompress.data import Samples
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.errors import DataError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.remarks import remark

__all__ = ["EngineName", "Int8Model", "quantize_int8"]

DIAGNOSED_SAMPLES = 100
INDICES_WARNING = (
    "inputs and outputs stay float32: an input carries indices among its values, which 8 bits would round; give the "
    "indices an integer input of their own"
)


def quantize_int8(
    model: FloatModel,
    samples: Samples | None,
    recipe: Recipe,
    *,
    integer_io: bool = True,
    float_content: bytes | None = None,
    dense_per_channel: bool = True,
    allow_int16: bool = True,
    ranges: Calibration | None = None,
) -> Int8Model:
    """Quantize a model to int8, weights per output channel.

    Args:
        model: what to quantize.
        samples: representative inputs; may be None only for a quantization-aware model, whose ranges are trained.
        recipe: its `post_training` section and `keep_float`, `keep_int16` are used.
        integer_io: integer inputs and outputs, of the type that `post_training.io` says; else float32 ones.
        float_content: start from this float .tflite instead of `to_float_tflite(model)`; its first signature must have
            the model's input and output names.
        dense_per_channel: False gives FULLY_CONNECTED one weight scale in all, which only `tflite_converter` can do.
        allow_int16: 16-bit activations may be used where the recipe asks for them or `quality=best` finds them better.
        ranges: of an earlier run on the same model and samples, used instead of calibrating; None calibrates.

    Raises:
        ConversionError: no allowed engine can quantize the model.
        DataError: there are no samples, or one is bad; or `ranges` were made for something else.
        RecipeError: `keep_float` or `keep_int16` names no layer.
    """
    edges = recipe.post_training.io
    result = _quantized(
        with_fixed_sizes(model, samples),
        samples,
        recipe,
        integer_io=integer_io and edges != "float32",
        float_content=float_content,
        dense_per_channel=dense_per_channel,
        allow_int16=allow_int16,
        ranges=ranges,
    )
    return replace(result, content=with_uint8_edges(result.content)) if integer_io and edges == "uint8" else result


def _quantized(
    model: FloatModel,
    samples: Samples | None,
    recipe: Recipe,
    *,
    integer_io: bool,
    float_content: bytes | None,
    dense_per_channel: bool,
    allow_int16: bool,
    ranges: Calibration | None,
) -> Int8Model:
    """As `quantize_int8`, with int8 in the place of other integers at the edges."""
    if model.quantization_aware:
        content = converter_engine.quantize_trained(model, integer_io=integer_io)
        return Int8Model(content, "tflite_converter", "the model carries trained ranges", None, None)
    if samples is None:
        raise DataError(f"{model.name}: scheme={recipe.post_training.scheme} needs samples; give --calibration=DATA")
    options = recipe.post_training
    allow_int16 = allow_int16 and dense_per_channel  # the engine for the one cannot do the other
    left_out: tuple[str, ...] = ()
    if float_content is None:
        float_made = float_file(model, allow_select_ops=options.allow_select_ops, samples=samples)
        float_content, left_out = float_made.content, tuple(item.note() for item in float_made.dropped)
    file = read_tflite(float_content)
    if integer_io and any(operator.name == "CAST" for operator in file.main.operators):
        float_content = indices_as_integers(float_content)
        file = read_tflite(float_content)
    path = index_path(file.main)
    limits = Limits(
        integer_io=integer_io and path is None,
        keep_float=(*tensors_of_layers(model, file, recipe.keep_float, "keep_float"), *(path or ())),
        keep_int16=tensors_of_layers(model, file, recipe.keep_int16, "keep_int16") if allow_int16 else (),
        int16=options.scheme == "int16x8" and allow_int16,
        dense_per_channel=dense_per_channel,
    )
    settled = settle_masks(float_content, samples)
    float_content = settled.content
    improved, notes = improve_weights(float_content, samples, plan_for(options), dense_per_channel=dense_per_channel)
    calibration = _calibrated(improved, samples, options) if ranges is None else _fresh(ranges, improved, samples)
    seen = with_pixel_ranges(calibration, file, model)
    spans = read_spans(settled, seen, samples)
    calibration = clip_to_readers(file.main, seen, spans)
    result = replace(quantize_calibrated(improved, calibration, options, limits), spans=spans)
    if allow_int16 and result.engine == "litert" and not limits.int16:
        result, limits = _with_wide_states(result, state_tensors(model, file), options, limits)
    if plan_for(options).search:
        result = closest(model, float_content, result, samples, options, limits, ranges is None, allow_int16)
    warnings = _warnings(float_content, seen, samples, look_at_channels=options.quality != "fast")
    if integer_io and path is not None:
        warnings = (INDICES_WARNING, *warnings)
    for line in warnings:
        remark(line, is_note=True)
    return replace(result, notes=(*left_out, *settled.notes, *notes, *result.notes, *warnings))


def _with_wide_states(
    result: Int8Model, states: tuple[str, ...], options: PostTraining, limits: Limits
) -> tuple[Int8Model, Limits]:
    """16 bits for the states of recurrent layers, where the engine can."""
    wide = replace(limits, keep_int16=tuple(dict.fromkeys((*limits.keep_int16, *states))))
    wider = with_wider_activations(result, options, wide) if states else None
    if wider is None:
        return result, limits
    return replace(wider, notes=("16-bit states in the recurrent layers: 8 bits would drift from step to step",)), wide


def _warnings(content: bytes, ranges: Calibration, samples: Samples, *, look_at_channels: bool) -> tuple[str, ...]:
    return remembered(
        tuple[str, ...],
        "warnings of calibration",
        (content, ranges, samples.identity, look_at_channels),
        lambda: _seen_in(content, ranges, samples, look_at_channels),
    )


def _seen_in(content: bytes, ranges: Calibration, samples: Samples, look_at_channels: bool) -> tuple[str, ...]:
    graph = read_tflite(content).main
    warnings = diagnose(ranges, graph)
    if not look_at_channels:
        return warnings
    seen, _ = observe(content, samples.spread(DIAGNOSED_SAMPLES), ChannelRanges)
    return (*warnings, *channel_warnings(seen, graph))


def _calibrated(content: bytes, samples: Samples, options: PostTraining) -> Calibration:
    """The ranges of a float file's tensors; kept, as other schemes want the same ones."""
    how = (options.estimator, options.percentile)
    return remembered(
        Calibration,
        "ranges",
        (content, samples.identity, how),
        lambda: calibrate(content, samples, estimator=how[0], percentile=how[1], hash_data=False),
    )


def _fresh(ranges: Calibration, content: bytes, samples: Samples) -> Calibration:
    """The ranges of an earlier run, refused where they were made for another model or other samples."""
    ranges.check_fresh(model_sha256=hashlib.sha256(content).hexdigest(), data_sha256=samples.sha256)
    if samples.count is not None and samples.count != ranges.samples:
        raise DataError(
            f"calibration: made with {ranges.samples} samples, but {samples.count} are to be used; calibrate again"
        )
    return ranges
