"""Converters: one package a target, each a function from a float model to an artifact folder."""

if __name__ != "tfcompress.converters":
    raise ImportError("import tfcompress.converters, not converters: a second name makes a second set of classes")

import importlib

from tfcompress.converters.artifact import Artifact, Converter
from tfcompress.targets import Target

__all__ = ["Artifact", "Converter", "converter_for"]


def converter_for(target: Target) -> Converter:
    """The target's converter; its package is imported only now, as each brings heavy libraries."""
    convert: Converter = importlib.import_module(f"tfcompress.converters.{target.value}").convert
    return convert
