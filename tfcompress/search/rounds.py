"""Which candidates are tried next: a function of the trials so far, the same for every worker that asks.

First what costs nothing: one trial of the recipe as given, whose layer diff tells which layers lose most in 8 bits.
Then each dimension alone, then combinations that Optuna's multi-objective TPE sampler proposes from all trials so far
(Ozaki et al. 2022), and last the finalists, on data that no choice was made on.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import optuna

from tfcompress.search.budget import WORST, Budget, cost_of
from tfcompress.search.space import WIDER, Point, Space
from tfcompress.search.trial import Trial

__all__ = ["FINALISTS", "ROUNDS", "finalists", "next_points"]

ROUNDS = ("start", "alone", "combined")
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
    if name == "alone":
        wanted = [point for item in space.dimensions for point in completed.alone(item.name)]
        if _start_meets_accuracy(trials, budget):
            wanted = [point for point in wanted if point.get(WIDER, "0") == "0"]
        return completed, _fresh(wanted, completed, trials)[:most]
    return completed, _proposed(completed, trials, minimize, most=most, seed=seed)


def _with_ranks(space: Space, trials: Sequence[Trial]) -> Space:
    first = next((trial for trial in trials if trial.round == "start" and trial.ranked), None)
    return space if first is None else replace(space, ranked=first.ranked)


def _start_meets_accuracy(trials: Sequence[Trial], budget: Budget) -> bool:
    limits = [limit for limit in budget.limits if limit.quantity == "accuracy_drop"]
    first = next((trial for trial in trials if trial.round == "start" and trial.figures is not None), None)
    return first is not None and first.figures is not None and not any(limit.excess(first.figures) for limit in limits)


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
