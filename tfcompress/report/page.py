"""What the page shows, drawn from report.json: words and lengths of bars, no HTML."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from tfcompress.report import figures
from tfcompress.report.schema import (
    Compared,
    ConfigurationMapping,
    FlippedSample,
    Latency,
    LatencyForecast,
    Layer,
    Report,
    TargetSection,
)

__all__ = ["STATUS_WORDS", "Bar", "Flip", "LayerRow", "TargetView", "layer_rows", "target_views"]

STATUS_WORDS = {
    "ok": "ok",
    "undecided": "undecided",
    "failed": "failed",
    "gate_failed": "gate failed",
    "skipped": "not asked for",
}
FULL_BAR_DB = 60.0  # int8 layers lie between 20 and 50 dB
POOR_DB, FAIR_DB = 15.0, 25.0
MOST_LAYERS = 400


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: `share` of the full width in percent, and how good it is."""

    share: float
    grade: str


@dataclass(frozen=True)
class LayerRow:
    """One layer of the chart."""

    name: str
    kind: str
    total: Bar
    own: Bar | None
    total_db: str
    own_db: str
    used: str
    saturated: str


@dataclass(frozen=True)
class Flip:
    """One sample with two answers."""

    index: int
    label: str
    reference: str
    candidate: str
    picture: str | None


@dataclass(frozen=True)
class TargetView:
    """One target as the page shows it.

    Attributes:
        key: as in report.json.
        title: for people.
        status_word: the status for people.
        facts: (what, figure) pairs of the summary card.
        details: (what, figure) pairs of the target's own part.
        layers: rows of the chart.
        flipped: samples with another answer.
        mapping_picture: address of an image; None without.
        section: the target's part of the report.
    """

    key: str
    title: str
    status_word: str
    facts: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...]
    layers: tuple[LayerRow, ...]
    flipped: tuple[Flip, ...]
    mapping_picture: str | None
    section: TargetSection = field(repr=False)


def target_views(report: Report) -> tuple[TargetView, ...]:
    """Every target of a report, in its order."""
    return tuple(_view(key, section, report.model.float_bytes) for key, section in report.targets.items())


def _view(key: str, section: TargetSection, float_bytes: int | None) -> TargetView:
    return TargetView(
        key=key,
        title=section.title or key,
        status_word=STATUS_WORDS[section.status],
        facts=_facts(section, float_bytes),
        details=_details(section),
        layers=layer_rows(section),
        flipped=tuple(_flip(row) for row in section.flipped.samples),
        mapping_picture=_svg_address(section.mapping_svg),
        section=section,
    )


def _facts(section: TargetSection, float_bytes: int | None) -> tuple[tuple[str, str], ...]:
    diff, size = section.diff, section.bytes
    smaller = f" ({float_bytes / size:.1f}× smaller)" if size and float_bytes and float_bytes > size else ""
    rows = [
        ("size", figures.size(size) + smaller),
        (f"{diff.metric or 'accuracy'} change", f"{figures.change(diff.accuracy_drop)} points"),
        ("95 % interval", figures.interval(diff.accuracy_drop_ci95)),
        ("same answers", figures.percent(diff.top1_agreement)),
        ("SQNR", figures.decibel(diff.sqnr_db)),
        *_speed(section),
        *((row.label, row.value) for row in section.rows if row.summary),
    ]
    return tuple((what, "–" if figure.startswith(figures.UNKNOWN) else figure) for what, figure in rows)


def _speed(section: TargetSection) -> list[tuple[str, str]]:
    """What is known of the speed where the artifact is to run: never the CPU's time for an accelerator's file."""
    if not section.mappings and not section.compile:
        median = None if section.latency_ms is None else section.latency_ms.median
        return [] if median is None else [("latency here, median", figures.milliseconds(median))]
    rows = []
    for mapping in section.mappings:
        where = f" on {mapping.name}" if isinstance(mapping, ConfigurationMapping) else " there"
        rows.append((f"latency{where}, forecast", _forecast(mapping.latency_ms)))
    return rows


def _forecast(latency: LatencyForecast | None) -> str:
    if latency is None or latency.estimate is None:
        return figures.UNKNOWN
    said = figures.milliseconds(latency.estimate)
    known = latency.low is not None and latency.high is not None
    return f"{said} ({latency.low:.3g} to {latency.high:.3g})" if known else said


def _details(section: TargetSection) -> tuple[tuple[str, str], ...]:
    diff, latency = section.diff, section.latency_ms or Latency()
    here = "on this machine's CPU" if section.mapping is not None else "here"
    rows = [
        ("input dtypes", figures.value(section.input_dtypes)),
        ("output dtypes", figures.value(section.output_dtypes)),
        ("fully integer", figures.value(section.fully_integer)),
        ("float operators", figures.value(section.float_ops)),
        ("batch sizes", figures.value(section.batch_sizes)),
        ("packed", figures.size(section.packed_bytes)),
        (f"latency {here}, median", figures.milliseconds(latency.median)),
        (f"latency {here}, 90th percentile", figures.milliseconds(latency.p90)),
        ("largest error of an output", figures.value(diff.max_abs_error)),
        ("cosine to the float outputs", figures.value(diff.cosine)),
        ("KL divergence (nats)", figures.value(diff.kl_divergence)),
        ("p value (exact McNemar)", figures.value(diff.p_value)),
        ("right answers lost", figures.value(diff.lost)),
        ("right answers gained", figures.value(diff.gained)),
        *((row.label, row.value) for row in section.rows if not row.summary),
        ("files", _listed(section.files)),
    ]
    return tuple(row for row in rows if row[1] != figures.UNKNOWN)


def _listed(names: Sequence[str]) -> str:
    """Few names in full, many by their folder and number: the manifest lists all."""
    if len(names) <= 2:
        return ", ".join(names) or figures.UNKNOWN
    return f"{len(names)} in {names[0].split('/', 1)[0]}/"


def _bar(decibels: float | None) -> Bar:
    if decibels is None:
        return Bar(0.0, "unknown")
    grade = "poor" if decibels < POOR_DB else "fair" if decibels < FAIR_DB else "good"
    return Bar(round(100 * min(max(decibels, 0.5) / FULL_BAR_DB, 1.0), 1), grade)


def layer_rows(section: Compared) -> tuple[LayerRow, ...]:
    """The first `MOST_LAYERS` layers of what was compared."""
    return tuple(_layer(row) for row in section.layers[:MOST_LAYERS])


def _layer(row: Layer) -> LayerRow:
    return LayerRow(
        name=row.layer,
        kind=row.type,
        total=_bar(row.sqnr_db),
        own=None if row.own_sqnr_db is None else _bar(row.own_sqnr_db),
        total_db=figures.decibel(row.sqnr_db),
        own_db=figures.decibel(row.own_sqnr_db),
        used=figures.percent(row.range_used, 0),
        saturated=figures.percent(row.saturation, 2),
    )


def _flip(row: FlippedSample) -> Flip:
    picture = row.picture
    return Flip(
        row.index,
        "" if row.label is None else str(row.label),
        _answer(row.reference, row.reference_confidence),
        _answer(row.candidate, row.candidate_confidence),
        picture if picture is not None and picture.startswith("data:image/png;base64,") else None,
    )


def _answer(answer: int, sure: float | None) -> str:
    return f"{answer}" + (f" ({figures.percent(sure, 0)})" if sure is not None and 0 <= sure <= 1 else "")


def _svg_address(svg: str | None) -> str | None:
    """An SVG as an image address: as an image it can neither run scripts nor fetch anything."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode() if svg else None
