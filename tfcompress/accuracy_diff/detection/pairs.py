"""Which of the float model's detections an artifact gives too, whatever the true boxes are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.detection.boxes import overlaps

__all__ = ["Pair", "paired"]

CONFIDENT = 0.3  # a score from which on a detection is shown
FAINT = 0.2  # and one which is as good as that, so that a score at the threshold makes no difference
SAME = 0.5  # overlap of one thing seen twice


@dataclass(frozen=True)
class Pair:
    """The detections of two models on one image.

    Attributes:
        confident: how many either model shows.
        agreed: how many of them both give.
        lost: [n, 6], those that only the float model gives.
        new: [m, 6], those that only the artifact gives.
    """

    confident: int
    agreed: int
    lost: np.ndarray
    new: np.ndarray

    @property
    def first(self) -> tuple[int, int, float, float] | None:
        """(class of the float model, of the artifact, both scores) of the surest that differs; None where none does.

        Class -1 where a model sees nothing.
        """
        best = [table[table[:, 4].argmax()] if len(table) else None for table in (self.lost, self.new)]
        lost, new = best
        if lost is not None and (new is None or lost[4] >= new[4]):
            there = None if not len(self.new) else _at(lost, self.new)
            return (
                int(lost[5]),
                -1 if there is None else int(there[5]),
                float(lost[4]),
                0.0 if there is None else float(there[4]),
            )
        return None if new is None else (-1, int(new[5]), 0.0, float(new[4]))


def _at(box: np.ndarray, others: np.ndarray) -> np.ndarray | None:
    """What another model sees at the place of a box; None for nothing."""
    common = overlaps(box[None], others)[0]
    return others[common.argmax()] if common.max() >= SAME else None


def paired(reference: np.ndarray, candidate: np.ndarray) -> Pair:
    """Pair the detections of two models, tables [n, 6] and [m, 6] of one image, the surest first."""
    own = [table[_is_seen(table)] for table in (reference, candidate)]
    partners = _partners(own[0], own[1])
    shown = [table[:, 4] >= CONFIDENT for table in own]
    lost = shown[0] & (partners < 0)
    taken = np.zeros(len(own[1]), bool)
    taken[partners[partners >= 0]] = True
    new = shown[1] & ~taken
    both = int((shown[0] & (partners >= 0)).sum())
    both += int(sum(shown[1][place] and not shown[0][row] for row, place in enumerate(partners) if place >= 0))
    return Pair(both + int(lost.sum()) + int(new.sum()), both, own[0][lost], own[1][new])


def _is_seen(table: np.ndarray) -> np.ndarray:
    """Whether each row holds a box with an area and a score to speak of."""
    return (table[:, 5] >= 0) & (table[:, 4] >= FAINT) & (table[:, 2:4] > table[:, :2]).all(axis=1)


def _partners(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each row of `first` the row of `second` of its class that overlaps it most, each taken once; -1 for none."""
    common = overlaps(first, second) * (first[:, None, 5] == second[None, :, 5])
    partners = np.full(len(first), -1)
    for row in range(len(first)):
        if common.shape[1] and common[row].max() >= SAME:
            partners[row] = int(common[row].argmax())
            common[:, partners[row]] = 0.0
    return partners
