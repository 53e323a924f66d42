"""Samples on which two models gave different answers: the ones worth looking at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tfcompress.accuracy_diff.progress import Tree

__all__ = ["Flip", "FlipKeeper"]

MOST_FLIPS = 1000
MOST_PICTURES = 24


@dataclass(frozen=True)
class Flip:
    """One sample with two answers.

    Attributes:
        index: position in the data.
        label: the true class; None without labels.
        reference: the reference's answer.
        candidate: the candidate's answer; -1 for NaN.
        reference_confidence: probability that the reference gave its answer.
        candidate_confidence: probability that the candidate gave its own.
        input: the sample's first input, for a picture; only the most telling flips keep it.
    """

    index: int
    label: int | None
    reference: int
    candidate: int
    reference_confidence: float
    candidate_confidence: float
    input: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def weight(self) -> float:
        """How telling: a right answer lost counts first, then how sure both models are of different things."""
        lost = self.label is not None and self.reference == self.label
        sure = (self.reference_confidence, self.candidate_confidence)
        return sum(share for share in sure if math.isfinite(share)) + (10.0 if lost else 0.0)


class FlipKeeper:
    """Keeps the most telling flips of a stream, a bounded number of them."""

    def __init__(self) -> None:
        self.total = 0
        self._kept: list[Flip] = []

    def add(
        self,
        start: int,
        answers: tuple[np.ndarray, np.ndarray],
        confidences: tuple[np.ndarray, np.ndarray],
        truth: np.ndarray | None,
        inputs: Sequence[np.ndarray] | np.ndarray,
    ) -> None:
        """Look through a batch.

        Args:
            start: index of its first sample.
            answers: of the reference and the candidate, (samples,).
            confidences: of both, (samples,).
            truth: (samples,), or None.
            inputs: the first input of each sample.
        """
        different = np.flatnonzero(answers[0] != answers[1])
        self.total += len(different)
        for row in map(int, different):
            self._kept.append(
                Flip(
                    start + int(row),
                    None if truth is None else int(truth[row]),
                    int(answers[0][row]),
                    int(answers[1][row]),
                    float(confidences[0][row]),
                    float(confidences[1][row]),
                    inputs[row].copy(),
                )
            )
        if sum(flip.input is not None for flip in self._kept) > 2 * MOST_PICTURES:
            self._drop_pictures()

    def _drop_pictures(self) -> None:
        ranked = sorted(self._kept, key=lambda flip: -flip.weight)[:MOST_FLIPS]
        self._kept = ranked[:MOST_PICTURES] + [_without_picture(flip) for flip in ranked[MOST_PICTURES:]]

    def flips(self) -> tuple[Flip, ...]:
        """The kept ones, the most telling first."""
        self._drop_pictures()
        return tuple(self._kept)

    def state(self) -> Tree:
        """For `restore`."""
        pictures = {str(i): flip.input for i, flip in enumerate(self._kept) if _storable(flip.input)}
        figures = [
            (flip.index, flip.reference, flip.candidate, -1 if flip.label is None else flip.label)
            for flip in self._kept
        ]
        return {
            "total": self.total,
            "figures": np.array(figures, np.int64).reshape(-1, 4),
            "unlabelled": np.array([flip.label is None for flip in self._kept], bool),
            "sure": np.array([(flip.reference_confidence, flip.candidate_confidence) for flip in self._kept], float),
            "pictures": pictures,
        }

    def restore(self, state: Tree) -> None:
        """Be as the keeper was whose `state` this is."""
        self.total = int(state["total"])
        pictures = state.get("pictures", {})
        self._kept = []
        for i, (index, reference, candidate, label) in enumerate(state["figures"].tolist()):
            label_or_none = None if state["unlabelled"][i] else label
            sure = state["sure"].reshape(-1, 2)[i].tolist()
            self._kept.append(Flip(index, label_or_none, reference, candidate, sure[0], sure[1], pictures.get(str(i))))


def _without_picture(flip: Flip) -> Flip:
    if flip.input is None:
        return flip
    return Flip(
        flip.index, flip.label, flip.reference, flip.candidate, flip.reference_confidence, flip.candidate_confidence
    )


def _storable(picture: np.ndarray | None) -> bool:
    """Whether an input can be kept in a file of arrays: not a text."""
    return picture is not None and picture.dtype.kind != "O"
