"""Whether two embeddings retrieve the same neighbours: what an embedding is for, and what a mean cosine hides."""

from __future__ import annotations

import numpy as np

from tfcompress.accuracy_diff.progress import Tree

__all__ = ["Gallery"]

MOST_KEPT = 2048
NEIGHBOURS = 5
TINY = 1e-12


class Gallery:
    """The vectors of evenly spread samples, a bounded number of them: every second, fourth, ... one of a long stream.

    Each kept sample is a query among the others.
    """

    def __init__(self) -> None:
        self._step = 1
        self._indices: list[int] = []
        self._vectors: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def add(self, start: int, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Add a batch.

        Args:
            start: index of its first sample.
            reference: (samples, ...) float32.
            candidate: the same shape.
        """
        for row in range(len(reference)):
            if (start + row) % self._step == 0:
                self._indices.append(start + row)
                self._vectors[0].append(reference[row].ravel().copy())
                self._vectors[1].append(candidate[row].ravel().copy())
        while len(self._indices) > MOST_KEPT:
            self._step *= 2
            stays = [place for place, index in enumerate(self._indices) if index % self._step == 0]
            self._indices = [self._indices[place] for place in stays]
            self._vectors = tuple([side[place] for place in stays] for side in self._vectors)  # type: ignore[assignment]

    def figures(self) -> dict[str, float | None]:
        """`retrieval_agreement`, the share of samples whose nearest other sample (by cosine) is the same in both
        models, and `retrieval_overlap`, the share of the five nearest that are; None for too few samples.
        """
        number = min(NEIGHBOURS, len(self._indices) - 1)
        if number < 1:
            return {"retrieval_agreement": None, "retrieval_overlap": None}
        first, second = (_nearest(np.stack(side), number) for side in self._vectors)
        shared = (first[:, :, None] == second[:, None, :]).any(axis=2)
        return {
            "retrieval_agreement": float((first[:, 0] == second[:, 0]).mean()),
            "retrieval_overlap": float(shared.mean()),
        }

    def state(self) -> Tree:
        """For `restore`."""
        if not self._indices:
            return {}
        sides = {name: np.stack(side) for name, side in zip(("reference", "candidate"), self._vectors, strict=True)}
        return {"step": self._step, "indices": np.array(self._indices), **sides}

    def restore(self, state: Tree) -> None:
        """Be as the gallery was whose `state` this is."""
        if state:
            self._step = int(state["step"])
            self._indices = [int(index) for index in state["indices"]]
            self._vectors = (list(state["reference"]), list(state["candidate"]))


def _nearest(vectors: np.ndarray, number: int) -> np.ndarray:
    """The `number` nearest others of each vector by cosine, nearest first, the earlier one among equals."""
    unit = np.nan_to_num(vectors.astype(np.float64))
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), TINY)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, :number]
