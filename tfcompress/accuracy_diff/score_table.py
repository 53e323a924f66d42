"""The area under the ROC curve from a stream, exact for as long as the scores are few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ScoreTable"]

MOST_SCORES = 1 << 16
# An 8-bit output has 256 scores and is always exact.  A float one is exact up to MOST_SCORES different values; after
# that neighbours are merged, which moves the area by less than the share of pairs that share a merged value.


@dataclass(frozen=True)
class ScoreTable:
    """How many positives and negatives had each score.

    Attributes:
        scores: ascending, different from each other, float64.
        positives: int64 counts.
        negatives: int64 counts.
    """

    scores: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, truth: np.ndarray) -> ScoreTable:
        """The table of one batch; NaN counts as the lowest score.

        Args:
            scores: any shape, higher means more likely positive.
            truth: the same shape, 0 or 1.
        """
        flat = np.nan_to_num(scores.ravel().astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        return _merged(flat, truth.ravel().astype(np.int64), 1 - truth.ravel().astype(np.int64))

    def __add__(self, other: ScoreTable) -> ScoreTable:
        """The table of both streams."""
        table = _merged(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.positives, other.positives]),
            np.concatenate([self.negatives, other.negatives]),
        )
        return table if len(table.scores) <= MOST_SCORES else table._coarser()

    def _coarser(self) -> ScoreTable:
        pairs = np.arange(len(self.scores)) // 2
        return _merged(self.scores[::2][pairs], self.positives, self.negatives)

    def auc(self) -> float | None:
        """Area under the ROC curve, ties counted as half; None without both classes.

        The Mann-Whitney statistic (Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve").
        """
        positives, negatives = int(self.positives.sum()), int(self.negatives.sum())
        if positives == 0 or negatives == 0:
            return None
        below = np.cumsum(self.negatives) - self.negatives
        wins = (self.positives * (below + 0.5 * self.negatives)).sum()
        return float(wins / (positives * negatives))


def _merged(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> ScoreTable:
    unique, place = np.unique(scores, return_inverse=True)
    sums = [np.bincount(place.ravel(), weights=counts, minlength=len(unique)) for counts in (positives, negatives)]
    return ScoreTable(unique, sums[0].astype(np.int64), sums[1].astype(np.int64))
