"""The Ethos-U configurations that artifacts are compiled for, as immutable data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfcompress.errors import RecipeError

__all__ = ["CONFIGS", "DEFAULT_CONFIGS", "EthosUConfig", "check_configs"]


@dataclass(frozen=True)
class EthosUConfig:
    """One accelerator in a system.

    Attributes:
        name: Vela's ``--accelerator-config``; the last number is how many products it computes in a cycle.
        system: Vela's ``--system-config`` of ``Arm/vela.ini``: clock and memories.
        memory: Vela's ``--memory-mode`` of the same file: where tensors and weights lie.
    """

    name: str
    system: str
    memory: str


def _family(prefix: str, sizes: Sequence[int], system: str, memory: str) -> list[EthosUConfig]:
    return [EthosUConfig(f"{prefix}-{size}", system, memory) for size in sizes]


# The systems are those that Vela 5.2 takes by itself, with a warning, where none is named.
CONFIGS = {
    config.name: config
    for config in (
        *_family("ethos-u55", (32, 64, 128, 256), "Ethos_U55_High_End_Embedded", "Shared_Sram"),
        *_family("ethos-u65", (256, 512), "Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
        *_family("ethos-u85", (128, 256, 512, 1024, 2048), "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
    )
}
DEFAULT_CONFIGS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")


def check_configs(names: Sequence[str]) -> None:
    """Check names of configurations.

    Raises:
        RecipeError: none is given, or one is not known.
    """
    unknown = [name for name in names if name not in CONFIGS]
    if unknown or not names:
        given = f"unknown configuration {unknown[0]!r}" if unknown else "no configuration given"
        raise RecipeError(f"--ethos_u_configs: {given}, expected one or more of {','.join(CONFIGS)}")
