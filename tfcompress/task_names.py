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
    """Refuse a task `detection` without a decoding, a decoding without that task, and an unknown one.

    Raises:
        RecipeError: as said.
    """
    expected = f"{', '.join(DECODINGS)} or package.module:function"
    if (task == "detection") != (decode is not None):
        given = "--task=detection without --decode" if decode is None else f"--decode={decode} without --task=detection"
        raise RecipeError(f"{given}: a detector needs both; --decode is one of {expected}")
    if decode is not None and decode not in DECODINGS and ":" not in decode:
        raise RecipeError(f"--decode={decode}: expected one of {expected}")
