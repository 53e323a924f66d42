"""What `model.fit` takes as x, (x, y) or (x, y, sample_weight), told apart by how many inputs the model has.

A model of one input takes an array; one of several takes a list or tuple of arrays in the model's order, or arrays by
name.  So ``(a, b)`` is inputs and labels for a model of one input, and the two inputs of a model of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfcompress.errors import DataError, one_line
from tfcompress.remarks import remark
from tfcompress.tensor_info import TensorInfo, same_names

__all__ = ["Arrays", "as_array", "in_names", "is_array", "is_list_of_all", "split"]

Arrays = dict[str, np.ndarray]
_LABELS = ("y", "label", "labels")  # keys of labels in a dict that holds inputs and labels


def is_array(value: object) -> bool:
    """Whether a value is an array of some library, with at least the dimension of the samples."""
    return hasattr(value, "__array__") and len(getattr(value, "shape", ())) > 0


def as_array(value: Any, where: str) -> np.ndarray:
    """Any array, tensor (of PyTorch too) or nested list of numbers as a numpy array.

    Raises:
        DataError: it has no regular shape.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{where}: is no array: {type(value).__name__}: {one_line(error, 160)}") from None
    if array.dtype == object and not all(isinstance(item, str | bytes) for item in array.ravel()[:16]):
        return _as_numbers(array, f"{where}: is {type(value).__name__} of Python objects")
    return array


def _as_numbers(objects: np.ndarray, what: str) -> np.ndarray:
    """An array of Python's numbers, or of arrays of a size, as pandas gives columns of different kinds."""
    try:
        array = np.array([item.tolist() if isinstance(item, np.ndarray) else item for item in objects.ravel()])
    except ValueError:
        raise DataError(f"{what} of no regular shape, expected an array of numbers") from None
    if array.dtype.kind not in "biuf":
        kinds = sorted({type(item).__name__ for item in objects.ravel()})
        raise DataError(f"{what} ({', '.join(kinds[:4])}), expected an array of numbers or of text")
    return array.reshape(objects.shape + array.shape[1:])


def is_list_of_all(data: object, inputs: Sequence[TensorInfo]) -> bool:
    """Whether a list holds arrays of all samples, and no samples or batches one after the other.

    It is x of a model of several inputs, as `model.fit` takes it, or else x, y and perhaps weights.
    """
    if not isinstance(data, list) or not data or not all(map(is_array, data)):
        return False
    if len(inputs) != 1:
        return True
    if len(data) not in (2, 3):
        return False
    x, y = (np.shape(part) for part in data[:2])
    return len(x) == len(inputs[0].shape) and x[0] == y[0] and x[1:] != y[1:]


def split(item: Any, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> tuple[Any, Any]:
    """(inputs, labels or None) of what a data set gives or an array call is given.

    Args:
        item: x, (x,), (x, y) or (x, y, sample_weight) as a tuple, or as a list, as PyTorch's loaders give it; or a dict
            of inputs and labels.
        inputs: of the model.
        outputs: of the model.
    """
    if isinstance(item, Mapping):
        return _split_mapping(item, inputs, outputs)
    if not isinstance(item, tuple | list) or len(item) == 0:
        return item, None
    grouped = isinstance(item[0], Mapping) or (
        isinstance(item[0], list | tuple) and len(item[0]) > 0 and all(hasattr(each, "shape") for each in item[0])
    )
    if len(inputs) > 1 and not grouped:
        if len(item) == len(inputs):
            return item, None
        if len(item) == len(inputs) + len(outputs):
            return item[: len(inputs)], list(item[len(inputs) :])
        return item, None  # whose number of inputs is wrong, which is said where the model is known
    if isinstance(item, tuple) or grouped or is_array(item[0]):
        if len(item) == 3 and item[2] is not None:
            remark("sample weights are not used: every sample counts the same")
        if len(item) <= 3:
            return item[0], item[1] if len(item) > 1 else None
    return item, None


def _split_mapping(
    item: Mapping[object, object], inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]
) -> tuple[object, object]:
    """Labels are what bears an output's name and no input's, or else one of the usual names."""
    taken = {info.name for info in inputs}
    by_output = {key: item[key] for key in item if key in {info.name for info in outputs} and key not in taken}
    if not by_output and len(item) > len(inputs):
        usual = [key for key in item if str(key).lower() in _LABELS and key not in taken]
        return {key: item[key] for key in item if key not in usual}, item[usual[0]] if usual else None
    return {key: item[key] for key in item if key not in by_output}, by_output or None


def in_names(values: Any, infos: Sequence[TensorInfo], where: str) -> Arrays | list[np.ndarray]:
    """Arrays by the model's names where they can be told, else in order.

    Args:
        values: one array, a list or tuple of arrays, or arrays by name.
        infos: the model's inputs, or its outputs.
        where: for messages.
    """
    if isinstance(values, Mapping):
        given = {str(key): as_array(value, f"{where}: {key!r}") for key, value in values.items()}
        names = same_names([info.name for info in infos], list(given))
        return given if names is None else {name: given[own] for name, own in names.items()}
    several = isinstance(values, list | tuple) and values and all(hasattr(item, "shape") for item in values)
    if several and (len(infos) > 1 or is_array(values[0])):
        return [as_array(item, where) for item in values]
    return [as_array(values, where)]
