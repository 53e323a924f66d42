"""The int8 engine that the LiteRT targets share: float file, calibration, engines, rounding and quality.

`quantize_int8` is the whole of it: give it a float .tflite (`to_float_tflite`, then a target's own rewrites) as
`float_content`, and it calibrates that file and quantizes it with the engine that fits.  `advise` says how many bits
each layer needs, and `describe` states the facts of a finished file.
"""

from tfcompress.converters.litert.bit_widths import LayerBits, advise
from tfcompress.converters.litert.facts import describe
from tfcompress.converters.litert.float_tflite import to_float_tflite
from tfcompress.converters.litert.int8 import Int8Model, quantize_int8
from tfcompress.data.fixed_sizes import with_fixed_sizes

__all__ = [
    "Int8Model",
    "LayerBits",
    "advise",
    "describe",
    "quantize_int8",
    "to_float_tflite",
    "with_fixed_sizes",
]
