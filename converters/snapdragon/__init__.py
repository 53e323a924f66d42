"""Snapdragon: phone NPUs, proven by Qualcomm's own compiler and run in its HTP emulator.

`forecast` says what will map without the compiler; `compile_for` asks the compiler; `convert` is the whole job.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.converters.snapdragon.compiler import Compiled, compile_for
    from tfcompress.converters.snapdragon.conversion import convert
    from tfcompress.converters.snapdragon.mapping_forecast import forecast
    from tfcompress.converters.snapdragon.sdk import VendorSdk, find_sdk

__all__ = ["Compiled", "VendorSdk", "compile_for", "convert", "find_sdk", "forecast"]

_PLACES = {
    "Compiled": "compiler",
    "VendorSdk": "sdk",
    "compile_for": "compiler",
    "convert": "conversion",
    "find_sdk": "sdk",
    "forecast": "mapping_forecast",
}


def __getattr__(name: str) -> object:
    """Modules are imported when they are asked for: they bring LiteRT or TensorFlow, which ``--help`` does not need."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
