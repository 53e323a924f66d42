"""A budget: limits on quantities of an artifact.  Imports nothing heavy, so that a bad one is refused at once."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Self

from tfcompress.errors import InputError
from tfcompress.search.figures import Figures

__all__ = ["QUANTITIES", "WORST", "Budget", "Limit", "cost_of"]

Relation = Literal["<=", ">="]
QUANTITIES: dict[str, Relation] = {
    "accuracy_drop": "<=",
    "bytes": "<=",
    "packed_bytes": "<=",
    "macs": "<=",
    "latency_ms": "<=",
    "cycles": "<=",
    "sram_bytes": "<=",
    "ddr_bytes": "<=",
    "npu": ">=",
}
"""{quantity: the relation that is better}."""
WORST = 1e12
"""Stands for a quantity that is not known where Optuna has to be given a number."""
_SHARES = ("accuracy_drop", "npu")
_LIMIT = re.compile(r"\s*(?P<name>\w+)\s*(?P<relation><=|>=)\s*(?P<value>[^\s<>=,]+)\s*")


@dataclass(frozen=True)
class Limit:
    """One limit of a budget.

    Attributes:
        quantity: one of `QUANTITIES`.
        value: the limit itself is allowed.
    """

    quantity: str
    value: float

    def __str__(self) -> str:
        return f"{self.quantity}{QUANTITIES[self.quantity]}{self.value:g}"

    def excess(self, figures: Figures) -> float | None:
        """How far beyond the limit an artifact is, as a share of the limit; None within it.

        A drop in accuracy is within the limit only if the upper end of its interval is.  What is not known is beyond.
        """
        interval = figures.accuracy_drop_ci95
        value = figures.value(self.quantity)
        if self.quantity == "accuracy_drop" and interval is not None:
            value = interval[1]
        if value is None:
            return math.inf
        beyond = value - self.value if QUANTITIES[self.quantity] == "<=" else self.value - value
        return beyond / max(abs(self.value), 1e-9) if beyond > 0 else None

    def why_not(self, figures: Figures) -> str | None:
        """One line on how the limit is missed; None where it is met."""
        if self.excess(figures) is None:
            return None
        value = figures.value(self.quantity)
        if value is None:
            return f"{self}: not known of this artifact"
        said = f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
        interval = figures.accuracy_drop_ci95
        if self.quantity == "accuracy_drop" and interval is not None:
            said += f", 95 % interval {interval[0]:.4f} to {interval[1]:.4f} on {figures.samples} samples"
        return f"{self}: is {said}"


@dataclass(frozen=True)
class Budget:
    """All limits.

    Attributes:
        limits: at most one a quantity.
    """

    limits: tuple[Limit, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The budget that ``--budget`` names.

        Args:
            text: a comma list of ``quantity<=value``, with ``>=`` for `npu`.

        Raises:
            InputError: an unknown quantity, the wrong relation, no number, or a limit that nothing can meet.
        """
        parts = [part for part in text.split(",") if part.strip()]
        if not parts:
            raise InputError("--budget: is empty, expected limits such as accuracy_drop<=0.01,bytes<=60000")
        limits = [_limit(part) for part in parts]
        names = [limit.quantity for limit in limits]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"--budget: {twice} is limited twice; give the tighter limit alone")
        return cls(tuple(limits))

    def __str__(self) -> str:
        return ",".join(map(str, self.limits))

    def limit(self, quantity: str) -> float | None:
        """The limit on a quantity; None where there is none."""
        return next((limit.value for limit in self.limits if limit.quantity == quantity), None)

    def why_not(self, figures: Figures) -> tuple[str, ...]:
        """A line for each limit that is missed; none where the budget is met."""
        said = (limit.why_not(figures) for limit in self.limits)
        return tuple(line for line in said if line is not None)

    def excess(self, figures: Figures) -> float:
        """The largest share by which a limit is missed; 0 where the budget is met."""
        return max((limit.excess(figures) or 0.0 for limit in self.limits), default=0.0)

    def require_known(self, measured: Collection[str], minimize: str, target: str) -> None:
        """Refuse a quantity that a target's artifacts do not have.

        Args:
            measured: quantities that the target's artifacts have.
            minimize: the quantity to minimise.
            target: its name.

        Raises:
            InputError: a limit, or what is minimised, is not among them.
        """
        for flag, names in (("--budget", [limit.quantity for limit in self.limits]), ("--minimize", [minimize])):
            for name in names:
                if name not in measured:
                    raise InputError(
                        f"{flag}: {name} is not known of target {target}, which has {', '.join(sorted(measured))}"
                    )


def cost_of(figures: Figures | None, quantity: str, unknown: float = math.inf) -> float:
    """A quantity as a cost, the less the better.

    Args:
        figures: of the artifact; None where there are none.
        quantity: one of `QUANTITIES`.
        unknown: what stands for a quantity that is not known.
    """
    value = None if figures is None else figures.value(quantity)
    if value is None:
        return unknown
    return value if QUANTITIES[quantity] == "<=" else -value


def _limit(part: str) -> Limit:
    match = _LIMIT.fullmatch(part)
    if match is None:
        raise InputError(f"--budget: got {part.strip()!r}, expected a limit such as bytes<=60000")
    name, relation = match["name"], match["relation"]
    if name not in QUANTITIES:
        raise InputError(f"--budget: unknown quantity {name!r}, expected one of {', '.join(QUANTITIES)}")
    if relation != QUANTITIES[name]:
        raise InputError(f"--budget: got {part.strip()!r}, expected {name}{QUANTITIES[name]}{match['value']}")
    try:
        value = float(match["value"])
    except ValueError:
        raise InputError(f"--budget: got {part.strip()!r}, expected a number behind {relation}") from None
    if not math.isfinite(value) or value < 0 or (name not in _SHARES and value == 0):
        raise InputError(f"--budget: {name}{relation}{match['value']} can be met by nothing; give a number above 0")
    if name in _SHARES and value > 1:
        raise InputError(f"--budget: {name}{relation}{match['value']}: is a share, expected a number from 0 to 1")
    return Limit(name, value)
