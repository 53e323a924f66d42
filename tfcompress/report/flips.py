"""Samples with another answer: each once, with what every artifact said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tfcompress.report import figures
from tfcompress.report.classes import class_name
from tfcompress.report.schema import FlippedSample, Reference, TargetSection

__all__ = ["FlipRow", "flip_rows"]

_PICTURE = "data:image/png;base64,"


@dataclass(frozen=True)
class FlipRow:
    """One sample.

    Attributes:
        index: position in the data.
        label: its true class; empty without labels.
        reference: the float model's answer.
        answers: (target's title, its answer) of the artifacts that say something else.
        picture: address of a PNG; None without.
    """

    index: int
    label: str
    reference: str
    answers: tuple[tuple[str, str], ...]
    picture: str | None


def flip_rows(reference: Reference, targets: Mapping[str, TargetSection]) -> tuple[FlipRow, ...]:
    """The samples of all artifacts, those with a picture first, then those that most artifacts changed."""
    by_index: dict[int, dict[str, FlippedSample]] = {}
    for name, section in targets.items():
        for sample in section.flipped.samples:
            by_index.setdefault(sample.index, {})[section.title or name] = sample
    rows = [_row(reference, index, samples) for index, samples in by_index.items()]
    return tuple(sorted(rows, key=lambda row: (row.picture is None, -len(row.answers))))


def _row(reference: Reference, index: int, samples: Mapping[str, FlippedSample]) -> FlipRow:
    first = next(iter(samples.values()))
    pictures = [s.picture for s in samples.values() if s.picture is not None and s.picture.startswith(_PICTURE)]
    answers = {title: _answer(reference, s.candidate, s.candidate_confidence) for title, s in samples.items()}
    return FlipRow(
        index,
        "" if first.label is None else class_name(reference, first.label),
        _answer(reference, first.reference, first.reference_confidence),
        tuple(answers.items()),
        pictures[0] if pictures else None,
    )


def _answer(reference: Reference, answer: int, sure: float | None) -> str:
    share = f" ({figures.percent(sure, 0)})" if sure is not None and 0 <= sure <= 1 else ""
    absent = "nothing" if reference.task == "detection" else "NaN"
    return (absent if answer < 0 else class_name(reference, answer)) + share
