"""Edge TPU: what maps and why, graphs that map, and the compiler's own word where it is installed."""

from tfcompress.converters.edgetpu.forecast import forecast
from tfcompress.converters.edgetpu.mapping import Failure, Mapping, OperatorMapping
from tfcompress.converters.edgetpu.rules import RULES, Rule, Status

__all__ = ["RULES", "Failure", "Mapping", "OperatorMapping", "Rule", "Status", "forecast"]
