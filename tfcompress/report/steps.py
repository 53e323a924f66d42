"""What was done to the model, a line each, read off the recipe."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tfcompress.converters.target import TARGETS
from tfcompress.recipe import Recipe
from tfcompress.report import figures

__all__ = ["steps", "trained_stages"]

_TRAINED = ("student", "layers", "structure", "low_rank", "pruning", "clustering", "quantization", "distillation")


def trained_stages(recipe: Recipe) -> tuple[str, ...]:
    """The recipe's sections that train."""
    return tuple(name for name in _TRAINED if getattr(recipe, name) is not None)


def steps(recipe: Recipe, targets: Collection[str]) -> tuple[str, ...]:
    """One line per stage that ran.

    Args:
        recipe: what was asked.
        targets: those that were asked for.
    """
    return (*_trained(recipe), *_converted(recipe, targets))


def _trained(recipe: Recipe) -> Iterator[str]:
    if student := recipe.student:
        yield f"a student trained towards it ({student.family or student.model or 'its own architecture, smaller'})"
    if layers := recipe.layers:
        yield f"{'some' if layers.remove is None else layers.remove} blocks of layers left out"
    if structure := recipe.structure:
        left = figures.percent(structure.share, 0)
        yield f"cut to at most {left} of its {structure.unit} (channels, by {structure.importance} importance)"
    if low_rank := recipe.low_rank:
        of = "energy kept" if low_rank.energy is not None else "multiply-accumulates left at most"
        yield f"kernels split to low rank ({figures.percent(low_rank.energy or low_rank.macs or 0, 0)} of the {of})"
    if pruning := recipe.pruning:
        pattern = pruning.pattern.replace("n_m", f"{pruning.n} of {pruning.m}")
        yield f"pruned to {figures.percent(pruning.sparsity, 0)} zeros ({pattern}, {pruning.schedule})"
    if clustering := recipe.clustering:
        kept = ", zeros kept" if clustering.preserve_sparsity else ""
        if clustering.table == "free":
            yield f"clustered to {clustering.clusters} values per kernel{kept}"
        else:
            yield f"weights made {clustering.table}: one size for each scale, and signs{kept}"
    if recipe.quantization:
        yield "trained with simulated 8-bit arithmetic (quantization-aware training)"
    if distillation := recipe.distillation:
        yield f"trained towards the float model's outputs (temperature {figures.value(distillation.temperature)})"
    if trained_stages(recipe):
        training = recipe.training
        yield f"fine-tuned for {figures.value(training.epochs)} epochs per stage with {training.optimizer}"


def _converted(recipe: Recipe, targets: Collection[str]) -> Iterator[str]:
    plain = recipe.to_plain()
    for name in targets:
        line = TARGETS[name].done(plain)
        if line is not None:
            yield line
