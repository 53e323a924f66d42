"""The task of detectors: mean average precision by COCO's definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics
from tfcompress.accuracy_diff.detection.boxes import true_boxes
from tfcompress.accuracy_diff.detection.coco import matched_detections
from tfcompress.accuracy_diff.detection_table import DetectionTable
from tfcompress.accuracy_diff.tasks import Metrics

__all__ = ["Detection"]

_HALF, _THREE_QUARTERS = 0, 5  # places of the overlaps 0.50 and 0.75 among the thresholds


@dataclass(frozen=True)
class Detection:
    """Mean average precision over classes and the overlaps 0.50 to 0.95.

    Lin et al. 2014, "Microsoft COCO", and the "Detection Evaluation" page of its site: AP, AP50 and AP75 over all
    areas, at most 100 detections an image.
    """

    name: str = "detection"
    score: str = "map"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """True boxes, float64 [images, n, 6]; see `Task.truth`."""
        return true_boxes({"": labels}, where)

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`; `outputs` are detections [images, n, 6]."""
        samples = {"samples": np.int64(len(outputs))}
        return samples if truth is None else {**samples, "detections": matched_detections(outputs, truth)}

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`: `map`, `map50`, `map75`."""
        table = total.get("detections")
        precision = table.average_precision() if isinstance(table, DetectionTable) else None
        if precision is None:
            return {"map": None}
        return {
            "map": float(precision.mean()),
            "map50": float(precision[_HALF]),
            "map75": float(precision[_THREE_QUARTERS]),
        }

    def answers(self, outputs: np.ndarray) -> None:
        """None: an image has any number of them; see `DetectionJudge`."""
        return

    def confidence(self, outputs: np.ndarray) -> None:
        """None: there are many answers a sample."""
        return
