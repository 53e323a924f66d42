"""Which of the usual heads a detector has, where nobody says it, and whether labels are boxes at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfcompress.accuracy_diff.additive import total
from tfcompress.accuracy_diff.detection.boxes import true_boxes
from tfcompress.accuracy_diff.detection.decoding import DECODERS, decoder_of
from tfcompress.accuracy_diff.detection.task import Detection
from tfcompress.errors import DataError

__all__ = ["are_boxes", "found_decoding"]

_CORNERS, _CLASS = 4, 4
Outputs = Mapping[str, np.ndarray]
Labels = Mapping[str, np.ndarray]


def are_boxes(labels: Labels, shapes: Sequence[tuple[int | None, ...]]) -> bool:
    """Whether the labels of some images are boxes.

    Args:
        labels: of a batch, see `true_boxes`.
        shapes: of the model's outputs, batch first; labels that have the shape of an output are its values.
    """
    if {"boxes", "classes"} <= set(labels):
        return True
    table = next(iter(labels.values()), None)
    if len(labels) != 1 or table is None or table.dtype.kind not in "iuf" or table.ndim != 3:
        return False
    if table.shape[-1] not in (5, 6) or any(tuple(shape[1:]) == table.shape[1:] for shape in shapes):
        return False
    classes = table[..., _CLASS]
    rows = table[classes >= 0]
    whole = bool((classes == np.round(classes)).all() and (classes >= -1).all())
    return whole and len(rows) > 0 and bool((rows[:, 2:4] >= rows[:, :2]).all())


def found_decoding(answered: Iterable[tuple[Outputs, Labels]], where: str) -> tuple[str, float | None]:
    """The decoding of a usual head under which the float model's boxes are right most often.

    Args:
        answered: (outputs of the float model, labels) of some batches; without labels the decoding has to be the only
            one that fits the outputs.
        where: the data's name, for messages.

    Returns:
        The name among `DECODERS`, and the mean average precision under it; None without labels.

    Raises:
        DataError: none fits, several do and nothing tells which, or none finds a single true box.
    """
    batches = list(answered)
    fitting = {name: tables for name in DECODERS if (tables := _decoded(name, batches)) is not None}
    if not fitting:
        shapes = ", ".join(f"{name} {value.shape[1:]}" for name, value in batches[0][0].items())
        raise DataError(f"{where}: {_says('no usual head of a detector has the outputs ' + shapes)}")
    if not batches[0][1]:
        if len(fitting) > 1:
            raise DataError(f"{where}: {_says('without labels nothing tells ' + ' from '.join(fitting))}")
        return next(iter(fitting)), None
    precisions = {name: _precision(tables, batches, where) for name, tables in fitting.items()}
    best = max(precisions, key=lambda name: precisions[name])
    if precisions[best] == 0:
        raise DataError(f"{where}: {_says('no box of the float model is right with ' + ' or '.join(fitting))}")
    return best, precisions[best]


def _says(what: str) -> str:
    return f"{what}; say with --task=detection --decode=package.module:function how boxes are made of the outputs"


def _decoded(name: str, batches: Sequence[tuple[Outputs, Labels]]) -> list[np.ndarray] | None:
    decoder = decoder_of(name)
    try:
        return [decoder(outputs) for outputs, _ in batches]
    except DataError:
        return None


def _precision(tables: Sequence[np.ndarray], batches: Sequence[tuple[Outputs, Labels]], where: str) -> float:
    task = Detection()
    sums = [
        task.statistics(table, true_boxes(labels, where), table)
        for table, (_, labels) in zip(tables, batches, strict=True)
    ]
    return task.metrics(total(sums))["map"] or 0.0
