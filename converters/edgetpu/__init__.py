"""Edge TPU: what maps and why, graphs that map, and the compiler's own word where it is installed.

`forecast` says of any .tflite what the closed compiler will do with it; `convert` makes one that maps.  A name is
imported when it is asked for: describing the target needs none of them.
"""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.edgetpu.compiler_log import CompilerLog, parse_compiler_log
    from tfcompress.converters.edgetpu.conversion import convert
    from tfcompress.converters.edgetpu.mapping import Failure, Mapping, OperatorMapping
    from tfcompress.converters.edgetpu.mapping_forecast import CompilerOptions, forecast, forecast_together
    from tfcompress.converters.edgetpu.picture import mapping_svg
    from tfcompress.converters.edgetpu.rules import RULES, Rule, Status

__all__ = [
    "RULES",
    "CompilerLog",
    "CompilerOptions",
    "Failure",
    "Mapping",
    "OperatorMapping",
    "Rule",
    "Status",
    "convert",
    "forecast",
    "forecast_together",
    "mapping_svg",
    "parse_compiler_log",
]

__getattr__ = lazy_names(
    __name__,
    {
        "compiler_log": ["CompilerLog", "parse_compiler_log"],
        "conversion": ["convert"],
        "mapping_forecast": ["CompilerOptions", "forecast", "forecast_together"],
        "mapping": ["Failure", "Mapping", "OperatorMapping"],
        "picture": ["mapping_svg"],
        "rules": ["RULES", "Rule", "Status"],
    },
)
