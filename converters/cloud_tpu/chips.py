"""The Cloud TPU generations and their fixed limits, as immutable data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfcompress.errors import RecipeError

__all__ = ["CHIPS", "DEFAULT_TOPOLOGIES", "Chip", "check_topologies", "chip_of", "compiler_topology", "devices_of"]


@dataclass(frozen=True)
class Chip:
    """One Cloud TPU generation, by what one program has to itself: a chip, or on v2, v3 and tpu7x one of its two cores.

    Attributes:
        name: in a topology.
        hbm_bytes: memory.
        hbm_bytes_per_second: its bandwidth.
        macs_per_cycle: bfloat16 products that the matrix units add up in one cycle.
        clock_hz: of the core.  Up to v4 it is published.  For later chips it follows from the published peak and
            the matrix units: 197e12 operations a second of v5e are 2 * 4 * 128**2 a cycle at 1.5 GHz.  The
            compiler's own cycles agree: a product of 4096 x 4096 matrices takes 97 % of that peak on v5e, 96 % on
            v5p, 88 % on v6e and 81 % on tpu7x.
        narrow_factor: times as many products a cycle in the fastest dtype narrower than bfloat16 (int8 or fp8).
        compiler_name: the compiler's name for it, where that differs.
        float8: whether float8 is what it multiplies fastest; on others the compiler makes bfloat16 of it.
        cores: devices that the compiler counts on a chip, each with a program of its own.

    Sources: Jouppi et al., "Ten Lessons From Three Generations Shaped Google's TPUv4i", ISCA 2021, table 1 (v2, v3,
    v4i); Jouppi et al., "TPU v4", ISCA 2023, table 4; Google Cloud documentation, "TPU v4", "TPU v5e", "TPU v5p",
    "TPU v6e" and "TPU7x (Ironwood)" (system architecture pages).
    """

    name: str
    hbm_bytes: int
    hbm_bytes_per_second: float
    macs_per_cycle: int
    clock_hz: float
    narrow_factor: int = 1
    compiler_name: str = ""
    cores: int = 1
    float8: bool = False

    @property
    def peak_flops(self) -> float:
        """Operations a second in the fastest dtype."""
        return 2 * self.macs_per_cycle * self.narrow_factor * self.clock_hz

    @property
    def bytes_per_cycle(self) -> float:
        """Bytes that the memory moves in one cycle."""
        return self.hbm_bytes_per_second / self.clock_hz


GIB = 2**30
_SMALL_UNIT, _LARGE_UNIT = 128 * 128, 256 * 256
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v2", 8 * GIB, 350e9, 1 * _SMALL_UNIT, 0.70e9, cores=2),
        Chip("v3", 16 * GIB, 450e9, 2 * _SMALL_UNIT, 0.94e9, cores=2),
        Chip("v4i", 8 * GIB, 614e9, 4 * _SMALL_UNIT, 1.05e9, compiler_name="v4 lite"),
        Chip("v4", 32 * GIB, 1228e9, 8 * _SMALL_UNIT, 1.05e9, cores=2),
        Chip("v5e", 16 * GIB, 819e9, 4 * _SMALL_UNIT, 1.50e9, narrow_factor=2),
        Chip("v5p", 95 * GIB, 2765e9, 8 * _SMALL_UNIT, 1.75e9, narrow_factor=2),
        Chip("v6e", 32 * GIB, 1638e9, 4 * _LARGE_UNIT, 1.75e9, narrow_factor=2),
        Chip("tpu7x", 96 * GIB, 3690e9, 4 * _LARGE_UNIT, 2.20e9, narrow_factor=2, cores=2, float8=True),
    )
}
_BY_COMPILER_NAME = {chip.compiler_name or chip.name: chip for chip in CHIPS.values()}
DEFAULT_TOPOLOGIES = ("v5e:2x2", "v6e:1x1", "v4:2x2x1", "v5p:2x2x1")


def chip_of(topology: str) -> Chip:
    """The chip of a topology, by our name or the compiler's: ``v4i:1x1`` and ``v4 lite:1x1`` are the same.

    Raises:
        KeyError: an unknown chip.
    """
    name = topology.partition(":")[0]
    return CHIPS.get(name) or _BY_COMPILER_NAME[name]


def devices_of(topology: str) -> int:
    """How many devices the compiler counts in a topology."""
    return chip_of(topology).cores * math.prod(int(size) for size in topology.partition(":")[2].split("x"))


def compiler_topology(topology: str) -> str:
    """A topology as the TPU compiler spells it."""
    chip = chip_of(topology)
    return f"{chip.compiler_name or chip.name}:{topology.partition(':')[2]}"


def check_topologies(topologies: Sequence[str]) -> None:
    """Raise where a topology is not written ``chip:XxY`` or ``chip:XxYxZ`` of a known chip.

    Raises:
        RecipeError: see above.
    """
    for topology in topologies:
        chip, _, shape = topology.partition(":")
        sizes = shape.split("x")
        given = chip in CHIPS or chip in _BY_COMPILER_NAME
        if not given or len(sizes) not in (2, 3) or not all(size.isdigit() and int(size) for size in sizes):
            raise RecipeError(
                f"cloud_tpu.topologies: {topology!r} is no topology, expected CHIP:XxY or CHIP:XxYxZ with a chip of "
                f"{', '.join(CHIPS)}, such as v5e:2x2"
            )
