"""What combinations of choices would come to if each did what it did alone, and the best of them: a knapsack.

Losses of small changes add up to first order, and savings multiply.  The best combinations for all exchange rates
between saving and loss are found choice by choice (Lagrange multipliers; Everett 1963), without trying any.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tfcompress.search.budget import QUANTITIES, Budget, cost_of
from tfcompress.search.figures import Figures
from tfcompress.search.space import Point, Space
from tfcompress.search.trial import Trial

__all__ = ["predicted_points"]

_RATES = tuple(2.0**power for power in range(-8, 15))  # how much a drop of 1 weighs against a factor of e saved
_ADDED = ("accuracy_drop", "npu")  # shares; all others are sizes, which multiply


@dataclass(frozen=True)
class _Alone:
    """What the options of each dimension did alone.

    Attributes:
        start: figures of the recipe as given.
        options: {dimension: {label: figures}}, with the start's own label.
    """

    start: Figures
    options: Mapping[str, Mapping[str, Figures]]

    def predicted(self, point: Point) -> Figures:
        """The figures of a combination, as far as all that it is made of is known."""
        parts = [self.options[name][label] for name, label in point.items()]
        values = {name: self._joined(name, parts) for name in QUANTITIES}
        return Figures.from_plain({**self.start.to_plain(), "accuracy_drop_ci95": None, **values})

    def _joined(self, quantity: str, parts: Sequence[Figures]) -> float | None:
        result = self.start.value(quantity)
        for part in parts:
            before, after = self.start.value(quantity), part.value(quantity)
            if result is None or before is None or after is None:
                return None
            result = result + after - before if quantity in _ADDED or not before else result * after / before
        return result


def predicted_points(space: Space, trials: Sequence[Trial], budget: Budget, minimize: str) -> tuple[Point, ...]:
    """Combinations that should do best, the most promising first; none where the start has no figures.

    Args:
        space: of the search.
        trials: so far; of these the start and those that change one dimension count.
        budget: the limits.
        minimize: the goal.
    """
    alone = _alone(space, trials)
    if alone is None:
        return ()
    quantities = [name for name in dict.fromkeys([minimize, *_names(budget)]) if name != "accuracy_drop"]
    points = {tuple(point.items()): point for point in _on_the_hull(alone, quantities)}

    def order(point: Point) -> tuple[float, float]:
        figures = alone.predicted(point)
        return budget.excess(figures), cost_of(figures, minimize)

    return tuple(sorted(points.values(), key=order))


def _names(budget: Budget) -> list[str]:
    return [limit.quantity for limit in budget.limits]


def _alone(space: Space, trials: Sequence[Trial]) -> _Alone | None:
    start = next((trial for trial in trials if trial.round == "start" and trial.figures is not None), None)
    if start is None or start.figures is None:
        return None
    options = {name: {label: start.figures} for name, label in space.start.items()}
    for trial in trials:
        changed = [name for name, label in trial.point.items() if label != space.start[name]]
        if len(changed) == 1 and trial.figures is not None:
            options[changed[0]][trial.point[changed[0]]] = trial.figures
    return _Alone(start.figures, options)


def _on_the_hull(alone: _Alone, quantities: Sequence[str]) -> Iterator[Point]:
    """For each exchange rate, the combination of the options that are best at that rate."""
    which = [quantities, *([name] for name in quantities)] if quantities else [[]]
    for names, rate in itertools.product(which, _RATES):
        yield {
            dimension: min(options, key=lambda label: (_weighed(alone, options[label], names, rate), label))
            for dimension, options in alone.options.items()
        }


def _weighed(alone: _Alone, figures: Figures, quantities: Sequence[str], rate: float) -> float:
    """A loss and the savings of one option as one number, the less the better."""
    cost = rate * ((figures.accuracy_drop or 0.0) - (alone.start.accuracy_drop or 0.0))
    for name in quantities:
        before, after = alone.start.value(name), figures.value(name)
        if before is not None and after is not None:
            cost += before - after if name in _ADDED else after / before - 1
    return cost
