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
PUBLIC = {
    ("tfcompress/accuracy_diff/harness.py", "compare"),
    ("tfcompress/api/compress.py", "compress"),
    ("tfcompress/api/diff.py", "diff"),
    ("tfcompress/api/search.py", "search"),
    ("tfcompress/data/opening.py", "open_data"),
    ("tfcompress/job/conversion.py", "convert"),
    ("tfcompress/recipe/recipe.py", "Recipe.__init__"),
}


def functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Name (a method's after its class), lines and parameters (without self) of every function in a source text."""
    tree = ast.parse(text)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    owner = {id(item): f"{node.name}." for node in classes for item in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            arguments += [node.args.vararg] if node.args.vararg is not None else []
            count = sum(argument.arg not in ("self", "cls") for argument in arguments)
            name = owner.get(id(node), "") + node.name
            yield name, (node.end_lineno or node.lineno) - node.lineno + 1, count


def too_large(text: str, path: str = "") -> list[str]:
    """Functions above the limits in the source text of a file."""
    return [
        f"{name}: {lines} lines, {parameters} parameters"
        for name, lines, parameters in functions(text)
        if lines > MOST_LINES or (parameters > MOST_PARAMETERS and (path, name) not in PUBLIC)
    ]


@pytest.mark.parametrize("room", ["tfcompress", "converters", "calibration", "example_models"])
def test_no_function_is_above_the_limits(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    by_file = {
        name: too_large(path.read_text(encoding="utf-8"), name)
        for path in files
        for name in [path.resolve().relative_to(ROOT).as_posix()]
    }
    assert {name: functions for name, functions in by_file.items() if functions} == {}


def test_every_exception_is_still_needed() -> None:
    for path, name in PUBLIC:
        counts = {function: count for function, _, count in functions((ROOT / path).read_text(encoding="utf-8"))}
        assert counts[name] > MOST_PARAMETERS, f"{path}: {name}"


def test_a_function_above_the_limits_would_be_found() -> None:
    assert too_large("def f(a, b, c, d, e, g, h, i):\n    pass\n") == []
    assert too_large("def f(a, b, c, d, e, g, h, i, *, j):\n    pass\n") == ["f: 2 lines, 9 parameters"]
    assert too_large("class C:\n    def convert(a, b, c, d, e, g, h, i, j): ...\n") == [
        "C.convert: 1 lines, 9 parameters"
    ]
    assert too_large("def f(a, b, c, d, e, g, h, i, *j): ...\n") == ["f: 1 lines, 9 parameters"]
    assert too_large("def convert(a, b, c, d, e, g, h, i, j): ...\n", "tfcompress/job/other.py") == [
        "convert: 1 lines, 9 parameters"
    ]
    assert too_large("def f():\n" + "    x = 1\n" * 60) == ["f: 61 lines, 0 parameters"]
