"""The report, put together from what the stages found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress import console
from tfcompress.accuracy_diff import suggest
from tfcompress.accuracy_diff.causes import Cause
from tfcompress.accuracy_diff.comparison import plain
from tfcompress.cache import remembered
from tfcompress.converters import DEFAULT_TARGETS, TARGETS, Artifact
from tfcompress.converters.phone.packing import packed_bytes
from tfcompress.errors import ConversionError, InputError
from tfcompress.graphs.tflite.weights import count_weights
from tfcompress.job.manifest import versions
from tfcompress.job.reproduce import reproduce_command, why_no_command
from tfcompress.job.state import State, TrainedModel
from tfcompress.load import inspect_model
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.remarks import optional
from tfcompress.report import figures
from tfcompress.report.schema import NOT_COMPARED, Compression, GateLimit, Model, Reference, Report, TargetSection
from tfcompress.report.steps import steps, trained_stages
from tfcompress.typed_json import field_hints, from_plain

__all__ = ["artifact_bytes", "build_report", "model_section", "packed_size"]

_LARGEST_PACKED = 4 << 20  # bytes; packing takes about 3 seconds a MiB


def model_section(model: FloatModel) -> Mapping[str, Any]:
    """The `model` section of report.json, as plain values: all that a report says of the float model itself."""
    return {**inspect_model(model)["model"], "sparsity": _sparsity(model)}


def _sparsity(model: FloatModel) -> float | None:
    """Share of the kernels' weights that are zero; None where they cannot be read."""
    if model.keras_model is None:
        return None
    kernels = [np.asarray(weight) for weight in model.keras_model.weights if len(weight.shape) > 1]
    count = sum(kernel.size for kernel in kernels)
    return sum(int(np.count_nonzero(kernel == 0)) for kernel in kernels) / count if count else None


def build_report(model: Mapping[str, object], state: State, *, warnings: tuple[str, ...]) -> Report:
    """The report of a conversion; what is not known is None.

    Args:
        model: the float model, see `model_section`.
        state: what each target came to, and how it compares.
        warnings: what a reader of the figures must know, a line each.
    """
    lost: list[str] = []
    recipe, trained, options = state.recipe, state.trained, state.options
    targets = {
        name: _target(name, state, lost) for name in TARGETS if name in DEFAULT_TARGETS or name in state.artifacts
    }
    reference = state.reference.to_json() if state.reference else {}
    anywhere = replace(options, cache_dir=None, no_cache=False)  # what is kept changes nothing
    return Report(
        model=from_plain(Model, dict(model), "model"),
        reference=from_plain(Reference, reference, "reference"),
        targets=targets,
        compression=Compression(
            notes=() if trained is None else trained.notes,
            stages=trained_stages(recipe),
            steps=steps(recipe, tuple(state.artifacts)),
            widths=() if trained is None else trained.widths,
            layers=() if trained is None else trained.layers,
        ),
        warnings=(*warnings, *lost),
        gate=GateLimit(max_accuracy_drop=options.max_accuracy_drop),
        recipe=recipe.to_plain(),
        seed=options.seed,
        command=reproduce_command(anywhere),
        no_command=why_no_command(anywhere),
        versions=versions(),
    )


def _target(name: str, state: State, lost: list[str]) -> TargetSection:
    artifact, target = state.artifacts.get(name), TARGETS[name]
    if artifact is None:
        return TargetSection(status="skipped", reason="not asked for", title=target.title)
    if isinstance(artifact, ConversionError):
        return TargetSection(status="failed", reason=str(artifact), title=target.title)
    facts: dict[str, Any] = {"bytes": artifact_bytes(artifact.runnable), **_size(state.trained), **artifact.facts}
    if artifact.runnable.suffix == ".tflite":
        facts["weights"] = count_weights(artifact.runnable).to_json()
        with optional(f"{name}: its size when packed"):
            facts["packed_bytes"] = packed_size(artifact.runnable)
    rows = [
        {"label": row.label, "value": figures.with_unit(row.value, row.unit), "summary": True}
        for row in target.report_rows(facts)
    ]
    facts |= _compared(state, name)
    if (refusal := target.refusal(facts)) is not None:
        facts |= {"status": "failed", "reason": refusal}
    facts |= {"title": target.title, "rows": rows, "notes": artifact.notes, "files": _files(artifact)}
    facts["next_steps"] = [{"text": step.text, "command": step.command} for step in target.next_steps(facts)]
    return _section(name, facts, lost)


