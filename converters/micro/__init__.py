"""Microcontrollers: the int8 file for TensorFlow Lite Micro (TFLM), as C source, proven by TFLM's own interpreter.

`operators` says what TFLM has and how each is registered; `worker` runs a file in it, in a process of its own; `proof`
says what came of that; `conversion` is the whole job, and `sources` and `usage` write what goes into a firmware.
"""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.micro.conversion import convert
    from tfcompress.converters.micro.proof import Proof, micro_version, prove

__all__ = ["Proof", "convert", "micro_version", "prove"]

__getattr__ = lazy_names(__name__, {"conversion": ["convert"], "proof": ["Proof", "micro_version", "prove"]})
