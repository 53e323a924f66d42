"""The content of report.json, put together from what the stages found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcompress.accuracy_diff import Comparison
from tfcompress.converters.artifact import Artifact
from tfcompress.errors import ConversionError
from tfcompress.load import inspect_model
from tfcompress.manifest import versions
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.targets import Target

__all__ = ["build_report"]

SCHEMA_VERSION = 1
_EMPTY_DIFF = {
    "accuracy_drop": None,
    "accuracy_drop_ci95": None,
    "top1_agreement": None,
    "sqnr_db": None,
    "max_abs_error": None,
    "p_value": None,
}


def build_report(
    model: FloatModel,
    recipe: Recipe,
    artifacts: Mapping[Target, Artifact | ConversionError],
    comparison: Comparison | None,
    *,
    notes: tuple[str, ...],
    max_accuracy_drop: float,
    seed: int,
) -> dict[str, Any]:
    """The report as JSON values; what is not known is None.

    Args:
        model: the float model.
        recipe: what was asked.
        artifacts: what each asked target came to.
        comparison: of every artifact that there is, or None without data to compare on.
        notes: what compression did, a line each.
        max_accuracy_drop: the gate.
        seed: of everything random.
    """
    compared: dict[str, Any] = {"reference": {"metrics": {}, "samples": 0}, "candidates": {}}
    if comparison is not None:
        compared = comparison.to_json()
    candidates = compared["candidates"]
    report = {
        "schema_version": SCHEMA_VERSION,
        "model": inspect_model(model)["model"],
        "reference": compared["reference"],
        "targets": {str(target): _target(artifacts.get(target), candidates.get(str(target), {})) for target in Target},
        "compression": {"notes": list(notes)},
        "gate": {"max_accuracy_drop": max_accuracy_drop},
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "versions": versions(),
    }
    return json.loads(json.dumps(report, default=str))


def _target(artifact: Artifact | ConversionError | None, compared: Mapping[str, Any]) -> dict[str, Any]:
    base: dict[str, Any] = {"status": "skipped", "reason": "not asked for", "files": [], "bytes": None}
    base |= {"fully_integer": None, "input_dtypes": [], "output_dtypes": [], "float_ops": []}
    base |= {"metrics": {}, "latency_ms": {"median": None, "p90": None}, "diff": dict(_EMPTY_DIFF)}
    if artifact is None:
        return base
    if isinstance(artifact, ConversionError):
        return base | {"status": "failed", "reason": str(artifact)}
    facts = dict(artifact.facts)
    return {
        **base,
        "bytes": _bytes(artifact.runnable),
        **facts,
        **compared,
        "status": compared.get("status", "ok"),
        "reason": compared.get("reason"),
        "notes": list(artifact.notes),
        "files": [f"{artifact.target}/{name}" for name in _files(artifact.folder)],
    }


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _bytes(runnable: Path) -> int:
    if runnable.is_file():
        return runnable.stat().st_size
    return sum(path.stat().st_size for path in runnable.rglob("*") if path.is_file())
