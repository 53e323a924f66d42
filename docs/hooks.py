"""What the pages take from the code and from committed measurements instead of repeating it.

A line ``<!-- NAME: ARGUMENTS -->`` of a page is replaced:

- ``help: COMMAND``: what ``tfcompress COMMAND --help`` prints
- ``arguments: COMMAND``: the arguments of the function of that name, which are the command's flags
- ``options: KEY``: the options of a section of the recipe
- ``table: NAME COLUMN,COLUMN``: columns of ``benchmarks/tables/NAME.json``
- ``counts: NAME``: how many rows of that table have which status
- ``bench: NAME,NAME``: rows of ``benchmarks/results.json``
- ``machine:``: what the measurements were made on
- ``notebook: NAME``: the cells and outputs of ``docs/notebooks/NAME.ipynb``
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import typing
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # its code need not be installed here

_LINE = re.compile(r"^<!-- ([a-z]+):([^\n]*?)-->$", re.MULTILINE)
Row = dict[str, typing.Any]


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by MkDocs with each page.

    Raises:
        KeyError: a line asks for something that there is not.
    """
    if str(ROOT) not in sys.path:  # MkDocs restores the path after it has imported this file
        sys.path.insert(0, str(ROOT))
    return _LINE.sub(lambda line: WRITERS[line[1]](line[2].strip()), markdown)


def help_text(command: str) -> str:
    """A command's help, as on a terminal of 100 columns."""
    from tfcompress.cli.parser import build_parser

    os.environ["COLUMNS"] = "100"
    parser = build_parser()
    children = next(action.choices for action in parser._actions if action.dest == "command")
    if not isinstance(children, dict):
        raise KeyError(command)
    return f"```text\n{children[command].format_help().rstrip()}\n```"


def arguments(command: str) -> str:
    """A table of the arguments of a command's function."""
    from tfcompress.cli.parser import COMMANDS

    return _option_table(COMMANDS[command].options)


def options(key: str) -> str:
    """A table of a section's options."""
    return _option_table(_section(key))


def _option_table(section: type) -> str:
    from tfcompress.recipe.options import options_of

    rows = ["| option | flag | default | meaning |", "|---|---|---|---|"]
    for item in options_of(section):
        flag = f"`--{item.flag}`" if item.flag else ""
        default = "" if item.default is dataclasses.MISSING else f"`{_shown(item.default)}`"
        rows.append(f"| `{item.name}` | {flag} | {default} | {_cell(item.help)} |")
    return "\n".join(rows)


def _section(key: str) -> type:
    """The dataclass behind a key of the recipe."""
    from tfcompress.converters.target import TARGETS
    from tfcompress.recipe import Recipe

    of_targets = {target.options.key: target.options for target in TARGETS.values() if target.options is not None}
    if key in of_targets:
        return of_targets[key]
    hint = typing.get_type_hints(Recipe)[key]
    return next(kind for kind in (*typing.get_args(hint), hint) if isinstance(kind, type) and kind is not type(None))


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return json.dumps(value) if isinstance(value, bool | float | int) or value is None else str(value)


def table(arguments: str) -> str:
    """Columns of a committed table; without names, all that any row has."""
    name, _, columns = arguments.partition(" ")
    rows = _rows(name)
    names = columns.split(",") if columns else list(dict.fromkeys(key for row in rows for key in row))
    missing = [column for column in names if not any(column in row for row in rows)]
    if missing:
        raise KeyError(f"benchmarks/tables/{name}.json has no {', '.join(missing)}")
    lines = ["| " + " | ".join(column.replace("_", " ") for column in names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in names) + " |" for row in rows]
    return "\n".join(lines)


def counts(name: str) -> str:
    """A sentence: how many rows of a table have which status."""
    counted = Counter(row["status"].replace("_", " ") for row in _rows(name)).most_common()
    said = ", ".join(f"{count} {status}" for status, count in counted)
    return f"{sum(count for _, count in counted)} models: {said}."


def _rows(name: str) -> list[Row]:
    rows: list[Row] = json.loads((ROOT / "benchmarks/tables" / f"{name}.json").read_text(encoding="utf-8"))
    return rows


def bench(names: str) -> str:
    """Measurements beside another tool, of the same run."""
    measured = {row["name"]: row for row in json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))}
    lines = ["| measurement | tfcompress | the other | the other is | ratio |", "|---|---|---|---|---|"]
    for name in names.split(","):
        row = measured[name.strip()]
        figures = [f"{_figure(row[key])} {row['unit']}" for key in ("ours", "other")]
        lines.append(f"| `{row['name']}` | {figures[0]} | {figures[1]} | {row['other_name']} | {row['ratio']:.3g} |")
    return "\n".join(lines)


def machine(_: str) -> str:
    """A sentence about what the measurements were made on."""
    record = json.loads((ROOT / "benchmarks/machine.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"Measured on {record['cpu']}, {record['cores']} cores, with {versions}."


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    said = _figure(value) if isinstance(value, float) else str(value)
    return said.replace("|", "\\|").replace("\n", " ")


def notebook(name: str) -> str:
    """A notebook as it was run."""
    cells = json.loads((ROOT / "docs/notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell))


def _parts(cell: Row) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *filter(None, map(_output, cell["outputs"]))]


def _output(output: Row) -> str | None:
    """HTML where there is some, else text; progress on the standard error is left out."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```" if output["name"] == "stdout" else None
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div markdown="0">{"".join(data["text/html"])}</div>'
    return f"```text\n{''.join(data['text/plain'])}\n```" if "text/plain" in data else None


WRITERS: dict[str, Callable[[str], str]] = {
    "arguments": arguments,
    "help": help_text,
    "options": options,
    "table": table,
    "counts": counts,
    "bench": bench,
    "machine": machine,
    "notebook": notebook,
}
