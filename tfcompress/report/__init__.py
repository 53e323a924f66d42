"""The report: one page for people, the terminal's tables, and files for other tools."""

from tfcompress.report.html import render_html
from tfcompress.report.terminal import render_terminal

__all__ = ["render_html", "render_terminal"]
