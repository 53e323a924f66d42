"""Keypoints: the share of points that lie close enough to the true ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics
from tfcompress.accuracy_diff.tasks.base import Metrics, ratio
from tfcompress.errors import DataError

__all__ = ["Keypoints"]

CLOSE = 0.1  # of the larger side of the box around a sample's true points


@dataclass(frozen=True)
class Keypoints:
    """PCK: a point is right within a tenth of the larger side of the box around all true points of its sample.

    Yang & Ramanan 2013, "Articulated Human Detection with Flexible Mixtures of Parts", section 6.1, with alpha = 0.1.
    Points that labels call invisible do not count.
    """

    name: str = "keypoints"
    score: str = "pck"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Float64 [samples, points, 3]: x, y, and whether the point counts; see `Task.truth`.

        Args:
            labels: [samples, points, 2], or 3 with a visibility above 0 for points that count, or [samples, 2 points];
                NaN marks a point that is not marked.
            where: the data's name, for messages.
        """
        if labels.dtype.kind not in "iuf" or labels.ndim < 2:
            raise DataError(f"{where}: labels are {labels.dtype} {labels.shape[1:]}, expected points (n, 2) or (n, 3)")
        table = labels.astype(np.float64)
        if table.ndim == 2 or table.shape[-1] not in (2, 3):
            table = table.reshape(len(table), -1)
            if table.shape[1] % 2:
                raise DataError(f"{where}: labels have {table.shape[1]} values a sample, expected pairs x, y")
            table = table.reshape(len(table), -1, 2)
        table = table.reshape(len(table), -1, table.shape[-1])
        marked = np.asarray(np.isfinite(table).all(axis=-1))
        if table.shape[-1] == 3:
            marked = marked & (table[..., 2] > 0)
        return np.concatenate([np.nan_to_num(table[..., :2]), marked[..., None]], axis=-1)

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`; outputs are [samples, points, 2 or 3] or [samples, 2 points]."""
        samples = {"samples": np.int64(len(outputs))}
        if truth is None:
            return samples
        points = truth.shape[1]
        columns = outputs[0].size / points
        if columns not in (2, 3):
            raise DataError(f"labels have {points} points a sample, the model's output has {outputs[0].size} values")
        answers = outputs.reshape(len(outputs), points, int(columns))[..., :2].astype(np.float64)
        marked = truth[..., 2] > 0
        distance = np.linalg.norm(answers - truth[..., :2], axis=-1)
        close = distance <= CLOSE * _sides(truth[..., :2], marked)[:, None]
        return {
            **samples,
            "points": np.int64(marked.sum()),
            "right": np.int64((close & marked).sum()),
            "distance": np.where(marked, np.nan_to_num(distance), 0.0).sum(),
        }

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`: `pck`, and the mean distance of a point in the labels' unit."""
        if "points" not in total:
            return {"pck": None}
        return {
            "pck": ratio(total["right"], total["points"]),
            "mean_distance": ratio(total["distance"], total["points"]),
        }

    def answers(self, outputs: np.ndarray) -> None:
        """None: points are values."""
        return

    def confidence(self, outputs: np.ndarray) -> None:
        """None: points are values."""
        return


def _sides(points: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """The larger side of the box around the known points of each sample, [samples]; 0 where none is known."""
    shown = marked[..., None]
    high = np.where(shown, points, -np.inf).max(axis=1)
    low = np.where(shown, points, np.inf).min(axis=1)
    return np.where(marked.any(axis=1), (high - low).max(axis=-1), 0.0)
