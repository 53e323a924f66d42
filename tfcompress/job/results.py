"""The content of report.json, put together from what the stages found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcompress.converters import DEFAULT_TARGETS, TARGETS, Artifact
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite.weights import count_weights
from tfcompress.job.attempts import Attempt
from tfcompress.job.manifest import versions
from tfcompress.load import inspect_model
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

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
    attempt: Attempt,
    *,
    notes: tuple[str, ...],
    warnings: tuple[str, ...],
    command: str | None,
    max_accuracy_drop: float,
    seed: int,
) -> dict[str, Any]:
    """The report as JSON values; what is not known is None.

    Args:
        model: the float model.
        recipe: what was asked.
        attempt: what each asked target came to, and how it compares.
        notes: what compression did, a line each.
        warnings: what a reader of the figures must know, a line each.
        command: that does the same again; None where data or model came from memory.
        max_accuracy_drop: the gate.
        seed: of everything random.
    """
    reference = attempt.reference.to_json() if attempt.reference else {"metrics": {}, "samples": 0}
    compared = {target: result.to_json() for target, result in attempt.results.items()}
    report = {
        "schema_version": SCHEMA_VERSION,
        "model": inspect_model(model)["model"],
        "reference": reference,
        "targets": {
            name: _target(attempt.artifacts.get(name), compared.get(name, {}))
            for name in TARGETS
            if name in DEFAULT_TARGETS or name in attempt.artifacts
        },
        "compression": {"notes": list(notes)},
        "warnings": list(warnings),
        "gate": {"max_accuracy_drop": max_accuracy_drop},
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "command": command,
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
    facts: dict[str, Any] = dict(artifact.facts)
    if artifact.runnable.suffix == ".tflite":
        facts["weights"] = count_weights(artifact.runnable).to_json()
    verdict = {"status": compared.get("status", "ok"), "reason": compared.get("reason")}
    refusal = TARGETS[artifact.target].refusal(facts)
    if refusal is not None:
        verdict = {"status": "failed", "reason": refusal}
    return {
        **base,
        "bytes": _bytes(artifact.runnable),
        **facts,
        **compared,
        **verdict,
        "notes": list(artifact.notes),
        "files": [f"{artifact.target}/{name}" for name in _files(artifact.folder)],
    }


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _bytes(runnable: Path) -> int:
    if runnable.is_file():
        return runnable.stat().st_size
    return sum(path.stat().st_size for path in runnable.rglob("*") if path.is_file())
