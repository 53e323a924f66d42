"""``python -m benchmarks.snapdragon_operators FILE.tflite...``: ask Qualcomm's compiler, and keep what it says.

Each file is partitioned for one chip of each Hexagon version of the forecast; the answers are merged into
``converters/snapdragon/operators.csv``.  An answer that contradicts one in the table is printed, and the table keeps
"no": two operators of the same types then differ in something that the table does not have.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

from tfcompress.converters.snapdragon.compiler import partition_for
from tfcompress.converters.snapdragon.mapping_forecast import GENERATIONS, signature_of
from tfcompress.converters.snapdragon.sdk import find_sdk
from tfcompress.converters.snapdragon.structure import structural_refusal
from tfcompress.errors import TfCompressError
from tfcompress.graphs.tflite import read_tflite

TABLE = Path(__file__).parents[1] / "converters/snapdragon/operators.csv"
CHIPS = dict(zip(("SM8350", "SM8550", "SM8750"), GENERATIONS, strict=True))
COLUMNS = ["operator", "inputs", "result", *(f"v{version}" for version in GENERATIONS), "reason"]

Row = dict[str, str]


def answers_for(path: Path) -> dict[tuple[str, str, str], Row]:
    """A row for each signature in a file; empty where the compiler does not read it."""
    graph = read_tflite(path).main
    rows: dict[tuple[str, str, str], Row] = {}
    for chip, version in CHIPS.items():
        refused = partition_for(path.read_bytes(), chip, find_sdk())
        if refused is None:
            return {}
        for operator in graph.operators:
            if operator.custom or structural_refusal(graph, operator) is not None:
                continue
            signature = signature_of(graph, operator)
            row = rows.setdefault(signature, dict(zip(COLUMNS, signature, strict=False)) | {"reason": ""})
            reason = refused.get(operator.index)
            answer = "yes" if reason is None else "no"
            if row.setdefault(f"v{version}", answer) != answer:
                print(f"{path}: {signature} differs within the file", file=sys.stderr)
                row[f"v{version}"] = "no"
            row["reason"] = row["reason"] or _general(reason or "")
    return rows


def _general(reason: str) -> str:
    """A reason without what is of one file only: ``LiteRT Op #5 'Atan2'`` is ``LiteRT Op 'Atan2'``."""
    head, mark, tail = reason.partition(" #")
    return f"{head} {tail.partition(' ')[2]}" if mark else reason


def main(paths: list[str]) -> None:
    """Merge the answers for some files into the table."""
    rows: dict[tuple[str, str, str], Row] = {}
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as stream:
            rows = {(row["operator"], row["inputs"], row["result"]): row for row in csv.DictReader(stream)}
    for name in paths:
        try:
            fresh = answers_for(Path(name))
        except TfCompressError as error:
            print(error, file=sys.stderr)
            continue
        for signature, row in fresh.items():
            old = rows.setdefault(signature, row)
            for column in COLUMNS[3:-1]:
                if old[column] != row[column]:
                    print(f"{name}: {signature} {column} is {row[column]}, was {old[column]}", file=sys.stderr)
                    old[column], old["reason"] = "no", old["reason"] or row["reason"]
    with tempfile.NamedTemporaryFile("w", newline="", encoding="utf-8", dir=TABLE.parent, delete=False) as fresh_file:
        writer = csv.DictWriter(fresh_file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[signature] for signature in sorted(rows))
    Path(fresh_file.name).replace(TABLE)


if __name__ == "__main__":
    main(sys.argv[1:])
