"""Phone: a .tflite for LiteRT on Android and iOS CPUs.

`convert` is the whole job.  `quantize_int8` is its integer part, for other targets that need the same file with other
limits: give it a float .tflite of your own (`to_float_tflite`, then your rewrites) as `float_content`, and it
calibrates that and quantizes it with the engine that fits.
"""

from __future__ import annotations

from pathlib import Path

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.phone import schemes
from tfcompress.converters.phone.facts import describe
from tfcompress.converters.phone.float_tflite import to_float_tflite, with_fixed_sizes
from tfcompress.converters.phone.int8 import Int8Model, quantize_int8
from tfcompress.data import Samples
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.targets import Target

__all__ = ["Int8Model", "convert", "describe", "quantize_int8", "to_float_tflite", "with_fixed_sizes"]

FILE_NAME = "model.tflite"
# Schemes that need no calibration: from the float .tflite to the file.
SCHEMES = {"float16": schemes.float16, "dynamic": schemes.dynamic, "int4_weights": schemes.int4_weights}


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for phones.

    Args:
        model: the float (or quantization-aware) model.
        calibration: representative inputs; None is allowed for schemes and models that need none.
        recipe: `post_training`, `keep_float` and `keep_int16` are used.
        output: existing empty folder; gets `model.tflite`.

    Raises:
        ConversionError: the model cannot be converted; the message names the operator and what to do.
        DataError: calibration data is missing or bad.
    """
    content, facts, notes = _converted(model, calibration, recipe)
    path = output / FILE_NAME
    path.write_bytes(content)
    described = {**describe(path), **facts}
    return Artifact(Target.PHONE, output, path, described, (*notes, *_advice(model, described)))


def _converted(
    model: FloatModel, calibration: Samples | None, recipe: Recipe
) -> tuple[bytes, dict[str, object], tuple[str, ...]]:
    """The file, facts that are not in it, and notes."""
    options = recipe.post_training
    if options.scheme not in SCHEMES:
        integer_io = options.scheme != "int8_float_io"
        result = quantize_int8(model, calibration, recipe, integer_io=integer_io)
        facts: dict[str, object] = {"engine": {"name": result.engine, "reason": result.reason}}
        return result.content, facts, (f"engine: {result.engine} ({result.reason})", *result.notes)
    float_content = to_float_tflite(with_fixed_sizes(model, calibration), allow_select_ops=options.allow_select_ops)
    reason = f"scheme {options.scheme} is made by it alone"
    return SCHEMES[options.scheme](float_content), {"engine": {"name": "litert", "reason": reason}}, (reason,)


def _advice(model: FloatModel, facts: dict[str, object]) -> list[str]:
    """What a user should know about the file before shipping it."""
    notes = []
    if facts["select_ops"]:
        notes.append(f"needs TensorFlow's Flex delegate on the phone for {', '.join(_names(facts['select_ops']))}")
    if facts["float_ops"] and facts["input_dtypes"] != ["float32"]:
        notes.append(f"computed in float: {', '.join(_names(facts['float_ops']))}")
    if facts["resizable_batch"] is False:
        notes.append("runs one sample at a time: an operator or a recurrent state has its batch of 1 built in")
    size, float_size = facts["bytes"], model.float_bytes
    if isinstance(size, int) and float_size is not None and size > float_size:
        notes.append(f"larger than the float weights ({size} against {float_size} bytes): the graph outweighs them")
    return notes


def _names(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
