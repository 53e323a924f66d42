"""`Any` stays rare: it hides what a function needs of its arguments."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("tfcompress", "converters", "calibration")
MOST_PER_100_LINES = 2.0


def count_any(text: str) -> int:
    """How often a source text names `typing.Any`, its import aside, also in quotes or by another name."""
    return sum(map(_is_any, ast.walk(ast.parse(text))))


def _is_any(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return "Any" in re.findall(r"\w+", node.value) and len(node.value) < 40  # a quoted annotation, no prose
    named = (getattr(node, "id", ""), getattr(node, "attr", ""))
    return "Any" in named or (isinstance(node, ast.alias) and node.name == "Any" and node.asname is not None)


def test_any_is_rare() -> None:
    paths = {path.resolve() for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    texts = [path.read_text(encoding="utf-8") for path in paths if "example_models" not in path.parts]
    lines = sum(text.count("\n") for text in texts)
    assert lines > 10_000
    share = 100 * sum(map(count_any, texts)) / lines
    assert share <= MOST_PER_100_LINES, f"Any {share:.2f} times per 100 lines; see tfcompress/graphs/keras/protocols.py"


def test_every_any_is_counted() -> None:
    assert count_any("from typing import Any\n\ndef f(x: Any, *y: list[Any]) -> 'str': ...\n") == 2
    assert count_any("import typing\n\nx: typing.Any = 1\ny: 'list[Any]' = []\n") == 2
    assert count_any("from typing import Any as Whatever\n") == 1
    assert count_any("import typing\n\nx: object = any([])\n") == 0
