"""One trial: a point of the space, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfcompress.search.candidate import Candidate, Changes
from tfcompress.search.figures import Figures
from tfcompress.search.space import Point

__all__ = ["CONFIRM", "Outcome", "Trial"]

CONFIRM = "confirm"  # the round of the finalists


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a trial that ran to its end.

    Attributes:
        figures: of the artifact.
        ranked: names of the layers that lose most, worst first; empty where nobody asked.
        noise: what each of them adds: the mean square of its error over that of its output.
        stopped: why it was measured on a part of the data only; None where it was measured on all.
    """

    figures: Figures
    ranked: tuple[str, ...] = ()
    noise: tuple[float, ...] = ()
    stopped: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial of a study.

    Attributes:
        round: in which it was proposed.
        point: of the space.
        name: of the candidate, in words.
        changes: to the recipe.
        figures: None where it failed, or has not ended.
        ranked: see `Outcome`.
        noise: see `Outcome`.
        stopped: see `Outcome`.
        failure: why it failed; None where it did not.
        seconds: that it took.
    """

    round: str
    point: Point
    name: str
    changes: Changes = field(default_factory=dict)
    figures: Figures | None = None
    ranked: tuple[str, ...] = ()
    noise: tuple[float, ...] = ()
    stopped: str | None = None
    failure: str | None = None
    seconds: float | None = None

    @property
    def key(self) -> str:
        """See `Candidate.key`."""
        return self.candidate.key

    @property
    def candidate(self) -> Candidate:
        """What was tried."""
        return Candidate(self.name, self.changes)

    @property
    def is_sound(self) -> bool:
        """Whether what was read from a storage has the types that it should have."""
        texts = [self.round, self.name, *self.ranked, *self.point]
        optional = [text for text in (self.stopped, self.failure) if text is not None]
        return (
            all(isinstance(text, str) for text in (*texts, *optional))
            and isinstance(self.changes, Mapping)
            and (self.seconds is None or isinstance(self.seconds, int | float))
            and all(isinstance(value, int | float) for value in self.noise)
            and (self.figures is None or self.figures.are_numbers)
        )

    @property
    def ended(self) -> bool:
        """Whether it has figures or a failure."""
        return self.figures is not None or self.failure is not None

    def task(self) -> Mapping[str, object]:
        """What a worker has to know, as JSON values."""
        return {"round": self.round, "point": dict(self.point), "name": self.name, "changes": dict(self.changes)}
