"""What an artifact will cost where it runs: one type for every target, read alike by reports and search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Certainty", "Cost", "Forecast"]

# compiled: the vendor's own compiler says so; documented: the vendor's documents do; observed: seen in compiled files
# or logs; inferred: follows from one of these.
Certainty = Literal["compiled", "documented", "observed", "inferred"]


@dataclass(frozen=True)
class Cost:
    """One quantity of a forecast.

    Attributes:
        quantity: what is counted: `latency_ms`, `cycles`, `npu` (share of operators on the accelerator), or the name of
            a number of bytes, such as `hbm_bytes`.
        value: the estimate; None where it is not known.
        certainty: how sure it is.
        source: who says so: a compiler and its version, a document, or the rule that it follows from.
        where: the topology, chip or configuration that it holds for; empty where there is only one.
        low: least plausible value; None where only `value` is known.
        high: largest plausible value; None where only `value` is known.
    """

    quantity: str
    value: float | None
    certainty: Certainty
    source: str
    where: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What is known of an artifact's way through a target's compiler.

    Attributes:
        section: the key of report.json that `content` has: `mapping` or `compile`.
        content: JSON values.
        costs: drawn from the content.
    """

    section: Literal["mapping", "compile"]
    content: object
    costs: tuple[Cost, ...] = ()

    def to_json(self) -> Mapping[str, object]:
        """What ``inspect --target=NAME --json`` prints."""
        return {self.section: self.content}
