"""The report in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tfcompress.report import figures
from tfcompress.report.page import TargetView, target_views
from tfcompress.report.target_tables import compile_tables, log_tables, mapping_tables

__all__ = ["render_terminal"]

STYLES = {"ok": "green", "gate_failed": "bold red", "failed": "bold red", "skipped": "dim"}
MOST_ROWS = 60


def render_terminal(report: Mapping[str, Any]) -> RenderableType:
    """A report, or the result of `diff` or `inspect`, as something that `rich` prints.

    Args:
        report: the content of report.json, of ``diff --json`` or of ``inspect --json``.
    """
    if "targets" in report:
        return Group(*_report_parts(report))
    if "candidate" in report:
        candidate = {**report["candidate"]}
        return Group(*_report_parts({"reference": report.get("reference"), "targets": {"candidate": candidate}}))
    if "mapping" in report:
        return Group(*mapping_tables(report["mapping"]))
    if "models" in report:
        notes = [Text(str(note), style="yellow") for note in report.get("notes") or ()]
        tables = [[Text(str(one["model"]), style="bold"), *mapping_tables(one["mapping"])] for one in report["models"]]
        return Group(*notes, *[part for table in tables for part in table])
    if "logs" in report:
        return Group(*log_tables(report["logs"]))
    if "compile" in report:
        return Group(*compile_tables(report["compile"]))
    return Group(*[part for key, value in report.items() for part in _any(key, value)])


def _report_parts(report: Mapping[str, Any]) -> list[RenderableType]:
    views = target_views(report)
    parts: list[RenderableType] = [_summary(report, views)]
    parts += [Text(f"warning: {line}", style="yellow") for line in report.get("warnings") or ()]
    parts += [Text(note, style="dim") for note in (report.get("compression") or {}).get("notes") or ()]
    for view in views:
        if view.reason and view.status != "skipped":
            parts.append(
                Text(
                    f"{view.title}: {view.reason}",
                    style=STYLES.get(view.status, "") if view.status != "ok" else "yellow",
                )
            )
        parts += [Text(f"{view.title}: {note}", style="dim") for note in view.section.get("notes") or ()]
        parts += [
            Text(f"{view.title}: {cause['layer'] or 'whole model'}: {cause['text']}; {cause['repair']}", style="yellow")
            for cause in view.section.get("causes") or ()
        ]
        if len(views) == 1 and view.layers:
            parts.append(_layers(view))
        if view.section.get("compile"):
            parts += compile_tables(view.section["compile"])
    return parts


def _summary(report: Mapping[str, Any], views: Sequence[TargetView]) -> Table:
    model, reference = report.get("model") or {}, report.get("reference") or {}
    title = " ".join(
        part
        for part in (
            str(model.get("name") or ""),
            f"on {figures.count(reference.get('samples'))} samples, drop in percentage points"
            if reference.get("samples")
            else "",
        )
        if part
    )
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
    )
    found = [str((view.section.get("diff") or {}).get("metric") or "") for view in views]
    score = next(filter(None, found), "accuracy")
    for name in ("", "status", "size", score, "drop", "95 % interval", "same", "SQNR"):
        table.add_column(name, justify="left" if name in ("", "status") else "right")
    metrics = reference.get("metrics") or {}
    table.add_row("float", "", figures.size(model.get("float_bytes")), _score(metrics, score), *[""] * 4)
    for view in views:
        table.add_row(*_summary_row(view, score))
    return table


def _summary_row(view: TargetView, score: str) -> list[RenderableType]:
    diff = view.section.get("diff") or {}
    return [
        view.title,
        Text(view.status_word, style=STYLES.get(view.status, "")),
        figures.size(view.section.get("bytes")),
        _score(view.section.get("metrics") or {}, score),
        figures.points(diff.get("accuracy_drop")),
        figures.interval(diff.get("accuracy_drop_ci95")),
        figures.percent(diff.get("top1_agreement")),
        figures.decibel(diff.get("sqnr_db")),
    ]


def _score(metrics: Mapping[str, Any], score: str) -> str:
    found = metrics.get(score)
    return figures.UNKNOWN if found is None else f"{found:.4f}"


def _layers(view: TargetView) -> Table:
    table = Table(title="layers, worst first", title_justify="left")
    for name in ("layer", "total SQNR", "own SQNR", "range used", "saturated"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    ranked = sorted(view.layers, key=lambda row: row.total.share)
    for row in ranked[:20]:
        table.add_row(f"{row.name} ({row.kind})", row.total_db, row.own_db, row.used, row.saturated)
    return table


def _any(key: str, value: Any) -> list[RenderableType]:
    """A section of any other JSON: a table for rows and for key-value pairs, a line for the rest."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return [_rows(key, value)]
    if isinstance(value, Mapping):
        inner = [part for name, item in value.items() if _is_rows(item) for part in _any(name, item)]
        return [_pairs(key, {name: item for name, item in value.items() if not _is_rows(item)}), *inner]
    return [Text(f"{key}: {figures.value(value)}")]


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _pairs(title: str, pairs: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in pairs.items():
        table.add_row(name, _cell(value))
    return table


def _rows(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
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


def _cell(value: Any) -> Text:
    return Text("" if value is None else f"{value:,}" if type(value) is int else figures.value(value))
