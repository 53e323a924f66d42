"""The two engines behind one interface: which one quantizes a model, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tfcompress.calibration import Calibration
from tfcompress.calibration.readers import Span
from tfcompress.converters.litert import converter_engine, litert_engine
from tfcompress.converters.litert.bit_widths import LayerBits
from tfcompress.converters.litert.comparisons import with_comparable_scales
from tfcompress.converters.litert.divisions import with_guarded_divisors
from tfcompress.converters.litert.facts import batch_is_resizable, float_operators, select_operators
from tfcompress.converters.litert.fine_softmax import with_fine_softmax
from tfcompress.converters.litert.float_head import with_head, without_head
from tfcompress.converters.litert.float_tail import with_tails, without_tails
from tfcompress.converters.litert.headroom import with_headroom
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.litert.narrow_outputs import with_narrow_outputs
from tfcompress.converters.litert.one_hot import with_one_hot_values
from tfcompress.converters.litert.reachable_sums import with_reachable_sums
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.recipe import PostTraining

__all__ = ["EngineName", "Int8Model", "quantize_calibrated", "with_wider_activations"]

EngineName = Literal["litert", "tflite_converter"]


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
        spans: {tensor name: what its readers tell apart}, to which ranges were cut.
        bit_widths: what 4, 8 and 16 bits keep of each layer; empty where `quality` did not look.
        limits: what the file was to look like.
    """

    content: bytes
    engine: EngineName
    reason: str
    float_content: bytes | None
    calibration: Calibration | None
    notes: tuple[str, ...] = ()
    spans: Mapping[str, Span] = field(default_factory=dict)
    bit_widths: tuple[LayerBits, ...] = ()
    limits: Limits = field(default_factory=Limits)


def quantize_calibrated(content: bytes, calibration: Calibration, options: PostTraining, limits: Limits) -> Int8Model:
    """A float .tflite quantized by the engine that fits.

    Args:
        content: the float .tflite.
        calibration: ranges of its tensors.
        options: its `engine` may force one.
        limits: what the result has to look like.

    Raises:
        ConversionError: no allowed engine can quantize it.
    """
    ends = without_tails(content, limits.tails) if limits.tails else content
    core = ends if limits.head is None else without_head(ends, limits.head)
    graph = read_tflite(content).main
    wide = calibration.ranges if limits.int16 else limits.keep_int16
    ranges = with_reachable_sums(graph, with_headroom(graph, calibration, limits), wide=wide)
    engine, reason, result = _choose(core, ranges, options.engine, limits)
    result = with_comparable_scales(with_one_hot_values(result))
    result = with_guarded_divisors(with_narrow_outputs(result, calibration), calibration)
    result = with_fine_softmax(result, ranges) if limits.fine_softmax else result
    result = result if limits.head is None else with_head(result, ends, limits.head)
    result = with_tails(result, content, limits.tails) if limits.tails else result
    return Int8Model(result, engine, reason, content, calibration, limits=limits)


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


def with_wider_activations(best: Int8Model, options: PostTraining, limits: Limits) -> Int8Model | None:
    """`best` made again with the 16-bit activations of `limits`; None where that fails or brings float operators."""
    if best.calibration is None or best.float_content is None:
        return None
    try:
        result = quantize_calibrated(best.float_content, best.calibration, replace(options, engine="litert"), limits)
    except ConversionError:
        return None
    worse = len(float_operators(read_tflite(result.content))) > len(float_operators(read_tflite(best.content)))
    return None if worse else replace(result, reason=best.reason, spans=best.spans)
