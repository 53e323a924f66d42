"""What the table of latency says as a whole: geometric means, and which rows miss the bars."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

__all__ = ["MOST_OVER_FLOAT", "MOST_OVER_PEER", "latency_summary"]

MOST_OVER_PEER, MOST_OVER_FLOAT = 1.02, 1.0


def latency_summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines about rows of `table_latency`; those without a ratio are not counted for it."""
    lines = []
    for key, what, most in (
        ("over_best_peer", "the best peer's", MOST_OVER_PEER),
        ("over_float", "the float file's", MOST_OVER_FLOAT),
    ):
        ratios = {row["model"]: float(row[key]) for row in rows if row.get(key)}
        if not ratios:
            continue
        above = [f"{model} {ratio:g}" for model, ratio in ratios.items() if ratio > most]
        lines.append(
            f"Of {what} time: geometric mean {_mean(ratios.values()):.3f} over {len(ratios)} models; above {most:g}: "
            f"{', '.join(above) or 'none'}.{_by_instructions(rows, ratios)}"
        )
        lines.append("")
    return lines


def _by_instructions(rows: Sequence[Mapping[str, Any]], ratios: Mapping[str, float]) -> str:
    """The mean of the rows of each kind of CPU, where there are several."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        if row["model"] in ratios:
            groups.setdefault(row.get("instructions") or "not recorded", []).append(ratios[row["model"]])
    means = [f"{kind}: {_mean(group):.3f} over {len(group)}" for kind, group in sorted(groups.items())]
    return f" By the CPU's instructions: {', '.join(means)}." if len(means) > 1 else ""


def _mean(ratios: Collection[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
