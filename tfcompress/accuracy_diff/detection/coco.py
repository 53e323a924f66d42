"""Which detections find a true box, by COCO's own code."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.detection.boxes import MOST_DETECTIONS
from tfcompress.accuracy_diff.detection_table import THRESHOLDS, DetectionTable
from tfcompress.errors import MissingExtraError

__all__ = ["matched_detections"]

Row = dict[str, object]


def matched_detections(detections: np.ndarray, truth: np.ndarray) -> DetectionTable:
    """Match the detections of a batch with its true boxes.

    Args:
        detections: float [images, n, 6], rows (x1, y1, x2, y2, score, class), class -1 for nothing.
        truth: float [images, m, 6], rows (x1, y1, x2, y2, class, crowd), class -1 for nothing.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    real = truth[..., 4] >= 0
    counted = real & (truth[..., 5] == 0)
    image, kinds, scores, matched, ignored = [], [], [], [], []
    for verdict in _evaluated(detections, truth):
        size = len(verdict["dtScores"])
        image += [verdict["image_id"]] * size
        kinds += [verdict["category_id"]] * size
        scores += list(verdict["dtScores"])
        matched.append(np.asarray(verdict["dtMatches"]).T > 0)
        ignored.append(np.asarray(verdict["dtIgnore"]).T > 0)
    none = np.zeros((0, len(THRESHOLDS)), bool)
    return DetectionTable(
        images=np.array(len(detections)),
        image=np.array(image, np.int64),
        kind=np.array(kinds, np.int64),
        score=np.array(scores, np.float64),
        matched=np.concatenate([none, *matched]),
        ignored=np.concatenate([none, *ignored]),
        true_image=np.nonzero(counted)[0].astype(np.int64),
        true_kind=truth[..., 4][counted].astype(np.int64),
    )


def _evaluated(detections: np.ndarray, truth: np.ndarray) -> Iterator[Mapping[str, Any]]:
    """What COCOeval finds for each image and class that has a detection or a true box."""
    try:
        from pycocotools.coco import COCO  # type: ignore[import-untyped]
        from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("pycocotools", "detection", "mean average precision") from None
    given = [_box(place, row, row[4], iscrowd=int(row[5])) for place, row in _rows(truth, 4)]
    answers = [_box(place, row, row[5], score=float(row[4])) for place, row in _rows(detections, 5)]
    kinds = sorted({int(str(row["category_id"])) for row in (*given, *answers)})
    if not kinds:
        return
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        first, second = COCO(), COCO()
        for coco, rows in ((first, given), (second, answers)):
            numbered = [{**row, "id": place + 1} for place, row in enumerate(rows)]
            images = [{"id": place} for place in range(len(truth))]
            categories = [{"id": kind} for kind in kinds]
            dataset = {"images": images, "annotations": numbered, "categories": categories}
            coco.dataset = dataset  # pyright: ignore[reportAttributeAccessIssue]  # as COCO itself fills it
            coco.createIndex()
        run = COCOeval(first, second, "bbox")
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.params.maxDets = [MOST_DETECTIONS]
        run.evaluate()
    yield from (item for item in run.evalImgs if item is not None and item["dtScores"])


def _rows(tables: np.ndarray, kind: int) -> Iterator[tuple[int, np.ndarray]]:
    for place, table in enumerate(tables):
        for row in table[table[:, kind] >= 0]:
            yield place, row


def _box(place: int, row: np.ndarray, kind: float, **further: float) -> Row:
    """As COCO's files have it: the corner with the least values, width and height."""
    width, height = (max(float(row[2 + axis] - row[axis]), 0.0) for axis in (0, 1))
    box = [float(row[0]), float(row[1]), width, height]
    return {"image_id": place, "category_id": int(kind), "bbox": box, "area": width * height, "iscrowd": 0, **further}
