"""What happened to each class: its accuracy before and after, and which answers took the place of which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfcompress.report import figures
from tfcompress.report.schema import Reference, Report, TargetSection

__all__ = ["ClassChange", "ClassRow", "Confusion", "class_name", "class_rows", "confusions"]

LARGEST_TABLE = 20  # classes up to which the whole confusion table is shown
MOST_PAIRS = 8
_PER_CLASS = re.compile(r"^accuracy\[(.*)\]$")


@dataclass(frozen=True)
class ClassChange:
    """What an artifact made of a class: the change in points, and a bar of `share` percent of the half width."""

    text: str
    share: float
    grade: str


@dataclass(frozen=True)
class ClassRow:
    """One class: its accuracy in float, and the change in each artifact (None where it is not known)."""

    name: str
    accuracy: str
    changes: tuple[ClassChange | None, ...]


@dataclass(frozen=True)
class Confusion:
    """Whose answers one artifact changed.

    Attributes:
        key: of the target.
        title: of the target.
        pairs: (class, answer, how often in float, how often here), the largest changes first.
        names: of the classes.
        rows: a class each: (count, share of the class in percent, right answer) of each answer; empty for many classes.
    """

    key: str
    title: str
    pairs: tuple[tuple[str, str, int, int], ...]
    names: tuple[str, ...]
    rows: tuple[tuple[tuple[int, int, bool], ...], ...]


def class_name(reference: Reference, index: int) -> str:
    """What a class is called: its name where it has one, else its number."""
    names = reference.class_names or ()
    return names[index] if 0 <= index < len(names) else str(index)


def class_rows(report: Report, targets: Sequence[TargetSection]) -> tuple[ClassRow, ...]:
    """The classes, those that lost most first."""
    rows = []
    for metric, accuracy in report.reference.metrics.items():
        match = _PER_CLASS.match(metric)
        if match is not None and accuracy is not None:
            after = [section.metrics.get(metric) for section in targets]
            rows.append((match[1], accuracy, [None if value is None else value - accuracy for value in after]))
    largest = max((abs(change) for _, _, changes in rows for change in changes if change is not None), default=0.0)
    rows.sort(key=lambda row: min((change for change in row[2] if change is not None), default=0.0))
    return tuple(
        ClassRow(name, figures.percent(accuracy, 1), tuple(_change(change, largest) for change in changes))
        for name, accuracy, changes in rows
    )


def _change(change: float | None, largest: float) -> ClassChange | None:
    if change is None:
        return None
    share = round(100 * abs(change) / largest, 1) if largest else 0.0
    return ClassChange(figures.points(change, 1), share, "loss" if change < 0 else "gain")


def confusions(report: Report, targets: Sequence[tuple[str, TargetSection]]) -> Iterator[Confusion]:
    """The confusion of each artifact whose answers were counted."""
    before = report.reference.confusion
    for key, section in targets:
        after = section.confusion
        if before is None or after is None or len(before) != len(after):
            continue
        names = tuple(class_name(report.reference, index) for index in range(len(after)))
        cells = [(truth, answer) for truth in range(len(after)) for answer in range(len(after)) if truth != answer]
        gains = {(truth, answer): before[truth][answer] - after[truth][answer] for truth, answer in cells}
        moved = sorted((cell for cell in cells if gains[cell]), key=gains.__getitem__)
        pairs = tuple((names[t], names[a], before[t][a], after[t][a]) for t, a in moved[:MOST_PAIRS])
        rows = tuple(_shares(row, truth) for truth, row in enumerate(after)) if len(after) <= LARGEST_TABLE else ()
        yield Confusion(key, section.title or key, pairs, names, rows)


def _shares(row: Sequence[int], truth: int) -> tuple[tuple[int, int, bool], ...]:
    samples = sum(row) or 1
    return tuple((count, round(100 * count / samples), answer == truth) for answer, count in enumerate(row))
