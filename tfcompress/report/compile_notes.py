"""What the TPU compiler's figures mean for the model: where the time goes, and what to change about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfcompress.report import figures

__all__ = ["compile_notes"]

MOST_KINDS = 2


def compile_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a topology on where its time goes, then the advice, for the largest batch.

    Args:
        rows: the `compile` section of report.json.
    """
    largest = max((row.get("batch_size") or 0 for row in rows), default=0)
    shown = [row for row in rows if row.get("batch_size") == largest]
    spent = [_shares(row) for row in shown if row.get("time_share")]
    advice = [str(line) for row in shown for line in row.get("advice") or ()]
    return list(dict.fromkeys([*spent, *advice]))


def _shares(row: Mapping[str, Any]) -> str:
    """The kinds of operators that take most of the time, the largest first."""
    shares = list(row["time_share"].items())[:MOST_KINDS]
    kinds = ", ".join(f"{kind} {figures.percent(share, 0)}" for kind, share in shares)
    return f"{row.get('topology')} at batch {row.get('batch_size')}: time goes to {kinds}"
