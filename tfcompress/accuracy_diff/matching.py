"""Which input, output and label of one model is which of another: by name, and where names differ, proven by value.

Never by position alone: a converter may sort inputs and outputs, and two of equal shape would be swapped in silence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays, Runner, answers
from tfcompress.errors import DataError, ModelError
from tfcompress.tensor_info import TensorInfo, same_names

__all__ = ["PROOF_SAMPLES", "input_names", "inputs_for", "labels_for", "outputs_as"]

PROOF_SAMPLES = 8
MOST_ORDERS = 24  # all orders of four inputs


def input_names(runner: Runner, given: Arrays, *, reference: Runner | None, where: str) -> dict[str, str]:
    """{the runner's input: the given one}: by name, by the name's plain form, else the order that gives its outputs.

    Args:
        runner: the model to feed.
        given: a batch, by the names of the reference's inputs.
        reference: whose outputs on the batch prove which input is which; None where nothing can.
        where: the data's name, for messages.

    Raises:
        ModelError: the runner has another number of inputs, or one of another shape.
    """
    if not runner.inputs:
        return {name: name for name in given}
    names = [info.name for info in runner.inputs]
    if len(names) != len(given):
        raise ModelError(
            f"{runner.name}: has {len(names)} inputs ({', '.join(names)}), "
            f"{where} has {len(given)} ({', '.join(given)})"
        )
    pairs = same_names(names, list(given))
    if pairs is None:
        pairs = _proven_order(runner, names, given, reference) or dict(zip(names, given, strict=True))
    for info in runner.inputs:
        _check_shape(runner, info, given[pairs[info.name]], where)
    return pairs


def inputs_for(runner: Runner, given: Arrays, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """`given` under the names of the runner's inputs, which `input_names` has found."""
    if not runner.inputs:
        return dict(given)
    return {info.name: given[names[info.name]] for info in runner.inputs}


def _proven_order(
    runner: Runner, names: Sequence[str], given: Arrays, reference: Runner | None
) -> dict[str, str] | None:
    """The order of the given inputs with which the runner comes nearest to the reference; None without one."""
    orders: list[tuple[str, ...]] = [
        order
        for order in itertools.islice(itertools.permutations(given), MOST_ORDERS)
        if all(_fits(info, given[name]) for info, name in zip(runner.inputs, order, strict=True))
    ]
    if len(orders) < 2 or reference is None:
        return dict(zip(names, orders[0], strict=True)) if orders else None
    few = {name: value[:PROOF_SAMPLES] for name, value in given.items()}
    wanted = answers(reference, few)

    def error(order: tuple[str, ...]) -> float:
        try:
            got = answers(runner, {name: few[own] for name, own in zip(names, order, strict=True)})
        except ModelError:  # not an index, for example
            return math.inf
        return math.fsum(
            min((_distance(value, other) for other in got.values()), default=0) for value in wanted.values()
        )

    nearest: tuple[str, ...] = min(orders, key=error)
    return dict(zip(names, nearest, strict=True))


def _either(counts: Sequence[int]) -> str:
    return " or ".join(map(str, counts))


def _distance(wanted: np.ndarray, got: np.ndarray) -> float:
    """Mean squared difference relative to the wanted signal; a large number where the shapes differ."""
    if wanted.shape != got.shape:
        return 1e6
    a, b = np.nan_to_num(wanted.astype(np.float64)), np.nan_to_num(got.astype(np.float64))
    return min(float(np.mean((a - b) ** 2) / (np.mean(a**2) + 1e-30)), 1e6)


def _fits(info: TensorInfo, value: np.ndarray) -> bool:
    want, got = info.shape[1:], value.shape[1:]
    return not info.shape or (
        len(want) == len(got) and all(size in (None, have) for size, have in zip(want, got, strict=True))
    )


def _check_shape(runner: Runner, info: TensorInfo, value: np.ndarray, where: str) -> None:
    if not _fits(info, value):
        raise ModelError(
            f"{runner.name}: input {info.name!r} takes {info.shape[1:]} a sample, {where} has {value.shape[1:]}; "
            "are these two forms of the same model?"
        )


def outputs_as(wanted: Arrays, given: Arrays, *, who: str) -> dict[str, str]:
    """{reference output: candidate output}: by name, by the name's plain form, else by what their values are.

    Args:
        wanted: the reference's outputs on a batch.
        given: the candidate's on the same batch.
        who: the candidate, for messages.

    Raises:
        ModelError: another number of outputs, or shapes that do not pair up.
    """
    if len(given) != len(wanted):
        raise ModelError(f"{who}: has {len(given)} outputs ({', '.join(given)}), the reference has {', '.join(wanted)}")
    by_name = same_names(list(wanted), list(given))
    if by_name is not None and all(wanted[name].shape == given[own].shape for name, own in by_name.items()):
        return by_name
    pairs = sorted(
        (_distance(value, other), place, own_place, name, own)
        for place, (name, value) in enumerate(wanted.items())
        for own_place, (own, other) in enumerate(given.items())
        if value.shape == other.shape
    )
    nearest: dict[str, str] = {}
    for _, _, _, name, own in pairs:
        if name not in nearest and own not in nearest.values():
            nearest[name] = own
    if len(nearest) < len(wanted):
        rows = [sorted({len(value) for value in values.values()}) for values in (given, wanted)]
        if rows[0] != rows[1]:
            raise ModelError(
                f"{who}: gives {_either(rows[0])} rows where the reference gives {_either(rows[1])}; expected one row "
                "a sample: does a reshape or a sum take in the first axis, which is the samples'?"
            )
        raise ModelError(
            f"{who}: outputs of shape {', '.join(str(value.shape[1:]) for value in given.values())} a sample, the "
            f"reference has {', '.join(str(value.shape[1:]) for value in wanted.values())}; are these two forms of "
            "the same model?"
        )
    return {name: nearest[name] for name in wanted}


def labels_for(
    names: Sequence[str], labels: Mapping[str, np.ndarray], data_outputs: Sequence[TensorInfo], *, where: str
) -> dict[str, np.ndarray]:
    """Labels under the names of the reference's outputs; an output without labels is left out.

    Raises:
        DataError: a label belongs to no output.
    """
    positions = {info.name: index for index, info in enumerate(data_outputs)}
    by_output: dict[str, np.ndarray] = {}
    for given, value in labels.items():
        position = positions.get(given, 0 if len(labels) == 1 else len(names))
        name = given if given in names else names[position] if position < len(names) else None
        if name is None:
            raise DataError(f"{where}: label {given!r} belongs to no output, the model has {', '.join(names)}")
        by_output[name] = value
    return by_output
