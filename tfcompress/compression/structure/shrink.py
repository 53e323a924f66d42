"""`shrink`: a model with fewer channels, by the recipe's section `structure`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfcompress.compression.structure.batch_norm import estimate_batch_norms
from tfcompress.compression.structure.choose import choose
from tfcompress.compression.structure.costs import Costs
from tfcompress.compression.structure.importance import importance_of
from tfcompress.compression.structure.statistics import ReadStatistics, measure_reads
from tfcompress.data import Samples
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.channels.cutting import cut_channels
from tfcompress.graphs.keras.channels.graph import ChannelGraph, trace_channels
from tfcompress.graphs.keras.lineage import Lineage
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.layer_names import patterns_match
from tfcompress.recipe import Structure

__all__ = ["Shrunk", "full_size", "shrink"]


@dataclass(frozen=True)
class Shrunk:
    """A model that was made smaller.

    Attributes:
        model: flat tf_keras model, not yet fine-tuned.
        lineage: its layers, and those of the model before.
        notes: for people: what it costs now, and what stayed and why.
    """

    model: KerasModel
    lineage: Lineage
    notes: tuple[str, ...]


def full_size(model: KerasModel, structure: Structure) -> tuple[float, dict[str, int]]:
    """What a flat model costs, in the unit of the section, and how many channels each layer makes."""
    graph = trace_channels(model)
    sizes = [len(family.groups) for family in graph.families]
    return Costs.of(graph).total(np.array(sizes, np.float64), structure.unit), widths_of(graph)


def shrink(
    model: KerasModel,
    structure: Structure,
    samples: Samples,
    *,
    share: float | None = None,
    before: float | None = None,
    widths: Mapping[str, int] | None = None,
    loss: str | None = None,
    seed: int = 0,
) -> Shrunk:
    """Remove the least important channels.

    Args:
        model: flat tf_keras model; it is not changed.
        structure: how much goes, and by which importance.
        samples: a few hundred are looked at; labels are used where there are any.
        share: of the cost that is left; None takes the section's own.
        before: what that share is of, see `full_cost`; None means this model.
        widths: {name of a layer: its channels before the first cut}; None takes those of this model.
        loss: name of a Keras loss against the labels; None takes one that fits the outputs.
        seed: of what is drawn.

    Raises:
        RecipeError: nothing can be cut, too little, or a pattern fits no layer.
    """
    _check_patterns(model, structure)
    graph = trace_channels(model, keep=structure.skip)
    needs = structure.keep_means or structure.importance == "activation"
    statistics = measure_reads(graph, samples) if needs else ReadStatistics()
    importance = importance_of(graph, structure.importance, samples, statistics, loss=loss, seed=seed)
    choice = choose(
        graph,
        importance,
        unit=structure.unit,
        share=structure.share if share is None else share,
        multiple=structure.round_to,
        least=_least(graph, structure, widths),
        before=before,
    )
    cut = cut_channels(graph, choice.removed, means=statistics.means if structure.keep_means else None)
    if structure.estimate_batch_norm and choice.removed:
        estimate_batch_norms(cut.model, samples)
    left = choice.after / choice.before
    notes = [f"structure: {_whole(choice.before)} {structure.unit} -> {_whole(choice.after)} ({left:.3f} of them)"]
    reasons = {family.reason: family.made_by for family in graph.families if family.reason is not None}
    notes += [f"not cut: {', '.join(layers)}: {reason}" for reason, layers in reasons.items()]
    return Shrunk(cut.model, cut.lineage, tuple(notes))


def widths_of(graph: ChannelGraph) -> dict[str, int]:
    """{name of a layer: how many channels it makes, those that go one by one}."""
    widths: dict[str, int] = {}
    for family in graph.families:
        for name in family.made_by:
            widths[name] = max(widths.get(name, 0), len(family.groups))
    return widths


def _least(graph: ChannelGraph, structure: Structure, widths: Mapping[str, int] | None) -> dict[str, int]:
    current = widths_of(graph) if widths is None else widths
    return {name: math.ceil(width * structure.least_width) for name, width in current.items()}


def _whole(value: float) -> str:
    return f"{round(value):,}"


def _check_patterns(model: KerasModel, structure: Structure) -> None:
    for pattern in structure.skip:
        if not any(patterns_match(layer.name, [pattern]) for layer in model.layers):
            raise RecipeError(f"recipe: structure.skip: {pattern!r} fits no layer of the model")
