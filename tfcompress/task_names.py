"""What a model's outputs can mean: the values of ``--task`` and ``--decode``."""

from __future__ import annotations

from tfcompress.errors import RecipeError

__all__ = ["DECODINGS", "TASKS", "check_decoding"]

TASKS = (
    "classification",
    "binary",
    "multi_label",
    "regression",
    "segmentation",
    "embedding",
    "autoencoder",
    "sequence",
    "detection",
    "keypoints",
)
DECODINGS = ("boxes_and_scores", "yolo", "yolo_with_objectness", "postprocessed")


def check_decoding(task: str | None, decode: str | None) -> None:
    """Refuse a decoding without the task `detection`, and an unknown one.

    Raises:
        RecipeError: as said.
    """
    expected = f"{', '.join(DECODINGS)} or package.module:function"
    if decode is not None and task != "detection":
        raise RecipeError(f"--decode={decode} without --task=detection: only a detector's outputs are decoded")
    if decode is not None and decode not in DECODINGS and ":" not in decode:
        raise RecipeError(f"--decode={decode}: expected one of {expected}")
