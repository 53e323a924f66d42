"""The Cloud TPU generations and their fixed limits, as immutable data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfcompress.errors import RecipeError

__all__ = ["CHIPS", "DEFAULT_TOPOLOGIES", "Chip", "check_topologies"]


@dataclass(frozen=True)
class Chip:
    """One Cloud TPU generation: `hbm_bytes` per chip.

    Source: Google Cloud documentation, "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e" (system architecture pages).
    """

    name: str
    hbm_bytes: int


GIB = 2**30
CHIPS = {
    chip.name: chip
    for chip in (Chip("v4", 32 * GIB), Chip("v5e", 16 * GIB), Chip("v5p", 95 * GIB), Chip("v6e", 32 * GIB))
}
DEFAULT_TOPOLOGIES = ("v5e:2x2", "v6e:1x1", "v4:2x2x1", "v5p:2x2x1")


def check_topologies(topologies: Sequence[str]) -> None:
    """Raise where a topology is not written ``chip:XxY`` or ``chip:XxYxZ`` of a known chip.

    Raises:
        RecipeError: see above.
    """
    for topology in topologies:
        chip, _, shape = topology.partition(":")
        sizes = shape.split("x")
        if chip not in CHIPS or len(sizes) not in (2, 3) or not all(size.isdigit() and int(size) for size in sizes):
            names = ", ".join(CHIPS)
            raise RecipeError(
                f"cloud_tpu.topologies: {topology!r} is no topology, expected CHIP:XxY or CHIP:XxYxZ with a chip of "
                f"{names}, such as v5e:2x2"
            )
