"""What other tools make of a model: int8 files of TFLiteConverter and litert-quantizer."""

from __future__ import annotations

from collections.abc import Callable

from litert_quantizer import quantizer
from litert_quantizer import recipe as litert_recipe

from tfcompress.converters.litert.float_tflite import new_converter
from tfcompress.data import Samples
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["by_converter", "by_litert"]


def by_converter(model: FloatModel, samples: Samples) -> bytes | str:
    """TFLiteConverter's int8 file, or in a few words why there is none."""

    def make() -> bytes:
        converter = new_converter(model, allow_select_ops=False)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (list(batch.inputs.values()) for batch in samples.batches(1))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())

    return _tried(make)


def by_litert(content: bytes, samples: Samples) -> bytes | str:
    """litert-quantizer's int8 file of a float .tflite, or in a few words why there is none."""

    def make() -> bytes:
        engine = quantizer.Quantizer(bytearray(content), litert_recipe.static_wi8_ai8())
        data = [dict(batch.inputs) for batch in samples.batches(1)]
        ranges = engine.calibrate({"serving_default": data})
        return bytes(engine.quantize(ranges).quantized_model or b"")

    return _tried(make)


def _tried(make: Callable[[], bytes]) -> bytes | str:
    """A peer's file, or in a few words why there is none."""
    try:
        with silenced():
            return bytes(make())
    except Exception as error:  # whatever the peers raise
        return f"{type(error).__name__} {' '.join(str(error).split())[:80]}"
