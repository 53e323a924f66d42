"""What a task is: how its outputs are judged against labels, and which figure the accuracy gate looks at."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics

__all__ = ["Metrics", "Task", "ratio"]

Metrics = dict[str, float | None]


class Task(Protocol):
    """How one output is judged.  Tasks hold settings only; what they count lies in additive statistics.

    Attributes:
        name: as `--task` knows it.
        score: key of the metric that the gate compares; higher is better.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    @property
    def score(self) -> str: ...  # noqa: D102

    def truth(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Labels as this task counts with them.

        Raises:
            DataError: labels that do not fit the task or the model's output; `where` names the data.
        """
        ...

    def statistics(self, outputs: np.ndarray, truth: np.ndarray | None, inputs: np.ndarray) -> Statistics:
        """What a batch adds: `outputs` (batch first, float32) judged against `truth`, None without labels."""
        ...

    def metrics(self, total: Statistics) -> Metrics:
        """Figures from summed statistics; None where undefined."""
        ...

    def answers(self, outputs: np.ndarray) -> np.ndarray | None:
        """The discrete answers, samples first; -1 where the output is NaN; None for a task without answers."""
        ...

    def confidence(self, outputs: np.ndarray) -> np.ndarray | None:
        """How sure the model is of each answer, (samples,); None for a task with many answers a sample."""
        ...


def ratio(numerator: float, denominator: float) -> float | None:
    """A quotient, or None for an empty denominator."""
    return float(numerator) / float(denominator) if denominator else None
