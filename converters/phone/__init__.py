"""Phone: a .tflite for LiteRT on Android and iOS CPUs.

`convert` is the whole job.  `quantize_int8` is its integer part, for other targets that need the same file with other
limits: give it a float .tflite of your own (`to_float_tflite`, then your rewrites) as `float_content`, and it
calibrates that and quantizes it with the engine that fits.  `advise` says how many bits each layer needs.
"""

from tfcompress.converters.phone.bit_widths import LayerBits, advise
from tfcompress.converters.phone.conversion import convert
from tfcompress.converters.phone.facts import describe
from tfcompress.converters.phone.float_tflite import to_float_tflite, with_fixed_sizes
from tfcompress.converters.phone.int8 import Int8Model, quantize_int8

__all__ = [
    "Int8Model",
    "LayerBits",
    "advise",
    "convert",
    "describe",
    "quantize_int8",
    "to_float_tflite",
    "with_fixed_sizes",
]
