"""The page: one self-contained file, for a phone, a desk and paper, by day and by night."""

from __future__ import annotations

import importlib
from importlib import resources
from typing import Any

from tfcompress.errors import MissingExtraError
from tfcompress.report import figures
from tfcompress.report.compile_notes import compile_notes
from tfcompress.report.page import target_views
from tfcompress.report.schema import Report

__all__ = ["render_html"]

_FOLDER = resources.files("tfcompress.report") / "templates"
TEMPLATE = (_FOLDER / "report.html.jinja").read_text(encoding="utf-8")
STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")


def render_html(report: Report) -> str:
    """The HTML page of a report: no script, nothing that is fetched.

    Args:
        report: what is None in it is shown as not known, or left out.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    rows = _metric_rows(report)
    page: str = (
        _environment()
        .from_string(TEMPLATE)
        .render(
            report=report,
            targets=target_views(report),
            metrics=[row for row in rows if "[" not in row[0]],
            classes=[row for row in rows if "[" in row[0]],
            style=STYLE,
            figures=figures,
            compile_notes=compile_notes,
        )
    )
    return page


def _environment() -> Any:
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError:
        raise MissingExtraError("jinja2", "report", "the HTML report") from None
    # Names of layers and files are the user's: everything is escaped, and an unknown name in the template is an error.
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _metric_rows(report: Report) -> list[tuple[str, list[str]]]:
    """(metric, figures of the reference and of every target)."""
    columns = [report.reference.metrics, *(section.metrics for section in report.targets.values())]
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [figures.value(column.get(name)) for column in columns]) for name in names]
