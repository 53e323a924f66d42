"""A conversion as a notebook shows it: the summary as a small table of HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from tfcompress.report import figures
from tfcompress.report.page import STATUS_WORDS
from tfcompress.report.schema import Report, TargetSection
from tfcompress.report.tradeoff import device_latency

__all__ = ["render_notebook"]

_COLOURS = {"ok": "#1d7f4e", "undecided": "#a86400", "gate_failed": "#b3261e", "failed": "#b3261e"}
_HEADINGS = ("", "status", "size", "score", "change in points", "95 % interval", "same answers", "time of a sample")


def render_notebook(report: Report, output: Path) -> str:
    """An HTML fragment; colours are legible on light and dark backgrounds.

    Args:
        report: of the conversion.
        output: its folder.
    """
    heads = "".join(f"<th style='text-align:left'>{escape(head)}</th>" for head in _HEADINGS)
    rows = [_row("float", "", _float_cells(report))]
    rows += [_row(section.title or name, section.status, _cells(section)) for name, section in report.asked.items()]
    reasons = "".join(_reasons(report))
    counted = f" on {figures.count(report.reference.samples)} samples" if report.reference.samples else ""
    page = f"<p>Report: <code>{escape(str(output / 'report.html'))}</code></p>"
    return (
        f"<div><strong>{escape(report.model.name)}</strong>{counted}"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>{reasons}{page}</div>"
    )


def _row(title: str, status: str, cells: tuple[str, ...]) -> str:
    word = f"<strong style='color:{_COLOURS[status]}'>{STATUS_WORDS[status]}</strong>" if status else ""
    columns = "".join(f"<td style='text-align:right'>{escape(cell)}</td>" for cell in cells)
    return f"<tr><th style='text-align:left'>{escape(title)}</th><td>{word}</td>{columns}</tr>"


def _float_cells(report: Report) -> tuple[str, ...]:
    metric = next((s.diff.metric for s in report.asked.values() if s.diff.metric), "accuracy")
    return figures.size(report.model.float_bytes), figures.value(report.reference.metrics.get(metric)), "", "", "", ""


def _cells(section: TargetSection) -> tuple[str, ...]:
    diff = section.diff
    return (
        figures.size(section.bytes),
        figures.value(section.metrics.get(diff.metric or "accuracy")),
        figures.change(diff.accuracy_drop),
        figures.interval(diff.accuracy_drop_ci95),
        figures.percent(diff.top1_agreement),
        figures.milliseconds(device_latency(section)),
    )


def _reasons(report: Report) -> Iterator[str]:
    for name, section in report.asked.items():
        if section.reason:
            yield f"<p><small>{escape(section.title or name)}: {escape(section.reason)}</small></p>"
