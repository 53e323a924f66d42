"""``python -m benchmarks bench|tables [NAME...]``: run the measurements and write their committed results.

``bench_NAME.py`` has ``measure() -> list[dict]`` and fills ``results.json``; ``table_NAME.py`` has ``rows()`` likewise
and fills ``tables/NAME.json`` and ``TABLES.md``.  Each runs in a process of its own, so that none inherits another's
memory or warm caches.  Without names, all run; with names, only their part of the results is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from tfcompress.manifest import versions

HERE = Path(__file__).parent
RESULTS, MACHINE = HERE / "results.json", HERE / "machine.json"
FUNCTION = {"bench": "measure", "table": "rows"}


def run(kind: str, name: str) -> list[dict[str, Any]]:
    """The rows of one module, from a fresh process."""
    code = (
        f"import json, sys; from benchmarks.{kind}_{name} import {FUNCTION[kind]} as run; "
        "rows = run(); json.dump(rows, open(sys.argv[1], 'w'))"
    )
    result = HERE / f".{kind}_{name}.json"
    try:
        subprocess.run([sys.executable, "-c", code, str(result)], check=True, cwd=HERE.parent)
        rows: list[dict[str, Any]] = json.loads(result.read_text(encoding="utf-8"))
        return rows
    finally:
        result.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Indented, with a final newline."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What made the results."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {"cpu": model, "cores": os.cpu_count(), "versions": versions()}


def bench(names: list[str]) -> None:
    """Run bench modules and merge their rows, by name, into results.json."""
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    merged = {row["name"]: row for row in old}
    for name in names:
        merged |= {row["name"]: row for row in run("bench", name)}
        write_json(RESULTS, list(merged.values()))
    write_json(MACHINE, machine())


def tables(names: list[str]) -> None:
    """Run table modules, then render all tables."""
    for name in names:
        write_json(HERE / "tables" / f"{name}.json", run("table", name))
    write_json(MACHINE, machine())
    (HERE / "TABLES.md").write_text(render(), encoding="utf-8")


def render() -> str:
    """TABLES.md from the committed JSON files."""
    made_by = json.loads(MACHINE.read_text(encoding="utf-8"))
    packages = ", ".join(f"{name} {version}" for name, version in made_by["versions"].items())
    parts = ["# Tables", "", f"Made on {made_by['cpu']}, {made_by['cores']} cores; {packages}.", ""]
    for path in sorted((HERE / "tables").glob("*.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        good = sum(row["status"] == "ok" for row in rows)
        parts += [f"## {path.stem}", "", f"{good} of {len(rows)} ok.", "", *markdown(rows), ""]
    return "\n".join(parts)


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
    options = parser.parse_args()
    kind = "bench" if options.job == "bench" else "table"
    known = sorted(path.stem.removeprefix(f"{kind}_") for path in HERE.glob(f"{kind}_*.py"))
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    (bench if options.job == "bench" else tables)(options.names or known)


if __name__ == "__main__":
    main()
