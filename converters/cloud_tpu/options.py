"""The options of the cloud_tpu target: its section of a recipe, and its flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.converters.cloud_tpu.chips import DEFAULT_TOPOLOGIES, check_topologies
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

__all__ = ["CloudTpu"]


@documented()
@dataclass(frozen=True, kw_only=True)
class CloudTpu(Section):
    """Options of the cloud_tpu target."""

    key: ClassVar[str] = "cloud_tpu"
    precision: Literal["bfloat16", "float32", "mixed", "int8", "auto"] = option(
        "bfloat16",
        flag="tpu_precision",
        help="number format to store and compute in; bfloat16 still has float32 inputs and outputs; mixed stores "
        "float32 and computes in bfloat16; int8 multiplies the integers of the phone's file wherever the TPU compiler "
        "needs fewer cycles for that; auto takes the cheaper of int8 and bfloat16",
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
    freeze: bool = option(False, flag="freeze", help="store weights as constants instead of variables")

    def _check(self) -> None:
        sizes = self.batch_sizes
        ok = bool(sizes) and min(sizes) >= 1 and max(sizes) < 2**31 and list(sizes) == sorted(set(sizes))
        self.require(ok, "batch_sizes", "positive sizes below 2**31, ascending, without repeats")
        check_topologies(self.topologies)
