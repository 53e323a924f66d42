"""Which task an output does: found from its shape, its values and the labels, unless the user says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tfcompress.accuracy_diff.labels import is_binary, is_one_hot, is_text
from tfcompress.accuracy_diff.tasks.base import Task
from tfcompress.accuracy_diff.tasks.binary import Binary, MultiLabel
from tfcompress.accuracy_diff.tasks.classification import Classification
from tfcompress.accuracy_diff.tasks.dense import Dense
from tfcompress.accuracy_diff.tasks.keypoints import Keypoints
from tfcompress.accuracy_diff.tasks.values import Autoencoder, Embedding, Regression
from tfcompress.errors import RecipeError
from tfcompress.task_names import TASKS

__all__ = ["TASKS", "choose_task"]


def choose_task(
    name: str | None,
    outputs: np.ndarray,
    labels: np.ndarray | None,
    inputs: np.ndarray,
    *,
    class_names: Sequence[str] | None = None,
) -> Task:
    """The task that judges one output.

    Args:
        name: one of TASKS; None finds it out.
        outputs: the reference's on the first batch, (samples, ...).
        labels: of the same batch, or None.
        inputs: the first input of the same batch; an autoencoder's output has its shape.
        class_names: in the model's order, for string labels.

    Raises:
        RecipeError: `name` is not a task.
    """
    chosen = name or _found(outputs, labels, inputs)
    classes = outputs.shape[-1] if outputs.ndim > 1 else 1
    unit = bool(np.nanmin(outputs, initial=0.0) >= 0 and np.nanmax(outputs, initial=0.0) <= 1 + 1e-4)
    if chosen == "classification":
        return Classification(classes, from_logits=not sums_to_one(outputs), class_names=class_names)
    if chosen in ("segmentation", "sequence"):
        kind: Literal["segmentation", "sequence"] = "segmentation" if chosen == "segmentation" else "sequence"
        return Dense(kind, classes, from_logits=not unit, class_names=class_names)
    if chosen == "autoencoder":
        return Autoencoder(labelled=labels is not None and labels.size == len(labels))
    simple: dict[str, Task] = {
        "binary": Binary(from_logits=not unit and not _regresses(outputs, labels)),
        "multi_label": MultiLabel(from_logits=not unit and not _regresses(outputs, labels)),
        "regression": Regression(),
        "embedding": Embedding(),
        "keypoints": Keypoints(),
    }
    if chosen not in simple:
        raise RecipeError(f"--task: unknown task {chosen!r}, expected one of {', '.join(TASKS)}")
    return simple[chosen]


def _regresses(outputs: np.ndarray, labels: np.ndarray | None) -> bool:
    """Whether outputs were trained towards the numbers 0 and 1: they have a smaller Brier score than as logits.

    Outputs for a no then lie on both sides of 0, so that a threshold of 0 would leave the answer to rounding.  Their
    threshold is 0.5.
    """
    if labels is None or labels.size != outputs.size or not is_binary(labels):
        return False
    values, truth = outputs.reshape(-1).astype(np.float64), labels.reshape(-1).astype(np.float64)
    sigmoid = 0.5 * (1 + np.tanh(values / 2))  # no exponential that overflows for logits far below zero
    as_numbers, as_logits = (np.square(scores - truth).mean() for scores in (values, sigmoid))
    return bool(as_numbers < as_logits)


def sums_to_one(outputs: np.ndarray) -> bool:
    """Whether outputs look like probabilities: in [0, 1], and 1 in sum within what 8 bits can hold."""
    finite = outputs[np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))]
    low, high = finite.min(initial=0.0), finite.max(initial=0.0)
    sums = finite.sum(axis=-1)
    return bool(low >= -1e-4 and high <= 1 + 1e-4 and np.abs(sums - 1).max(initial=0.0) < 0.05)


def _found(outputs: np.ndarray, labels: np.ndarray | None, inputs: np.ndarray) -> str:
    if (
        outputs.shape == inputs.shape
        and outputs.ndim > 1
        and outputs.size > len(outputs)
        and not _per_place(labels, outputs)
    ):
        return "autoencoder"
    if outputs.ndim >= 3:
        return _found_dense(outputs, labels, inputs)
    classes = outputs.shape[-1] if outputs.ndim == 2 else 1
    if labels is None:
        return _found_unlabelled(outputs, classes)
    if classes == 1:
        return "binary" if is_binary(labels) else "regression"
    one_each = labels.size == len(labels)
    if is_one_hot(labels, classes) or is_text(labels) or (one_each and _whole(labels)):
        return "classification"
    return "multi_label" if is_binary(labels) else "regression"


def _found_dense(outputs: np.ndarray, labels: np.ndarray | None, inputs: np.ndarray) -> str:
    """Of an output with a value for every place: classes, or a picture or series of numbers."""
    dense = "segmentation" if outputs.ndim >= 4 else "sequence"
    if labels is not None:
        return dense if _per_place(labels, outputs) else "regression"
    channels, given = outputs.shape[-1], inputs.shape[-1] if inputs.ndim == outputs.ndim else None
    if channels > 1 and sums_to_one(outputs):
        return dense
    if outputs.ndim >= 4 and inputs.ndim < outputs.ndim - 1:  # a picture made of a vector, as by a GAN's generator
        return "regression"
    if channels == given:  # another size of the same thing: super-resolution, or one image made of another
        return "regression"
    if channels == 1:
        inside = bool(np.nanmin(outputs, initial=0.0) >= 0 and np.nanmax(outputs, initial=0.0) <= 1)
        return dense if inside and outputs.ndim >= 4 else "regression"
    return dense


def _per_place(labels: np.ndarray | None, outputs: np.ndarray) -> bool:
    """Whether there is a class label for every place of a picture or a sequence."""
    if labels is None or outputs.ndim < 3 or not (_whole(labels) or is_text(labels)):
        return False
    places = outputs.shape[:-1]
    if labels.shape not in (places, (*places, 1)):
        return is_one_hot(labels, outputs.shape[-1])
    return outputs.shape[-1] > 1 or is_text(labels) or is_binary(labels)  # else grey values, which are no classes


def _found_unlabelled(outputs: np.ndarray, classes: int) -> str:
    if classes > 1 and sums_to_one(outputs):
        return "classification"
    inside = bool(np.nanmin(outputs, initial=0.0) >= 0 and np.nanmax(outputs, initial=0.0) <= 1)
    if inside:
        return "binary" if classes == 1 else "multi_label"
    return "regression" if classes < 64 else "embedding"


def _whole(labels: np.ndarray) -> bool:
    return labels.dtype.kind in "biu" or (labels.dtype.kind == "f" and bool(np.array_equal(labels, np.round(labels))))
