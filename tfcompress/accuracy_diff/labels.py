"""Labels in the forms that users have - integers, one-hot rows, strings - as what the metrics count with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfcompress.errors import DataError

__all__ = ["check_values", "class_indices", "is_binary", "is_one_hot", "is_text"]


def is_text(labels: np.ndarray) -> bool:
    """Whether labels are strings or bytes."""
    return labels.dtype.kind in "SUO" and not all(isinstance(value, int | float) for value in labels.ravel()[:1])


def is_binary(labels: np.ndarray) -> bool:
    """Whether every label is 0 or 1."""
    return labels.dtype.kind in "biuf" and bool(np.isin(labels, (0, 1)).all())


def is_one_hot(labels: np.ndarray, classes: int) -> bool:
    """Whether labels are rows of `classes` zeros with a single one."""
    return (
        labels.ndim >= 2
        and labels.shape[-1] == classes > 1
        and is_binary(labels)
        and bool((labels.sum(axis=-1) == 1).all())
    )


def check_values(truth: np.ndarray, values: np.ndarray) -> None:
    """Whether there is a label for each value of the output; both are (samples, values).

    Raises:
        DataError: there is not.
    """
    given, wanted = truth.shape[-1], values.shape[-1]
    if given == wanted:
        return
    fix = f"give {wanted} numbers for each sample"
    if given == 1:
        fix = f"give whole numbers from 0 to {wanted - 1} for classes, or {wanted} numbers for each sample"
    raise DataError(
        f"labels have {given} values per sample, the model's output has {wanted}: {fix}; "
        "of a .csv name the column of the labels in --label_column"
    )


def class_indices(
    labels: np.ndarray, classes: int, *, class_names: Sequence[str] | None = None, where: str = "labels"
) -> np.ndarray:
    """Labels as int64 class indices.

    Args:
        labels: shape (..., classes) one-hot, or integers or strings of shape (...) or (..., 1).
        classes: number of classes that the model tells apart.
        class_names: names of the classes in the model's order, for string labels.
        where: the data's name, for messages.

    Raises:
        DataError: an index outside 0..classes-1, a fraction, an unknown class name, or names without `class_names`.
    """
    if is_one_hot(labels, classes):
        return labels.argmax(axis=-1).astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if is_text(labels):
        return _from_names(labels, class_names, where)
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        raise DataError(f"{where}: labels have fractions, expected class indices 0..{classes - 1}")
    indices = labels.astype(np.int64)
    wrong = indices[(indices < 0) | (indices >= classes)]
    if wrong.size:
        raise DataError(
            f"{where}: label {int(wrong.ravel()[0])} is out of range, the model has {classes} classes "
            f"(0..{classes - 1}); check the labels' order and whether they start at 0"
        )
    return indices


def _from_names(labels: np.ndarray, class_names: Sequence[str] | None, where: str) -> np.ndarray:
    if class_names is None:
        raise DataError(f"{where}: labels are strings; say what the classes are called, in the model's order")
    numbers = {name: index for index, name in enumerate(class_names)}
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in labels.ravel()]
    unknown = next((text for text in texts if text not in numbers), None)
    if unknown is not None:
        raise DataError(f"{where}: label {unknown!r} is not a class, expected one of {', '.join(class_names)}")
    return np.array([numbers[text] for text in texts], np.int64).reshape(labels.shape)
