"""What detections were right, image by image, and average precision from it, with any weight for each image.

Matching is that of COCO's own code (`pycocotools.cocoeval.COCOeval.evaluateImg`); precision is drawn from the matches
here, as its `accumulate` does, because a bootstrap asks for it hundreds of times.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["RECALLS", "THRESHOLDS", "DetectionTable"]

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the overlap from which a box is found: COCO's
RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class DetectionTable:
    """Every detection and every true box of a stream of images.

    Attributes:
        images: int64 [], how many images.
        image: int64 [detections], to which image each belongs, from 0.
        kind: int64 [detections], its class.
        score: float64 [detections].
        matched: bool [detections, 10], whether it found a true box, for each of `THRESHOLDS`.
        ignored: bool [detections, 10], whether it lies in a crowd and does not count.
        true_image: int64 [boxes], of the true boxes that count.
        true_kind: int64 [boxes], their classes.
    """

    images: np.ndarray
    image: np.ndarray
    kind: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    true_image: np.ndarray
    true_kind: np.ndarray

    def __add__(self, other: DetectionTable) -> DetectionTable:
        """The table of both streams, the images of `other` behind those of this one."""
        moved = {"image": other.image + self.images, "true_image": other.true_image + self.images}
        names = [item.name for item in fields(self) if item.name != "images"]
        seconds = {name: moved[name] if name in moved else getattr(other, name) for name in names}
        joined = {name: np.concatenate([getattr(self, name), seconds[name]]) for name in names}
        return DetectionTable(images=self.images + other.images, **joined)

    def average_precision(self, weights: np.ndarray | None = None) -> np.ndarray | None:
        """Float64 [10], for each of `THRESHOLDS` the mean over classes; None where there is no true box.

        Args:
            weights: how often each image counts, [images]; None means once.
        """
        weights = np.ones(int(self.images)) if weights is None else weights.astype(np.float64)
        kinds = np.unique(self.true_kind)
        order = np.argsort(-self.score, kind="stable")
        by_kind = [self._of_kind(int(kind), order, weights) for kind in kinds]
        present = [precision for precision in by_kind if precision is not None]
        return np.mean(present, axis=0) if present else None

    def _of_kind(self, kind: int, order: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        wanted = float(weights[self.true_image[self.true_kind == kind]].sum())
        if wanted == 0:
            return None
        rows = order[self.kind[order] == kind]
        counted = weights[self.image[rows], None] * ~self.ignored[rows]
        right = np.cumsum(counted * self.matched[rows], axis=0)
        wrong = np.cumsum(counted * ~self.matched[rows], axis=0)
        precision = right / np.maximum(right + wrong, np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        figures = [_at_recalls(right[:, place] / wanted, precision[:, place]) for place in range(len(THRESHOLDS))]
        return np.array(figures)


def _at_recalls(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean precision over `RECALLS`; 0 beyond the last recall that is reached."""
    places = np.searchsorted(recall, RECALLS, side="left")
    reached = places < len(precision)
    return float(precision[places[reached]].sum() / len(RECALLS))
