"""Which candidates are tried next: a function of the trials so far, the same for every worker that asks.

First what costs nothing: one trial of the recipe as given, whose layer diff tells which layers lose most in 8 bits.
Then each dimension alone, from the promising end: of options that only do more or less of one thing, those that tell
most about the others (bisection).  Then the combinations that should be best if what was measured alone adds up (see
`additive`), then those that Optuna's multi-objective TPE sampler proposes from all trials so far (Ozaki et al. 2022),
and last the finalists, on data that no choice was made on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import optuna

from tfcompress.search.additive import predicted_points
from tfcompress.search.budget import WORST, Budget, cost_of
from tfcompress.search.space import WIDER, Dimension, Point, Space
from tfcompress.search.trial import Trial

__all__ = ["FINALISTS", "ROUNDS", "finalists", "next_points"]

_ALONE = {"alone": 1 / 2, "alone, second": 1 / 3, "alone, third": 1 / 4}
_SHARES = _ALONE | {"predicted": 2 / 3, "combined": 1.0}
"""{round: share of the trials left that it takes at most}."""
ROUNDS = ("start", *_SHARES)
FINALISTS = 3  # looks at the data held apart, for which the intervals are corrected (Dunn 1961)


def next_points(
    name: str, space: Space, trials: Sequence[Trial], budget: Budget, minimize: str, *, most: int, seed: int
) -> tuple[Space, tuple[Point, ...]]:
    """The space as the trials so far have completed it, and the points of a round.

    Args:
        name: of the round, one of `ROUNDS`.
        space: of the search.
        trials: of all earlier rounds, in the order of their keys, so that it is the same for every worker.
        budget: the limits.
        minimize: the goal.
        most: number of trials that are left.
        seed: of the sampler.
    """
    if name == "start":
        return space, (space.start,)[:most]
    completed = _with_ranks(space, trials)
    share = max(1, round(most * _SHARES[name]))
    if name in _ALONE:
        wanted = _Alone(completed, trials, budget, minimize).points(first=name == "alone")
        return completed, _fresh(wanted, completed, trials)[:share]
    if name == "predicted":
        return completed, _fresh(predicted_points(completed, trials, budget, minimize), completed, trials)[:share]
    return completed, _proposed(completed, trials, minimize, most=share, seed=seed)


def _with_ranks(space: Space, trials: Sequence[Trial]) -> Space:
    first = next((trial for trial in trials if trial.round == "start" and trial.ranked), None)
    return space if first is None else replace(space, ranked=first.ranked, noise=first.noise)


@dataclass(frozen=True)
class _Alone:
    """What to try of each dimension alone.

    Attributes:
        space: with the layers ranked.
        trials: so far.
        budget: the limits.
        minimize: the goal.
    """

    space: Space
    trials: Sequence[Trial]
    budget: Budget
    minimize: str

    def points(self, *, first: bool) -> list[Point]:
        """Those with the largest expected gain first.

        Args:
            first: whether options that tell nothing about each other are wanted, too.
        """
        wanted = [item for gains in self._gains() for item in self.space.dimensions if item.gains == gains]
        points: list[Point] = []
        for item in wanted:
            labels = self.space.labels(item)
            tried = self._next(item, labels) if item.ordered else labels[1:] if first else ()
            points += [{**self.space.start, item.name: label} for label in tried]
        return points

    def _gains(self) -> tuple[str, ...]:
        """What is wanted of a change, first what is needed most."""
        if not self._passes(self._start):
            return ("accuracy", "costly", "smaller")
        return ("smaller", "accuracy", "costly") if self.minimize == "accuracy_drop" else ("smaller", "accuracy")

    def _next(self, item: Dimension, labels: Sequence[str]) -> tuple[str, ...]:
        """The option between the last that is good enough and the first that is not."""
        judge = self._passes if item.gains == "costly" else self._loses_little
        verdicts = {}
        for trial in self.trials:
            if trial.ended and trial.point in [{**self.space.start, item.name: label} for label in labels[1:]]:
                verdicts[labels.index(trial.point[item.name])] = judge(trial)
        passes = item.gains == "costly"  # what the last option does, if any does
        low = max((place for place, ok in verdicts.items() if ok != passes), default=0)
        high = min((place for place, ok in verdicts.items() if ok == passes), default=len(labels))
        if high - low < 2:
            return ()
        guess = self._guess(labels) if item.name == WIDER and not verdicts else None
        return (labels[guess or (low + high) // 2],)

    def _guess(self, labels: Sequence[str]) -> int | None:
        """The least number of layers in 16 bits with which the drop should be within the limit.

        A sample's answer changes where the noise exceeds its margin, so a drop grows with the noise's root mean square.
        """
        drop = self._drop(self._start)
        fits = (at for at, label in enumerate(labels) if at and drop * self._root(label) <= self._limit)
        return next(fits, None)

    def _root(self, label: str) -> float:
        return math.sqrt(self.space.noise_left(label))

    @property
    def _start(self) -> Trial | None:
        return next((trial for trial in self.trials if trial.round == "start"), None)

    @property
    def _limit(self) -> float:
        """The largest drop that is allowed."""
        limit = self.budget.limit("accuracy_drop")
        return math.inf if limit is None else limit

    def _passes(self, trial: Trial | None) -> bool:
        """Whether a trial is within the limit on the drop."""
        if trial is None or trial.figures is None:
            return False
        return not any(limit.excess(trial.figures) for limit in self.budget.limits if limit.quantity == "accuracy_drop")

    def _loses_little(self, trial: Trial) -> bool:
        """Whether a trial loses no more against the start than the limit allows: something else may mend the start."""
        return trial.figures is not None and self._drop(trial) <= self._limit + max(0.0, self._drop(self._start))

    @staticmethod
    def _drop(trial: Trial | None) -> float:
        return 0.0 if trial is None or trial.figures is None else trial.figures.accuracy_drop or 0.0


def _fresh(points: Sequence[Point], space: Space, trials: Sequence[Trial]) -> tuple[Point, ...]:
    """Those that were not tried and that come for the first time."""
    seen = {trial.key for trial in trials}
    fresh = []
    for point in points:
        key = space.candidate(point).key
        if key not in seen:
            seen.add(key)
            fresh.append(point)
    return tuple(fresh)


def _proposed(space: Space, trials: Sequence[Trial], minimize: str, *, most: int, seed: int) -> tuple[Point, ...]:
    """Points that Optuna's sampler proposes for the two goals, the drop in accuracy and what is minimised."""
    distributions = {
        item.name: optuna.distributions.CategoricalDistribution(tuple(item.options)) for item in space.dimensions
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=1, constant_liar=True)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    for trial in trials:
        if trial.figures is not None:
            values = [cost_of(trial.figures, name, WORST) for name in ("accuracy_drop", minimize)]
            study.add_trial(
                optuna.trial.create_trial(values=values, params=dict(trial.point), distributions=dict(distributions))
            )
    asked: list[Point] = []
    for _ in range(most * 4):  # some proposals are points that were tried
        asked.append(study.ask(dict(distributions)).params)
        fresh = _fresh(asked, space, trials)
        if len(fresh) >= most:
            return fresh[:most]
    return _fresh(asked, space, trials)


def finalists(trials: Sequence[Trial], budget: Budget, minimize: str) -> tuple[Trial, ...]:
    """The trials to confirm, best first: those that meet the budget where they were chosen.

    A trial whose drop is within the limit but whose interval is not may pass on other data: such trials fill up the
    places that are left.
    """
    compared = [trial for trial in trials if trial.figures is not None and trial.stopped is None]

    def order(trial: Trial) -> tuple[float, str]:
        assert trial.figures is not None
        return cost_of(trial.figures, minimize, WORST), trial.key

    sure = sorted((trial for trial in compared if trial.figures and not budget.why_not(trial.figures)), key=order)
    near = sorted((trial for trial in compared if trial not in sure and _may_pass(trial, budget)), key=order)
    return tuple([*sure, *near][:FINALISTS])


def _may_pass(trial: Trial, budget: Budget) -> bool:
    assert trial.figures is not None
    figures = replace(trial.figures, accuracy_drop_ci95=None)
    return not budget.why_not(figures)
