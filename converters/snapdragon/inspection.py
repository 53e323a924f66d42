"""Where any .tflite would run on Snapdragon chips: by the compiler where it is installed, else by the forecast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfcompress.console import warn
from tfcompress.converters.npu.inspection import admitted_graph
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.snapdragon.chips import SOCS
from tfcompress.converters.snapdragon.compiler import compile_for
from tfcompress.converters.snapdragon.mapping_forecast import forecast
from tfcompress.converters.snapdragon.sdk import UnusableSdkError, sdk_for
from tfcompress.errors import MissingExtraError
from tfcompress.graphs.tflite import read_tflite

__all__ = ["inspect"]


def inspect(path: Path, socs: Sequence[str]) -> list[CompiledMapping]:
    """One mapping a chip.

    Args:
        path: of a .tflite.
        socs: names of chips.

    Raises:
        RecipeError: a chip is not known.
        UnusableSdkError: another vendor's compiler is not there; there is no forecast for its chips.
        ModelError: the file cannot be read, is damaged, or has no operators.
    """
    content = admitted_graph(path)
    file = read_tflite(content)
    mappings = []
    for soc in socs:
        try:
            mappings.append(compile_for(content, soc, sdk_for(soc)).mapping)
        except (MissingExtraError, UnusableSdkError) as error:
            if soc not in SOCS:
                raise
            warn(f"{error}; what follows is a forecast")
            mappings.append(forecast(file, soc))
    return mappings
