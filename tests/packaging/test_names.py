"""Names of local variables say what they hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ["tfcompress", "converters", "calibration", "example_models", "benchmarks", "tests", "docs"]
SAYING_NOTHING = {"found", "known", "made", "one", "told"}


def names(text: str) -> Iterator[tuple[int, str]]:
    """(line, name) of every variable and argument of a source text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
            yield node.lineno, node.name


@pytest.mark.parametrize("room", ROOMS)
def test_no_variable_has_a_name_that_says_nothing(room: str) -> None:
    for path in sorted((ROOT / room).rglob("*.py")):
        bad = [(line, name) for line, name in names(path.read_text(encoding="utf-8")) if name in SAYING_NOTHING]
        assert bad == [], f"{path}: say what it is that was {bad[0][1]}"


def test_every_variable_is_looked_at() -> None:
    text = "def f(one, *, known):\n  try: found = [made for made in one]\n  except OSError as told: ...\n"
    assert {name for _, name in names(text)} == SAYING_NOTHING
    assert [name for _, name in names("match x:\n  case [made, *told]: ...\n")] == ["made", "told"]
