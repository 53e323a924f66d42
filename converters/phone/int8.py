"""Integer quantization with whichever engine can do a model, and the reason for the choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tfcompress.calibration import Calibration, calibrate, diagnose
from tfcompress.calibration.estimators import EstimatorName
from tfcompress.console import warn
from tfcompress.converters.phone import converter_engine, litert_engine
from tfcompress.converters.phone.facts import batch_is_resizable, float_operators, select_operators
from tfcompress.converters.phone.float_tflite import to_float_tflite, with_fixed_sizes
from tfcompress.converters.phone.limits import Limits
from tfcompress.converters.phone.patterns import tensors_of_layers
from tfcompress.converters.phone.quality import improve_weights, output_error, plan_for, tail_tensors
from tfcompress.converters.phone.rewrites import indices_as_integers
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, DataError
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.tflite import pack, read_tflite, unpack

__all__ = ["EngineName", "Int8Model", "quantize_int8"]

EngineName = Literal["litert", "tflite_converter"]
SEARCHED_ESTIMATORS: tuple[EstimatorName, ...] = ("percentile", "mse")


@dataclass(frozen=True)
class Int8Model:
    """An int8 .tflite and how it came to be.

    Attributes:
        content: the file.
        engine: who quantized it.
        reason: why that engine.
        float_content: the float .tflite it was made from, rewrites included; None for a quantization-aware model.
        calibration: the ranges; None for a quantization-aware model.
        notes: what was done to weights and ranges, one line each.
    """

    content: bytes
    engine: EngineName
    reason: str
    float_content: bytes | None
    calibration: Calibration | None
    notes: tuple[str, ...] = ()


def quantize_int8(
    model: FloatModel,
    samples: Samples | None,
    recipe: Recipe,
    *,
    integer_io: bool = True,
    float_content: bytes | None = None,
    dense_per_channel: bool = True,
    allow_int16: bool = True,
) -> Int8Model:
    """Quantize a model to int8, weights per output channel.

    Args:
        model: what to quantize.
        samples: representative inputs; may be None only for a quantization-aware model, whose ranges are trained.
        recipe: its `post_training` section and `keep_float`, `keep_int16` are used.
        integer_io: int8 inputs and outputs; else float32 ones.
        float_content: start from this float .tflite instead of `to_float_tflite(model)`; its first signature must have
            the model's input and output names.
        dense_per_channel: False gives FULLY_CONNECTED one weight scale in all, which only `tflite_converter` can do.
        allow_int16: 16-bit activations may be used where the recipe asks for them or `quality=best` finds them better.

    Raises:
        ConversionError: no allowed engine can quantize the model.
        DataError: there are no samples, or one is bad.
        RecipeError: `keep_float` or `keep_int16` names no layer.
    """
    model = with_fixed_sizes(model, samples)
    if model.quantization_aware:
        content = converter_engine.quantize_trained(model, integer_io=integer_io)
        return Int8Model(content, "tflite_converter", "the model carries trained ranges", None, None)
    if samples is None:
        raise DataError(f"{model.name}: scheme={recipe.post_training.scheme} needs samples; give --calibration=DATA")
    options = recipe.post_training
    allow_int16 = allow_int16 and dense_per_channel  # the engine for the one cannot do the other
    if float_content is None:
        float_content = to_float_tflite(model, allow_select_ops=options.allow_select_ops)
    if integer_io:
        float_content = _with_integer_indices(float_content)
    file = read_tflite(float_content)
    limits = Limits(
        integer_io=integer_io,
        keep_float=tensors_of_layers(model, file, recipe.keep_float, "keep_float"),
        keep_int16=tensors_of_layers(model, file, recipe.keep_int16, "keep_int16") if allow_int16 else (),
        int16=options.scheme == "int16x8" and allow_int16,
        dense_per_channel=dense_per_channel,
    )
    improved, notes = improve_weights(float_content, samples, plan_for(options), dense_per_channel=dense_per_channel)
    result = _quantize(improved, samples, options, limits)
    if plan_for(options).search:
        result = _search(float_content, result, samples, options, limits, allow_int16)
    warnings = diagnose(result.calibration, file.main) if result.calibration is not None else ()
    for line in warnings:
        warn(line)
    return replace(result, notes=(*notes, *result.notes, *warnings))


def _with_integer_indices(content: bytes) -> bytes:
    tree = unpack(content)
    indices_as_integers(tree)
    return pack(tree)


def _quantize(content: bytes, samples: Samples, options: PostTraining, limits: Limits) -> Int8Model:
    calibration = calibrate(
        content, samples, estimator=options.estimator, percentile=options.percentile, hash_data=False
    )
    return _with_an_engine(content, calibration, options, limits)


def _search(
    float_content: bytes, first: Int8Model, samples: Samples, options: PostTraining, limits: Limits, allow_int16: bool
) -> Int8Model:
    """The candidate whose outputs are closest to the float model's on the calibration data."""
    content = first.float_content or float_content
    names = [name for name in SEARCHED_ESTIMATORS if name != options.estimator]
    candidates = [first, *(_quantize(content, samples, replace(options, estimator=name), limits) for name in names)]
    best = min(candidates, key=lambda one: output_error(float_content, one.content, samples))
    notes = [f"estimator {best.calibration.estimator}: the closest of {len(candidates)}"] if best.calibration else []
    tail = tail_tensors(read_tflite(content)) if allow_int16 and best.engine == "litert" and not limits.int16 else ()
    wider = _with_wide_tail(best, tail, options, limits)
    if wider is not None and output_error(float_content, wider.content, samples) < output_error(
        float_content, best.content, samples
    ):
        best = wider
        notes.append(f"16-bit activations in the {len(tail)} operators behind the last convolution")
    return replace(best, notes=tuple(notes))


