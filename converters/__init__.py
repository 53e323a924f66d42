"""Converters: one package per target, each a function from a float model to an artifact folder; `target` lists them."""

if __name__ != "tfcompress.converters":
    raise ImportError("import tfcompress.converters, not converters: a second name makes a second set of classes")

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.forecast import Cost, Forecast
from tfcompress.converters.target import DEFAULT_TARGETS, TARGETS, Target, parse_targets

__all__ = ["DEFAULT_TARGETS", "TARGETS", "Artifact", "Cost", "Forecast", "Target", "parse_targets"]
