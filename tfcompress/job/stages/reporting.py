"""The last stage: recipe.json, report.json, report.html and manifest.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tfcompress.job.manifest import write_manifest
from tfcompress.job.results import build_report
from tfcompress.job.stage import Stage
from tfcompress.job.state import State
from tfcompress.remarks import optional, remarks
from tfcompress.report import Report, render_html
from tfcompress.typed_json import to_plain

__all__ = ["REPORT"]


def _run(state: State, parts: Sequence[str]) -> State:
    del parts
    warnings = (*state.data_sets.warnings(), *state.missing)
    report = build_report(state.model.facts.section, state, warnings=warnings)
    state.recipe.save(state.work / "recipe.json")
    _write(state, report)
    return replace(state, report=report)


def _write(state: State, report: Report) -> None:
    """report.html, report.json and manifest.json."""
    with remarks() as missing, optional("report.html"):
        html = render_html(report)
        (state.work / "report.html").write_text(html, encoding="utf-8", errors="backslashreplace")
    complete = replace(report, warnings=(*report.warnings, *missing))
    (state.work / "report.json").write_text(complete.to_json(), encoding="utf-8")
    facts = {name: to_plain(getattr(report, name), name) for name in ("model", "recipe", "seed", "versions")}
    write_manifest(state.work, {**facts, "data": state.data_sets.hashes()}, key=state.signing_key)


REPORT = Stage(name="report", run=_run)
