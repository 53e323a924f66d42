"""The last per cent: integers of a quantized .tflite learnt end to end towards the float model's outputs.

Scales, zero points, weights and biases that were chosen layer by layer are moved together, by gradients through the
rounding of the integer kernels, until the file's outputs come as close to the float model's as 8 bits allow.  It takes
unlabelled samples alone; the file keeps its operators, and the integers their meaning.
"""

from tfcompress.converters.litert.learnt.learning import learnt

__all__ = ["learnt"]
