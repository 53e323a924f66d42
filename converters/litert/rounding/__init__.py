"""Better integers for the weights of a float .tflite, without training.

Each part takes a graph that can be edited and rewrites float weights and biases in place such that the plain quantizer,
which rounds to nearest with scale = max|w| / 127 per output channel, arrives at the chosen integers.  So both engines
can be used unchanged, and a float runtime sees nearly the same function.
"""

from tfcompress.converters.litert.rounding.channel_scales import with_even_channels
from tfcompress.converters.litert.rounding.equalization import equalize
from tfcompress.converters.litert.rounding.layers import WeightedLayer, weighted_layers
from tfcompress.converters.litert.rounding.weights import adapt_rounding, correct_biases, rounding_work

__all__ = [
    "WeightedLayer",
    "adapt_rounding",
    "correct_biases",
    "equalize",
    "rounding_work",
    "weighted_layers",
    "with_even_channels",
]
