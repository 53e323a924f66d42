"""Edge TPU: what maps and why, graphs that map, and the compiler's own word where it is installed.

`forecast` says of any .tflite what the closed compiler will do with it; `convert` makes one that maps.
"""

from tfcompress.converters.edgetpu.compiler_log import CompilerLog, parse_compiler_log
from tfcompress.converters.edgetpu.convert import convert
from tfcompress.converters.edgetpu.forecast import forecast
from tfcompress.converters.edgetpu.mapping import Failure, Mapping, OperatorMapping
from tfcompress.converters.edgetpu.rules import RULES, Rule, Status

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
    "parse_compiler_log",
]
