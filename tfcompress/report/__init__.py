"""The report: one page for people, the terminal's tables, and files for other tools."""

from tfcompress.report.exports import node_data, write_tensorboard
from tfcompress.report.html import render_html
from tfcompress.report.terminal import render_terminal

__all__ = ["node_data", "render_html", "render_terminal", "write_tensorboard"]
