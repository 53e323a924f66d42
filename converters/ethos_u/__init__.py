"""Arm Ethos-U: microcontroller NPUs, proven by Vela, Arm's own compiler.

`compile_for` asks Vela; `convert` is the whole job.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.converters.ethos_u.compiler import Compiled, compile_for, vela_version
    from tfcompress.converters.ethos_u.conversion import convert

__all__ = ["Compiled", "compile_for", "convert", "vela_version"]

_PLACES = {"Compiled": "compiler", "compile_for": "compiler", "convert": "conversion", "vela_version": "compiler"}


def __getattr__(name: str) -> object:
    """Modules are imported when they are asked for: they bring LiteRT or TensorFlow, which ``--help`` does not need."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
