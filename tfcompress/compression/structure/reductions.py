"""The sections of a recipe that change the layers themselves, as steps that fine-tuning takes one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tfcompress.compression.structure.layer_removal import remove_layers
from tfcompress.compression.structure.low_rank import lower_ranks
from tfcompress.compression.structure.shrink import Shrunk, full_size, shrink
from tfcompress.compression.structure.students import make_student
from tfcompress.data import Samples
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.recipe import Layers, LowRank, Recipe, Structure, Student, Training

__all__ = ["Reduction", "reductions"]


@dataclass(frozen=True)
class Reduction:
    """One change of the layers.

    Attributes:
        name: of the step, for progress and checkpoints.
        section: of the recipe that asks for it.
        apply: makes the smaller model of a flat one.
    """

    name: str
    section: Student | Layers | Structure | LowRank
    apply: Callable[[KerasModel], Shrunk]

    def training(self, recipe: Recipe) -> Training | None:
        """How what is left is fine-tuned; None where it is not."""
        epochs = recipe.training.epochs if self.section.epochs is None else self.section.epochs
        if epochs == 0:
            return None
        rate = self.section.learning_rate or recipe.training.learning_rate
        return replace(recipe.training, epochs=epochs, learning_rate=rate)


def reductions(recipe: Recipe, samples: Samples, model: KerasModel, *, seed: int) -> list[Reduction]:
    """The steps that a recipe asks for, in their order.

    Args:
        recipe: with or without such sections.
        samples: what they look at.
        model: the flat tf_keras model that the first step gets: shares are of its cost.
        seed: of what is drawn.
    """
    result = []
    if (student := recipe.student) is not None:
        result.append(Reduction("student", student, lambda current: make_student(current, student, samples, seed=seed)))
    if (layers := recipe.layers) is not None:
        result.append(Reduction("layers", layers, lambda current: remove_layers(current, layers, samples)))
    if recipe.structure is not None:
        result += _rounds(recipe.structure, recipe.training.loss, samples, model, seed)
    if (low_rank := recipe.low_rank) is not None:
        result.append(Reduction("low_rank", low_rank, lambda current: lower_ranks(current, low_rank, samples)))
    return result


def _rounds(structure: Structure, loss: str | None, samples: Samples, model: KerasModel, seed: int) -> list[Reduction]:
    """So many cuts, each of an equal part of what goes in all."""
    before, widths = full_size(model, structure)

    def step(number: int) -> Reduction:
        share = 1 - (1 - structure.share) * number / structure.rounds

        def apply(current: KerasModel) -> Shrunk:
            return shrink(current, structure, samples, share=share, before=before, widths=widths, loss=loss, seed=seed)

        return Reduction(f"structure {number}" if structure.rounds > 1 else "structure", structure, apply)

    return [step(number) for number in range(1, structure.rounds + 1)]
