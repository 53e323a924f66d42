"""The report: its typed content, one page for people, the terminal's tables, and files for other tools."""

from tfcompress.report.exports import write_model_explorer, write_tensorboard
from tfcompress.report.html import render_html
from tfcompress.report.schema import DiffReport, Report
from tfcompress.report.terminal import render_inspection, render_terminal

__all__ = [
    "DiffReport",
    "Report",
    "render_html",
    "render_inspection",
    "render_terminal",
    "write_model_explorer",
    "write_tensorboard",
]
