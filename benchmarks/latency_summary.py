"""What the table of latency says as a whole: geometric means, and which rows miss the bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        above = [f"{model} {ratio:g}" for model, ratio in ratios.items() if ratio > most]
        lines.append(
            f"Of {what} time: geometric mean {mean:.3f} over {len(ratios)} models; above {most:g}: "
            f"{', '.join(above) or 'none'}."
        )
        lines.append("")
    return lines
