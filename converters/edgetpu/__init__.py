"""Edge TPU: what maps and why, graphs that map, and the compiler's own word where it is installed.

`forecast` says of any .tflite what the closed compiler will do with it; `convert` makes one that maps.
"""

from typing import TYPE_CHECKING, Any

from tfcompress.converters.edgetpu.compiler_log import CompilerLog, parse_compiler_log
from tfcompress.converters.edgetpu.forecast import forecast
from tfcompress.converters.edgetpu.mapping import Failure, Mapping, OperatorMapping
from tfcompress.converters.edgetpu.picture import mapping_svg
from tfcompress.converters.edgetpu.rules import RULES, Rule, Status

if TYPE_CHECKING:
    from tfcompress.converters.edgetpu.conversion import convert

__all__ = [
    "RULES",
    "CompilerLog",
    "Failure",
    "Mapping",
    "OperatorMapping",
    "Rule",
    "Status",
    "convert",
    "forecast",
    "mapping_svg",
    "parse_compiler_log",
]


def __getattr__(name: str) -> Any:
    """`convert` is imported when it is asked for: it brings TensorFlow, which a forecast does not need."""
    if name == "convert":
        from tfcompress.converters.edgetpu.conversion import convert

        return convert
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
