"""Functions stay short enough to be read at once, and take few arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 60
MOST_PARAMETERS = 8
# What users call with keywords: each argument is an option with a default.
PUBLIC = {"convert", "compress", "search", "diff", "compare", "open_data", "Recipe.__init__"}


def functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Name (a method's after its class), lines and parameters (without self) of every function in a source text."""
    tree = ast.parse(text)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    owner = {id(item): f"{node.name}." for node in classes for item in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = sum(argument.arg not in ("self", "cls") for argument in arguments)
            name = owner.get(id(node), "") + node.name
            yield name, (node.end_lineno or node.lineno) - node.lineno + 1, count


def too_large(text: str) -> list[str]:
    """Functions above the limits."""
    return [
        f"{name}: {lines} lines, {parameters} parameters"
        for name, lines, parameters in functions(text)
        if lines > MOST_LINES or (parameters > MOST_PARAMETERS and name not in PUBLIC)
    ]


@pytest.mark.parametrize("room", ["tfcompress", "converters", "calibration", "example_models"])
def test_no_function_is_above_the_limits(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = {str(path.relative_to(ROOT)): too_large(path.read_text(encoding="utf-8")) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_function_above_the_limits_would_be_found() -> None:
    assert too_large("def f(a, b, c, d, e, g, h, i):\n    pass\n") == []
    assert too_large("def f(a, b, c, d, e, g, h, i, *, j):\n    pass\n") == ["f: 2 lines, 9 parameters"]
    assert too_large("class C:\n    def convert(a, b, c, d, e, g, h, i, j): ...\n") == [
        "C.convert: 1 lines, 9 parameters"
    ]
    assert too_large("def f():\n" + "    x = 1\n" * 60) == ["f: 61 lines, 0 parameters"]
