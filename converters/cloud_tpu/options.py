"""The options of the cloud_tpu target: its section of a recipe, and its flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.converters.cloud_tpu.chips import CHIPS, DEFAULT_TOPOLOGIES, check_topologies, chip_of
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["CloudTpu"]


@documented()
@dataclass(frozen=True, kw_only=True)
class CloudTpu(Section):
    """Options of the cloud_tpu target."""

    key: ClassVar[str] = "cloud_tpu"
    precision: Literal["bfloat16", "float32", "mixed", "int8", "fp8", "auto"] = option(
        "bfloat16",
        flag="tpu_precision",
        help="number format to store and compute in; bfloat16 still has float32 inputs and outputs; mixed stores "
        "float32 and computes in bfloat16; int8 multiplies the integers of the phone's file wherever the TPU compiler "
        "needs fewer cycles for that; fp8 multiplies 8-bit floats, which tpu7x alone computes faster; auto takes the "
        "cheaper of bfloat16 and the chip's 8-bit dtype, where that keeps enough of the results",
    )
    batch_sizes: tuple[int, ...] = option(
        (1, 8, 32, 128),
        flag="batch_sizes",
        metavar="N,N",
        help="batch sizes in ascending order, with one signature each",
    )
    topologies: tuple[str, ...] = option(
        DEFAULT_TOPOLOGIES, flag="topologies", metavar="T,T", help="what to compile for, as chip:XxY"
    )
    keep_float32: tuple[str, ...] = option(
        (), flag="keep_float32", metavar="P,P", help="layers that are computed in float32, as name patterns"
    )
    sharding: Literal["none", "data", "tensor"] = option(
        "none",
        flag="sharding",
        help="also compile one program for all chips of each topology: data gives every chip a part of the batch, "
        "tensor a part of the weights; where one does not fit the memory of a chip, the other is tried",
    )
    freeze: bool = option(False, flag="freeze", help="store weights as constants instead of variables")

    def _check(self) -> None:
        sizes = self.batch_sizes
        ok = bool(sizes) and min(sizes) >= 1 and max(sizes) < 2**31 and list(sizes) == sorted(set(sizes))
        self.require(ok, "batch_sizes", "positive sizes below 2**31, ascending, without repeats")
        check_topologies(self.topologies)
        fast = [name for name, chip in CHIPS.items() if chip.float8]
        self.require(
            self.precision != "fp8" or any(chip_of(topology).float8 for topology in self.topologies),
            "topologies",
            f"beside precision=fp8 {' or '.join(fast)}, such as {fast[0]}:2x2x1: no other chip multiplies float8 "
            "faster than bfloat16",
        )
        self.require(
            self.sharding == "none" or not self.freeze,
            "sharding",
            "none beside freeze: a chip gets a part of the weights, which have to be variables",
        )
