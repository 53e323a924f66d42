"""``python -m benchmarks bench|tables [NAME...]``: run the measurements and write their committed results.

``bench_NAME.py`` has ``measure() -> list[dict]`` and fills ``results.json``.  ``table_NAME.py`` has ``names()`` of
models, ``row(model) -> dict`` and ``SECONDS``, the time limit of a row, and fills ``tables/NAME.json`` and
``TABLES.md``; where its rows are made in parts, it has ``row(model, columns)`` and ``done(row, columns) -> bool``.
Each measurement and each row runs in a process of its own, so that none inherits another's memory or warm caches;
with ``--together`` rows share this one, for tables whose figures are ratios of what each row measures by turns.
With names, only their part of the results is replaced; ``--models`` narrows a table to some rows, ``--columns`` to some
parts of them, and with ``--missing`` what is there already is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.agreement import agreement_summary
from benchmarks.latency_summary import latency_summary
from benchmarks.zoo.cells import summary_of
from tfcompress.job.manifest import versions
from tfcompress.processor import processor_name

HERE = Path(__file__).parent
RESULTS, MACHINE = HERE / "results.json", HERE / "machine.json"


def child(code: str, *arguments: str, seconds: float | None = None) -> Any:
    """What `code` writes as JSON to the file ``sys.argv[1]``, from a fresh process.

    Raises:
        subprocess.TimeoutExpired: it took more than `seconds`; None waits for ever.
        subprocess.CalledProcessError: it ended with an error, whose text is `stderr`.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-c", f"import json, sys; {code}", str(result), *arguments]
        subprocess.run(command, check=True, cwd=HERE.parent, timeout=seconds, stderr=subprocess.PIPE, text=True)
        return json.loads(result.read_text(encoding="utf-8"))


def read_json(path: Path) -> list[dict[str, Any]]:
    """The rows in a file; none where it does not exist yet."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows


def write_json(path: Path, value: Any) -> None:
    """Indented, with a final newline."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What made the results."""
    return {"cpu": processor_name(), "cores": os.cpu_count(), "versions": versions()}


def bench(names: list[str]) -> None:
    """Run bench modules and merge their rows, by name, into results.json."""
    merged = {row["name"]: row for row in read_json(RESULTS)}
    for name in names:
        code = f"from benchmarks.bench_{name} import measure; json.dump(measure(), open(sys.argv[1], 'w'))"
        merged |= {row["name"]: row for row in child(code)}
        write_json(RESULTS, list(merged.values()))
    write_json(MACHINE, machine())


def tables(names: list[str], models: str, columns: str = "", *, missing: bool = False, together: bool = False) -> None:
    """Measure the rows of every model whose name contains `models`, keep the others, and render all tables.

    `columns` is for tables whose rows are made in parts; with `missing`, rows that are there already are kept; with
    `together`, rows are made in this process, without a limit of time, and what goes wrong in one ends all.

    Each row is written as soon as it is there, so that a table can be made piece by piece.
    """
    for name in names:
        module = importlib.import_module(f"benchmarks.table_{name}")
        path = HERE / "tables" / f"{name}.json"
        for model in [model for model in module.names() if models in model]:
            there = next((row for row in read_json(path) if row["model"] == model), None)
            if missing and there is not None and _is_done(module, there, columns):
                continue
            print(f"{name}: {model}", file=sys.stderr)
            arguments = [model, columns] if columns else [model]
            fresh = (
                {"model": model, **module.row(*arguments)}
                if together
                else table_row(name, model, module.SECONDS, columns)
            )
            rows = {row["model"]: row for row in read_json(path)} | {model: fresh}
            write_json(path, [rows[model] for model in module.names() if model in rows])
    write_json(MACHINE, machine())
    (HERE / "TABLES.md").write_text(render(), encoding="utf-8")


def _is_done(module: Any, row: dict[str, Any], columns: str) -> bool:
    return bool(module.done(row, columns)) if hasattr(module, "done") else True


def table_row(table: str, model: str, seconds: float, columns: str = "") -> dict[str, Any]:
    """One row of a table; a model that kills its process, or takes more than `seconds`, is a failed one."""
    code = f"from benchmarks.table_{table} import row; json.dump(row(*sys.argv[2:]), open(sys.argv[1], 'w'))"
    arguments = [model, columns] if columns else [model]
    try:
        measured: dict[str, Any] = child(code, *arguments, seconds=seconds)
    except subprocess.TimeoutExpired:
        measured = {"status": "failed", "reason": f"not done after {seconds:g} seconds"}
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"ended with {error.returncode} and no message"]
        measured = {"status": "failed", "reason": lines[-1]}
    return {"model": model, **measured}


def render() -> str:
    """TABLES.md from the committed JSON files."""
    made_by = json.loads(MACHINE.read_text(encoding="utf-8"))
    packages = ", ".join(f"{name} {version}" for name, version in made_by["versions"].items())
    parts = ["# Tables", "", f"Made on {made_by['cpu']}, {made_by['cores']} cores; {packages}.", ""]
    for path in sorted((HERE / "tables").glob("*.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        counts = Counter(row["status"] for row in rows)
        summary = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        parts += [f"## {path.stem}", "", f"{len(rows)} models: {summary}.", "", *_summary(path.stem, rows)]
        parts += [*markdown(rows), ""]
    return "\n".join(parts)


def _summary(table: str, rows: list[dict[str, Any]]) -> list[str]:
    """What the table's module says of its rows as a whole; nothing for most."""
    agreements = dict.fromkeys(("snapdragon", "ethos_u", "onnx"), agreement_summary)
    summaries = {"zoo": summary_of, "latency": latency_summary, **agreements}
    return summaries[table](rows) if table in summaries else []


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """A markdown table with every plain figure that any row has."""
    columns = list(
        dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, list | dict))
    )
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [_cell(row.get(column)) for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("job", choices=["bench", "tables"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--models", default="", help="only the rows of models whose name contains this")
    parser.add_argument("--columns", default="", help="comma-separated: only these parts of a row, for `zoo`")
    parser.add_argument("--missing", action="store_true", help="keep the rows, and their parts, that are there already")
    parser.add_argument("--together", action="store_true", help="all rows in this process, to spare their imports")
    options = parser.parse_args()
    kind = "bench" if options.job == "bench" else "table"
    names = sorted(path.stem.removeprefix(f"{kind}_") for path in HERE.glob(f"{kind}_*.py"))
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.job == "bench":
        bench(options.names or names)
    else:
        wanted = options.names or names
        tables(wanted, options.models, options.columns, missing=options.missing, together=options.together)


if __name__ == "__main__":
    main()
