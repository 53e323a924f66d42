"""The page: one self-contained file, for a phone, a desk and paper, by day and by night."""

from __future__ import annotations

import base64
import hashlib
import importlib
from importlib import resources
from typing import Any

from tfcompress.compile_row import has_own_signatures
from tfcompress.errors import MissingExtraError
from tfcompress.printable import printable
from tfcompress.report import figures, histograms, tradeoff
from tfcompress.report.bars import bar_groups
from tfcompress.report.classes import class_rows, confusions
from tfcompress.report.compile_notes import compile_notes
from tfcompress.report.flips import flip_rows
from tfcompress.report.layer_table import layer_rows, worst_layers
from tfcompress.report.page import detail_rows, target_views
from tfcompress.report.schema import Report, TargetSection

__all__ = ["environment", "render_html", "template_text"]

_FOLDER = resources.files("tfcompress.report") / "templates"


def render_html(report: Report) -> str:
    """The HTML page of a report: complete in itself, nothing is fetched, and without JavaScript only the copy buttons
    are missing.

    Args:
        report: what is None in it is shown as not known, or left out.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    views = target_views(report)
    converted = {name: section for name, section in report.asked.items() if section.converted}
    with_layers = [view for view in views if view.key in converted and view.section.layers]
    layers = layer_rows([view.section for view in with_layers])
    script = template_text("copy.js").strip()
    page: str = (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            targets=views,
            panels=tradeoff.panels(report),
            canvas=tradeoff,
            shapes=histograms,
            bars=bar_groups(report),
            metrics=_metric_rows(report, list(converted.values())),
            classes=class_rows(report, list(converted.values())),
            confusions=list(confusions(report, list(converted.items()))),
            details=detail_rows(list(converted.values())),
            with_layers=with_layers,
            layers=layers,
            worst=worst_layers(layers),
            flips=flip_rows(report.reference, converted),
            figures=figures,
            compile_notes=compile_notes,
            has_own_signatures=has_own_signatures,
            style=template_text("style.css"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    return page


def environment() -> Any:
    """The `jinja2.Environment` of the page's templates.

    Names of layers and files are the user's: everything is escaped, and an unknown name in a template is an error.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError:
        raise MissingExtraError("jinja2", "report", "the HTML report") from None
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(template_text),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template_text(name: str) -> str:
    """A file of the templates' folder."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def _metric_rows(report: Report, sections: list[TargetSection]) -> list[tuple[str, list[str]]]:
    """(metric, figures of the reference and of every artifact), of the metrics that are not a class's."""
    columns = [report.reference.metrics, *(section.metrics for section in sections)]
    names = dict.fromkeys(name for column in columns for name in column if "[" not in name)
    return [(name, [figures.value(column.get(name)) for column in columns]) for name in names]
