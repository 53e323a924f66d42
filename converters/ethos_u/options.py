"""The options of the ethos_u target: its section of a recipe, and its flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfcompress.converters.ethos_u.configurations import DEFAULT_CONFIGS, check_configs
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["EthosU"]


@documented()
@dataclass(frozen=True, kw_only=True)
class EthosU(Section):
    """Options of the ethos_u target."""

    key: ClassVar[str] = "ethos_u"
    configs: tuple[str, ...] = option(
        DEFAULT_CONFIGS,
        flag="ethos_u_configs",
        metavar="C,C",
        help="accelerator configurations to compile for, by Vela's names",
    )

    def _check(self) -> None:
        check_configs(self.configs)
