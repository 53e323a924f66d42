"""``python -m benchmarks.zoo.cell MODEL COLUMN FOLDER``: convert one saved network for one column, as a user would.

Reads what `build` left in the folder and writes ``COLUMN.json`` beside it.
"""

from __future__ import annotations

import importlib
import json
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
from tfcompress import Distillation, Quantization, Recipe, Training, convert
from tfcompress.errors import TfCompressError

__all__ = ["cell"]

TRAINED = Recipe(quantization=Quantization(), distillation=Distillation(), training=Training(epochs=1, batch_size=16))
LONGEST = 400  # characters of a reason


def cell(model: str, column: str, folder: Path) -> dict[str, Any]:
    """The figures of one cell; those that the run did not give are absent."""
    facts = json.loads((folder / "built.json").read_text(encoding="utf-8"))
    for module in ENTRIES[model].modules:
        importlib.import_module(module)
    started, used = time.perf_counter(), time.process_time()
    try:
        section = _converted(folder, facts, column)
        figures = _figures(section, column)
    except TfCompressError as error:
        figures = {"status": "failed", "reason": str(error).replace(f"{folder}/", "")[:LONGEST]}
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **figures,
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - used + children.ru_utime + children.ru_stime, 1),
        "mib": round(max(peak_mib(), children.ru_maxrss / 1024)),
    }


def _converted(folder: Path, facts: Mapping[str, Any], column: str) -> dict[str, Any]:
    target = "phone" if column == "qat" else column
    calibration = str(folder / "calibration.npz")
    with TemporaryDirectory() as output:
        done = convert(
            str(folder / facts["file"]),
            output=Path(output) / "out",
            targets=target,
            calibration=calibration,
            evaluation=str(folder / "evaluation.npz"),
            train=calibration if column == "qat" else None,
            recipe=TRAINED if column == "qat" else None,
            custom_objects=resolved(facts["objects"]),
            no_cache=True,
        )
        return {**done.report["targets"][target], "causes_of_run": done.report.get("causes")}


def _figures(section: Mapping[str, Any], column: str) -> dict[str, Any]:
    diff, reason = section.get("diff") or {}, section.get("reason")
    figures = {
        "status": section["status"],
        "reason": None if reason is None else str(reason)[:LONGEST],
        "sqnr_db": diff.get("sqnr_db"),
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
    result = cell(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    (Path(sys.argv[3]) / f"{sys.argv[2]}.json").write_text(json.dumps(result), encoding="utf-8")
