"""Which input, output and label of one model is which of another: by name, else by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays, Runner
from tfcompress.errors import DataError, ModelError
from tfcompress.model import TensorInfo

__all__ = ["inputs_for", "labels_for", "outputs_as"]


def inputs_for(runner: Runner, given: Arrays, *, where: str) -> dict[str, np.ndarray]:
    """`given` under the names of the runner's inputs.

    Raises:
        ModelError: the runner has another number of inputs, or one of another shape.
    """
    if not runner.inputs:
        return dict(given)
    names = [info.name for info in runner.inputs]
    if len(names) != len(given):
        raise ModelError(
            f"{runner.name}: has {len(names)} inputs ({', '.join(names)}), "
            f"{where} has {len(given)} ({', '.join(given)})"
        )
    values = [given[name] for name in names] if set(names) == set(given) else list(given.values())
    for info, value in zip(runner.inputs, values, strict=True):
        _check_shape(runner, info, value, where)
    return dict(zip(names, values, strict=True))


def _check_shape(runner: Runner, info: TensorInfo, value: np.ndarray, where: str) -> None:
    want, got = info.shape[1:], value.shape[1:]
    fits = len(want) == len(got) and all(size in (None, have) for size, have in zip(want, got, strict=True))
    if info.shape and not fits:
        raise ModelError(
            f"{runner.name}: input {info.name!r} takes {want} a sample, {where} has {got}; "
            "are these two forms of the same model?"
        )


def outputs_as(names: Sequence[str], shapes: Sequence[tuple[int, ...]], given: Arrays, *, who: str) -> dict[str, str]:
    """{reference output: candidate output}: by name where all names agree, else by position, else by shape.

    Args:
        names: of the reference's outputs.
        shapes: of the same, a sample each.
        given: the candidate's outputs on the same batch.
        who: the candidate, for messages.

    Raises:
        ModelError: another number of outputs, or shapes that do not pair up.
    """
    if len(given) != len(names):
        raise ModelError(f"{who}: has {len(given)} outputs ({', '.join(given)}), the reference has {', '.join(names)}")
    have = {name: value.shape[1:] for name, value in given.items()}
    if set(names) == set(given) and all(have[name] == shape for name, shape in zip(names, shapes, strict=True)):
        return {name: name for name in names}
    if list(have.values()) == list(shapes):
        return dict(zip(names, have, strict=True))
    by_shape = {shape: name for name, shape in have.items()}
    if len(by_shape) == len(have) and set(by_shape) == set(shapes):
        return {name: by_shape[shape] for name, shape in zip(names, shapes, strict=True)}
    raise ModelError(
        f"{who}: outputs of shape {', '.join(map(str, have.values()))} a sample, the reference has "
        f"{', '.join(map(str, shapes))}; are these two forms of the same model?"
    )


def labels_for(
    names: Sequence[str], labels: Mapping[str, np.ndarray], data_outputs: Sequence[TensorInfo], *, where: str
) -> dict[str, np.ndarray]:
    """Labels under the names of the reference's outputs; an output without labels is left out.

    Raises:
        DataError: a label belongs to no output.
    """
    positions = {info.name: index for index, info in enumerate(data_outputs)}
    found: dict[str, np.ndarray] = {}
    for given, value in labels.items():
        position = positions.get(given, 0 if len(labels) == 1 else len(names))
        name = given if given in names else names[position] if position < len(names) else None
        if name is None:
            raise DataError(f"{where}: label {given!r} belongs to no output, the model has {', '.join(names)}")
        found[name] = value
    return found
