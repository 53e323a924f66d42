"""The compiler's lines, from texts as people keep them.

A log comes as a file, as what a terminal showed, quoted in a mail (``> ``), indented in a note, with tabs for spaces,
as the rows of a Markdown or HTML table, between other programs' output, with its line ends lost, as the output of a
notebook, or with something before every line: a time, a container's name, a line number (see `log_prefixes`).
`log_lines` gives the lines as the compiler printed them.
"""

from __future__ import annotations

import html
import re

from tfcompress.converters.edgetpu.log_prefixes import without_prefixes

__all__ = ["STATUSES", "command_models", "log_lines"]

# Every status that was found in public logs, and the beginnings of cut ones.
STATUSES = (
    "Mapped to Edge TPU",
    "More than one subgraph is not supported",
    "Operation is otherwise supported",
    "Operation is working on an unsupported data type",
    "Operation not supported",
    "Operation version not supported",
    "Tensor has unsupported rank",
    "Filter, bias, or other param is not constant at compile-time",
    "Only Strided-Slice with unitary strides supported",
    "Image-interpolation layer won't run precisely enough on Edge TPU",
    "For example, a fully-connected or softmax layer with 2D output",
)
_LABELS = (
    "Edge TPU Compiler version",
    "Model compiled successfully",
    "Models compiled successfully",
    "Model successfully compiled but",
    "Input model:",
    "Input size:",
    "Output model:",
    "Output size:",
    "On-chip memory",
    "Off-chip memory",
    "Number of Edge TPU subgraphs:",
    "Total number of operations:",
    "Operation log:",
    "Number of operations that will run on",
    "Compilation failed",
    "Internal compiler error",
)
_BEGINNINGS = (
    *_LABELS,
    "Started a compilation timeout timer",
    "Compilation child process",
    "Compilation succeeded",
    "ERROR: ",
    "Invalid model",
    "Model not quantized",
    "Model could not be parsed",
)
# A log whose line ends were lost is one line; a longer one is none of the compiler's, and keeps the patterns busy.
_LONGEST_LINE = 1 << 16
# Colours, and what sets a terminal's title or character set.
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)|[()][A-Z0-9])")
_TAG_ENDS_LINE = re.compile(r"<br ?/?>|</(?:tr|p|div|li|pre)>", re.IGNORECASE)
_TAG_ENDS_CELL = re.compile(r"</t[dh]>\s*(?=<t[dh])", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:pre|code|samp|tt|p|div|span|font|b|i|em|strong|li|ul|ol|blockquote|table|t[rdh]|thead|tbody)"
    r"(?: [^<>\n]{0,200})?>",
    re.IGNORECASE,
)
_QUOTES = re.compile(r"^(?:[>|*#`│]\s?|\s)+")
_COMMENT = re.compile(r"(?:←|<--|<==).*$")
_SPACES = str.maketrans({"\u00a0": " ", "\u3000": " ", "\ufeff": None, "\u2019": "'"})
_COMMAND = re.compile(r"\bedgetpu_compiler\b(.*)$")
_LOST_ENDS = re.compile(f"(?<=\\S)(?={'|'.join(map(re.escape, _LABELS))})")
_LOST_ROWS = re.compile(
    "(Status"
    "|Mapped to Edge TPU"
    "|More than one subgraph is not supported"
    "|due to some unspecified limitation"
    "|Operation is working on an unsupported data type"
    "|Operation (?:version )?not supported"
    "|innermost dimensions mapped\\)"
    "|not constant at compile-time"
    "|unitary strides supported)(?=[A-Z])"
)


def log_lines(text: str) -> list[str]:
    """The lines of a text, without what others put around them.

    Args:
        text: a log in any of the forms above.
    """
    plain = html.unescape(_without_tags(_ESCAPES.sub("", text))).translate(_SPACES)
    whole = [line for line in plain.replace("\r\n", "\n").replace("\r", "\n").split("\n") if len(line) <= _LONGEST_LINE]
    parts = (part for line in whole for part in _parts(line))
    return [_bare(line) for line in without_prefixes(list(parts), _BEGINNINGS)]


def _without_tags(text: str) -> str:
    """The text of a web page, with a line for each row of a table and tabs between its cells."""
    return _TAG.sub("", _TAG_ENDS_CELL.sub("\t", _TAG_ENDS_LINE.sub("\n", text)))


def _parts(line: str) -> list[str]:
    """A line, or several where the ends of lines were lost between labels that never share one."""
    if sum(label in line for label in _LABELS) > 1 and "edgetpu_compiler" not in line:
        line = line.replace("\\r", "").replace("\\n", "\n")  # as Python shows a text
        return _LOST_ROWS.sub(r"\1\n", _LOST_ENDS.sub("\n", line)).split("\n")
    if sum(line.count(status) for status in STATUSES) > 1:
        return _LOST_ROWS.sub(r"\1\n", line).split("\n")
    return [line]


def _bare(line: str) -> str:
    return _COMMENT.sub("", _QUOTES.sub("", line)).rstrip()


def command_models(line: str) -> tuple[str, ...]:
    """The .tflite files that a command line gives to the compiler; empty for any other line."""
    match = _COMMAND.search(line)
    words = [] if match is None else match[1].split()
    return tuple(word.strip("'\"") for word in words if word.strip("'\"").endswith(".tflite"))
