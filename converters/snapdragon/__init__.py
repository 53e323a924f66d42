"""Snapdragon: phone NPUs, proven by Qualcomm's own compiler and run in its HTP emulator.

`forecast` says what will map without the compiler; `compile_for` asks the compiler; `convert` is the whole job.
"""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.snapdragon.compiler import Compiled, compile_for
    from tfcompress.converters.snapdragon.conversion import convert
    from tfcompress.converters.snapdragon.mapping_forecast import forecast
    from tfcompress.converters.snapdragon.sdk import VendorSdk, find_sdk

__all__ = ["Compiled", "VendorSdk", "compile_for", "convert", "find_sdk", "forecast"]

__getattr__ = lazy_names(
    __name__,
    {
        "compiler": ["Compiled", "compile_for"],
        "conversion": ["convert"],
        "mapping_forecast": ["forecast"],
        "sdk": ["VendorSdk", "find_sdk"],
    },
)
