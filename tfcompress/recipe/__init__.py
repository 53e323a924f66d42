"""Recipes: what is done to a model, as frozen dataclasses that document and check themselves.

The options of targets are sections too; they live with the targets (``converters/NAME/options.py``).
"""

from typing import TYPE_CHECKING

from tfcompress.recipe.post_training import PostTraining
from tfcompress.recipe.recipe import Recipe
from tfcompress.recipe.structure_sections import Layers, LowRank, Structure, Student
from tfcompress.recipe.training_sections import Clustering, Distillation, Pruning, Quantization, Training
from tfcompress.target_sections import target_sections

__all__ = [
    "Clustering",
    "Distillation",
    "Layers",
    "LowRank",
    "PostTraining",
    "Pruning",
    "Quantization",
    "Recipe",
    "Structure",
    "Student",
    "Training",
]

if not TYPE_CHECKING:  # scripts have imported the sections of targets from here

    def __getattr__(name: str) -> type:
        for section in () if name.startswith("_") else target_sections().values():
            if section.__name__ == name:
                return section
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
