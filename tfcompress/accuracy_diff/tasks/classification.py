"""One of several classes a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics
from tfcompress.accuracy_diff.labels import class_indices
from tfcompress.accuracy_diff.tasks.base import Metrics, ratio

__all__ = ["Classification", "argmax_answers", "calibration_error", "softmax"]

BINS = 15  # Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2
TOP = 5
MOST_CONFUSED = 50  # classes up to which every answer is counted, for the confusion table


@dataclass(frozen=True)
class Classification:
    """Top-1, top-5, per-class accuracy and calibration error.

    Attributes:
        classes: size of the output's last axis.
        from_logits: outputs are not probabilities yet.
        class_names: in the model's order, for string labels and per-class keys; None numbers them.
    """

    classes: int
    from_logits: bool = False
    class_names: Sequence[str] | None = None
    name: str = "classification"
    score: str = "accuracy"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Class indices (samples,); see `Task.truth`."""
        return class_indices(labels, self.classes, class_names=self.class_names, where=where).reshape(-1)

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`."""
        if truth is None:
            return {"samples": np.int64(len(outputs))}
        answers = self.answers(outputs)
        right = answers == truth
        sure = self.confidence(outputs)
        usable = np.isfinite(sure)
        place = np.clip((sure[usable] * BINS).astype(np.int64), 0, BINS - 1)
        return {
            **self._confusion(truth, answers),
            "samples": np.int64(len(outputs)),
            "right": np.int64(right.sum()),
            "right_top5": np.int64(_in_top(outputs, truth).sum()),
            "class_samples": np.bincount(truth, minlength=self.classes),
            "class_right": np.bincount(truth[right], minlength=self.classes),
            "bin_samples": np.bincount(place, minlength=BINS),
            "bin_right": np.bincount(place, weights=right[usable], minlength=BINS),
            "bin_confidence": np.bincount(place, weights=sure[usable], minlength=BINS),
        }

    def _confusion(self, truth: np.ndarray, answers: np.ndarray) -> Statistics:
        """How often each class (row) got each answer (column); nothing for many classes."""
        if self.classes > MOST_CONFUSED:
            return {}
        cells = (truth * self.classes + answers)[answers >= 0]
        counts = np.bincount(cells, minlength=self.classes**2)
        return {"confusion": counts.reshape(self.classes, self.classes)}

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`."""
        if "right" not in total:
            return {"accuracy": None}
        samples = int(total["samples"])
        figures: Metrics = {"accuracy": ratio(total["right"], samples)}
        if self.classes > TOP:
            figures["top5_accuracy"] = ratio(total["right_top5"], samples)
        figures["calibration_error"] = calibration_error(total)
        names = self.class_names or [str(index) for index in range(self.classes)]
        for name, count, right in zip(names, total["class_samples"], total["class_right"], strict=True):
            if count and self.classes <= 100:
                figures[f"accuracy[{name}]"] = ratio(right, count)
        return figures

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """The class with the highest output, the first of several equal ones; -1 for NaN."""
        return argmax_answers(outputs)

    def confidence(self, outputs: np.ndarray) -> np.ndarray:
        """Probability of the answer."""
        return (softmax(outputs) if self.from_logits else outputs).max(axis=-1)


def argmax_answers(outputs: np.ndarray) -> np.ndarray:
    """Index of the largest value on the last axis, the lowest index among ties; -1 where any value is NaN."""
    return np.where(np.isnan(outputs).any(axis=-1), -1, np.argmax(outputs, axis=-1))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _in_top(outputs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether fewer than TOP classes beat the true one; among ties the lower index wins, as in `argmax_answers`."""
    own = np.take_along_axis(outputs, truth[:, None], axis=1)
    index = np.arange(outputs.shape[1])[None, :]
    beaten_by = (outputs > own) | ((outputs == own) & (index < truth[:, None]))
    return (beaten_by.sum(axis=1) < TOP) & ~np.isnan(outputs).any(axis=1)


def calibration_error(total: Statistics) -> float | None:
    """Expected calibration error (Guo et al. 2017, equation 3) from the summed bins."""
    samples = total["bin_samples"].sum()
    return ratio(np.abs(total["bin_right"] - total["bin_confidence"]).sum(), samples)
