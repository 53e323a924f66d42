"""The report for continuous integration: JUnit XML, and a summary in GitHub-flavoured markdown."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from tfcompress.report import figures

__all__ = ["compared_sections", "render_junit", "render_markdown"]


def compared_sections(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """{name: section} of a conversion's targets that were asked for, or of a diff's candidate."""
    sections = report["targets"] if "targets" in report else {"candidate": report["candidate"]}
    return {name: section for name, section in sections.items() if section["status"] != "skipped"}


def render_junit(report: Mapping[str, Any]) -> str:
    """One test case an artifact: failed where the gate failed, an error where the conversion did.

    Args:
        report: the content of report.json, or of ``diff --json``.

    Returns:
        JUnit XML (the format of the Ant task, as CI servers read it).
    """
    sections = compared_sections(report)
    failed = sum(section["status"] == "gate_failed" for section in sections.values())
    errors = sum(section["status"] == "failed" for section in sections.values())
    counts = {"tests": str(len(sections)), "failures": str(failed), "errors": str(errors)}
    suite = ET.Element("testsuite", {"name": "tfcompress", **counts})
    for name, section in sections.items():
        case = ET.SubElement(suite, "testcase", {"classname": "tfcompress.accuracy", "name": name})
        reason = str(section.get("reason") or "")
        if section["status"] == "gate_failed":
            ET.SubElement(case, "failure", message=reason)
        elif section["status"] == "failed":
            ET.SubElement(case, "error", message=reason)
        ET.SubElement(case, "system-out").text = _line(section)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _line(section: Mapping[str, Any]) -> str:
    diff = section.get("diff") or {}
    return (
        f"accuracy drop {figures.points(diff.get('accuracy_drop'))} points, "
        f"same answers {figures.percent(diff.get('top1_agreement'))}, SQNR {figures.decibel(diff.get('sqnr_db'))}"
    )


def render_markdown(report: Mapping[str, Any]) -> str:
    """A table for a pull request's comment or a job summary.

    Args:
        report: the content of report.json, or of ``diff --json``.
    """
    reference = report.get("reference") or {}
    lines = [
        f"### tfcompress: {figures.count(reference.get('samples'))} samples",
        "",
        "| | gate | size | drop in points (95 %) | same answers | SQNR | p |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, section in compared_sections(report).items():
        diff = section.get("diff") or {}
        bounds = diff.get("accuracy_drop_ci95")
        drop = figures.points(diff.get("accuracy_drop")) + (f" ({figures.interval(bounds)})" if bounds else "")
        mark = {"ok": "✅ ok", "gate_failed": "❌ failed", "failed": "❌ not converted"}[section["status"]]
        cells = [
            name,
            mark,
            figures.size(section.get("bytes")),
            drop,
            figures.percent(diff.get("top1_agreement")),
            figures.decibel(diff.get("sqnr_db")),
            figures.value(diff.get("p_value")),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    reasons = [
        f"- **{name}**: {section['reason']}" for name, section in compared_sections(report).items() if section["reason"]
    ]
    return "\n".join([*lines, "", *reasons]).rstrip() + "\n"
