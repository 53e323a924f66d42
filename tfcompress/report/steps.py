"""What was done to the model, a line each, read off the recipe and the targets of report.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfcompress.converters.target import TARGETS
from tfcompress.report import figures

__all__ = ["steps"]


def steps(report: Mapping[str, Any]) -> tuple[str, ...]:
    """One line a stage that ran; empty where the report has no recipe."""
    recipe = report.get("recipe") or {}
    targets = [name for name, section in (report.get("targets") or {}).items() if section.get("status") != "skipped"]
    return (*_trained(recipe), *_converted(recipe, targets)) if recipe else ()


def _trained(recipe: Mapping[str, Any]) -> Iterator[str]:
    if pruning := recipe.get("pruning"):
        pattern = str(pruning.get("pattern")).replace("n_m", f"{pruning.get('n')} of {pruning.get('m')}")
        yield f"pruned to {figures.percent(pruning.get('sparsity'), 0)} zeros ({pattern}, {pruning.get('schedule')})"
    if clustering := recipe.get("clustering"):
        kept = ", zeros kept" if clustering.get("preserve_sparsity") else ""
        yield f"clustered to {clustering.get('clusters')} values a kernel{kept}"
    if recipe.get("quantization"):
        yield "trained with simulated 8-bit arithmetic (quantization-aware training)"
    if distillation := recipe.get("distillation"):
        temperature = figures.value(distillation.get("temperature"))
        yield f"trained towards the float model's outputs (temperature {temperature})"
    if any(recipe.get(section) for section in ("pruning", "clustering", "quantization", "distillation")):
        training = recipe.get("training") or {}
        yield f"fine-tuned for {figures.value(training.get('epochs'))} epochs a stage with {training.get('optimizer')}"


def _converted(recipe: Mapping[str, Any], targets: list[str]) -> Iterator[str]:
    for name in targets:
        line = TARGETS[name].done(recipe) if name in TARGETS else None
        if line is not None:
            yield line
