"""What the page shows of each target, drawn from the report: words and figures, no HTML."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tfcompress.report import figures
from tfcompress.report.histograms import HistogramPicture, histogram_pictures
from tfcompress.report.schema import (
    ConfigurationMapping,
    Diff,
    Latency,
    LatencyForecast,
    NextStep,
    Report,
    TargetSection,
)

__all__ = ["STATUS_WORDS", "FileLink", "TargetView", "detail_rows", "target_views"]

STATUS_WORDS = {
    "ok": "ok",
    "undecided": "undecided",
    "failed": "failed",
    "gate_failed": "gate failed",
    "skipped": "not asked for",
}


@dataclass(frozen=True)
class FileLink:
    """A file of the output folder: its name, and its address from the page, which lies beside the folders."""

    name: str
    address: str


@dataclass(frozen=True)
class TargetView:
    """One target as the page shows it.

    Attributes:
        key: as in report.json.
        title: for people.
        status_word: the status for people.
        facts: (what, figure) pairs of the summary card.
        files: with their addresses.
        next_steps: what to do with the artifact.
        mapping_picture: address of an image; None without.
        histograms: of the layers to look at.
        section: the target's part of the report.
    """

    key: str
    title: str
    status_word: str
    facts: tuple[tuple[str, str], ...]
    files: tuple[FileLink, ...]
    next_steps: tuple[NextStep, ...]
    mapping_picture: str | None
    histograms: tuple[HistogramPicture, ...]
    section: TargetSection = field(repr=False)


def target_views(report: Report) -> tuple[TargetView, ...]:
    """Every target that was asked for, in the report's order."""
    return tuple(_view(key, section, report.model.float_bytes) for key, section in report.asked.items())


def _view(key: str, section: TargetSection, float_bytes: int | None) -> TargetView:
    return TargetView(
        key=key,
        title=section.title or key,
        status_word=STATUS_WORDS[section.status],
        facts=_facts(section, float_bytes),
        files=tuple(FileLink(name, urllib.parse.quote(name)) for name in section.files),
        next_steps=tuple(_next_steps(section)),
        mapping_picture=_svg_address(section.mapping_svg),
        histograms=histogram_pictures(section.histograms),
        section=section,
    )


def _next_steps(section: TargetSection) -> Iterator[NextStep]:
    """What the figures ask for, then what the target says."""
    if section.status == "gate_failed":
        if any(cause.repaired is None for cause in section.causes):
            yield NextStep(text="Convert again with --suggest: it tries the repairs below and keeps what helps.")
        else:
            yield NextStep(text="Fine-tune with a quantization section in the recipe, or allow a larger drop.")
    if section.status == "undecided":
        needed = None if section.gate is None else section.gate.samples_needed
        count = "more labelled samples" if needed is None else f"about {needed:,} labelled samples"
        yield NextStep(text=f"Give {count} as --evaluation: the gate is not decided with these.")
    use = next((name for name in section.files if name.endswith("/USE.md")), None)
    if use is not None:
        yield NextStep(text=f"Commands and sample code for this artifact are in {use}.")
    if section.converted:
        yield from section.next_steps


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
        said = _forecast(mapping.latency_ms)
        if not isinstance(mapping, ConfigurationMapping):
            rows.append(("latency there, forecast", said))
        elif said != figures.UNKNOWN:
            rows.append((f"latency on {mapping.name}, forecast", said))
    return rows


def _forecast(latency: LatencyForecast | None) -> str:
    if latency is None or latency.estimate is None:
        return figures.UNKNOWN
    said = figures.milliseconds(latency.estimate)
    has_interval = latency.low is not None and latency.high is not None
    return f"{said} ({latency.low:.3g} to {latency.high:.3g})" if has_interval else said


def detail_rows(sections: Sequence[TargetSection]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(what, a figure for each artifact), of everything that is known of one of them."""
    columns = [_details(section) for section in sections]
    labels = dict.fromkeys(label for column in columns for label in column)
    rows = [(label, tuple(column.get(label, "") for column in columns)) for label in labels]
    return tuple(row for row in rows if any(figure not in ("", figures.UNKNOWN) for figure in row[1]))


def _details(section: TargetSection) -> dict[str, str]:
    diff, latency = section.diff, section.latency_ms or Latency()
    return {
        "input dtypes": figures.value(section.input_dtypes),
        "output dtypes": figures.value(section.output_dtypes),
        "fully integer": figures.value(section.fully_integer),
        "float operators": figures.value(section.float_ops),
        "batch sizes": figures.value(section.batch_sizes),
        "download when packed": figures.size(section.packed_bytes),
        "latency on this CPU, median": figures.milliseconds(latency.median),
        "latency on this CPU, 90th percentile": figures.milliseconds(latency.p90),
        "worst column of an output": _worst_column(diff),
        "SQNR that 95 % of the samples reach (dB)": figures.value(diff.quiet_sqnr_db),
        "largest error of an output": figures.value(diff.max_abs_error),
        "cosine to the float outputs": figures.value(diff.cosine),
        "KL divergence (nats)": figures.value(diff.kl_divergence),
        "p value (exact McNemar)": figures.value(diff.p_value),
        "right answers lost": figures.value(diff.lost),
        "right answers gained": figures.value(diff.gained),
        **{row.label: row.value for row in section.rows if not row.summary},
    }


def _worst_column(diff: Diff) -> str:
    if not diff.channels or diff.channels[0].sqnr_db is None:
        return figures.UNKNOWN
    worst = diff.channels[0]
    return f"{figures.decibel(worst.sqnr_db)} (column {worst.channel}, {worst.low:.3g} to {worst.high:.3g})"


def _svg_address(svg: str | None) -> str | None:
    """An SVG as an image address: as an image it can neither run scripts nor fetch anything."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode() if svg else None
