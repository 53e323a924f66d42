"""The phone's int8 model as a TPU program: the same integers, in products that the TPU's matrix unit takes.

    int8 .tflite ──forms──> TensorFlow graph of one batch size, with int8 tensors between the operators

Ranges, weights and rounding are those of the phone's file, and so are the ranges that quantization-aware training left.
"""

from tfcompress.converters.cloud_tpu.int8.program import Program, program_of

__all__ = ["Program", "program_of"]
