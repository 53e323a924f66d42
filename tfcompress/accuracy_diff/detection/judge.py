"""Judges the detections of every model: their precision, which of the float model's are lost, and on which images."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tfcompress.accuracy_diff.additive import total
from tfcompress.accuracy_diff.detection.drawing import with_boxes
from tfcompress.accuracy_diff.detection.pairs import paired
from tfcompress.accuracy_diff.detection.task import Detection
from tfcompress.accuracy_diff.detection_table import DetectionTable
from tfcompress.accuracy_diff.gate import Gate, judge_drop, judge_unlabelled
from tfcompress.accuracy_diff.judge import OutputJudge
from tfcompress.accuracy_diff.keras_metrics import KerasMetrics

__all__ = ["DetectionJudge", "name_beside"]

RESAMPLES = 200  # of the bootstrap: the ends of a 95 % interval are then its fifth values


def name_beside(outputs: Collection[str]) -> str:
    """What the detections are called beside the outputs that they are made of: `detections`, where none has the name.

    Args:
        outputs: names of the model's outputs.
    """
    return "decoded_detections" if "detections" in outputs else "detections"


class DetectionJudge(OutputJudge):
    """What is counted for decoded detections.

    Args:
        name: of what is judged.
        candidates: names of the candidates.
        labelled: whether the data have true boxes.
        seed: of the bootstrap.
    """

    def __init__(self, name: str, candidates: list[str], *, labelled: bool, seed: int = 0) -> None:
        task = Detection()
        none = {model: KerasMetrics((), task, 1) for model in ("", *candidates)}
        super().__init__(name, task, candidates, labelled=labelled, keras_metrics=none)
        self._seed = seed

    def _count_pair(
        self,
        model: str,
        start: int,
        reference: np.ndarray,
        candidate: np.ndarray,
        truth: np.ndarray | None,
        inputs: np.ndarray,
    ) -> None:
        pairs = [paired(*tables) for tables in zip(reference, candidate, strict=True)]
        counted = {
            "answers": np.int64(sum(pair.confident for pair in pairs)),
            "agree": np.int64(sum(pair.agreed for pair in pairs)),
        }
        self._add_pair(model, counted)
        firsts = [pair.first for pair in pairs]
        drawn = [
            with_boxes(picture, pair.lost, pair.new) if first is not None else picture
            for picture, pair, first in zip(inputs, pairs, firsts, strict=True)
        ]
        answers = [np.array([-1 if first is None else first[side] for first in firsts]) for side in (0, 1)]
        sure = [np.array([0.0 if first is None else first[2 + side] for first in firsts]) for side in (0, 1)]
        self._flips[model].add(start, (answers[0], answers[1]), (sure[0], sure[1]), None, drawn)

    def diff(self, model: str) -> dict[str, object]:
        """See `OutputJudge.diff`; errors of values are those of the model's outputs, which are judged beside."""
        interval = self._interval(model)
        return {
            "metric": self.task.score,
            "accuracy_drop": self._drop(model),
            "accuracy_drop_ci95": list(interval) if interval else None,
            "top1_agreement": self._agreement(model),
        }

    def gate(self, model: str, limit: float) -> Gate:
        """See `OutputJudge.gate`."""
        if not self.labelled:
            interval = self._disagreement_interval(model)
            return judge_unlabelled(self._agreement(model), interval, limit, samples=self.samples)
        return judge_drop(self._drop(model), self._interval(model), limit, metric=self.task.score, samples=self.samples)

    def _interval(self, model: str) -> tuple[float, float] | None:
        """Percentiles of the drop over images drawn with replacement, the same ones for both models.

        Efron & Tibshirani, "An Introduction to the Bootstrap", section 13.3.
        """
        tables = [total(self._groups[name].values()).get("detections") for name in ("", model)]
        first, second = tables
        if not isinstance(first, DetectionTable) or not isinstance(second, DetectionTable) or first.images < 2:
            return None
        return _bootstrapped(first, second, self._seed)


def _bootstrapped(first: DetectionTable, second: DetectionTable, seed: int) -> tuple[float, float] | None:
    images, random = int(first.images), np.random.default_rng(seed)
    drops = []
    for _ in range(RESAMPLES):
        weights = np.bincount(random.integers(0, images, images), minlength=images)
        precisions = [table.average_precision(weights) for table in (first, second)]
        if precisions[0] is not None and precisions[1] is not None:
            drops.append(float(precisions[0].mean() - precisions[1].mean()))
    if len(drops) < RESAMPLES // 2:  # hardly an image has a true box
        return None
    low, high = np.percentile(drops, [2.5, 97.5])
    return float(low), float(high)
