"""A class for every place of the output: pixels (segmentation) or steps (sequence)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics
from tfcompress.accuracy_diff.labels import class_indices, is_one_hot
from tfcompress.accuracy_diff.tasks.base import Metrics, ratio
from tfcompress.accuracy_diff.tasks.classification import argmax_answers
from tfcompress.errors import DataError

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense:
    """Mean intersection over union for pictures, accuracy of steps and of whole sequences for sequences.

    Attributes:
        name: `segmentation` or `sequence`.
        classes: size of the output's last axis; 1 means yes or no with a threshold.
        from_logits: a single class says yes from 0 up instead of from 0.5 up.
        class_names: for string labels.
    """

    name: Literal["segmentation", "sequence"]
    classes: int
    from_logits: bool = False
    class_names: Sequence[str] | None = None

    @property
    def score(self) -> str:
        """`miou` for pictures, `accuracy` for sequences."""
        return "miou" if self.name == "segmentation" else "accuracy"

    @property
    def _kinds(self) -> int:
        return max(2, self.classes)

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Class indices (samples, places); see `Task.truth`."""
        if self.classes == 1:
            indices = class_indices(labels, 2, where=where)
        else:
            one_hot = is_one_hot(labels, self.classes)
            indices = class_indices(labels, self.classes, class_names=self.class_names, where=where)
            if not one_hot and labels.ndim > 1 and labels.shape[-1] == 1:
                labels = labels[..., 0]
        return indices.reshape(len(labels), -1)

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`."""
        if truth is None:
            return {"samples": np.int64(len(outputs))}
        answers = self.answers(outputs)
        if answers.shape != truth.shape:
            raise DataError(f"labels have {truth.shape[1]} places a sample, the model's output has {answers.shape[1]}")
        kinds = self._kinds
        valid = answers >= 0
        pairs = truth[valid] * kinds + answers[valid]
        right = answers == truth
        return {
            "samples": np.int64(len(outputs)),
            "confusion": np.bincount(pairs, minlength=kinds * kinds).reshape(kinds, kinds),
            "places": np.int64(answers.size),
            "right": np.int64(right.sum()),
            "whole": np.int64(right.all(axis=1).sum()),
        }

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`."""
        if "right" not in total:
            return {self.score: None}
        accuracy = ratio(total["right"], total["places"])
        if self.name == "sequence":
            return {"accuracy": accuracy, "sequence_accuracy": ratio(total["whole"], total["samples"])}
        confusion = total["confusion"]
        hits = np.diag(confusion)
        union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
        present = union > 0
        return {"miou": ratio((hits[present] / union[present]).sum(), present.sum()), "pixel_accuracy": accuracy}

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """Class of each place, (samples, places); -1 for NaN."""
        if self.classes == 1:
            threshold = 0.0 if self.from_logits else 0.5
            classes = np.where(np.isnan(outputs), -1, (outputs >= threshold).astype(np.int64))
        else:
            classes = argmax_answers(outputs)
        return classes.reshape(len(outputs), -1)

    def confidence(self, outputs: np.ndarray) -> None:
        """None: there are many answers a sample."""
        return
