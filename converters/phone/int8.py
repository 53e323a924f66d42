"""Integer quantization with whichever engine can do a model, and the reason for the choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfcompress.calibration import Calibration, calibrate
from tfcompress.converters.phone import converter_engine, litert_engine
from tfcompress.converters.phone.facts import float_operators
from tfcompress.converters.phone.float_tflite import to_float_tflite
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, DataError
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.tflite import read_tflite

__all__ = ["Int8Model", "quantize_int8"]

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
    """

    content: bytes
    engine: EngineName
    reason: str
    float_content: bytes | None
    calibration: Calibration | None


def quantize_int8(
    model: FloatModel,
    samples: Samples | None,
    recipe: Recipe,
    *,
    integer_io: bool = True,
    float_content: bytes | None = None,
    dense_per_channel: bool = True,
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

    Raises:
        ConversionError: no allowed engine can quantize the model.
        DataError: there are no samples, or one is bad.
    """
    if model.quantization_aware:
        content = converter_engine.quantize_trained(model, integer_io=integer_io)
        return Int8Model(content, "tflite_converter", "the model carries trained ranges", None, None)
    if samples is None:
        raise DataError(f"{model.name}: int8 needs calibration data; give --calibration=DATA")
    if float_content is None:
        float_content = to_float_tflite(model, allow_select_ops=recipe.post_training.allow_select_ops)
    calibration = calibrate(float_content, samples, hash_data=False)
    if not dense_per_channel:
        content = converter_engine.quantize(
            float_content, calibration, integer_io=integer_io, dense_per_channel=dense_per_channel
        )
        reason = "it can give a Dense layer one weight scale, as old runtimes need"
        return Int8Model(content, "tflite_converter", reason, float_content, calibration)
    content, engine, reason = _with_an_engine(float_content, calibration, recipe, integer_io)
    return Int8Model(content, engine, reason, float_content, calibration)


def _with_an_engine(
    content: bytes, calibration: Calibration, recipe: Recipe, integer_io: bool
) -> tuple[bytes, EngineName, str]:
    forced = recipe.post_training.engine
    if forced == "litert":
        return litert_engine.quantize(content, calibration, integer_io=integer_io), "litert", "asked for"
    if forced == "tflite_converter":
        return _converter(content, calibration, integer_io), "tflite_converter", "asked for"
    try:
        first = litert_engine.quantize(content, calibration, integer_io=integer_io)
    except ConversionError as error:
        return _converter(content, calibration, integer_io), "tflite_converter", str(error)
    left = float_operators(read_tflite(first))
    if not left:
        return first, "litert", "it quantizes every operator"
    names = ", ".join(left)
    try:
        second = _converter(content, calibration, integer_io)
    except ConversionError as error:
        return first, "litert", f"it leaves {names} in float, but {error}"
    if len(float_operators(read_tflite(second))) < len(left):
        return second, "tflite_converter", f"litert-quantizer leaves {names} in float"
    return first, "litert", f"both engines leave {names} in float"


def _converter(content: bytes, calibration: Calibration, integer_io: bool) -> bytes:
    return converter_engine.quantize(content, calibration, integer_io=integer_io)
