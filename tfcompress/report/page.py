"""What the page shows, drawn from report.json: words and lengths of bars, no HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfcompress.converters.target import TARGETS, title_of
from tfcompress.report import figures

__all__ = ["Bar", "Flipped", "LayerRow", "TargetView", "target_views"]

STATUS_WORDS = {"ok": "ok", "failed": "failed", "gate_failed": "gate failed", "skipped": "skipped"}
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
    causes: tuple[str, ...]


@dataclass(frozen=True)
class Flipped:
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
        status: as in report.json; `status_word` is the same for people.
        facts: (what, figure) pairs of the summary card.
        details: (what, figure) pairs of the target's own part.
        section: the target's part of report.json.
    """

    key: str
    title: str
    status: str
    status_word: str
    reason: str
    verdict: str
    facts: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...]
    layers: tuple[LayerRow, ...]
    flipped_total: int
    flipped: tuple[Flipped, ...]
    mapping_picture: str | None
    section: Mapping[str, Any] = field(repr=False)


def target_views(report: Mapping[str, Any]) -> tuple[TargetView, ...]:
    """Every target of a report, in its order."""
    float_bytes = (report.get("model") or {}).get("float_bytes")
    return tuple(_view(key, section, float_bytes) for key, section in (report.get("targets") or {}).items())


def _view(key: str, section: Mapping[str, Any], float_bytes: float | None) -> TargetView:
    status = str(section.get("status", "ok"))
    flipped = section.get("flipped") or {}
    return TargetView(
        key=key,
        title=title_of(key),
        status=status,
        status_word=STATUS_WORDS.get(status, status),
        reason=str(section.get("reason") or ""),
        verdict=str((section.get("gate") or {}).get("verdict") or ""),
        facts=_facts(key, section, float_bytes),
        details=_details(section),
        layers=tuple(_layer(row) for row in (section.get("layers") or [])[:MOST_LAYERS]),
        flipped_total=int(flipped.get("total") or 0),
        flipped=tuple(_flipped(row) for row in flipped.get("samples") or []),
        mapping_picture=_svg_address(section.get("mapping_svg")),
        section=section,
    )


def _facts(name: str, section: Mapping[str, Any], float_bytes: float | None) -> tuple[tuple[str, str], ...]:
    diff = section.get("diff") or {}
    size = section.get("bytes")
    smaller = f" ({float_bytes / size:.1f}× smaller)" if size and float_bytes and float_bytes > size else ""
    latency = (section.get("latency_ms") or {}).get("median")
    score = str(diff.get("metric") or "accuracy")
    rows = [
        ("size", figures.size(size) + smaller),
        (f"{score} drop", f"{figures.points(diff.get('accuracy_drop'))} points"),
        ("95 % interval", figures.interval(diff.get("accuracy_drop_ci95"))),
        ("same answers", figures.percent(diff.get("top1_agreement"))),
        ("SQNR", figures.decibel(diff.get("sqnr_db"))),
    ]
    if latency is not None:
        rows.append(("latency here, median", figures.milliseconds(latency)))
    if name in TARGETS:
        rows += [(row.label, figures.with_unit(row.value, row.unit)) for row in TARGETS[name].report_rows(section)]
    return tuple((what, "–" if figure.startswith(figures.UNKNOWN) else figure) for what, figure in rows)


def _details(section: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    diff = section.get("diff") or {}
    latency = section.get("latency_ms") or {}
    rows = [
        ("input dtypes", figures.value(section.get("input_dtypes"))),
        ("output dtypes", figures.value(section.get("output_dtypes"))),
        ("fully integer", figures.value(section.get("fully_integer"))),
        ("float operators", figures.value(section.get("float_ops"))),
        ("batch sizes", figures.value(section.get("batch_sizes"))),
        ("latency here, 90th percentile", figures.milliseconds(latency.get("p90"))),
        ("largest error of an output", figures.value(diff.get("max_abs_error"))),
        ("cosine to the float outputs", figures.value(diff.get("cosine"))),
        ("KL divergence (nats)", figures.value(diff.get("kl_divergence"))),
        ("p value (exact McNemar)", figures.value(diff.get("p_value"))),
        ("right answers lost", figures.value(diff.get("lost"))),
        ("right answers gained", figures.value(diff.get("gained"))),
        ("files", _listed(section.get("files") or [])),
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


def _layer(row: Mapping[str, Any]) -> LayerRow:
    own = row.get("own_sqnr_db")
    return LayerRow(
        name=str(row.get("layer", "")),
        kind=str(row.get("type", "")),
        total=_bar(row.get("sqnr_db")),
        own=None if own is None else _bar(own),
        total_db=figures.decibel(row.get("sqnr_db")),
        own_db=figures.decibel(own),
        used=figures.percent(row.get("range_used"), 0),
        saturated=figures.percent(row.get("saturation"), 2),
        causes=tuple(str(cause) for cause in row.get("causes") or ()),
    )


def _flipped(row: Mapping[str, Any]) -> Flipped:
    def answer(side: str) -> str:
        sure = row.get(f"{side}_confidence")
        return f"{row.get(side)}" + (f" ({figures.percent(sure, 0)})" if sure is not None and 0 <= sure <= 1 else "")

    label = row.get("label")
    picture = row.get("picture")
    return Flipped(
        int(row.get("index", 0)),
        "" if label is None else str(label),
        answer("reference"),
        answer("candidate"),
        picture if isinstance(picture, str) and picture.startswith("data:image/png;base64,") else None,
    )


def _svg_address(svg: object) -> str | None:
    """An SVG as an image address: as an image it can neither run scripts nor fetch anything."""
    if not isinstance(svg, str) or not svg:
        return None
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
