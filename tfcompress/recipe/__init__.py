"""Recipes: what is done to a model, as frozen dataclasses that document and check themselves."""

from tfcompress.recipe.recipe import Recipe
from tfcompress.recipe.target_sections import CloudTpu, EdgeTpu, EthosU, PostTraining, Snapdragon
from tfcompress.recipe.training_sections import Clustering, Distillation, Pruning, Quantization, Training

__all__ = [
    "CloudTpu",
    "Clustering",
    "Distillation",
    "EdgeTpu",
    "EthosU",
    "PostTraining",
    "Pruning",
    "Quantization",
    "Recipe",
    "Snapdragon",
    "Training",
]
