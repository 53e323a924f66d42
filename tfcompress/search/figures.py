"""What is measured of one candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

__all__ = ["Figures"]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The quantities of one artifact; None for what is not known of it.

    Attributes:
        accuracy_drop: the float model's score minus the artifact's, absolute; without labels the share of samples on
            which the answers differ.
        accuracy_drop_ci95: its 95 % interval.
        samples: how many it was measured on.
        bytes: of the artifact.
        packed_bytes: of the smallest file that gives it back.
        macs: multiply-accumulates of one inference.
        latency_ms: of one inference on this machine's CPU, one thread, median.
        cycles: of one inference, by the target's compiler; the most over several chips.
        sram_bytes: of on-chip memory, by the target's compiler; the most over several chips.
        ddr_bytes: to and from memory outside of the chip for one inference, by the target's compiler; the most over
            several chips.
        npu: share of operators on the accelerator, the least over several chips.
    """

    accuracy_drop: float | None = None
    accuracy_drop_ci95: tuple[float, float] | None = None
    samples: int = 0
    bytes: int | None = None
    packed_bytes: int | None = None
    macs: int | None = None
    latency_ms: float | None = None
    cycles: float | None = None
    sram_bytes: float | None = None
    ddr_bytes: float | None = None
    npu: float | None = None

    def value(self, quantity: str) -> float | None:
        """The figure of a quantity of a budget."""
        value: float | None = getattr(self, quantity)
        return value

    @property
    def are_numbers(self) -> bool:
        """Whether every figure is a finite number, or unknown."""
        values = [*(self.accuracy_drop_ci95 or ()), *(getattr(self, name) for name in _NUMBERS)]
        return all(value is None or (isinstance(value, int | float) and math.isfinite(value)) for value in values)

    def to_plain(self) -> dict[str, object]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, object]) -> Self:
        """What `to_plain` gave, also after it went through JSON."""
        figures = dict(values)
        interval = figures.get("accuracy_drop_ci95")
        if isinstance(interval, list | tuple):
            low, high = interval
            figures["accuracy_drop_ci95"] = (float(low), float(high))
        return cls(**figures)  # type: ignore[arg-type]


_NUMBERS = tuple(item.name for item in fields(Figures) if item.name != "accuracy_drop_ci95")
