"""The report in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tfcompress.report import figures
from tfcompress.report.layer_table import layer_cells
from tfcompress.report.page import STATUS_WORDS
from tfcompress.report.schema import Compared, CompileSection, DiffReport, MappingTotals, Report, TargetSection
from tfcompress.report.target_tables import compile_tables, log_tables, mapping_tables

__all__ = ["render_inspection", "render_terminal"]

STYLES = {"ok": "green", "undecided": "yellow", "gate_failed": "bold red", "failed": "bold red", "skipped": "dim"}
MOST_ROWS = 60


def render_terminal(report: Report | DiffReport) -> RenderableType:
    """The report of a conversion or of a diff, as something that `rich` prints."""
    parts: list[RenderableType] = [_summary(report)]
    parts += [Text(f"warning: {line}", style="yellow") for line in report.warnings]
    if isinstance(report, Report):
        parts += [Text(note, style="dim") for note in report.compression.notes]
    for name, section in report.asked.items():
        parts += _section_lines(_title(name, section), section)
        if len(report.asked) == 1 and section.layers:
            parts.append(_layers(section))
        if isinstance(section, TargetSection) and section.compile:
            parts += compile_tables(section.compile)
    return Group(*parts)


def render_inspection(facts: Mapping[str, Any]) -> RenderableType:
    """The result of `inspect` as something that `rich` prints.

    Args:
        facts: what ``inspect --json`` prints; for a `mapping` or a `compile` section its dataclasses.
    """
    mapping: Any = facts.get("mapping")
    rows: Any = facts.get("compile")
    if isinstance(mapping, MappingTotals):
        return Group(*mapping_tables(mapping))
    if _all_are(mapping, MappingTotals):
        return Group(*(part for entry in mapping for part in mapping_tables(entry)))
    if _all_are(rows, CompileSection):
        return Group(*compile_tables(rows))
    if "models" in facts:
        notes = [Text(str(note), style="yellow") for note in facts.get("notes") or ()]
        names = _told_apart([Path(item["model"]) for item in facts["models"]])
        tables = [
            (Text(name, style="bold"), render_inspection(item))
            for name, item in zip(names, facts["models"], strict=True)
        ]
        return Group(*notes, *[part for table in tables for part in table])
    if "logs" in facts:
        return Group(*log_tables(facts["logs"]))
    return Group(*[part for key, value in facts.items() for part in _any(key, value)])


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as few as tell them apart: every converted file is called model.tflite."""
    longest = max(len(path.parts) for path in paths)
    for count in range(1, longest + 1):
        names = [str(Path(*path.parts[-count:])) for path in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return [str(path) for path in paths]


def _all_are(value: object, kind: type) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, kind) for item in value)


def _title(name: str, section: Compared) -> str:
    return section.title or name if isinstance(section, TargetSection) else name


def _section_lines(title: str, section: Compared) -> list[RenderableType]:
    """The reason, the notes and the causes."""
    parts: list[RenderableType] = []
    if section.reason:
        parts.append(Text(f"{title}: {section.reason}", style=STYLES[section.status]))
    if isinstance(section, TargetSection):
        parts += [Text(f"{title}: {note}", style="dim") for note in section.notes]
        parts += [Text(f"{title}: {row.label}: {row.value}", style="dim") for row in section.rows if row.summary]
    parts += [
        Text(f"{title}: {cause.layer or 'whole model'}: {cause.text}; {cause.repair}", style="yellow")
        for cause in section.causes
        if not cause.repaired
    ]
    return parts


def _summary(report: Report | DiffReport) -> Table:
    reference = report.reference
    name, size = (report.model.name, report.model.float_bytes) if isinstance(report, Report) else ("", reference.bytes)
    counted = f"on {figures.count(reference.samples)} samples, change in percentage points" if reference.samples else ""
    title = " ".join(part for part in (name, counted) if part)
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
    )
    score = next((section.diff.metric for section in report.asked.values() if section.diff.metric), "accuracy")
    for column in ("", "status", "size", score, "change", "95 % interval", "same", "SQNR"):
        table.add_column(column, justify="left" if column in ("", "status") else "right")
    table.add_row("float", "", figures.size(size), _score(reference.metrics, score), *[""] * 4)
    for key, section in report.asked.items():
        table.add_row(*_summary_row(_title(key, section), section, score))
    return table


def _summary_row(title: str, section: Compared, score: str) -> list[RenderableType]:
    diff = section.diff
    return [
        title,
        Text(STATUS_WORDS[section.status], style=STYLES[section.status]),
        figures.size(section.bytes),
        _score(section.metrics, score),
        figures.change(diff.accuracy_drop),
        figures.interval(diff.accuracy_drop_ci95),
        figures.percent(diff.top1_agreement),
        figures.decibel(diff.sqnr_db),
    ]


def _score(metrics: Mapping[str, float | None], score: str) -> str:
    value = metrics.get(score)
    return figures.UNKNOWN if value is None else f"{value:.4f}"


def _layers(section: Compared) -> Table:
    table = Table(title="layers, worst first", title_justify="left")
    for name in ("layer", "total SQNR", "own SQNR", "range used", "saturated"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for row in layer_cells(section)[:20]:
        (cell,) = row.cells
        assert cell is not None  # there is one artifact, and it has this layer
        table.add_row(f"{row.name} ({row.kind})", cell.decibels, cell.own, cell.used, cell.saturated)
    return table


def _any(key: str, value: object) -> list[RenderableType]:
    """A section of any other JSON: a table for rows and for key-value pairs, a line for the rest."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return [_rows(key, value)]
    if isinstance(value, Mapping):
        inner = [part for name, item in value.items() if _is_rows(item) for part in _any(name, item)]
        return [_pairs(key, {name: item for name, item in value.items() if not _is_rows(item)}), *inner]
    return [Text(f"{key}: {figures.value(value)}")]


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _pairs(title: str, pairs: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in pairs.items():
        table.add_row(name, _cell(value))
    return table


def _rows(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    shown = rows[:MOST_ROWS]
    columns = [
        name
        for name in dict.fromkeys(key for row in rows for key in row)
        if any(row.get(name) is not None for row in rows)
    ]
    more = f" (first {MOST_ROWS} of {len(rows)}, --json has all)" if len(rows) > MOST_ROWS else ""
    table = Table(*columns, title=title + more, title_justify="left")
    for row in shown:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    return table


def _cell(value: object) -> Text:
    return Text("" if value is None else f"{value:,}" if type(value) is int else figures.value(value))
