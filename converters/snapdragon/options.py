"""The options of the snapdragon target: its section of a recipe, and its flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfcompress.converters.snapdragon.chips import DEFAULT_SOCS, check_socs
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["Snapdragon"]


@documented()
@dataclass(frozen=True, kw_only=True)
class Snapdragon(Section):
    """Options of the snapdragon target."""

    key: ClassVar[str] = "snapdragon"
    socs: tuple[str, ...] = option(
        DEFAULT_SOCS, flag="socs", metavar="S,S", help="Snapdragon chips to compile for, by Qualcomm's names"
    )

    def _check(self) -> None:
        check_socs(self.socs)
