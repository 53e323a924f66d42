"""What a model's outputs can mean: the values of ``--task``."""

from __future__ import annotations

__all__ = ["TASKS"]

TASKS = (
    "classification",
    "binary",
    "multi_label",
    "regression",
    "segmentation",
    "embedding",
    "autoencoder",
    "sequence",
)
