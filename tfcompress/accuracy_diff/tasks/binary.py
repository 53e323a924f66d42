"""Yes or no: one answer a sample, or one for each of several labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics
from tfcompress.accuracy_diff.labels import check_values, is_binary
from tfcompress.accuracy_diff.score_table import ScoreTable
from tfcompress.accuracy_diff.tasks.base import Metrics, ratio
from tfcompress.errors import DataError

__all__ = ["Binary", "MultiLabel"]


@dataclass(frozen=True)
class Binary:
    """One output a sample, against labels 0 and 1: accuracy, AUC, F1, precision, recall.

    Attributes:
        from_logits: yes from 0 up instead of from 0.5 up.
    """

    from_logits: bool = False
    name: str = "binary"
    score: str = "accuracy"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """0 or 1, (samples,); see `Task.truth`."""
        return _zero_or_one(labels, where).reshape(len(labels), -1)[:, 0]

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`."""
        if truth is None:
            return {"samples": np.int64(len(outputs))}
        scores = outputs.reshape(len(outputs), -1)[:, 0]
        return {**_counts(self.answers(outputs)[:, None], truth[:, None]), "scores": ScoreTable.of(scores, truth)}

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`."""
        if "right" not in total:
            return {"accuracy": None}
        return {
            "accuracy": ratio(total["right"], total["cells"]),
            "auc": total["scores"].auc(),
            "precision": ratio(total["hits"].sum(), total["claimed"].sum()),
            "recall": ratio(total["hits"].sum(), total["true"].sum()),
            "f1": _f1(total)[0],
        }

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """0 or 1, (samples,); -1 for NaN."""
        return _yes(outputs.reshape(len(outputs), -1)[:, 0], self.from_logits)

    def confidence(self, outputs: np.ndarray) -> np.ndarray:
        """Probability of the answer."""
        values = outputs.reshape(len(outputs), -1)[:, 0].astype(np.float64)
        yes = 1 / (1 + np.exp(-values)) if self.from_logits else values
        return np.maximum(yes, 1 - yes)


@dataclass(frozen=True)
class MultiLabel:
    """Several yes-or-no outputs a sample: F1 and AUC averaged over the labels, accuracy of single answers.

    Attributes:
        from_logits: yes from 0 up instead of from 0.5 up.
    """

    from_logits: bool = False
    name: str = "multi_label"
    score: str = "f1_macro"

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """0 or 1, shaped as the labels; see `Task.truth`."""
        return _zero_or_one(labels, where).reshape(len(labels), -1)

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """See `Task.statistics`."""
        if truth is None:
            return {"samples": np.int64(len(outputs))}
        scores = outputs.reshape(len(outputs), -1)
        check_values(truth, scores)
        tables = {f"scores[{i}]": ScoreTable.of(scores[:, i], truth[:, i]) for i in range(scores.shape[1])}
        return {**_counts(self.answers(outputs), truth), **tables}

    def metrics(self, total: Statistics) -> Metrics:
        """See `Task.metrics`."""
        if "right" not in total:
            return {"f1_macro": None}
        areas = [
            area for name, table in total.items() if name.startswith("scores[") and (area := table.auc()) is not None
        ]
        f1 = [value for value in _f1(total) if value is not None]
        return {
            "f1_macro": ratio(sum(f1), len(f1)),
            "auc_macro": ratio(sum(areas), len(areas)),
            "accuracy": ratio(total["right"], total["cells"]),
        }

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """0 or 1, (samples, labels); -1 for NaN."""
        return _yes(outputs.reshape(len(outputs), -1), self.from_logits)

    def confidence(self, outputs: np.ndarray) -> None:
        """None: there are many answers a sample."""
        return


def _zero_or_one(labels: np.ndarray, where: str) -> np.ndarray:
    if not is_binary(labels):
        raise DataError(f"{where}: expected labels 0 and 1 for a yes-or-no output, got others; try --task=regression")
    return labels.astype(np.int64)


def _yes(values: np.ndarray, from_logits: bool) -> np.ndarray:
    threshold = 0.0 if from_logits else 0.5
    return np.where(np.isnan(values), -1, (values >= threshold).astype(np.int64))


def _counts(answers: np.ndarray, truth: np.ndarray) -> dict[str, object]:
    return {
        "samples": np.int64(len(answers)),
        "cells": np.int64(answers.size),
        "right": np.int64((answers == truth).sum()),
        "hits": ((answers == 1) & (truth == 1)).sum(axis=0),
        "claimed": (answers == 1).sum(axis=0),
        "true": (truth == 1).sum(axis=0),
    }


def _f1(total: Statistics) -> list[float | None]:
    """F1 of each label, None where neither labels nor answers say yes."""
    return [
        ratio(2 * hits, claimed + true)
        for hits, claimed, true in zip(total["hits"], total["claimed"], total["true"], strict=True)
    ]
