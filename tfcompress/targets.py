"""The deployment targets and their fixed limits, as immutable data."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from tfcompress.errors import RecipeError

__all__ = ["CHIPS", "DEFAULT_TOPOLOGIES", "Chip", "Target", "check_topologies", "parse_targets"]


class Target(enum.StrEnum):
    """Where an artifact is to run."""

    PHONE = "phone"
    EDGETPU = "edgetpu"
    CLOUD_TPU = "cloud_tpu"


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


def parse_targets(names: object) -> tuple[Target, ...]:
    """Targets from ``"phone,edgetpu"`` or a sequence of names, without repeats, in the order given.

    Raises:
        RecipeError: a name is not a target, or none is given.
    """
    parts = names.split(",") if isinstance(names, str) else names
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise RecipeError(f"--targets: got {names!r}, expected names such as phone,edgetpu")
    wanted = [part.strip() for part in parts if part.strip()]
    known = [target.value for target in Target]
    for name in wanted:
        if name not in known:
            raise RecipeError(f"--targets: unknown target {name!r}, expected one or more of {','.join(known)}")
    if not wanted:
        raise RecipeError(f"--targets: no target given, expected one or more of {','.join(known)}")
    return tuple(dict.fromkeys(Target(name) for name in wanted))


def check_topologies(topologies: Sequence[str]) -> None:
    """Raise where a topology is not written ``chip:XxY`` or ``chip:XxYxZ`` of a known chip.

    Raises:
        RecipeError: see above.
    """
    for topology in topologies:
        chip, _, shape = topology.partition(":")
        sizes = shape.split("x")
        if chip not in CHIPS or len(sizes) not in (2, 3) or not all(size.isdigit() and int(size) for size in sizes):
            known = ", ".join(CHIPS)
            raise RecipeError(
                f"cloud_tpu.topologies: {topology!r} is no topology, expected CHIP:XxY or CHIP:XxYxZ with a chip of "
                f"{known}, such as v5e:2x2"
            )
