"""What the TPU compiler's figures mean for the model: where the time goes, and what to change about it."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.compile_row import refusals
from tfcompress.report import figures
from tfcompress.report.schema import CompileSection

__all__ = ["compile_notes"]

MOST_KINDS = 2


def compile_notes(rows: Sequence[CompileSection]) -> list[str]:
    """Why programs do not compile; a line per topology on where its time goes and the advice, for the largest batch.

    Advice that not all topologies share begins with the name of its own, as its figures differ from one to another.

    Args:
        rows: the `compile` section of a target.
    """
    largest = max((row.batch_size or 0 for row in rows), default=0)
    shown = [row for row in rows if (row.batch_size or 0) == largest]
    spent = [_shares(row) for row in shown if row.time_share]
    advice = [_advice(line, row, shown) for row in shown for line in row.advice]
    return list(dict.fromkeys([*refusals(rows), *spent, *advice]))


def _advice(line: str, row: CompileSection, shown: Sequence[CompileSection]) -> str:
    return line if all(line in other.advice for other in shown) else f"{row.topology}: {line}"


def _shares(row: CompileSection) -> str:
    """The kinds of operators that take most of the time, the largest first."""
    shares = list((row.time_share or {}).items())[:MOST_KINDS]
    kinds = ", ".join(f"{kind} {figures.percent(share, 0)}" for kind, share in shares)
    return f"{row.topology} at batch {row.batch_size}: time goes to {kinds}"
