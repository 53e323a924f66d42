"""What is tried where no cause was found, or its own repair was not enough: from the cheapest change to the dearest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfcompress.accuracy_diff.causes.suggest import Suggestion
from tfcompress.accuracy_diff.layers import LayerDiff
from tfcompress.recipe import Quantization, Recipe

__all__ = ["ladder"]

NEIGHBOURS = 1  # layers before and behind the worst one


def ladder(
    recipe: Recipe, layers: Sequence[LayerDiff], *, wide_activations: bool = True, training_data: bool = False
) -> tuple[Suggestion, ...]:
    """The rungs: best quality, float edges, the worst layers in float, 16-bit activations, training.

    Args:
        recipe: with which the artifact was made; each rung changes it alone.
        layers: of the artifact, in the order of execution; empty where they are not known.
        wide_activations: the target can do 16-bit activations.
        training_data: there are data to train on, given for that.
    """
    options = recipe.post_training
    best = dataclasses.replace(recipe, post_training=dataclasses.replace(options, quality="best"))
    rungs = (
        [_rung("--quality=best", best, is_slow=True)]
        if options.quality != "best" and recipe.quantization is None
        else []
    )
    if options.scheme == "int8":
        rungs += [*_float_edges(recipe, layers), *_worst_in_float(recipe, layers)]
    if wide_activations and options.scheme in ("int8", "int8_float_io"):
        wide = dataclasses.replace(recipe, post_training=dataclasses.replace(options, scheme="int16x8"))
        rungs.append(_rung("--scheme=int16x8", wide))
    if training_data and not recipe.trains:
        trained = dataclasses.replace(recipe, quantization=Quantization())
        rungs.append(_rung("--quantization", trained, is_slow=True))
    return tuple(rungs)


def _rung(flag: str, recipe: Recipe, *, is_slow: bool = False) -> Suggestion:
    return Suggestion((), flag, recipe, is_slow=is_slow)


def _float_edges(recipe: Recipe, layers: Sequence[LayerDiff]) -> list[Suggestion]:
    """Float inputs and outputs, then the last layer, or both ends, in float too."""
    plain = dataclasses.replace(recipe, post_training=dataclasses.replace(recipe.post_training, scheme="int8_float_io"))
    rungs = [_rung("--scheme=int8_float_io", plain)]
    names = [row.layer for row in layers]
    for ends in ((names[-1:]), (names[:1] + names[-2:])):
        if ends:
            kept = dataclasses.replace(plain, keep_float=tuple(dict.fromkeys((*recipe.keep_float, *ends))))
            rungs.append(_rung(f"--scheme=int8_float_io, and keep_float={', '.join(ends)} in the recipe", kept))
    return rungs


def _worst_in_float(recipe: Recipe, layers: Sequence[LayerDiff]) -> list[Suggestion]:
    """The layer whose own error is largest, with its neighbours, in float."""
    judged = [(row.own_sqnr_db, place) for place, row in enumerate(layers) if row.own_sqnr_db is not None]
    if not judged:
        return []
    _, worst = min(judged)
    names = [row.layer for row in layers[max(0, worst - NEIGHBOURS) : worst + NEIGHBOURS + 1]]
    kept = dataclasses.replace(
        recipe,
        keep_float=tuple(dict.fromkeys((*recipe.keep_float, *names))),
        post_training=dataclasses.replace(recipe.post_training, scheme="int8_float_io"),
    )
    return [_rung(f"--scheme=int8_float_io, and keep_float={', '.join(names)} in the recipe", kept)]