def _with_wide_tail(best: Int8Model, tail: tuple[str, ...], options: PostTraining, limits: Limits) -> Int8Model | None:
    if not tail or best.calibration is None or best.float_content is None:
        return None
    wide = replace(limits, keep_int16=tuple(dict.fromkeys((*limits.keep_int16, *tail))))
    try:
        result = _with_an_engine(best.float_content, best.calibration, replace(options, engine="litert"), wide)
    except ConversionError:
        return None
    worse = len(float_operators(read_tflite(result.content))) > len(float_operators(read_tflite(best.content)))
    return None if worse else replace(result, reason=best.reason)


def _with_an_engine(content: bytes, calibration: Calibration, options: PostTraining, limits: Limits) -> Int8Model:
    engine, reason, result = _choose(content, calibration, options.engine, limits)
    return Int8Model(result, engine, reason, content, calibration)


def _choose(content: bytes, calibration: Calibration, forced: str, limits: Limits) -> tuple[EngineName, str, bytes]:
    if not limits.dense_per_channel:
        reason = "one weight scale for each Dense layer"
        return "tflite_converter", reason, converter_engine.quantize(content, calibration, limits)
    if forced == "litert":
        return "litert", "asked for", litert_engine.quantize(content, calibration, limits)
    if forced == "tflite_converter":
        return "tflite_converter", "asked for", converter_engine.quantize(content, calibration, limits)
    try:
        first = litert_engine.quantize(content, calibration, limits)
    except ConversionError as error:
        return "tflite_converter", str(error), converter_engine.quantize(content, calibration, limits)
    left = _float_beyond(first, limits)
    if batch_is_resizable(first) is None and not _needs_flex(first):
        reason = "LiteRT cannot run what litert-quantizer makes of this model"
        return "tflite_converter", reason, converter_engine.quantize(content, calibration, limits)
    if not left:
        return "litert", "it quantizes every operator", first
    names = ", ".join(left)
    try:
        second = converter_engine.quantize(content, calibration, limits)
    except ConversionError as error:
        return "litert", f"it leaves {names} in float, but {error}", first
    if len(_float_beyond(second, limits)) < len(left):
        return "tflite_converter", f"litert-quantizer leaves {names} in float", second
    return "litert", f"both engines leave {names} in float", first


def _needs_flex(content: bytes) -> bool:
    """Whether a file needs the Flex delegate, without which it cannot be run here."""
    return bool(select_operators(read_tflite(content)))


def _float_beyond(content: bytes, limits: Limits) -> tuple[str, ...]:
    """Float operators that nobody asked for."""
    return float_operators(read_tflite(content), except_for=limits.keep_float)
