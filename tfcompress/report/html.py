"""The page: one self-contained file, for a phone, a desk and paper, by day and by night."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from tfcompress.errors import MissingExtraError
from tfcompress.report import figures
from tfcompress.report.compile_notes import compile_notes
from tfcompress.report.page import target_views
from tfcompress.report.steps import steps

__all__ = ["render_html"]


def render_html(report: Mapping[str, Any]) -> str:
    """The HTML page of a report: no script, nothing that is fetched.

    Args:
        report: the content of report.json; what is missing or None is shown as not known or left out.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    known, rows = _known(report), _metric_rows(report)
    folder = resources.files("tfcompress.report") / "templates"
    template = _environment().from_string((folder / "report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        report=known,
        targets=target_views(known),
        steps=steps(known),
        nothing=_Known(),
        metrics=[row for row in rows if "[" not in row[0]],
        classes=[row for row in rows if "[" in row[0]],
        style=(folder / "style.css").read_text(encoding="utf-8"),
        figures=figures,
        compile_notes=compile_notes,
    )


class _Known(dict[str, Any]):
    """A JSON object whose missing keys are None: a report may come from an older version or leave parts out."""

    def __missing__(self, key: str) -> None:
        return None


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _Known({str(key): _known(item) for key, item in value.items()})
    return [_known(item) for item in value] if isinstance(value, list | tuple) else value


def _environment() -> Any:
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError:
        raise MissingExtraError("jinja2", "report", "the HTML report") from None
    # Names of layers and files are the user's: everything is escaped, and an unknown name in the template is an error.
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _metric_rows(report: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """(metric, figures of the reference and of every target)."""
    columns = [(report.get("reference") or {}).get("metrics") or {}]
    columns += [section.get("metrics") or {} for section in (report.get("targets") or {}).values()]
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [figures.value(column.get(name)) for column in columns]) for name in names]
