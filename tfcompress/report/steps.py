"""What was done to the model, a line each, read off the recipe and the targets of report.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfcompress.report import figures

__all__ = ["steps"]

_SCHEMES = {
    "int8": "8-bit integers, inside and at both ends",
    "int8_float_io": "8-bit integers inside, float inputs and outputs",
    "int16x8": "16-bit activations and 8-bit weights",
    "float16": "16-bit float weights",
    "dynamic": "8-bit weights, activations quantized as they come",
    "int4_weights": "4-bit weights",
}
_PRECISIONS = {
    "bfloat16": "bfloat16, 2 bytes a weight instead of 4",
    "mixed": "float32 weights, computed in bfloat16",
    "float32": "float32, as it was",
}


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
    scheme = (recipe.get("post_training") or {}).get("scheme")
    if "phone" in targets and scheme in _SCHEMES:
        yield f"phone: {_SCHEMES[scheme]}"
    if "edgetpu" in targets:
        yield "Edge TPU: 8-bit integers throughout, as its compiler demands"
    precision = (recipe.get("cloud_tpu") or {}).get("precision")
    if "cloud_tpu" in targets and precision in _PRECISIONS:
        yield f"Cloud TPU: {_PRECISIONS[precision]}"
