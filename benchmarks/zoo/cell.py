"""``python -m benchmarks.zoo.cell MODEL COLUMNS FOLDER``: convert one saved network, as a user would.

Reads what `build` left in the folder and writes ``COLUMN.json`` beside it for each of the columns.  Several targets are
one conversion, so their cells have the same seconds and memory.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.entry import peak_mib
from benchmarks.zoo.build import resolved
from benchmarks.zoo.entries import ENTRIES
from tfcompress import Distillation, PostTraining, Quantization, Recipe, Training, convert
from tfcompress.errors import TfCompressError

__all__ = ["cell"]

TRAINED = Recipe(quantization=Quantization(), distillation=Distillation(), training=Training(epochs=1, batch_size=16))
RECIPES = {"qat": TRAINED, "integers": Recipe(post_training=PostTraining(integer_only=True))}  # others need none
UNFINISHED = re.compile(r"\S*/\.tfcompress-\S*?/new/")  # where an output folder is before it is whole
LONGEST = 400  # characters of a reason


def cell(model: str, columns: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """{column: figures}; those that the run did not give are absent."""
    facts = json.loads((folder / "built.json").read_text(encoding="utf-8"))
    for module in ENTRIES[model].modules:
        importlib.import_module(module)
    started, used = time.perf_counter(), time.process_time()
    try:
        sections = _converted(folder, facts, columns)
        figures = {column: _figures(sections[_target(column)], column) for column in columns}
    except TfCompressError as error:
        failed = {"status": "failed", "reason": str(error).replace(f"{folder}/", "")[:LONGEST]}
        figures = dict.fromkeys(columns, failed)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - used + children.ru_utime + children.ru_stime, 1),
        "mib": round(max(peak_mib(), children.ru_maxrss / 1024)),
    }
    return {column: {**figures[column], **taken} for column in columns}


def _target(column: str) -> str:
    return "phone" if column in RECIPES else column


def _converted(folder: Path, facts: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    """The report's sections, by target."""
    calibration, trained = str(folder / "calibration.npz"), "qat" in columns
    with TemporaryDirectory() as output:
        done = convert(
            str(folder / facts["file"]),
            output=Path(output) / "out",
            targets=[_target(column) for column in columns],
            calibration=calibration,
            evaluation=str(folder / "evaluation.npz"),
            train=calibration if trained else None,
            recipe=RECIPES.get(columns[0]),
            custom_objects=resolved(facts["objects"]),
            allow_unsafe_deserialization=facts.get("has_code", False),  # a Lambda layer, which the user trusts
            no_cache=True,
        )
        return dict(done.report["targets"])


def _figures(section: Mapping[str, Any], column: str) -> dict[str, Any]:
    diff, reason = section.get("diff") or {}, section.get("reason")
    figures = {
        "status": section["status"],
        "reason": None if reason is None else UNFINISHED.sub("", str(reason))[:LONGEST],
        "sqnr_db": None if diff.get("sqnr_db") is None else round(diff["sqnr_db"], 1),
    }
    if column == "cloud_tpu":
        errors = sorted({str(row["error"]) for row in section.get("compile") or () if not row["ok"]})
        return {**figures, "compiles": bool(section.get("compile")) and not errors, "errors": errors[:2]}
    figures |= {"fully_integer": section.get("fully_integer"), "float_ops": section.get("float_ops")}
    if column == "edgetpu":
        mapping = section.get("mapping") or {}
        figures |= {name: mapping.get(name) for name in ("mapped_ops", "cpu_ops")}
    return figures


if __name__ == "__main__":
    for name, result in cell(sys.argv[1], sys.argv[2].split(","), Path(sys.argv[3])).items():
        (Path(sys.argv[3]) / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")
