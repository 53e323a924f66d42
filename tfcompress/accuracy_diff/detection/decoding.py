"""From the outputs of a detector to detections: a function of the user's own, or that of a usual head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfcompress.accuracy_diff.detection.boxes import as_tables, suppressed
from tfcompress.data.functions import import_attribute
from tfcompress.errors import DataError, one_line

__all__ = ["DECODERS", "Decoder", "decoder_of"]

Outputs = Mapping[str, np.ndarray]
Decoder = Callable[[Outputs], np.ndarray]

LEAST_SCORE = 0.05  # the usual one of COCO evaluations (Lin et al. 2017, "Focal Loss", section 4.1)
MOST_OVERLAP = 0.5  # the same
_CORNERS = 4


def decoder_of(named: str) -> Decoder:
    """What makes detections [images, 100, 6] of a batch's outputs.

    Args:
        named: one of `DECODERS`, or ``package.module:function``.  The function gets {output name: float32 array, batch
            first} under the float model's names and returns for each image a table of rows
            (x1, y1, x2, y2, score, class), after its own non-maximum suppression.

    Raises:
        InputError: the function cannot be imported.
    """
    function = DECODERS[named] if named in DECODERS else import_attribute(named, "--decode")

    def decode(outputs: Outputs) -> np.ndarray:
        images = len(next(iter(outputs.values())))
        try:
            tables = function(outputs)
        except DataError:
            raise
        except Exception as error:  # the user's own function
            raise DataError(f"--decode={named} failed: {type(error).__name__}: {one_line(error, 200)}") from None
        return as_tables(tables, images, who=f"--decode={named}")

    return decode


def _boxes_and_scores(outputs: Outputs) -> Sequence[np.ndarray]:
    """Boxes in corner form and a score of each class: two outputs, or the columns of one."""
    boxes, scores = _parted(outputs)
    return _suppressed(boxes, scores)


def _yolo(outputs: Outputs) -> Sequence[np.ndarray]:
    """Boxes as centre and size, then a score of each class, in rows or in columns (YOLOv8 has [4 + classes, n])."""
    table = _only(outputs)
    if table.shape[1] < table.shape[2]:
        table = table.transpose(0, 2, 1)
    half = table[..., 2:4] / 2
    boxes = np.concatenate([table[..., :2] - half, table[..., :2] + half], axis=-1)
    return _suppressed(boxes, table[..., _CORNERS:])


def _yolo_with_objectness(outputs: Outputs) -> Sequence[np.ndarray]:
    """As `_yolo` with the score of any object in front, by which the others are multiplied (YOLOv3 to v7)."""
    table = _only(outputs)
    if table.shape[1] < table.shape[2]:
        table = table.transpose(0, 2, 1)
    scores = table[..., _CORNERS + 1 :] * table[..., _CORNERS : _CORNERS + 1]
    return _yolo({"": np.concatenate([table[..., :_CORNERS], scores], axis=-1)})


def _postprocessed(outputs: Outputs) -> Sequence[np.ndarray]:
    """What TFLite_Detection_PostProcess gives: boxes (y1, x1, y2, x2), classes, scores and, last, their number."""
    if len(outputs) != 4:
        raise DataError(f"--decode=postprocessed: expected four outputs, the model has {', '.join(outputs)}")
    boxes, classes, scores, number = outputs.values()
    corners = boxes[..., [1, 0, 3, 2]]
    tables = np.concatenate([corners, scores[..., None], classes[..., None]], axis=-1)
    return [table[: round(float(count))] for table, count in zip(tables, number.ravel(), strict=True)]


DECODERS: Mapping[str, Callable[[Outputs], Sequence[np.ndarray]]] = {
    "boxes_and_scores": _boxes_and_scores,
    "yolo": _yolo,
    "yolo_with_objectness": _yolo_with_objectness,
    "postprocessed": _postprocessed,
}


def _suppressed(boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    pairs = zip(boxes, scores, strict=True)
    return [suppressed(*pair, least_score=LEAST_SCORE, most_overlap=MOST_OVERLAP) for pair in pairs]


def _only(outputs: Outputs) -> np.ndarray:
    table = next(iter(outputs.values()))
    if len(outputs) != 1 or table.ndim != 3:
        shapes = ", ".join(f"{name} {value.shape[1:]}" for name, value in outputs.items())
        raise DataError(f"--decode: expected one output of rows a sample, the model has {shapes}")
    return table


def _parted(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """(boxes [images, n, 4], scores [images, n, classes])."""
    if len(outputs) == 1:
        table = _only(outputs)
        return table[..., :_CORNERS], table[..., _CORNERS:]
    rows = [value for value in outputs.values() if value.ndim == 3]
    boxes = [value for value in rows if value.shape[-1] == _CORNERS]
    scores = [value for value in rows if value is not boxes[0]] if boxes else []
    if len(boxes) < 1 or len(scores) != 1 or boxes[0].shape[1] != scores[0].shape[1]:
        shapes = ", ".join(f"{name} {value.shape[1:]}" for name, value in outputs.items())
        raise DataError(f"--decode=boxes_and_scores: expected boxes (n, 4) and scores (n, classes), got {shapes}")
    return boxes[0], scores[0]
