"""Repairs as changes of the recipe, and their trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tfcompress.accuracy_diff.causes.cause import Cause
from tfcompress.accuracy_diff.gate import Gate
from tfcompress.recipe import Clustering, PostTraining, Pruning, Recipe

__all__ = ["Suggestion", "Trial", "suggest", "try_suggestions"]

# What is wrong with a file that was made of something else is right in one made of the model itself.
MADE_ANEW = ("class_order", "mask_in_range", "training_mode", "weights_differ")
MORE_SAMPLES = (4, 16)  # times as many as before: ranges grow with the logarithm of the number


@dataclass(frozen=True)
class Suggestion:
    """What to do differently in the next run.

    Attributes:
        causes: that it answers.
        flag: for the command line or the recipe, one line.
        recipe: the whole recipe with the change.
        calibration_samples: at least so many; None leaves the number.
        preprocess: what happens to raw values; None leaves it.
        is_slow: it converts many times, or trains.
    """

    causes: tuple[Cause, ...]
    flag: str
    recipe: Recipe
    calibration_samples: int | None = None
    preprocess: str | None = None
    is_slow: bool = False


@dataclass(frozen=True)
class Trial:
    """A suggestion and the gate's verdict on what came of it."""

    suggestion: Suggestion
    gate: Gate


def suggest(
    causes: Sequence[Cause], recipe: Recipe, *, calibration_samples: int = 500, layer_names: Sequence[str] = ()
) -> tuple[Suggestion, ...]:
    """Suggestions for each kind of cause, those of the whole model first; each builds on those before it.

    Args:
        causes: of `find_causes`.
        recipe: with which the artifact was made.
        calibration_samples: that it was calibrated on.
        layer_names: of the model; a repair that trains leaves those out that have not the cause.
    """
    suggestions: list[Suggestion] = []
    samples: int | None = None
    kinds = dict.fromkeys(cause.kind for cause in sorted(causes, key=lambda cause: cause.layer is not None))
    for kind in kinds:
        same = tuple(cause for cause in causes if cause.kind == kind)
        if kind == "too_few_calibration_samples" or (kind == "range_too_narrow" and _takes_whole_range(recipe)):
            suggestions += _more_samples(same, recipe, calibration_samples)
            samples = suggestions[-1].calibration_samples
            continue
        suggestion = _suggestion(same, recipe, layer_names)
        if suggestion is not None:
            recipe = suggestion.recipe
            suggestions.append(dataclasses.replace(suggestion, calibration_samples=samples))
    return tuple(suggestions)


def _takes_whole_range(recipe: Recipe) -> bool:
    """Whether no value is left out of a range on purpose."""
    trained = recipe.quantization
    return recipe.post_training.estimator == "min_max" and (trained is None or trained.estimator == "min_max")


def _more_samples(causes: tuple[Cause, ...], recipe: Recipe, used: int) -> list[Suggestion]:
    numbers = [times * used for times in MORE_SAMPLES]
    return [Suggestion(causes, f"--calibration_samples={number}", recipe, number) for number in numbers]


def _suggestion(causes: tuple[Cause, ...], recipe: Recipe, layer_names: Sequence[str]) -> Suggestion | None:
    kind = causes[0].kind
    layers = tuple(dict.fromkeys(layer for cause in causes for layer in cause.repair_layers))
    if kind == "preprocessing":
        return Suggestion(causes, causes[0].repair, recipe, preprocess=causes[0].advice)
    if kind in ("needs_more_bits", "unequal_ranges"):
        changed = dataclasses.replace(recipe, keep_int16=_joined(recipe.keep_int16, layers))
        return Suggestion(causes, f"16-bit activations: keep_int16={', '.join(layers)} in the recipe", changed)
    if kind in ("dead_activation", "softmax_tail"):
        changed = dataclasses.replace(recipe, keep_float=_joined(recipe.keep_float, layers))
        if kind == "softmax_tail":  # a float layer behind which the output is 8 bits again would gain nothing
            changed = dataclasses.replace(
                changed, post_training=dataclasses.replace(recipe.post_training, scheme="int8_float_io")
            )
        return Suggestion(causes, causes[0].repair, changed)
    if kind in ("clusters_lost", "sparsity_lost"):
        return Suggestion(causes, causes[0].repair, _preserving(causes, recipe, layer_names))
    changed_recipe = _changed(kind, recipe)
    return None if changed_recipe is None else Suggestion(causes, causes[0].repair, changed_recipe)


def _preserving(causes: tuple[Cause, ...], recipe: Recipe, layer_names: Sequence[str]) -> Recipe:
    """The recipe with rounding that keeps zeros and clusters, and training that does where there is any."""
    rounding = dataclasses.replace(recipe.post_training, adaptive_rounding=False)
    kept = dataclasses.replace(recipe, post_training=rounding)
    if not recipe.trains:
        return kept
    figures = {layer: float(cause.advice or 0) for cause in causes for layer in cause.repair_layers}
    others = tuple(name for name in layer_names if name not in figures)
    if causes[0].kind == "clusters_lost":
        clusters = Clustering(clusters=int(max(figures.values())), skip=others)
        return dataclasses.replace(kept, clustering=recipe.clustering or clusters)
    if recipe.clustering is not None:
        kept = dataclasses.replace(kept, clustering=dataclasses.replace(recipe.clustering, preserve_sparsity=True))
    zeros = Pruning(schedule="constant", sparsity=0.0, layers=tuple(figures.items()), skip=others)
    return dataclasses.replace(kept, pruning=recipe.pruning or zeros)


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _changed(kind: str, recipe: Recipe) -> Recipe | None:
    """The recipe with the section changed that the cause points to; None where it has no such section."""
    if kind in ("range_too_narrow", "range_too_wide") and recipe.quantization is not None:
        estimator: Literal["min_max", "mse"] = "min_max" if kind == "range_too_narrow" else "mse"
        ranges = dataclasses.replace(recipe.quantization, estimator=estimator)
        recipe = dataclasses.replace(recipe, quantization=ranges)
    changes: dict[str, PostTraining] = {
        "range_too_narrow": dataclasses.replace(recipe.post_training, estimator="min_max"),
        "range_too_wide": dataclasses.replace(recipe.post_training, estimator="mse"),
        "per_tensor_weights": dataclasses.replace(recipe.post_training, engine="litert"),
        "pooling_rescaled": dataclasses.replace(recipe.post_training, engine="litert"),
        "unscaled_features": dataclasses.replace(recipe.post_training, mixed_inputs="float"),
        "mixed_ranges": dataclasses.replace(recipe.post_training, mixed_outputs="float"),
        **dict.fromkeys(MADE_ANEW, recipe.post_training),
    }
    if kind in changes:
        return dataclasses.replace(recipe, post_training=changes[kind])
    if kind == "batch_norm" and recipe.quantization is not None:
        frozen = dataclasses.replace(recipe.quantization, freeze_batch_norm=True)
        return dataclasses.replace(recipe, quantization=frozen)
    return None


def try_suggestions(suggestions: Sequence[Suggestion], retry: Callable[[Suggestion], Gate]) -> tuple[Trial, ...]:
    """Try suggestions in order until the gate no longer fails.

    Args:
        suggestions: of `suggest`; each holds the changes of those before it.
        retry: converts and compares anew with a suggestion, and gives the verdict.

    Returns:
        What was tried; the last one is the one to keep if its gate did not fail.
    """
    trials: list[Trial] = []
    for suggestion in suggestions:
        trials.append(Trial(suggestion, retry(suggestion)))
        if not trials[-1].gate.failed:
            break
    return tuple(trials)
