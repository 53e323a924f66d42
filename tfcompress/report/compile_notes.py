"""What the TPU compiler's figures mean for the model: where the time goes, and what to change about it."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.compile_row import refusals
from tfcompress.report import figures
from tfcompress.report.schema import CompileSection

__all__ = ["compile_notes"]

MOST_KINDS = 2


def compile_notes(rows: Sequence[CompileSection]) -> list[str]:
    """Why programs do not compile; a line per topology on where its time goes, on what its devices tell each other
    and the advice, for the largest batch.

    Advice that not all topologies share begins with the name of its own, as its figures differ from one to another.

    Args:
        rows: the `compile` section of a target.
    """
    largest = max((row.batch_size or 0 for row in rows), default=0)
    shown = [row for row in rows if (row.batch_size or 0) == largest]
    spent = [_shares(row) for row in shown if row.time_share]
    advice = [_advice(line, row, shown) for row in shown for line in row.advice]
    exchanged = [line for row in shown if (line := _exchanged(row)) is not None]
    return list(dict.fromkeys([*refusals(rows), *spent, *exchanged, *advice]))


def _exchanged(row: CompileSection) -> str | None:
    """What the devices of a program tell each other in a call; None for a program of one."""
    counts = (row.figures or {}).get("collectives")
    if not row.sharding or not isinstance(counts, dict):
        return None
    if not counts:
        return f"{row.place}: the devices tell each other nothing"
    kinds = ", ".join(f"{item['count']} {kind} of {figures.size(item['bytes'])}" for kind, item in counts.items())
    return f"{row.place}: each device exchanges {kinds} in a call, whose time the estimate leaves out"


def _advice(line: str, row: CompileSection, shown: Sequence[CompileSection]) -> str:
    return line if all(line in other.advice for other in shown) else f"{row.place}: {line}"


def _shares(row: CompileSection) -> str:
    """The kinds of operators that take most of the time, the largest first."""
    shares = list((row.time_share or {}).items())[:MOST_KINDS]
    kinds = ", ".join(f"{kind} {figures.percent(share, 0)}" for kind, share in shares)
    return f"{row.place} at batch {row.batch_size}: time goes to {kinds}"
