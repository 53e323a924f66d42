"""Phone: a .tflite for LiteRT on Android and iOS CPUs.

`convert` is the whole job.  `quantize_int8` is its integer part, for other targets that need the same file with other
limits: give it a float .tflite of your own (`to_float_tflite`, then your rewrites) as `float_content`, and it
calibrates that and quantizes it with the engine that fits.
"""

from __future__ import annotations

from pathlib import Path

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.phone.facts import describe
from tfcompress.converters.phone.float_tflite import to_float_tflite
from tfcompress.converters.phone.int8 import Int8Model, quantize_int8
from tfcompress.data import Samples
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.targets import Target

__all__ = ["Int8Model", "convert", "describe", "quantize_int8", "to_float_tflite"]

FILE_NAME = "model.tflite"


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
    integer_io = recipe.post_training.scheme != "int8_float_io"
    result = quantize_int8(model, calibration, recipe, integer_io=integer_io)
    path = output / FILE_NAME
    path.write_bytes(result.content)
    facts = {**describe(path), "engine": {"name": result.engine, "reason": result.reason}}
    return Artifact(Target.PHONE, output, path, facts, (f"engine: {result.engine} ({result.reason})", *result.notes))
