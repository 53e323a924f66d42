"""The report for continuous integration: JUnit XML, and a summary in GitHub-flavoured markdown."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from tfcompress.errors import one_line
from tfcompress.report import figures
from tfcompress.report.schema import Compared, DiffReport, Report

__all__ = ["render_junit", "render_markdown"]

# JUnit has three ways to be no success; an undecided gate is neither a failure nor a success.
_JUNIT = {"gate_failed": "failure", "failed": "error", "undecided": "skipped"}
_MARKS = {"ok": "✅ ok", "undecided": "❔ undecided", "gate_failed": "❌ failed", "failed": "❌ not converted"}

_MARKUP = frozenset("<>&[]`@*_#!|\\~")
_LONGEST = 1000  # characters of a reason


def render_junit(report: Report | DiffReport, *, strict_gate: bool = False) -> str:
    """One test case an artifact: failed where the gate failed, an error where the conversion did, else skipped where
    the gate is undecided.

    Args:
        report: of a conversion or of a diff.
        strict_gate: an undecided gate is a failure.

    Returns:
        JUnit XML (the format of the Ant task, as CI servers read it).
    """
    kinds = {**_JUNIT, "undecided": "failure"} if strict_gate else _JUNIT
    kinds_of_targets = [kinds.get(section.status) for section in report.asked.values()]
    counts = {name: str(kinds_of_targets.count(kind)) for name, kind in _COUNTS.items()}
    suite = ET.Element("testsuite", {"name": "tfcompress", "tests": str(len(kinds_of_targets)), **counts})
    for (name, section), kind in zip(report.asked.items(), kinds_of_targets, strict=True):
        case = ET.SubElement(suite, "testcase", {"classname": "tfcompress.accuracy", "name": name})
        if kind is not None:
            ET.SubElement(case, kind, message=one_line(section.reason or "", _LONGEST))
        ET.SubElement(case, "system-out").text = _line(section)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


_COUNTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def _line(section: Compared) -> str:
    diff = section.diff
    return (
        f"{diff.metric or 'accuracy'} change {figures.change(diff.accuracy_drop)} points, "
        f"same answers {figures.percent(diff.top1_agreement)}, SQNR {figures.decibel(diff.sqnr_db)}"
    )


def render_markdown(report: Report | DiffReport) -> str:
    """A table for a pull request's comment or a job summary."""
    lines = [
        f"### tfcompress: {figures.count(report.reference.samples)} samples",
        "",
        "| | gate | size | change in points (95 %) | same answers | SQNR | p |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, section in report.asked.items():
        diff = section.diff
        bounds = f" ({figures.interval(diff.accuracy_drop_ci95)})" if diff.accuracy_drop_ci95 else ""
        cells = [
            name,
            _MARKS[section.status],
            figures.size(section.bytes),
            figures.change(diff.accuracy_drop) + bounds,
            figures.percent(diff.top1_agreement),
            figures.decibel(diff.sqnr_db),
            figures.value(diff.p_value),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    reasons = [f"- **{name}**: {_literal(section.reason)}" for name, section in report.asked.items() if section.reason]
    return "\n".join([*lines, "", *reasons]).rstrip() + "\n"


def _literal(text: str) -> str:
    """A sentence that may hold names out of a model: as code where GitHub would make a link or a mention of it."""
    plain = one_line(text, _LONGEST)
    if _MARKUP.isdisjoint(plain) and "://" not in plain:
        return plain
    fence = "`" * (max(map(len, re.findall("`+", plain)), default=0) + 1)
    return f"{fence} {plain} {fence}"
