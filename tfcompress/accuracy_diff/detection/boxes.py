"""Boxes in corner form, (x1, y1, x2, y2): their overlap, non-maximum suppression, and the forms of labels.

A table of detections has a row (x1, y1, x2, y2, score, class) for each, and class -1 where a row holds nothing; a table
of true boxes has (x1, y1, x2, y2, class, crowd).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress.errors import DataError

__all__ = ["MOST_DETECTIONS", "NOTHING", "as_tables", "overlaps", "suppressed", "true_boxes"]

MOST_DETECTIONS = 100  # an image, as COCO counts (`COCOeval.params.maxDets`)
NOTHING = -1  # the class of a row that holds no box
_COLUMNS = 6


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union, float64 [n, m], of boxes [n, 4] and [m, 4] in corner form; 0 for empty boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:4], second[None, :, 2:4])
    common = np.prod(np.maximum(high - low, 0.0), axis=-1, dtype=np.float64)
    areas = [np.prod(np.maximum(boxes[:, 2:4] - boxes[:, :2], 0.0), axis=-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def suppressed(boxes: np.ndarray, scores: np.ndarray, *, least_score: float, most_overlap: float) -> np.ndarray:
    """Detections of one image after non-maximum suppression within each class.

    A box is dropped where one of the same class with a higher score overlaps it by more than `most_overlap` (the greedy
    rule of Girshick et al. 2014, "Rich feature hierarchies", section 2.2).

    Args:
        boxes: float [n, 4] in corner form.
        scores: float [n, classes].
        least_score: lower ones are no detections.
        most_overlap: largest intersection over union of two boxes of a class that are both kept.

    Returns:
        Float32 [at most `MOST_DETECTIONS`, 6], the highest score first.
    """
    rows: list[np.ndarray] = []
    for kind in range(scores.shape[1]):
        places = np.flatnonzero(scores[:, kind] >= least_score)
        places = places[np.argsort(-scores[places, kind], kind="stable")]
        kept: list[int] = []
        common = overlaps(boxes[places], boxes[places])
        for place in range(len(places)):
            if not (common[place, kept] > most_overlap).any():
                kept.append(place)
        chosen = places[kept]
        kinds = np.full((len(chosen), 1), kind)
        rows.append(np.concatenate([boxes[chosen], scores[chosen, kind, None], kinds], axis=1))
    table = np.concatenate(rows) if rows else np.zeros((0, _COLUMNS))
    return table[np.argsort(-table[:, 4], kind="stable")][:MOST_DETECTIONS].astype(np.float32)


def as_tables(detections: np.ndarray | Sequence[np.ndarray], images: int, *, who: str) -> np.ndarray:
    """Detections of a batch in one array, float32 [images, `MOST_DETECTIONS`, 6], the highest scores first.

    Args:
        detections: [images, n, 6], or a table of its own length for each image.
        images: number of images in the batch.
        who: the function that gave them, for messages.

    Raises:
        DataError: another number of images, or tables of another form.
    """
    tables = [np.asarray(table, np.float32) for table in detections]
    if len(tables) != images:
        raise DataError(f"{who}: gave detections of {len(tables)} images for a batch of {images}")
    whole = np.zeros((images, MOST_DETECTIONS, _COLUMNS), np.float32)
    whole[..., 5] = NOTHING
    for place, table in enumerate(tables):
        table = table.reshape(0, _COLUMNS) if table.size == 0 else table
        if table.ndim != 2 or table.shape[1] != _COLUMNS:
            raise DataError(
                f"{who}: gave an array of shape {table.shape} for an image, expected rows of six values "
                "(x1, y1, x2, y2, score, class)"
            )
        table = table[table[:, 5] >= 0]
        best = table[np.argsort(-table[:, 4], kind="stable")][:MOST_DETECTIONS]
        whole[place, : len(best)] = best
    return whole


def true_boxes(labels: Mapping[str, np.ndarray], where: str) -> np.ndarray:
    """Labels of a batch as true boxes, float64 [images, n, 6].

    Args:
        labels: one array [images, n, 5 or 6] with rows (x1, y1, x2, y2, class) and, in the sixth column, 1 for a crowd,
            whose detections count neither as right nor as wrong; or `boxes` [images, n, 4] and `classes` [images, n].
            A class below 0 marks a row that holds nothing.
        where: the data's name, for messages.

    Raises:
        DataError: labels of another form.
    """
    if {"boxes", "classes"} <= set(labels):
        classes = labels["classes"].reshape(labels["boxes"].shape[:2])
        table = np.concatenate([labels["boxes"], classes[..., None]], axis=-1)
    elif len(labels) == 1:
        table = next(iter(labels.values()))
    else:
        raise DataError(f"{where}: labels {', '.join(labels)}; expected one array of boxes, or `boxes` and `classes`")
    if table.ndim != 3 or table.shape[-1] not in (5, 6) or table.dtype.kind not in "iuf":
        raise DataError(
            f"{where}: labels of an image have shape {table.shape[1:]}, expected rows (x1, y1, x2, y2, class), filled "
            "up with class -1"
        )
    table = table.astype(np.float64)
    table[..., 4] = np.where(np.isfinite(table).all(axis=-1), table[..., 4], NOTHING)
    crowd = np.zeros((*table.shape[:2], 6 - table.shape[-1]))
    return np.concatenate([np.nan_to_num(table), crowd], axis=-1)
