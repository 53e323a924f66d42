"""The options of the edgetpu target: its section of a recipe, and its flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["EdgeTpu"]


@documented()
@dataclass(frozen=True, kw_only=True)
class EdgeTpu(Section):
    """Options of the edgetpu target."""

    key: ClassVar[str] = "edgetpu"
    rewrite: Literal["none", "safe", "all"] = option(
        "safe",
        flag="rewrite",
        help="which graph rewrites run before quantization; safe ones keep the float function, all includes those that "
        "change it",
    )
    float_io: bool = option(False, help="keep float32 inputs and outputs (one CPU operator at each end)")
    compiler: Literal["16", "15", "14", "2", "1"] = option(
        "16", flag="edgetpu_compiler", help="version of edgetpu_compiler that the forecast is for"
    )
    multiple_subgraphs: bool = option(
        False,
        flag="edgetpu_multiple_subgraphs",
        help="forecast for edgetpu_compiler -a, which keeps every subgraph that maps",
    )
    search_delegate: bool = option(
        False,
        flag="edgetpu_search_delegate",
        help="forecast for edgetpu_compiler -d, which ends the Edge TPU part earlier where the whole would not compile",
    )
