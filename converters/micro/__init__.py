"""Microcontrollers: the int8 file for TensorFlow Lite Micro (TFLM), as C source, proven by TFLM's own interpreter.

`operators` says what TFLM has and how each is registered; `worker` runs a file in it, in a process of its own; `proof`
says what came of that; `conversion` is the whole job, and `sources` and `usage` write what goes into a firmware.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.converters.micro.conversion import convert
    from tfcompress.converters.micro.proof import Proof, micro_version, prove

__all__ = ["Proof", "convert", "micro_version", "prove"]

_PLACES = {"Proof": "proof", "convert": "conversion", "micro_version": "proof", "prove": "proof"}


def __getattr__(name: str) -> object:
    """Modules are imported when they are asked for: they bring LiteRT or TensorFlow, which ``--help`` does not need."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