def packed_size(path: Path) -> int | None:
    """What ``tfcompress pack`` makes of a .tflite; None above 4 MiB, where it takes too long."""
    content = path.read_bytes()
    if len(content) > _LARGEST_PACKED:
        return None
    return remembered(int, "packed bytes", (content,), lambda: int(packed_bytes(content)["packed_bytes"]))


def _size(trained: TrainedModel | None) -> dict[str, Any]:
    """Multiply-accumulates and weights, where the recipe changed the layers themselves."""
    if trained is None or trained.size is None:
        return {}
    return {"macs": trained.size.macs, "parameters": trained.size.parameters}


def _compared(state: State, name: str) -> dict[str, Any]:
    """What the accuracy diff says; its causes are those that are left, then those that a repair took away."""
    result = state.results.get(name)
    if result is None:
        return {"status": "undecided", "reason": NOT_COMPARED}
    left = {(cause.kind, cause.layer) for cause in result.causes}
    gone = [cause for cause in state.repaired.get(name, ()) if (cause.kind, cause.layer) not in left]
    tried = False if state.options.suggest else None
    flags = _flags([*result.causes, *gone], state.recipe, state.options.calibration_samples)
    rows = [(cause, tried) for cause in result.causes] + [(cause, True) for cause in gone]
    causes = [{**cause.to_json(), "flag": flags.get(id(cause)), "repaired": done} for cause, done in rows]
    return {**result.to_json(), "causes": causes}


def _flags(causes: Sequence[Cause], recipe: Recipe, calibration_samples: int) -> dict[int, str]:
    """{id of a cause: the flag that answers it}."""
    flags: dict[int, str] = {}
    for suggestion in suggest(causes, recipe, calibration_samples=calibration_samples):
        for cause in suggestion.causes:
            flags.setdefault(id(cause), suggestion.flag)
    return flags


def _section(target: str, facts: Mapping[str, object], lost: list[str]) -> TargetSection:
    """The section with the facts that its fields take; a further one goes into `figures`.

    A fact of the wrong type is our own mistake, and costs itself, never the artifact: it is left out with a warning.
    """
    usable: dict[str, object] = {}
    further: dict[str, object] = {}
    for name, value in facts.items():
        has_field = name in field_hints(TargetSection)
        alone = {name: plain(value)} if has_field else {"figures": {name: plain(value)}}
        try:
            from_plain(TargetSection, {"status": "ok", **alone}, f"report: {target}", gather=True)
        except InputError as error:
            lost.append(f"left out of the report: {error}")
            console.warn(lost[-1])
            continue
        (usable if has_field else further)[name] = plain(value)
    return from_plain(TargetSection, {**usable, "figures": further}, f"report: {target}", gather=True)


def _files(artifact: Artifact) -> list[str]:
    """Names of all the artifact's files below the output folder."""
    names = sorted(
        path.relative_to(artifact.folder).as_posix() for path in artifact.folder.rglob("*") if path.is_file()
    )
    return [f"{artifact.target}/{name}" for name in names]


def artifact_bytes(runnable: Path) -> int:
    """Of a file, or of all files of a SavedModel."""
    if runnable.is_file():
        return runnable.stat().st_size
    return sum(path.stat().st_size for path in runnable.rglob("*") if path.is_file())
