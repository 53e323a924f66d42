"""The report for other tools: JUnit XML and Markdown for CI, TensorBoard, Model Explorer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tfcompress.report import figures
from tfcompress.report.page import target_views

__all__ = ["junit_xml", "markdown_summary", "node_data", "write_tensorboard"]


def junit_xml(report: Mapping[str, Any]) -> str:
    """One test case a target, in the form that CI systems read (the JUnit schema of Jenkins' xUnit plug-in).

    Args:
        report: the content of report.json.

    Returns:
        An XML document; a failed gate is a `failure`, a failed conversion an `error`.
    """
    views = target_views(report)
    suite = ElementTree.Element("testsuite", name="tfcompress", tests=str(len(views)))
    kinds = {"gate_failed": "failure", "failed": "error", "skipped": "skipped"}
    for kind in ("failure", "error", "skipped"):
        suite.set({"failure": "failures", "error": "errors"}.get(kind, kind), "0")
    model = str((report.get("model") or {}).get("name") or "model")
    for view in views:
        case = ElementTree.SubElement(suite, "testcase", classname=f"tfcompress.{model}", name=view.key)
        kind = kinds.get(view.status)
        if kind is not None:
            ElementTree.SubElement(case, kind, message=view.reason)
            counter = {"failure": "failures", "error": "errors"}.get(kind, kind)
            suite.set(counter, str(int(suite.get(counter, "0")) + 1))
        lines = [f"{what}: {figure}" for what, figure in view.facts]
        ElementTree.SubElement(case, "system-out").text = "\n".join(lines)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def markdown_summary(report: Mapping[str, Any]) -> str:
    """The summary as GitHub-flavoured Markdown, for a job summary or a pull request's comment."""
    model, reference = report.get("model") or {}, report.get("reference") or {}
    lines = [f"### {_cell(str(model.get('name') or 'model'))}: tfcompress", ""]
    lines += ["| target | status | size | drop in points (95 %) | same answers | SQNR |", "|---|---|--:|--:|--:|--:|"]
    for view in target_views(report):
        diff = view.section.get("diff") or {}
        bounds = diff.get("accuracy_drop_ci95")
        drop = figures.points(diff.get("accuracy_drop")) + (f" ({figures.interval(bounds)})" if bounds else "")
        cells = [view.title, view.status_word, figures.size(view.section.get("bytes")), drop]
        cells += [figures.percent(diff.get("top1_agreement")), figures.decibel(diff.get("sqnr_db"))]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    if reference.get("samples"):
        lines += ["", f"Compared on {figures.count(reference['samples'])} samples."]
    for view in target_views(report):
        if view.reason and view.status != "skipped":
            lines += ["", f"**{view.title}**: {_cell(view.reason)}"]
        causes = view.section.get("causes") or ()
        lines += [
            f"- {_cell(str(c['layer'] or 'whole model'))}: {_cell(c['text'])}; {_cell(c['repair'])}" for c in causes
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown table or become HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def node_data(section: Mapping[str, Any], name: str = "tfcompress") -> dict[str, Any]:
    """Per-layer figures of a target for Model Explorer, to be laid over the `.tflite`'s graph.

    Model Explorer, "Custom node data": {graph: {"results": {node or output tensor: {"value"}}, "thresholds"}}.

    Args:
        section: the target's part of report.json.
        name: of the graph in Model Explorer.
    """
    tables = {}
    for key in ("sqnr_db", "own_sqnr_db", "saturation"):
        rows = [row for row in section.get("layers") or () if row.get(key) is not None]
        if rows:
            results = {str(row.get("tensor_name") or row["layer"]): {"value": row[key]} for row in rows}
            tables[key] = {"results": results, "gradient": _gradient(key)}
    return {f"{name} {key}": {name: table} for key, table in tables.items()}


def _gradient(key: str) -> list[dict[str, Any]]:
    colours = ["#b3261e", "#e3a440", "#1d7f4e"]
    ordered = colours if key.endswith("sqnr_db") else colours[::-1]
    return [{"stop": stop, "bgColor": colour} for stop, colour in zip((0, 0.5, 1), ordered, strict=True)]


def write_tensorboard(report: Mapping[str, Any], folder: str | Path) -> None:
    """Scalars of every target as TensorBoard summaries: the metrics, the diff, and each layer's SQNR by its position.

    Args:
        report: the content of report.json.
        folder: log directory; a run a target, and `float` for the reference.
    """
    from tfcompress.runtime import tf  # a page is rendered without TensorFlow

    # tf.summary.scalar would need TensorBoard installed; the summary that it writes does not.
    kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    reference = (report.get("reference") or {}).get("metrics") or {}
    runs = {"float": {"metrics": reference}, **(report.get("targets") or {})}
    for run, section in runs.items():
        with tf.summary.create_file_writer(str(Path(folder) / run)).as_default():
            for tag, value, step in _scalars(section):
                tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=kind)


def _scalars(section: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """(tag, value, step) of everything in a section that is a number."""
    for group in ("metrics", "diff"):
        for key, value in (section.get(group) or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                yield f"{group}/{key}", float(value), 0
    for position, row in enumerate(section.get("layers") or ()):
        for key in ("sqnr_db", "own_sqnr_db"):
            if row.get(key) is not None:
                yield f"layers/{key}", float(row[key]), position
