"""Which trials no other trial beats in everything that the budget and the goal name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tfcompress.search.budget import cost_of
from tfcompress.search.figures import Figures

__all__ = ["dominates", "pareto_set"]

_Trial = TypeVar("_Trial")


def dominates(first: Figures, second: Figures, quantities: Sequence[str]) -> bool:
    """Whether `first` is nowhere worse than `second` and somewhere better; what is not known is worse than all else."""
    pairs = [(cost_of(first, name), cost_of(second, name)) for name in quantities]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def pareto_set(
    trials: Sequence[_Trial], figures_of: Callable[[_Trial], Figures], quantities: Sequence[str]
) -> tuple[_Trial, ...]:
    """The trials that no other dominates, by the first quantity ascending.

    Args:
        trials: all of them.
        figures_of: a trial's figures.
        quantities: what counts.
    """
    best = [
        trial
        for trial in trials
        if not any(dominates(figures_of(second), figures_of(trial), quantities) for second in trials)
    ]
    return tuple(sorted(best, key=lambda trial: [cost_of(figures_of(trial), name) for name in quantities]))
